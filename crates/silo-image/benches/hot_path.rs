//! What the image store costs on the way of `silo run`: medians of many rounds, in microseconds.
//!
//! `cargo bench -p silo-image`; needs root. The folder is below the system's temporary folder, or `SILO_BENCH_DIR`.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use rustix::fs::Mode;
use silo_image::{Builtin, ImageStore, Snapshot, SnapshotOptions, remove_tree};

const LAB: Builtin = Builtin {
    reference: "lab:latest",
    version: "1",
    created: 0,
    binary: b"program",
    program: "silo-lab",
    applets: &["sh", "true"],
    files: &[],
};

const ROUNDS: usize = 500;

fn median(name: &str, mut round: impl FnMut() -> f64) {
    let mut times: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    times.sort_by(f64::total_cmp);
    println!(
        "{name:44} median {:8.1} µs   p95 {:8.1} µs",
        times[ROUNDS / 2],
        times[ROUNDS * 95 / 100]
    );
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64() * 1e6)
}

fn container(top: &OwnedFd, store: &ImageStore) -> OwnedFd {
    rustix::fs::mkdirat(top, "c", Mode::RWXU).unwrap();
    let dir = rustix::fs::openat(top, "c", rustix::fs::OFlags::RDONLY, Mode::empty()).unwrap();
    let image = store.resolve("lab").unwrap();
    Snapshot::open(store, &image, dir.as_fd())
        .unwrap()
        .create()
        .unwrap();
    dir
}

fn main() {
    let base = std::env::var_os("SILO_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::Builder::new()
        .prefix("silo-bench-")
        .tempdir_in(base)
        .unwrap();
    let store = || ImageStore::open(folder.path()).unwrap().with_builtin(LAB);
    let image = store().resolve("lab").unwrap();
    let top: OwnedFd = std::fs::File::open(folder.path()).unwrap().into();

    median("open the store and resolve lab", || {
        timed(|| store().resolve("lab").unwrap()).1
    });
    median("hold", || timed(|| store().hold().unwrap()).1);
    for volatile in [true, false] {
        let store = store();
        median(
            &format!("open layers, make folders  volatile={volatile}"),
            || {
                rustix::fs::mkdirat(&top, "c", Mode::RWXU).unwrap();
                let dir = rustix::fs::openat(&top, "c", rustix::fs::OFlags::RDONLY, Mode::empty())
                    .unwrap();
                let make = || {
                    Snapshot::open(&store, &image, dir.as_fd())
                        .unwrap()
                        .create()
                        .unwrap()
                };
                let time = timed(make).1;
                remove_tree(&top, "c").unwrap();
                time
            },
        );
        median(
            &format!("open_mount                 volatile={volatile}"),
            || {
                let dir = container(&top, &store);
                let snapshot = Snapshot::open(&store, &image, dir.as_fd()).unwrap();
                let (mount, time) =
                    timed(|| snapshot.open_mount(&SnapshotOptions { volatile }).unwrap());
                drop(mount);
                remove_tree(&top, "c").unwrap();
                time
            },
        );
        median(
            &format!("write a file and unmount   volatile={volatile}"),
            || {
                let dir = container(&top, &store);
                let snapshot = Snapshot::open(&store, &image, dir.as_fd()).unwrap();
                let mount = snapshot.open_mount(&SnapshotOptions { volatile }).unwrap();
                rustix::fs::mkdirat(&mount, "made", Mode::RWXU).unwrap();
                let time = timed(|| drop(mount)).1;
                remove_tree(&top, "c").unwrap();
                time
            },
        );
        median(
            &format!("remove_tree of the container volatile={volatile}"),
            || {
                let dir = container(&top, &store);
                let snapshot = Snapshot::open(&store, &image, dir.as_fd()).unwrap();
                drop(snapshot.open_mount(&SnapshotOptions { volatile }).unwrap());
                timed(|| remove_tree(&top, "c").unwrap()).1
            },
        );
    }
}
