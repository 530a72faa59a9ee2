//! Faults: killed commands and monitors, a full disk, races, nonsense. What follows is a clear error and nothing half-made.

#[path = "../common/mod.rs"]
mod common;

mod disk;
mod doctor;
mod kills;
mod nonsense;
mod orphans;
mod races;
