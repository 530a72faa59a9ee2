//! The dashboard: a task manager of the host and its containers, in the terminal.
//!
//! ```text
//! keys, clicks ─ input ─▶ app (what is looked at) ─┐
//! /proc, recordings ─ live ─▶ below ───────────────┴▶ draw ─▶ screen
//! ```
//! One poll loop, no threads: it waits for keys, for signals, and for the next second. The terminal is given back when it ends
//! by a key, a signal, an error or a panic.

mod app;
mod below;
mod draw;
mod input;
mod limits;
pub(crate) mod screen;

use std::{
    cmp::Ordering,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use serde_json::json;
use silo_engine::{Container, Engine};
use silo_observe::TopProcess;
use silo_sys::signal::SignalFd;
use silo_types::{Doing, Error, Result, Signal};

use self::{
    app::{Action, App, Focus, Sort, View},
    draw::{Below, Picture},
    input::Parser,
    screen::Screen,
};
use crate::live::{Data, Entry, gone, send_to_process};

const EVERY: Duration = Duration::from_secs(1);

/// An escape key is one when nothing follows it for so long.
const ALONE: Duration = Duration::from_millis(50);

/// HUP, INT, QUIT, TERM end it; WINCH is another size.
const SIGNALS: [i32; 5] = [1, 2, 3, 15, WINCH];
const WINCH: i32 = 28;

/// Runs until it is told to end; the exit code.
pub fn run(engine: &Engine, coloured: bool) -> Result<i32> {
    let mut data = Data::new(engine)?;
    data.gather()?;
    let signals = SignalFd::new(&SIGNALS).doing("listen for signals")?;
    let mut dash = Dash {
        engine,
        data,
        app: App::new(),
        order: Vec::new(),
        processes: Vec::new(),
        below: Below::default(),
        parser: Parser::default(),
        undo: Vec::new(),
    };
    let mut screen = Screen::enter(coloured)?;
    let mut due = Instant::now() + EVERY;
    dash.look(&screen)?;
    loop {
        dash.draw(&mut screen)?;
        match dash.wait(&signals, due)? {
            Woken::End(code) => return Ok(code),
            Woken::Keys => dash.look(&screen)?,
            Woken::Time => {
                if Instant::now() >= due {
                    dash.data.gather()?;
                    due = Instant::now() + EVERY;
                }
                dash.look(&screen)?;
            }
        }
    }
}

/// Why the loop goes on.
enum Woken {
    Keys,
    Time,
    End(i32),
}

struct Dash<'a> {
    engine: &'a Engine,
    data: Data<'a>,
    app: App,
    /// Places in the data's list, filtered and sorted.
    order: Vec<usize>,
    processes: Vec<TopProcess>,
    below: Below,
    parser: Parser,
    undo: Vec<limits::Change>,
}

