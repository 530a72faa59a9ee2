//! A lab that is being played: two terminals, the step that is on, and what of its checks holds. Used by both ways to play.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use silo_engine::Engine;
use silo_types::{Doing, Error, Result};

use super::{
    check::{Seen, Watch},
    pane::Pane,
    record::{Checked, Done, Record, Told, containers},
    script::{Action, Deed, Figure, Pane as Which, Script, Step},
    words::Template,
    world::World,
};
use crate::{
    output::now,
    plot::{Curve, Kind, svg},
};

/// Columns of a picture.
const FINE: usize = 300;

/// A recording has begun by then.
const RECORDED: Duration = Duration::from_secs(2);

/// How often checks are looked at that do not hold.
pub const LOOK: Duration = Duration::from_millis(20);

pub struct Player<'a> {
    pub world: World<'a>,
    pub script: &'a Script,
    pub outside: Pane,
    pub inside: Pane,
    pub record: Record,
    /// Checks of what is being done.
    watches: Vec<(Watch<'a>, Option<Seen>)>,
    since: Instant,
    /// When something was last done.
    acted: Instant,
}

impl<'a> Player<'a> {
    pub fn new(engine: &'a Engine, script: &'a Script, size: (u16, u16)) -> Result<Player<'a>> {
        Ok(Player {
            world: World::new(engine, &script.containers)?,
            script,
            outside: Pane::new(size),
            inside: Pane::new(size),
            record: Record {
                title: script.title.clone(),
                started: now(),
                ..Record::default()
            },
            watches: Vec::new(),
            since: Instant::now(),
            acted: Instant::now(),
        })
    }

    pub fn fill(&self, text: &Template) -> Result<String> {
        text.fill(&|place| self.world.value(place))
    }

    /// A step begins.
    pub fn begin_step(&mut self, step: &Step) -> Result<()> {
        let text = step
            .text
            .iter()
            .map(|text| self.fill(text).unwrap_or_else(|_| text.plain()));
        let told = Told {
            title: step.title.clone(),
            text: text.collect(),
            ..Told::default()
        };
        self.record.steps.push(told);
        Ok(())
    }

    pub fn pane(&mut self, which: Which) -> &mut Pane {
        match which {
            Which::Outside => &mut self.outside,
            Which::Inside => &mut self.inside,
        }
    }

    /// Ends what runs in the terminals.
    pub fn leave_panes(&mut self) {
        self.outside.leave();
        self.inside.leave();
    }

    /// Which terminal an action belongs to.
    pub fn place(action: &Action) -> Which {
        match action.deed {
            Deed::Type(pane, _) | Deed::Press(pane, _) => pane,
            Deed::Plot(..) => Which::Outside,
        }
    }

    /// An action is on from here: its checks are those that are looked at.
    pub fn expect(&mut self, action: &'a Action) {
        self.world.take_note();
        self.watches = action
            .checks
            .iter()
            .map(|check| (Watch::new(check), None))
            .collect();
        self.since = Instant::now();
    }

    /// Does what an action says, as if it were typed.
    pub fn act(&mut self, action: &Action) -> Result<()> {
        self.acted = Instant::now();
        match &action.deed {
            Deed::Type(which, line) => {
                let line = self.fill(line)?;
                self.enter(*which, &line)
            }
            Deed::Press(which, key) => self.pane(*which).press(*key),
            Deed::Plot(name, figure) => {
                let picture = self.picture(name, *figure)?;
                self.told().deeds.push(Done::Plot(picture));
                Ok(())
            }
        }
    }

    /// A command that is to be typed anew: it has ended, and its output does not yet show what is to come.
    pub fn is_due_again(&self, action: &Action) -> bool {
        action
            .again
            .is_some_and(|pause| self.acted.elapsed() >= pause && self.look_done(action))
    }

    pub fn enter(&mut self, which: Which, line: &str) -> Result<()> {
        let pane = match which {
            Which::Outside => &mut self.outside,
            Which::Inside => &mut self.inside,
        };
        pane.enter(&self.world, line)
    }

    /// The curve of what was recorded, as it is drawn.
    pub fn curve(&self, name: &str, figure: Figure, columns: usize) -> Result<Curve> {
        let name = self.world.name(name);
        let recording = self.world.engine.recording(name)?;
        let moments = &recording.series.moments;
        let (Some(first), Some(last)) = (moments.first(), moments.last()) else {
            return Err(Error::conflict(format!("nothing was recorded of {name}")));
        };
        let kind = match figure {
            Figure::Memory => Kind::Memory,
            Figure::Cpu => Kind::Cpu,
        };
        Ok(Curve::new(
            kind,
            &recording.series,
            first.time,
            last.time,
            columns,
        ))
    }

    /// A machine may be quicker than the recorder's first look.
    fn picture(&self, name: &str, figure: Figure) -> Result<String> {
        let end = Instant::now() + RECORDED;
        loop {
            match self.curve(name, figure, FINE) {
                Err(_) if Instant::now() < end => std::thread::sleep(RECORDED / 20),
                curve => return Ok(svg(self.world.name(name), &[curve?])),
            }
        }
    }

    fn told(&mut self) -> &mut Told {
        if self.record.steps.is_empty() {
            self.record.steps.push(Told::default());
        }
        let last = self.record.steps.len() - 1;
        &mut self.record.steps[last]
    }

    /// Waits for something from the terminals, and takes it in.
    pub fn pump(&mut self, most: Duration, more: &[PollFd<'_>]) -> Result<()> {
        {
            let sessions = [&self.outside, &self.inside]
                .into_iter()
                .filter_map(|pane| pane.session());
            let mut fds: Vec<PollFd<'_>> = sessions
                .map(|s| PollFd::from_borrowed_fd(s.fd(), PollFlags::IN))
                .collect();
            fds.extend_from_slice(more);
            let timeout = Timespec {
                tv_sec: most.as_secs() as i64,
                tv_nsec: i64::from(most.subsec_nanos()),
            };
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                other => drop(other.doing("wait for the terminals")?),
            }
            // A program that has just ended leaves its terminal hung up until it is reaped.
            if fds.iter().any(|fd| fd.revents().contains(PollFlags::HUP)) {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self.outside.pump()?;
        self.inside.pump()?;
        Ok(())
    }

    /// Looks at the checks that have not held yet; true when the action is over.
    pub fn look(&mut self, action: &Action) -> bool {
        let which = Player::place(action);
        let pane = match which {
            Which::Outside => &self.outside,
            Which::Inside => &self.inside,
        };
        let done = self.look_done(action);
        let (world, output) = (&self.world, pane.output());
        let mut all = done;
        for (watch, last) in &mut self.watches {
            // What held is not asked again: a process that was seen may be gone a moment later.
            if last.as_ref().is_some_and(|seen| seen.holds) {
                continue;
            }
            let seen = match done {
                true => watch.look(world, output),
                false => Seen {
                    holds: false,
                    what: "it has not ended".to_owned(),
                },
            };
            all &= seen.holds;
            *last = Some(seen);
        }
        all
    }

    /// What the action typed has ended, or goes on as it should.
    pub fn look_done(&self, action: &Action) -> bool {
        action.runs_on
            || match Player::place(action) {
                Which::Outside => self.outside.is_done(),
                Which::Inside => self.inside.is_done(),
            }
    }

    /// Since the action began.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// The checks as they stand.
    pub fn checks(&self) -> Vec<Checked> {
        let told = self.watches.iter().map(|(watch, seen)| Checked {
            words: watch.words(&self.world),
            holds: seen.as_ref().is_some_and(|seen| seen.holds),
            what: seen
                .as_ref()
                .map_or_else(String::new, |seen| seen.what.clone()),
        });
        told.collect()
    }

    /// Writes down what an action came to.
    pub fn note(&mut self, action: &Action) {
        let checks = self.checks();
        let (pane, command) = match &action.deed {
            Deed::Type(which, _) => (*which, self.pane(*which).command.clone()),
            Deed::Press(which, key) => (*which, format!("[{}]", key.word())),
            Deed::Plot(..) => return,
        };
        let output = self.pane(pane).lines();
        self.told().deeds.push(Done::Typed {
            pane,
            command,
            output,
            checks,
        });
    }

    pub fn end_step(&mut self) {
        let now = containers(&self.world);
        self.told().containers = now;
    }
}
