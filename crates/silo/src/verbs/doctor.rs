//! `doctor`: what this host can enforce, and what a crash left behind.

use clap::Args;
use serde_json::json;
use silo_engine::Finding;
use silo_types::Result;

use crate::{
    cli::{Context, Run},
    lab,
    output::{Sheet, json_line, print, wants_json},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct Doctor {
    /// Remove what was left behind
    #[arg(long)]
    fix: bool,
    /// json: all findings as a document
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

impl Run for Doctor {
    /// 1 while something is left behind.
    fn run(self, context: &Context) -> Result<i32> {
        let json = wants_json(self.format.as_deref())?;
        let engine = context.engine()?;
        let mut report = engine.doctor(self.fix)?;
        // Labs that were killed: each of their containers is healthy for itself.
        let labs = lab::leftovers(&engine)?;
        let fixed = self.fix && !labs.is_empty();
        if fixed {
            lab::clear_leftovers(&engine)?;
        }
        let of_lab = |text: String| Finding {
            area: "lab",
            name: "lab",
            text,
            advice: String::new(),
            trouble: true,
            fixed,
        };
        report.orphans.extend(labs.into_iter().map(of_lab));
        let left = report.orphans.iter().any(|found| !found.fixed);
        if json {
            let list = |findings: &[Finding]| findings.iter().map(as_json).collect::<Vec<_>>();
            let document = json!({"host": list(&report.host), "orphans": list(&report.orphans)});
            print(&json_line(&document)?)?;
            return Ok(i32::from(left));
        }
        let mut text = page("What this host can enforce", &report.host, "MISSING");
        let orphans = page("Left behind by a crash", &report.orphans, "left");
        text += &format!("\n{orphans}");
        if report.orphans.is_empty() {
            text += "nothing\n";
        } else if left {
            text += "\nRun 'silo doctor --fix' to remove it.\n";
        }
        print(&text)?;
        Ok(i32::from(left))
    }
}

fn page(title: &str, findings: &[Finding], trouble: &str) -> String {
    let mut sheet = Sheet::new(title);
    for found in findings {
        let text = match found.advice.as_str() {
            "" => found.text.clone(),
            advice => format!("{}; {advice}", found.text),
        };
        sheet.line(
            &format!("{:<7}  {}", mark(found, trouble), found.area),
            text,
        );
    }
    sheet.text()
}

/// In words: colours alone would not be seen by all.
fn mark<'a>(found: &Finding, trouble: &'a str) -> &'a str {
    match (found.trouble, found.fixed) {
        (true, true) => "removed",
        (true, false) => trouble,
        (false, _) if found.advice.is_empty() => "ok",
        (false, _) => "note",
    }
}

fn as_json(found: &Finding) -> serde_json::Value {
    json!({
        "area": found.area, "name": found.name, "text": found.text, "advice": found.advice,
        "trouble": found.trouble, "fixed": found.fixed
    })
}
