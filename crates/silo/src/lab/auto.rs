//! A lab played unattended: each command shown as it is typed, its output, and what was checked. Lines, no second screen.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use silo_sys::signal::SignalFd;
use silo_types::{Error, Result};

use super::{
    player::{LOOK, Player},
    record::Checked,
    script::{Action, Deed, Pane, Step},
};
use crate::{
    output::print_line,
    plot::{Face, text},
};

/// Lines of a curve, and its columns.
const CURVE: (usize, usize) = (6, 60);

/// Lines of output that are shown: the beginning and the end.
const SHOWN: usize = 40;

/// Plays all steps; a check that fails ends it.
pub fn play(player: &mut Player<'_>, signals: &SignalFd) -> Result<()> {
    let script = player.script;
    print_line(&script.title)?;
    for (at, step) in script.steps.iter().enumerate() {
        print_line(&format!(
            "\n\u{2501}\u{2501} {} \u{2501}\u{2501} {}",
            at + 1,
            step.title
        ))?;
        player.begin_step(step)?;
        let played = play_step(player, step, signals);
        player.end_step();
        played.map_err(|error| error.context(format!("step {}", at + 1)))?;
    }
    Ok(())
}

fn play_step<'a>(player: &mut Player<'a>, step: &'a Step, signals: &SignalFd) -> Result<()> {
    for paragraph in &step.text {
        let text = player.fill(paragraph).unwrap_or_else(|_| paragraph.plain());
        for line in crate::output::wrap(&text, 100) {
            print_line(&format!("   {line}"))?;
        }
    }
    for action in &step.actions {
        play_action(player, action, signals)?;
    }
    Ok(())
}

fn play_action<'a>(player: &mut Player<'a>, action: &'a Action, signals: &SignalFd) -> Result<()> {
    player.expect(action);
    show_deed(player, action)?;
    player.act(action)?;
    while !player.look(action) {
        if player.elapsed() > action.within {
            break;
        }
        if player.is_due_again(action) {
            player.act(action)?;
        }
        let listen = PollFd::new(signals, PollFlags::IN);
        player.pump(LOOK, &[listen])?;
        if let Some(number) = signals.read() {
            return Err(interrupted(number));
        }
    }
    player.pump(Duration::ZERO, &[])?;
    show_output(player, action)?;
    player.note(action);
    let checks = player.checks();
    for check in &checks {
        let mark = if check.holds { '\u{2713}' } else { '\u{2717}' };
        print_line(&format!("   {mark} {}", check.text()))?;
    }
    verdict(player, action, &checks)
}

/// A signal that ends the lab.
pub fn interrupted(number: i32) -> Error {
    Error::conflict(format!("interrupted by signal {number}"))
}

fn verdict(player: &Player<'_>, action: &Action, checks: &[Checked]) -> Result<()> {
    if let Some(at) = checks.iter().position(|check| !check.holds) {
        let line = action
            .checks
            .get(at)
            .map_or(action.line, |check| check.line);
        return Err(Error::internal(format!(
            "not true within {} s: {} (line {line} of {})",
            action.within.as_secs(),
            checks[at].text(),
            player.script.name
        )));
    }
    if !player.look_done(action) {
        return Err(Error::internal(format!(
            "the command of line {} of {} did not end within {} s",
            action.line,
            player.script.name,
            action.within.as_secs()
        )));
    }
    Ok(())
}

fn show_deed(player: &Player<'_>, action: &Action) -> Result<()> {
    match &action.deed {
        Deed::Type(Pane::Outside, line) => print_line(&format!("   $ {}", player.fill(line)?)),
        Deed::Type(Pane::Inside, line) => {
            let prompt = if player.inside.is_taken() {
                "inside #"
            } else {
                "$"
            };
            print_line(&format!("   {prompt} {}", player.fill(line)?))
        }
        Deed::Press(pane, key) => print_line(&format!("   [{} {}]", key.word(), pane.word())),
        Deed::Plot(..) => Ok(()),
    }
}

fn show_output(player: &mut Player<'_>, action: &Action) -> Result<()> {
    if let Deed::Plot(name, figure) = &action.deed {
        let curve = player.curve(name, *figure, CURVE.1)?;
        for line in text(&curve, CURVE.0, Face::Plain).lines() {
            print_line(&format!("   {line}"))?;
        }
        return Ok(());
    }
    let output = player.pane(Player::place(action)).output().text.to_owned();
    let lines: Vec<&str> = output.lines().collect();
    let left_out = lines.len().saturating_sub(SHOWN);
    for (at, line) in lines.iter().enumerate() {
        if left_out > 0 && at == SHOWN / 2 {
            print_line(&format!("   … {left_out} lines"))?;
        }
        if at < SHOWN / 2 || at >= SHOWN / 2 + left_out {
            print_line(&format!("   {line}"))?;
        }
    }
    Ok(())
}
