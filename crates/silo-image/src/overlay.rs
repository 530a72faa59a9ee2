//! What overlayfs stores on disk (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").

use rustix::fs::{FileType, Stat};

/// On a folder, with the value `y`: nothing of the lower layers shows through.
pub(crate) const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

/// A character device 0:0 hides the name in the layers below.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}
