//! The store: where things lie, locks, and the way from a name to an image.
//!
//! [`ImageStore::resolve`] is on the path of every `silo run`: two small files are read, no lock is taken (readers never wait, for
//! writers replace files whole).

use std::{
    fs::{self, File},
    io::{self, Read},
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags},
    io::Errno,
};
use serde::{Serialize, de::DeserializeOwned};
use silo_types::{Doing, Error, ImageRef, Result};

use crate::{
    builtin::Builtin,
    config::{Document, HistoryEntry},
    digest::Digest,
    image::{Image, LayerId},
    refs::{Refs, familiar, key},
};

/// Largest document (configuration, manifest, record, names) that is read: 4 MiB, the customary limit of registries.
pub(crate) const MAX_DOCUMENT: u64 = 4 << 20;

/// The images below one `--root`.
pub struct ImageStore {
    dir: PathBuf,
    builtin: Option<Builtin<'static>>,
}

/// Nothing is removed from the store while this lives.
pub struct Hold {
    _lock: OwnedFd,
}

impl ImageStore {
    /// The store in `root/images`. Touches nothing: folders are made when something is stored.
    ///
    /// # Errors
    /// `Invalid` when `root` is not absolute.
    pub fn open(root: &Path) -> Result<ImageStore> {
        if !root.is_absolute() {
            return Err(Error::invalid(format!(
                "--root {} is not an absolute path",
                root.display()
            )));
        }
        Ok(ImageStore {
            dir: root.join("images"),
            builtin: None,
        })
    }

    /// The same store with an image that it can make by itself when it is asked for.
    pub fn with_builtin(mut self, builtin: Builtin<'static>) -> ImageStore {
        self.builtin = Some(builtin);
        self
    }

    /// The image that `text` means: `name[:tag]`, `name@digest`, an id, or the beginning of one, in this order.
    ///
    /// The built-in image is made when it is absent or of another version than this program's.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for the beginning of several ids.
    pub fn resolve(&self, text: &str) -> Result<Image> {
        if let Some(builtin) = &self.builtin
            && builtin.is_meant_by(text)
        {
            return self.resolve_builtin(builtin);
        }
        self.resolve_stored(text)
    }

    pub(crate) fn resolve_stored(&self, text: &str) -> Result<Image> {
        let refs = self.refs()?;
        let missing = || match text.parse::<ImageRef>() {
            Err(malformed) if !text.bytes().all(|b| b.is_ascii_hexdigit()) => malformed,
            _ => no_such_image(text),
        };
        let id = self.find(text, &refs)?.ok_or_else(missing)?;
        self.image(id, &refs)?.ok_or_else(|| no_such_image(text))
    }

    fn find(&self, text: &str, refs: &Refs) -> Result<Option<Digest>> {
        if text.starts_with("sha256:")
            && let Ok(id) = text.parse()
        {
            return Ok(Some(id));
        }
        if let Ok(reference) = text.parse::<ImageRef>() {
            match &reference.digest {
                None => {
                    if let Some(id) = refs.references.get(&key(&reference)?) {
                        return Ok(Some(*id));
                    }
                }
                Some(digest) => {
                    return self.find_digest(&reference.repository, digest.parse()?, refs);
                }
            }
        }
        self.find_prefix(text.strip_prefix("sha256:").unwrap_or(text))
    }

