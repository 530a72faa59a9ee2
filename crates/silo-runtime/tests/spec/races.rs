//! Races for the places that a container has one of: /proc, /sys, /dev, the null device, the console, the working directory. Somebody
//! who shares the image's files exchanges each with a link to a canary on the host, as fast as it can.
//!
//! `SILO_TEST_ROUNDS=10000 cargo test -p silo-runtime --test spec -- races --nocapture` runs more, and prints how often the racer won.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::Instant,
};

use rustix::fs::{CWD, FileType, Mode, OFlags, makedev, mknodat};
use serde_json::{Value, json};

use crate::{
    exchange::{Tally, rounds, while_exchanging},
    support::{Bundle, Said},
};

/// Who has the container made.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Root,
    /// Root, in a user namespace.
    User,
    /// Somebody without privileges, in a user namespace.
    Nobody,
}

/// A user without privileges.
const NOBODY: u32 = 65_500;
const EACH: usize = 6;

/// In turn as everybody, and each with the mounts made after the host's tree is gone and while it is there.
fn bundles() -> [Bundle; EACH] {
    use Who::{Nobody, Root, User};
    let every = [
        (Root, false),
        (Root, true),
        (User, false),
        (User, true),
        (Nobody, false),
        (Nobody, true),
    ];
    every.map(|(who, hooks)| {
        let mut bundle = Bundle::new();
        if who == Nobody {
            bundle = bundle.called_by(NOBODY);
        }
        for name in ["canary", "null", "console"] {
            fs::write(bundle.host().join(name), "whole").unwrap();
        }
        // What keeps a container out is not who it is.
        open(&bundle.host());
        for name in ["proc", "sys", "dev", "vol"] {
            fs::create_dir(bundle.rootfs().join(name)).unwrap();
        }
        match who {
            Root => {}
            User => {
                bundle.user_namespace(200_000, 1000);
            }
            Nobody => {
                bundle.user_namespace(NOBODY, 1);
            }
        }
        if hooks {
            bundle.set(
                "/hooks",
                json!({"createContainer": [{"path": "/bin/true"}]}),
            );
        }
        open(&bundle.rootfs());
        bundle
    })
}

/// Everybody may write there.
fn open(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            open(&entry.path());
        }
    }
}

/// The host's folder is as it was made.
#[track_caller]
fn is_whole(bundle: &Bundle, said: &Said) {
    let mut names: Vec<_> = fs::read_dir(bundle.host())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["canary", "console", "null"], "{}", said.errors);
    for name in names {
        let text = fs::read_to_string(bundle.host().join(name)).unwrap();
        assert_eq!(text, "whole", "{}", said.errors);
    }
}

fn without_dev(bundle: &mut Bundle) {
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/dev" && mount["destination"] != "/dev/pts");
}

fn add(bundle: &mut Bundle, mount: Value) {
    bundle.config["mounts"].as_array_mut().unwrap().push(mount);
}

/// Runs each bundle its share of the rounds while two names below it are exchanged.
fn race(
    what: &str,
    bundles: [Bundle; EACH],
    names: impl Fn(&Bundle) -> [std::path::PathBuf; 2],
    questions: &[&str],
    saw: impl Fn(&Bundle, &Said, &mut Tally),
) {
    let (rounds, began) = (rounds(200), Instant::now());
    let (mut tally, mut swaps) = (Tally::default(), 0);
    for mut bundle in bundles {
        let [one, other] = names(&bundle);
        swaps += while_exchanging(&one, &other, || {
            for _ in 0..rounds.div_ceil(EACH as u64) {
                let said = bundle.run(questions);
                is_whole(&bundle, &said);
                saw(&bundle, &said, &mut tally);
            }
        });
    }
    tally.both_were_seen(what, rounds, swaps, began);
}

/// 2019-19921, 2023-27561, 2023-28642, 2026-41579.
#[test]
fn places_of_the_kernel() {
    for name in ["proc", "sys", "dev"] {
        let names = |bundle: &Bundle| {
            let [one, other] = [name, "swapped"].map(|name| bundle.rootfs().join(name));
            symlink(bundle.host(), &other).unwrap();
            [one, other]
        };
        race(
            &format!("/{name}"),
            bundles(),
            names,
            &["pid"],
            |_, said, tally| match said.code {
                0 => tally.plain += 1,
                _ if said.errors.contains("symbolic link") => tally.link += 1,
                // Gone between two steps.
                _ => {}
            },
        );
    }
}

