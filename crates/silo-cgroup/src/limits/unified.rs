//! The `unified` map: files of the v2 group, written as given (OCI config-linux, "Unified").

use super::{Check, Plan, invalid};
use crate::layout::Controllers;
use silo_types::{Error, Result};
use std::collections::{BTreeMap, HashMap};

pub(super) fn plan(plan: &mut Plan, map: &HashMap<String, String>) -> Result<()> {
    for (file, text) in map.iter().collect::<BTreeMap<_, _>>() {
        let what = format!("unified {file}");
        let Some((prefix, rest)) = file.split_once('.') else {
            return Err(invalid(&what, "this is no file of a v2 group"));
        };
        if file.contains('/') || prefix.is_empty() || rest.is_empty() {
            return Err(invalid(&what, "this is no file of a v2 group"));
        }
        if prefix == "cgroup" && !rest.starts_with("max.") && rest != "pressure" {
            let why = "it is no limit: files that move or kill processes are Silo's own to write";
            return Err(invalid(&what, why));
        }
        let place = plan.layout.unified();
        let offered = |place: &usize| {
            let asked = Controllers::from_v2_names(prefix);
            let there = plan.layout.hierarchies()[*place].controllers;
            asked.without(there).is_empty()
        };
        let Some(place) = place.filter(offered) else {
            let text = format!(
                "{what}: the {prefix} controller is not in a v2 hierarchy on this host ({}): use the v1 setting",
                plan.layout
            );
            return Err(Error::unsupported(text));
        };
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let why = "this kernel has no such file, or its controller is off";
            plan.add(
                what.clone(),
                place,
                file.clone(),
                line.trim(),
                Check::Free,
                why,
            );
        }
    }
    Ok(())
}
