//! Who listens where: /proc/PID/net/tcp and its kin, proc_pid_net(5), and the processes that hold a socket or a file open.
//!
//! Called by `whois :PORT` and `whois PATH`. A network namespace is read through any process that lives in it; nothing is entered.

use std::{
    ffi::CStr,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, readlinkat_raw, statat};
use serde::Serialize;

use crate::{
    Proc,
    text::{fields, number, printable},
};

/// A socket that waits for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// `tcp`, `tcp6`, `udp`, `udp6`
    pub protocol: &'static str,
    pub address: IpAddr,
    pub port: u16,
    /// Number of the socket, as in `socket:[4711]`.
    pub inode: u64,
}

/// File, name, and the state that means "waits": LISTEN for tcp, unconnected for udp (include/net/tcp_states.h).
const TABLES: [(&CStr, &str, &[u8]); 4] = [
    (c"net/tcp", "tcp", b"0A"),
    (c"net/tcp6", "tcp6", b"0A"),
    (c"net/udp", "udp", b"07"),
    (c"net/udp6", "udp6", b"07"),
];

/// A file by device and number, stat(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    pub device: u64,
    pub inode: u64,
}

/// How a process holds a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    pub host_pid: i32,
    /// `fd 3`, `cwd`, `exe`, `root`
    pub how: String,
}

impl Proc {
    /// Sockets that wait on this port in the network namespace of a process. None where it may not be looked at.
    pub fn listeners(&self, pid: i32, port: u16) -> Vec<Listener> {
        let Ok(process) = self.process(pid) else {
            return Vec::new();
        };
        let mut buffer = Vec::new();
        let mut found = Vec::new();
        for (file, protocol, waits) in TABLES {
            if process.read_lines(file, &mut buffer).is_ok() {
                let lines = buffer.split(|b| *b == b'\n').skip(1);
                found.extend(lines.filter_map(|line| listener(line, protocol, waits)));
            }
        }
        found.retain(|listener| listener.port == port);
        found
    }

    /// Which of these processes hold a socket.
    pub fn socket_holders(&self, pids: &[i32], inode: u64) -> Vec<i32> {
        let wanted = format!("socket:[{inode}]");
        let holds = |pid: &i32| {
            self.any_fd(*pid, &mut |folder, name| {
                let mut room = [std::mem::MaybeUninit::<u8>::uninit(); 64];
                let target = readlinkat_raw(folder, name, &mut room);
                target.is_ok_and(|(target, _)| *target == *wanted.as_bytes())
            })
        };
        pids.iter()
            .copied()
            .filter(|pid| holds(pid).is_some())
            .collect()
    }

    /// Which of these processes hold a file: open, as working folder, as root, or as their program.
    pub fn file_holders(&self, pids: &[i32], file: FileId) -> Vec<Held> {
        let mut found = Vec::new();
        for pid in pids {
            let open = self.any_fd(*pid, &mut |folder, name| {
                let stat = statat(folder, name, AtFlags::empty());
                stat.is_ok_and(|s| (s.st_dev, s.st_ino) == (file.device, file.inode))
            });
            let link = || {
                ["cwd", "exe", "root"].into_iter().find(|link| {
                    let stat = statat(self, format!("{pid}/{link}"), AtFlags::empty());
                    stat.is_ok_and(|s| (s.st_dev, s.st_ino) == (file.device, file.inode))
                })
            };
            let how = open
                .map(|fd| format!("fd {fd}"))
                .or_else(|| link().map(str::to_owned));
            found.extend(how.map(|how| Held {
                host_pid: *pid,
                how,
            }));
        }
        found
    }

    /// The first descriptor of a process that is wanted.
    fn any_fd(
        &self,
        pid: i32,
        wanted: &mut dyn FnMut(&std::os::fd::OwnedFd, &CStr) -> bool,
    ) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(self, format!("{pid}/fd"), flags, Mode::empty()).ok()?;
        for entry in Dir::read_from(&folder).ok()?.flatten() {
            let name = entry.file_name();
            if number::<u32>(name.to_bytes()).is_some() && wanted(&folder, name) {
                return Some(printable(name.to_bytes()));
            }
        }
        None
    }
}

/// `sl: LOCAL:PORT REMOTE:PORT STATE tx:rx tr:when retransmits uid timeout inode …`
fn listener(line: &[u8], protocol: &'static str, waits: &[u8]) -> Option<Listener> {
    let mut words = fields(line).skip(1);
    let local = std::str::from_utf8(words.next()?).ok()?;
    if words.nth(1)? != waits {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    Some(Listener {
        protocol,
        address: address_of(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: number(words.nth(5)?)?,
    })
}

/// Words of 32 bits, each in the byte order of the machine.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::linux::fs::MetadataExt;

    #[test]
    fn lines_of_the_kernel() {
        let line = b"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0";
        let found = listener(line, "tcp", b"0A").unwrap();
        assert_eq!(
            (found.address.to_string().as_str(), found.port, found.inode),
            ("127.0.0.1", 8080, 4711)
        );
        assert_eq!(listener(line, "tcp", b"01"), None);
        let six = address_of("00000000000000000000000001000000").unwrap();
        assert_eq!(six.to_string(), "::1");
    }

    #[test]
    fn this_process_listens_and_holds_files() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let proc = Proc::host().unwrap();
        let own = std::process::id() as i32;
        let found = proc.listeners(own, port);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(proc.socket_holders(&[1, own], found[0].inode), [own]);
        let file = tempfile::tempfile().unwrap();
        let facts = file.metadata().unwrap();
        let id = FileId {
            device: facts.st_dev(),
            inode: facts.st_ino(),
        };
        let held = proc.file_holders(&[own], id);
        assert!(
            held.len() == 1 && held[0].how.starts_with("fd "),
            "{held:?}"
        );
    }

    proptest! {
        #[test]
        fn no_line_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = listener(&bytes, "tcp", b"0A");
        }
    }
}
