//! A container's files seen from the host: the overlay for its start, and its root for `cp` and `exec`.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::fs::{CWD, Mode, OFlags};
use silo_image::{Image, Snapshot, SnapshotOptions, tree_size};
use silo_types::{ContainerConfig, ContainerId, Doing, Error, ProcessId, Result};

use crate::{Engine, container::Container};

impl Engine {
    /// The container's root as a detached mount: no path of the host leads to it.
    pub(crate) fn open_root(
        &self,
        config: &ContainerConfig,
        image: &Image,
        folder: &Path,
    ) -> Result<OwnedFd> {
        let folder = open_folder(folder)?;
        let snapshot = Snapshot::open(&self.images, image, folder.as_fd())?;
        snapshot.create()?;
        let options = SnapshotOptions {
            // What `--rm` throws away need not reach the disk first.
            volatile: config.life.auto_remove,
        };
        snapshot.open_mount(&options)
    }

    /// The root as its processes see it when it runs (volumes included), else its files alone.
    pub(crate) fn open_view(&self, container: &Container) -> Result<OwnedFd> {
        if let Ok(main) = container.main_process() {
            return open_process_root(main);
        }
        let image = self.images.resolve(&container.config.image.id)?;
        self.open_root(
            &container.config,
            &image,
            &self.paths.container(container.id()),
        )
    }

    /// Bytes that the container wrote over its image.
    pub fn written_bytes(&self, id: &ContainerId) -> u64 {
        open_folder(&self.paths.container(id).join("upper"))
            .and_then(tree_size)
            .unwrap_or(0)
    }
}

/// Errors: Conflict when the process has ended, and its number may be another's by now.
pub(crate) fn open_process_root(process: ProcessId) -> Result<OwnedFd> {
    let root = rustix::fs::open(
        format!("/proc/{}/root", process.pid),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing_with(|| format!("open the root of process {}", process.pid))?;
    match silo_observe::is_alive(process) {
        true => Ok(root),
        false => Err(Error::conflict("the container has ended meanwhile")),
    }
}

pub(crate) fn open_folder(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(
        CWD,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )
    .doing_with(|| format!("open {}", path.display()))
}
