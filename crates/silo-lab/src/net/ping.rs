//! `ping [-c COUNT] [-i SECONDS] [-W SECONDS] [-w SECONDS] [-s BYTES] [-q] HOST`, with the output of iputils. Goes on
//! when nobody answers, and says so.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::icmp::{Event, Icmp};
use crate::cli::{self, Stop};

pub fn main(args: &[String]) -> i32 {
    let plan = match plan(args) {
        Ok(plan) => plan,
        Err(message) => {
            cli::fail("ping", &message);
            return 2;
        }
    };
    match Icmp::open() {
        Ok(socket) => {
            let mut run = Pinging::new(plan, socket);
            run.all();
            run.statistics()
        }
        Err(message) => {
            cli::fail("ping", &message);
            2
        }
    }
}

struct Plan {
    host: String,
    address: Ipv4Addr,
    count: u64,
    interval: Duration,
    /// How long to wait for the last replies.
    patience: Duration,
    deadline: Option<Duration>,
    size: usize,
    quiet: bool,
}

fn plan(args: &[String]) -> Result<Plan, String> {
    let options = cli::options(args, "c:i:W:w:s:qn4", &[])?;
    let [host] = options.operands.as_slice() else {
        return Err(
            "usage: ping [-c COUNT] [-i SECONDS] [-W SECONDS] [-w SECONDS] [-q] HOST".into(),
        );
    };
    let IpAddr::V4(address) = super::resolve(host)? else {
        return Err(format!("{host}: only IPv4 is spoken here"));
    };
    let seconds = |letter| match options.parsed::<f64>(letter)? {
        None => Ok(None),
        Some(value) => Duration::try_from_secs_f64(value)
            .map(Some)
            .map_err(|_| format!("option -{letter}: bad value: {value}")),
    };
    let count = options.parsed::<u64>('c')?;
    if count == Some(0) {
        return Err("option -c: bad value: 0".into());
    }
    let size = options.parsed::<usize>('s')?.unwrap_or(56);
    if size > 65_507 {
        return Err(format!("option -s: {size} is more than 65507"));
    }
    Ok(Plan {
        host: host.clone(),
        address,
        count: count.unwrap_or(u64::MAX),
        interval: seconds('i')?
            .unwrap_or(Duration::from_secs(1))
            .max(Duration::from_millis(2)),
        patience: seconds('W')?.unwrap_or(Duration::from_secs(10)),
        deadline: seconds('w')?,
        size,
        quiet: options.has('q'),
    })
}

struct Pinging {
    plan: Plan,
    socket: Icmp,
    start: Instant,
    sent: u64,
    /// Requests without an answer: when they were sent.
    open: HashMap<u16, Instant>,
    /// Answered ones, so that a second answer is known as such.
    answered: HashMap<u16, Instant>,
    received: u64,
    duplicates: u64,
    failures: u64,
    /// Round trips in milliseconds: least, sum, most, sum of squares.
    times: (f64, f64, f64, f64),
}

impl Pinging {
    fn new(plan: Plan, socket: Icmp) -> Self {
        Self {
            plan,
            socket,
            start: Instant::now(),
            sent: 0,
            open: HashMap::new(),
            answered: HashMap::new(),
            received: 0,
            duplicates: 0,
            failures: 0,
            times: (f64::INFINITY, 0.0, 0.0, 0.0),
        }
    }

    fn all(&mut self) {
        let stop = Stop::on_signals();
        let plan = &self.plan;
        cli::print(&format!(
            "PING {} ({}) {}({}) bytes of data.\n",
            plan.host,
            plan.address,
            plan.size,
            plan.size + 28
        ));
        let mut next = Instant::now();
        while self.sent < self.plan.count {
            self.send();
            next += self.plan.interval;
            let sequence = self.sent as u16;
            self.receive_until(next, &stop, |p| p.sent >= p.plan.count && p.open.is_empty());
            if self.over(&stop) {
                return;
            }
            if self.sent < self.plan.count && self.open.contains_key(&sequence) && !self.plan.quiet
            {
                cli::print(&format!("no answer yet for icmp_seq={sequence}\n"));
            }
            self.forget_old();
        }
        self.receive_until(Instant::now() + self.patience(), &stop, |p| {
            p.open.is_empty()
        });
    }

    /// Once the round-trip time is known, twice that is long enough.
    fn patience(&self) -> Duration {
        if self.received == 0 {
            return self.plan.patience;
        }
        self.plan.patience.min(
            Duration::from_secs_f64(self.times.2 * 2.0 / 1000.0).max(Duration::from_millis(10)),
        )
    }

