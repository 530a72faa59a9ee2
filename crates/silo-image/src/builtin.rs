//! The built-in image: made of bytes inside the program on first use, so that `silo run lab` needs no network and no file.

use std::io::{self, Read};

use silo_types::{Doing, Kind as ErrorKind, Result};

use crate::{
    compress::decompress,
    config::{ImageConfig, rfc3339},
    image::Image,
    import::{add_one_layer_image, one_layer},
    session::Session,
    store::ImageStore,
    tar::{Entry, Kind, Writer},
};

/// An image inside the program.
#[derive(Clone, Copy, Debug)]
pub struct Builtin<'a> {
    /// Its name, `lab:latest`.
    pub reference: &'a str,
    /// Changes whenever anything below changes; must not be empty.
    pub version: &'a str,
    /// Nanoseconds since the epoch.
    pub created: u64,
    /// The program, plain or compressed with gzip or zstd: becomes `/bin/PROGRAM`.
    pub binary: &'a [u8],
    /// Its name in `/bin`, `silo-lab`.
    pub program: &'a str,
    /// Names in `/bin` that are links to the program.
    pub applets: &'a [&'a str],
    /// Further files.
    pub files: &'a [BuiltinFile<'a>],
}

/// A file of the built-in image, root's.
#[derive(Clone, Copy, Debug)]
pub struct BuiltinFile<'a> {
    /// Without a slash in front: `etc/passwd`.
    pub path: &'a str,
    pub mode: u32,
    pub data: &'a [u8],
}

/// The folders: path, mode, owner and group.
const FOLDERS: [(&str, u32, u32); 13] = [
    ("./", 0o755, 0),
    ("bin/", 0o755, 0),
    ("dev/", 0o755, 0),
    ("etc/", 0o755, 0),
    ("home/", 0o755, 0),
    ("home/lab/", 0o755, 1000),
    ("proc/", 0o755, 0),
    ("root/", 0o700, 0),
    ("run/", 0o755, 0),
    ("sys/", 0o755, 0),
    ("tmp/", 0o1777, 0),
    ("usr/", 0o755, 0),
    ("var/", 0o755, 0),
];

/// Links between folders: path and target.
const LINKS: [(&str, &str); 3] = [
    ("sbin", "bin"),
    ("usr/bin", "../bin"),
    ("usr/sbin", "../bin"),
];

impl Builtin<'_> {
    /// `lab` and `lab:latest` for `lab:latest`.
    pub(crate) fn is_meant_by(&self, text: &str) -> bool {
        text == self.reference || self.reference.strip_suffix(":latest") == Some(text)
    }

    fn config(&self) -> ImageConfig {
        ImageConfig {
            cmd: Some(vec!["sh".to_owned()]),
            env: vec![
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            ],
            working_dir: "/".to_owned(),
            ..ImageConfig::default()
        }
    }

    /// The layer: the same bytes for the same version.
    fn layer(&self) -> Result<Vec<u8>> {
        let mut writer = Writer::new(Vec::new());
        let entry = |kind, path: &str, mode| {
            let mut entry = Entry::new(kind, path.as_bytes(), mode);
            entry.mtime.0 = (self.created / 1_000_000_000) as i64;
            entry
        };
        for (path, mode, owner) in FOLDERS {
            let mut folder = entry(Kind::Directory, path, mode);
            (folder.uid, folder.gid) = (owner, owner);
            writer.append(&folder, &mut io::empty())?;
        }
        let mut binary = Vec::new();
        decompress(self.binary)?
            .1
            .read_to_end(&mut binary)
            .doing("unpack the built-in program")?;
        let program = format!("bin/{}", self.program);
        let program = BuiltinFile {
            path: &program,
            mode: 0o755,
            data: &binary,
        };
        for file in [&program].into_iter().chain(self.files) {
            let mut made = entry(Kind::File, file.path, file.mode);
            made.size = file.data.len() as u64;
            writer.append(&made, &mut &file.data[..])?;
        }
        let applets = self
            .applets
            .iter()
            .map(|name| (format!("bin/{name}"), self.program));
        let links = LINKS
            .iter()
            .map(|(path, target)| ((*path).to_owned(), *target));
        for (path, target) in applets.chain(links) {
            let mut link = entry(Kind::Symlink, &path, 0o777);
            link.link = target.as_bytes().to_vec();
            writer.append(&link, &mut io::empty())?;
        }
        writer.finish()
    }
}

impl ImageStore {
    /// The built-in image, made if it is absent or another program's version. An image of the user's own with the same name is
    /// left alone.
    pub(crate) fn resolve_builtin(&self, builtin: &Builtin) -> Result<Image> {
        match self.resolve_stored(builtin.reference) {
            Ok(image) if image.builtin.is_empty() || image.builtin == builtin.version => Ok(image),
            Ok(_) => self.make_builtin(builtin),
            Err(error) if error.kind() == ErrorKind::NotFound => self.make_builtin(builtin),
            Err(error) => Err(error),
        }
    }

    fn make_builtin(&self, builtin: &Builtin) -> Result<Image> {
        let doing = |error: silo_types::Error| {
            error.context(format!("make the built-in image {}", builtin.reference))
        };
        let mut session = Session::new(self).map_err(doing)?;
        let layer = session.add_stream(&builtin.layer()?[..]).map_err(doing)?;
        let document = one_layer(
            builtin.config(),
            &layer,
            rfc3339(builtin.created),
            "built into silo",
        );
        let mut image = add_one_layer_image(&mut session, document, layer)?;
        image.builtin = builtin.version.to_owned();
        session.add_image(image, vec![builtin.reference.to_owned()]);
        session.commit().map_err(doing)?;
        self.resolve_stored(builtin.reference)
    }
}
