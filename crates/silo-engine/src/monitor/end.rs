//! The end of a main process: what it left is drained, torn down and written; then restart, removal or rest.

use std::time::{Duration, Instant};

use rustix::process::{WaitId, WaitIdOptions, waitid};
use silo_types::{Error, RestartPolicy, Status};

use super::run::Monitor;
use crate::{
    create::now,
    events::Event,
    network::Teardown,
    protocol::{self, Exit, Reply},
    store::Aside,
};

/// A run of this length forgets the restarts before it.
const LONG_RUN: Duration = Duration::from_secs(10);

const LONGEST_DELAY: Duration = Duration::from_secs(60);

impl Monitor<'_> {
    /// The main process has ended.
    pub(super) fn ended(&mut self) {
        let Some(main) = &self.main else { return };
        let id = WaitId::PidFd(std::os::fd::AsFd::as_fd(&main.pidfd));
        let status = match waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(status)) => status,
            _ => return,
        };
        let code = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, signal) => 128 + signal.unwrap_or(9),
        };
        let process = main.process;
        self.note_end(&status);
        self.oom.looks_left = 1;
        self.oom_look();
        self.end_record();
        self.drain();
        self.state.oom_killed = self.main_was_victim(process, code);
        self.main = None;
        self.kill_at = None;
        self.oom.look_at = None;
        let how = match self.thorough && !self.leaves_links {
            true => Teardown::Whole,
            false => Teardown::Quick,
        };
        for error in self.engine.teardown(&self.config, how) {
            self.state.error = error.to_string();
        }
        self.state.exit_code = code;
        self.after_end();
    }

    /// Decides what comes after an end or a failed restart.
    pub(super) fn after_end(&mut self) {
        let ran = Duration::from_nanos(now().saturating_sub(self.state.started));
        self.state.finished = now();
        self.state.main = None;
        self.state.ip.clear();
        let event = Event::of_container(&self.config, &self.state.name, "die");
        self.engine
            .record(event.with("exitCode", self.state.exit_code));
        if self.wants_restart() {
            if ran > LONG_RUN {
                self.restart_delay = Duration::from_millis(100);
            }
            self.state.status = Status::Restarting;
            self.state.restart_count += 1;
            self.restart_at = Some(Instant::now() + self.restart_delay);
            self.restart_delay = (self.restart_delay * 2).min(LONGEST_DELAY);
            let _ = self.locked.write_state(&self.state);
            self.tell_exit();
        } else {
            self.state.status = Status::Exited;
            self.state.monitor = None;
        }
    }

    fn wants_restart(&self) -> bool {
        if self.ends || self.config.life.auto_remove {
            return false;
        }
        let policy = self.state.restart.unwrap_or(self.config.life.restart);
        match policy {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => !self.state.stopped_by_user,
            RestartPolicy::OnFailure(most) => {
                self.state.exit_code != 0
                    && !self.state.stopped_by_user
                    && (most == 0 || self.state.restart_count < most)
            }
        }
    }

    /// Tells everyone who waits; they hear no more after it.
    fn tell_exit(&mut self) {
        let exit = Exit {
            code: self.state.exit_code,
            oom_killed: self.state.oom_killed,
            freed: self.freed.clone(),
        };
        let packet = protocol::packet_json(b'X', &exit);
        let (waiting, others) = std::mem::take(&mut self.clients)
            .into_iter()
            .partition(|c| c.waits_for_exit);
        self.clients = others;
        let waiting: Vec<super::Client> = waiting;
        for mut client in waiting {
            client.send(packet.clone());
            client.finish();
        }
    }

    /// The last of it: state or removal, then the last words.
    pub(super) fn finish(mut self) {
        let _ = std::fs::remove_file(self.engine.paths.socket(&self.config.id));
        self.state.monitor = None;
        if self.state.status == Status::Restarting {
            self.state.status = Status::Exited;
        }
        let mut aside = None;
        if self.config.life.auto_remove {
            let set_aside = self
                .engine
                .set_aside(&self.locked, &self.config, &self.state, true);
            aside = set_aside.ok();
        } else {
            let _ = self.locked.write_state(&self.state);
        }
        // Nobody sees its files any more, so who waits need not wait for them: but `rm -f` says what it freed, and volumes show.
        let volumes = self.config.files.anonymous_volumes().next().is_some();
        if self.thorough || volumes {
            self.delete_aside(aside.take());
        }
        self.answer_late_comers();
        self.tell_exit();
        self.delete_aside(aside);
    }

    fn delete_aside(&self, aside: Option<Aside>) {
        if let Some(aside) = aside {
            let _ = self.engine.delete_aside(&aside, &self.config, &self.state);
        }
    }

    /// Who connected while the end was on its way gets an answer, too.
    fn answer_late_comers(&mut self) {
        while let Ok(socket) =
            rustix::net::accept_with(&self.listener, rustix::net::SocketFlags::CLOEXEC)
        {
            let mut client = super::Client::new(socket);
            client.waits_for_exit = true;
            self.clients.push(client);
        }
    }

    /// The program could not be started: the container stays as created, with the error, unless it removes itself.
    pub(super) fn fail_start(mut self, error: Error) {
        let _ = std::fs::remove_file(self.engine.paths.socket(&self.config.id));
        self.note_failed();
        self.state.error = error.to_string();
        self.state.exit_code = i32::from(error.kind().exit_code());
        self.state.status = if self.state.started == 0 {
            Status::Created
        } else {
            Status::Exited
        };
        self.state.monitor = None;
        self.state.main = None;
        if self.config.life.auto_remove {
            let _ = self
                .engine
                .delete(&self.locked, &self.config, &self.state, true);
        } else {
            let _ = self.locked.write_state(&self.state);
        }
        let packet = protocol::packet_json(b'P', &Reply::of(&Err(error)));
        for mut client in std::mem::take(&mut self.clients) {
            client.send(packet.clone());
            client.finish();
        }
    }

    /// What killing the container will give back, measured before.
    pub(super) fn measure_freed(&mut self) {
        let Some(main) = &self.main else { return };
        self.freed.processes = main.cgroup.procs(false).map_or(0, |p| p.len() as u64);
        self.freed.memory_bytes = self.engine.memory_in_use(&main.cgroup);
    }
}
