//! htop, which sees processes and no containers: on a terminal of its own, its last picture read back.

use std::{fs, process::Command};

use silo_types::{Doing, Result};

use super::{
    Of,
    kernel::{Base, Groups},
    loads::Load,
    table::Table,
};
use crate::{measure::output, tools::Tools};

/// Its columns: pid, state, threads, share of a processor, resident and private memory.
const SETTINGS: &str = "htop_version=3.4.0\nconfig_reader_min_version=3\nhide_kernel_threads=1\nhide_userland_threads=1\nshow_program_path=0\nscreen:Main=PID STATE NLWP PERCENT_CPU M_RESIDENT M_PRIV Command\n.sort_key=PID\n.tree_view=0\n";

/// Pictures, a second apart.
const PICTURES: u32 = 4;

const ROWS: usize = 300;
const COLUMNS: usize = 160;

pub fn measure(tools: &Tools, loads: &[Load], base: &Base, table: &mut Table) -> Result<()> {
    let settings = tools.work.join("htoprc");
    fs::write(&settings, SETTINGS).doing_with(|| format!("write {}", settings.display()))?;
    let line = format!(
        "stty rows {ROWS} cols {COLUMNS}; TERM=vt100 HTOPRC={} htop -C -d 10 -n {PICTURES}",
        settings.display()
    );
    let pids: Vec<i32> = loads
        .iter()
        .map(|load| {
            let pid = tools
                .silo
                .output(&["inspect", "--format", "{{.State.Pid}}", &load.name])?;
            Ok(pid.parse().unwrap_or(0))
        })
        .collect::<Result<_>>()?;
    let spent = || -> Result<Vec<f64>> {
        let all = pids.iter().map(|pid| Groups::of(*pid)?.cpu());
        all.collect()
    };
    let (begun, before) = (std::time::Instant::now(), spent()?);
    let written = output(Command::new("script").args(["-qefc", &line, "/dev/null"]))?;
    let (length, after) = (begun.elapsed().as_secs_f64(), spent()?);
    let rows = screen(&String::from_utf8_lossy(&written));
    for (at, load) in loads.iter().enumerate() {
        let pid = pids[at].to_string();
        let found = rows.iter().find_map(|row| {
            let words: Vec<&str> = row.split_whitespace().collect();
            (words.first() == Some(&pid.as_str())).then_some(words)
        });
        let mut view = Of {
            engine: "htop",
            view: "process",
            table,
        };
        let words = found.unwrap_or_default();
        let (private, shared) = (load.private as f64, load.shared as f64);
        let base = base.of(load);
        let cell = |at: usize| words.get(at).copied().unwrap_or_default();
        view.count("threads", cell(2).parse().unwrap_or(0), load.threads);
        view.memory("RES", size(cell(4)), private + shared + base.rss);
        view.memory("PRIV", size(cell(5)), private + base.private);
        if load.cpus > 0.0 {
            let share = cell(3).parse::<f64>().unwrap_or(0.0) / 100.0;
            view.cpu("CPU%", share, (after[at] - before[at]) / length);
        }
    }
    Ok(())
}

/// KiB without a unit, else with `M` or `G`.
fn size(text: &str) -> f64 {
    let number = |text: &str| text.parse::<f64>().unwrap_or(0.0);
    match text.strip_suffix('M') {
        Some(mib) => number(mib) * 1048576.0,
        None => match text.strip_suffix('G') {
            Some(gib) => number(gib) * 1073741824.0,
            None => number(text.trim_end_matches('K')) * 1024.0,
        },
    }
}

/// What stood on a VT100 before its program cleaned up: its last lines of each row.
fn screen(written: &str) -> Vec<String> {
    let mut rows = vec![vec![' '; COLUMNS]; ROWS];
    let (mut row, mut column) = (0usize, 0usize);
    let mut letters = written.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' if letters.peek() == Some(&'[') => {
                letters.next();
                let mut words = String::new();
                let mut last = ' ';
                for letter in letters.by_ref() {
                    if letter.is_ascii_alphabetic() {
                        last = letter;
                        break;
                    }
                    words.push(letter);
                }
                let mut numbers = words.split(';').map(|word| word.parse().unwrap_or(0usize));
                let mut next = || numbers.next().unwrap_or(0).max(1);
                match last {
                    'H' => (row, column) = (next() - 1, next() - 1),
                    'A' => row = row.saturating_sub(next()),
                    'B' => row += next(),
                    'C' => column += next(),
                    'D' => column = column.saturating_sub(next()),
                    'K' => {
                        let rest = rows.get_mut(row).and_then(|row| row.get_mut(column..));
                        if let Some(rest) = rest {
                            rest.fill(' ');
                        }
                    }
                    _ => {}
                }
            }
            '\x1b' | '\x0e' | '\x0f' => {
                // Character sets: two letters more, or none.
                if letter == '\x1b' && matches!(letters.next(), Some('(' | ')')) {
                    letters.next();
                }
            }
            '\r' => column = 0,
            '\n' => row += 1,
            '\x08' => column = column.saturating_sub(1),
            letter if letter.is_control() => {}
            letter => {
                if let Some(cell) = rows.get_mut(row).and_then(|row| row.get_mut(column)) {
                    *cell = letter;
                }
                column += 1;
            }
        }
    }
    rows.iter().map(|row| row.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_read_back() {
        let rows =
            screen("\x1b[2;3Habc\x1b(B\x1b[m\x1b[2;4HX\r\nq\x1b[5Cz\x1b[1;1Hold\x1b[1;2H\x1b[K");
        assert_eq!(rows[1].trim_end(), "  aXc");
        assert_eq!(rows[2].trim_end(), "q     z");
        assert_eq!(rows[0].trim_end(), "o");
        assert_eq!(
            (size("1024"), size("64M"), size("1.5G")),
            (1048576.0, 67108864.0, 1610612736.0)
        );
    }
}
