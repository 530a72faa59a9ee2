//! Inside the child: from the host's tree to the container's, carrying out the plan's mounts.
//!
//! The order is what makes it safe: sources on the host are opened first, as detached mounts; then the root is entered with
//! pivot_root(2) and the host's tree dropped; only then are destinations resolved. A symlink of the image can therefore lead
//! nowhere but into the container, and every mount goes onto a descriptor, never onto a path looked up twice.

use std::{
    ffi::CString,
    fs::File,
    io::Write,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use oci_spec::runtime::LinuxDeviceType;
use rustix::{
    fs::{self, AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
        fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
        open_tree, unmount,
    },
};
use silo_sys::{
    clone,
    mount::{MountAttr, attr, mount_setattr},
};
use silo_types::{Doing, Error, Result};

use crate::{
    mount_options::MS_PRIVATE,
    plan::{DeviceNode, MountStep, MountWhat, Plan},
};

/// Where the container's root comes from.
#[derive(Debug)]
pub enum Root {
    /// A detached mount (fsmount(2)), made by the caller; attached nowhere on the host.
    Mount(OwnedFd),
    /// A folder of the host.
    Path(std::path::PathBuf),
}

/// The bind sources of a plan, opened on the host in the order of its mounts; `None` for mounts that are no binds.
pub(crate) struct Sources(Vec<Option<OwnedFd>>);

/// The new root, entered; its own /dev and /proc once they are mounted.
pub(crate) struct Rootfs {
    root: OwnedFd,
    proc: Option<OwnedFd>,
    dev: Option<OwnedFd>,
}

/// Opens what the plan takes from the host. Must run in the container's mount namespace before it is made private, so that
/// `rslave` and `rshared` still can follow the host's mounts.
pub(crate) fn open_sources(plan: &Plan) -> Result<Sources> {
    let open = |step: &MountStep| match &step.what {
        MountWhat::Bind { source, recursive } => {
            let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            if *recursive {
                flags |= OpenTreeFlags::AT_RECURSIVE;
            }
            let opened = match inside_process(source) {
                Some((pid, path)) => open_elsewhere(&pid, &path, flags),
                None => open_tree(CWD, source.as_path(), flags)
                    .doing_with(|| format!("bind source {}", source.display())),
            };
            opened.map(Some)
        }
        _ => Ok(None),
    };
    plan.mounts
        .iter()
        .map(open)
        .collect::<Result<_>>()
        .map(Sources)
}

/// `/proc/PID/root/PATH` names a mount of another process's namespace: its pid and the path there.
fn inside_process(source: &std::path::Path) -> Option<(String, String)> {
    let (pid, path) = source
        .to_str()?
        .strip_prefix("/proc/")?
        .split_once("/root/")?;
    let digits = !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| (pid.to_owned(), path.to_owned()))
}

/// A mount can be cloned only by who is in its namespace, open_tree(2): a visit there and back.
fn open_elsewhere(pid: &str, path: &str, flags: OpenTreeFlags) -> Result<OwnedFd> {
    let namespace = |of: &str| {
        let path = format!("/proc/{of}/ns/mnt");
        fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).doing(path)
    };
    let (own, other) = (namespace("self")?, namespace(pid)?);
    clone::setns(other.as_fd(), clone::ns::MOUNT).doing_with(|| format!("visit process {pid}"))?;
    let cloned = fs::openat2(
        CWD,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS,
    )
    .and_then(|place| open_tree(&place, "", flags | OpenTreeFlags::AT_EMPTY_PATH))
    .doing_with(|| format!("share /{path} of process {pid}"));
    clone::setns(own.as_fd(), clone::ns::MOUNT).doing("return from the visit")?;
    cloned
}

