//! A connection to a manager of services: the manager's own socket, or a message bus where that is closed to the caller.
//!
//! Called by the driver beside this file. One thread, one call at a time: written, then read until its answer is there; signals that
//! come meanwhile are kept. Nothing is connected before the driver is asked for.

use super::wire::{self, Call, Message, START, Writer};
use silo_types::{Doing, Error, Kind, Result};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The manager's name on a bus, and its object.
const MANAGER: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const BUS: &str = "org.freedesktop.DBus";

/// How long an answer may take, and a job.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// The manager itself is at the other end.
    is_direct: bool,
    signals: VecDeque<Message>,
}

/// Sockets to try, and whether the manager itself is behind them.
pub(super) fn addresses(user: bool) -> Vec<(PathBuf, bool)> {
    if !user {
        return vec![
            ("/run/systemd/private".into(), true),
            ("/run/dbus/system_bus_socket".into(), false),
        ];
    }
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let uid = super::owner();
    let folder = variable("XDG_RUNTIME_DIR").unwrap_or_else(|| format!("/run/user/{uid}"));
    let mut found = vec![(Path::new(&folder).join("systemd/private"), true)];
    // DBUS_SESSION_BUS_ADDRESS: "unix:path=/run/user/1000/bus,guid=…;…"
    let address = variable("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
    let paths = address.split(';').filter_map(|one| {
        let keys = one.strip_prefix("unix:")?;
        keys.split(',').find_map(|key| key.strip_prefix("path="))
    });
    found.extend(paths.map(|path| (PathBuf::from(path), false)));
    found.push((Path::new(&folder).join("bus"), false));
    found
}

impl Bus {
    /// Connects to the first of `addresses` that answers.
    ///
    /// Errors: of the first one.
    pub(super) fn connect(addresses: &[(PathBuf, bool)]) -> Result<Bus> {
        let mut first = None;
        for (path, is_direct) in addresses {
            match Bus::open(path, *is_direct) {
                Ok(bus) => return Ok(bus),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| Error::internal("no address of a service manager")))
    }

    fn open(path: &Path, is_direct: bool) -> Result<Bus> {
        let doing = || format!("connect to {}", path.display());
        let mut stream = UnixStream::connect(path).doing_with(doing)?;
        stream.set_read_timeout(Some(PATIENCE)).doing_with(doing)?;
        stream.set_write_timeout(Some(PATIENCE)).doing_with(doing)?;
        authenticate(&mut stream).doing_with(doing)?;
        let mut bus = Bus {
            stream,
            serial: 0,
            is_direct,
            signals: VecDeque::new(),
        };
        if !is_direct {
            let match_rule = format!(
                "type='signal',sender='{MANAGER}',path='{OBJECT}',interface='{MANAGER}.Manager',member='JobRemoved'"
            );
            let mut body = Writer::default();
            body.text(&match_rule);
            bus.call_bus("Hello", "", Writer::default())?;
            bus.call_bus("AddMatch", "s", body)?;
            bus.call_manager("Subscribe", "", Writer::default())?;
        }
        Ok(bus)
    }

    fn call_bus(&mut self, member: &str, signature: &str, body: Writer) -> Result<Message> {
        let call = Call {
            destination: BUS,
            path: "/org/freedesktop/DBus",
            interface: BUS,
            member,
        };
        self.call(call, signature, body)
    }

    /// Calls a method of the manager.
    ///
    /// Errors: NotFound, Conflict, Unsupported, Invalid by what it says.
    pub(super) fn call_manager(
        &mut self,
        member: &str,
        signature: &str,
        body: Writer,
    ) -> Result<Message> {
        let call = Call {
            destination: MANAGER,
            path: OBJECT,
            interface: "org.freedesktop.systemd1.Manager",
            member,
        };
        self.call(call, signature, body)
    }

    /// A property of the manager's that is a text.
    pub(super) fn property(&mut self, name: &str) -> Result<String> {
        let mut body = Writer::default();
        body.text("org.freedesktop.systemd1.Manager");
        body.text(name);
        let call = Call {
            destination: MANAGER,
            path: OBJECT,
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
        };
        let reply = self.call(call, "ss", body)?;
        // The variant's text is the only one.
        let text = reply.texts.into_iter().next();
        text.ok_or_else(|| Error::internal(format!("systemd has no property {name}")))
    }

    fn call(&mut self, call: Call<'_>, signature: &str, body: Writer) -> Result<Message> {
        let call = Call {
            destination: if self.is_direct { "" } else { call.destination },
            ..call
        };
        let doing = || format!("ask systemd: {}", call.member);
        self.serial += 1;
        let serial = self.serial;
        let bytes = call.encode(serial, signature, body);
        self.stream.write_all(&bytes).doing_with(doing)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let message = self.read(end).doing_with(doing)?;
            match message.kind {
                wire::REPLY if message.reply_to == serial => return Ok(message),
                wire::ERROR if message.reply_to == serial => return Err(refused(&message)),
                wire::SIGNAL => self.signals.push_back(message),
                _ => {}
            }
        }
    }

    /// Waits for the end of a job; its result: `done`, `failed`, `timeout` …
    pub(super) fn wait_for_job(&mut self, job: &str) -> Result<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let signal = match self.signals.pop_front() {
                Some(signal) => signal,
                None => self.read(end).doing("wait for systemd")?,
            };
            // u: id; o: job; s: unit; s: result
            if signal.kind == wire::SIGNAL
                && signal.member == "JobRemoved"
                && let [path, _, result] = signal.texts.as_slice()
                && path == job
            {
                return Ok(result.clone());
            }
        }
    }

    fn read(&mut self, end: Instant) -> std::io::Result<Message> {
        if Instant::now() > end {
            return Err(ErrorKind::TimedOut.into());
        }
        let malformed = |why| std::io::Error::new(ErrorKind::InvalidData, why);
        let mut start = [0; START];
        self.exact(&mut start)?;
        let mut bytes = start.to_vec();
        bytes.resize(wire::length(&start).map_err(malformed)?, 0);
        self.exact(&mut bytes[START..])?;
        Message::decode(&bytes).map_err(malformed)
    }

    fn exact(&mut self, bytes: &mut [u8]) -> std::io::Result<()> {
        match self.stream.read_exact(bytes) {
            // How a socket says that its time is over.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::TimedOut.into()),
            read => read,
        }
    }
}

