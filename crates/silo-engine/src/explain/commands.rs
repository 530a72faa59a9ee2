//! The same container by hand: a script of unshare, mount, control groups and pivot_root, for teaching.
//!
//! Made from the very specification that a start makes, so that it cannot tell something else. The order is Silo's: limits first,
//! then namespaces, then the root, then rights, then the program. What no command can do is said in the script.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxDeviceType, LinuxNamespaceType as Kind, Mount, Spec};
use silo_cgroup::{Cgroup, CgroupPath, Controller, Layout, Version, limits};
use silo_runtime::{CgroupView, Plan, capabilities};
use silo_sys::clone::ns;
use silo_types::{ContainerConfig, MountKind, NamespaceMode, NetworkMode, Result};

use super::shell::{Script, word};
use crate::{
    Engine,
    container::Container,
    monitor::limit_swap,
    resources,
    spec::{self, Facts},
    users,
};

/// Flag, option of unshare(1), option of nsenter(1).
const SPACES: [(u64, &str, &str, Kind); 6] = [
    (ns::MOUNT, "--mount", "--mount", Kind::Mount),
    (ns::UTS, "--uts", "--uts", Kind::Uts),
    (ns::IPC, "--ipc", "--ipc", Kind::Ipc),
    (ns::NET, "--net", "--net", Kind::Network),
    (ns::PID, "--pid", "--pid", Kind::Pid),
    (ns::CGROUP, "--cgroup", "--cgroup", Kind::Cgroup),
];

/// All that the script is made from.
struct Recipe<'a> {
    container: &'a Container,
    spec: Spec,
    plan: Plan,
    layers: Vec<PathBuf>,
    layout: Layout,
    group: CgroupPath,
    steps: Vec<limits::Step>,
    devices: Vec<oci_spec::runtime::LinuxDeviceCgroup>,
}

impl Engine {
    /// A shell script that builds a process with the same namespaces, root, rights and limits.
    pub fn explain_commands(&self, container: &Container) -> Result<String> {
        let facts = self.facts_by_hand(container)?;
        let mut config = container.config.clone();
        if !config.process.env.iter().any(|v| v.starts_with("HOME=")) {
            config
                .process
                .env
                .push(format!("HOME={}", facts.identity.home));
        }
        let spec = spec::make(&config, &facts)?;
        let plan = silo_runtime::plan(&spec)?;
        let image = self.images.resolve(&config.image.id)?;
        let layout = Layout::detect()?;
        let mut asked = resources::limits(container.resources(), &resources::block_device)?;
        limit_swap(&mut asked);
        let rules = resources::device_rules(&facts.devices, config.security.privileged);
        let recipe = Recipe {
            container,
            plan,
            layers: image
                .layers
                .iter()
                .rev()
                .map(|layer| self.images.layer_dir(&layer.id))
                .collect(),
            group: CgroupPath::new(&format!("/by-hand-{}", container.id().short()))?,
            steps: limits::plan(&layout, &asked)?,
            devices: rules,
            layout,
            spec,
        };
        Ok(recipe.script())
    }

    /// What a start would find out, found out without making anything.
    fn facts_by_hand(&self, container: &Container) -> Result<Facts> {
        let config = &container.config;
        let root = self.open_view(container)?;
        let inside = |path| users::read_inside(std::os::fd::AsFd::as_fd(&root), path);
        let identity = users::resolve(
            &config.process.user,
            &config.process.groups,
            &inside("etc/passwd")?,
            &inside("etc/group")?,
        )?;
        let mut facts = Facts {
            identity,
            sources: config
                .files
                .mounts
                .iter()
                .map(|mount| self.source_by_hand(&mount.kind))
                .collect(),
            cgroup: self.cgroup_path(config),
            joins: self.joins_by_hand(config)?,
            ..Facts::default()
        };
        let folder = self.paths.container(container.id());
        for (name, place) in [
            ("hosts", "/etc/hosts"),
            ("hostname", "/etc/hostname"),
            ("resolv.conf", "/etc/resolv.conf"),
        ] {
            let path = folder.join(name);
            if path.exists() {
                facts.etc_files.push((path, place));
            }
        }
        facts.devices = resources::devices_of(config)?;
        facts.thermal = resources::thermal_files();
        if config.namespaces.ipc == NamespaceMode::Host {
            facts.shm_source = Some(PathBuf::from("/dev/shm"));
        }
        Ok(facts)
    }

