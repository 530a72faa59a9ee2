//! Tools that read /proc: `ps`, `top`, `free`, and `mount`/`umount`.

pub mod free;
pub mod mount;
pub mod ps;
pub mod reader;
pub mod top;