impl Rootfs {
    /// Attaches the root over `stage`: a folder that exists on the host; nothing of it changes, for this namespace is our own.
    pub(crate) fn attach(root: Root, stage: &std::path::Path) -> Result<Rootfs> {
        let private = MountAttr {
            propagation: MS_PRIVATE,
            ..MountAttr::default()
        };
        mount_setattr(CWD, c"/", true, &private).doing("make the mounts private")?;
        let root = match root {
            Root::Mount(mount) => mount,
            Root::Path(path) => open_tree(
                CWD,
                path.as_path(),
                OpenTreeFlags::OPEN_TREE_CLONE
                    | OpenTreeFlags::OPEN_TREE_CLOEXEC
                    | OpenTreeFlags::AT_RECURSIVE,
            )
            .doing_with(|| format!("root file system {}", path.display()))?,
        };
        move_mount(
            &root,
            "",
            CWD,
            stage,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .doing_with(|| format!("attach the root file system over {}", stage.display()))?;
        Ok(Rootfs {
            root,
            proc: None,
            dev: None,
        })
    }

    /// Makes it `/` and drops the host's tree. Mounts come after it, but for hooks that need to see both trees: destinations are
    /// resolved below the root's descriptor (`RESOLVE_IN_ROOT`) either way.
    pub(crate) fn enter(&self) -> Result<()> {
        rustix::process::fchdir(&self.root).doing("enter the root file system")?;
        // The old root is put on top of the new one at the same place and then dropped: pivot_root(2), "NOTES".
        rustix::process::pivot_root(".", ".").doing("pivot_root")?;
        unmount(".", UnmountFlags::DETACH).doing("drop the host's mounts")?;
        rustix::process::chdir("/").doing("enter the new root")
    }

    /// Carries out the mounts.
    pub(crate) fn mount_all(
        &mut self,
        plan: &Plan,
        mut sources: Sources,
        cgroup_mounts: &CgroupView,
    ) -> Result<()> {
        for (index, step) in plan.mounts.iter().enumerate() {
            let named = |e: Error| e.context(format!("mount {}", step.target));
            match &step.what {
                MountWhat::New { kind, source } => self.mount_new(step, kind, source, plan),
                MountWhat::Bind { .. } => match sources.0[index].take() {
                    Some(tree) => self.mount_bind(step, &tree),
                    None => Err(Error::internal("its source was not opened")),
                },
                MountWhat::Cgroup => self.mount_cgroup(step, cgroup_mounts),
            }
            .map_err(named)?;
        }
        Ok(())
    }

    fn mount_new(&mut self, step: &MountStep, kind: &str, source: &str, plan: &Plan) -> Result<()> {
        let mount = new_filesystem(kind, source, step)?;
        let target = self.target(&step.target, FileType::Directory)?;
        attach(&mount, &target)?;
        match step.target.as_str() {
            "/proc" if kind == "proc" => self.proc = Some(mount),
            "/dev" if kind == "tmpfs" => {
                fill_dev(&mount, &plan.devices)?;
                self.dev = Some(mount);
            }
            _ => {}
        }
        Ok(())
    }

    fn mount_bind(&self, step: &MountStep, tree: &OwnedFd) -> Result<()> {
        let kind = FileType::from_raw_mode(fs::fstat(tree).doing("stat the source")?.st_mode);
        let options = &step.options;
        let (propagation, whole) = options.propagation.unwrap_or((MS_PRIVATE, true));
        let change = |set, clear, propagation, recursive| {
            if set == 0 && clear == 0 && propagation == 0 {
                return Ok(());
            }
            let change = MountAttr {
                set,
                clear,
                propagation,
                userns_fd: 0,
            };
            mount_setattr(tree.as_fd(), c"", recursive, &change).doing("set its options")
        };
        change(0, 0, propagation, whole)?;
        change(options.set_recursive, options.clear_recursive, 0, true)?;
        change(options.set, options.clear, 0, false)?;
        let target = self.target(&step.target, kind)?;
        attach(tree, &target)
    }

    fn mount_cgroup(&self, step: &MountStep, view: &CgroupView) -> Result<()> {
        let target = self.target(&step.target, FileType::Directory)?;
        let flags = MountAttrFlags::from_bits_retain(step.options.set as u32);
        let mount_one = |kind: &str, data: &[&str], onto: BorrowedFd<'_>| -> Result<()> {
            let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).doing("fsopen")?;
            fsconfig_set_string(&context, "source", "cgroup").doing("set its source")?;
            for word in data {
                match word.split_once('=') {
                    Some((key, value)) => fsconfig_set_string(&context, key, value),
                    None => fsconfig_set_flag(&context, *word),
                }
                .doing_with(|| format!("option {word}"))?;
            }
            fsconfig_create(&context).doing_with(|| format!("{kind} {data:?}"))?;
            let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).doing("fsmount")?;
            attach(&mount, &onto)
        };
        let hierarchies = match view {
            CgroupView::V2 => return mount_one("cgroup2", &[], target.as_fd()),
            CgroupView::V1(hierarchies) => hierarchies,
        };
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).doing("fsopen")?;
        fsconfig_set_string(&context, "mode", "755").doing("set its mode")?;
        fsconfig_create(&context).doing("tmpfs")?;
        let top = fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            flags & !MountAttrFlags::MOUNT_ATTR_RDONLY,
        )
        .doing("fsmount")?;
        for hierarchy in hierarchies {
            let name = hierarchy.name.as_str();
            fs::mkdirat(&top, name, Mode::from_raw_mode(0o755)).doing_with(|| name.to_owned())?;
            for link in &hierarchy.links {
                fs::symlinkat(name, &top, link.as_str()).doing_with(|| link.clone())?;
            }
        }
        attach(&top, &target)?;
        for hierarchy in hierarchies {
            let onto = open_below(&top, &hierarchy.name)?;
            let data: Vec<&str> = hierarchy.options.iter().map(String::as_str).collect();
            mount_one(&hierarchy.kind, &data, onto.as_fd())?;
        }
        if flags.contains(MountAttrFlags::MOUNT_ATTR_RDONLY) {
            set_attributes(&top, attr::RDONLY)?;
        }
        Ok(())
    }

    /// Masks and read-only paths, system settings, the root's own read-only flag: after all mounts.
    pub(crate) fn harden(&self, plan: &Plan) -> Result<()> {
        self.write_sysctls(&plan.sysctls)?;
        self.make_read_only(&plan.readonly_paths)?;
        self.mask(&plan.masked_paths)?;
        if plan.root_read_only {
            set_attributes(&self.root, attr::RDONLY)?;
        }
        Ok(())
    }

    /// Writes go to the procfs instance that was mounted here, held by descriptor: nothing laid over it can catch them.
    fn write_sysctls(&self, sysctls: &[(String, String)]) -> Result<()> {
        for (key, value) in sysctls {
            let proc = self.proc.as_ref().ok_or_else(|| {
                Error::invalid(format!("sysctl {key}: the container has no /proc"))
            })?;
            let file = fs::openat2(
                proc,
                format!("sys/{key}"),
                OFlags::WRONLY | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
            )
            .doing_with(|| format!("sysctl {key}"))?;
            File::from(file)
                .write_all(value.as_bytes())
                .doing_with(|| format!("sysctl {key} = {value:?}"))?;
        }
        Ok(())
    }

    fn make_read_only(&self, paths: &[String]) -> Result<()> {
        for path in paths {
            let Some(target) = self.existing(path)? else {
                continue;
            };
            let tree = open_tree(
                &target,
                "",
                OpenTreeFlags::OPEN_TREE_CLONE
                    | OpenTreeFlags::OPEN_TREE_CLOEXEC
                    | OpenTreeFlags::AT_EMPTY_PATH
                    | OpenTreeFlags::AT_RECURSIVE,
            )
            .doing_with(|| format!("read-only path {path}"))?;
            set_attributes(&tree, attr::RDONLY)
                .and_then(|()| attach(&tree, &target))
                .map_err(|e| e.context(format!("read-only path {path}")))?;
        }
        Ok(())
    }

    /// Files are covered by our own /dev/null, folders by an empty read-only tmpfs.
    fn mask(&self, paths: &[String]) -> Result<()> {
        let mut empty: Option<OwnedFd> = None;
        let mut null: Option<OwnedFd> = None;
        for path in paths {
            let Some(target) = self.existing(path)? else {
                continue;
            };
            let mode = fs::fstat(&target).doing_with(|| format!("masked path {path}"))?;
            let cover = if FileType::from_raw_mode(mode.st_mode) == FileType::Directory {
                if empty.is_none() {
                    empty = Some(empty_tmpfs()?);
                }
                empty.as_ref()
            } else {
                if null.is_none() {
                    null = Some(self.null_device()?);
                }
                null.as_ref()
            };
            let tree = cover
                .map(|cover| {
                    open_tree(
                        cover,
                        "",
                        OpenTreeFlags::OPEN_TREE_CLONE
                            | OpenTreeFlags::OPEN_TREE_CLOEXEC
                            | OpenTreeFlags::AT_EMPTY_PATH,
                    )
                })
                .ok_or_else(|| Error::internal("no cover for a masked path"))?
                .doing_with(|| format!("masked path {path}"))?;
            attach(&tree, &target).map_err(|e| e.context(format!("masked path {path}")))?;
        }
        Ok(())
    }

    /// The null device of the /dev that was made here: major 1, minor 3, or nothing.
    fn null_device(&self) -> Result<OwnedFd> {
        let null = match &self.dev {
            Some(dev) => fs::openat(
                dev,
                "null",
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            ),
            None => fs::openat(
                &self.root,
                "dev/null",
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            ),
        }
        .doing("open the null device")?;
        let stat = fs::fstat(&null).doing("stat the null device")?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == fs::makedev(1, 3)
        {
            Ok(null)
        } else {
            Err(Error::invalid(
                "/dev/null of the container is not the null device",
            ))
        }
    }

    /// A path inside, through no symlink, if it is there: what is masked or protected lies in our own /proc and /sys.
    fn existing(&self, path: &str) -> Result<Option<OwnedFd>> {
        let found = fs::openat2(
            &self.root,
            path.trim_start_matches('/'),
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS,
        );
        match found {
            Ok(target) => Ok(Some(target)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(None),
            Err(error) => Err(Error::system(format!("open {path}"), error)),
        }
    }

    /// The place where a mount goes, made if it is not there.
    fn target(&self, path: &str, kind: FileType) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let inside = path.trim_start_matches('/');
        let top = inside.split('/').next().unwrap_or("");
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        if matches!(top, "proc" | "sys" | "dev") {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        let name = if inside.is_empty() { "." } else { inside };
        match fs::openat2(&self.root, name, flags, Mode::empty(), resolve) {
            Ok(target) => return Ok(target),
            Err(Errno::NOENT) => {}
            Err(Errno::LOOP) => {
                return Err(Error::invalid(format!(
                    "{path} of the image is or goes through a symbolic link"
                )));
            }
            Err(error) => return Err(Error::system(format!("open {path}"), error)),
        }
        let (parent, last) = inside.rsplit_once('/').unwrap_or((".", inside));
        let folder = make_folders(&self.root, parent, resolve)
            .doing_with(|| format!("make the folder {parent}"))?;
        let made = if kind == FileType::Directory {
            fs::mkdirat(&folder, last, Mode::from_raw_mode(0o755))
        } else {
            fs::mknodat(
                &folder,
                last,
                FileType::RegularFile,
                Mode::from_raw_mode(0o644),
                0,
            )
        };
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(Error::system(format!("make {path}"), error)),
        }
        fs::openat2(&self.root, name, flags, Mode::empty(), resolve)
            .doing_with(|| format!("open {path}"))
    }

    /// A folder inside, with all above it, made where missing.
    pub(crate) fn make_folder(&self, path: &str) -> Result<()> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        make_folders(&self.root, path, resolve)
            .map(drop)
            .doing_with(|| path.to_owned())
    }

    /// Allocates the container's terminal in its own devpts and puts it at /dev/console. Returns the master and the slave.
    pub(crate) fn open_terminal(&self, uid: u32) -> Result<(OwnedFd, OwnedFd)> {
        let dev = self
            .dev
            .as_ref()
            .ok_or_else(|| Error::invalid("a terminal needs a /dev of the container's own"))?;
        let master = fs::openat(
            dev,
            "pts/ptmx",
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .doing("open a terminal")?;
        rustix::pty::unlockpt(&master).doing("unlock the terminal")?;
        let slave = rustix::pty::ioctl_tiocgptpeer(
            &master,
            rustix::pty::OpenptFlags::RDWR
                | rustix::pty::OpenptFlags::NOCTTY
                | rustix::pty::OpenptFlags::CLOEXEC,
        )
        .doing("open the terminal's other end")?;
        if uid != 0 {
            fs::fchown(&slave, Some(Uid::from_raw(uid)), None).doing("give away the terminal")?;
        }
        let tree = open_tree(
            &slave,
            "",
            OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_EMPTY_PATH,
        )
        .doing("/dev/console")?;
        attach(
            &tree,
            &self.target("/dev/console", FileType::CharacterDevice)?,
        )?;
        Ok((master, slave))
    }
}

