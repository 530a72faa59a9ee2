//! `silo lab`: lessons about containers, played with real ones, each step checked.
//!
//! ```text
//! file ─ parse, facts, words ─▶ script ─┐
//!                                       ├─▶ player ─▶ auto (lines) or live (two panes)
//! world: the lab's share of the machine ┘     │
//!                                             └─▶ record ─▶ html (hand-out)
//! ```
//! A lab is a file; the built-in ones are files inside the program. Each command is typed on a real terminal (`pane`,
//! `terminal`, `vt`). All of it runs below a control group with a ceiling, and whatever it made is gone at its end.

mod auto;
mod check;
mod facts;
mod html;
mod live;
mod pane;
mod parse;
mod player;
mod record;
mod script;
mod terminal;
mod view;
mod vt;
mod words;
mod world;

use std::path::Path;

use silo_engine::Engine;
use silo_sys::signal::SignalFd;
use silo_types::{Doing, Error, Result};

use self::{player::Player, script::Script};
use crate::output::print_line;

pub use terminal::{ON_TERMINAL, on_terminal};
pub use world::{PARENT, clear_leftovers, leftovers};

/// HUP, INT, QUIT, TERM end it; WINCH is another size.
const SIGNALS: [i32; 5] = [1, 2, 3, 15, WINCH];
const WINCH: i32 = 28;

/// A terminal for what is played unattended.
const SIZE: (u16, u16) = (40, 100);

/// The labs inside the program.
const BUILT_IN: [(&str, &str); 4] = [
    (
        "process-isolation",
        include_str!("labs/process-isolation.lab"),
    ),
    ("namespaces", include_str!("labs/namespaces.lab")),
    ("limits", include_str!("labs/limits.lab")),
    ("capabilities", include_str!("labs/capabilities.lab")),
];

/// What `lab new` writes.
const TEMPLATE: &str = include_str!("labs/template.lab");

/// How a lab is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Auto,
    /// On the user's terminal.
    Live {
        coloured: bool,
    },
}

/// Name and title of each built-in lab.
pub fn list() -> Result<Vec<(String, String)>> {
    let all = BUILT_IN.iter().map(|(name, text)| {
        let script = parse::parse(name, text)?;
        Ok((script.name, script.title))
    });
    all.collect()
}

/// A built-in lab, or a file: what has a slash or ends in `.lab` is one.
pub fn read(name: &str) -> Result<Script> {
    if let Some((name, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
        return parse::parse(name, text);
    }
    if name.contains('/') || name.ends_with(".lab") || Path::new(name).is_file() {
        let text = std::fs::read_to_string(name).doing_with(|| format!("read {name}"))?;
        return parse::parse(name, &text);
    }
    let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    Err(Error::not_found(format!(
        "no such lab: {name:.80}: there are {}, and files such as ./my.lab",
        names.join(", ")
    )))
}

/// What is in a file, in a line.
pub fn describe(script: &Script) -> String {
    let actions = script.steps.iter().flat_map(|step| &step.actions);
    let checks: usize = actions.clone().map(|action| action.checks.len()).sum();
    format!(
        "{}: {} steps, {} commands, {checks} checks",
        script.name,
        script.steps.len(),
        actions.count()
    )
}

/// Writes the template; an existing file is left alone.
pub fn write_template(path: &Path) -> Result<()> {
    use std::io::Write;
    let mut file =
        std::fs::File::create_new(path).doing_with(|| format!("make {}", path.display()))?;
    file.write_all(TEMPLATE.as_bytes())
        .doing_with(|| format!("write {}", path.display()))
}

/// Plays a lab; what it made is removed, whatever happened. The exit code.
pub fn play(engine: &Engine, script: &Script, how: How, hand_out: Option<&Path>) -> Result<i32> {
    let signals = SignalFd::new(&SIGNALS).doing("listen for signals")?;
    let script = match is_in_memory(&engine.paths().root) {
        true => &script.clone().without_disk()?,
        false => script,
    };
    let mut player = Player::new(engine, script, SIZE)?;
    let played = match how {
        How::Auto => auto::play(&mut player, &signals).map(|()| live::End::Finished),
        How::Live { coloured } => live::play(&mut player, &signals, coloured),
    };
    if let Err(error) = &played {
        player.record.broken = error.to_string();
    }
    player.leave_panes();
    let removed = player.world.clean_up();
    if let Some(path) = hand_out {
        std::fs::write(path, html::page(&player.record))
            .doing_with(|| format!("write {}", path.display()))?;
    }
    let end = played?;
    removed?;
    if end == live::End::Finished {
        print_line("\nAll checks passed.")?;
    }
    print_line("Nothing of the lab is left on this machine.")?;
    match end {
        live::End::Signal(number) => Ok(128 + number),
        _ => Ok(0),
    }
}

/// tmpfs and ramfs (linux/magic.h).
fn is_in_memory(folder: &Path) -> bool {
    let kind = rustix::fs::statfs(folder).map(|facts| facts.f_type as u64);
    matches!(kind, Ok(0x0102_1994 | 0x8584_58f6))
}

#[cfg(test)]
mod tests;
