//! The columns of ps(1), as `docker top NAME [ps OPTIONS]` takes and prints them, from Silo's own reader.
//!
//! Called by the command line and the API: words → [`PsRequest`] → [`Proc::collect`](crate::Proc::collect) with
//! [`PsRequest::want`] → [`Table`]. Which processes are listed is the container's business, so the options that choose
//! processes (`-e`, `a`, `x` …) are accepted and change nothing but the columns that go with them.

mod columns;
mod format;
mod near;
mod options;

use std::{cmp::Ordering, collections::HashMap};

use serde::Serialize;

use crate::{HostFacts, Names, Process, Want, forest, tree::Placed};
pub use columns::Column;
pub use near::near;

/// A column with the title that it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub column: Column,
    pub title: String,
}

/// How ancestry is drawn before the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forest {
    #[default]
    None,
    /// `f`, `--forest`: ` \_ `.
    Branches,
    /// `-H`: two blanks for each level.
    Indent,
}

/// A key of `--sort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    pub column: Column,
    pub descending: bool,
}

/// What the words after `top NAME` ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PsRequest {
    pub columns: Vec<Shown>,
    pub forest: Forest,
    pub sort: Vec<SortKey>,
    pub no_headers: bool,
    /// `-p`: host pids to which the list is narrowed.
    pub only: Option<Vec<i32>>,
}

/// What the table is made from besides the processes.
pub struct PsContext<'a> {
    /// The moment at which the processes were read.
    pub host: &'a HostFacts,
    /// The host's names for Docker's columns.
    pub names: &'a Names,
    /// Local time minus UTC, seconds.
    pub utc_offset_seconds: i32,
    /// Host pid → text for the `exec` column.
    pub execs: &'a HashMap<i32, String>,
    /// Host pid → name for the `container` column.
    pub containers: &'a HashMap<i32, String>,
}

/// Cells as text, each row as long as the header. `Titles` and `Processes` in the Docker Engine API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// False after `--no-headers`, or when every title is empty (`-o pid= -o comm=`).
    pub show_header: bool,
}

impl PsRequest {
    /// The files that the columns need.
    pub fn want(&self) -> Want {
        let all = self.columns.iter().map(|shown| shown.column);
        let sorted = self.sort.iter().map(|key| key.column);
        all.chain(sorted).fold(Want::default(), |want, column| {
            let more = column.want();
            Want {
                status: want.status || more.status,
                command_line: want.command_line || more.command_line,
                memory: want.memory || more.memory,
                oom_score: want.oom_score || more.oom_score,
                precise_cpu: false,
            }
        })
    }

    /// True when `hpid` is a column: then `pid`, `ppid`, `pgid` and `sid` are the container's numbers, else the host's.
    pub fn two_worlds(&self) -> bool {
        let is_host_pid = |shown: &Shown| shown.column == Column::HostPid;
        self.columns.iter().any(is_host_pid)
    }

    /// The table of these processes, in the order asked for; without one by host pid.
    pub fn table(&self, processes: &[Process], context: &PsContext<'_>) -> Table {
        let rows = self.order(processes, context);
        let cells = |placed: &Placed| {
            let process = &processes[placed.index];
            let cell = |shown: &Shown| self.cell(shown.column, process, placed, context);
            self.columns.iter().map(cell).collect()
        };
        let header: Vec<String> = self.columns.iter().map(|s| s.title.clone()).collect();
        let titled = header.iter().any(|title| !title.is_empty());
        Table {
            rows: rows.iter().map(cells).collect(),
            header,
            show_header: titled && !self.no_headers,
        }
    }

    fn cell(
        &self,
        column: Column,
        process: &Process,
        placed: &Placed,
        context: &PsContext<'_>,
    ) -> String {
        let text = column.text(process, self.two_worlds(), context);
        if !column.is_command() || placed.more.is_empty() {
            return text;
        }
        match self.forest {
            Forest::None => text,
            Forest::Branches => placed.prefix(" |  ", "    ", r" \_ ", r" \_ ") + &text,
            Forest::Indent => placed.prefix("  ", "  ", "  ", "  ") + &text,
        }
    }