/// What `mount_cgroup` shows, made by the caller from its layout.
#[derive(Clone, Debug, PartialEq)]
pub enum CgroupView {
    V2,
    V1(Vec<CgroupHierarchy>),
}

/// One hierarchy below /sys/fs/cgroup.
#[derive(Clone, Debug, PartialEq)]
pub struct CgroupHierarchy {
    /// Folder name: `memory`, `cpu,cpuacct`, `systemd`, `unified`.
    pub name: String,
    /// `cgroup` or `cgroup2`.
    pub kind: String,
    /// Mount data: `memory`, or `none` and `name=systemd`.
    pub options: Vec<String>,
    /// Other names for it: `cpu` → `cpu,cpuacct`.
    pub links: Vec<String>,
}

fn new_filesystem(kind: &str, source: &str, step: &MountStep) -> Result<OwnedFd> {
    let context =
        fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).doing_with(|| format!("file system {kind}"))?;
    fsconfig_set_string(&context, "source", source).doing("set its source")?;
    for (key, value) in &step.options.data {
        match value {
            Some(value) => fsconfig_set_string(&context, key.as_str(), value.as_str()),
            None => fsconfig_set_flag(&context, key.as_str()),
        }
        .doing_with(|| format!("option {key}"))?;
    }
    fsconfig_create(&context).doing_with(|| format!("file system {kind}"))?;
    let set = step.options.set | step.options.set_recursive;
    let flags = MountAttrFlags::from_bits_retain(set as u32);
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags).doing("fsmount")
}

