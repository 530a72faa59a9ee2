//! A stage for who restores a container from its images (CRIU): in a mount namespace of its own, and gone with it, lie the root and all
//! that comes from outside, each under a name that nothing of a container's can lead elsewhere.
//!
//! Places of mounts that are missing in the root are made, as at a start. Called by the process that is about to become CRIU.

use std::{os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{self, FileType, Mode, OFlags},
    mount::{OpenTreeFlags, UnmountFlags, open_tree, unmount},
};
use silo_types::{Doing, Result};

use super::{Root, Rootfs, Sources, attach, new_filesystem, open_root};
use crate::{
    mount_options::MountOptions,
    plan::{MountWhat, Plan},
};

/// The root, on the stage.
pub(crate) const ROOT: &str = "root";
/// The root once more, while places are made in it.
const WORK: &str = "work";

pub(crate) fn mount(at: usize) -> String {
    format!("mount-{at}")
}

pub(crate) fn group(at: usize) -> String {
    format!("group-{at}")
}

pub(crate) fn device(at: usize) -> String {
    format!("device-{at}")
}

/// Builds it over `folder`, which the host has, in the caller's own mount namespace.
pub(crate) fn build(folder: &Path, rootfs: &Path, plan: &Plan, sources: Sources) -> Result<()> {
    // As it is after the last attaching: what is below is seen in it.
    let roots = [
        open_root(Root::Path(rootfs.to_owned()), plan)?,
        open_root(Root::Path(rootfs.to_owned()), plan)?,
    ];
    let options = MountOptions {
        data: vec![("mode".to_owned(), Some("700".to_owned()))],
        ..MountOptions::default()
    };
    let top = new_filesystem("tmpfs", "stage", &options)?;
    let doing = || format!("make a stage over {}", folder.display());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let covered = fs::open(folder, flags, Mode::empty()).doing_with(doing)?;
    attach(&top, &covered)?;
    let [work, root] = roots;
    put(&top, WORK, &work)?;
    let Sources {
        mounts,
        devices,
        groups,
        ..
    } = sources;
    for (at, tree) in mounts.iter().enumerate() {
        if let Some(tree) = tree {
            put(&top, &mount(at), tree)?;
        }
    }
    for (at, tree) in groups.iter().enumerate() {
        put(&top, &group(at), tree)?;
    }
    for (at, tree) in devices.iter().flatten().enumerate() {
        if let Some(tree) = tree {
            put(&top, &device(at), tree)?;
        }
    }
    let inside = Rootfs {
        root: work,
        proc: None,
        dev: None,
        late_read_only: Vec::new(),
        devices: None,
        terminal: None,
    };
    inside.make_places(plan, &mounts)?;
    unmount(folder.join(WORK), UnmountFlags::DETACH).doing_with(doing)?;
    put(&top, ROOT, &root)
}

/// Attaches a tree under a name of the stage.
fn put(top: &OwnedFd, name: &str, tree: &OwnedFd) -> Result<()> {
    let named = || format!("stage {name}");
    let kind = FileType::from_raw_mode(fs::fstat(tree).doing_with(named)?.st_mode);
    let mode = Mode::from_raw_mode(0o700);
    match kind {
        FileType::Directory => fs::mkdirat(top, name, mode),
        _ => fs::mknodat(top, name, FileType::RegularFile, mode, 0),
    }
    .doing_with(named)?;
    let place = fs::openat(top, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    attach(tree, &place.doing_with(named)?)
}

impl Rootfs {
    /// Makes places of mounts where they are missing. Binds are attached meanwhile, since others may lie in them; what lies in a new
    /// file system comes with its images.
    fn make_places(&self, plan: &Plan, mounts: &[Option<OwnedFd>]) -> Result<()> {
        let mut new: Vec<String> = Vec::new();
        for (step, tree) in plan.mounts.iter().zip(mounts) {
            let target = step.target.as_str();
            if new.iter().any(|above| target.starts_with(above.as_str())) {
                continue;
            }
            let named = |e: silo_types::Error| e.context(format!("mount {target}"));
            let kind = |tree: &OwnedFd| -> Result<FileType> {
                let stat = fs::fstat(tree).doing("stat the source")?;
                Ok(FileType::from_raw_mode(stat.st_mode))
            };
            match (&step.what, tree) {
                (MountWhat::Bind { .. }, Some(tree)) => {
                    let place = self.target(target, kind(tree)?).map_err(named)?;
                    let flags = OpenTreeFlags::OPEN_TREE_CLONE
                        | OpenTreeFlags::OPEN_TREE_CLOEXEC
                        | OpenTreeFlags::AT_EMPTY_PATH
                        | OpenTreeFlags::AT_RECURSIVE;
                    let copy = open_tree(tree, "", flags).doing_with(|| target.to_owned())?;
                    attach(&copy, &place).map_err(named)?;
                }
                (MountWhat::Own { path, .. }, _) => {
                    if let Some(source) = self.find(path).map_err(named)? {
                        self.target(target, kind(&source)?).map_err(named)?;
                    }
                }
                (MountWhat::New { .. } | MountWhat::Cgroup, _) => {
                    self.target(target, FileType::Directory).map_err(named)?;
                    new.push(format!("{}/", target.trim_end_matches('/')));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
