//! System calls that std and rustix lack, one kernel topic a file.
//!
//! The only crate of Silo that may contain `unsafe`. Everything here is a thin, typed door to one kernel interface: no policy,
//! no path handling of its own, no allocation where a child between clone and exec may call it.
#![allow(unsafe_code)]
#![warn(clippy::undocumented_unsafe_blocks)]

pub mod bpf;
pub mod clone;
pub mod early;
pub mod exec;
pub mod inside;
pub mod keyring;
pub mod mount;
pub mod netlink;
pub mod process;
pub mod scheduling;
pub mod seccomp;
pub mod signal;
