//! Huge pages (OCI config-linux, "Huge page limits"): reservations where the kernel counts them (Linux 5.7), and use.

use super::{Check, Plan, Step, Write, invalid};
use crate::layout::{Controller, Version};
use oci_spec::runtime::LinuxHugepageLimit;
use silo_types::Result;

pub(super) fn plan(plan: &mut Plan, limits: &[LinuxHugepageLimit]) -> Result<()> {
    for limit in limits {
        let name = limit.page_size().as_str();
        let Some(page) = page_bytes(name) else {
            let why = format!("page size {name:?} is not like 64KB, 2MB or 1GB");
            return Err(invalid("huge page limit", why));
        };
        let what = format!("limit of {name} huge pages");
        let place = plan.place(Controller::Hugetlb, &what)?;
        let (tail, unlimited) = match plan.version(place) {
            Version::V1 => ("limit_in_bytes", "-1"),
            Version::V2 => ("max", "max"),
        };
        let value = match limit.limit() {
            bytes if bytes < 0 => unlimited.to_owned(),
            bytes => bytes.to_string(),
        };
        let why = "the kernel has no huge pages of this size (see /sys/kernel/mm/hugepages)";
        let file = format!("hugetlb.{name}.{tail}");
        plan.add(
            what.clone(),
            place,
            file,
            value.clone(),
            Check::Bytes(page),
            why,
        );
        plan.steps.push(Step {
            what: what.into(),
            place,
            ways: vec![Write {
                file: format!("hugetlb.{name}.rsvd.{tail}").into(),
                value,
                check: Check::Bytes(page),
            }],
            lacking: "",
        });
    }
    Ok(())
}

/// Bytes of a page size as the kernel spells it. The text becomes part of a file name, so nothing else passes.
fn page_bytes(name: &str) -> Option<u64> {
    let split = name.find(|c: char| !c.is_ascii_digit())?;
    let unit = match &name[split..] {
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    name[..split]
        .parse::<u64>()
        .ok()?
        .checked_mul(unit)
        .filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::page_bytes;

    #[test]
    fn page_sizes() {
        assert_eq!(page_bytes("2MB"), Some(2 << 20));
        assert_eq!(page_bytes("64KB"), Some(64 << 10));
        for bad in ["", "MB", "2M", "2MB/..", "../2MB", "0MB"] {
            assert_eq!(page_bytes(bad), None, "{bad}");
        }
    }
}
