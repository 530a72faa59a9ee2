//! Mount options as words → attributes, propagation and data for the file system.

use silo_sys::mount::attr;
use silo_types::{Error, Result};

/// What the words of one mount mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MountOptions {
    /// `MOUNT_ATTR_*` to set and to clear on the mount itself.
    pub set: u64,
    pub clear: u64,
    /// The same for the mount and all below it (`rro`, `rnosuid`, …).
    pub set_recursive: u64,
    pub clear_recursive: u64,
    /// `MS_PRIVATE` and its kin, and whether it goes down the tree.
    pub propagation: Option<(u64, bool)>,
    pub bind: bool,
    pub bind_recursive: bool,
    /// Change what is mounted there already.
    pub remount: bool,
    /// Fill a new tmpfs with what it covers.
    pub copy_up: bool,
    /// Map the ids of the files; and of all mounts below, too.
    pub id_map: Option<bool>,
    /// The source of a bind mount is reached through no link: somebody inside may have put one there meanwhile.
    pub plain_source: bool,
    /// The rest, for the file system: `mode=755`, `newinstance`.
    pub data: Vec<(String, Option<String>)>,
}

impl MountOptions {
    pub(crate) fn is_read_only(&self) -> bool {
        (self.set | self.set_recursive) & attr::RDONLY != 0
    }
}

const MS_UNBINDABLE: u64 = 1 << 17;
pub(crate) const MS_PRIVATE: u64 = 1 << 18;
pub(crate) const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;

/// Word, attributes set, attributes cleared. With an `r` before it, the same for the whole tree.
const ATTRIBUTES: [(&str, u64, u64); 18] = [
    ("ro", attr::RDONLY, 0),
    ("rw", 0, attr::RDONLY),
    ("nosuid", attr::NOSUID, 0),
    ("suid", 0, attr::NOSUID),
    ("nodev", attr::NODEV, 0),
    ("dev", 0, attr::NODEV),
    ("noexec", attr::NOEXEC, 0),
    ("exec", 0, attr::NOEXEC),
    ("relatime", attr::RELATIME, attr::ATIME),
    ("norelatime", attr::STRICTATIME, attr::ATIME),
    ("noatime", attr::NOATIME, attr::ATIME),
    ("atime", attr::RELATIME, attr::ATIME),
    ("strictatime", attr::STRICTATIME, attr::ATIME),
    ("nostrictatime", attr::RELATIME, attr::ATIME),
    ("nodiratime", attr::NODIRATIME, 0),
    ("diratime", 0, attr::NODIRATIME),
    ("nosymfollow", attr::NOSYMFOLLOW, 0),
    ("symfollow", 0, attr::NOSYMFOLLOW),
];

const PROPAGATION: [(&str, u64); 4] = [
    ("private", MS_PRIVATE),
    ("slave", MS_SLAVE),
    ("shared", MS_SHARED),
    ("unbindable", MS_UNBINDABLE),
];

/// Words that ask for what is so anyway, or, of mount(8), for how the command itself behaves.
const IGNORED: [&str; 9] = [
    "defaults",
    "async",
    "nomand",
    "nolazytime",
    "iversion",
    "noiversion",
    "silent",
    "loud",
    "_netdev",
];

/// The engine's own word for [`MountOptions::plain_source`].
pub const PLAIN_SOURCE: &str = "x-silo.plain-source";

/// All words that are understood, sorted; those for file systems not among them.
pub fn words() -> Vec<String> {
    let attributes = ATTRIBUTES.iter().map(|(word, ..)| *word);
    let both = attributes.chain(PROPAGATION.iter().map(|(word, _)| *word));
    let mut words: Vec<String> = both
        .flat_map(|word| [word.to_owned(), format!("r{word}")])
        .chain(["bind", "rbind", "idmap", "ridmap", "tmpcopyup", "remount"].map(str::to_owned))
        .chain(IGNORED.map(str::to_owned))
        .collect();
    words.sort();
    words
}

