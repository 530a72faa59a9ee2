//! What is to be written where for a set of OCI resources: a pure plan (one [`Step`] a write), made per controller in the
//! files beside this one, carried out by `apply`.
//!
//! Called by [`crate::Cgroup::create`] and [`crate::Cgroup::update`]; `silo explain` and `--dry-run` print it. A limit for
//! which the host has no place is an error here, before anything is touched; a place without the kernel's file is an error
//! in `apply`. Nothing is skipped.

mod apply;
mod cpu;
mod hugetlb;
mod io;
mod memory;
mod net;
mod unified;

pub(crate) use apply::apply;

use crate::layout::{Controller, Controllers, Layout, Version};
use crate::path::CgroupPath;
use oci_spec::runtime::LinuxResources;
use silo_types::{Error, Result};
use std::borrow::Cow;

/// How a value must read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The same text, apart from white space.
    Text,
    /// The same number, rounded down by the kernel to a multiple of this; `-1` and `max` are unlimited.
    Bytes(u64),
    /// The same set of CPUs or nodes.
    List,
    /// As `List`, in another file, which says what is really in force.
    ListIn(&'static str),
    /// The line that begins with the value's first word has the other words, in any order.
    Line,
    /// As `Line`, but gone: the value removed the line.
    NoLine,
    /// What the unified map may say: single values as above, else every word after the first appears.
    Free,
}

/// One way to set a limit: `value` into `file` of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub file: Cow<'static, str>,
    pub value: String,
    pub check: Check,
}

/// One limit to set, in hierarchy `place` of the layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// As a user would name it: `memory limit`.
    pub what: Cow<'static, str>,
    pub place: usize,
    /// The first whose file exists is done.
    pub ways: Vec<Write>,
    /// Why a host may lack all of these files; empty for an optional step (then it is no error).
    pub lacking: &'static str,
}

impl Step {
    /// The plan's line for people: `echo 1048576 > /sys/fs/cgroup/memory/silo/x/memory.limit_in_bytes`.
    pub fn shell(&self, layout: &Layout, path: &CgroupPath) -> String {
        let way = &self.ways[0];
        let dir = layout.dir(self.place, path);
        format!("echo '{}' > {dir}/{}", way.value, way.file)
    }
}

/// All steps for `resources` but devices (see [`crate::devices`]), in the order in which a fresh group takes them.
///
/// # Errors
/// `Unsupported` for a limit that this layout has no place for; `Invalid` for values that contradict each other.
pub fn plan(layout: &Layout, resources: &LinuxResources) -> Result<Vec<Step>> {
    let mut plan = Plan {
        layout,
        steps: Vec::new(),
    };
    if let Some(memory) = resources.memory() {
        memory::plan(&mut plan, memory)?;
    }
    if let Some(cpu) = resources.cpu() {
        cpu::plan(&mut plan, cpu)?;
    }
    if let Some(pids) = resources.pids() {
        // The kernel's default is no limit; Docker and OCI say it with 0 and -1
        let value = match pids.limit() {
            limit if limit > 0 => limit.to_string(),
            _ => "max".to_owned(),
        };
        let place = plan.place(Controller::Pids, "pids limit")?;
        plan.add("pids limit", place, "pids.max", value, Check::Text, "");
    }
    if let Some(block_io) = resources.block_io() {
        io::plan(&mut plan, block_io)?;
    }
    if let Some(pages) = resources.hugepage_limits() {
        hugetlb::plan(&mut plan, pages)?;
    }
    if let Some(network) = resources.network() {
        net::plan(&mut plan, network)?;
    }
    if let Some(rdma) = resources.rdma() {
        net::plan_rdma(&mut plan, rdma)?;
    }
    if let Some(unified) = resources.unified() {
        unified::plan(&mut plan, unified)?;
    }
    Ok(plan.steps)
}

/// The v2 controllers that must be enabled for the v2 steps of a plan.
pub(crate) fn v2_controllers(layout: &Layout, steps: &[Step]) -> Controllers {
    steps
        .iter()
        .filter(|step| layout.version(step.place) == Version::V2 && !step.lacking.is_empty())
        .filter_map(|step| step.ways[0].file.split('.').next())
        .fold(Controllers::NONE, |set, name| {
            Controllers::from_v2_names(name)
                .iter()
                .fold(set, Controllers::with)
        })
}

/// A plan in the making.
pub(crate) struct Plan<'a> {
    layout: &'a Layout,
    steps: Vec<Step>,
}

const NO_FILE: &str = "the kernel was built or booted without it";

impl Plan<'_> {
    /// Which hierarchy holds `controller`, for the limit called `what`.
    fn place(&self, controller: Controller, what: &str) -> Result<usize> {
        self.layout.place(controller).ok_or_else(|| {
            Error::unsupported(format!(
                "{what}: this host has no {} controller ({}): boot or mount it, or leave the limit out",
                controller.v1_name(),
                self.layout,
            ))
        })
    }

    fn version(&self, place: usize) -> Version {
        self.layout.version(place)
    }

    /// A step with one way; `lacking` as in [`Step`], where "" here stands for the usual reason.
    fn add(
        &mut self,
        what: impl Into<Cow<'static, str>>,
        place: usize,
        file: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
        check: Check,
        lacking: &'static str,
    ) {
        let way = Write {
            file: file.into(),
            value: value.into(),
            check,
        };
        self.steps.push(Step {
            what: what.into(),
            place,
            ways: vec![way],
            lacking: if lacking.is_empty() { NO_FILE } else { lacking },
        });
    }
}

/// The error for a setting that v2 does not know.
fn v1_only(what: &str, instead: &str) -> Error {
    Error::unsupported(format!(
        "{what}: control groups v2, which this host uses, have no such setting: {instead}"
    ))
}

/// The error for a value that can never work.
fn invalid(what: &str, why: impl std::fmt::Display) -> Error {
    Error::invalid(format!("{what}: {why}"))
}
