//! The OCI runtime's command line: what callers of runc ask, and what they are answered.
//!
//! `SILO_OCI_RUNTIME=/usr/sbin/runc cargo test -p silo --test oci` asks another runtime the same; tests of what Silo alone promises
//! are left out then.

#[path = "../common/mod.rs"]
mod common;
mod fixture;

mod apparmor;
mod callers;
mod checkpoint;
mod control;
mod errors;
mod exec;
mod hooks;
mod lifecycle;
mod moved;
mod notify;
mod rootless;
mod shared;
mod systemd;
mod terminal;
mod wishes;