/// A shared /dev whose null device is to cover what is masked (2025-31133).
#[test]
fn the_null_device() {
    let bundles = bundles().map(|mut bundle| {
        let dev = bundle.folder.join("dev");
        fs::create_dir(&dev).unwrap();
        let mode = Mode::from_raw_mode(0o666);
        mknodat(
            CWD,
            dev.join("null"),
            FileType::CharacterDevice,
            mode,
            makedev(1, 3),
        )
        .unwrap();
        symlink(bundle.host().join("canary"), dev.join("other")).unwrap();
        fs::write(bundle.rootfs().join("secret"), "secret").unwrap();
        without_dev(&mut bundle);
        add(
            &mut bundle,
            json!({"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]}),
        );
        bundle.set("/linux/maskedPaths", json!(["/secret"]));
        bundle
    });
    let names =
        |bundle: &Bundle| ["null", "other"].map(|name| bundle.folder.join("dev").join(name));
    let questions = ["read:/secret", "write:/secret=x"];
    race(
        "null device",
        bundles,
        names,
        &questions,
        |_, said, tally| {
            if said.code == 0 {
                assert_eq!(said.answers["read:/secret"], "", "{}", said.answers);
                tally.plain += 1;
            } else {
                assert!(said.errors.contains("null device"), "{}", said.errors);
                tally.link += 1;
            }
        },
    );
}

/// 2025-52565: with the image's own /dev the console's place is the image's, too.
#[test]
fn the_console() {
    let bundles = bundles().map(|mut bundle| {
        let dev = bundle.rootfs().join("dev");
        fs::write(dev.join("console"), "").unwrap();
        symlink(bundle.host().join("console"), dev.join("other")).unwrap();
        without_dev(&mut bundle);
        add(
            &mut bundle,
            json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["newinstance", "ptmxmode=0666", "mode=0620"]}),
        );
        bundle.set("/process/terminal", json!(true));
        bundle
    });
    let names =
        |bundle: &Bundle| ["console", "other"].map(|name| bundle.rootfs().join("dev").join(name));
    race(
        "console",
        bundles,
        names,
        &["pid"],
        |_, said, tally| match said.code {
            0 => tally.plain += 1,
            _ => {
                assert!(said.errors.contains("symbolic link"), "{}", said.errors);
                tally.link += 1;
            }
        },
    );
}

/// 2026-55686: what is missing of a working directory is made inside, wherever the link leads to there.
#[test]
fn the_working_directory() {
    let bundles = bundles().map(|mut bundle| {
        let vol = bundle.rootfs().join("vol");
        fs::create_dir(vol.join("a")).unwrap();
        open(&vol);
        symlink(bundle.host(), vol.join("b")).unwrap();
        bundle.set("/process/cwd", json!("/vol/a/made"));
        bundle
    });
    let names = |bundle: &Bundle| ["a", "b"].map(|name| bundle.rootfs().join("vol").join(name));
    race(
        "working directory",
        bundles,
        names,
        &["pid"],
        |bundle, _, tally| {
            let [one, other] = ["a", "b"].map(|name| bundle.rootfs().join("vol").join(name));
            let inside = bundle
                .rootfs()
                .join(bundle.host().strip_prefix("/").unwrap());
            tally.link += u64::from(took(&inside));
            tally.plain += u64::from(took(&one)) + u64::from(took(&other));
        },
    );
}

/// Removes `made` from a folder that is one, and no link; whether it was there.
fn took(folder: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let removed = rustix::fs::open(folder, flags, Mode::empty())
        .and_then(|folder| rustix::fs::unlinkat(folder, "made", rustix::fs::AtFlags::REMOVEDIR));
    removed.is_ok()
}

/// Destinations of mounts with what is missing for them, and masked paths, in folders that somebody else exchanges (2021-30465,
/// 2024-45310, 2025-31133). The command line's tests have the same with more of them, and not for somebody without privileges.
#[test]
fn destinations_and_masks() {
    const PLACES: usize = 8;
    let bundles = bundles().map(|mut bundle| {
        let vol = bundle.rootfs().join("vol");
        let elsewhere = bundle.rootfs().join("elsewhere");
        for folder in [vol.join("a"), vol.join("m"), elsewhere] {
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("secret"), "secret").unwrap();
        }
        symlink(bundle.host(), vol.join("b")).unwrap();
        for n in 0..PLACES {
            add(
                &mut bundle,
                json!({"destination": format!("/vol/a/d{n}/deep"), "type": "tmpfs", "source": "t"}),
            );
        }
        bundle.set("/linux/maskedPaths", json!(["/vol/a/secret"]));
        open(&bundle.rootfs());
        bundle
    });
    let names = |bundle: &Bundle| ["a", "b"].map(|name| bundle.rootfs().join("vol").join(name));
    race(
        "destinations and masks",
        bundles,
        names,
        &["pid"],
        |bundle, said, tally| {
            let inside = bundle
                .rootfs()
                .join(bundle.host().strip_prefix("/").unwrap());
            let made = |folder: &Path| {
                (0..PLACES)
                    .filter(|n| folder.join(format!("d{n}")).exists())
                    .count()
            };
            tally.link += u64::from(made(&inside) > 0);
            tally.plain += u64::from(said.code == 0 || made(&inside) < PLACES);
            let _ = fs::remove_dir_all(inside);
        },
    );
}