    fn find_digest(&self, repository: &str, digest: Digest, refs: &Refs) -> Result<Option<Digest>> {
        for (_, id) in refs.in_repository(familiar(repository)) {
            let image = self.image(id, refs)?;
            if image.is_some_and(|image| image.manifest == digest || image.id == digest) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    fn find_prefix(&self, prefix: &str) -> Result<Option<Digest>> {
        let digits = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(digits) {
            return Ok(None);
        }
        if let Some(id) = Digest::from_hex(prefix) {
            return Ok(Some(id));
        }
        let ids = self.ids()?;
        let mut matches = ids.into_iter().filter(|id| id.hex().starts_with(prefix));
        match (matches.next(), matches.count()) {
            (first, 0) => Ok(first),
            (_, more) => Err(Error::invalid(format!(
                "ambiguous image id: {} images begin with {prefix}: give more digits",
                more + 1
            ))),
        }
    }

    /// All images, the newest first.
    pub fn list(&self) -> Result<Vec<Image>> {
        let refs = self.refs()?;
        let mut images = Vec::new();
        for id in self.ids()? {
            // Removed since its name was listed: not there any more.
            images.extend(self.image(id, &refs)?);
        }
        images.sort_by(|a, b| b.created.cmp(&a.created).then(a.id.cmp(&b.id)));
        Ok(images)
    }

    /// Gives the image that `source` means the further name `target`, taking it from any other image.
    pub fn tag(&self, source: &str, target: &ImageRef) -> Result<()> {
        let name = key(target)?;
        let _hold = self.hold()?;
        let image = self.resolve(source)?;
        self.change_refs(|refs| {
            refs.references.insert(name, image.id);
        })
    }

    /// How the image was made, the newest step first, with the size of each step's layer.
    pub fn history(&self, image: &Image) -> Result<Vec<HistoryEntry>> {
        let document = Document::parse(&self.raw_config(image)?)?;
        let mut sizes = image.layers.iter().map(|layer| layer.size);
        let mut history = document.history;
        for entry in history.iter_mut().filter(|entry| !entry.empty_layer) {
            entry.size = sizes.next().unwrap_or(0);
        }
        history.reverse();
        Ok(history)
    }

    /// The configuration document as it came: what `inspect` may show beyond [`Image`].
    pub fn raw_config(&self, image: &Image) -> Result<Vec<u8>> {
        self.document_blob(image.id)
    }

    /// The unpacked content of a layer, for overlay's `lowerdir`.
    pub fn layer_dir(&self, layer: &LayerId) -> PathBuf {
        let mut path = self.path("layers");
        path.push(layer.hex());
        path.push("fs");
        path
    }

    /// Keeps everything in the store from being removed while a container is made of it. Many may hold at once.
    pub fn hold(&self) -> Result<Hold> {
        self.lock("lock", FlockOperation::LockShared)
    }

    /// `None`: somebody holds it.
    pub(crate) fn try_hold_alone(&self) -> Result<Option<Hold>> {
        let lock = self.open_lock("lock")?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Hold { _lock: lock })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).doing("lock the image store"),
        }
    }

    /// Waits for all holds, and keeps new ones waiting.
    pub(crate) fn hold_alone(&self) -> Result<Hold> {
        self.lock("lock", FlockOperation::LockExclusive)
    }

    fn open_lock(&self, name: &str) -> Result<OwnedFd> {
        let path = self.path(name);
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::openat(CWD, &path, flags, Mode::from_raw_mode(0o600));
        let lock = match open(flags) {
            // The lock comes after the folders: who finds it finds them.
            Err(Errno::NOENT) => {
                self.make_folders()?;
                open(flags | OFlags::CREATE)
            }
            other => other,
        };
        lock.doing_with(|| format!("open {}", path.display()))
    }

    fn lock(&self, name: &str, how: FlockOperation) -> Result<Hold> {
        let lock = self.open_lock(name)?;
        loop {
            match rustix::fs::flock(&lock, how) {
                Err(Errno::INTR) => {}
                result => {
                    result.doing_with(|| format!("lock {} of the image store", name))?;
                    return Ok(Hold { _lock: lock });
                }
            }
        }
    }

    fn make_folders(&self) -> Result<()> {
        for name in ["records", "blobs/sha256", "layers", "tmp"] {
            let path = self.path(name);
            let mut builder = fs::DirBuilder::new();
            builder
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .doing_with(|| format!("create {}", path.display()))?;
        }
        Ok(())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn record_path(&self, id: Digest) -> PathBuf {
        self.path("records").join(format!("{}.json", id.hex()))
    }

    /// The image with this id, `None`: absent.
    pub(crate) fn image(&self, id: Digest, refs: &Refs) -> Result<Option<Image>> {
        let Some(mut image) = read_json::<Image>(&self.record_path(id))? else {
            return Ok(None);
        };
        image.references = refs.of(id);
        Ok(Some(image))
    }

    /// Ids of all images.
    pub(crate) fn ids(&self) -> Result<Vec<Digest>> {
        let names = names_in(&self.path("records"))?;
        let hex = |name: &String| Digest::from_hex(name.strip_suffix(".json")?);
        Ok(names.iter().filter_map(hex).collect())
    }

    pub(crate) fn refs(&self) -> Result<Refs> {
        Ok(read_json(&self.path("refs.json"))?.unwrap_or_default())
    }

    /// Reads, changes and replaces the names.
    pub(crate) fn change_refs<T>(&self, change: impl FnOnce(&mut Refs) -> T) -> Result<T> {
        let _lock = self.lock("refs.lock", FlockOperation::LockExclusive)?;
        let mut refs = self.refs()?;
        let before = refs.clone();
        let result = change(&mut refs);
        if refs != before {
            self.write_json(&self.path("refs.json"), &refs)?;
        }
        Ok(result)
    }

    /// Replaces a document: it is on the disk before it gets its name.
    pub(crate) fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<()> {
        let doing = || format!("write {}", path.display());
        let bytes = serde_json::to_vec(value).doing_with(doing)?;
        let temporary = self.path("tmp").join(random_name()?);
        let written = write_synced(&temporary, &bytes).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.doing_with(doing)
    }

    /// A blob with its original bytes, whether it is compressed at rest or not.
    pub(crate) fn open_blob(&self, digest: Digest) -> Result<Box<dyn Read>> {
        let path = self.path("blobs/sha256").join(digest.hex());
        match File::open(&path) {
            Ok(file) => return Ok(Box::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).doing_with(|| format!("open {}", path.display())),
        }
        let packed = path.with_extension("zst");
        let doing = || format!("open {}", packed.display());
        let file = File::open(&packed).doing_with(doing)?;
        Ok(Box::new(
            zstd::stream::read::Decoder::new(file).doing_with(doing)?,
        ))
    }

    pub(crate) fn has_blob(&self, digest: Digest) -> bool {
        let path = self.path("blobs/sha256").join(digest.hex());
        path.exists() || path.with_extension("zst").exists()
    }

    /// A document among the blobs, checked against its digest.
    pub(crate) fn document_blob(&self, digest: Digest) -> Result<Vec<u8>> {
        let doing = || format!("read blob {digest}");
        let bytes = read_limited(self.open_blob(digest)?).doing_with(doing)?;
        match Digest::of(&bytes) == digest {
            true => Ok(bytes),
            false => Err(Error::internal(format!(
                "blob {digest} is damaged on disk: load the image again"
            ))),
        }
    }
}

