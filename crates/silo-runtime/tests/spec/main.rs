//! Fields of the OCI runtime specification, each carried out by the real kernel: the example `bundle` calls the runtime, and the
//! example `probe` tells from inside what became of it. Needs root.

mod hidden;
mod mounts;
mod process;
mod seccomp;
mod support;
mod time;
mod user;