    fn over(&self, stop: &Stop) -> bool {
        stop.asked()
            || self
                .plan
                .deadline
                .is_some_and(|d| self.start.elapsed() >= d)
    }

    /// A sequence number comes again after 65536 requests; what is that old will not be answered.
    fn forget_old(&mut self) {
        for map in [&mut self.open, &mut self.answered] {
            map.retain(|_, sent| sent.elapsed() < Duration::from_secs(60));
        }
    }

    fn send(&mut self) {
        self.sent += 1;
        let sequence = self.sent as u16;
        let payload: Vec<u8> = (0..self.plan.size).map(|i| i as u8).collect();
        let now = Instant::now();
        self.answered.remove(&sequence);
        self.open.insert(sequence, now);
        let mut result = self.socket.send(self.plan.address, sequence, &payload);
        if result.is_err() {
            // The socket may have reported what happened to an earlier request.
            result = self.socket.send(self.plan.address, sequence, &payload);
        }
        if let Err(e) = result {
            self.open.remove(&sequence);
            self.failures += 1;
            cli::fail(
                "ping",
                &format!("icmp_seq={sequence}: {}", cli::reason(&e.into())),
            );
        }
    }

    fn receive_until(&mut self, end: Instant, stop: &Stop, done: impl Fn(&Self) -> bool) {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if done(self) || left.is_zero() || self.over(stop) {
                return;
            }
            // Handlers restart system calls, so no wait is long.
            if self.socket.wait(left.min(Duration::from_millis(50))) {
                let now = Instant::now();
                self.socket
                    .events()
                    .into_iter()
                    .for_each(|event| self.take(event, now));
            }
        }
    }

    fn take(&mut self, event: Event, now: Instant) {
        match event {
            Event::Failure {
                from,
                sequence,
                what,
            } => {
                if self.open.remove(&sequence).is_some() {
                    self.failures += 1;
                    self.say(&format!("From {from} icmp_seq={sequence} {what}"));
                }
            }
            Event::Reply {
                from,
                sequence,
                ttl,
                payload,
            } => {
                let duplicate = !self.open.contains_key(&sequence);
                let Some(sent) = self
                    .open
                    .remove(&sequence)
                    .or_else(|| self.answered.get(&sequence).copied())
                else {
                    return;
                };
                self.answered.insert(sequence, sent);
                let time = now.duration_since(sent).as_secs_f64() * 1000.0;
                let mark = if duplicate { " (DUP!)" } else { "" };
                self.say(&format!(
                    "{} bytes from {from}: icmp_seq={sequence} ttl={ttl} time={} ms{mark}",
                    payload.len() + 8,
                    milliseconds(time)
                ));
                if duplicate {
                    self.duplicates += 1;
                    return;
                }
                self.received += 1;
                let (least, sum, most, squares) = self.times;
                self.times = (
                    least.min(time),
                    sum + time,
                    most.max(time),
                    squares + time * time,
                );
            }
        }
    }

    fn say(&self, line: &str) {
        if !self.plan.quiet {
            cli::print(&format!("{line}\n"));
        }
    }

    fn statistics(&self) -> i32 {
        let lost = 100.0 * self.sent.saturating_sub(self.received) as f64 / self.sent.max(1) as f64;
        let mut text = format!(
            "\n--- {} ping statistics ---\n{} packets transmitted, {} received",
            self.plan.host, self.sent, self.received
        );
        for (count, name) in [(self.duplicates, "duplicates"), (self.failures, "errors")] {
            if count > 0 {
                text.push_str(&format!(", +{count} {name}"));
            }
        }
        let lost = crate::own::printf::general(lost, 6);
        text.push_str(&format!(
            ", {lost}% packet loss, time {}ms\n",
            self.start.elapsed().as_millis()
        ));
        if self.received > 0 {
            let (least, sum, most, squares) = self.times;
            let mean = sum / self.received as f64;
            let deviation = (squares / self.received as f64 - mean * mean)
                .max(0.0)
                .sqrt();
            text.push_str(&format!(
                "rtt min/avg/max/mdev = {least:.3}/{mean:.3}/{most:.3}/{deviation:.3} ms\n"
            ));
        }
        cli::print(&text);
        i32::from(self.received == 0)
    }
}

/// Three digits that count, as iputils shows them.
fn milliseconds(time: f64) -> String {
    match time {
        t if t >= 100.0 => format!("{t:.0}"),
        t if t >= 10.0 => format!("{t:.1}"),
        t if t >= 1.0 => format!("{t:.2}"),
        t => format!("{t:.3}"),
    }
}
