//! The OCI runtime: a specification in, a process out.
//!
//! `document` reads the specification, `plan` turns it into steps, `create` clones and hands over, `init` carries the steps out as
//! the container's first process (through `passage` into user and time namespaces), `finish` makes it the program; `enter` brings
//! further processes in. The engine keeps names, files and lives by itself; `container` keeps them for callers of `silo oci`, in
//! `state`, in groups that systemd makes where a caller wants that (`scope`), and has CRIU write them down (`criu`).
//! Nothing that calls this may have threads.
#![forbid(unsafe_code)]

mod attributes;
mod begin;
pub mod bundle;
pub mod caller;
pub mod capabilities;
mod channel;
pub mod container;
mod create;
pub mod criu;
pub mod document;
mod door;
mod enter;
mod finish;
pub mod hooks;
mod id_map;
mod init;
mod labels;
mod listener;
mod lookup;
mod mount_options;
mod passage;
mod plan;
mod process;
mod reaper;
mod rootfs;
pub mod scope;
mod sealed;
pub mod seccomp;
mod shared;
pub mod state;
mod sysctl;
mod trial;
mod view;
mod warn;

pub use create::{Connect, Created, Placing, Request, Running, Standalone, Stdio, create};
pub use door::Door;
pub use enter::{Entry, enter, make_plain, namespaces_of};
pub use mount_options::{PLAIN_SOURCE, words as mount_option_words};
pub use plan::{Plan, plan};
pub use process::retitle;
pub use rootfs::{CgroupHierarchy, CgroupView, Root};
pub use sealed::{Seal, ensure_sealed, seal};
pub use shared::shares_mounts;
pub use trial::try_id_mapped_mount;
pub use warn::Warn;
