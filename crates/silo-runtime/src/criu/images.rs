//! The folders of images and logs.
//!
//! Whoever writes an image decides what a process of root's becomes, and CRIU follows links when it opens one. So only folders that
//! nobody but this user can write to are used, files in them are this user's own, and none is a link that leads elsewhere: what
//! somebody else's archive unpacked to is found out before CRIU sees it.

use std::{
    fs::{self, File},
    io::Read,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};
use silo_sys::inside;
use silo_types::{Doing, Error, Kind, Result};

use super::{
    CgroupsMode, Settings,
    protobuf::{Answer, DUMP, FEATURES, Message, PRE_DUMP, RESTORE},
    service::lend,
};

/// What the standard streams were, for a restore: links such as `pipe:[4711]`, in runc's form.
const STREAMS: &str = "descriptors.json";
/// The folder of an earlier checkpoint, a link that CRIU makes.
const PARENT: &str = "parent";
/// A chain of earlier ones is not longer.
const MOST_PARENTS: u32 = 64;
/// What CRIU writes beside its log.
const WRITTEN: [&str; 4] = ["dump.log", "restore.log", "stats-dump", "stats-restore"];
/// CRIU's level "debug": its log is all that tells why it failed.
const LOG_LEVEL: u64 = 4;
const LONGEST_LOG: u64 = 8 << 20;
const LONGEST_STREAMS: u64 = 64 << 10;

/// The folders of images and logs, open for CRIU.
pub(super) struct Folders {
    images: OwnedFd,
    work: OwnedFd,
    images_path: PathBuf,
    work_path: PathBuf,
}

impl Folders {
    /// Makes them where they are missing.
    ///
    /// Errors: Invalid for what others could have written, or what leads elsewhere.
    pub(super) fn open(settings: &Settings) -> Result<Folders> {
        let make = |path: &Path| -> Result<OwnedFd> {
            let doing = || format!("open the folder {}", path.display());
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .doing_with(doing)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            lend(rustix::fs::open(path, flags, Mode::empty()).doing_with(doing)?)
        };
        let work_path = settings.work.as_ref().unwrap_or(&settings.images);
        let folders = Folders {
            images: make(&settings.images)?,
            work: make(work_path)?,
            images_path: settings.images.clone(),
            work_path: work_path.clone(),
        };
        check_images(folders.images.as_fd(), &folders.images_path, MOST_PARENTS)?;
        check_own(
            &stat(&folders.work, &folders.work_path)?,
            &folders.work_path,
        )?;
        for name in WRITTEN {
            let path = folders.work_path.join(name);
            match rustix::fs::statat(&folders.work, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => check_file(&found, &path)?,
                Err(Errno::NOENT) => {}
                Err(error) => return Err(Error::system(path.display().to_string(), error)),
            }
        }
        Ok(folders)
    }

    pub(super) fn lent(&self) -> Vec<&OwnedFd> {
        vec![&self.images, &self.work]
    }

