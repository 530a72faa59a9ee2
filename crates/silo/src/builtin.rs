//! The image `lab:latest` inside this program; `build.rs` packs it.

use silo_image::{Builtin, BuiltinFile};

include!(concat!(env!("OUT_DIR"), "/lab.rs"));

/// What the image store makes the image of when it is first asked for.
pub fn lab() -> Builtin<'static> {
    Builtin {
        reference: "lab:latest",
        version: VERSION,
        created: CREATED,
        binary: include_bytes!(concat!(env!("OUT_DIR"), "/lab.gz")),
        program: "silo-lab",
        applets: APPLETS,
        files: FILES,
    }
}
