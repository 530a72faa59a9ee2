//! What happened: one JSON object a line in `events.log`, appended by whoever did it.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{BufRead, BufReader, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use silo_types::{ContainerConfig, Doing, Result};

use crate::{Engine, create::now};

/// Bytes after which the log is set aside as `events.log.1`, replacing the one before.
const LONGEST: u64 = 4 << 20;

/// One thing that happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Event {
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// `container`, `image`, `volume`.
    pub kind: String,
    /// Docker's word: `create`, `start`, `die`, `oom`, …
    pub action: String,
    pub id: String,
    pub attributes: BTreeMap<String, String>,
}

impl Event {
    pub fn of_container(config: &ContainerConfig, name: &str, action: &str) -> Event {
        let mut attributes = BTreeMap::from([
            ("image".to_owned(), config.image.reference.clone()),
            ("name".to_owned(), name.to_owned()),
        ]);
        for (key, value) in &config.labels {
            attributes.insert(key.clone(), value.clone());
        }
        Event {
            time: now(),
            kind: "container".to_owned(),
            action: action.to_owned(),
            id: config.id.to_string(),
            attributes,
        }
    }

    pub fn with(mut self, key: &str, value: impl ToString) -> Event {
        self.attributes.insert(key.to_owned(), value.to_string());
        self
    }
}

/// Which events, and whether to wait for more.
#[derive(Clone, Debug, Default)]
pub struct EventOptions {
    /// Nanoseconds since the epoch; `None`: only what happens from now on.
    pub since: Option<u64>,
    /// Ends there; `None`: never.
    pub until: Option<u64>,
}

impl Engine {
    /// Appends an event. A full disk must not stop a container: failures are dropped.
    pub(crate) fn record(&self, event: Event) {
        let _ = self.append(&event);
    }

    fn append(&self, event: &Event) -> Result<()> {
        let path = self.paths.events();
        let mut line = serde_json::to_vec(event).doing("write an event")?;
        line.push(b'\n');
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .doing("open the event log")?;
        // One write: lines of several writers do not mix (O_APPEND, open(2)).
        file.write_all(&line).doing("write an event")?;
        if file.metadata().is_ok_and(|m| m.len() > LONGEST) {
            let _ = std::fs::rename(&path, path.with_extension("log.1"));
        }
        Ok(())
    }

    /// Hands events to `sink` in order until it returns false or `until` has passed.
    pub fn events(
        &self,
        options: &EventOptions,
        sink: &mut dyn FnMut(&Event) -> bool,
    ) -> Result<()> {
        let since = options.since.unwrap_or_else(now);
        let wanted = |event: &Event| {
            event.time >= since && options.until.is_none_or(|until| event.time <= until)
        };
        let path = self.paths.events();
        if options.since.is_some()
            && let Ok(file) = std::fs::File::open(path.with_extension("log.1"))
            && !drain(&mut BufReader::new(file), &wanted, sink)?
        {
            return Ok(());
        }
        let mut open: Option<BufReader<std::fs::File>> = None;
        loop {
            if open.is_none()
                && let Ok(file) = std::fs::File::open(&path)
            {
                open = Some(BufReader::new(file));
            }
            if let Some(log) = &mut open {
                if !drain(log, &wanted, sink)? {
                    return Ok(());
                }
                // Set aside meanwhile: go on with the new one.
                if log.get_ref().metadata().map(|m| m.ino()).ok()
                    != std::fs::metadata(&path).map(|m| m.ino()).ok()
                {
                    open = None;
                }
            }
            if options.until.is_some_and(|until| now() > until) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// False when the sink wants no more.
fn drain(
    log: &mut BufReader<std::fs::File>,
    wanted: &dyn Fn(&Event) -> bool,
    sink: &mut dyn FnMut(&Event) -> bool,
) -> Result<bool> {
    let mut line = String::new();
    while log.read_line(&mut line).doing("read the event log")? > 0 {
        if let Ok(event) = serde_json::from_str::<Event>(&line)
            && wanted(&event)
            && !sink(&event)
        {
            return Ok(false);
        }
        line.clear();
    }
    Ok(true)
}
