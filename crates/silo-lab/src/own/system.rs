//! `uname`, `hostname`, `nproc`, `sync`.

use crate::{cli, text};

pub fn uname(args: &[String]) -> i32 {
    let longs = [
        ("all", 'a'),
        ("kernel-name", 's'),
        ("nodename", 'n'),
        ("kernel-release", 'r'),
        ("machine", 'm'),
    ];
    let options = match cli::options(args, "asnrvmo", &longs) {
        Ok(options) => options,
        Err(message) => return cli::fail("uname", &message),
    };
    let system = rustix::system::uname();
    let fields = [
        ('s', system.sysname().to_string_lossy()),
        ('n', system.nodename().to_string_lossy()),
        ('r', system.release().to_string_lossy()),
        ('v', system.version().to_string_lossy()),
        ('m', system.machine().to_string_lossy()),
        ('o', "GNU/Linux".into()),
    ];
    let none = !fields.iter().any(|f| options.has(f.0)) && !options.has('a');
    let chosen = fields
        .iter()
        .filter(|f| options.has('a') || options.has(f.0) || (none && f.0 == 's'));
    let words: Vec<&str> = chosen.map(|f| f.1.as_ref()).collect();
    cli::print(&format!("{}\n", words.join(" ")))
}

pub fn hostname(args: &[String]) -> i32 {
    let node = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    match args.first().map(String::as_str) {
        None | Some("-f") => cli::print(&format!("{node}\n")),
        Some("-s") => cli::print(&format!("{}\n", node.split('.').next().unwrap_or_default())),
        Some("-i" | "-I") => addresses(&node),
        Some(option) if option.starts_with('-') => {
            cli::fail("hostname", &format!("no such option: {option}"))
        }
        Some(name) => match rustix::system::sethostname(&text::to_bytes(name)) {
            Ok(()) => 0,
            Err(e) => cli::fail(
                "hostname",
                &format!("cannot set {name}: {}", cli::reason(&e.into())),
            ),
        },
    }
}

/// The addresses that /etc/hosts gives this host.
fn addresses(node: &str) -> i32 {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let matching = hosts
        .lines()
        .filter(|l| l.split_whitespace().skip(1).any(|name| name == node));
    let words: Vec<&str> = matching
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    cli::print(&format!("{}\n", words.join(" ")))
}

pub fn nproc(args: &[String]) -> i32 {
    let count = if args.iter().any(|a| a == "--all") {
        let list = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
        cpus_in(list.trim())
    } else {
        None
    };
    let count = count
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    cli::print(&format!("{count}\n"))
}

/// How many CPUs `0-3,8` has.
fn cpus_in(list: &str) -> Option<usize> {
    let one = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(
            last.parse::<usize>()
                .ok()?
                .checked_sub(first.parse().ok()?)?
                + 1,
        )
    };
    list.split(',').map(one).sum()
}

pub fn sync(_: &[String]) -> i32 {
    rustix::fs::sync();
    0
}
