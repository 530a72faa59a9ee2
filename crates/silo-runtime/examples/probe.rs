//! Runs inside a container and tells what it finds there: each word asks one thing, the answers are a JSON object by word.
//!
//! Static and alone in its root file system. `wait` ends with standard input, and is asked last.

use std::{
    collections::BTreeSet,
    ffi::CString,
    fs,
    io::Read,
    os::unix::fs::{FileTypeExt, MetadataExt},
};

use serde_json::{Value, json};

fn main() {
    let mut answers = serde_json::Map::new();
    for word in std::env::args().skip(1) {
        let value = answer(&word)
            .unwrap_or_else(|error| json!({ "error": error.raw_os_error().unwrap_or(-1) }));
        answers.insert(word, value);
    }
    println!("{}", Value::Object(answers));
}

fn answer(word: &str) -> std::io::Result<Value> {
    let (ask, rest) = word.split_once(':').unwrap_or((word, ""));
    Ok(match ask {
        "read" => json!(fs::read_to_string(rest)?),
        "link" => json!(fs::read_link(rest)?.to_string_lossy()),
        "list" => {
            let mut names: Vec<String> = fs::read_dir(rest)?
                .flatten()
                .map(|e| e.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            json!(names)
        }
        "stat" => stat(rest)?,
        "write" => {
            let (path, text) = rest.split_once('=').unwrap_or((rest, ""));
            fs::write(path, text)?;
            json!("written")
        }
        "chown" => {
            std::os::unix::fs::chown(rest, Some(1), Some(1))?;
            json!("done")
        }
        "mkdir" => {
            fs::create_dir(rest)?;
            json!("made")
        }
        "mknod" => {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            let kind = rustix::fs::FileType::CharacterDevice;
            rustix::fs::mknodat(rustix::fs::CWD, rest, kind, mode, rustix::fs::makedev(1, 3))?;
            json!("made")
        }
        "mounts" => json!(fs::read_to_string("/proc/self/mountinfo")?),
        "status" => status(rest)?,
        "ids" => json!([
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw()
        ]),
        "pid" => json!(rustix::process::getpid().as_raw_nonzero().get()),
        "monotonic" => {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            json!(now.tv_sec)
        }
        "boottime" => {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
            json!(now.tv_sec)
        }
        "hostname" => json!(rustix::system::uname().nodename().to_string_lossy()),
        "domainname" => json!(rustix::system::uname().domainname().to_string_lossy()),
        "machine" => json!(rustix::system::uname().machine().to_string_lossy()),
        "scheduler" => {
            let got = silo_sys::scheduling::scheduler()?;
            json!([got.policy, got.nice, got.priority, got.flags])
        }
        "io" => json!(silo_sys::scheduling::io_priority()?),
        "memory" => json!(silo_sys::scheduling::memory_policy()?),
        "limit" => json!(silo_sys::process::rlimit(rest.parse().unwrap_or(99))?),
        "umask" => json!(rustix::process::umask(rustix::fs::Mode::empty()).as_raw_mode()),
        "processors" => {
            let set = rustix::thread::sched_getaffinity(None)?;
            json!((0..64).filter(|cpu| set.is_set(*cpu)).collect::<Vec<_>>())
        }
        "open" => {
            let path = CString::new(rest)?;
            let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
            rustix::fs::open(path, flags, rustix::fs::Mode::empty())?;
            json!("opened")
        }
        "spy" => spy()?,
        "nap" => {
            std::thread::sleep(std::time::Duration::from_millis(20));
            json!("rested")
        }
        "wait" => {
            std::io::stdin().read_to_end(&mut Vec::new())?;
            json!("ended")
        }
        _ => json!("unknown word"),
    })
}

fn stat(path: &str) -> std::io::Result<Value> {
    let meta = fs::symlink_metadata(path)?;
    let kind = meta.file_type();
    let kind = match () {
        () if kind.is_dir() => "folder",
        () if kind.is_file() => "file",
        () if kind.is_symlink() => "link",
        () if kind.is_char_device() => "device",
        () if kind.is_fifo() => "pipe",
        () => "other",
    };
    Ok(json!({
        "kind": kind, "uid": meta.uid(), "gid": meta.gid(), "mode": meta.mode() & 0o7777,
        "size": meta.size(), "device": meta.rdev(), "inode": meta.ino(),
    }))
}

/// A field of /proc/self/status.
fn status(field: &str) -> std::io::Result<Value> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    Ok(json!(line.map(str::trim)))
}

/// Watches all other processes for as long as it lives, and keeps what it saw of them in /seen.
fn spy() -> std::io::Result<Value> {
    let (mut exe, mut descriptors) = (BTreeSet::new(), BTreeSet::new());
    let mut processes = BTreeSet::new();
    loop {
        let mut news = false;
        for entry in fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "1" || !name.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            let of = entry.path();
            news |= processes.insert(name);
            let Ok(program) = fs::read_link(of.join("exe")) else {
                continue;
            };
            let program = program.to_string_lossy().into_owned();
            // Of the probe itself the standard streams are no secret.
            for fd in fs::read_dir(of.join("fd")).into_iter().flatten().flatten() {
                if program != "/probe" {
                    descriptors.insert(fd.path().to_string_lossy().into_owned());
                }
            }
            news |= exe.insert(program);
        }
        if news {
            let seen =
                json!({"exe": exe, "descriptors": descriptors, "processes": processes.len()});
            fs::write("/new", seen.to_string())?;
            fs::rename("/new", "/seen")?;
        }
    }
}