    pub(super) fn has_checkpoint(&self) -> Result<()> {
        let found = rustix::fs::statat(&self.images, "inventory.img", AtFlags::SYMLINK_NOFOLLOW);
        match found {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::not_found(format!(
                "there is no checkpoint in {}",
                self.images_path.display()
            ))),
        }
    }

    /// An earlier checkpoint, relative to this one.
    pub(super) fn check_parent(&self, parent: &str) -> Result<()> {
        let named = || format!("invalid --parent-path {parent}");
        if Path::new(parent).is_absolute() {
            return Err(Error::invalid("--parent-path must be relative"));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let found = rustix::fs::openat(&self.images, parent, flags, Mode::empty());
        let found = found.doing_with(named)?;
        check_images(found.as_fd(), &self.images_path.join(parent), MOST_PARENTS)
            .map_err(|error| error.context(named()))
    }

    /// `criu_opts` as far as both ways share them.
    pub(super) fn options(&self, settings: &Settings, log: &str) -> Message {
        let mut options = Message::default();
        options.number(1, self.images.as_raw_fd() as u64);
        options.number(17, self.work.as_raw_fd() as u64);
        options.number(9, LOG_LEVEL);
        options.text(10, log);
        options.switch(4, settings.ext_unix_sk);
        options.switch(5, settings.tcp_established);
        options.switch(7, settings.shell_job);
        options.switch(8, settings.file_locks);
        options.switch(12, true);
        options.switch(16, settings.auto_dedup);
        options.switch(48, settings.lazy_pages);
        // A terminal's other end is the caller's.
        options.switch(50, true);
        // Links, addresses and rules come from who made the network, as at a start.
        options.number(38, silo_sys::clone::ns::NET | settings.empty_namespaces);
        let mode = settings.cgroups.unwrap_or(CgroupsMode::Ignore);
        options.switch(24, mode != CgroupsMode::Ignore);
        options.number(34, mode as u64);
        options
    }

    /// Errors: System with CRIU's own first error and where its log is.
    pub(super) fn check(&self, answer: &Answer, log: &str) -> Result<()> {
        if answer.success {
            return Ok(());
        }
        let told = match (self.first_error(log), answer.text.as_str()) {
            (Some(line), _) => format!(": {line}"),
            (None, "") => String::new(),
            (None, text) => format!(": {}", plain(text)),
        };
        let kind = match answer.kind {
            DUMP => "DUMP",
            PRE_DUMP => "PRE_DUMP",
            RESTORE => "RESTORE",
            FEATURES => "FEATURE_CHECK",
            _ => "EMPTY",
        };
        Err(Error::new(
            Kind::System,
            format!(
                "criu failed: type {kind} errno {}{told}; log file: {}",
                answer.errno as i32,
                self.work_path.join(log).display()
            ),
        ))
    }

    /// The first error in CRIU's log: the later ones follow from it.
    fn first_error(&self, log: &str) -> Option<String> {
        let text = read(self.work.as_fd(), log, LONGEST_LOG).ok()?;
        let text = String::from_utf8_lossy(&text);
        let errors = text.lines().filter_map(|line| {
            let (_, error) = line.split_once("Error (")?;
            Some(error.split_once("): ").map_or(error, |(_, said)| said))
        });
        // It would like to have more descriptors than root may have, and a device that the container may not; it goes on without.
        let harmless = ["rlimit: Can't setup", "tun: Unable to create"];
        let mut errors =
            errors.filter(|error| !harmless.iter().any(|text| error.starts_with(text)));
        errors.next().map(plain)
    }

    /// Notes what the streams of this process are.
    pub(super) fn keep_streams(&self, pid: i32) -> Result<()> {
        let doing = || format!("write {}", self.images_path.join(STREAMS).display());
        let link = |fd: usize| {
            let link = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap_or_default();
            link.to_string_lossy().into_owned()
        };
        let text = serde_json::to_vec(&[0, 1, 2].map(link)).doing_with(doing)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o600);
        let file = rustix::fs::openat(&self.images, STREAMS, flags | OFlags::CLOEXEC, mode);
        let mut file = File::from(file.doing_with(doing)?);
        std::io::Write::write_all(&mut file, &text).doing_with(doing)
    }

    pub(super) fn streams(&self) -> Result<Vec<String>> {
        let doing = || format!("read {}", self.images_path.join(STREAMS).display());
        let text = read(self.images.as_fd(), STREAMS, LONGEST_STREAMS).doing_with(doing)?;
        serde_json::from_slice(&text).doing_with(doing)
    }
}

/// A file of ours, whole, if it is no longer than `most`.
fn read(folder: impl AsFd, name: &str, most: u64) -> std::io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(folder, name, flags, Mode::empty())?);
    let mut text = Vec::new();
    file.take(most).read_to_end(&mut text)?;
    Ok(text)
}

/// What a log says may hold names that a container chose.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(500).map(shown).collect()
}

fn stat(fd: &OwnedFd, path: &Path) -> Result<Stat> {
    rustix::fs::fstat(fd).doing_with(|| path.display().to_string())
}

