//! The root file system of a container: the image's layers below, a folder of its own above, as an overlay mount.
//!
//! The monitor calls it on the path of every `run`. The mount is detached (fsmount(2)): it never has a path on the host, so nobody
//! there can walk into it, and it is gone with the last descriptor and the container's mount namespace.
//!
//! Layers are handed over as descriptors (Linux 6.13 and later) or as short names below /proc/self/fd, so neither the length of
//! `--root` (an fsconfig string holds 255 bytes) nor odd characters in it matter.

use std::{
    fmt::Write as _,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{CWD, Gid, Mode, OFlags, Uid},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    },
};
use silo_types::{Doing, Error, Result};

use crate::{
    config::MAX_LAYERS,
    image::Image,
    store::ImageStore,
    tree::{remove_tree, tree_size},
};

/// How the root is mounted.
#[derive(Clone, Copy, Debug, Default)]
pub struct SnapshotOptions {
    /// Nothing is synced when the mount goes (overlayfs.rst, "Volatile mount"): what the container wrote is lost if the machine, not
    /// only the container, dies within seconds. Without it the end of each container writes the whole file system to the disk.
    pub volatile: bool,
}

/// A container's layers, and the folder of the container that holds `upper` and `work`.
pub struct Snapshot<'a> {
    /// The top one first, as overlay counts.
    layers: Vec<OwnedFd>,
    dir: BorrowedFd<'a>,
}

impl<'a> Snapshot<'a> {
    /// Opens the layers of `image` for a container whose own folder is `dir`; makes nothing.
    ///
    /// # Errors
    /// `NotFound` when a layer is missing from the store; `Invalid` for more than 500 layers, the kernel's limit.
    pub fn open(store: &ImageStore, image: &Image, dir: BorrowedFd<'a>) -> Result<Snapshot<'a>> {
        if image.layers.is_empty() || image.layers.len() > MAX_LAYERS {
            return Err(Error::invalid(format!(
                "image {} has {} layers: a container needs 1 to {MAX_LAYERS}",
                image.id.short(),
                image.layers.len()
            )));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut layers = Vec::with_capacity(image.layers.len());
        for layer in image.layers.iter().rev() {
            let path = store.layer_dir(&layer.id);
            let open = rustix::fs::openat(CWD, &path, flags, Mode::empty());
            layers.push(open.map_err(|error| match error {
                Errno::NOENT => Error::not_found(format!(
                    "layer {} of image {} is missing: load the image again",
                    layer.id.short(),
                    image.id.short()
                )),
                other => Error::system(format!("open {}", path.display()), other),
            })?);
        }
        Ok(Snapshot { layers, dir })
    }

    /// Makes the folders `upper` (mode and owner of the image's root) and `work`; they may exist already.
    pub fn create(&self) -> Result<()> {
        let root = rustix::fs::fstat(&self.layers[0]).doing("look at the image's root")?;
        for name in ["upper", "work"] {
            match rustix::fs::mkdirat(self.dir, name, Mode::RWXU) {
                Ok(()) => {}
                Err(Errno::EXIST) => continue,
                Err(error) => {
                    return Err(error)
                        .doing_with(|| format!("create the container's folder {name}"));
                }
            }
            if name == "upper" {
                let upper = open_folder(self.dir, name)?;
                if (root.st_uid, root.st_gid) != (0, 0) {
                    let (uid, gid) = (Uid::from_raw(root.st_uid), Gid::from_raw(root.st_gid));
                    rustix::fs::fchown(&upper, Some(uid), Some(gid))
                        .doing("set the owner of the container's root")?;
                }
                let mode = Mode::from_raw_mode(root.st_mode & 0o7777);
                rustix::fs::fchmod(&upper, mode).doing("set the mode of the container's root")?;
            }
        }
        Ok(())
    }

    /// Mounts, detached: a descriptor for move_mount(2).
    ///
    /// # Errors
    /// `Unsupported` when the file system of the container's folder cannot carry an overlay.
    pub fn open_mount(&self, options: &SnapshotOptions) -> Result<OwnedFd> {
        let upper = open_path(self.dir, "upper")?;
        let work = open_path(self.dir, "work")?;
        let made = self.mount_somehow(&upper, &work, options);
        made.or_else(|failure| {
            // A volatile mount marks its work folder, so that nobody mounts it again after a crash of the machine. This meets every
            // second start of a container too: its owner chose to live with that.
            if options.volatile && failure.step == Step::Create {
                remove_tree(&work, "work")?;
                return self
                    .mount_somehow(&upper, &work, options)
                    .map_err(|f| self.error(f));
            }
            Err(self.error(failure))
        })
    }

    /// Tries the newest way of the kernel first: where the layers are refused, nothing was mounted yet. Before Linux 6.5 the kernel
    /// took any option as text, and looked at it only when the overlay was to be created.
    fn mount_somehow(
        &self,
        upper: &OwnedFd,
        work: &OwnedFd,
        options: &SnapshotOptions,
    ) -> Result<OwnedFd, Failure> {
        let mut result = self.mount(upper, work, options, HandOver::Descriptors);
        for how in [HandOver::Names, HandOver::List] {
            match result {
                Err(ref failure) if failure.is_of_layers() => {
                    result = self.mount(upper, work, options, how);
                }
                other => return other,
            }
        }
        result
    }

    fn mount(
        &self,
        upper: &OwnedFd,
        work: &OwnedFd,
        options: &SnapshotOptions,
        how: HandOver,
    ) -> Result<OwnedFd, Failure> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
            .map_err(|e| fail(Step::Open, e, None))?;
        let failed = |step| {
            let context = &context;
            move |error| fail(step, error, Some(context.as_fd()))
        };
        fsconfig_set_string(&context, "source", "overlay").map_err(failed(Step::Options))?;
        let _here = match how {
            HandOver::List => Some(InDescriptors::enter().map_err(failed(Step::Layers))?),
            _ => None,
        };
        self.hand_over(&context, how)
            .map_err(failed(Step::Layers))?;
        hand_over_folders(&context, upper, work, how).map_err(failed(Step::Folders))?;
        set_options(&context, options).map_err(failed(Step::Options))?;
        fsconfig_create(&context).map_err(failed(Step::Create))?;
        fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::empty(),
        )
        .map_err(failed(Step::Attach))
    }

