//! A container made again from a checkpoint: its group as at a start, and in it CRIU, from which its processes come.
//!
//! CRIU looks up what comes from outside by path, and follows links. So it runs in a mount namespace of its own, where all of that lies
//! on a stage (`rootfs/stage.rs`), opened as a start would open it. Before anything restored runs, it is looked at (`confine`).

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::CWD,
    process::{Pid, PidfdFlags, pidfd_open},
};
use silo_cgroup::{Cgroup, Entry};
use silo_sys::{
    clone::{self, ns},
    mount::{MountAttr, attr, mount_setattr},
};
use silo_types::{Doing, Error, Result};

use super::{
    CgroupsMode, NAMED, Settings, check_features, check_own_mounts, configuration, confine,
    images::Folders,
    mounts::outside,
    protobuf::{Answer, Message, RESTORE},
    service::{self, Forsaken, Service, lend},
};
use crate::{
    attributes,
    begin::{Begun, begin},
    bundle::Bundle,
    container::{self, Order},
    create::{Running, open_namespace, plan_of, reap},
    hooks::Point,
    mount_options::MS_PRIVATE,
    passage,
    plan::Plan,
    rootfs::{CgroupView, IdSpaces, open_sources, stage},
    state::StateRoot,
    sysctl::Sysctl,
    warn::Warn,
};

const LOG: &str = "restore.log";

/// What is to be restored.
#[derive(Debug)]
pub struct Restore<'a> {
    pub settings: Settings,
    pub id: &'a str,
    pub bundle: &'a Bundle,
    /// Its control group is to be a scope of systemd's.
    pub systemd: bool,
    /// Hears what of the specification is left out.
    pub warn: Option<Warn<'a>>,
    /// Another profile of a security module than it had, `TYPE:NAME`.
    pub lsm_profile: Option<String>,
    /// SELinux' context of its mounts.
    pub lsm_mount_context: Option<String>,
}

/// Makes a container from a checkpoint; it runs then. When it fails, nothing is left.
///
/// Errors: as a start's, and those of CRIU with where its log is.
pub fn restore(root: &StateRoot, order: &Restore<'_>) -> Result<Running> {
    service::program()?;
    let folders = Folders::open(&order.settings)?;
    folders.has_checkpoint()?;
    let streams = folders.streams()?;
    check_own_mounts(&order.bundle.spec)?;
    check_features(false, order.settings.lazy_pages)?;
    let making = Order {
        id: order.id,
        bundle: order.bundle,
        preserved_fds: 0,
        keyring: false,
        waits: false,
        systemd: order.systemd,
        warn: order.warn,
        connect: None,
        notify: false,
    };
    let mut begun = begin(root, &making)?;
    match build(&mut begun, order, &folders, &streams) {
        Ok(running) => Ok(running),
        Err(error) => Err(begun.give_up(error)),
    }
}

fn build(
    begun: &mut Begun,
    order: &Restore<'_>,
    folders: &Folders,
    streams: &[String],
) -> Result<Running> {
    begun.held.write_config(&order.bundle.text)?;
    begun.held.write_record(&begun.record)?;
    let rootfs = Some(begun.record.rootfs.as_path());
    let plan = plan_of(&order.bundle.spec, rootfs, order.warn, false)?;
    let limits = container::resources(&order.bundle.spec);
    let group = match (&begun.driver, begun.record.cgroup.is_empty()) {
        (Some(_), _) => Some(Cgroup::at(&begun.layout, &begun.path)),
        (None, true) => None,
        (None, false) => Some(Cgroup::create(
            &begun.layout,
            &begun.path,
            &limits,
            begun.existing,
        )?),
    };
    let named = open_named(&plan)?;
    let folder = begun.held.path().to_owned();
    let request = Request {
        plan: &plan,
        order,
        folders,
        streams,
        named: &named,
        stage: &folder,
    };
    let request = request.message(begun, group.as_ref());
    let mut becoming = Becoming {
        entry: match (&begun.driver, &group) {
            (None, Some(group)) => Some(group.entry(true)?),
            _ => None,
        },
        id_spaces: passage::make_id_spaces(&plan)?,
        cgroups: cgroup_namespace(&plan, &order.settings)?,
        plan: &plan,
        groups: group.iter().flat_map(Cgroup::dirs).cloned().collect(),
        stage: &folder,
        rootfs: &begun.record.rootfs,
    };
    let mut lent = folders.lent();
    lent.extend(named.iter().map(|(_, fd)| fd));
    let mut service = Service::start(&lent, Forsaken::Dies, || becoming.prepare())?;
    if let Some(driver) = begun.driver.take() {
        driver.place(service.pid, &begun.layout, &limits)?;
    }
    let mut terminal = None;
    let criu = service.pid;
    let answer = service.ask(&request, |notice, passed| match notice.script.as_str() {
        "setup-namespaces" => set_up(begun, &plan, notice),
        "orphan-pts-master" => {
            terminal = passed;
            Ok(())
        }
        // As it will run, and still held.
        "pre-resume" => look_at(begun, order, &plan, group.as_ref(), criu),
        _ => Ok(()),
    })?;
    folders.check(&answer, LOG)?;
    let pid = Pid::from_raw(answer.pid)
        .ok_or_else(|| Error::internal("criu restored a process without a pid"))?;
    let running = Running {
        pid: answer.pid,
        pidfd: pidfd_open(pid, PidfdFlags::empty()).doing("hold the restored process")?,
        terminal,
    };
    begun.note_process(answer.pid)?;
    Ok(running)
}

