//! `why`: what a container ended of, graded by how sure that is.

use clap::Args;
use silo_engine::{Before, Grade, OomVictim, Removed, Why};
use silo_types::{ByteSize, Kind, OomScope, Result};

use crate::{
    cli::{Context, Run},
    output::{Sheet, ago_words, json_line, print, signal_of, wants_json},
    plot::sparkline,
};

/// Its flags.
#[derive(Args, Debug)]
pub struct WhyVerb {
    /// json: the verdict and its facts as a document
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Name or id
    #[arg(required = true, value_name = "CONTAINER", help_heading = "Arguments")]
    container: String,
}

impl Run for WhyVerb {
    fn run(self, context: &Context) -> Result<i32> {
        let json = wants_json(self.format.as_deref())?;
        let engine = context.engine()?;
        let container = match engine.find(&self.container) {
            Err(error) if error.kind() == Kind::NotFound => {
                return match engine.why_removed(&self.container)? {
                    Some(removed) => of_removed(&removed, json),
                    None => Err(error),
                };
            }
            found => found?,
        };
        let why = engine.why(&container)?;
        if json {
            print(&json_line(&why)?)?;
            return Ok(0);
        }
        let state = &container.state;
        let since = if state.status.is_up() {
            state.started
        } else {
            state.finished
        };
        print(&sheet(&why, since, state.status.is_up()).text())?;
        Ok(0)
    }
}

/// All that is left is a sentence.
fn of_removed(removed: &Removed, json: bool) -> Result<i32> {
    if json {
        print(&json_line(removed)?)?;
        return Ok(0);
    }
    let mut sheet = Sheet::new(format!(
        "{} was removed {} ago · exit {}",
        removed.container,
        ago_words(removed.time),
        removed.exit_code
    ));
    sheet.line("cause", &removed.why);
    print(&sheet.text())?;
    Ok(0)
}

fn sheet(why: &Why, since: u64, up: bool) -> Sheet {
    let mut sheet = Sheet::new(title(why, since, up));
    let grade = grade(why.verdict.grade);
    sheet.line("cause", format!("{} ({grade})", why.verdict.statement));
    for evidence in &why.verdict.from {
        sheet.line("from", evidence);
    }
    for victim in &why.victims {
        sheet.line("victim", victim_words(victim));
    }
    if let Some(history) = &why.history {
        let values = history.bytes.iter().map(|bytes| bytes.map(|b| b as f64));
        let curve = sparkline(values, history.to_bytes as f64);
        let label = format!("last {:.0} s", history.seconds.max(1.0));
        sheet.line(&label, format!("{curve} {}", history.statement));
    }
    if let Some(victim) = why.victims.last() {
        sheet.line("host", host_words(victim));
    }
    sheet.line("to do", &why.verdict.advice);
    if let Some(before) = &why.before {
        sheet.line("before", before_words(before, why.restarts));
    }
    sheet
}

fn title(why: &Why, since: u64, up: bool) -> String {
    let name = &why.container;
    match (up, since) {
        (true, _) => format!("{name} {} for {}", why.status, ago_words(since)),
        (false, 0) => format!("{name} never ran · exit {}", why.exit_code),
        (false, _) => format!(
            "{name} {} {} ago · exit {}{}",
            if why.status == "exited" {
                "stopped"
            } else {
                why.status
            },
            ago_words(since),
            why.exit_code,
            signal_of(&why.signal),
        ),
    }
}

fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Certain => "certain",
        Grade::Likely => "likely",
        Grade::Unknown => "unknown",
    }
}

/// `pid 7 (host 91234) saturate-mem · 498MiB, 97 % of the limit · next would have been: 1 sh, 1.2MiB`
fn victim_words(victim: &OomVictim) -> String {
    let mut words = match (victim.host_pid, victim.pid) {
        (0, _) => "a process that the kernel's log does not name".to_owned(),
        (host, 0) => format!("host pid {host} {}", victim.command),
        (host, pid) => format!("pid {pid} (host {host}) {}", victim.command),
    };
    if victim.memory_bytes > 0 {
        words += &format!(" · {}", ByteSize(victim.memory_bytes));
        if let Some(percent) = (victim.memory_bytes * 100).checked_div(victim.limit_bytes) {
            words += &format!(", {percent} % of the limit");
        }
    }
    if let Some(next) = &victim.next {
        words += &format!(
            " · next would have been: {} {}, {}",
            next.pid,
            next.command,
            ByteSize(next.rss_bytes)
        );
    }
    words
}

fn host_words(victim: &OomVictim) -> String {
    let left = ByteSize(victim.host_available_bytes);
    match (victim.host_available_bytes, victim.scope) {
        (0, _) => String::new(),
        (_, OomScope::Machine) => format!("had {left} left: it ran out itself"),
        (_, OomScope::Own | OomScope::Above) => {
            format!("had {left} left: not the machine's doing")
        }
        (_, OomScope::Unknown) => format!("had {left} left"),
    }
}

fn before_words(before: &Before, restarts: u32) -> String {
    let times = match restarts {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        n => format!(", restarted {n} times"),
    };
    format!(
        "the run before ended with {}: {} ({}){times}",
        before.exit_code,
        before.verdict.statement,
        grade(before.verdict.grade)
    )
}