    fn hand_over(&self, context: &OwnedFd, how: HandOver) -> rustix::io::Result<()> {
        let mut layers = self.layers.iter();
        match how {
            HandOver::Descriptors => {
                layers.try_for_each(|l| fsconfig_set_fd(context, "lowerdir+", l))
            }
            HandOver::Names => {
                layers.try_for_each(|l| fsconfig_set_string(context, "lowerdir+", name(l)))
            }
            HandOver::List => {
                let numbers: Vec<String> = layers.map(|l| l.as_raw_fd().to_string()).collect();
                fsconfig_set_string(context, "lowerdir", numbers.join(":"))
            }
        }
    }

    fn error(&self, failure: Failure) -> Error {
        let Failure { step, error, said } = failure;
        let said = if said.is_empty() {
            String::new()
        } else {
            format!(" ({said})")
        };
        match (step, error) {
            (Step::Open, Errno::NODEV) => Error::unsupported(
                "the kernel has no overlay file system: load it with 'modprobe overlay'",
            ),
            (Step::Folders | Step::Create, Errno::INVAL | Errno::NOTSUP) => {
                Error::unsupported(format!(
                    "the kernel refuses an overlay here{said}: the folder given with --root must be on a file system that can carry one \
                 (ext4, xfs with ftype=1, btrfs, tmpfs; not overlay, NFS or FAT)"
                ))
            }
            (Step::Layers, _) if self.layers.len() > 60 => Error::unsupported(format!(
                "this kernel cannot stack {} layers{said}: Linux 6.8 or later can",
                self.layers.len()
            )),
            _ => Error::system(
                format!("mount the container's root: {}{said}", step.words()),
                error,
            ),
        }
    }

    /// Bytes of the files that the container has written: `silo ps -s`. The virtual size adds [`Image::size`].
    pub fn upper_size(dir: BorrowedFd<'_>) -> Result<u64> {
        tree_size(open_folder(dir, "upper")?)
    }
}

/// How the layers reach the kernel.
#[derive(Clone, Copy, PartialEq)]
enum HandOver {
    /// Linux 6.13 and later.
    Descriptors,
    /// `/proc/self/fd/N`, one by one: Linux 6.8 and later.
    Names,
    /// `N:M:…`, relative to /proc/self/fd: any kernel, room for about 60 layers.
    List,
}

fn hand_over_folders(
    context: &OwnedFd,
    upper: &OwnedFd,
    work: &OwnedFd,
    how: HandOver,
) -> rustix::io::Result<()> {
    if how == HandOver::Descriptors {
        fsconfig_set_fd(context, "upperdir", upper)?;
        return fsconfig_set_fd(context, "workdir", work);
    }
    fsconfig_set_string(context, "upperdir", name(upper))?;
    fsconfig_set_string(context, "workdir", name(work))
}

fn name(folder: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", folder.as_raw_fd())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Open,
    Layers,
    Folders,
    Options,
    Create,
    Attach,
}