/// Namespaces of others by name in the images, open for CRIU.
fn open_named(plan: &Plan) -> Result<Vec<(&'static str, OwnedFd)>> {
    let mut open = Vec::new();
    for (flag, _, name) in NAMED {
        if let Some((_, path)) = plan.joined_namespaces.iter().find(|join| join.0 == flag) {
            open.push((name, lend(open_namespace(path)?)?));
        }
    }
    Ok(open)
}

/// CRIU makes one itself when it is to manage control groups.
enum Cgroups {
    Leave,
    New,
    Join(OwnedFd),
}

fn cgroup_namespace(plan: &Plan, settings: &Settings) -> Result<Cgroups> {
    let manages = settings
        .cgroups
        .is_some_and(|mode| mode != CgroupsMode::Ignore);
    let joined = plan.joined_namespaces.iter();
    match joined.clone().find(|join| join.0 == ns::CGROUP) {
        Some((_, path)) => Ok(Cgroups::Join(open_namespace(path)?)),
        None if plan.new_namespaces & ns::CGROUP != 0 && !manages => Ok(Cgroups::New),
        None => Ok(Cgroups::Leave),
    }
}

/// The process that is about to be CRIU.
struct Becoming<'a> {
    plan: &'a Plan,
    entry: Option<Entry>,
    cgroups: Cgroups,
    id_spaces: IdSpaces,
    groups: Vec<String>,
    stage: &'a Path,
    rootfs: &'a Path,
}

impl Becoming<'_> {
    fn prepare(&mut self) -> Result<()> {
        if let Some(entry) = &self.entry {
            entry.enter().doing("enter the control groups")?;
        }
        attributes::take_all_processors()?;
        clone::unshare(ns::MOUNT).doing("make a mount namespace")?;
        let spaces = std::mem::take(&mut self.id_spaces);
        let sources = open_sources(self.plan, spaces, &self.groups, false)?;
        let private = MountAttr {
            propagation: MS_PRIVATE,
            ..MountAttr::default()
        };
        mount_setattr(CWD.as_fd(), c"/", true, &private).doing("make the mounts private")?;
        stage::build(self.stage, self.rootfs, self.plan, sources)?;
        match &self.cgroups {
            Cgroups::Leave => Ok(()),
            Cgroups::New => clone::unshare(ns::CGROUP),
            Cgroups::Join(namespace) => clone::setns(namespace.as_fd(), ns::CGROUP),
        }
        .doing("enter a cgroup namespace")?;
        // Where the caller stands may be below the stage.
        rustix::process::chdir("/").doing("leave the bundle")
    }
}

/// What CRIU is asked.
struct Request<'a> {
    plan: &'a Plan,
    order: &'a Restore<'a>,
    folders: &'a Folders,
    streams: &'a [String],
    named: &'a [(&'static str, OwnedFd)],
    stage: &'a Path,
}

impl Request<'_> {
    fn message(&self, begun: &Begun, group: Option<&Cgroup>) -> Message {
        let mut options = self.folders.options(&self.order.settings, LOG);
        let staged = |name: &str| self.stage.join(name).to_string_lossy().into_owned();
        options.text(13, &staged(stage::ROOT));
        // Devices of the same number will do.
        options.switch(6, true);
        // As a child of this command, not of CRIU, which ends.
        options.switch(26, true);
        configuration(&self.order.bundle.spec, &mut options);
        for one in outside(self.plan, &CgroupView::of(&begun.layout)) {
            options.message(23, &Message::pair(&one.name, &staged(&one.staged)));
        }
        // Pipes that were the caller's are this caller's streams now.
        for (fd, stream) in self.streams.iter().enumerate().take(3) {
            if stream.starts_with("pipe:") {
                options.message(27, &Message::inherit(stream, fd as u64));
            }
        }
        for (name, fd) in self.named {
            options.message(27, &Message::inherit(name, fd.as_raw_fd() as u64));
        }
        self.join_others(&mut options);
        if let Some(profile) = &self.order.lsm_profile {
            options.text(53, profile);
        }
        if let Some(context) = &self.order.lsm_mount_context {
            options.text(63, context);
        }
        if let (Some(group), Some(_)) = (group, self.order.settings.cgroups) {
            for hierarchy in begun.layout.hierarchies() {
                let controllers: Vec<&str> =
                    hierarchy.controllers.iter().map(|c| c.v1_name()).collect();
                let name = match (&hierarchy.name, hierarchy.version) {
                    (Some(name), _) => format!("name={name}"),
                    (None, silo_cgroup::Version::V1) => controllers.join(","),
                    (None, silo_cgroup::Version::V2) => String::new(),
                };
                let mut root = Message::default();
                root.text(1, &name);
                root.text(2, group.path().as_str());
                options.message(25, &root);
            }
        }
        let mut request = Message::default();
        request.number(1, RESTORE);
        request.message(2, &options);
        request
    }

    /// The other namespaces of somebody else's are joined by path.
    fn join_others(&self, options: &mut Message) {
        for (flag, kind) in [(ns::IPC, "ipc"), (ns::UTS, "uts"), (ns::TIME, "time")] {
            let joined = self.plan.joined_namespaces.iter();
            for (_, path) in joined.filter(|join| join.0 == flag) {
                options.message(39, &Message::pair(kind, &path.to_string_lossy()));
            }
        }
    }
}