    fn source_by_hand(&self, kind: &MountKind) -> PathBuf {
        match kind {
            MountKind::Bind { source, .. } => PathBuf::from(source),
            MountKind::Volume { name, subpath, .. } => self.volume_data(name).join(subpath),
            MountKind::Tmpfs { .. } => PathBuf::new(),
        }
    }

    fn joins_by_hand(&self, config: &ContainerConfig) -> Result<Vec<(Kind, PathBuf)>> {
        let modes = &config.namespaces;
        let mut wanted: Vec<(Kind, &str, &str)> = Vec::new();
        for (mode, kind, file) in [
            (&modes.pid, Kind::Pid, "pid"),
            (&modes.uts, Kind::Uts, "uts"),
            (&modes.ipc, Kind::Ipc, "ipc"),
            (&modes.cgroup, Kind::Cgroup, "cgroup"),
        ] {
            if let NamespaceMode::Container(id) = mode {
                wanted.push((kind, file, id));
            }
        }
        if let NetworkMode::Container(id) = &config.network.mode {
            wanted.push((Kind::Network, "net", id));
        }
        wanted
            .into_iter()
            .map(|(kind, file, id)| {
                let pid = self.find(id)?.main_process()?.pid;
                Ok((kind, PathBuf::from(format!("/proc/{pid}/ns/{file}"))))
            })
            .collect()
    }
}

