//! A container's processes go to a folder.

use std::os::fd::OwnedFd;

use oci_spec::runtime::Spec;
use silo_cgroup::{Cgroup, Controller, Layout};
use silo_types::{Error, Result};

use super::{
    Settings, check_age, check_features, check_own_mounts, configuration, confine,
    images::Folders,
    mounts::{Inside, outside},
    name_namespaces,
    protobuf::{DUMP, Message, PRE_DUMP},
    service::{self, Forsaken, Service},
    writable,
};
use crate::{
    caller, container,
    hooks::HookSet,
    plan::{self, Plan},
    rootfs::CgroupView,
    state::{Life, Seen, StateRoot},
};

const LOG: &str = "dump.log";

/// What is particular to a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    pub settings: Settings,
    pub leave_running: bool,
    /// Memory only, for a later checkpoint with this one as its parent; the container runs on.
    pub pre_dump: bool,
    /// Images of an earlier `pre_dump`, relative to this one's.
    pub parent: Option<String>,
    /// Address and port of a page server.
    pub page_server: Option<(String, u16)>,
    /// A descriptor of the caller's, told by a zero byte that lazy pages can be asked for.
    pub status_fd: Option<i32>,
    /// Files that are open under no name any more get one for the restore.
    pub link_remap: bool,
    /// Connections that are still being made are left out.
    pub skips_in_flight: bool,
}

/// Writes a running container to a folder; it is gone then, unless it is to run on. What went wrong at its removal.
///
/// Errors: Conflict when it does not run; Unsupported without CRIU; System with where CRIU's log is. It runs on then.
pub fn checkpoint(root: &StateRoot, id: &str, order: &Checkpoint) -> Result<Vec<Error>> {
    let held = root.hold(id)?;
    let seen = held.look()?;
    let main = match (seen.life(), seen.main()) {
        (Life::Running, Some(main)) => main,
        (life, _) => {
            let state = match life {
                Life::Created => "created",
                _ => "stopped",
            };
            return Err(Error::conflict(format!(
                "Container cannot be checkpointed in {state} state"
            )));
        }
    };
    let spec = seen.spec()?;
    check_own_mounts(&spec)?;
    let plan = planned(&spec, &seen)?;
    service::program()?;
    let folders = Folders::open(&order.settings)?;
    if let Some(parent) = &order.parent {
        folders.check_parent(parent)?;
    }
    let mut status = order.status_fd.map(writable).transpose()?;
    check_features(
        order.pre_dump || order.parent.is_some(),
        order.settings.lazy_pages,
    )?;
    let layout = Layout::detect()?;
    let group = container::group_of(&seen.record).ok();
    let processes = match &group {
        Some(group) => group.procs(true)?,
        None => vec![main.pid],
    };
    confine::check(&plan, &spec, main.pid, &processes)?;
    if processes.iter().any(|pid| confine::gains_nothing(*pid)) {
        check_age()?;
    }
    let mut options = folders.options(&order.settings, LOG);
    order.describe(&mut options);
    options.number(2, main.pid as u64);
    options.text(13, &seen.record.rootfs.to_string_lossy());
    configuration(&spec, &mut options);
    if let Some(folder) = group.as_ref().and_then(|group| freezer(group, &layout)) {
        options.text(44, folder);
    }
    name_namespaces(&plan, main.pid, &mut options)?;
    let outside = outside(&plan, &CgroupView::of(&layout));
    for (place, name) in Inside::of(main.pid)?.places(&outside) {
        options.message(23, &Message::pair(&place, &name));
    }
    if !order.pre_dump {
        folders.keep_streams(main.pid)?;
    }
    let mut request = Message::default();
    request.number(1, if order.pre_dump { PRE_DUMP } else { DUMP });
    request.message(2, &options);
    let mut service = Service::start(&folders.lent(), Forsaken::GivesUp, || Ok(()))?;
    let answer = service.ask(&request, |notice, _| match notice.script.as_str() {
        "status-ready" => tell_ready(status.take()),
        _ => Ok(()),
    })?;
    folders.check(&answer, LOG)?;
    drop(service);
    if order.leave_running || order.pre_dump {
        return Ok(Vec::new());
    }
    let hooks = HookSet::new(&spec, id, &seen.record.bundle);
    Ok(container::unmake(held, &seen.record, hooks.as_ref()))
}

impl Checkpoint {
    fn describe(&self, options: &mut Message) {
        options.switch(3, self.leave_running);
        options.switch(15, self.pre_dump || self.parent.is_some());
        options.switch(18, self.link_remap);
        options.switch(46, self.skips_in_flight);
        if let Some(parent) = &self.parent {
            options.text(14, parent);
        }
        if let Some((address, port)) = &self.page_server {
            let mut server = Message::default();
            server.text(1, address);
            server.number(2, u64::from(*port));
            options.message(11, &server);
        }
    }
}

fn planned(spec: &Spec, seen: &Seen) -> Result<Plan> {
    let mut plan = plan::plan(spec)?;
    plan.is_inside = caller::is_inside();
    plan.find_own(&seen.record.rootfs);
    Ok(plan)
}

/// Where CRIU holds all of the container at once.
fn freezer<'a>(group: &'a Cgroup, layout: &Layout) -> Option<&'a str> {
    let place = layout.place(Controller::Freezer).or(layout.unified())?;
    group.dirs().get(place).map(String::as_str)
}

fn tell_ready(status: Option<OwnedFd>) -> Result<()> {
    if let Some(status) = status {
        // Who asked for it may have gone.
        let _ = rustix::io::write(&status, &[0]);
    }
    Ok(())
}