/// Its namespaces are there and its processes are not: who makes networks does it now, as at a start.
fn set_up(begun: &Begun, plan: &Plan, notice: &Answer) -> Result<()> {
    if let Some(hooks) = &begun.hooks {
        hooks.run(Point::Prestart, Some(notice.noticed))?;
        hooks.run(Point::CreateRuntime, Some(notice.noticed))?;
    }
    let of_network: Vec<&Sysctl> = plan
        .sysctls
        .iter()
        .filter(|sysctl| sysctl.namespace == ns::NET)
        .collect();
    match of_network.is_empty() {
        true => Ok(()),
        false => set_in_network(notice.noticed, &of_network),
    }
}

/// Settings of the network are not in the images.
fn set_in_network(pid: i32, sysctls: &[&Sysctl]) -> Result<()> {
    inside(pid, ("net", ns::NET), || {
        for sysctl in sysctls {
            fs::write(format!("/proc/sys/{}", sysctl.path), &sysctl.value)
                .doing_with(|| format!("set sysctl {}", sysctl.path))?;
        }
        Ok(())
    })
}

/// A root that is to be read-only is so: CRIU 3.17 forgets it.
fn protect_root(pid: i32) -> Result<()> {
    inside(pid, ("mnt", ns::MOUNT), || {
        let change = MountAttr {
            set: attr::RDONLY,
            ..MountAttr::default()
        };
        mount_setattr(CWD.as_fd(), c"/", false, &change).doing("make the root read-only")
    })
}

/// Does something in a namespace of this process, by a process that ends then.
fn inside(pid: i32, (kind, flag): (&str, u64), work: impl FnOnce() -> Result<()>) -> Result<()> {
    let namespace = open_namespace(&PathBuf::from(format!("/proc/{pid}/ns/{kind}")))?;
    let (told, tells) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .doing("make a pipe for who goes inside")?;
    let child = silo_sys::process::fork().doing("fork who goes inside")?;
    if child == 0 {
        let done = clone::setns(namespace.as_fd(), flag)
            .doing_with(|| format!("join the {kind} namespace"))
            .and_then(|()| work());
        if let Err(error) = done {
            let _ = rustix::io::write(&tells, error.to_string().as_bytes());
        }
        silo_sys::process::exit_now(0);
    }
    drop(tells);
    let mut why = String::new();
    let read = std::io::Read::read_to_string(&mut fs::File::from(told), &mut why);
    reap(child);
    read.doing("hear of who went inside")?;
    match why.is_empty() {
        true => Ok(()),
        false => Err(Error::new(silo_types::Kind::System, why)),
    }
}

/// Everything is restored and nothing runs. What is more than the specification says is killed with the rest of its group.
fn look_at(
    begun: &Begun,
    order: &Restore<'_>,
    plan: &Plan,
    group: Option<&Cgroup>,
    criu: i32,
) -> Result<()> {
    let Some(group) = group else {
        return Ok(());
    };
    let mut pids = group.procs(true)?;
    pids.retain(|pid| *pid != criu);
    let main = pids.iter().find(|pid| is_first(**pid));
    let checked = match main {
        None => Err(Error::internal("criu restored no first process")),
        Some(main) => confine::check_root(*main, &begun.record.rootfs)
            .and_then(|()| match plan.root_read_only {
                true => protect_root(*main),
                false => Ok(()),
            })
            .and_then(|()| confine::check(plan, &order.bundle.spec, *main, &pids))
            .and_then(|()| {
                let path = format!("/proc/{main}/cgroup");
                group.confirm(&fs::read_to_string(&path).doing(path)?)
            }),
    };
    if checked.is_err() {
        // CRIU would let it run whatever it is told now.
        group.kill_all()?;
    }
    checked
}

/// A child of this process that CRIU made beside itself.
fn is_first(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    parent.is_some_and(|parent| parent.trim() == std::process::id().to_string())
}
