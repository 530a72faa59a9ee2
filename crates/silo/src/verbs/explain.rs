//! `explain`: what isolates a container, and what does not, the largest risk first.

use clap::Args;
use silo_engine::{Explanation, Point, Risk};
use silo_types::Result;

use crate::{
    cli::{Context, Run},
    output::{Sheet, json_line, print, wants_json},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct ExplainVerb {
    /// Print the commands that build the same by hand
    #[arg(long)]
    commands: bool,
    /// json: all points as a document
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Name or id
    #[arg(required = true, value_name = "CONTAINER", help_heading = "Arguments")]
    container: String,
}

impl Run for ExplainVerb {
    fn run(self, context: &Context) -> Result<i32> {
        let json = wants_json(self.format.as_deref())?;
        let engine = context.engine()?;
        let container = engine.find(&self.container)?;
        if self.commands {
            print(&engine.explain_commands(&container)?)?;
            return Ok(0);
        }
        let explanation = engine.explain(&container)?;
        print(&match json {
            true => json_line(&explanation)?,
            false => sheet(&explanation).text(),
        })?;
        Ok(0)
    }
}

fn sheet(explanation: &Explanation) -> Sheet {
    let count = |risk| explanation.points.iter().filter(|p| p.risk == risk).count();
    let what = match explanation.live {
        true => "what isolates it now, as the kernel has it",
        false => "what would isolate it; it does not run",
    };
    let mut sheet = Sheet::new(format!(
        "{}: {what} · {} high, {} medium",
        explanation.container,
        count(Risk::High),
        count(Risk::Medium)
    ));
    for point in &explanation.points {
        sheet.line(&label(point), words(point));
    }
    sheet
}

fn label(point: &Point) -> String {
    let mark = match point.risk {
        Risk::High => "HIGH",
        Risk::Medium => "medium",
        Risk::Low => "low",
        Risk::None => "ok",
    };
    format!("{mark:<6}  {}", point.title)
}

fn words(point: &Point) -> String {
    let flag = match point.flag {
        "" => String::new(),
        flag => format!(" [{flag}]"),
    };
    format!("{}: {}{flag}", point.state, point.meaning)
}
