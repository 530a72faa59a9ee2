//! Fields of the OCI runtime specification, each carried out by the real kernel: the example `bundle` calls the runtime, and the
//! example `probe` tells from inside what became of it. Needs root.

mod exchange;
mod hidden;
mod hostile;
mod mounts;
mod process;
mod races;
mod seccomp;
mod support;
mod time;
mod user;
