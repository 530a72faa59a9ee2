//! Builds the user land of the built-in `lab` image and packs it for `src/builtin.rs`.
//!
//! ```text
//! crates/silo-lab ─ cargo build --release ─▶ target/lab-embedded ─ gzip ─▶ OUT_DIR/lab.gz ┐
//! crates/silo-lab/rootfs, silo-lab --list ────────────────────────────▶ OUT_DIR/lab.rs ─┴─▶ include!
//! ```
//! The inner cargo has a target folder of its own, so it cannot wait for the lock of the outer one, and what it built stays until
//! something of `silo-lab` changes. It tries without a network first.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    // The program starts in silo_sys::early; -u brings that in from its archive.
    for option in ["-Wl,-u,silo_start", "-Wl,-e,silo_start"] {
        println!("cargo::rustc-link-arg-bin=silo={option}");
    }
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    place_functions(&manifest.join("order"));
    let workspace = manifest.join("../..");
    let lab = workspace.join("crates/silo-lab");
    for part in ["src", "rootfs", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", lab.join(part).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let out = PathBuf::from(variable("OUT_DIR"));
    let target = variable("TARGET");
    let folder = target_folder(&out, &target).join("lab-embedded");
    build(&workspace, &folder, &target);
    let program = folder.join(&target).join("release/silo-lab");
    pack(&program, &lab.join("rootfs"), &out);
}

/// What a container's start runs lies together in the program, as `bench/order` found it: a third less memory is touched. Only
/// the linker that the toolchain brings (lld) is known to understand it.
fn place_functions(order: &Path) {
    println!("cargo::rerun-if-changed={}", order.display());
    let sysroot = Command::new(variable("RUSTC"))
        .args(["--print", "sysroot"])
        .output();
    let Ok(sysroot) = sysroot.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    else {
        return;
    };
    let linker = format!(
        "{sysroot}/lib/rustlib/{}/bin/gcc-ld/ld.lld",
        variable("HOST")
    );
    if variable("PROFILE") == "release" && Path::new(&linker).exists() {
        let order = order.display();
        for option in [
            format!("--symbol-ordering-file={order}"),
            "--no-warn-symbol-ordering".to_owned(),
        ] {
            println!("cargo::rustc-link-arg-bin=silo=-Wl,{option}");
        }
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}

/// The workspace's target folder: OUT_DIR is `TARGET-FOLDER[/TRIPLE]/PROFILE/build/silo-HASH/out`.
fn target_folder(out: &Path, triple: &str) -> PathBuf {
    let profile = out
        .ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "build"))
        .and_then(Path::parent)
        .unwrap_or(out);
    let above = profile.parent().unwrap_or(profile);
    match above.file_name().is_some_and(|name| name == triple) {
        true => above.parent().unwrap_or(above).to_owned(),
        false => above.to_owned(),
    }
}

fn build(workspace: &Path, folder: &Path, target: &str) {
    let run = |offline: bool| {
        let mut cargo = Command::new(variable("CARGO"));
        cargo
            .args([
                "build",
                "--package",
                "silo-lab",
                "--release",
                "--target",
                target,
            ])
            .arg("--target-dir")
            .arg(folder)
            .args(offline.then_some("--offline"))
            .current_dir(workspace);
        for (name, _) in env::vars_os() {
            if disturbs(&name.to_string_lossy()) {
                cargo.env_remove(name);
            }
        }
        cargo.output().expect("cargo can be run")
    };
    let first = run(true);
    if first.status.success() {
        return;
    }
    let second = run(false);
    assert!(
        second.status.success(),
        "the user land of the lab image does not build:\n{}",
        String::from_utf8_lossy(&second.stderr)
    );
}

/// What the outer cargo says to this script, and what would make the inner one build something else.
fn disturbs(name: &str) -> bool {
    let kept = [
        "CARGO_HOME",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
    ];
    let of_cargo = name.starts_with("CARGO") && !kept.iter().any(|prefix| name.starts_with(prefix));
    let others = [
        "RUSTFLAGS",
        "RUSTC",
        "RUSTDOC",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_LINKER",
        "TARGET",
        "HOST",
        "OUT_DIR",
        "OPT_LEVEL",
        "PROFILE",
        "DEBUG",
        "NUM_JOBS",
        "MAKEFLAGS",
        "CLIPPY_ARGS",
    ];
    of_cargo || others.contains(&name)
}

fn pack(program: &Path, rootfs: &Path, out: &Path) {
    let bytes = fs::read(program).expect("the built program is there");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&bytes).expect("memory takes all");
    let packed = packed.finish().expect("memory takes all");
    fs::write(out.join("lab.gz"), packed).expect("OUT_DIR can be written");

    let list = Command::new(program)
        .arg("--list")
        .output()
        .expect("the built program runs");
    let list = String::from_utf8(list.stdout).expect("names are UTF-8");
    let mut files = Vec::new();
    walk(rootfs, rootfs, &mut files);
    files.sort();
    let mut version = Fnv::new();
    version.add(&bytes);
    version.add(list.as_bytes());
    let mut text = format!(
        "const APPLETS: &[&str] = &{:?};\n",
        list.lines().collect::<Vec<_>>()
    );
    text += "const FILES: &[BuiltinFile<'static>] = &[\n";
    for (name, path) in &files {
        let data = fs::read(path).expect("the file was just listed");
        version.add(name.as_bytes());
        version.add(&data);
        let path = path.canonicalize().expect("the file was just listed");
        text += &format!(
            "    BuiltinFile {{ path: {name:?}, mode: 0o644, data: include_bytes!({path:?}) }},\n"
        );
    }
    text += "];\n";
    text += &format!("const VERSION: &str = \"{:016x}\";\n", version.0);
    text += &format!("const CREATED: u64 = {};\n", created(program));
    fs::write(out.join("lab.rs"), text).expect("OUT_DIR can be written");
}

/// Regular files with their paths below the root.
fn walk(top: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(folder).expect("rootfs can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(top, &path, files);
        } else if let Ok(name) = path.strip_prefix(top) {
            files.push((name.to_string_lossy().into_owned(), path));
        }
    }
}

/// Nanoseconds since the epoch: SOURCE_DATE_EPOCH (reproducible-builds.org), else when the program was built.
fn created(program: &Path) -> u64 {
    let given = env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    let built = || {
        let time = fs::metadata(program).and_then(|m| m.modified()).ok()?;
        Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
    };
    given.or_else(built).unwrap_or(0) * 1_000_000_000
}

/// FNV-1a of 64 bits: tells versions apart, guards nothing.
struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
