//! Names of users and groups: the host's for Docker's columns, the container's own for the view of both worlds.
//!
//! Called by `ps` and `top`. A container's files are hostile: they are opened below its root without following the last link,
//! must be regular files before they are opened for reading, and are read up to 1 MiB (CVE-2024-9676, CVE-2023-25153).

use std::{
    cell::OnceCell,
    collections::HashMap,
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    buffer::spare_capacity,
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2},
    io::Errno,
};
use silo_types::{Doing, Result};

use crate::{
    Proc,
    text::{fields, number, printable},
};

const FILE_CAP: usize = 1 << 20;
/// Longest name shown, characters: useradd(8) allows 32.
const NAME_CAP: usize = 64;
/// What an id without a place in the container's user namespace looks like inside, user_namespaces(7).
const OVERFLOW_ID: u32 = 65534;

/// Looks names up by number. Each file is read when the first name is asked for, and once.
#[derive(Debug)]
pub struct Names {
    root: OwnedFd,
    follow_links: bool,
    user_map: Vec<IdRange>,
    group_map: Vec<IdRange>,
    users: OnceCell<HashMap<u32, String>>,
    groups: OnceCell<HashMap<u32, String>>,
}

/// A line of /proc/PID/uid_map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IdRange {
    inside: u32,
    outside: u32,
    count: u32,
}

const IDENTITY: IdRange = IdRange {
    inside: 0,
    outside: 0,
    count: u32::MAX,
};

impl Names {
    /// The host's, from its /etc. Names that only a directory service knows are shown as numbers.
    pub fn host() -> Result<Names> {
        Names::at("/")
    }

    /// Those of a trusted root directory.
    pub fn at(root: impl AsRef<Path>) -> Result<Names> {
        let root = root.as_ref();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(root, flags, Mode::empty())
            .map_err(io::Error::from)
            .doing_with(|| format!("open {}", root.display()))?;
        Ok(Names::new(fd, true, vec![IDENTITY], vec![IDENTITY]))
    }

    /// Those of the container whose main process is `pid`: names from its root, numbers through its user namespace.
    pub fn of_container(proc: &Proc, pid: i32) -> Result<Names> {
        Names::in_root_of(proc, pid)
            .map_err(io::Error::from)
            .doing_with(|| format!("open the root directory of process {pid}"))
    }

    fn in_root_of(proc: &Proc, pid: i32) -> rustix::io::Result<Names> {
        let process = proc.process(pid)?;
        let mut buffer = Vec::new();
        process.read_lines(c"uid_map", &mut buffer)?;
        let users = id_map(&buffer);
        process.read_lines(c"gid_map", &mut buffer)?;
        let groups = id_map(&buffer);
        Ok(Names::new(process.root()?, false, users, groups))
    }

    fn new(root: OwnedFd, follow_links: bool, users: Vec<IdRange>, groups: Vec<IdRange>) -> Names {
        Names {
            root,
            follow_links,
            user_map: users,
            group_map: groups,
            users: OnceCell::new(),
            groups: OnceCell::new(),
        }
    }

    /// Name of a user given by its number on the host; the number inside when it has no name.
    pub fn user(&self, uid: u32) -> String {
        let users = self.users.get_or_init(|| self.load("etc/passwd"));
        named(users, self.user_inside(uid))
    }

    /// The same for a group.
    pub fn group(&self, gid: u32) -> String {
        let groups = self.groups.get_or_init(|| self.load("etc/group"));
        named(groups, inside(&self.group_map, gid))
    }

    /// The number inside of a user given by its number on the host.
    pub fn user_inside(&self, uid: u32) -> u32 {
        inside(&self.user_map, uid)
    }

    fn load(&self, path: &str) -> HashMap<u32, String> {
        use std::os::fd::AsFd;
        // Names are an ornament: where the file is missing or refused, numbers are shown.
        read_regular(self.root.as_fd(), path, self.follow_links)
            .map(|bytes| parse_names(&bytes))
            .unwrap_or_default()
    }
}

fn named(names: &HashMap<u32, String>, id: u32) -> String {
    names.get(&id).cloned().unwrap_or_else(|| id.to_string())
}

fn inside(map: &[IdRange], id: u32) -> u32 {
    map.iter()
        .find(|range| id >= range.outside && id - range.outside < range.count)
        .and_then(|range| range.inside.checked_add(id - range.outside))
        .unwrap_or(OVERFLOW_ID)
}

/// Lines `inside outside count`, user_namespaces(7).
fn id_map(text: &[u8]) -> Vec<IdRange> {
    let line = |line: &[u8]| {
        let mut numbers = fields(line).map(number);
        Some(IdRange {
            inside: numbers.next()??,
            outside: numbers.next()??,
            count: numbers.next()??,
        })
    };
    text.split(|b| *b == b'\n').filter_map(line).collect()
}