impl Dash<'_> {
    fn wait(&mut self, signals: &SignalFd, due: Instant) -> Result<Woken> {
        let mut left = due.saturating_duration_since(Instant::now());
        if self.parser.is_waiting() {
            left = left.min(ALONE);
        }
        let timeout = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let stdin = std::io::stdin();
        let mut fds = [
            PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN),
            PollFd::new(signals, PollFlags::IN),
        ];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Woken::Time),
            Err(e) => return Err(Error::system("wait for keys", e)),
        }
        let (keys, signalled) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        if signalled {
            while let Some(number) = signals.read() {
                if number != WINCH {
                    return Ok(Woken::End(128 + number));
                }
            }
        }
        if keys {
            return self.keys();
        }
        match self.parser.is_waiting() {
            true => Ok(self.typed(&[], true)),
            false => Ok(Woken::Time),
        }
    }

    fn keys(&mut self) -> Result<Woken> {
        let mut buffer = [0; 1024];
        match rustix::io::read(std::io::stdin(), &mut buffer) {
            // The terminal has gone.
            Ok(0) | Err(Errno::IO) => Ok(Woken::End(128 + 1)),
            Ok(got) => Ok(self.typed(&buffer[..got], false)),
            Err(Errno::INTR | Errno::AGAIN) => Ok(Woken::Keys),
            Err(e) => Err(Error::system("read the keyboard", e)),
        }
    }

    fn typed(&mut self, bytes: &[u8], last: bool) -> Woken {
        for input in self.parser.take(bytes, last) {
            match self.app.handle(input) {
                Some(Action::Quit) => return Woken::End(0),
                Some(action) => {
                    let done = self.act(action);
                    self.app.message = done.unwrap_or_else(|error| error.to_string());
                }
                None => self.arrange(),
            }
        }
        Woken::Keys
    }

    /// What was done, in words.
    fn act(&mut self, action: Action) -> Result<String> {
        match action {
            Action::Quit => Ok(String::new()),
            Action::Signal(signal) => self.send(signal),
            Action::Change { more } => {
                let at = *self.order.get(self.app.container).ok_or_else(nothing)?;
                let entry = &self.data.entries[at];
                let change = limits::Change::of(entry, self.app.line, more)?;
                let text = change.apply(self.engine)?;
                self.undo.push(change);
                // What is changed next starts from here.
                self.data.gather_containers()?;
                Ok(text)
            }
            Action::Undo => match self.undo.pop() {
                Some(change) => {
                    let text = change.undo(self.engine)?;
                    self.data.gather_containers()?;
                    Ok(text)
                }
                None => Ok("no limit was changed".to_owned()),
            },
        }
    }

    /// Sends a signal to the chosen process, or to the chosen container.
    fn send(&self, signal: Signal) -> Result<String> {
        if self.app.focus == Focus::Below && self.app.view == View::Processes {
            let process = self.processes.get(self.app.line);
            let process = process.ok_or_else(|| Error::invalid("no process is chosen"))?;
            let seen = self.data.seen.iter().find(|id| id.pid == process.host_pid);
            send_to_process(*seen.ok_or_else(|| gone(process.host_pid))?, signal)?;
            return Ok(format!("sent {signal} to process {}", process.host_pid));
        }
        let container = self.chosen().ok_or_else(nothing)?;
        self.engine.kill(&container, signal)?;
        Ok(format!("sent {signal} to {}", container.name()))
    }

    fn chosen(&self) -> Option<Container> {
        let at = *self.order.get(self.app.container)?;
        Some(self.data.entries[at].container.clone())
    }

    /// Filters and sorts.
    fn arrange(&mut self) {
        let entries = &self.data.entries;
        let wanted = |entry: &Entry| entry.container.name().contains(&self.app.filter);
        let mut order: Vec<usize> = (0..entries.len())
            .filter(|at| wanted(&entries[*at]))
            .collect();
        order.sort_by(|a, b| {
            let ordering = compare(self.app.sort, &entries[*a], &entries[*b]);
            match self.app.reversed {
                true => ordering.reverse(),
                false => ordering,
            }
        });
        self.order = order;
        let count = self.order.len();
        self.app.drawn(count, self.app.lines);
    }

    /// Makes the lower half anew.
    fn look(&mut self, screen: &Screen) -> Result<()> {
        self.arrange();
        let size = screen.terminal.size().doing("find the terminal's size")?;
        let room = (size.width, size.height / 2);
        self.processes.clear();
        if size.width >= draw::WIDE || self.app.events {
            self.count_zombies(usize::from(size.height / 2));
        }
        let made =
            match (self.app.view, self.chosen()) {
                (View::Processes, _) if self.app.everywhere => below::everywhere(&mut self.data)
                    .map(|(below, processes)| {
                        self.processes = processes;
                        below
                    }),
                (_, None) => Ok(Below::default()),
                (View::Processes, Some(container)) => below::processes(&mut self.data, &container)
                    .map(|(below, processes)| {
                        self.processes = processes;
                        below
                    }),
                (View::Namespaces, Some(_)) => {
                    let entries = self.order.iter().map(|at| &self.data.entries[*at]);
                    let shown: Vec<Container> = entries
                        .skip(self.app.container)
                        .map(|e| e.container.clone())
                        .take(usize::from(size.height))
                        .collect();
                    Ok(below::namespaces(&mut self.data, &shown))
                }
                (View::Limits, Some(_)) => {
                    let entry = &self.data.entries[self.order[self.app.container]];
                    below::limits(self.engine, entry, &self.app, room)
                }
                (View::Timeline, Some(_)) => {
                    let at = self.order[self.app.container];
                    let entry = self.data.entries[at].clone();
                    below::timeline(self.engine, &entry, &mut self.app, room)
                }
                (View::Logs, Some(container)) => below::logs(self.engine, &container, room.1),
            };
        // One that has just ended has no processes: that is no reason to end as well.
        self.below = made.unwrap_or_else(|error| Below {
            heading: error.to_string(),
            ..Below::default()
        });
        Ok(())
    }

    /// Of the containers that can be seen alone: each costs some files.
    fn count_zombies(&mut self, rows: usize) {
        let first = self.app.container.saturating_sub(rows);
        for at in self.order.iter().skip(first).take(2 * rows) {
            let container = &self.data.entries[*at].container;
            self.data.entries[*at].zombies = match self.data.entries[*at].glance {
                // They count as processes: where there is one alone it lives.
                Some(glance) if glance.moment.pids > 1 => {
                    self.data.zombies(container, usize::MAX).unwrap_or(0)
                }
                _ => 0,
            };
        }
    }

    fn draw(&mut self, screen: &mut Screen) -> Result<()> {
        let entries: Vec<&Entry> = self
            .order
            .iter()
            .map(|at| &self.data.entries[*at])
            .collect();
        let picture = Picture {
            host: &self.data.host,
            entries: &entries,
            below: &self.below,
        };
        screen
            .terminal
            .draw(|frame| draw::draw(frame, &mut self.app, &picture))
            .doing("draw on the terminal")?;
        Ok(())
    }
}

