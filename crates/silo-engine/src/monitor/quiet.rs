//! Waiting while nobody is attached, which is most of a monitor's life: the kernel keeps the list of what is waited for.
//!
//! poll(2) goes through all descriptors at each call, before and after it sleeps, and a recorder wakes ten times a second: with an
//! epoll(7) a wake-up costs the timer alone. The list is made anew when it is not the same any more; with clients, whose
//! descriptors come and go, there is none.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    event::{PollFlags, Timespec, epoll},
    io::Errno,
};
use silo_sys::signal::SignalFd;

use super::{run::Source, start::Main};

/// A list that the kernel keeps.
#[derive(Debug)]
pub(super) struct Quiet {
    epoll: OwnedFd,
    shape: Shape,
}

/// Which descriptors of a run there are: they only go.
type Shape = [bool; 4];

/// In the order of their numbers in the list.
const SOURCES: [Source; 7] = [
    Source::Listener,
    Source::Signals,
    Source::Exit,
    Source::Output,
    Source::Error,
    Source::Terminal,
    Source::Oom,
];

impl Quiet {
    /// The list of before when it is still right, or a new one; `None` when the kernel has no room for it.
    pub(super) fn of(
        before: Option<Quiet>,
        main: &Main,
        listener: &OwnedFd,
        signals: &SignalFd,
    ) -> Option<Quiet> {
        let shape = [
            main.output.is_some(),
            main.error.is_some(),
            main.terminal.is_some(),
            main.oom.is_some(),
        ];
        match before {
            Some(quiet) if quiet.shape == shape => Some(quiet),
            _ => Quiet::new(shape, main, listener, signals).ok(),
        }
    }

    fn new(
        shape: Shape,
        main: &Main,
        listener: &OwnedFd,
        signals: &SignalFd,
    ) -> Result<Quiet, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let always = [
            Some((listener.as_fd(), PollFlags::IN)),
            Some((signals.as_fd(), PollFlags::IN)),
            Some((main.pidfd.as_fd(), PollFlags::IN)),
        ];
        let streams = [&main.output, &main.error, &main.terminal]
            .map(|stream| stream.as_ref().map(|fd| (fd.as_fd(), PollFlags::IN)));
        let oom = main.oom.as_ref().map(|oom| (oom.fd(), oom.interest()));
        let all = always.into_iter().chain(streams).chain([oom]);
        for (number, (fd, flags)) in all.enumerate().filter_map(|(n, one)| Some((n, one?))) {
            // The same bits, by epoll_ctl(2).
            let flags = epoll::EventFlags::from_bits_retain(u32::from(flags.bits()));
            epoll::add(&epoll, fd, epoll::EventData::new_u64(number as u64), flags)?;
        }
        Ok(Quiet { epoll, shape })
    }

    /// What is ready; nothing when the time is over.
    pub(super) fn wait(&self, timeout: Option<Timespec>) -> Vec<(Source, PollFlags)> {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; SOURCES.len()];
        // Whole milliseconds, never too few: what epoll_wait(2) takes.
        let timeout = timeout.map(|time| match (time.tv_nsec + 999_999) / 1_000_000 {
            1000 => Timespec {
                tv_sec: time.tv_sec + 1,
                tv_nsec: 0,
            },
            whole => Timespec {
                tv_nsec: whole * 1_000_000,
                ..time
            },
        });
        let ready = epoll::wait(&self.epoll, &mut events, timeout.as_ref()).unwrap_or(0);
        let ready = events.iter().take(ready).filter_map(|event| {
            // Packed by the kernel's word: copied, not referred to.
            let (flags, data) = (event.flags, event.data);
            let source = SOURCES.get(data.u64() as usize)?;
            Some((*source, PollFlags::from_bits_retain(flags.bits() as u16)))
        });
        ready.collect()
    }
}
