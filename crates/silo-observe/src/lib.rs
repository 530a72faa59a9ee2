//! Read-only views of processes: /proc samples, both pids of a process, `ps` columns, the kernel's record of OOM kills.
//!
//! Called by the engine (`ls`: is it alive), by the command line (`top`, `whois`, `why`) and by the monitor (victims).
//! Nothing here writes, starts a program, enters a container or knows control groups: callers hand in lists of pids.
//! Every byte read may be chosen by a hostile process, so the parsers never panic and texts come out printable.
#![forbid(unsafe_code)]

mod cpu;
mod faultlog;
mod host;
mod identity;
mod memory;
mod oomlog;
mod proc;
mod process;
pub mod ps;
mod sockets;
mod stat;
mod status;
mod text;
mod top;
mod top_text;
mod tree;
mod users;
mod whois;
mod zombies;

pub use cpu::CpuSample;
pub use host::{CpuTimes, HostFacts, LoadAverage, MemInfo, StatCpu, Uptime};
pub use identity::{is_alive, start_time};
pub use memory::{Rollup, Statm};
pub use oomlog::{Constraint, KernelLog, OomKill, OomParser};
pub use proc::Proc;
pub use process::{Process, Want};
pub use sockets::{FileId, Held, Listener};
pub use stat::Stat;
pub use status::ProcStatus;
pub use text::printable;
pub use top::{ExecNote, TopFacts, TopInputs, TopProcess, TopTotals, TopView};
pub use top_text::Style;
pub use tree::{Placed, forest};
pub use users::Names;
pub use whois::{CgroupPath, Namespace, Rights, Whois, containers_in, parse_cgroups};