impl Recipe<'_> {
    fn script(&self) -> String {
        let mut script = Script::default();
        script.line("#!/bin/sh");
        script.line(format!(
            "# What Silo does for container {} ({}), by hand.",
            self.container.name(),
            self.container.id().short()
        ));
        script.line("#");
        script.line("# To be run as root, with util-linux and coreutils of the machine. It makes a second process like the");
        script.line("# container's: the same namespaces, limits, rights and image, and files of its own. For teaching, and with");
        script
            .line("# images that you trust: a shell follows an image's links where Silo does not.");
        script.line("# Left out, since no command can do it: the filter of system calls (seccomp), and the cable to a bridge.");
        script.line("set -eu");
        script.line(format!(
            "NAME={}",
            self.group.as_str().trim_start_matches('/')
        ));
        script.line("WORK=${WORK:-$(mktemp -d)}");
        script.line("export WORK");
        let groups = self.control_groups(&mut script);
        self.enter(&mut script, &groups);
        script.step("8  Afterwards nothing is left: groups go when they are empty, the mounts went with their namespace.");
        for group in groups.iter().rev() {
            script.line(format!("rmdir {}", word(group)));
        }
        script.line("rm -rf --one-file-system \"$WORK\"");
        script.line("exit $code");
        script.finish()
    }

    /// Makes a group in each hierarchy and sets its limits; their folders.
    fn control_groups(&self, script: &mut Script) -> Vec<String> {
        let group = Cgroup::at(&self.layout, &self.group);
        script.step("1  Control groups, with all limits before there is a process to limit.");
        let mut folders = Vec::new();
        for (place, hierarchy) in self.layout.hierarchies().iter().enumerate() {
            let folder = group.dir(place).to_owned();
            let above = folder.rsplit_once('/').map_or("", |(above, _)| above);
            if hierarchy.version == Version::V2 {
                let used = self.steps.iter().filter(|step| step.place == place);
                let mut names: Vec<&str> = used
                    .filter_map(|step| step.ways[0].file.split('.').next())
                    .collect();
                names.dedup();
                for name in names {
                    script.line(format!(
                        "echo +{name} > {}/cgroup.subtree_control",
                        word(above)
                    ));
                }
            }
            script.line(format!("mkdir {}", word(&folder)));
            if hierarchy.version == Version::V1
                && hierarchy.controllers.contains(Controller::Cpuset)
            {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    script.line(format!(
                        "cat {0}/{file} > {1}/{file}",
                        word(above),
                        word(&folder)
                    ));
                }
            }
            folders.push(folder);
        }
        for step in &self.steps {
            script.line(step.shell(&self.layout, &self.group));
        }
        self.device_rules(script, &group);
        folders
    }

    fn device_rules(&self, script: &mut Script, group: &Cgroup) {
        let Some(place) = self.layout.place(Controller::Devices) else {
            script.line("# Devices are allowed one by one, here by a BPF program, which no command can load.");
            return;
        };
        let folder = word(group.dir(place));
        for rule in &self.devices {
            let number = |n: Option<i64>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
            let kind = match rule.typ() {
                Some(LinuxDeviceType::B) => "b",
                Some(LinuxDeviceType::C | LinuxDeviceType::U) => "c",
                _ => "a",
            };
            let file = if rule.allow() {
                "devices.allow"
            } else {
                "devices.deny"
            };
            let access = rule.access().clone().unwrap_or_default();
            let text = format!(
                "{kind} {}:{} {access}",
                number(rule.major()),
                number(rule.minor())
            );
            script.line(format!("echo '{text}' > {folder}/{file}"));
        }
    }

    /// A shell of its own walks into the groups and the namespaces; the steps inside follow.
    fn enter(&self, script: &mut Script, groups: &[String]) {
        script.step(
            "2  The layers of the image lie below, what is written goes to a folder of its own.",
        );
        script.line("mkdir -p \"$WORK/upper\" \"$WORK/work\" \"$WORK/root\"");
        script.step(
            "3  What is done inside, for later: the first process of the namespaces reads it.",
        );
        script.line("INSIDE=$(cat <<'END_OF_INSIDE'");
        self.inside(script);
        script.line("END_OF_INSIDE");
        script.line(")");
        script.step("7  A shell walks into the groups, so that all that it starts is held, and then into new namespaces.");
        script.line("code=0");
        script.line("(");
        for group in groups {
            script.line(format!("  echo 0 > {}/cgroup.procs", word(group)));
        }
        let joined: Vec<String> = self
            .joins()
            .iter()
            .map(|(option, path)| format!("{option}={}", word(path)))
            .collect();
        let enter = match joined.is_empty() {
            true => String::new(),
            false => format!("nsenter {} ", joined.join(" ")),
        };
        let new: Vec<&str> = SPACES
            .iter()
            .filter(|(flag, ..)| self.plan.new_namespaces & flag != 0)
            .map(|(_, option, ..)| *option)
            .collect();
        script.line(format!(
            "  exec {enter}unshare {} --fork --kill-child sh -eu -c \"$INSIDE\"",
            new.join(" ")
        ));
        script.line(") || code=$?");
    }

    fn joins(&self) -> Vec<(&'static str, String)> {
        let joined = self.plan.joined_namespaces.iter();
        joined
            .filter_map(|(flag, path)| {
                let known = SPACES.iter().find(|(space, ..)| space == flag)?;
                Some((known.2, path.display().to_string()))
            })
            .collect()
    }

    fn inside(&self, script: &mut Script) {
        let layers: Vec<String> = self
            .layers
            .iter()
            .map(|l| l.display().to_string())
            .collect();
        if let Some(name) = &self.plan.hostname {
            script.line(format!(
                "printf %s {} > /proc/sys/kernel/hostname",
                word(name)
            ));
        }
        if self.plan.new_namespaces & ns::NET != 0 {
            script.line("! command -v ip > /dev/null || ip link set lo up");
        }
        script.step("4  The root, and everything that is mounted in it.");
        let options = format!("lowerdir={}", layers.join(":"));
        script.line(format!("mount -t overlay -o {},\"upperdir=$WORK/upper,workdir=$WORK/work\" overlay \"$WORK/root\"", word(&options)));
        script.line("cd \"$WORK/root\"");
        for mount in self.spec.mounts().iter().flatten() {
            self.mount(script, mount);
            if mount.destination().as_os_str() == "/dev" {
                self.fill_dev(script);
            }
        }
        self.harden(script);
        script.step("5  It becomes the root; the machine's tree stays at /.host for a moment.");
        // Tools of the machine need its libraries, which the new root lacks: they are started by the machine's loader.
        script.line("LOADER=.$(readlink -f /lib64/ld-linux-x86-64.so.2)");
        script.line("LIBRARIES=./lib/x86_64-linux-gnu:./usr/lib/x86_64-linux-gnu:./lib64:./usr/lib64:./lib:./usr/lib");
        for tool in ["umount", "rmdir", "mount", "setpriv", "env"] {
            let name = tool.to_uppercase();
            script.line(format!("{name}=.$(readlink -f \"$(command -v {tool})\")"));
        }
        for limit in &self.plan.rlimits {
            script.line(format!(
                "prlimit --pid $$ --{}={}:{}",
                limit.name.to_lowercase().trim_start_matches("rlimit_"),
                rlimit(limit.soft),
                rlimit(limit.hard)
            ));
        }
        script.line("mkdir -p .host");
        script.line("pivot_root . .host");
        script.line("cd /.host");
        script.line("\"$LOADER\" --library-path \"$LIBRARIES\" \"$UMOUNT\" -l /.host");
        script.line("\"$LOADER\" --library-path \"$LIBRARIES\" \"$RMDIR\" /.host");
        if self.plan.root_read_only {
            script
                .line("\"$LOADER\" --library-path \"$LIBRARIES\" \"$MOUNT\" -o remount,bind,ro /");
        }
        self.become_program(script);
    }

    fn mount(&self, script: &mut Script, mount: &Mount) {
        let target = format!(".{}", mount.destination().display());
        let target = word(&target);
        let kind = mount.typ().clone().unwrap_or_default();
        let source = mount
            .source()
            .clone()
            .unwrap_or_default()
            .display()
            .to_string();
        let all: Vec<&str> = mount
            .options()
            .iter()
            .flatten()
            .map(String::as_str)
            .collect();
        if kind == "bind" {
            self.bind(script, &target, &source, &all);
            return;
        }
        script.line(format!("mkdir -p {target}"));
        if kind == "cgroup" {
            self.cgroup_mounts(script, &target, &all.join(","));
            return;
        }
        script.line(format!(
            "mount -t {} -o {} {} {target}",
            word(&kind),
            word(&all.join(",")),
            word(&source)
        ));
    }

    fn bind(&self, script: &mut Script, target: &str, source: &str, options: &[&str]) {
        let source = word(source);
        script.line(format!("if [ -d {source} ]; then mkdir -p {target}; else mkdir -p \"$(dirname {target})\"; [ -e {target} ] || : > {target}; fi"));
        let how = if options.contains(&"rbind") {
            "--rbind"
        } else {
            "--bind"
        };
        script.line(format!("mount {how} {source} {target}"));
        let propagation = options.iter().find(|o| {
            [
                "private", "rprivate", "slave", "rslave", "shared", "rshared",
            ]
            .contains(o)
        });
        script.line(format!(
            "mount --make-{} {target}",
            propagation.unwrap_or(&"rprivate")
        ));
        if options.contains(&"rro") || options.contains(&"ro") {
            script.line(format!("mount -o remount,bind,ro {target}"));
        }
    }

    /// Of v1 the container's own groups and no others, with a namespace or without.
    fn cgroup_mounts(&self, script: &mut Script, target: &str, options: &str) {
        let hierarchies = match CgroupView::of(&self.layout) {
            CgroupView::V2 => {
                // From where the namespace says; without one it is the whole tree, as Silo shows it.
                script.line(format!(
                    "mount -t cgroup2 -o {} cgroup {target}",
                    word(options)
                ));
                return;
            }
            CgroupView::V1(hierarchies) => hierarchies,
        };
        let writable = options
            .split(',')
            .filter(|o| *o != "ro")
            .collect::<Vec<_>>()
            .join(",");
        script.line(format!(
            "mount -t tmpfs -o {},mode=755 cgroup {target}",
            word(&writable)
        ));
        for (at, hierarchy) in hierarchies.iter().enumerate() {
            let place = format!("{target}/{}", word(&hierarchy.name));
            script.line(format!("mkdir {place}"));
            self.own_group(script, at, &place, options);
            for link in &hierarchy.links {
                script.line(format!(
                    "ln -s {} {target}/{}",
                    word(&hierarchy.name),
                    word(link)
                ));
            }
        }
        if options.split(',').any(|o| o == "ro") {
            script.line(format!("mount -o remount,{} {target}", word(options)));
        }
    }

    fn own_group(&self, script: &mut Script, hierarchy: usize, target: &str, options: &str) {
        let group = Cgroup::at(&self.layout, &self.group);
        script.line(format!(
            "mount --bind {} {target}",
            word(group.dir(hierarchy))
        ));
        script.line(format!("mount --make-private {target}"));
        script.line(format!("mount -o remount,bind,{} {target}", word(options)));
    }

    fn fill_dev(&self, script: &mut Script) {
        for device in &self.plan.devices {
            let kind = match device.kind {
                LinuxDeviceType::B => "b",
                LinuxDeviceType::P => "p",
                _ => "c",
            };
            let place = word(&format!(".{}", device.path));
            script.line(format!(
                "mkdir -p \"$(dirname {place})\"; mknod -m {:o} {place} {kind} {} {}",
                device.mode & 0o7777,
                device.major,
                device.minor
            ));
            if (device.uid, device.gid) != (0, 0) {
                script.line(format!("chown {}:{} {place}", device.uid, device.gid));
            }
        }
        for (to, name) in [
            ("/proc/self/fd", "fd"),
            ("/proc/self/fd/0", "stdin"),
            ("/proc/self/fd/1", "stdout"),
            ("/proc/self/fd/2", "stderr"),
            ("/proc/kcore", "core"),
            ("pts/ptmx", "ptmx"),
        ] {
            script.line(format!("ln -s {to} ./dev/{name}"));
        }
    }

    /// What tells about the machine is covered, what steers it cannot be written.
    fn harden(&self, script: &mut Script) {
        for sysctl in &self.plan.sysctls {
            script.line(format!(
                "printf %s {} > {}",
                word(&sysctl.value),
                word(&format!("./proc/sys/{}", sysctl.path))
            ));
        }
        if let Some(adjustment) = self.spec.process().as_ref().and_then(|p| p.oom_score_adj()) {
            script.line(format!("echo {adjustment} > ./proc/self/oom_score_adj"));
        }
        if !self.plan.readonly_paths.is_empty() {
            let paths: Vec<String> = self
                .plan
                .readonly_paths
                .iter()
                .map(|p| word(&format!(".{p}")))
                .collect();
            script.line(format!("for path in {}; do", paths.join(" ")));
            script.line("  [ ! -e \"$path\" ] || { mount --rbind \"$path\" \"$path\"; mount -o remount,bind,ro,nosuid,nodev,noexec \"$path\"; }");
            script.line("done");
        }
        if !self.plan.masked_paths.is_empty() {
            let paths: Vec<String> = self
                .plan
                .masked_paths
                .iter()
                .map(|p| word(&format!(".{p}")))
                .collect();
            script.line(format!("for path in {}; do", paths.join(" ")));
            script.line("  if [ -d \"$path\" ]; then mount -t tmpfs -o ro,nosuid,nodev,noexec tmpfs \"$path\"");
            script.line("  elif [ -e \"$path\" ]; then mount --bind ./dev/null \"$path\"; fi");
            script.line("done");
        }
    }

    fn become_program(&self, script: &mut Script) {
        let Some(process) = self.spec.process() else {
            return;
        };
        let user = process.user();
        script.step("6  Powers and user are given up, then the program takes over. setpriv and env are the machine's, too.");
        script.line("umask 022");
        let mut words = vec!["\"$LOADER\" --library-path \"$LIBRARIES\" \"$SETPRIV\"".to_owned()];
        if let Some(set) = process.capabilities() {
            let mut names: Vec<&str> = set
                .bounding()
                .iter()
                .flatten()
                .map(|one| capabilities::name(*one))
                .collect();
            names.sort_unstable();
            let kept: String = names
                .iter()
                .map(|name| format!(",+{}", name.to_lowercase()))
                .collect();
            words.push(format!(
                "--bounding-set=-all{kept} --inh-caps=-all --ambient-caps=-all"
            ));
        }
        if process.no_new_privileges() == Some(true) {
            words.push("--no-new-privs".to_owned());
        }
        let groups: Vec<String> = user
            .additional_gids()
            .iter()
            .flatten()
            .map(u32::to_string)
            .collect();
        words.push(match groups.is_empty() {
            true => "--clear-groups".to_owned(),
            false => format!("--groups={}", groups.join(",")),
        });
        words.push(format!("--regid={} --reuid={}", user.gid(), user.uid()));
        words.push(format!(
            "\"$LOADER\" --library-path \"$LIBRARIES\" \"$ENV\" -i -C {}",
            word(&process.cwd().display().to_string())
        ));
        words.extend(
            process
                .env()
                .iter()
                .flatten()
                .map(|variable| word(variable)),
        );
        words.extend(
            process
                .args()
                .iter()
                .flatten()
                .map(|argument| word(argument)),
        );
        script.line(format!("exec {}", words.join(" \\\n  ")));
    }
}

/// `unlimited` or the number.
fn rlimit(value: u64) -> String {
    match value {
        u64::MAX => "unlimited".to_owned(),
        value => value.to_string(),
    }
}