impl Step {
    fn words(self) -> &'static str {
        match self {
            Step::Open => "open the overlay file system",
            Step::Layers => "hand over the layers",
            Step::Folders => "hand over the container's folders",
            Step::Options => "set the options",
            Step::Create => "create the overlay",
            Step::Attach => "make the mount",
        }
    }
}

/// Where it failed, and what the kernel said besides the number.
struct Failure {
    step: Step,
    error: Errno,
    said: String,
}

impl Failure {
    /// Whether it may have been the layers' form: kernels that check options late say nothing but the number.
    fn is_of_layers(&self) -> bool {
        let late = self.step == Step::Create && self.error == Errno::INVAL && self.said.is_empty();
        self.step == Step::Layers || late
    }
}

fn fail(step: Step, error: Errno, context: Option<BorrowedFd<'_>>) -> Failure {
    let mut said = String::new();
    // fsopen(2): each read gives one message, "e overlay: …".
    let mut buffer = [0u8; 512];
    while let Some(Ok(n)) = context.map(|c| rustix::io::read(c, &mut buffer)) {
        let line = String::from_utf8_lossy(&buffer[..n]);
        let separator = if said.is_empty() { "" } else { "; " };
        let _ = write!(said, "{separator}{}", line.trim().trim_start_matches("e "));
        if n == 0 || said.len() > 1024 {
            break;
        }
    }
    Failure { step, error, said }
}

/// Features that would let a layer say where its content lies, or that would outlive the mount, are off whatever the host's defaults.
fn set_options(context: &OwnedFd, options: &SnapshotOptions) -> rustix::io::Result<()> {
    fsconfig_set_string(context, "redirect_dir", "nofollow")?;
    fsconfig_set_string(context, "metacopy", "off")?;
    fsconfig_set_string(context, "index", "off")?;
    if options.volatile {
        fsconfig_set_flag(context, "volatile")?;
    }
    Ok(())
}

/// The working directory is /proc/self/fd while this lives: a list of layers is relative to it, and kernels before 6.5 look it up
/// only when the mount is made.
struct InDescriptors {
    before: OwnedFd,
}

impl InDescriptors {
    fn enter() -> rustix::io::Result<InDescriptors> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let before = rustix::fs::openat(CWD, ".", flags, Mode::empty())?;
        rustix::process::chdir("/proc/self/fd")?;
        Ok(InDescriptors { before })
    }
}

impl Drop for InDescriptors {
    fn drop(&mut self) {
        // Going back to a folder that is open fails only if its permissions were taken away meanwhile.
        let _ = rustix::process::fchdir(&self.before);
    }
}

fn open_path(dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    open_with(dir, name, OFlags::PATH)
}

fn open_folder(dir: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    open_with(dir, name, OFlags::RDONLY)
}

fn open_with(dir: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
        .doing_with(|| format!("open the container's folder {name}"))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, path::Path};

    use super::*;

    fn folder(path: &Path) -> OwnedFd {
        std::fs::create_dir_all(path).unwrap();
        File::open(path).unwrap().into()
    }

    #[test]
    fn every_way_of_handing_over_gives_the_same_root() {
        for how in [HandOver::Descriptors, HandOver::Names, HandOver::List] {
            let prefix = format!("silo-test-{}-", std::process::id());
            let place = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
            let layers = ["top", "middle", "lowest"].map(|name| place.path().join(name));
            let open = layers.iter().map(|path| folder(path)).collect();
            for (n, path) in layers.iter().enumerate() {
                std::fs::write(path.join(format!("only{n}")), "").unwrap();
                std::fs::write(path.join("common"), n.to_string()).unwrap();
            }
            let dir = folder(&place.path().join("container"));
            let snapshot = Snapshot {
                layers: open,
                dir: dir.as_fd(),
            };
            snapshot.create().unwrap();
            let (upper, work) = (
                open_path(dir.as_fd(), "upper").unwrap(),
                open_path(dir.as_fd(), "work").unwrap(),
            );
            let before = std::env::current_dir().unwrap();
            let mount = snapshot.mount(&upper, &work, &SnapshotOptions { volatile: true }, how);
            let mount = mount.map_err(|f| snapshot.error(f)).unwrap();
            assert_eq!(std::env::current_dir().unwrap(), before);
            for name in ["only0", "only1", "only2"] {
                assert!(
                    rustix::fs::accessat(
                        &mount,
                        name,
                        rustix::fs::Access::EXISTS,
                        rustix::fs::AtFlags::empty()
                    )
                    .is_ok()
                );
            }
            let common =
                rustix::fs::openat(&mount, "common", OFlags::RDONLY, Mode::empty()).unwrap();
            assert_eq!(std::io::read_to_string(File::from(common)).unwrap(), "0");
        }
    }
}
