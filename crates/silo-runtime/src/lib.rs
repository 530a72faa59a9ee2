//! The OCI runtime: a specification in, a process out.
//!
//! `document` reads the specification, `plan` turns it into steps, `create` clones and hands over, `init` carries the steps out as
//! the container's first process (through `passage` into user and time namespaces), `finish` makes it the program; `enter` brings
//! further processes in. No state is kept on disk here: names, files and
//! lives are the engine's. Nothing that calls this may have threads.
#![forbid(unsafe_code)]

mod attributes;
pub mod capabilities;
mod channel;
mod create;
pub mod document;
mod enter;
mod finish;
mod id_map;
mod init;
mod labels;
mod listener;
mod mount_options;
mod passage;
mod plan;
mod reaper;
mod rootfs;
mod sealed;
pub mod seccomp;
mod sysctl;

pub use create::{Created, Request, Running, Stdio, create};
pub use enter::{Entry, enter};
pub use plan::{Plan, plan};
pub use rootfs::{CgroupHierarchy, CgroupView, Root};
pub use sealed::ensure_sealed;
