//! `top [-b] [-n COUNT] [-d SECONDS]`: processes by CPU share; live until Ctrl-C or `q`.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::reader::{self, Process};
use crate::cli::{self, Stop};
use crate::own;

pub fn main(args: &[String]) -> i32 {
    let parsed = cli::options(args, "bn:d:", &[])
        .and_then(|o| Ok((o.has('b'), o.parsed::<u64>('n')?, o.parsed::<f64>('d')?)));
    let (batch, count, delay) = match parsed {
        Ok(parsed) => parsed,
        Err(message) => return cli::fail("top", &message),
    };
    let delay = Duration::try_from_secs_f64(delay.unwrap_or(2.0))
        .unwrap_or(Duration::from_secs(2))
        .max(Duration::from_millis(50));
    let live = !batch && std::io::stdout().is_terminal();
    let screen = live.then(Screen::enter).flatten();
    let status = rounds(
        live,
        count.unwrap_or(if live { u64::MAX } else { 1 }),
        delay,
    );
    drop(screen);
    status
}

fn rounds(live: bool, count: u64, delay: Duration) -> i32 {
    let stop = Stop::on_signals();
    let mut before = Sample::take();
    // The first picture needs two samples to know shares.
    stop.sleep(delay.min(Duration::from_millis(200)));
    for round in 0..count {
        let now = Sample::take();
        let page = now.page(&before, live);
        let status = cli::print(&if live {
            format!("\x1b[H{}\x1b[J", page.replace('\n', "\x1b[K\n"))
        } else {
            page
        });
        before = now;
        let last = round + 1 == count;
        if status != 0
            || last
            || stop.asked()
            || (if live {
                quit_key(&stop, delay)
            } else {
                !stop.sleep(delay)
            })
        {
            return status;
        }
        if !live {
            cli::print("\n");
        }
    }
    0
}

/// Waits for the next round; was `q` pressed, or the end asked for?
fn quit_key(stop: &Stop, delay: Duration) -> bool {
    let input = std::io::stdin();
    let end = Instant::now() + delay;
    while !stop.asked() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let timeout = Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        if !matches!(
            poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&timeout)),
            Ok(1..)
        ) {
            continue;
        }
        let mut key = [0];
        match rustix::io::read(&input, &mut key) {
            Ok(1) if key[0] != b'q' => {}
            _ => return true,
        }
    }
    true
}

/// Keys without line ends or echo, and the alternate screen, until dropped.
struct Screen(Termios);

impl Screen {
    fn enter() -> Option<Self> {
        let old = tcgetattr(std::io::stdin()).ok()?;
        let mut modes = old.clone();
        modes
            .local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Now, &modes).ok()?;
        cli::print("\x1b[?1049h\x1b[?25l");
        Some(Self(old))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        cli::print("\x1b[?25h\x1b[?1049l");
        // Fails only when the terminal is gone.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

struct Sample {
    at: Instant,
    processes: Vec<Process>,
    cpu: (u64, u64),
}

impl Sample {
    fn take() -> Self {
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        Self {
            at: Instant::now(),
            processes: reader::processes(),
            cpu: reader::cpu_ticks(&stat).unwrap_or_default(),
        }
    }

    fn page(&self, before: &Self, live: bool) -> String {
        let hertz = rustix::param::clock_ticks_per_second() as f64;
        let elapsed = self.at.duration_since(before.at).as_secs_f64().max(0.001);
        let old: HashMap<(i32, u64), u64> = before
            .processes
            .iter()
            .map(|p| ((p.pid, p.start), p.ticks))
            .collect();
        let share = |p: &Process| {
            100.0
                * p.ticks
                    .saturating_sub(old.get(&(p.pid, p.start)).copied().unwrap_or(0))
                    as f64
                / hertz
                / elapsed
        };
        let mut rows: Vec<(f64, &Process)> = self.processes.iter().map(|p| (share(p), p)).collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.pid.cmp(&b.1.pid)));
        let meminfo = reader::meminfo().unwrap_or_default();
        let total = reader::memory(&meminfo, "MemTotal").max(1);
        let size = if live {
            tcgetwinsize(std::io::stdout())
                .ok()
                .filter(|s| s.ws_row > 0)
        } else {
            None
        };
        let (height, width) = size.map_or((usize::MAX, 512), |s| {
            (usize::from(s.ws_row), usize::from(s.ws_col))
        });
        let mut out = self.head(before, &meminfo);
        for (share, p) in rows.iter().take(height.saturating_sub(6)) {
            let line = format!(
                "{:>7} {:<9} {:>3} {:>7} {:>7} {} {:>5.1} {:>5.1} {:>9} {}",
                p.pid,
                own::id::user_name(p.uid),
                p.nice,
                short(p.virtual_size),
                short(p.resident),
                p.state,
                share,
                100.0 * p.resident as f64 / total as f64,
                hundredths(p.ticks, hertz),
                if live { p.command() } else { p.name.clone() },
            );
            out.extend(line.chars().take(width));
            out.push('\n');
        }
        if live {
            out.trim_end().to_string()
        } else {
            out
        }
    }

    fn head(&self, before: &Self, meminfo: &str) -> String {
        let busy = self.cpu.0.saturating_sub(before.cpu.0) as f64;
        let all = self.cpu.1.saturating_sub(before.cpu.1).max(1) as f64;
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: Vec<&str> = load.split(' ').take(3).collect();
        let count = |states: &str| {
            self.processes
                .iter()
                .filter(|p| states.contains(p.state))
                .count()
        };
        let mib = |key: &str| reader::memory(meminfo, key) / (1 << 20);
        format!(
            "top - up {}, load average: {}\nTasks: {} total, {} running, {} sleeping, {} stopped, {} zombie\n%Cpu(s): {:.1} used, {:.1} idle\nMiB Mem: {} total, {} free, {} available\n\n{:>7} {:<9} {:>3} {:>7} {:>7} S {:>5} {:>5} {:>9} COMMAND\n",
            super::ps::clock(reader::uptime() as u64),
            load.join(", "),
            self.processes.len(),
            count("R"),
            count("SDI"),
            count("Tt"),
            count("Z"),
            100.0 * busy / all,
            100.0 - 100.0 * busy / all,
            mib("MemTotal"),
            mib("MemFree"),
            mib("MemAvailable"),
            "PID",
            "USER",
            "NI",
            "VIRT",
            "RES",
            "%CPU",
            "%MEM",
            "TIME+",
        )
    }
}

fn short(bytes: u64) -> String {
    match bytes {
        0..0x40_0000 => format!("{}k", bytes >> 10),
        0x40_0000..0x1_0000_0000 => format!("{}m", bytes >> 20),
        _ => format!("{}g", bytes >> 30),
    }
}

fn hundredths(ticks: u64, hertz: f64) -> String {
    let all = (ticks as f64 / hertz * 100.0) as u64;
    format!("{}:{:02}.{:02}", all / 6000, all / 100 % 60, all % 100)
}
