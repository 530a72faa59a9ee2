//! The demo, row by row: what someone types, and what must then be true. `lesson` plays all of it as `silo lab` does.

#[path = "../common/mod.rs"]
mod common;

mod labs;
mod lesson;
mod limits;
mod listed;
mod memory;
mod pinger;
mod shell;
