//! A container's life: create, start, watch, end, remove. The one place that knows images, networks and the runtime together.
//!
//! No daemon: every container has a monitor process (`monitor`), and every command reads and repairs plain files (`store`).
//! Commands that must change a running container ask its monitor (`client`, `protocol`). Nothing here prints.
#![forbid(unsafe_code)]

mod client;
mod container;
mod copy;
mod create;
mod diff;
mod doctor;
mod events;
mod exec;
mod explain;
mod filter;
mod info;
mod lifecycle;
mod limit;
mod log_window;
mod logs;
mod monitor;
mod net_devices;
mod network;
mod parent;
mod paths;
mod pauses;
mod protocol;
mod record;
mod remove;
mod resources;
mod rootfs;
mod spec;
mod stats;
mod store;
mod throttle;
mod users;
mod volumes;
mod whois;
mod why;

use std::path::Path;

use silo_image::ImageStore;
use silo_types::Result;

pub use client::Connection;
pub use container::Container;
pub use copy::CopyOptions;
pub use create::Created;
pub use diff::{Change, ChangeKind};
pub use doctor::{Finding, Report};
pub use events::{Event, EventOptions};
pub use exec::{ExecRecord, ExecSpec, ExecStreams, Session};
pub use explain::{Explanation, Point, Risk};
pub use info::Info;
pub use lifecycle::{Started, Streams, Update};
pub use limit::{CpuPreview, MemoryPreview, PidsPreview, Preview};
pub use logs::{LogLine, LogOptions};
pub use net_devices::NetDevices;
pub use parent::CgroupParent;
pub use paths::{DEFAULT_ROOT, DEFAULT_RUN, Paths};
pub use protocol::{Exit, Freed, FromMonitor, Request, StartedInfo};
pub use record::{Asked, Glance, Grave, Moment, Outcome, Recording, Series, Step, what_if};
pub use remove::Removal;
pub use resources::overlay as overlay_resources;
pub use silo_cgroup::Stats;
pub use silo_runtime::ensure_sealed;
pub use stats::{Sample, Sampler};
pub use throttle::Throttling;
pub use volumes::Volume;
pub use whois::{Opener, Owner, PathOwner, PathPlace, PlaceKind, PortOwner, ProcessOwner, Role};
pub use why::{Before, Cause, Grade, History, OomVictim, Removed, Shape, Verdict, Why};

/// The engine: paths and stores, nothing that runs.
pub struct Engine {
    pub(crate) paths: Paths,
    pub(crate) images: ImageStore,
    /// Where control groups are, once somebody has asked.
    pub(crate) layout: std::sync::OnceLock<silo_cgroup::Layout>,
}

impl Engine {
    /// Opens the engine's folders, made when missing. `root` holds data, `run` sockets.
    pub fn open(root: &Path, run: &Path) -> Result<Engine> {
        let paths = Paths {
            root: absolute(root)?,
            run: absolute(run)?,
        };
        if !paths.run.is_dir() {
            paths.make()?;
        }
        Ok(Engine {
            images: ImageStore::open(&paths.root)?,
            paths,
            layout: std::sync::OnceLock::new(),
        })
    }

    /// The same engine with an image that it makes by itself when it is asked for.
    pub fn with_builtin(mut self, builtin: silo_image::Builtin<'static>) -> Engine {
        self.images = self.images.with_builtin(builtin);
        self
    }

    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    pub fn images(&self) -> &ImageStore {
        &self.images
    }
}

/// The monitor leaves the caller's folder: its paths must not depend on it.
fn absolute(path: &Path) -> Result<std::path::PathBuf> {
    std::path::absolute(path).map_err(|e| {
        silo_types::Error::system(format!("understand the path {}", path.display()), e)
    })
}

pub(crate) fn io_error(error: std::io::Error) -> silo_types::Error {
    silo_types::Error::system("system call", error)
}

/// Nanoseconds since the epoch as RFC 3339 in UTC, `2024-05-01T10:00:00.123456789Z`, as Docker's files and `inspect`.
pub fn time_text(nanoseconds: u64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanoseconds))
        .map_or_else(|_| String::new(), |time| format!("{time:.9}"))
}
