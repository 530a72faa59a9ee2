//! The container's /dev: nodes, links and the terminal.

use std::{ffi::CString, os::fd::OwnedFd};

use oci_spec::runtime::LinuxDeviceType;
use rustix::{
    fs::{self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid},
    io::Errno,
    mount::{OpenTreeFlags, open_tree},
};
use silo_types::{Doing, Error, Result};

use super::{Rootfs, attach, place::make_folders};
use crate::plan::{DeviceNode, Plan};

impl Rootfs {
    /// Fills `dev`, a new tmpfs or the image's own folder.
    pub(super) fn fill_dev(&mut self, dev: OwnedFd, plan: &Plan) -> Result<()> {
        let of_dev = |device: &&DeviceNode| device.path.starts_with("/dev/");
        let mask = rustix::process::umask(Mode::empty());
        let made = plan
            .devices
            .iter()
            .enumerate()
            .filter(|(_, device)| of_dev(device))
            .try_for_each(|(at, device)| self.make_device(&dev, &device.path[5..], at, device));
        rustix::process::umask(mask);
        made?;
        make_links(&dev)?;
        self.dev = Some(dev);
        Ok(())
    }

    /// Devices that lie elsewhere, after all mounts.
    pub(super) fn make_other_devices(&self, plan: &Plan) -> Result<()> {
        for (at, device) in plan.devices.iter().enumerate() {
            if !device.path.starts_with("/dev/") {
                let mask = rustix::process::umask(Mode::empty());
                let inside = device.path.trim_start_matches('/');
                let made = self.make_device(&self.root, inside, at, device);
                rustix::process::umask(mask);
                made?;
            }
        }
        Ok(())
    }

    /// `inside`: the device's path below `top`.
    fn make_device(
        &self,
        top: &OwnedFd,
        inside: &str,
        at: usize,
        device: &DeviceNode,
    ) -> Result<()> {
        let named = || format!("device {}", device.path);
        let (folder, name) = match inside.rsplit_once('/') {
            None => (None, inside),
            Some((parent, name)) => {
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
                let folder = make_folders(top, parent, resolve).doing_with(named)?;
                (Some(folder), name)
            }
        };
        let folder = folder.as_ref().unwrap_or(top);
        let name = CString::new(name).doing_with(named)?;
        match self.devices.as_ref().and_then(|bound| bound[at].as_ref()) {
            Some(node) => bind_node(folder, &name, node).map_err(|e| e.context(named())),
            None => make_node(folder, &name, device),
        }
    }

    /// Allocates the container's terminal in its own devpts and puts it at /dev/console. Returns the master and the slave.
    pub(crate) fn open_terminal(&mut self, uid: u32) -> Result<(OwnedFd, OwnedFd)> {
        if let Some(opened) = self.terminal.take() {
            return Ok(opened);
        }
        let dev = self
            .dev
            .as_ref()
            .ok_or_else(|| Error::invalid("a terminal needs a /dev of the container's own"))?;
        // With the image's own /dev, what lies there is the image's, too.
        let master = silo_sys::inside::open(
            dev,
            "pts/ptmx",
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )
        .doing("open a terminal")?;
        check_terminal(&master)?;
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

/// Whether what was opened at /dev/pts/ptmx is a terminal, and not what an image has put there.
pub(crate) fn check_terminal(master: &OwnedFd) -> Result<()> {
    const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;
    let kind = fs::fstatfs(master).doing("stat the terminal")?.f_type;
    match kind as i64 {
        DEVPTS_SUPER_MAGIC => Ok(()),
        _ => Err(Error::invalid(
            "/dev/pts of the container is no devpts: no terminal can be had there",
        )),
    }
}

/// Links that programs expect (OCI runtime specification, "Dev symbolic links").
fn make_links(dev: &OwnedFd) -> Result<()> {
    const LINKS: [(&str, &str); 6] = [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
        ("/proc/kcore", "core"),
        ("pts/ptmx", "ptmx"),
    ];
    for (to, name) in LINKS {
        match fs::symlinkat(to, dev, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(Error::system(format!("link {name}"), error)),
        }
    }
    Ok(())
}

fn make_node(folder: &OwnedFd, name: &CString, device: &DeviceNode) -> Result<()> {
    let named = || format!("device {}", device.path);
    let kind = match device.kind {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::P => FileType::Fifo,
        _ => FileType::CharacterDevice,
    };
    let number = match kind {
        FileType::Fifo => 0,
        _ => fs::makedev(device.major, device.minor),
    };
    let mode = Mode::from_raw_mode(device.mode & 0o7777);
    match fs::mknodat(folder, name, kind, mode, number) {
        // The image's own folder may have it.
        Err(Errno::EXIST) => {
            let stat = fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).doing_with(named)?;
            if FileType::from_raw_mode(stat.st_mode) != kind || stat.st_rdev != number {
                return Err(Error::invalid(format!(
                    "{}: the image has something else there",
                    named()
                )));
            }
        }
        made => made.doing_with(named)?,
    }
    if device.uid != 0 || device.gid != 0 {
        fs::chownat(
            folder,
            name,
            Some(Uid::from_raw(device.uid)),
            Some(Gid::from_raw(device.gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .doing_with(named)?;
    }
    Ok(())
}

/// In a user namespace: the host's node over an empty file.
fn bind_node(folder: &OwnedFd, name: &CString, node: &OwnedFd) -> Result<()> {
    let mode = Mode::from_raw_mode(0o666);
    match fs::mknodat(folder, name, FileType::RegularFile, mode, 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(Error::system("make its place", error)),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = fs::openat(folder, name, flags, Mode::empty()).doing("open its place")?;
    attach(node, &place)
}
