//! The monitor's life: one loop that waits for everything at once.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::SocketFlags,
};
use silo_image::Image;
use silo_sys::signal::SignalFd;
use silo_types::{ContainerConfig, ContainerState, Result, Status};

use super::{
    Attach, Client, Clock, Setup, listen,
    log::{LogWriter, Stream},
    quiet::Quiet,
    record::{Look, Recorder},
    start::{Main, Start},
};
use crate::{
    Engine,
    create::now,
    events::Event,
    protocol::{self, CHUNK, Freed, Reply, StartedInfo},
    store::Locked,
};

/// Everything that a monitor holds.
pub(crate) struct Monitor<'a> {
    pub(super) engine: &'a Engine,
    pub(super) locked: Locked,
    pub(super) config: ContainerConfig,
    pub(super) state: ContainerState,
    pub(super) image: Image,
    pub(super) listener: OwnedFd,
    pub(super) signals: SignalFd,
    pub(super) clients: Vec<Client>,
    pub(super) log: LogWriter,
    pub(super) main: Option<Main>,
    /// Input that the container has not taken yet.
    pub(super) input: Vec<u8>,
    pub(super) input_ends: bool,
    pub(super) size: (u16, u16),
    /// When a stop gives way to KILL.
    pub(super) kill_at: Option<Instant>,
    /// The signal that a stop began with, and when.
    pub(super) stop_sent: Option<(silo_types::Signal, Instant)>,
    pub(super) restart_at: Option<Instant>,
    pub(super) restart_delay: Duration,
    /// The end was asked for with everything freed: `rm -f`.
    pub(super) thorough: bool,
    /// But who asked waits for its links, with those of others.
    pub(super) leaves_links: bool,
    /// No restart any more.
    pub(super) ends: bool,
    pub(super) oom: super::oom::OomState,
    pub(super) freed: Freed,
    pub(super) recorder: Option<Recorder>,
    pub(super) quiet: Option<Quiet>,
}

/// What the loop waits for, beside the clients by number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    Listener,
    Signals,
    Exit,
    Output,
    Error,
    Terminal,
    Input,
    Oom,
    Client(usize),
}

impl<'a> Monitor<'a> {
    /// The whole life; returns the monitor's own exit code.
    pub(crate) fn run(engine: &'a Engine, setup: Setup, socket: OwnedFd) -> i32 {
        let mut first = Client::new(socket);
        let clock = setup.clock;
        let attach = setup.attach;
        let made = listen(engine, &setup.config)
            .and_then(|l| Ok((l, SignalFd::new(&[15]).map_err(crate::io_error)?)));
        let (listener, signals) = match made {
            Ok(made) => made,
            Err(error) => {
                first.send(protocol::packet_json(b'P', &Reply::of(&Err(error))));
                return 1;
            }
        };
        let log = LogWriter::new(setup.locked.path.join("log.json"), setup.config.log.clone());
        let mut monitor = Monitor {
            engine,
            locked: setup.locked,
            config: setup.config,
            state: setup.state,
            image: setup.image,
            listener,
            signals,
            clients: Vec::new(),
            log,
            main: None,
            input: Vec::new(),
            input_ends: false,
            size: attach.map_or((0, 0), |a: Attach| a.size),
            kill_at: None,
            stop_sent: None,
            restart_at: None,
            restart_delay: Duration::from_millis(100),
            thorough: false,
            leaves_links: false,
            ends: false,
            oom: super::oom::OomState::new(),
            freed: Freed::default(),
            recorder: None,
            quiet: None,
        };
        first.waits_for_start = true;
        if let Some(attach) = attach {
            first.attached = true;
            first.waits_for_exit = true;
            first.input = attach.input;
        }
        monitor.clients.push(first);
        monitor.live(clock)
    }

    fn live(mut self, mut clock: Clock) -> i32 {
        clock.step("monitor");
        if let Err(error) = self.start(&mut clock) {
            self.fail_start(error);
            return 1;
        }
        silo_sys::process::trim_heap();
        loop {
            if self.main.is_none() && self.restart_at.is_none() {
                break;
            }
            self.turn();
        }
        self.finish();
        0
    }

