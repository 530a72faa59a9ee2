//! The loop that talks: connections, their limits and deadlines, and the clock of the live pages. It never waits for a disk, a
//! container or a slow reader; what takes time is done by the two threads of [`work`](super::work), which answer over a channel.
//!
//! ```text
//! accept ─▶ Reading ─▶ Waiting ─▶ Writing ─▶ closed        one request a connection
//!               └────▶ Live: a message a second
//! ```
//! Without a page that looks there is no clock: it sleeps until somebody connects.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::mpsc::{Receiver, Sender},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use silo_sys::signal::SignalFd;
use silo_types::{Doing, Error, Result};

use super::{
    guard::Token,
    http::{self, LONGEST_BODY, LONGEST_HEAD, Refused},
    routes::{self, Route, Wish},
    work::{Job, Reply},
};

/// Connections at once, and of them pages that look.
pub const MOST: usize = 64;
pub const MOST_LIVE: usize = 16;

const EVERY: Duration = Duration::from_secs(1);

/// For a request to be all there, for an answer to be taken, for the work between the two.
pub const PATIENCE: Duration = Duration::from_secs(5);
const WORK: Duration = Duration::from_secs(20);

enum State {
    Reading,
    /// For the threads' answer.
    Waiting,
    Writing,
    Live(Wish),
}

struct Connection {
    socket: TcpStream,
    state: State,
    /// When this state has lasted too long; moves with what is taken.
    deadline: Instant,
    input: Vec<u8>,
    output: Vec<u8>,
    /// A live page's first message comes at once.
    is_told: bool,
    /// The other side says no more, and may still listen.
    is_shut: bool,
}

pub struct Server {
    pub listener: TcpListener,
    pub signals: SignalFd,
    pub token: Token,
    pub control: bool,
    /// To the thread that looks, and to the one that acts.
    pub looks: Sender<Job>,
    pub acts: Sender<Job>,
    pub replies: Receiver<Reply>,
    /// Readable when there is a reply.
    pub woken: UnixStream,
    connections: BTreeMap<u64, Connection>,
    next: u64,
    due: Instant,
    /// The thread has not yet answered the last second's wishes.
    is_looking: bool,
}

impl Server {
    pub fn new(
        listener: TcpListener,
        signals: SignalFd,
        token: Token,
        control: bool,
        (looks, acts): (Sender<Job>, Sender<Job>),
        (replies, woken): (Receiver<Reply>, UnixStream),
    ) -> Server {
        Server {
            listener,
            signals,
            token,
            control,
            looks,
            acts,
            replies,
            woken,
            connections: BTreeMap::new(),
            next: 0,
            due: Instant::now(),
            is_looking: false,
        }
    }

    /// Until a signal ends it.
    pub fn run(&mut self) -> Result<()> {
        loop {
            let ready = self.wait()?;
            if ready.signalled && self.signals.read().is_some() {
                return Ok(());
            }
            if ready.woken {
                self.take_replies();
            }
            if ready.knocked {
                self.accept();
            }
            for (id, flags) in ready.connections {
                self.serve(id, flags);
            }
            self.tick();
            self.drop_late();
        }
    }

