//! `-v`, `--mount` and `--tmpfs`: text to [`MountSpec`].

use super::{clean_path, shown, truth};
use crate::{ByteSize, Error, MountKind, MountSpec, Result, check_name};

const PROPAGATIONS: [&str; 6] = [
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

/// `-v [SOURCE:]TARGET[:OPTIONS]`: a folder of the host when SOURCE begins with `/` or `.` (then below `folder`, the caller's
/// working folder), a named volume otherwise, an anonymous volume without SOURCE.
pub fn volume(text: &str, folder: &str) -> Result<MountSpec> {
    let bad = |why: &str| {
        Error::invalid(format!(
            "invalid volume specification: '{}': {why}",
            shown(text)
        ))
    };
    let parts: Vec<&str> = text.split(':').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(bad("empty section between colons"));
    }
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return Err(bad("too many colons")),
    };
    let target = mount_target(target).map_err(|e| bad(&e.to_string()))?;
    let typed = VolumeOptions::parse(options).map_err(|e| bad(&e.to_string()))?;
    let is_path = source.starts_with('/') || source.starts_with('.');
    if is_path && typed.no_copy {
        return Err(bad("nocopy is for volumes, not for folders of the host"));
    }
    if !is_path && !typed.propagation.is_empty() {
        return Err(bad(
            "propagation is for folders of the host, not for volumes",
        ));
    }
    let kind = if is_path {
        MountKind::Bind {
            source: host_path(source, folder)?,
            create_source: true,
            propagation: typed.propagation,
            non_recursive: false,
        }
    } else {
        MountKind::Volume {
            name: volume_name(source)?,
            anonymous: source.is_empty(),
            no_copy: typed.no_copy,
            subpath: String::new(),
        }
    };
    Ok(MountSpec {
        kind,
        target,
        read_only: typed.read_only,
    })
}

fn host_path(source: &str, folder: &str) -> Result<String> {
    if source.starts_with('/') {
        clean_path("source path", source)
    } else {
        clean_path("source path", &format!("{folder}/{source}"))
    }
}

fn volume_name(source: &str) -> Result<String> {
    if source.is_empty() {
        return Ok(String::new());
    }
    check_name("volume", source).map_err(|_| {
        Error::invalid(format!(
            "\"{}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed: if you intended to pass a host directory, use an absolute path",
            shown(source)
        ))
    })?;
    Ok(source.to_owned())
}

fn mount_target(text: &str) -> Result<String> {
    let target = clean_path("mount path", text)?;
    if target == "/" {
        return Err(Error::invalid(
            "invalid mount path: the target cannot be '/'",
        ));
    }
    Ok(target)
}

/// What stands after the second colon of `-v`.
#[derive(Default)]
struct VolumeOptions {
    read_only: bool,
    no_copy: bool,
    propagation: String,
}

impl VolumeOptions {
    fn parse(text: &str) -> Result<VolumeOptions> {
        let mut found = VolumeOptions::default();
        let mut mode_seen = false;
        for word in text.split(',').filter(|word| !word.is_empty()) {
            match word {
                "ro" | "rw" if mode_seen => {
                    return Err(Error::invalid("ro and rw are given more than once"));
                }
                "ro" | "rw" => {
                    mode_seen = true;
                    found.read_only = word == "ro";
                }
                "nocopy" => found.no_copy = true,
                // SELinux relabelling and macOS consistency: nothing to do where neither exists, as in Docker.
                "z" | "Z" | "consistent" | "cached" | "delegated" => {}
                word if PROPAGATIONS.contains(&word) && found.propagation.is_empty() => {
                    found.propagation = word.to_owned();
                }
                _ => return Err(Error::invalid(format!("invalid mode: {}", shown(word)))),
            }
        }
        Ok(found)
    }
}

/// What `--mount` said, before its keys are checked against the type.
#[derive(Default)]
struct MountKeys {
    kind: String,
    source: String,
    target: String,
    read_only: bool,
    propagation: String,
    non_recursive: bool,
    create_source: bool,
    no_copy: bool,
    subpath: String,
    size: u64,
    mode: Option<u32>,
    /// Keys seen that belong to one type only: (type, key).
    only: Vec<(&'static str, String)>,
}

/// `--mount type=bind|volume|tmpfs,source=…,target=…[,key=value…]`: comma-separated, a part in double quotes may hold commas.
pub fn mount(text: &str) -> Result<MountSpec> {
    let mut keys = MountKeys::default();
    for field in fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.trim().to_ascii_lowercase(), Some(value)),
            None => (field.trim().to_ascii_lowercase(), None),
        };
        keys.set(&key, value, &field)?;
    }
    keys.finish()
}

