//! A lab on the user's terminal: two panes, the step above them, and the command to type. What is typed runs for real; when
//! its checks hold, the lab goes on. One poll loop, no threads; the terminal is given back whichever way it ends.

use std::time::Duration;

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use silo_sys::signal::SignalFd;
use silo_types::{Doing, Error, Result};

use super::{
    WINCH,
    player::Player,
    record::Checked,
    script::{Action, Deed, Pane as Which, Step},
    view::{self, Picture},
};
use crate::{
    dash::screen::Screen,
    plot::{Face, text},
    terminal::{self, write_all},
};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Finished,
    Quit,
    Signal(i32),
}

/// How long nothing may happen before checks are looked at again.
const EVERY: Duration = Duration::from_millis(100);

/// A hint comes by itself when a check has not held for so long.
const PATIENCE: Duration = Duration::from_secs(12);

/// Said when a command would be typed into another one.
const STILL_RUNS: &str = "something still runs in that pane: wait for it, or stop it with Ctrl-C";

/// No mouse: what is selected with it should be copied as usual.
const NO_MOUSE: &[u8] = b"\x1b[?1006l\x1b[?1000l";

/// Keys of the lab itself; all others go to the pane.
const TYPE: u8 = 0x14;
const OTHER: u8 = 0x0f;
const NEXT: u8 = 0x0e;
const BACK: u8 = 0x02;
const HINT: u8 = 0x07;
const QUIT: u8 = 0x18;

/// Plays on the terminal until the lab, the user or a signal ends it.
pub fn play(player: &mut Player<'_>, signals: &SignalFd, coloured: bool) -> Result<End> {
    let mut screen = Screen::enter(coloured)?;
    write_all(std::io::stdout(), NO_MOUSE)?;
    let mut live = Live::new(player);
    live.fit();
    live.begin_step(0)?;
    loop {
        live.draw(&mut screen)?;
        if let Some(end) = live.turn(signals)? {
            return Ok(end);
        }
    }
}

/// A line being typed at the host's prompt of a pane.
#[derive(Default)]
pub struct Editor {
    pub line: String,
    history: Vec<String>,
    at: usize,
}

struct Live<'p, 'a> {
    player: &'p mut Player<'a>,
    step: usize,
    action: usize,
    /// Something was typed for the action.
    started: bool,
    /// All of the step is done.
    over: bool,
    /// The rest of the step is typed by the lab.
    hurries: bool,
    hint: bool,
    focus: Which,
    editors: [Editor; 2],
    said: String,
    /// What held of the command before.
    held: String,
    /// How many containers there were when each step began, by name.
    before: Vec<Vec<String>>,
}

impl<'p, 'a> Live<'p, 'a> {
    fn new(player: &'p mut Player<'a>) -> Live<'p, 'a> {
        Live {
            player,
            step: 0,
            action: 0,
            started: false,
            over: false,
            hurries: false,
            hint: false,
            focus: Which::Outside,
            editors: Default::default(),
            said: String::new(),
            held: String::new(),
            before: Vec::new(),
        }
    }