    fn wait(&self) -> Result<Ready> {
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        let mut fds = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.woken, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        fds.extend(self.connections.values().map(|connection| {
            let mut flags = PollFlags::empty();
            if !connection.is_shut {
                flags |= PollFlags::IN;
            }
            if !connection.output.is_empty() {
                flags |= PollFlags::OUT;
            }
            PollFd::from_borrowed_fd(connection.socket.as_fd(), flags)
        }));
        let timeout = self.sleep().map(|left| Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Ready::default()),
            Err(e) => return Err(Error::system("wait for connections", e)),
        }
        let any = |at: usize| !fds[at].revents().is_empty();
        let flags = fds[3..].iter().map(PollFd::revents);
        Ok(Ready {
            signalled: any(0),
            woken: any(1),
            knocked: any(2),
            connections: ids
                .into_iter()
                .zip(flags)
                .filter(|(_, flags)| !flags.is_empty())
                .collect(),
        })
    }

    /// `None`: for ever.
    fn sleep(&self) -> Option<Duration> {
        let live = self.live().next().is_some() && !self.is_looking;
        let ends = self.connections.values().filter(|c| c.is_timed());
        let ends = ends.map(|connection| connection.deadline);
        let first = ends.chain(live.then_some(self.due)).min()?;
        // A little later than it is due, not a little sooner.
        let left = first.saturating_duration_since(Instant::now());
        Some(left + Duration::from_millis(1))
    }

    fn live(&self) -> impl Iterator<Item = (u64, &Wish, &Connection)> {
        self.connections
            .iter()
            .filter_map(|(id, c)| match &c.state {
                State::Live(wish) => Some((*id, wish, c)),
                _ => None,
            })
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            if socket.set_nonblocking(true).is_err() {
                continue;
            }
            let _ = socket.set_nodelay(true);
            if self.connections.len() >= MOST {
                // Whoever has not yet asked anything makes room: holding connections open shuts nobody out.
                let mut all = self.connections.iter();
                let idle = all.find(|(_, c)| matches!(c.state, State::Reading));
                match idle.map(|(id, _)| *id) {
                    Some(id) => drop(self.connections.remove(&id)),
                    None => continue,
                }
            }
            let connection = Connection {
                socket,
                state: State::Reading,
                deadline: Instant::now() + PATIENCE,
                input: Vec::new(),
                output: Vec::new(),
                is_told: false,
                is_shut: false,
            };
            self.connections.insert(self.next, connection);
            self.next += 1;
        }
    }

    fn serve(&mut self, id: u64, flags: PollFlags) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let mut goes_on = !flags.intersects(PollFlags::HUP | PollFlags::ERR);
        if goes_on && flags.contains(PollFlags::IN) {
            goes_on = connection.read();
        }
        if goes_on && flags.contains(PollFlags::OUT) {
            goes_on = connection.write();
        }
        match goes_on {
            true => self.understand(id),
            false => drop(self.connections.remove(&id)),
        }
    }

    /// What has been read so far, once it is a request.
    fn understand(&mut self, id: u64) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if !matches!(connection.state, State::Reading) {
            return;
        }
        let parsed = http::parse(&connection.input);
        let route = match parsed {
            Ok(None) if connection.is_shut => {
                self.connections.remove(&id);
                return;
            }
            Ok(None) => return,
            Ok(Some(request)) => routes::route(&request, &self.token, self.control),
            Err(refused) => Err(refused),
        };
        match route {
            Ok(Route::Asset(asset)) => {
                self.answer(id, http::answer(200, asset.kind, asset.text.as_bytes()));
            }
            Ok(Route::Live(_)) if self.live().count() >= MOST_LIVE => {
                self.answer(id, http::refusal(&Refused::new(503, "too many pages look")));
            }
            Ok(Route::Live(wish)) => self.begin(id, wish),
            Ok(Route::Ask(question)) => self.hand(id, Job::Ask(id, question)),
            Ok(Route::Do(deed)) => self.hand(id, Job::Do(id, deed)),
            Err(refused) => self.answer(id, http::refusal(&refused)),
        }
    }

    fn begin(&mut self, id: u64, wish: Wish) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.state = State::Live(wish);
            connection.deadline = Instant::now() + PATIENCE;
            connection.output = http::stream_head();
            self.due = Instant::now();
        }
    }

    fn hand(&mut self, id: u64, job: Job) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.state = State::Waiting;
            connection.deadline = Instant::now() + WORK;
        }
        let thread = match &job {
            Job::Do(..) => &self.acts,
            _ => &self.looks,
        };
        // A thread that ended has panicked, and with it this program.
        let _ = thread.send(job);
    }

    fn answer(&mut self, id: u64, bytes: Vec<u8>) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        connection.output = bytes;
        connection.state = State::Writing;
        connection.deadline = Instant::now() + PATIENCE;
        if !connection.write() {
            self.connections.remove(&id);
        }
    }

    fn take_replies(&mut self) {
        let mut buffer = [0; 64];
        while matches!(self.woken.read(&mut buffer), Ok(1..)) {}
        while let Ok(reply) = self.replies.try_recv() {
            match reply {
                Reply::Answer(id, bytes) if self.waits(id) => self.answer(id, bytes),
                // Too late: it has been told so, or has gone.
                Reply::Answer(..) => {}
                Reply::Told(id, bytes) => self.tell(id, &bytes),
                Reply::Looked => self.is_looking = false,
            }
        }
    }

    fn waits(&self, id: u64) -> bool {
        let state = self.connections.get(&id).map(|c| &c.state);
        matches!(state, Some(State::Waiting))
    }

    fn tell(&mut self, id: u64, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.output.is_empty() {
            connection.deadline = Instant::now() + PATIENCE;
        }
        connection.output.extend_from_slice(bytes);
        if !connection.write() {
            self.connections.remove(&id);
        }
    }

    /// Once a second, and at once for a page that has just come.
    fn tick(&mut self) {
        let now = Instant::now();
        if self.is_looking || now < self.due || self.live().next().is_none() {
            return;
        }
        // Who has not taken the last message gets no other: nothing piles up.
        let wishes = self
            .live()
            .filter(|(_, _, connection)| !connection.is_told || connection.output.is_empty())
            .map(|(id, wish, connection)| (id, wish.clone(), !connection.is_told))
            .collect();
        for connection in self.connections.values_mut() {
            if matches!(connection.state, State::Live(_)) {
                connection.is_told = true;
            }
        }
        self.due = now + EVERY;
        self.is_looking = true;
        let _ = self.looks.send(Job::Live(wishes));
    }

    fn drop_late(&mut self) {
        let now = Instant::now();
        let late = |connection: &Connection| connection.is_timed() && connection.deadline <= now;
        let ids: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| late(connection))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let state = self.connections.get(&id).map(|c| &c.state);
            match state {
                Some(State::Waiting) => {
                    let text = "no answer in time: perhaps a container's monitor is stopped";
                    self.answer(id, http::refusal(&Refused::new(504, text)));
                }
                Some(State::Reading) => {
                    let text = "the request was not all there in time";
                    self.answer(id, http::refusal(&Refused::new(408, text)));
                }
                _ => drop(self.connections.remove(&id)),
            }
        }
    }
}

