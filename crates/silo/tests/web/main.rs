//! The task manager as a page: what it tells, what it changes, who may not ask, and how it looks in a browser.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod browser;
mod data;
mod page;
mod safety;
mod server;