    /// Starts the main process and tells those who wait for it.
    pub(super) fn start(&mut self, clock: &mut Clock) -> Result<()> {
        let resources = self.state.resources.clone();
        let start = Start {
            engine: self.engine,
            config: &self.config,
            resources: resources.as_ref().unwrap_or(&self.config.resources),
            folder: &self.locked.path,
            image: &self.image,
            size: self.size,
        };
        let main = start.run(clock)?;
        // Its descriptors may have the numbers of those of the run before.
        self.quiet = None;
        let own = rustix::process::getpid().as_raw_nonzero().get();
        self.state.status = Status::Running;
        self.state.main = Some(main.process);
        self.state.monitor = Some(super::process_id(own)?);
        self.note_begin(main.process.pid);
        self.state.started = now();
        self.state.error.clear();
        self.state.oom_killed = false;
        self.state.cgroup = self.engine.cgroup_path(&self.config);
        self.state.ip = main.ip.clone();
        self.oom = super::oom::OomState::new();
        let pid = main.process.pid;
        self.main = Some(main);
        self.locked.write_state(&self.state)?;
        clock.step("state");
        self.engine
            .record(Event::of_container(&self.config, &self.state.name, "start"));
        let info = StartedInfo {
            pid,
            timing: clock.steps.clone(),
            warnings: Vec::new(),
        };
        for client in self.clients.iter_mut().filter(|c| c.waits_for_start) {
            client.waits_for_start = false;
            client.send(protocol::packet_json(b'S', &info));
            // A command that only started it hears no more.
            client.gone = !client.attached;
        }
        self.recorder = Some(Recorder::new());
        Ok(())
    }

    /// One turn of the loop: wait, then serve what is ready.
    fn turn(&mut self) {
        let ready = self.wait();
        for (source, flags) in &ready {
            match source {
                Source::Listener => self.accept(),
                Source::Signals => self.signalled(),
                Source::Output => self.read_output(Stream::Output),
                Source::Error => self.read_output(Stream::Error),
                Source::Terminal => self.read_terminal(),
                Source::Input => self.write_input(),
                Source::Oom => {
                    // v1 gives notice before it kills: the peak is still there.
                    self.record(Look::Alarm);
                    self.oom_event();
                }
                Source::Client(index) => self.serve(*index, *flags),
                Source::Exit => {}
            }
        }
        self.clients.retain(|client| !client.gone);
        // Last: what the process wrote before it ended has been read in the same turn or is drained now.
        if ready.iter().any(|(source, _)| *source == Source::Exit) {
            self.ended();
        }
        self.timers();
    }

    fn wait(&mut self) -> Vec<(Source, PollFlags)> {
        if self.clients.is_empty()
            && self.input.is_empty()
            && let Some(main) = &self.main
        {
            let timeout = self.next_timer().map(left);
            if let Some(quiet) = Quiet::of(self.quiet.take(), main, &self.listener, &self.signals) {
                return self.quiet.insert(quiet).wait(timeout);
            }
        }
        self.quiet = None;
        self.wait_for_all()
    }

    fn wait_for_all(&self) -> Vec<(Source, PollFlags)> {
        let mut sources = vec![Source::Listener, Source::Signals];
        let mut fds = vec![
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
        ];
        let held_back = self.clients.iter().any(|c| c.attached && c.is_behind());
        if let Some(main) = &self.main {
            sources.push(Source::Exit);
            fds.push(PollFd::new(&main.pidfd, PollFlags::IN));
            let streams = [
                (Source::Output, &main.output),
                (Source::Error, &main.error),
                (Source::Terminal, &main.terminal),
            ];
            for (source, stream) in streams {
                if let Some(stream) = stream
                    && !held_back
                {
                    sources.push(source);
                    fds.push(PollFd::new(stream, PollFlags::IN));
                }
            }
            let input = main.input.as_ref().or(main.terminal.as_ref());
            if let Some(input) = input
                && !self.input.is_empty()
            {
                sources.push(Source::Input);
                fds.push(PollFd::new(input, PollFlags::OUT));
            }
            if let Some(oom) = &main.oom {
                sources.push(Source::Oom);
                fds.push(PollFd::from_borrowed_fd(oom.fd(), oom.interest()));
            }
        }
        for (index, client) in self.clients.iter().enumerate() {
            let mut flags = PollFlags::empty();
            // Only who types is held back: others must be able to stop a container that does not read.
            if !client.input || self.input.len() < 2 * CHUNK {
                flags |= PollFlags::IN;
            }
            if client.is_behind() {
                flags |= PollFlags::OUT;
            }
            sources.push(Source::Client(index));
            fds.push(PollFd::new(client, flags));
        }
        let timeout = self.next_timer().map(left);
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        sources
            .into_iter()
            .zip(fds.iter().map(PollFd::revents))
            .filter(|(_, flags)| !flags.is_empty())
            .collect()
    }