/// passwd(5) and group(5): `name:password:number:…`. The first line of a number wins, as in getpwuid(3).
fn parse_names(text: &[u8]) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.split(|b| *b == b'\n') {
        let mut fields = line.split(|b| *b == b':');
        let (Some(name), Some(id)) = (fields.next(), fields.nth(1)) else {
            continue;
        };
        let digits = !id.is_empty() && id.iter().all(u8::is_ascii_digit);
        if let (true, false, Some(id)) = (digits, name.is_empty(), number(id)) {
            names
                .entry(id)
                .or_insert_with(|| printable(name).chars().take(NAME_CAP).collect());
        }
    }
    names
}

/// The bytes of a regular file below `root`, at most [`FILE_CAP`].
///
/// First held with `O_PATH`, which opens nothing: a FIFO cannot block and a device is not woken. Only what is proved to be a
/// regular file is then opened, through the descriptor, so that it cannot be swapped in between.
fn read_regular(root: BorrowedFd<'_>, path: &str, follow: bool) -> rustix::io::Result<Vec<u8>> {
    let mut flags = OFlags::PATH | OFlags::CLOEXEC;
    if !follow {
        flags |= OFlags::NOFOLLOW;
    }
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let held = openat2(root, path, flags, Mode::empty(), resolve)?;
    let facts = fstat(&held)?;
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let own = format!("/proc/self/fd/{}", held.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = open(own, flags, Mode::empty())?;
    let size = (facts.st_size.max(0) as usize).min(FILE_CAP);
    let mut bytes = Vec::with_capacity(size + 1);
    while bytes.len() < FILE_CAP {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(4096);
        }
        if rustix::io::read(&file, spare_capacity(&mut bytes))? == 0 {
            break;
        }
    }
    bytes.truncate(FILE_CAP);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn first_line_wins_and_odd_lines_are_skipped() {
        let text = b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0\n:x:5:5\nbad:x:-1:1\nbad2:x:+3:1\nonly\nwww\x1b:x:33:33\nnosh:x:7";
        let names = parse_names(text);
        assert_eq!(names[&0], "root");
        assert_eq!(names[&33], "www?");
        assert_eq!(names[&7], "nosh");
        assert_eq!(names.len(), 3);
    }

    #[test]
    fn maps_of_user_namespaces() {
        let map = id_map(b"         0     100000      65536\n    70000          5          1\n");
        assert_eq!(inside(&map, 100000), 0);
        assert_eq!(inside(&map, 100033), 33);
        assert_eq!(inside(&map, 5), 70000);
        assert_eq!(inside(&map, 0), OVERFLOW_ID);
        assert_eq!(inside(&map, 165536), OVERFLOW_ID);
        assert_eq!(inside(&id_map(b"0 0 4294967295\n"), 1000), 1000);
    }

    fn hostile_root(make: impl FnOnce(&Path)) -> Names {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        make(&folder.path().join("etc/passwd"));
        let mut names = Names::at(folder.path()).unwrap();
        names.follow_links = false;
        names.user(0);
        names
    }

    #[test]
    fn links_fifos_and_giants_are_harmless() {
        let link = hostile_root(|path| symlink("/etc/passwd", path).unwrap());
        assert_eq!(link.user(0), "0");
        let fifo = hostile_root(|path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        });
        assert_eq!(fifo.user(0), "0", "and it did not block");
        let giant = hostile_root(|path| {
            let file = fs::File::create(path).unwrap();
            file.set_len(8 << 30).unwrap();
        });
        assert_eq!(giant.user(0), "0");
        let good = hostile_root(|path| fs::write(path, "boss:x:0:0\n").unwrap());
        assert_eq!(good.user(0), "boss");
    }

    #[test]
    fn a_folder_link_stays_in_the_root() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("usr/etc")).unwrap();
        fs::write(folder.path().join("usr/etc/passwd"), "inner:x:0:0\n").unwrap();
        symlink("/usr/etc", folder.path().join("etc")).unwrap();
        assert_eq!(Names::at(folder.path()).unwrap().user(0), "inner");
        assert_eq!(Names::host().unwrap().user(0), "root");
        assert_eq!(Names::host().unwrap().group(0), "root");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), id in any::<u32>()) {
            let _ = parse_names(&bytes);
            let _ = inside(&id_map(&bytes), id);
        }
        #[test]
        fn no_map_overflows(a in any::<u32>(), b in any::<u32>(), c in any::<u32>(), id in any::<u32>()) {
            let _ = inside(&[IdRange { inside: a, outside: b, count: c }], id);
        }
    }
}
