//! What a command and a monitor say to each other over a sequenced-packet socket: one packet, one message.
//!
//! ```text
//! to the monitor   Q request as JSON · i input bytes · e end of input
//! from it          P reply as JSON · S started · 1 output · 2 error output · N notice · X exit as JSON
//! ```
//! After `Attach` the monitor sends output until the main process ends, then `X`.

use serde::{Deserialize, Serialize};
use silo_types::{Error, Kind, Resources, RestartPolicy, Result, Signal};

/// Longest payload of one packet of stream data.
pub(crate) const CHUNK: usize = 32 * 1024;

/// Longest packet: a request or a reply.
pub(crate) const LONGEST: usize = 64 * 1024;

/// Asked by a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "ask")]
pub enum Request {
    /// Join the streams; `output` false: input only.
    #[serde(rename_all = "camelCase")]
    Attach {
        input: bool,
        output: bool,
    },
    /// Leave the streams; the container's input stays open.
    Detach,
    /// Rows and columns of the client's terminal.
    #[serde(rename_all = "camelCase")]
    Resize {
        rows: u16,
        columns: u16,
    },
    #[serde(rename_all = "camelCase")]
    Kill {
        signal: Signal,
    },
    /// Signal, then KILL after so many seconds (negative: never); answered when it has ended.
    #[serde(rename_all = "camelCase")]
    Stop {
        signal: Option<Signal>,
        timeout: Option<i64>,
        /// It is to be started again: for the record only.
        restart: bool,
    },
    /// Kill and do not start again; answered when everything is freed, but for its links where who asks waits for those of many
    /// at once.
    #[serde(rename_all = "camelCase")]
    End {
        #[serde(default)]
        leave_links: bool,
    },
    Pause,
    Unpause,
    #[serde(rename_all = "camelCase")]
    Update {
        resources: Option<Box<Resources>>,
        restart: Option<RestartPolicy>,
        /// Below what is in use, too: v2 then kills to get there.
        may_kill: bool,
    },
    /// The limits before the last update again.
    UndoUpdate,
    #[serde(rename_all = "camelCase")]
    Rename {
        name: String,
    },
    /// Answered with [`Exit`] when the main process has ended.
    Wait,
}

/// Answer to a request: nothing, or why not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Reply {
    /// Empty: done.
    pub error: String,
    /// Exit code of the error's class.
    pub class: u8,
}

/// How the main process ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Exit {
    pub code: i32,
    pub oom_killed: bool,
    pub freed: Freed,
}

/// What the end of a container gave back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Freed {
    /// Processes that were still running.
    pub processes: u64,
    /// Memory that they and their files held, bytes.
    pub memory_bytes: u64,
    /// Files written by the container, bytes; 0 until removed.
    pub disk_bytes: u64,
}

/// Sent when the program has been executed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StartedInfo {
    pub pid: i32,
    /// Step and microseconds that it took, in order.
    pub timing: Vec<(String, u64)>,
    pub warnings: Vec<String>,
}

/// A packet from the monitor.
#[derive(Debug, PartialEq)]
pub enum FromMonitor {
    Reply(Reply),
    Started(StartedInfo),
    Output(Vec<u8>),
    ErrorOutput(Vec<u8>),
    Notice(String),
    Exit(Exit),
}

/// A packet from a client.
#[derive(Debug, PartialEq)]
pub(crate) enum FromClient {
    Request(Request),
    Input(Vec<u8>),
    EndOfInput,
}

pub(crate) fn packet(tag: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(payload.len() + 1);
    packet.push(tag);
    packet.extend_from_slice(payload);
    packet
}

pub(crate) fn packet_json<T: Serialize>(tag: u8, value: &T) -> Vec<u8> {
    packet(tag, &serde_json::to_vec(value).unwrap_or_default())
}

impl Reply {
    pub(crate) fn of(result: &Result<()>) -> Reply {
        match result {
            Ok(()) => Reply::default(),
            Err(error) => Reply {
                error: error.to_string(),
                class: class_of(error.kind()),
            },
        }
    }

    pub fn into_result(self) -> Result<()> {
        if self.error.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            CLASSES[usize::from(self.class).min(7)],
            self.error,
        ))
    }
}

const CLASSES: [Kind; 8] = [
    Kind::Internal,
    Kind::Invalid,
    Kind::NotFound,
    Kind::Conflict,
    Kind::Unsupported,
    Kind::CommandNotFound,
    Kind::CommandNotExecutable,
    Kind::System,
];

fn class_of(kind: Kind) -> u8 {
    CLASSES.iter().position(|k| *k == kind).unwrap_or(0) as u8
}

pub(crate) fn parse_client(packet: &[u8]) -> Result<FromClient> {
    match packet {
        [b'Q', json @ ..] => serde_json::from_slice(json)
            .map(FromClient::Request)
            .map_err(|e| Error::invalid(format!("request not understood: {e}"))),
        [b'i', bytes @ ..] => Ok(FromClient::Input(bytes.to_vec())),
        [b'e'] => Ok(FromClient::EndOfInput),
        _ => Err(Error::invalid("unknown kind of packet")),
    }
}

pub(crate) fn parse_monitor(packet: &[u8]) -> Result<FromMonitor> {
    let bad = |e: serde_json::Error| Error::internal(format!("answer not understood: {e}"));
    match packet {
        [b'P', json @ ..] => serde_json::from_slice(json)
            .map(FromMonitor::Reply)
            .map_err(bad),
        [b'S', json @ ..] => serde_json::from_slice(json)
            .map(FromMonitor::Started)
            .map_err(bad),
        [b'X', json @ ..] => serde_json::from_slice(json)
            .map(FromMonitor::Exit)
            .map_err(bad),
        [b'1', bytes @ ..] => Ok(FromMonitor::Output(bytes.to_vec())),
        [b'2', bytes @ ..] => Ok(FromMonitor::ErrorOutput(bytes.to_vec())),
        [b'N', text @ ..] => Ok(FromMonitor::Notice(
            String::from_utf8_lossy(text).into_owned(),
        )),
        _ => Err(Error::internal("unknown kind of packet from the monitor")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_wire() {
        let ask = Request::Stop {
            signal: Some(Signal::TERM),
            timeout: Some(-1),
            restart: false,
        };
        let wire = packet_json(b'Q', &ask);
        assert_eq!(parse_client(&wire).unwrap(), FromClient::Request(ask));
        assert!(parse_client(b"Q{}").is_err());
        assert!(parse_client(b"").is_err());
    }

    #[test]
    fn errors_keep_their_class() {
        let reply = Reply::of(&Err(Error::conflict("busy")));
        let error = reply.into_result().unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (Kind::Conflict, "busy")
        );
    }
}
