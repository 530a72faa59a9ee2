//! `doctor`: what this host can enforce, and what a crash left behind.

use clap::Args;
use serde_json::json;
use silo_engine::Finding;
use silo_types::Result;

use crate::{
    cli::{Context, Run},
    output::{Style, print},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Remove what was left behind
    #[arg(long)]
    fix: bool,
    /// json
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
}

impl Run for Doctor {
    /// 1 while something is left behind.
    fn run(self, context: &Context) -> Result<i32> {
        let report = context.engine()?.doctor(self.fix)?;
        let left = report.orphans.iter().any(|found| !found.fixed);
        if self.format == "json" {
            let list = |findings: &[Finding]| findings.iter().map(as_json).collect::<Vec<_>>();
            let document = json!({"host": list(&report.host), "orphans": list(&report.orphans)});
            print(&format!("{document}\n"))?;
            return Ok(i32::from(left));
        }
        let style = Style::of_stdout();
        let mut text = style.bold("Host") + "\n";
        for found in &report.host {
            text += &line(style, found);
        }
        text += &format!("\n{}\n", style.bold("Left behind by a crash"));
        for found in &report.orphans {
            text += &line(style, found);
        }
        if report.orphans.is_empty() {
            text += "  nothing\n";
        } else if left {
            text += "\nRun 'silo doctor --fix' to remove it.\n";
        }
        print(&text)?;
        Ok(i32::from(left))
    }
}

fn line(style: Style, found: &Finding) -> String {
    let mark = match (found.trouble, found.fixed) {
        (false, _) => style.green("ok     "),
        (true, true) => style.green("removed"),
        (true, false) => style.red("missing"),
    };
    let mark = match found.area {
        "kernel" | "host" => mark,
        _ if found.trouble && !found.fixed => style.red("left   "),
        _ => mark,
    };
    format!("  {mark}  {:<10} {}\n", found.area, found.text)
}

fn as_json(found: &Finding) -> serde_json::Value {
    json!({"area": found.area, "text": found.text, "trouble": found.trouble, "fixed": found.fixed})
}
