//! For `doctor`: whether a file system lets the ids of a mount be mapped.

use std::os::fd::BorrowedFd;

use oci_spec::runtime::LinuxIdMappingBuilder;
use rustix::mount::{OpenTreeFlags, open_tree};
use silo_types::{Doing, Error, Result};

use crate::{id_map::IdMaps, rootfs::map_ids};

/// Maps the ids of a clone of the mount that a folder lies on; the clone is attached nowhere and gone afterwards.
pub fn try_id_mapped_mount(folder: BorrowedFd<'_>) -> Result<()> {
    let map = LinuxIdMappingBuilder::default()
        .container_id(0u32)
        .host_id(100_000u32)
        .size(1000u32)
        .build()
        .map_err(|error| Error::internal(error.to_string()))?;
    let ids = IdMaps::new("a trial", &[map], &[map])?.make_namespace()?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(folder, c"", flags).doing("clone the mount")?;
    map_ids(&tree, &ids, false)
}
