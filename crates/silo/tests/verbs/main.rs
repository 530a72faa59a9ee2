//! Every verb: what it does, what it prints, how it fails.

#[path = "../common/mod.rs"]
mod common;

mod attach;
mod changes;
mod copy;
mod dash;
mod exec;
mod format;
mod images;
mod lifecycle;
mod logs;
mod observe;
mod programs;
mod prune;
mod recorder;
mod update;
mod volumes;
