//! The rows of the report: each measures one promise, or one comparison with whole engines.

mod engines;
mod exec;
mod gone;
mod many;
mod recorder;
mod run;
mod runtime;
mod starts;
mod truth;

use silo_types::Result;

use crate::{Options, Row, report::Report, tools::Tools};

pub fn title(row: Row) -> &'static str {
    match row {
        Row::Run => "a container from start to end",
        Row::Runtime => "a bare runtime",
        Row::Exec => "a process in a running container",
        Row::Many => "beside many running containers",
        Row::Recorder => "what recording costs",
        Row::Starts => "starts one after another",
        Row::Gone => "from the kill until it is gone",
        Row::Engines => "whole engines",
        Row::Truth => "what is shown against what was made",
    }
}

pub fn measure(row: Row, options: &Options, tools: &Tools, report: &mut Report) -> Result<()> {
    let sections = match row {
        Row::Run => vec![run::measure(options, tools)?],
        Row::Runtime => runtime::measure(options, tools)?,
        Row::Exec => vec![exec::measure(options, tools)?],
        Row::Many => vec![many::measure(options, tools)?],
        Row::Recorder => vec![recorder::measure(tools)?],
        Row::Starts => vec![
            starts::measure(options, tools, "none")?,
            starts::measure(options, tools, "bridge")?,
        ],
        Row::Gone => vec![gone::measure(tools)?],
        Row::Engines => vec![engines::measure(options, tools)?],
        Row::Truth => vec![truth::measure(options, tools)?],
    };
    report.sections.extend(sections);
    Ok(())
}
