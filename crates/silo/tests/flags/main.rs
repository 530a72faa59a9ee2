//! Every flag of `run` and `create`, seen from inside the container or in the kernel: each test fails when its flag does nothing.

#[path = "../common/mod.rs"]
mod common;

mod capabilities;
mod environment;
mod general;
mod identity;
mod life;
mod limits;
mod logging;
mod mounts;
mod namespaces;
mod network;
mod refused;
mod security;
mod throttle;
mod unified;
mod volumes;