fn no_such_image(text: &str) -> Error {
    let shown: String = text.chars().take(200).collect();
    Error::not_found(format!(
        "no such image: {shown}: 'silo image ls' shows what is here, 'silo load' and 'silo import' bring more"
    ))
}

/// Everything of a stream, up to [`MAX_DOCUMENT`].
pub(crate) fn read_limited(source: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_DOCUMENT {
        true => Err(io::Error::other("it is larger than 4 MiB")),
        false => Ok(bytes),
    }
}

/// Parses a file of the store; `None`: absent.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let doing = || format!("read {}", path.display());
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.doing_with(doing)?,
    };
    let bytes = read_limited(file).doing_with(doing)?;
    serde_json::from_slice(&bytes).map(Some).doing_with(doing)
}

/// Names in a folder; none if it is absent.
pub(crate) fn names_in(folder: &Path) -> Result<Vec<String>> {
    let doing = || format!("list {}", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.doing_with(doing)?,
    };
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.map(|e| e.file_name().to_string_lossy().into_owned())
    };
    entries
        .map(name)
        .collect::<io::Result<_>>()
        .doing_with(doing)
}

pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// 128 random bits.
pub(crate) fn random_name() -> Result<String> {
    let mut bytes = [0u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .doing("get random bytes")?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

/// Moves a finished file or folder to where it can be seen; `false`: somebody else was faster, and theirs stays.
pub(crate) fn publish(from: &Path, to: &Path) -> Result<bool> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(false),
        Err(error) => Err(error).doing_with(|| format!("move {} into the store", to.display())),
    }
}