    fn order(&self, processes: &[Process], context: &PsContext<'_>) -> Vec<Placed> {
        let mut rows = if self.forest == Forest::None {
            (0..processes.len())
                .map(|index| Placed {
                    index,
                    more: Vec::new(),
                })
                .collect()
        } else {
            forest(processes)
        };
        if let Some(only) = &self.only {
            rows.retain(|row| only.contains(&processes[row.index].host_pid));
        }
        if self.forest == Forest::None {
            rows.sort_by_key(|row| processes[row.index].host_pid);
            rows.sort_by(|a, b| self.compare(&processes[a.index], &processes[b.index], context));
        }
        rows
    }

    fn compare(&self, a: &Process, b: &Process, context: &PsContext<'_>) -> Ordering {
        for key in &self.sort {
            let of = |p: &Process| key.column.sort_value(p, self.two_worlds(), context);
            let order = of(a).cmp(&of(b));
            let order = if key.descending {
                order.reverse()
            } else {
                order
            };
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context<'a>(
        host: &'a HostFacts,
        names: &'a Names,
        none: &'a HashMap<i32, String>,
    ) -> PsContext<'a> {
        PsContext {
            host,
            names,
            utc_offset_seconds: 0,
            execs: none,
            containers: none,
        }
    }

    fn sample() -> Vec<Process> {
        let process = |host_pid: i32, pid, host_ppid, rss: u64, comm: &str| Process {
            host_pid,
            pid,
            host_ppid,
            ns_pids: vec![host_pid, pid],
            state: 'S',
            threads: 1,
            rss,
            start_time: host_pid as u64,
            comm: comm.to_owned(),
            ..Process::default()
        };
        vec![
            process(100, 1, 9, 4096, "init"),
            process(101, 7, 100, 8192, "sh"),
            process(102, 8, 100, 1024, "sleep"),
        ]
    }

    fn table(words: &[&str]) -> Table {
        let (host, names, none) = (HostFacts::now(), Names::host().unwrap(), HashMap::new());
        let request = PsRequest::parse(words).unwrap();
        request.table(&sample(), &context(&host, &names, &none))
    }

    #[test]
    fn the_pid_is_the_hosts_unless_both_are_shown() {
        assert_eq!(table(&["-o", "pid,ppid"]).rows[1], ["101", "100"]);
        let both = table(&["-o", "pid,hpid,rss,cmd"]);
        assert_eq!(both.header, ["PID", "HPID", "RSS", "CMD"]);
        assert_eq!(both.rows[1], ["7", "101", "8", "[sh]"]);
    }

    #[test]
    fn silos_own_columns() {
        let (host, names, none) = (HostFacts::now(), Names::host().unwrap(), HashMap::new());
        let execs = HashMap::from([(101, "4f1c".to_owned())]);
        let containers = HashMap::from([(101, "pinger".to_owned())]);
        let context = PsContext {
            execs: &execs,
            containers: &containers,
            ..context(&host, &names, &none)
        };
        let request = PsRequest::parse(&["-o", "exec,container,private,oom,threads"]).unwrap();
        let table = request.table(&sample(), &context);
        assert_eq!(table.header, ["EXEC", "CONTAINER", "PRIVATE", "OOM", "THR"]);
        assert_eq!(table.rows[0], ["-", "-", "-", "-", "1"]);
        assert_eq!(table.rows[1][..2], ["4f1c", "pinger"]);
    }

    #[test]
    fn sorted_and_narrowed() {
        let pids = |words: &[&str]| table(words).rows.concat();
        assert_eq!(pids(&["-o", "pid", "--sort=-rss"]), ["101", "100", "102"]);
        assert_eq!(pids(&["-o", "pid", "--sort", "rss"]), ["102", "100", "101"]);
        assert_eq!(
            pids(&["-o", "pid", "--sort", "comm,-pid"]),
            ["100", "101", "102"]
        );
        assert_eq!(pids(&["-o", "pid", "-p", "102,100"]), ["100", "102"]);
    }

    #[test]
    fn drawn_as_a_forest() {
        let commands = |words: &[&str]| table(words).rows.concat();
        assert_eq!(
            commands(&["f", "-o", "args"]),
            ["[init]", r" \_ [sh]", r" \_ [sleep]"]
        );
        assert_eq!(commands(&["-H", "-o", "comm"]), ["init", "  sh", "  sleep"]);
    }

    #[test]
    fn headers_can_be_left_out() {
        assert!(table(&["-ef"]).show_header);
        assert!(!table(&["-ef", "--no-headers"]).show_header);
        assert!(!table(&["-o", "pid=", "-o", "comm="]).show_header);
    }
}