impl MountKeys {
    fn set(&mut self, key: &str, value: Option<&str>, field: &str) -> Result<()> {
        // Truth values may stand alone: `readonly`.
        let truth_of = |value: Option<&str>| value.map_or(Ok(true), |v| truth(key, v));
        match key {
            "readonly" | "ro" => self.read_only = truth_of(value)?,
            "volume-nocopy" => {
                self.no_copy = truth_of(value)?;
                self.only("volume", key);
            }
            "bind-nonrecursive" => {
                self.non_recursive = truth_of(value)?;
                self.only("bind", key);
            }
            "bind-create-src" => {
                self.create_source = truth_of(value)?;
                self.only("bind", key);
            }
            _ => {
                let Some(value) = value else {
                    return Err(Error::invalid(format!(
                        "invalid field '{}' must be a key=value pair",
                        shown(field)
                    )));
                };
                self.set_text(key, value)?;
            }
        }
        Ok(())
    }

    fn set_text(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "type" => self.kind = value.to_ascii_lowercase(),
            "source" | "src" => self.source = value.to_owned(),
            "target" | "dst" | "destination" => self.target = value.to_owned(),
            // For macOS hosts; nothing to do on Linux, as in Docker.
            "consistency" => {}
            "bind-propagation" => {
                if !PROPAGATIONS.contains(&value) {
                    return Err(Error::invalid(format!(
                        "invalid propagation: {}: use one of {}",
                        shown(value),
                        PROPAGATIONS.join(", ")
                    )));
                }
                self.propagation = value.to_owned();
                self.only("bind", key);
            }
            "bind-recursive" => {
                match value {
                    "enabled" => self.non_recursive = false,
                    "disabled" => self.non_recursive = true,
                    _ => {
                        return Err(Error::invalid(format!(
                            "invalid value for bind-recursive: {}: use enabled or disabled",
                            shown(value)
                        )));
                    }
                }
                self.only("bind", key);
            }
            "volume-subpath" => {
                self.subpath = subpath(value)?;
                self.only("volume", key);
            }
            "volume-driver" if value == "local" => self.only("volume", key),
            "volume-driver" | "volume-label" | "volume-opt" => {
                return Err(Error::invalid(format!(
                    "{key} is not available: only local volumes without options"
                )));
            }
            "tmpfs-size" => {
                self.size = value.parse::<ByteSize>()?.0;
                self.only("tmpfs", key);
            }
            "tmpfs-mode" => {
                self.mode = Some(octal_mode(value)?);
                self.only("tmpfs", key);
            }
            _ => {
                return Err(Error::invalid(format!(
                    "unexpected key '{}' in --mount",
                    shown(key)
                )));
            }
        }
        Ok(())
    }

    fn only(&mut self, kind: &'static str, key: &str) {
        self.only.push((kind, key.to_owned()));
    }

    fn finish(self) -> Result<MountSpec> {
        let kind = match self.kind.as_str() {
            "" | "volume" => "volume",
            "bind" => "bind",
            "tmpfs" => "tmpfs",
            other => {
                return Err(Error::invalid(format!(
                    "mount type unknown: \"{}\": use bind, volume or tmpfs",
                    shown(other)
                )));
            }
        };
        if let Some((owner, key)) = self.only.iter().find(|(owner, _)| *owner != kind) {
            return Err(Error::invalid(format!(
                "cannot mix '{key}' of {owner} mounts with mount type '{kind}'"
            )));
        }
        if self.target.is_empty() {
            return Err(Error::invalid("target is required"));
        }
        let (target, read_only) = (mount_target(&self.target)?, self.read_only);
        let kind = match kind {
            "bind" if self.source.is_empty() => {
                return Err(Error::invalid("source is required for type 'bind'"));
            }
            "bind" => MountKind::Bind {
                source: clean_path("source path", &self.source)?,
                create_source: self.create_source,
                propagation: self.propagation,
                non_recursive: self.non_recursive,
            },
            "volume" => MountKind::Volume {
                anonymous: self.source.is_empty(),
                name: volume_name(&self.source)?,
                no_copy: self.no_copy,
                subpath: self.subpath,
            },
            _ if !self.source.is_empty() => {
                return Err(Error::invalid("a tmpfs mount takes no source"));
            }
            _ => MountKind::Tmpfs {
                size: self.size,
                mode: self.mode,
                options: Vec::new(),
            },
        };
        Ok(MountSpec {
            kind,
            target,
            read_only,
        })
    }
}

