//! What this host can enforce, and what a crash left behind: `doctor`, with `--fix`.

use silo_cgroup::{Cgroup, CgroupPath, Controller, Layout};
use silo_types::{ContainerId, Kind, Result};

use crate::{Engine, store};

/// One thing found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// `cgroup`, `container`, `network`, `image`, `kernel`.
    pub area: &'static str,
    pub text: String,
    /// Something is missing or left behind.
    pub trouble: bool,
    /// It was left behind and has been removed.
    pub fixed: bool,
}

/// Everything found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub host: Vec<Finding>,
    pub orphans: Vec<Finding>,
}

impl Engine {
    /// Examines the host and the leftovers; `fix` removes these.
    pub fn doctor(&self, fix: bool) -> Result<Report> {
        let layout = Layout::detect()?;
        let mut report = Report {
            host: host(&layout),
            orphans: Vec::new(),
        };
        self.debris(fix, &mut report.orphans)?;
        let graves = self.clear_graveyard();
        report.host.push(Finding {
            area: "recorder",
            text: format!("recordings of removed containers: {graves}, each kept for an hour"),
            trouble: false,
            fixed: false,
        });
        // Reading a container repairs it: what is alive after that owns its groups and links.
        let live: Vec<ContainerId> = self.list()?.iter().map(|c| c.id().clone()).collect();
        self.orphan_cgroups(&layout, &live, fix, &mut report.orphans)?;
        self.orphan_sockets(&live, fix, &mut report.orphans);
        self.orphan_network(&live, fix, &mut report.orphans);
        for leftover in self.images.leftovers()? {
            report.orphans.push(left(
                "image",
                format!("unfinished {}", leftover.path.display()),
                fix,
            ));
        }
        if fix {
            self.images.sweep()?;
        }
        Ok(report)
    }

    /// Containers whose making or removal was cut short, and names of none.
    fn debris(&self, fix: bool, found: &mut Vec<Finding>) -> Result<()> {
        for id in store::ids(&self.paths)? {
            let broken = matches!(store::read_config(&self.paths, &id), Err(e) if e.kind() == Kind::NotFound);
            // Locked: a command is making it at this moment.
            if broken && matches!(store::try_lock(&self.paths, &id), Ok(Some(_))) {
                if fix {
                    store::remove_debris(&self.paths, &id)?;
                }
                found.push(left(
                    "container",
                    format!("unfinished container {}", id.short()),
                    fix,
                ));
            }
        }
        for entry in std::fs::read_dir(self.paths.names())
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            let holder = store::read_name(&self.paths, &name);
            // A rename that was cut short leaves the old name or the new one.
            let stale = |id: ContainerId| {
                self.container(&id).map_or(true, |c| c.name() != name)
                    && !matches!(store::try_lock(&self.paths, &id), Ok(None))
            };
            if holder.is_none_or(stale) {
                if fix {
                    let _ = std::fs::remove_file(entry.path());
                }
                found.push(left(
                    "container",
                    format!("name {name} of no container"),
                    fix,
                ));
            }
        }
        Ok(())
    }

    fn orphan_cgroups(
        &self,
        layout: &Layout,
        live: &[ContainerId],
        fix: bool,
        found: &mut Vec<Finding>,
    ) -> Result<()> {
        let parent = CgroupPath::new(&format!("/{}", self.cgroup_parent()))?;
        for path in Cgroup::list_below(layout, &parent)? {
            let Some(id) = path
                .as_str()
                .split('/')
                .find_map(|part| ContainerId::parse(part).ok())
            else {
                continue;
            };
            let running =
                live.contains(&id) && self.container(&id).is_ok_and(|c| c.state.monitor.is_some());
            // A folder whose lock is held belongs to a container that starts or ends just now.
            let busy = matches!(store::try_lock(&self.paths, &id), Ok(None));
            if running || busy {
                continue;
            }
            if fix {
                let cgroup = Cgroup::at(layout, &path);
                cgroup.raze();
            }
            found.push(left(
                "cgroup",
                format!("control group {}", path.as_str()),
                fix,
            ));
        }
        Ok(())
    }

    fn orphan_sockets(&self, live: &[ContainerId], fix: bool, found: &mut Vec<Finding>) {
        for entry in std::fs::read_dir(&self.paths.run)
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name();
            let Ok(id) = ContainerId::parse(&name.to_string_lossy()) else {
                continue;
            };
            let used =
                live.contains(&id) && self.container(&id).is_ok_and(|c| c.state.monitor.is_some());
            let busy = matches!(store::try_lock(&self.paths, &id), Ok(None));
            if used || busy {
                continue;
            }
            if fix {
                let _ = std::fs::remove_file(entry.path());
            }
            found.push(left(
                "container",
                format!("control socket of {}", id.short()),
                fix,
            ));
        }
    }
}