/// Folder and files of a checkpoint, and those of the earlier ones that it builds on.
fn check_images(folder: std::os::fd::BorrowedFd<'_>, path: &Path, parents: u32) -> Result<()> {
    let named = || path.display().to_string();
    check_own(&rustix::fs::fstat(folder).doing_with(named)?, path)?;
    for entry in Dir::read_from(folder).doing_with(named)? {
        let entry = entry.doing_with(named)?;
        let (name, bytes) = (entry.file_name(), entry.file_name().to_bytes());
        if matches!(bytes, b"." | b"..") {
            continue;
        }
        let file = path.join(&*String::from_utf8_lossy(bytes));
        let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
        let found = found.doing_with(|| file.display().to_string())?;
        let is_link = FileType::from_raw_mode(found.st_mode) == FileType::Symlink;
        match bytes == PARENT.as_bytes() && is_link {
            true => follow_parent(folder, &file, parents)?,
            false => check_file(&found, &file)?,
        }
    }
    Ok(())
}

fn follow_parent(folder: std::os::fd::BorrowedFd<'_>, path: &Path, parents: u32) -> Result<()> {
    let named = || path.display().to_string();
    let link = rustix::fs::readlinkat(folder, PARENT, Vec::new()).doing_with(named)?;
    if parents == 0 || link.to_bytes().starts_with(b"/") {
        return Err(Error::invalid(format!(
            "{} leads to {:?}: an earlier checkpoint lies beside this one",
            path.display(),
            link
        )));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = inside::open(folder, PARENT, flags, ResolveFlags::NO_MAGICLINKS);
    check_images(parent.doing_with(named)?.as_fd(), path, parents - 1)
}

fn check_file(found: &Stat, path: &Path) -> Result<()> {
    let kind = FileType::from_raw_mode(found.st_mode);
    match kind {
        FileType::RegularFile => check_own(found, path),
        // Of other programs: CRIU opens none of these as an image.
        FileType::Directory | FileType::Socket => Ok(()),
        _ => Err(Error::invalid(format!(
            "{} is no plain file: a checkpoint has none of that kind",
            path.display()
        ))),
    }
}

/// It must be this user's, and nobody else's to change.
fn check_own(found: &Stat, path: &Path) -> Result<()> {
    let own = rustix::process::geteuid().as_raw();
    if found.st_uid == own && found.st_mode & 0o022 == 0 {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{} can be changed by others than user {own}, and whoever writes a checkpoint decides what root runs: use a folder of root's alone (chown, chmod go-w)",
        path.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn refused(make: impl FnOnce(&Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("images");
        fs::create_dir(&images).unwrap();
        fs::write(images.join("inventory.img"), b"x").unwrap();
        make(&images);
        let settings = Settings {
            images,
            ..Settings::default()
        };
        match Folders::open(&settings) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn images_that_others_wrote_or_that_lead_elsewhere_are_refused() {
        assert_eq!(refused(|_| ()), "");
        let link = |name: &'static str, to: &'static str| {
            refused(move |images| symlink(to, images.join(name)).unwrap())
        };
        assert!(link("pages-1.img", "/etc/shadow").contains("no plain file"));
        assert!(link("restore.log", "/etc/passwd").contains("no plain file"));
        assert!(link("descriptors.json", "inventory.img").contains("no plain file"));
        assert!(link("parent", "/etc").contains("beside"));
        assert!(link("parent", "../nowhere").contains("parent"));
        // Each is its own parent, without end.
        assert!(link("parent", ".").contains("beside"));
        let open = refused(|images| {
            fs::set_permissions(images, fs::Permissions::from_mode(0o777)).unwrap();
        });
        assert!(open.contains("by others"), "{open}");
        let open = refused(|images| {
            let mode = fs::Permissions::from_mode(0o666);
            fs::set_permissions(images.join("inventory.img"), mode).unwrap();
        });
        assert!(open.contains("by others"), "{open}");
        let foreign = refused(|images| {
            std::os::unix::fs::chown(images.join("inventory.img"), Some(4711), None).unwrap();
        });
        assert!(foreign.contains("by others"), "{foreign}");
        let beside = refused(|images| {
            let earlier = images.with_file_name("earlier");
            fs::create_dir(&earlier).unwrap();
            symlink("/etc/shadow", earlier.join("pages-1.img")).unwrap();
            symlink("../earlier", images.join("parent")).unwrap();
        });
        assert!(beside.contains("no plain file"), "{beside}");
    }

    #[test]
    fn a_log_is_told_plainly() {
        assert_eq!(plain("a\x1b[2Jb\n"), "a?[2Jb?");
    }
}