/// A path below a volume's root: relative, never upwards.
fn subpath(text: &str) -> Result<String> {
    let upwards = text.split('/').any(|part| part == "..");
    if text.is_empty() || text.starts_with('/') || upwards || text.contains('\0') {
        return Err(Error::invalid(format!(
            "invalid volume-subpath: '{}' must be relative and below the volume",
            shown(text)
        )));
    }
    Ok(clean_path("volume-subpath", &format!("/{text}"))?[1..].to_owned())
}

fn octal_mode(text: &str) -> Result<u32> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| {
            Error::invalid(format!(
                "invalid mode: '{}': use octal permissions such as 1777",
                shown(text)
            ))
        })
}

/// Fields of one line of comma-separated values, RFC 4180: `a,"b,c"`.
fn fields(text: &str) -> Result<Vec<String>> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut letters = text.chars().peekable();
    loop {
        if field.is_empty() && letters.peek() == Some(&'"') {
            letters.next();
            loop {
                match letters.next() {
                    Some('"') if letters.peek() == Some(&'"') => {
                        letters.next();
                        field.push('"');
                    }
                    Some('"') => break,
                    Some(letter) => field.push(letter),
                    None => {
                        return Err(Error::invalid(format!(
                            "a double quote is not closed in '{}'",
                            shown(text)
                        )));
                    }
                }
            }
        }
        match letters.next() {
            Some(',') => fields.push(std::mem::take(&mut field)),
            Some(letter) => field.push(letter),
            None => break,
        }
    }
    fields.push(field);
    Ok(fields)
}

/// Words that `--tmpfs PATH:OPTIONS` passes on to the kernel, tmpfs(5) and mount(8).
const TMPFS_WORDS: [&str; 17] = [
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "sync",
    "async",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];

/// The same, with a value.
const TMPFS_KEYS: [&str; 6] = ["uid", "gid", "nr_inodes", "nr_blocks", "huge", "mpol"];