    fn step(&self) -> &'a Step {
        &self.player.script.steps[self.step]
    }

    fn action(&self) -> Option<&'a Action> {
        self.step().actions.get(self.action)
    }

    fn begin_step(&mut self, step: usize) -> Result<()> {
        self.step = step;
        self.action = 0;
        self.held.clear();
        self.over = false;
        let names = self
            .player
            .world
            .below()
            .iter()
            .map(|c| c.name().to_owned())
            .collect();
        self.before.truncate(step);
        self.before.push(names);
        self.player.begin_step(self.step())?;
        self.begin_action()
    }

    fn begin_action(&mut self) -> Result<()> {
        self.started = false;
        self.hint = false;
        let Some(action) = self.action() else {
            self.player.end_step();
            self.over = true;
            return Ok(());
        };
        self.player.expect(action);
        self.focus = Player::place(action);
        if let Deed::Plot(name, figure) = &action.deed {
            self.plot(name, *figure)?;
            self.player.act(action)?;
            self.action += 1;
            return self.begin_action();
        }
        match self.hurries {
            true => self.type_it(),
            false => Ok(()),
        }
    }

    fn plot(&mut self, name: &str, figure: super::script::Figure) -> Result<()> {
        let columns = usize::from(view::pane_size(terminal_size()).1)
            .saturating_sub(14)
            .clamp(10, 100);
        let drawn = match self.player.curve(name, figure, columns) {
            Ok(curve) => text(&curve, 4, Face::Plain),
            Err(error) => error.to_string(),
        };
        self.player
            .outside
            .past
            .write(drawn.replace('\n', "\r\n").as_bytes());
        Ok(())
    }

    /// What comes next is typed for the learner.
    fn type_it(&mut self) -> Result<()> {
        let Some(action) = self.action() else {
            return Ok(());
        };
        if !self.player.pane(Player::place(action)).is_done() {
            STILL_RUNS.clone_into(&mut self.said);
            let pressed = matches!(action.deed, Deed::Press(..));
            if !pressed {
                return Ok(());
            }
        }
        self.said.clear();
        self.started = true;
        match self.player.act(action) {
            Ok(()) => Ok(()),
            // A place of the text may not be there yet: a container that was removed by hand.
            Err(error) => {
                self.said = error.to_string();
                self.hurries = false;
                self.started = false;
                Ok(())
            }
        }
    }

    /// Waits for something and deals with it.
    fn turn(&mut self, signals: &SignalFd) -> Result<Option<End>> {
        let stdin = std::io::stdin();
        let more = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
        ];
        self.player.pump(EVERY, &more)?;
        while let Some(number) = signals.read() {
            if number != WINCH {
                return Ok(Some(End::Signal(number)));
            }
            self.fit();
        }
        if let Some(end) = self.keys()? {
            return Ok(Some(end));
        }
        if self.said == STILL_RUNS && self.player.pane(self.focus).is_done() {
            self.said.clear();
        }
        if let (true, Some(action)) = (self.started, self.action())
            && self.player.look(action)
        {
            self.player.note(action);
            let checks: Vec<String> = self.player.checks().iter().map(Checked::text).collect();
            self.held = checks.join(" \u{b7} ");
            self.action += 1;
            self.begin_action()?;
            if self.over && self.hurries {
                self.hurries = false;
                return self.next();
            }
        }
        if self.hurries
            && self.started
            && self.action().is_some_and(|a| self.player.is_due_again(a))
        {
            self.type_it()?;
        }
        self.hint |= self.started && self.player.elapsed() > PATIENCE;
        Ok(None)
    }

    /// Both panes get the room that there is.
    fn fit(&mut self) {
        let size = view::pane_size(terminal_size());
        self.player.outside.resize(size);
        self.player.inside.resize(size);
    }

    fn keys(&mut self) -> Result<Option<End>> {
        let stdin = std::io::stdin();
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        if poll(
            &mut fds,
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        )
        .unwrap_or(0)
            == 0
        {
            return Ok(None);
        }
        let mut buffer = [0u8; 1024];
        let got = match rustix::io::read(&stdin, &mut buffer) {
            // The terminal has gone.
            Ok(0) | Err(Errno::IO) => return Ok(Some(End::Signal(1))),
            Ok(got) => got,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(None),
            Err(e) => return Err(Error::system("read the keyboard", e)),
        };
        let mut rest = &buffer[..got];
        while let Some((&byte, after)) = rest.split_first() {
            let own = [TYPE, OTHER, NEXT, BACK, HINT, QUIT].contains(&byte);
            if own {
                rest = after;
                if let Some(end) = self.own_key(byte)? {
                    return Ok(Some(end));
                }
                continue;
            }
            let length = rest
                .iter()
                .position(|b| [TYPE, OTHER, NEXT, BACK, HINT, QUIT].contains(b))
                .unwrap_or(rest.len());
            let (typed, after) = rest.split_at(length);
            rest = after;
            if let Some(end) = self.typed(typed)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    fn own_key(&mut self, key: u8) -> Result<Option<End>> {
        self.said.clear();
        match key {
            QUIT => return Ok(Some(End::Quit)),
            TYPE if !self.over => self.type_it()?,
            TYPE => return self.next(),
            OTHER => {
                self.focus = match self.focus {
                    Which::Inside => Which::Outside,
                    Which::Outside => Which::Inside,
                }
            }
            NEXT if self.over => return self.next(),
            NEXT => {
                self.hurries = true;
                if !self.started {
                    self.type_it()?;
                }
            }
            BACK => self.back()?,
            _ => self.hint = true,
        }
        Ok(None)
    }

    fn next(&mut self) -> Result<Option<End>> {
        if self.step + 1 == self.player.script.steps.len() {
            return Ok(Some(End::Finished));
        }
        self.begin_step(self.step + 1)?;
        Ok(None)
    }

    /// To the start of this step, or of the one before; containers that were made since go.
    fn back(&mut self) -> Result<()> {
        let to = match self.action == 0 && !self.started {
            true => self.step.saturating_sub(1),
            false => self.step,
        };
        let kept = self.before.get(to).cloned().unwrap_or_default();
        self.player.leave_panes();
        for container in self.player.world.below() {
            if !kept.iter().any(|name| name == container.name()) {
                self.player.world.engine.remove(&container, true, true)?;
            }
        }
        self.hurries = false;
        let missing = kept
            .iter()
            .any(|name| self.player.world.engine.find(name).is_err());
        self.begin_step(to)?;
        self.said = match missing {
            true => "what was removed since is not brought back: go back further to make it again"
                .to_owned(),
            false => String::new(),
        };
        Ok(())
    }

    /// What was typed goes to the program of the pane, or to the line at its prompt.
    fn typed(&mut self, bytes: &[u8]) -> Result<Option<End>> {
        let focus = self.focus;
        let ours = self
            .action()
            .is_some_and(|action| Player::place(action) == focus);
        let pane = self.player.pane(focus);
        if pane.is_taken() {
            pane.keys(bytes)?;
            self.started |= ours && self.is_start(bytes);
            return Ok(None);
        }
        let editor = &mut self.editors[focus as usize];
        let Some(line) = editor.take(bytes) else {
            return Ok(None);
        };
        if line.is_empty() {
            return match self.over {
                true => self.next(),
                false => Ok(None),
            };
        }
        self.said.clear();
        self.player.enter(focus, &line)?;
        self.started |= ours;
        Ok(None)
    }

    /// Whether these keys are what the action waits for: a line, or its key.
    fn is_start(&self, bytes: &[u8]) -> bool {
        match self.action().map(|action| &action.deed) {
            Some(Deed::Press(_, key)) => bytes.contains(&key.byte()),
            Some(_) => bytes.contains(&b'\r'),
            None => false,
        }
    }

    fn draw(&mut self, screen: &mut Screen) -> Result<()> {
        let step = self.step();
        let fill =
            |text: &super::words::Template| self.player.fill(text).unwrap_or_else(|_| text.plain());
        let text: Vec<String> = step.text.iter().map(fill).collect();
        let task = match self.action() {
            Some(Action {
                deed: Deed::Type(pane, line),
                ..
            }) => Some((*pane, fill(line), true)),
            Some(Action {
                deed: Deed::Press(pane, key),
                ..
            }) => Some((*pane, key.word().to_owned(), false)),
            _ => None,
        };
        let hint = self
            .action()
            .and_then(|action| action.hint.as_ref())
            .filter(|_| self.hint)
            .map(fill);
        let picture = Picture {
            title: format!(
                "{} · step {} of {}: {}",
                self.player.script.name,
                self.step + 1,
                self.player.script.steps.len(),
                step.title
            ),
            text,
            task,
            started: self.started,
            last: self.step + 1 == self.player.script.steps.len(),
            checks: self.player.checks(),
            hint: match (hint, self.hint) {
                (None, true) => {
                    Some("type the command as it stands above, or press Ctrl-T".to_owned())
                }
                (hint, _) => hint,
            },
            said: &self.said,
            held: if self.started { "" } else { &self.held },
            focus: self.focus,
            outside: (&self.player.outside, &self.editors[Which::Outside as usize]),
            inside: (&self.player.inside, &self.editors[Which::Inside as usize]),
        };
        screen
            .terminal
            .draw(|frame| view::draw(frame, &picture))
            .doing("draw on the terminal")?;
        Ok(())
    }
}

fn terminal_size() -> (u16, u16) {
    match terminal::size() {
        (0, _) | (_, 0) => (24, 80),
        size => size,
    }
}

impl Editor {
    /// Takes in keys; a line when Enter was among them.
    fn take(&mut self, bytes: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(bytes);
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\r' | '\n' => {
                    let line = std::mem::take(&mut self.line).trim().to_owned();
                    if !line.is_empty() {
                        self.history.push(line.clone());
                    }
                    self.at = self.history.len();
                    return Some(line);
                }
                '\u{7f}' | '\u{8}' => drop(self.line.pop()),
                // Ctrl-C, Ctrl-U.
                '\u{3}' | '\u{15}' => self.line.clear(),
                '\u{1b}' => {
                    let sequence = letters
                        .by_ref()
                        .find(|letter| letter.is_ascii_alphabetic() && *letter != 'O');
                    match sequence {
                        Some('A') => self.recall(self.at.saturating_sub(1)),
                        Some('B') => self.recall(self.at + 1),
                        _ => {}
                    }
                }
                letter if letter.is_control() => {}
                letter => self.line.push(letter),
            }
        }
        None
    }

    fn recall(&mut self, at: usize) {
        self.at = at.min(self.history.len());
        self.line = self.history.get(self.at).cloned().unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_edited_and_recalled() {
        let mut editor = Editor::default();
        assert_eq!(editor.take(b"silo lx\x7fs\r"), Some("silo ls".to_owned()));
        assert_eq!(editor.take(b"\x1b[A"), None);
        assert_eq!(editor.line, "silo ls");
        assert_eq!(editor.take(b"\x1b[B\x1b[Cx\x03\r"), Some(String::new()));
    }
}
