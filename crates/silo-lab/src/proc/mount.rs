//! `mount` (lists, or `mount [-t TYPE] [-o OPTIONS] SOURCE TARGET`) and `umount [-l] [-f] TARGET...`.

use std::ffi::CString;

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive,
    mount_change, mount_remount,
};

use crate::{cli, text};

pub fn main(args: &[String]) -> i32 {
    cli::answer("mount", run(args))
}

fn run(args: &[String]) -> Result<String, String> {
    let options = cli::options(
        args,
        "t:o:rBR",
        &[
            ("bind", 'B'),
            ("rbind", 'R'),
            ("types", 't'),
            ("options", 'o'),
        ],
    )?;
    let wanted = Wanted::parse(options.values('o'), options.has('r'))?;
    match options.operands.as_slice() {
        [] => return list(options.value('t')),
        [target] if wanted.remount => {
            let data = wanted.data()?.unwrap_or_default();
            mount_remount(text::to_os(target), wanted.flags, data.as_c_str())
                .map_err(|e| failed(target, e))?;
        }
        [target] if wanted.propagation.is_some() => wanted.propagate(target)?,
        [_] => return Err("which source, and which target?".into()),
        [source, target] => {
            let (bind, recursive) = (
                wanted.bind || options.has('B'),
                wanted.recursive || options.has('R'),
            );
            place(source, target, options.value('t'), &wanted, bind, recursive)?;
        }
        _ => return Err("too many words".into()),
    }
    Ok(String::new())
}

fn place(
    source: &str,
    target: &str,
    kind: Option<&str>,
    wanted: &Wanted,
    bind: bool,
    recursive: bool,
) -> Result<(), String> {
    let (from, to) = (text::to_os(source), text::to_os(target));
    let result = match (bind, recursive) {
        (_, true) => mount_bind_recursive(from, &to),
        (true, false) => mount_bind(from, &to),
        (false, false) => {
            let kind = kind.ok_or("which type? say for example 'mount -t tmpfs tmpfs /mnt'")?;
            let data = wanted.data()?;
            rustix::mount::mount(from, &to, kind, wanted.flags, data.as_deref())
        }
    };
    result.map_err(|e| failed(target, e))?;
    // A bind mount takes its flags only when it is mounted again.
    if (bind || recursive) && !wanted.flags.is_empty() {
        mount_remount(&to, wanted.flags | MountFlags::BIND, c"").map_err(|e| failed(target, e))?;
    }
    wanted.propagate(target)
}

fn failed(target: &str, error: rustix::io::Errno) -> String {
    format!("{target}: {}", cli::reason(&error.into()))
}

/// What `-o` asks for.
struct Wanted {
    flags: MountFlags,
    bind: bool,
    recursive: bool,
    remount: bool,
    propagation: Option<MountPropagationFlags>,
    /// What is left for the file system itself.
    rest: Vec<String>,
}

impl Wanted {
    fn parse<'a>(lists: impl Iterator<Item = &'a str>, readonly: bool) -> Result<Self, String> {
        let flags = MountFlags::empty();
        let mut wanted = Self {
            flags,
            bind: false,
            recursive: false,
            remount: false,
            propagation: None,
            rest: Vec::new(),
        };
        wanted.flags.set(MountFlags::RDONLY, readonly);
        for word in lists
            .flat_map(|list| list.split(','))
            .filter(|w| !w.is_empty())
        {
            let (flag, on) = match word {
                "ro" => (MountFlags::RDONLY, true),
                "rw" => (MountFlags::RDONLY, false),
                "nosuid" => (MountFlags::NOSUID, true),
                "suid" => (MountFlags::NOSUID, false),
                "nodev" => (MountFlags::NODEV, true),
                "dev" => (MountFlags::NODEV, false),
                "noexec" => (MountFlags::NOEXEC, true),
                "exec" => (MountFlags::NOEXEC, false),
                "noatime" => (MountFlags::NOATIME, true),
                "relatime" => (MountFlags::RELATIME, true),
                "sync" => (MountFlags::SYNCHRONOUS, true),
                "defaults" => continue,
                other => {
                    wanted.word(other);
                    continue;
                }
            };
            wanted.flags.set(flag, on);
        }
        Ok(wanted)
    }

    fn word(&mut self, word: &str) {
        use MountPropagationFlags as Propagation;
        let (name, recursive) = match word {
            "rprivate" | "rshared" | "rslave" => (&word[1..], Propagation::REC),
            other => (other, Propagation::empty()),
        };
        match name {
            "bind" => self.bind = true,
            "rbind" => self.recursive = true,
            "remount" => self.remount = true,
            "private" => self.propagation = Some(Propagation::PRIVATE | recursive),
            "shared" => self.propagation = Some(Propagation::SHARED | recursive),
            "slave" => self.propagation = Some(Propagation::DOWNSTREAM | recursive),
            other => self.rest.push(other.to_string()),
        }
    }

    fn data(&self) -> Result<Option<CString>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        CString::new(text::to_bytes(&self.rest.join(",")))
            .map(Some)
            .map_err(|_| "an option holds a zero byte".into())
    }

    fn propagate(&self, target: &str) -> Result<(), String> {
        let Some(flags) = self.propagation else {
            return Ok(());
        };
        mount_change(text::to_os(target), flags).map_err(|e| failed(target, e))
    }
}

fn list(kind: Option<&str>) -> Result<String, String> {
    let mounts = std::fs::read("/proc/self/mounts")
        .map_err(|e| format!("/proc/self/mounts: {}", cli::reason(&e)))?;
    let mut lines = String::new();
    for line in text::from_bytes(&mounts).lines() {
        let fields: Vec<String> = line.split(' ').map(unescape).collect();
        if let [source, target, found, options, ..] = fields.as_slice()
            && kind.is_none_or(|k| k == found)
        {
            lines.push_str(&format!("{source} on {target} type {found} ({options})\n"));
        }
    }
    Ok(lines)
}

/// Blanks are written as `\040` (getmntent(3)).
fn unescape(field: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(field.to_string(), |text, (code, c)| text.replace(code, c))
}

pub fn umount(args: &[String]) -> i32 {
    let options = match cli::options(args, "lf", &[("lazy", 'l'), ("force", 'f')]) {
        Ok(options) if !options.operands.is_empty() => options,
        Ok(_) => return cli::fail("umount", "which mount?"),
        Err(message) => return cli::fail("umount", &message),
    };
    let mut flags = UnmountFlags::empty();
    flags.set(UnmountFlags::DETACH, options.has('l'));
    flags.set(UnmountFlags::FORCE, options.has('f'));
    options.operands.iter().fold(0, |status, target| {
        match rustix::mount::unmount(text::to_os(target), flags) {
            Ok(()) => status,
            Err(e) => cli::fail("umount", &failed(target, e)),
        }
    })
}