/// `--tmpfs PATH[:OPTION,…]`: `size=64m`, `mode=1777`, `ro`, and what tmpfs(5) knows.
pub fn tmpfs(text: &str) -> Result<MountSpec> {
    let (path, typed) = text.split_once(':').unwrap_or((text, ""));
    let target = mount_target(path)?;
    let (mut read_only, mut size, mut mode, mut options) = (false, 0, None, Vec::new());
    for option in typed.split(',').filter(|option| !option.is_empty()) {
        let bad = || {
            Error::invalid(format!(
                "invalid tmpfs option {:?} for {target}",
                shown(option)
            ))
        };
        match option.split_once('=') {
            None if option == "ro" || option == "rw" => read_only = option == "ro",
            None if TMPFS_WORDS.contains(&option) || PROPAGATIONS.contains(&option) => {
                options.push(option.to_owned());
            }
            Some(("size", value)) => size = value.parse::<ByteSize>()?.0,
            Some(("mode", value)) => mode = Some(octal_mode(value)?),
            Some((key, value)) if TMPFS_KEYS.contains(&key) => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'_');
                if value.is_empty() || !value.bytes().all(plain) {
                    return Err(bad());
                }
                options.push(option.to_owned());
            }
            _ => return Err(bad()),
        }
    }
    Ok(MountSpec {
        kind: MountKind::Tmpfs {
            size,
            mode,
            options,
        },
        target,
        read_only,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(spec: &MountSpec) -> (&str, bool) {
        match &spec.kind {
            MountKind::Bind {
                source,
                create_source,
                ..
            } => (source, *create_source),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn volumes_in_dockers_forms() {
        let spec = volume("/a/../b:/c/:ro", "/w").unwrap();
        assert_eq!((bind(&spec), spec.target.as_str()), (("/b", true), "/c"));
        assert!(spec.read_only);
        assert_eq!(bind(&volume("./x:/y", "/w").unwrap()).0, "/w/x");
        assert_eq!(bind(&volume("../x:/y", "/w/v").unwrap()).0, "/w/x");
        let named = volume("data:/d:nocopy", "/w").unwrap();
        assert!(
            matches!(&named.kind, MountKind::Volume { name, anonymous: false, no_copy: true, .. } if name == "data")
        );
        let unnamed = volume("/d", "/w").unwrap();
        assert!(matches!(
            &unnamed.kind,
            MountKind::Volume {
                anonymous: true,
                ..
            }
        ));
        let shared = volume("/a:/b:z,rshared", "/w").unwrap();
        assert!(
            matches!(&shared.kind, MountKind::Bind { propagation, .. } if propagation == "rshared")
        );
    }

    #[test]
    fn volumes_that_cannot_be_meant() {
        for (typed, said) in [
            ("", "empty section"),
            (":/b", "empty section"),
            ("/a:/b:", "empty section"),
            ("/a:b", "must be absolute"),
            ("data", "must be absolute"),
            ("/a:/", "cannot be '/'"),
            ("/a:/..", "cannot be '/'"),
            ("a/b:/c", "use an absolute path"),
            ("/a:/b:xx", "invalid mode: xx"),
            ("/a:/b:ro,rw", "more than once"),
            ("/a:/b:nocopy", "for volumes"),
            ("data:/b:rshared", "folders of the host"),
            ("/a:/b:ro:x", "too many colons"),
        ] {
            let error = volume(typed, "/w").unwrap_err().to_string();
            assert!(error.contains(said), "{typed}: {error}");
        }
    }

    #[test]
    fn mounts_with_every_key() {
        let spec = mount(
            "type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave,bind-nonrecursive=true",
        )
        .unwrap();
        assert_eq!(
            spec,
            MountSpec {
                kind: MountKind::Bind {
                    source: "/a".into(),
                    create_source: false,
                    propagation: "rslave".into(),
                    non_recursive: true,
                },
                target: "/b".into(),
                read_only: true,
            }
        );
        let quoted = mount("type=bind,\"source=/a,b\",target=/c").unwrap();
        assert_eq!(bind(&quoted).0, "/a,b");
        let named = mount("source=data,target=/d,volume-subpath=x/./y,ro=false").unwrap();
        assert!(
            matches!(&named.kind, MountKind::Volume { name, subpath, .. } if name == "data" && subpath == "x/y")
        );
        let memory = mount("type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=0700").unwrap();
        assert!(matches!(
            memory.kind,
            MountKind::Tmpfs {
                size: 67_108_864,
                mode: Some(0o700),
                ..
            }
        ));
    }

    #[test]
    fn mounts_that_cannot_be_meant() {
        for (typed, said) in [
            ("type=bind,source=/a", "target is required"),
            ("type=bind,target=/a", "source is required"),
            ("type=bind,source=a,target=/a", "must be absolute"),
            ("type=nfs,target=/a", "mount type unknown"),
            ("type=tmpfs,source=/a,target=/b", "no source"),
            ("type=tmpfs,target=/b,volume-nocopy", "cannot mix"),
            (
                "type=volume,target=/b,bind-propagation=shared",
                "cannot mix",
            ),
            ("target=/b,x=y", "unexpected key 'x'"),
            ("target=/b,source", "key=value"),
            ("target=/b,readonly=maybe", "neither true nor false"),
            ("target=/b,volume-subpath=../x", "below the volume"),
            ("type=tmpfs,target=/b,tmpfs-mode=9", "octal"),
            ("\"target=/b", "not closed"),
            ("", "key=value"),
        ] {
            let error = mount(typed).unwrap_err().to_string();
            assert!(error.contains(said), "{typed}: {error}");
        }
    }

    #[test]
    fn tmpfs_options() {
        let spec = tmpfs("/run:rw,noexec,size=65536k,mode=755,uid=1000").unwrap();
        assert_eq!(
            spec.kind,
            MountKind::Tmpfs {
                size: 64 << 20,
                mode: Some(0o755),
                options: vec!["noexec".into(), "uid=1000".into()],
            }
        );
        assert!(tmpfs("/run:ro").unwrap().read_only);
        for bad in [
            "run",
            "/",
            "/run:bind",
            "/run:uid=",
            "/run:uid=a b",
            "/run:lowerdir=/etc",
        ] {
            assert!(tmpfs(bad).is_err(), "{bad}");
        }
    }
}
