//! `whois`: from a process, a port or a path of the host back to its container.

use clap::Args;
use silo_engine::{Engine, Owner, PathOwner, PlaceKind, PortOwner, ProcessOwner, Role};
use silo_types::{ByteSize, Error, Resources, Result};

use crate::{
    cli::{Context, Run},
    output::{Sheet, ago_words, json_line, print, wants_json},
};

/// Its flags.
#[derive(Args, Debug)]
pub struct WhoisVerb {
    /// json: all that is known as a document
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Number of a process, :PORT, or a path
    #[arg(
        required = true,
        value_name = "PID|:PORT|PATH",
        help_heading = "Arguments"
    )]
    what: String,
}

impl Run for WhoisVerb {
    fn run(self, context: &Context) -> Result<i32> {
        let json = wants_json(self.format.as_deref())?;
        let engine = context.engine()?;
        let text = match Asked::parse(&self.what)? {
            Asked::Pid(pid) => of_pid(&engine, pid, json)?,
            Asked::Port(port) => of_port(&engine, port, json)?,
            Asked::Path(path) => of_path(&engine, path, json)?,
        };
        print(&text)?;
        Ok(0)
    }
}

#[derive(Debug, PartialEq)]
enum Asked<'a> {
    Pid(i32),
    Port(u16),
    Path(&'a str),
}

impl Asked<'_> {
    fn parse(word: &str) -> Result<Asked<'_>> {
        if let Some(port) = word.strip_prefix(':') {
            let port = port.parse().ok().filter(|port| *port > 0);
            return port.map(Asked::Port).ok_or_else(|| {
                Error::invalid(format!(
                    "invalid port: '{word:.40}': use a number up to 65535, such as :8080"
                ))
            });
        }
        if !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
            let pid = word.parse().ok().filter(|pid| *pid > 0);
            return pid
                .map(Asked::Pid)
                .ok_or_else(|| Error::invalid(format!("invalid process number: '{word:.40}'")));
        }
        match word.contains('/') {
            true => Ok(Asked::Path(word)),
            false => Err(Error::invalid(format!(
                "'{word:.80}' is no process number, no :PORT and no path: write a file here as ./{word:.80}"
            ))),
        }
    }
}

fn of_pid(engine: &Engine, pid: i32, json: bool) -> Result<String> {
    let owner = engine.whois_pid(pid)?;
    match json {
        true => json_line(&owner),
        false => Ok(process_sheet(&owner).text()),
    }
}

fn process_sheet(owner: &ProcessOwner) -> Sheet {
    let pid = owner.host_pid;
    let name = owner.container.as_ref().map_or("", |c| c.name.as_str());
    let title = match owner.role {
        Role::Main => format!("{pid} is the first process of {name}"),
        Role::Exec => format!("{pid} came into {name} by exec"),
        Role::Inside => format!("{pid} is a process of {name}"),
        Role::Monitor => {
            format!("{pid} is Silo's monitor of {name}: beside the container, not in it")
        }
        Role::None if owner.other_engine.is_empty() => format!("{pid} is in no container"),
        Role::None => format!("{pid} is in a container, but in none of this Silo"),
    };
    let mut sheet = Sheet::new(title);
    let inside = match owner.pid == pid {
        true => String::new(),
        false => format!(" · {} inside", owner.pid),
    };
    sheet.line(
        "process",
        format!(
            "{pid} on the host{inside} · user {} · {}",
            owner.user, owner.command
        ),
    );
    if let Some(exec) = &owner.exec {
        sheet.line(
            "exec",
            format!(
                "{} by {}, {} ago",
                exec.id,
                exec.by,
                ago_words(exec.started)
            ),
        );
    }
    if let Some(container) = &owner.container {
        container_lines(&mut sheet, container);
    }
    let names = |shared: bool| {
        let wanted = owner
            .namespaces
            .iter()
            .filter(|n| n.shared_with_host == shared);
        wanted.map(|n| n.kind).collect::<Vec<_>>().join(" ")
    };
    let or_none = |text: String| {
        if text.is_empty() {
            "none".to_owned()
        } else {
            text
        }
    };
    let namespaces = format!(
        "own: {} · the host's: {}",
        or_none(names(false)),
        or_none(names(true))
    );
    sheet.line("namespaces", namespaces);
    sheet.line("group", group(owner));
    sheet
}

fn container_lines(sheet: &mut Sheet, container: &Owner) {
    let short = container.id.get(..12).unwrap_or_default();
    let by = match container.started_by.as_str() {
        "" => String::new(),
        by => format!(" · started by {by}"),
    };
    sheet.line(
        "container",
        format!(
            "{} ({short}) · image {} · {}{by}",
            container.name, container.image, container.status
        ),
    );
    sheet.line("limits", limits(&container.limits));
}