/// The largest first; those that run before those that do not; by name where that is equal.
fn compare(sort: Sort, a: &Entry, b: &Entry) -> Ordering {
    let names = || a.container.name().cmp(b.container.name());
    let up = |entry: &Entry| entry.container.state.status.is_up();
    let figure = |entry: &Entry| match (sort, entry.glance) {
        (Sort::Name, _) | (_, None) => 0.0,
        (Sort::Cpu, Some(glance)) => glance.step.cpu,
        (Sort::Memory, Some(glance)) => glance.moment.held as f64,
        (Sort::Throttled, Some(glance)) => glance.step.throttled,
        (Sort::Processes, Some(glance)) => glance.moment.pids as f64,
    };
    let running = up(b).cmp(&up(a));
    let largest = figure(b).total_cmp(&figure(a));
    match sort {
        Sort::Name => names(),
        _ => running.then(largest).then_with(names),
    }
}

fn nothing() -> Error {
    Error::invalid("nothing is chosen")
}

/// One picture as a document.
pub fn document(engine: &Engine) -> Result<serde_json::Value> {
    let mut data = Data::new(engine)?;
    data.gather()?;
    let host = &data.host;
    let containers: Vec<serde_json::Value> = data
        .entries
        .iter()
        .map(|entry| {
            let state = &entry.container.state;
            json!({
                "id": entry.container.id().as_str(),
                "name": entry.container.name(),
                "state": state.status.as_str(),
                "restarts": state.restart_count,
                "usedCpus": entry.glance.map(|g| g.step.cpu / 1000.0),
                "cpus": entry.glance.and_then(|g| positive(g.moment.cpu_limit)).map(|l| l as f64 / 1000.0),
                "throttledPercent": entry.glance.map(|g| g.step.throttled * 100.0),
                "memoryBytes": entry.glance.map(|g| g.moment.held),
                "cacheBytes": entry.glance.map(|g| g.moment.cache()),
                "memoryLimitBytes": entry.glance.and_then(|g| positive(g.moment.memory_limit)),
                "pids": entry.glance.map(|g| g.moment.pids),
            })
        })
        .collect();
    Ok(json!({
        "host": {
            "cpus": host.cpus,
            "load": host.load,
            "memoryBytes": host.memory.total,
            "memoryAvailableBytes": host.memory.available,
            "swapBytes": host.memory.swap_total,
            "swapFreeBytes": host.memory.swap_free,
            "pressure": {"cpu": host.pressure[0], "memory": host.pressure[1], "io": host.pressure[2]},
        },
        "containers": containers,
    }))
}

fn positive(figure: u64) -> Option<u64> {
    (figure > 0).then_some(figure)
}