/// What woke the loop.
#[derive(Default)]
struct Ready {
    signalled: bool,
    woken: bool,
    knocked: bool,
    connections: Vec<(u64, PollFlags)>,
}

impl Connection {
    /// A live page may wait for its next message for ever, when it takes what it is sent.
    fn is_timed(&self) -> bool {
        !matches!(self.state, State::Live(_)) || !self.output.is_empty()
    }

    /// False when the other side of a live page has gone, or says what it should not.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => {
                    self.is_shut = true;
                    return !matches!(self.state, State::Live(_));
                }
                Ok(got) => match self.state {
                    State::Reading => self.input.extend_from_slice(&buffer[..got]),
                    State::Live(_) => return false,
                    // More than one request: only the first has an answer.
                    State::Waiting | State::Writing => {}
                },
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
            if self.input.len() > LONGEST_HEAD + LONGEST_BODY {
                return true;
            }
        }
    }

    /// False when it is done with, or the other side has gone.
    fn write(&mut self) -> bool {
        let mut done = 0;
        while done < self.output.len() {
            match self.socket.write(&self.output[done..]) {
                Ok(0) => return false,
                Ok(wrote) => done += wrote,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.output.drain(..done);
        let ended = self.output.is_empty() && matches!(self.state, State::Writing);
        if ended {
            // What it sent beyond its request would turn the close into a reset, and the answer would be lost.
            let _ = self.socket.shutdown(std::net::Shutdown::Write);
            let mut rest = [0; 4096];
            while matches!(self.socket.read(&mut rest), Ok(1..)) {}
        }
        !ended
    }
}

/// The signals that end it.
pub fn end_signals() -> Result<SignalFd> {
    SignalFd::new(&[1, 2, 3, 15]).doing("listen for signals")
}