pub(crate) fn left(area: &'static str, text: String, fixed: bool) -> Finding {
    Finding {
        area,
        text,
        trouble: true,
        fixed,
    }
}

fn host(layout: &Layout) -> Vec<Finding> {
    let mut found = vec![Finding {
        area: "cgroup",
        text: format!("control groups: {layout}"),
        trouble: false,
        fixed: false,
    }];
    for (controller, flags) in [
        (Controller::Memory, "-m, --memory-swap"),
        (Controller::Cpu, "--cpus, --cpu-shares"),
        (Controller::Pids, "--pids-limit"),
        (Controller::Cpuset, "--cpuset-cpus"),
        (Controller::Io, "--blkio-weight, --device-read-bps"),
    ] {
        let there = layout.place(controller).is_some();
        found.push(Finding {
            area: "cgroup",
            text: match there {
                true => format!("{}: enforced ({flags})", controller.v1_name()),
                false => format!(
                    "{}: not on this host: {flags} are refused",
                    controller.v1_name()
                ),
            },
            trouble: !there,
            fixed: false,
        });
    }
    for (name, what) in [
        ("pid", "process isolation"),
        ("mnt", "mount isolation"),
        ("net", "network isolation"),
        ("ipc", "IPC isolation"),
        ("uts", "own host names"),
        ("cgroup", "own view of control groups"),
        ("user", "user namespaces"),
        ("time", "own clocks"),
    ] {
        let there = std::path::Path::new("/proc/self/ns").join(name).exists();
        found.push(Finding {
            area: "kernel",
            text: match there {
                true => format!("{what}: yes"),
                false => format!("{what}: this kernel has no {name} namespaces"),
            },
            trouble: !there,
            fixed: false,
        });
    }
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let overlay = filesystems.lines().any(|l| l.ends_with("\toverlay"));
    found.push(Finding {
        area: "kernel",
        text: match overlay {
            true => "overlay file system: yes".to_owned(),
            false => "overlay file system: not loaded, try 'modprobe overlay'".to_owned(),
        },
        trouble: !overlay,
        fixed: false,
    });
    let seccomp = silo_sys::seccomp::action_available(0x7fff_0000);
    found.push(Finding {
        area: "kernel",
        text: match seccomp {
            true => "seccomp filters: yes".to_owned(),
            false => "seccomp filters: this kernel has none".to_owned(),
        },
        trouble: !seccomp,
        fixed: false,
    });
    found.extend(optional());
    found
}

/// What is of use where it is there: nothing fails without it.
fn optional() -> Vec<Finding> {
    let said = |text: String| Finding {
        area: "kernel",
        text,
        trouble: false,
        fixed: false,
    };
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease");
    let modules = read("/sys/kernel/security/lsm");
    let pressure = std::path::Path::new("/proc/pressure/cpu").exists();
    vec![
        said(format!("Linux {}", release.trim())),
        said(match modules.trim() {
            "" => "security modules: not told (no securityfs is mounted)".to_owned(),
            modules => format!("security modules: {modules}"),
        }),
        said(match pressure {
            true => "pressure figures: yes".to_owned(),
            false => "pressure figures: none, start the kernel with psi=1 for them".to_owned(),
        }),
    ]
}
