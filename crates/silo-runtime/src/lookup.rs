//! Looks into the container's files before its program runs: is there such a program, and where is its user at home.
//!
//! Runs in the container's first process when the host's tree is gone, so that no link leads out.

use std::{fs::Metadata, io::Read, os::unix::fs::OpenOptionsExt, os::unix::fs::PermissionsExt};

use oci_spec::runtime::Process;
use rustix::{fs::OFlags, io::Errno};
use silo_types::Result;

use crate::finish::not_executed;

/// Where programs are looked for without PATH.
pub(crate) const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// More of /etc/passwd is not read.
const PASSWD_LIMIT: u64 = 1 << 20;

/// Refuses a program that is not there or not executable, as the kernel would later. What cannot be known passes.
pub(crate) fn check(process: &Process) -> Result<()> {
    let args = process.args().as_deref().unwrap_or_default();
    // A container may be made without a process; then its start fails.
    let Some(program) = args.first() else {
        return Ok(());
    };
    if program.is_empty() {
        return Err(not_executed(program, &Errno::NOENT.into(), true));
    }
    let cwd = process.cwd().to_string_lossy();
    let below = |path: &str| match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{cwd}/{path}"),
    };
    let refused = |errno: Errno, searched| not_executed(program, &errno.into(), searched);
    if program.contains('/') {
        return match std::fs::metadata(below(program)) {
            Ok(found) if is_program(&found) => Ok(()),
            Ok(_) => Err(refused(Errno::ACCESS, false)),
            Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(errno @ (Errno::NOENT | Errno::NOTDIR)) => Err(refused(errno, false)),
                _ => Ok(()),
            },
        };
    }
    let env = process.env().as_deref().unwrap_or_default();
    let mut denied = false;
    for folder in search_path(env).split(':') {
        let folder = if folder.is_empty() { "." } else { folder };
        match std::fs::metadata(below(&format!("{folder}/{program}"))) {
            Ok(found) if is_program(&found) => return Ok(()),
            Ok(_) => denied = true,
            Err(_) => {}
        }
    }
    match denied {
        true => Err(refused(Errno::ACCESS, false)),
        false => Err(refused(Errno::NOENT, true)),
    }
}

/// PATH of an environment: the last one counts.
pub(crate) fn search_path(env: &[String]) -> &str {
    let found = env.iter().rev().find_map(|v| v.strip_prefix("PATH="));
    found.unwrap_or(USUAL_PATH)
}

fn is_program(found: &Metadata) -> bool {
    found.is_file() && found.permissions().mode() & 0o111 != 0
}

/// `HOME=…` for an environment that lacks it or has it empty, from the container's own list of users; `/` for a user that is
/// not in it.
pub(crate) fn missing_home(env: &[String], uid: u32) -> Option<String> {
    let home = env.iter().rev().find_map(|v| v.strip_prefix("HOME="));
    if home.is_some_and(|home| !home.is_empty()) {
        return None;
    }
    let passwd = read_passwd().unwrap_or_default();
    let home = home_of(&passwd, uid).unwrap_or("/");
    Some(format!("HOME={home}"))
}

/// Without waiting, should somebody have put a pipe there.
fn read_passwd() -> std::io::Result<String> {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open("/etc/passwd")?;
    let mut text = Vec::new();
    if file.metadata()?.is_file() {
        file.take(PASSWD_LIMIT).read_to_end(&mut text)?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn home_of(passwd: &str, uid: u32) -> Option<&str> {
    let entries = passwd.lines().map(|line| line.split(':'));
    entries
        .filter_map(|mut fields| {
            let number = fields.nth(2)?.parse::<u32>().ok()?;
            (number == uid).then(|| fields.nth(2)).flatten()
        })
        .find(|home| home.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nu:x:7:7::/home/u:\nv:x:8:8:::\n";
        assert_eq!(home_of(passwd, 0), Some("/root"));
        assert_eq!(home_of(passwd, 7), Some("/home/u"));
        assert_eq!(home_of(passwd, 8), None);
        assert_eq!(home_of("", 0), None);
        assert_eq!(missing_home(&["HOME=/x".into()], 0), None);
    }

    #[test]
    fn the_last_path_counts() {
        let env = ["PATH=/a".to_owned(), "PATH=/b".to_owned()];
        assert_eq!(search_path(&env), "/b");
        assert_eq!(search_path(&[]), USUAL_PATH);
    }

    #[test]
    fn programs_are_found_or_refused_with_their_class() {
        use silo_types::Kind;
        let asks = |program: &str| {
            let mut process = Process::default();
            process.set_args(Some(vec![program.to_owned()]));
            process.set_cwd("/".into());
            check(&process).map_err(|error| error.kind())
        };
        assert_eq!(asks("sh"), Ok(()));
        assert_eq!(asks("/bin/sh"), Ok(()));
        assert_eq!(asks("nonesuch"), Err(Kind::CommandNotFound));
        assert_eq!(asks("/nonesuch"), Err(Kind::CommandNotFound));
        assert_eq!(asks("/etc/passwd"), Err(Kind::CommandNotExecutable));
        assert_eq!(asks("/etc"), Err(Kind::CommandNotExecutable));
    }
}