/// Who one is, the socket says: nothing is claimed, which also holds in a user namespace (D-Bus specification, "EXTERNAL").
///
/// All at once, as systemd's own library does: a manager that reads a first call together with BEGIN lets it lie until there is
/// more to read.
fn authenticate(stream: &mut UnixStream) -> std::io::Result<()> {
    stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
    let mut line = Vec::new();
    loop {
        line.clear();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
            if line.len() > 1024 {
                return Err(ErrorKind::InvalidData.into());
            }
        }
        if line.starts_with(b"OK ") {
            return Ok(());
        }
        // Else "DATA": go on.
        if line.starts_with(b"REJECTED") || line.starts_with(b"ERROR") {
            return Err(ErrorKind::PermissionDenied.into());
        }
    }
}

/// What the manager said, with a class of ours.
fn refused(message: &Message) -> Error {
    let name = message.error.rsplit('.').next().unwrap_or_default();
    let kind = match name {
        "UnitExists" => Kind::Conflict,
        "NoSuchUnit" => Kind::NotFound,
        "AccessDenied" | "InteractiveAuthorizationRequired" | "NotSupported" => Kind::Unsupported,
        "InvalidArgs" | "PropertyReadOnly" | "UnknownProperty" | "BadUnitSetting" => Kind::Invalid,
        _ => Kind::System,
    };
    let text = message.texts.first().map_or("", String::as_str);
    let text = text.trim_end_matches('.');
    Error::new(kind, format!("systemd: {name}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manager that answers from a list, and what it was told.
    fn serve(answers: &'static [&'static [u8]]) -> (UnixStream, std::thread::JoinHandle<Vec<u8>>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let serving = std::thread::spawn(move || {
            let mut told = Vec::new();
            for answer in answers {
                let mut bytes = [0; 4096];
                let count = theirs.read(&mut bytes).unwrap();
                told.extend(&bytes[..count]);
                theirs.write_all(answer).unwrap();
            }
            let mut rest = Vec::new();
            theirs.read_to_end(&mut rest).unwrap();
            told.extend(rest);
            told
        });
        (ours, serving)
    }

    #[test]
    fn the_socket_says_who_one_is() {
        let (mut stream, serving) = serve(&[b"DATA\r\nOK 0123\r\n"]);
        authenticate(&mut stream).unwrap();
        drop(stream);
        let told = serving.join().unwrap();
        assert_eq!(told, b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
        let (mut stream, serving) = serve(&[b"REJECTED EXTERNAL\r\n"]);
        assert!(authenticate(&mut stream).is_err());
        drop(stream);
        serving.join().unwrap();
    }

    #[test]
    fn nobody_answers() {
        let error = Bus::connect(&[("/nonesuch/private".into(), true)]).unwrap_err();
        assert!(error.to_string().contains("/nonesuch/private"), "{error}");
    }

    #[test]
    fn refusals_have_a_class() {
        let said = |name: &str| Message {
            error: format!("org.freedesktop.systemd1.{name}"),
            texts: vec!["Unit x.scope not loaded.".into()],
            ..Message::default()
        };
        let error = refused(&said("NoSuchUnit"));
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(
            error.to_string(),
            "systemd: NoSuchUnit: Unit x.scope not loaded"
        );
        assert_eq!(refused(&said("UnitExists")).kind(), Kind::Conflict);
    }
}