/// Parses the options of the mount at `target` (named in errors).
pub fn parse(words: &[String], target: &str) -> Result<MountOptions> {
    let mut options = MountOptions::default();
    for word in words {
        apply(word, target, &mut options)?;
    }
    Ok(options)
}

/// `MS_*` and recursion for a propagation word such as `rslave`.
pub(crate) fn propagation(word: &str) -> Option<(u64, bool)> {
    let find = |name: &str| PROPAGATION.iter().find(|p| p.0 == name).map(|p| p.1);
    match find(word) {
        Some(flag) => Some((flag, false)),
        None => Some((find(word.strip_prefix('r')?)?, true)),
    }
}

fn apply(word: &str, target: &str, options: &mut MountOptions) -> Result<()> {
    let attribute = |name: &str| ATTRIBUTES.iter().find(|a| a.0 == name);
    if word == "bind" || word == "rbind" {
        options.bind = true;
        options.bind_recursive = word == "rbind";
    } else if let Some((_, set, clear)) = attribute(word) {
        options.set = options.set & !clear | set;
        options.clear = options.clear & !set | clear;
    } else if let Some(found) = propagation(word) {
        options.propagation = Some(found);
    } else if let Some((_, set, clear)) = word.strip_prefix('r').and_then(attribute) {
        options.set_recursive = options.set_recursive & !clear | set;
        options.clear_recursive = options.clear_recursive & !set | clear;
    } else if word == "idmap" || word == "ridmap" {
        options.id_map = Some(word == "ridmap");
    } else if word == "tmpcopyup" {
        options.copy_up = true;
    } else if word == PLAIN_SOURCE {
        options.plain_source = true;
    } else if word == "remount" {
        options.remount = true;
    } else if word.is_empty() {
        return Err(Error::invalid(format!(
            "mount at {target}: an option is empty"
        )));
    } else if !IGNORED.contains(&word) {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (word, None),
        };
        options.data.push((key.to_owned(), value));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn attributes_and_data() {
        let parsed = parse(&words("nosuid,strictatime,mode=755,size=65536k"), "/dev").unwrap();
        assert_eq!(parsed.set, attr::NOSUID | attr::STRICTATIME);
        assert_eq!(parsed.clear, attr::ATIME);
        assert_eq!(parsed.data[0], ("mode".into(), Some("755".into())));
    }

    #[test]
    fn binds_and_propagation() {
        let parsed = parse(&words("rbind,rslave,rro"), "/x").unwrap();
        assert!(parsed.bind && parsed.bind_recursive);
        assert_eq!(parsed.propagation, Some((MS_SLAVE, true)));
        assert_eq!(parsed.set_recursive, attr::RDONLY);
        assert_eq!(propagation("shared"), Some((MS_SHARED, false)));
    }

    #[test]
    fn every_recursive_word_of_the_specification_is_known() {
        let all = "rro,rrw,rnosuid,rsuid,rnodev,rdev,rnoexec,rexec,rnodiratime,rdiratime,rrelatime,rnorelatime,rnoatime,ratime,\
                   rstrictatime,rnostrictatime,rnosymfollow,rsymfollow";
        for word in all.split(',') {
            let parsed = parse(&words(word), "/x").unwrap();
            assert!(parsed.data.is_empty(), "{word}");
            let touched = parsed.set_recursive | parsed.clear_recursive;
            assert_ne!(touched, 0, "{word}");
        }
    }

    #[test]
    fn words_that_are_no_flags() {
        let parsed = parse(&words("ridmap,tmpcopyup,remount,noiversion,sync"), "/x").unwrap();
        assert_eq!(parsed.id_map, Some(true));
        assert!(parsed.copy_up && parsed.remount);
        assert_eq!(parsed.data, [("sync".into(), None)]);
        assert!(parse(&[String::new()], "/x").is_err());
    }

    #[test]
    fn the_last_word_wins() {
        let parsed = parse(&words("ro,rw"), "/x").unwrap();
        assert_eq!((parsed.set, parsed.clear), (0, attr::RDONLY));
    }
}
