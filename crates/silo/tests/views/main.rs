//! The views: what killed it, whose process it is, what isolates it, what its limits do. Each is brought about for real.

#[path = "../common/mod.rs"]
mod common;

mod explain;
mod json;
mod limits;
mod screens;
mod truth;
mod whois;
mod why;
