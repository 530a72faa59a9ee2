//! What clients ask of a running container, and how it is done.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::event::PollFlags;
use silo_types::{Error, Kind, Result, Signal, Status};

use super::run::Monitor;
use crate::{
    events::Event,
    protocol::{self, CHUNK, FromClient, Reply, Request},
    store,
};

impl Monitor<'_> {
    /// Serves one client whose socket is ready.
    pub(super) fn serve(&mut self, index: usize, flags: PollFlags) {
        if flags.contains(PollFlags::OUT) {
            self.clients[index].flush();
        }
        if !flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return;
        }
        // A client that sends faster than the container reads is left waiting: the rest stays in its socket.
        while self.input.len() < 2 * CHUNK
            && let Some(packet) = self.clients[index].receive()
        {
            match packet {
                FromClient::Request(request) => self.request(index, &request),
                FromClient::Input(bytes) if self.clients[index].input => {
                    self.input.extend_from_slice(&bytes);
                    self.write_input();
                }
                FromClient::Input(_) => {}
                FromClient::EndOfInput => self.end_of_input(index),
            }
        }
        if self.clients[index].gone {
            self.end_of_input(index);
        }
    }

    /// `run -i` closes the program's input when its client has no more; otherwise others may still attach.
    fn end_of_input(&mut self, index: usize) {
        if self.clients[index].input && self.config.stdio.stdin_once && !self.config.stdio.tty {
            self.input_ends = true;
            self.close_input_at_end();
        }
        self.clients[index].input = false;
    }

    fn request(&mut self, index: usize, request: &Request) {
        let done = match request {
            Request::Attach { input, output } => {
                let client = &mut self.clients[index];
                client.attached = *output;
                client.input = *input;
                client.waits_for_exit = true;
                Ok(())
            }
            Request::Detach => {
                let client = &mut self.clients[index];
                client.input = false;
                client.attached = false;
                client.waits_for_exit = false;
                Ok(())
            }
            Request::Resize { rows, columns } => self.resize(*rows, *columns),
            Request::Kill { signal } => {
                self.note_asked(index, "kill", Some(*signal), None);
                self.kill(*signal)
            }
            Request::Stop {
                signal,
                timeout,
                restart,
            } => {
                let what = if *restart { "restart" } else { "stop" };
                self.note_asked(index, what, *signal, *timeout);
                self.clients[index].waits_for_exit = true;
                self.ends = true;
                self.state.stopped_by_user = true;
                self.begin_stop(*signal, *timeout);
                return;
            }
            Request::End { leave_links } => {
                self.note_asked(index, "rm", Some(Signal::KILL), None);
                self.clients[index].waits_for_exit = true;
                self.ends = true;
                self.state.stopped_by_user = true;
                self.thorough = true;
                self.leaves_links = *leave_links;
                self.measure_freed();
                self.restart_at = None;
                self.signal_main(Signal::KILL);
                return;
            }
            Request::Pause => self.pause(true),
            Request::Unpause => self.pause(false),
            Request::Update {
                resources,
                restart,
                may_kill,
            } => {
                let done = resources
                    .as_deref()
                    .map_or(Ok(()), |r| self.update(r, *may_kill));
                if done.is_ok() && restart.is_some() {
                    self.state.restart = *restart;
                }
                done.and_then(|()| self.locked.write_state(&self.state))
            }
            Request::UndoUpdate => {
                let done = self.undo_update();
                done.and_then(|()| self.locked.write_state(&self.state))
            }
            Request::Rename { name } => self.rename(name),
            Request::Wait => {
                self.clients[index].waits_for_exit = true;
                return;
            }
        };
        let reply = protocol::packet_json(b'P', &Reply::of(&done));
        self.clients[index].send(reply);
    }

    fn resize(&mut self, rows: u16, columns: u16) -> Result<()> {
        self.size = (rows, columns);
        let terminal = self.main.as_ref().and_then(|m| m.terminal.as_ref());
        let Some(terminal) = terminal else {
            return Ok(());
        };
        let size = rustix::termios::Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(terminal, size)
            .map_err(|e| Error::system("set the terminal's size", e))
    }

    fn kill(&mut self, signal: Signal) -> Result<()> {
        if self.main.is_none() {
            return Err(self.not_running());
        }
        let stop = self.config.life.stop_signal.unwrap_or(Signal::TERM);
        if signal == Signal::KILL || signal == stop {
            self.state.stopped_by_user = true;
        }
        self.signal_main(signal);
        let event = Event::of_container(&self.config, &self.state.name, "kill");
        self.engine.record(event.with("signal", signal.number()));
        Ok(())
    }

    fn not_running(&self) -> Error {
        Error::conflict(format!("container {} is not running", self.state.name))
    }

    /// Sends a signal through the pidfd. A frozen container must thaw to die.
    pub(super) fn signal_main(&mut self, signal: Signal) {
        let Some(main) = &self.main else { return };
        let _ = silo_sys::signal::pidfd_send(main.pidfd.as_fd(), signal.number());
        if signal == Signal::KILL && self.state.status == Status::Paused {
            let _ = main.cgroup.thaw();
        }
    }

    /// The stop signal now, KILL when the time is over.
    pub(super) fn begin_stop(&mut self, signal: Option<Signal>, timeout: Option<i64>) {
        self.restart_at = None;
        let life = &self.config.life;
        let signal = signal.or(life.stop_signal).unwrap_or(Signal::TERM);
        let seconds = timeout.or(life.stop_timeout).unwrap_or(10);
        if self.state.status == Status::Paused {
            let _ = self.pause(false);
        }
        self.signal_main(signal);
        self.stop_sent = Some((signal, Instant::now()));
        self.kill_at = u64::try_from(seconds)
            .ok()
            .and_then(|s| Instant::now().checked_add(Duration::from_secs(s)));
    }

    fn pause(&mut self, frozen: bool) -> Result<()> {
        let Some(main) = &self.main else {
            return Err(self.not_running());
        };
        let name = &self.state.name;
        match (self.state.status, frozen) {
            (Status::Paused, true) => {
                return Err(Error::conflict(format!(
                    "container {name} is already paused"
                )));
            }
            (Status::Running, false) => {
                return Err(Error::conflict(format!("container {name} is not paused")));
            }
            _ => {}
        }
        let (status, action) = if frozen {
            main.cgroup.freeze()?;
            (Status::Paused, "pause")
        } else {
            main.cgroup.thaw()?;
            (Status::Running, "unpause")
        };
        self.state.status = status;
        self.engine
            .record(Event::of_container(&self.config, &self.state.name, action));
        self.locked.write_state(&self.state)
    }

    fn rename(&mut self, name: &str) -> Result<()> {
        let paths = &self.engine.paths;
        silo_types::check_name("container", name)
            .and_then(|()| store::take_name(paths, name, &self.config.id))
            .map_err(|e| match e.kind() {
                Kind::Conflict => e.context("rename"),
                _ => e,
            })?;
        let old = std::mem::replace(&mut self.state.name, name.to_owned());
        self.locked.write_state(&self.state)?;
        store::release_name(paths, &old, &self.config.id)?;
        let event = Event::of_container(&self.config, name, "rename");
        self.engine.record(event.with("oldName", old));
        Ok(())
    }
}