fn empty_tmpfs() -> Result<OwnedFd> {
    let step = MountStep {
        target: String::new(),
        what: MountWhat::Cgroup,
        options: crate::mount_options::MountOptions {
            set: attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC,
            data: vec![
                ("size".to_owned(), Some("0".to_owned())),
                ("nr_inodes".to_owned(), Some("1".to_owned())),
            ],
            ..Default::default()
        },
    };
    new_filesystem("tmpfs", "tmpfs", &step)
}

fn set_attributes(mount: &OwnedFd, set: u64) -> Result<()> {
    let change = MountAttr {
        set,
        ..MountAttr::default()
    };
    mount_setattr(mount.as_fd(), c"", false, &change).doing("make it read-only")
}

fn attach(mount: &OwnedFd, target: &impl AsFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags).doing("attach it")
}

fn open_below(dir: &OwnedFd, name: &str) -> Result<OwnedFd> {
    fs::openat(
        dir,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing_with(|| format!("open {name}"))
}

/// mkdir -p inside the root, one component at a time by descriptor; symlinks of the image resolve inside it.
pub(crate) fn make_folders(
    root: &OwnedFd,
    path: &str,
    resolve: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut done = String::from(".");
    let mut at = fs::openat2(root, ".", flags, Mode::empty(), resolve)?;
    for part in path.split('/').filter(|p| !p.is_empty() && *p != ".") {
        let before = done.clone();
        done.push('/');
        done.push_str(part);
        at = match fs::openat2(root, &done, flags, Mode::empty(), resolve) {
            Err(Errno::NOENT) => {
                let parent = fs::openat2(root, &before, flags, Mode::empty(), resolve)?;
                match fs::mkdirat(&parent, part, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
                fs::openat2(root, &done, flags, Mode::empty(), resolve)?
            }
            other => other?,
        };
    }
    Ok(at)
}

/// Device nodes and the links that programs expect (OCI runtime specification, "Dev symbolic links").
fn fill_dev(dev: &OwnedFd, devices: &[DeviceNode]) -> Result<()> {
    const LINKS: [(&str, &str); 6] = [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("/proc/kcore", "core"),
        ("pts/ptmx", "ptmx"),
    ];
    let mask = rustix::process::umask(Mode::empty());
    let made = devices
        .iter()
        .try_for_each(|device| make_device(dev, device));
    rustix::process::umask(mask);
    made?;
    for (to, name) in LINKS {
        match fs::symlinkat(to, dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(Error::system(format!("link {name}"), error)),
        }
    }
    Ok(())
}

fn make_device(dev: &OwnedFd, device: &DeviceNode) -> Result<()> {
    let named = || format!("device {}", device.path);
    let Some(inside) = device.path.strip_prefix("/dev/") else {
        return Err(Error::invalid(format!(
            "device {} does not lie below /dev",
            device.path
        )));
    };
    let kind = match device.kind {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
        LinuxDeviceType::A => return Err(Error::invalid(format!("{}: no type", named()))),
    };
    let (folder, name) = match inside.rsplit_once('/') {
        None => (None, inside),
        Some((parent, name)) => {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            (
                Some(make_folders(dev, parent, resolve).doing_with(named)?),
                name,
            )
        }
    };
    let folder = folder.as_ref().unwrap_or(dev);
    let name = CString::new(name).doing_with(named)?;
    fs::mknodat(
        folder,
        &name,
        kind,
        Mode::from_raw_mode(device.mode & 0o7777),
        fs::makedev(device.major, device.minor),
    )
    .doing_with(named)?;
    if device.uid != 0 || device.gid != 0 {
        fs::chownat(
            folder,
            &name,
            Some(Uid::from_raw(device.uid)),
            Some(Gid::from_raw(device.gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .doing_with(named)?;
    }
    Ok(())
}
