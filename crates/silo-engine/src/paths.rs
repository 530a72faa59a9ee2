//! Every path that Silo uses, in one place.

use std::path::{Path, PathBuf};

use silo_types::{ContainerId, Doing, Result};

/// Where data lies when `--root` is not given.
pub const DEFAULT_ROOT: &str = "/var/lib/silo";

/// Where sockets lie when `--run` is not given.
pub const DEFAULT_RUN: &str = "/run/silo";

/// Where data and run-time files lie; `--root` and `--run` move both.
#[derive(Clone, Debug)]
pub struct Paths {
    pub root: PathBuf,
    pub run: PathBuf,
}

impl Paths {
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.root.join("containers").join(id.as_str())
    }

    /// Symbolic links from name to id: made and looked up by one system call each.
    pub fn names(&self) -> PathBuf {
        self.root.join("names")
    }

    pub fn name(&self, name: &str) -> PathBuf {
        self.root.join("names").join(name)
    }

    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    pub fn network(&self) -> PathBuf {
        self.root.join("network")
    }

    /// Recordings of containers that were removed within the hour.
    pub fn graveyard(&self) -> PathBuf {
        self.root.join("graveyard")
    }

    /// One JSON object a line, the newest last.
    pub fn events(&self) -> PathBuf {
        self.root.join("events.log")
    }

    /// The folder that roots are attached over, inside each container's own mount namespace.
    pub fn stage(&self) -> &Path {
        &self.run
    }

    /// Control socket of a container's monitor.
    pub fn socket(&self, id: &ContainerId) -> PathBuf {
        self.run.join(id.as_str())
    }

    /// Tells the kernel objects of another `--root` apart from those of the usual one: empty there, `-` and six digits elsewhere.
    pub fn suffix(&self) -> String {
        if self.root == Path::new(DEFAULT_ROOT) {
            return String::new();
        }
        // FNV-1a: short, stable, no secret.
        let hash = self
            .root
            .as_os_str()
            .as_encoded_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        format!("-{:06x}", (hash >> 24) & 0xff_ffff)
    }

    /// Makes the folders, closed to others; nothing where they are there.
    pub fn make(&self) -> Result<()> {
        for folder in [
            self.run.clone(),
            self.root.clone(),
            self.containers(),
            self.names(),
        ] {
            make_private(&folder)?;
        }
        Ok(())
    }
}

/// A folder with mode 0700, and those above it.
pub(crate) fn make_private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().mode(0o700).create(folder);
    match made {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => std::fs::DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(folder),
        other => other,
    }
    .doing_with(|| format!("make the folder {}", folder.display()))
}