    fn next_timer(&self) -> Option<Instant> {
        let record_at = self.record_at();
        [self.kill_at, self.restart_at, self.oom.look_at, record_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn timers(&mut self) {
        let now = Instant::now();
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            self.note_ignored();
            self.signal_main(silo_types::Signal::KILL);
        }
        if self.oom.look_at.is_some_and(|at| at <= now) {
            self.oom_look();
        }
        if self.record_at().is_some_and(|at| at <= now) {
            self.record(Look::Usual);
        }
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            if let Err(error) = self.start(&mut Clock::new()) {
                self.note_failed();
                self.state.error = error.to_string();
                self.state.exit_code = i32::from(error.kind().exit_code());
                self.after_end();
            }
        }
    }

    fn accept(&mut self) {
        let accepted = rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC);
        if let Ok(socket) = accepted {
            self.clients.push(Client::new(socket));
        }
    }

    /// TERM to the monitor stops its container in order.
    fn signalled(&mut self) {
        while let Some((signal, pid, uid)) = self.signals.read_with_sender() {
            self.ends = true;
            self.note_signalled(signal, pid, uid);
            self.begin_stop(None, None);
        }
    }

    pub(super) fn read_output(&mut self, stream: Stream) {
        let Some(main) = &mut self.main else { return };
        let slot = match stream {
            Stream::Output => &mut main.output,
            Stream::Error => &mut main.error,
        };
        let Some(fd) = slot else { return };
        match read_chunk(fd.as_fd()) {
            Some(bytes) if !bytes.is_empty() => self.deliver(stream, &bytes),
            Some(_) => *slot = None,
            None => {}
        }
    }

    fn read_terminal(&mut self) {
        let Some(main) = &mut self.main else { return };
        let Some(fd) = &main.terminal else { return };
        match read_chunk(fd.as_fd()) {
            Some(bytes) if !bytes.is_empty() => self.deliver(Stream::Output, &bytes),
            Some(_) => main.terminal = None,
            None => {}
        }
    }

    fn deliver(&mut self, stream: Stream, bytes: &[u8]) {
        self.log.write(stream, bytes);
        let tag = match stream {
            Stream::Output => b'1',
            Stream::Error => b'2',
        };
        for client in self.clients.iter_mut().filter(|c| c.attached) {
            client.send(protocol::packet(tag, bytes));
        }
    }

    /// What was written before the end, and is still in the pipes: as much as a pipe holds, then as long as there is more, but
    /// never longer than a second, for another process may keep the other end.
    pub(super) fn drain(&mut self) {
        let until = Instant::now() + Duration::from_secs(1);
        for stream in [Stream::Output, Stream::Error] {
            while Instant::now() < until && self.has_output(stream) {
                self.read_output(stream);
            }
        }
        while Instant::now() < until && self.has_terminal_output() {
            self.read_terminal();
        }
        self.log.finish();
    }

    fn has_output(&self, stream: Stream) -> bool {
        let main = self.main.as_ref();
        let fd = match stream {
            Stream::Output => main.and_then(|m| m.output.as_ref()),
            Stream::Error => main.and_then(|m| m.error.as_ref()),
        };
        fd.is_some_and(is_readable)
    }

    fn has_terminal_output(&self) -> bool {
        let main = self.main.as_ref();
        main.and_then(|m| m.terminal.as_ref())
            .is_some_and(is_readable)
    }

    pub(super) fn write_input(&mut self) {
        let Some(main) = &mut self.main else { return };
        let Some(fd) = main.input.as_ref().or(main.terminal.as_ref()) else {
            self.input.clear();
            return;
        };
        // A terminal takes at most its line buffer at once: never more than is asked of poll.
        let most = if main.input.is_some() { CHUNK } else { 1024 };
        let piece = &self.input[..self.input.len().min(most)];
        match rustix::io::write(fd, piece) {
            Ok(written) => drop(self.input.drain(..written)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => {
                self.input.clear();
                main.input = None;
            }
        }
        self.close_input_at_end();
    }

    pub(super) fn close_input_at_end(&mut self) {
        if self.input_ends
            && self.input.is_empty()
            && let Some(main) = &mut self.main
        {
            main.input = None;
            self.input_ends = false;
        }
    }
}

/// How long until then.
fn left(until: Instant) -> Timespec {
    let left = until.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: left.as_secs() as i64,
        tv_nsec: i64::from(left.subsec_nanos()),
    }
}

fn is_readable(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Bytes; an empty piece at the end; `None` when there is nothing now.
fn read_chunk(fd: std::os::fd::BorrowedFd<'_>) -> Option<Vec<u8>> {
    let mut buffer = vec![0u8; CHUNK];
    match rustix::io::read(fd, buffer.as_mut_slice()) {
        Ok(got) => {
            buffer.truncate(got);
            Some(buffer)
        }
        Err(Errno::AGAIN | Errno::INTR) => None,
        Err(_) => Some(Vec::new()),
    }
}