/// Control groups: one path, unless the hierarchies differ.
fn group(owner: &ProcessOwner) -> String {
    if !owner.other_engine.is_empty() {
        return owner.other_engine.clone();
    }
    if let (Some(container), false) = (&owner.container, owner.role == Role::Monitor) {
        return container.cgroup.clone();
    }
    let mut paths: Vec<&str> = owner.cgroups.iter().map(|c| c.path.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths.join(", ")
}

/// `memory 256MiB · 1 CPU · 100 processes`
pub(super) fn limits(limits: &Resources) -> String {
    let mut words = Vec::new();
    let size = |bytes: Option<i64>| bytes.filter(|b| *b > 0).map(|b| ByteSize(b as u64));
    if let Some(bytes) = size(limits.memory) {
        words.push(format!("memory {bytes}"));
    }
    if let Some(bytes) = size(limits.memory_high) {
        words.push(format!("slowed above {bytes}"));
    }
    if let Some(bytes) = size(limits.memory_reservation) {
        words.push(format!("reclaimed first above {bytes}"));
    }
    if let Some(billionths) = limits.nano_cpus.filter(|n| *n > 0) {
        words.push(format!("{} CPU", billionths as f64 / 1e9));
    }
    if let (Some(quota), period) = (limits.cpu_quota.filter(|q| *q > 0), limits.cpu_period) {
        words.push(format!(
            "{} CPU",
            quota as f64 / period.unwrap_or(100_000) as f64
        ));
    }
    if let Some(most) = limits.pids_limit.filter(|n| *n > 0) {
        words.push(format!("{most} processes"));
    }
    if !limits.cpuset_cpus.is_empty() {
        words.push(format!("on CPUs {}", limits.cpuset_cpus));
    }
    match words.is_empty() {
        true => "none on memory, CPU time or processes".to_owned(),
        false => words.join(" · "),
    }
}

fn of_port(engine: &Engine, port: u16, json: bool) -> Result<String> {
    let owners = engine.whois_port(port)?;
    if owners.is_empty() {
        return Err(Error::not_found(format!(
            "nobody waits on port {port}, neither on the host nor in a container"
        )));
    }
    if json {
        return owners.iter().map(json_line).collect();
    }
    let mut sheet = Sheet::new(format!("who waits on port {port}"));
    for owner in &owners {
        port_lines(&mut sheet, owner);
    }
    Ok(sheet.text())
}

fn port_lines(sheet: &mut Sheet, owner: &PortOwner) {
    let listener = &owner.listener;
    let address = std::net::SocketAddr::new(listener.address, listener.port);
    let place = match &owner.container {
        None => "on the host".to_owned(),
        Some(name) => format!("in {name}'s own network"),
    };
    if owner.processes.is_empty() {
        sheet.line(
            listener.protocol,
            format!("{address} {place}: a process that could not be found"),
        );
    }
    for process in &owner.processes {
        let of = match &process.container {
            Some(container) => format!(
                "container {}: pid {} inside, {} on the host",
                container.name, process.pid, process.host_pid
            ),
            None => format!("no container: pid {} on the host", process.host_pid),
        };
        sheet.line(
            listener.protocol,
            format!("{address} {place} · {of} · {}", process.command),
        );
    }
}

fn of_path(engine: &Engine, path: &str, json: bool) -> Result<String> {
    let owner = engine.whois_path(path)?;
    match json {
        true => json_line(&owner),
        false => Ok(path_sheet(&owner).text()),
    }
}

fn path_sheet(owner: &PathOwner) -> Sheet {
    let mut sheet = Sheet::new(match owner.places.is_empty() {
        true => format!("{} belongs to no container", owner.path),
        false => owner.path.clone(),
    });
    for place in &owner.places {
        let inside = &place.inside;
        let what = match place.kind {
            PlaceKind::Written => format!("written by it; inside it is {inside}"),
            PlaceKind::Image => format!("of its image; inside it is {inside}"),
            PlaceKind::Volume => format!("of a volume that it has; inside it is {inside}"),
            PlaceKind::Bind => format!("of the host, given to it; inside it is {inside}"),
            PlaceKind::Record => "Silo's own record about it".to_owned(),
            PlaceKind::Process => {
                format!("seen through one of its processes; inside it is {inside}")
            }
        };
        sheet.line("container", format!("{}: {what}", place.container));
    }
    for opener in &owner.open {
        let of = match &opener.container {
            Some(name) => format!("container {name}"),
            None => "no container".to_owned(),
        };
        let held = &opener.held;
        sheet.line(
            "open",
            format!(
                "{of}: host pid {} as {} · {}",
                held.host_pid, held.how, opener.command
            ),
        );
    }
    if owner.open.is_empty() {
        sheet.line("open", "nobody has it open");
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        assert_eq!(Asked::parse("42").unwrap(), Asked::Pid(42));
        assert_eq!(Asked::parse(":8080").unwrap(), Asked::Port(8080));
        assert_eq!(Asked::parse("./42").unwrap(), Asked::Path("./42"));
        for bad in ["", "0", ":", ":0", ":65536", ":http", "99999999999", "name"] {
            assert!(Asked::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_in_words() {
        assert_eq!(
            limits(&Resources::default()),
            "none on memory, CPU time or processes"
        );
        let some = Resources {
            memory: Some(256 << 20),
            nano_cpus: Some(1_500_000_000),
            pids_limit: Some(100),
            ..Resources::default()
        };
        assert_eq!(limits(&some), "memory 256MiB · 1.5 CPU · 100 processes");
    }
}
