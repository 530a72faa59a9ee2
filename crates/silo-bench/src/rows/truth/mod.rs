//! Whether what is shown is true: containers that hold known amounts, and every figure of every view against what was made.
//!
//! What a program needs before it holds anything (its own text, stacks, page tables) is taken from the kernel's files of a
//! container that holds nothing, and added to what was asked for. Processor time is held against the kernel's own counter over
//! exactly the span that a view says its figure is of: a busy machine may give less than was asked for. Docker, Podman and htop
//! are asked about the same programs.

mod htop;
pub mod kernel;
mod loads;
mod peers;
mod silo;
mod table;
mod watch;

use silo_types::Result;

use self::{loads::loads, table::Table, watch::Truth};
use super::title;
use crate::{Options, Row, report::Section, tools::Tools};

/// Memory may be off by so much, in percent, and processor time.
const MEMORY: f64 = 2.0;
const CPU: f64 = 3.0;

/// How long processors are watched, in calls of `stats`, one a second.
const CALLS: usize = 10;

/// Docker and Podman get fewer: what they show does not depend on the number.
const PEERS: usize = 6;

pub fn measure(options: &Options, tools: &Tools) -> Result<Section> {
    let mut table = Table::default();
    let base = silo::base(tools)?;
    let loads = loads(options.containers.min(30));
    silo::measure(tools, &loads, &base, &mut table)?;
    let few = &loads[..loads.len().min(PEERS)];
    let mut missing = None;
    if options.all {
        // One that does not work does not take Silo's figures along.
        missing = htop::measure(tools, few, &base, &mut table).err();
        // Their containers are as busy as Silo's were, alone.
        tools.silo.remove_all();
        missing = peers::measure(tools, few, &base, &mut table)
            .err()
            .or(missing);
    }
    let mut section = table.section(Section::new(title(Row::Truth)));
    if let Some(error) = missing {
        section = section.note(format!("not measured: {error}"));
    }
    Ok(section.note(format!(
        "{} containers of Silo, of the peers {PEERS}; off by: the farthest of them; memory may be off by {MEMORY} %, processor time by {CPU} %, counts not at all",
        loads.len()
    )))
}

/// Figures of one engine's views go into the table by these names.
struct Of<'a> {
    engine: &'static str,
    view: &'static str,
    table: &'a mut Table,
}

impl Of<'_> {
    fn memory(&mut self, figure: &'static str, seen: f64, made: f64) {
        self.table
            .add((self.engine, self.view, figure), seen, made, MEMORY);
    }

    fn cpu(&mut self, figure: &'static str, seen: f64, made: f64) {
        self.table
            .add((self.engine, self.view, figure), seen, made, CPU);
    }

    /// A figure of a second, against what the kernel can have counted in it.
    fn cpu_of_a_second(&mut self, seen: f64, truth: &Truth) {
        match truth.is_known() {
            true => self.cpu("CPU of a second", seen, truth.nearest(seen)),
            false => self.table.unjudged += 1,
        }
    }

    fn count(&mut self, figure: &'static str, seen: usize, made: usize) {
        let key = (self.engine, self.view, figure);
        self.table.add(key, seen as f64, made as f64, 0.0);
    }
}
