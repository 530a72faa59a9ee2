//! Local images: content store, layers, snapshots, archives.
//!
//! Only `silo-engine` and the command line call it. It knows nothing of containers; who uses an image is asked through a callback.
//! Registries have their place beside [`ImageStore::load`]: a pull brings the same blobs and manifests that an OCI layout holds.
//!
//! # On disk, below `ROOT/images` (every folder 0700)
//! | path | what |
//! |---|---|
//! | `refs.json` | names: `debian:12` → image id; replaced atomically under `refs.lock` |
//! | `records/HEX.json` | what `run` needs of an image, checked once when it came in |
//! | `blobs/sha256/HEX[.zst]` | configurations, manifests and layers as they came; plain layers compressed at rest |
//! | `layers/HEX/fs` | a layer unpacked for overlay, by the digest of its plain tar: held once for all images |
//! | `layers/HEX/layer.json` | bytes of its files |
//! | `tmp/` | what is being made; whole when it leaves, by rename(2) |
//! | `lock` | shared: something is being added or used; exclusive: something is being removed |
//!
//! Disk or fidelity: a layer is kept twice, unpacked and as the blob that it came as. That costs about a third more disk, and in
//! return `save` gives back the very bytes that came in, so ids and digests never change, whatever was odd about the archive.
#![forbid(unsafe_code)]

mod builtin;
mod changes;
mod compress;
mod config;
mod digest;
mod image;
mod import;
mod load;
mod manifest;
mod overlay;
mod pack;
mod refs;
mod remove;
mod save;
mod session;
mod snapshot;
mod store;
mod tar;
mod tree;
mod unpack;

pub use builtin::{Builtin, BuiltinFile};
pub use config::{HistoryEntry, ImageConfig};
pub use digest::Digest;
pub use image::{Image, ImageLayer, LayerId};
pub use load::Loaded;
pub use manifest::Descriptor;
pub use pack::{PackOptions, write_tar, write_tar_entry};
pub use remove::{Leftover, Removed};
pub use snapshot::{Snapshot, SnapshotOptions};
pub use store::{Hold, ImageStore};
pub use tree::{remove_tree, tree_size};
pub use unpack::{UnpackOptions, Unpacked, apply_layer, unpack};
