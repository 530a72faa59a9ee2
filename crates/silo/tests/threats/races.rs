//! Somebody who shares the container's files exchanges a folder or a file with a link, as fast as it can, while the runtime works
//! on them. Those of places that a container has one of are in crates/silo-runtime/tests/spec/races.rs, which makes containers faster.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::fs::{Mode, OFlags};
use serde_json::json;

use crate::{
    common::Host,
    exchange::{Tally, rounds, while_exchanging},
    fixture::add,
    scene::{Scene, Who, remove, tmpfs},
};

/// A pair of names in a folder of the scene: `a` as `make` makes it, `b` a link to `to`.
fn pair(scene: &Scene, folder: &str, to: &Path, make: impl FnOnce(&Path)) -> (PathBuf, PathBuf) {
    let folder = scene.root.join(folder);
    fs::create_dir_all(&folder).unwrap();
    let (one, other) = (folder.join("a"), folder.join("b"));
    remove(&one);
    remove(&other);
    make(&one);
    std::os::unix::fs::symlink(to, &other).unwrap();
    (one, other)
}

/// How a container is had, in turn: mostly while the host's tree is there, and links could lead to it.
fn how(round: u64) -> (Who, bool) {
    let who = [Who::Root, Who::User][(round % 2) as usize];
    (who, round % 8 > 1)
}

/// Destinations of mounts, and the folders and files that are missing for them (2021-30465, 2019-18837, 2024-45310). A container
/// has twenty of them.
#[test]
fn mount_destinations_and_missing_places() {
    const EACH: u64 = 20;
    let (scene, began) = (Scene::shared(), Instant::now());
    let given = scene.oci.host.file("given", "of the host");
    let folder = |path: &Path| fs::create_dir(path).unwrap();
    let (one, other) = pair(&scene, "vol", &scene.canary, folder);
    let inside = scene.root.join(scene.canary.strip_prefix("/").unwrap());
    let (rounds, mut tally) = (rounds(400), Tally::default());
    scene.open();
    let swaps = while_exchanging(&one, &other, || {
        let mut containers = 0;
        // Not all of a container's have their turn: a step between which the folder is exchanged ends it.
        while tally.plain + tally.link < rounds {
            let ran = scene.run(how(containers), &["true"], |spec| {
                for n in 0..EACH / 2 {
                    add(&mut spec["mounts"], tmpfs(&format!("/vol/a/d{n}/deep")));
                    add(&mut spec["mounts"], json!({"destination": format!("/vol/a/f{n}"), "type": "bind", "source": given, "options": ["bind"]}));
                }
            });
            containers += 1;
            scene.is_whole(&ran);
            for n in 0..EACH / 2 {
                for name in [format!("d{n}"), format!("f{n}")] {
                    tally.link += u64::from(inside.join(&name).exists());
                    // The folder has one of the two names at the moment.
                    tally.plain += u64::from([&one, &other].iter().any(|at| in_folder(at, &name)));
                }
            }
            for at in [&one, &other, &inside] {
                empty(at);
            }
        }
    });
    tally.both_were_seen("mount destinations", rounds, swaps, began);
}

/// Opened as a folder, no link.
fn open(at: &Path) -> Option<rustix::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(at, flags, Mode::empty()).ok()
}

fn in_folder(at: &Path, name: &str) -> bool {
    open(at).is_some_and(|folder| {
        rustix::fs::statat(folder, name, rustix::fs::AtFlags::empty()).is_ok()
    })
}

fn empty(at: &Path) {
    let Some(folder) = open(at) else {
        return;
    };
    for entry in rustix::fs::Dir::read_from(&folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            let again = rustix::io::dup(&folder).unwrap();
            silo_image::remove_tree(again, &name).unwrap();
        }
    }
}

/// Who renames something elsewhere on the machine disturbs nobody: the kernel then is not sure of a `..` and wants to be asked again.
#[test]
fn renames_elsewhere_disturb_nobody() {
    let (scene, began) = (Scene::new(), Instant::now());
    let other = scene.oci.host.folder("other");
    let [one, two] = ["one", "two"].map(|name| Path::new(&other).join(name));
    fs::write(&one, "").unwrap();
    fs::write(&two, "").unwrap();
    scene.link(format!("{}etc", "../".repeat(20)), "up");
    let rounds = rounds(40);
    let swaps = while_exchanging(&one, &two, || {
        for round in 0..rounds {
            let ran = scene.run(how(round), &["true"], |spec| {
                for n in 0..20 {
                    add(&mut spec["mounts"], tmpfs(&format!("/up/d{n}")));
                }
            });
            assert_eq!(ran.code, 0, "{ran}");
        }
    });
    println!(
        "elsewhere: {rounds} rounds in {:.1?}, {swaps} exchanges",
        began.elapsed()
    );
}

/// The number of the place at which a container failed, all before it went well.
fn failed_at(text: &str, before: &str) -> Option<u64> {
    let rest = text.split_once(before)?.1;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Masked paths: a link is refused, and what it leads to is not masked. Twenty in a container.
#[test]
fn masked_paths() {
    const EACH: u64 = 20;
    let (scene, began) = (Scene::shared(), Instant::now());
    let (rounds, mut tally) = (rounds(200), Tally::default());
    let elsewhere = scene.root.join("etc/open");
    fs::create_dir(&elsewhere).unwrap();
    let (one, other) = pair(&scene, "vol", Path::new("/etc/open"), |at| {
        fs::create_dir(at).unwrap()
    });
    for n in 0..EACH {
        fs::write(one.join(format!("m{n}")), "secret").unwrap();
        fs::write(elsewhere.join(format!("m{n}")), "open").unwrap();
    }
    scene.open();
    let mut containers = 0;
    let swaps = while_exchanging(&one, &other, || {
        while tally.plain + tally.link < rounds {
            let ran = scene.run(how(containers), &["sh", "-c", "cat /etc/open/m*"], |spec| {
                let paths: Vec<String> = (0..EACH).map(|n| format!("/vol/a/m{n}")).collect();
                spec["linux"]["maskedPaths"] = json!(paths);
            });
            containers += 1;
            scene.is_whole(&ran);
            if ran.code == 0 {
                assert_eq!(ran.out.trim(), "open".repeat(EACH as usize), "{ran}");
                tally.plain += EACH;
            } else {
                tally.plain += failed_at(&ran.err, "/vol/a/m").unwrap_or_else(|| panic!("{ran}"));
                tally.link += 1;
            }
        }
    });
    tally.both_were_seen("masked paths", rounds, swaps, began);
}

/// `cp` in and out (2018-15664, 2019-10152, 2026-41568): the engine works while the container exchanges.
#[test]
fn copies() {
    let (host, began) = (Host::new(), Instant::now());
    let (rounds, mut tally) = (rounds(200), Tally::default());
    let canary = host.folder("canary");
    host.file("canary/canary", "whole");
    let volume = host.folder("volume");
    fs::create_dir(format!("{volume}/a")).unwrap();
    fs::write(format!("{volume}/a/canary"), "inside").unwrap();
    std::os::unix::fs::symlink(&canary, format!("{volume}/b")).unwrap();
    host.idle("box", &["-v", &format!("{volume}:/vol")]);
    let engine = silo_engine::Engine::open(&host.root, &host.run).unwrap();
    let container = engine.find("box").unwrap();
    let file = host.file("evil", "evil");
    let fetched = host.files.join("fetched");
    let (one, other) = (
        PathBuf::from(format!("{volume}/a")),
        PathBuf::from(format!("{volume}/b")),
    );
    let swaps = while_exchanging(&one, &other, || {
        for round in 0..rounds {
            let options = silo_engine::CopyOptions {
                archive: round % 4 < 2,
                follow: true,
            };
            let done = match round % 2 {
                0 => engine.copy_in(&container, &file, "/vol/a/new", options),
                _ => {
                    let _ = fs::remove_file(&fetched);
                    let to = fetched.display().to_string();
                    let done = engine.copy_out(&container, "/vol/a/canary", &to, options);
                    if done.is_ok() {
                        assert_eq!(fs::read_to_string(&fetched).unwrap(), "inside");
                    }
                    done
                }
            };
            match done {
                Ok(()) => tally.plain += 1,
                // Inside there is nothing where the link leads to.
                Err(_) => tally.link += 1,
            }
            if round % 64 == 0 {
                let left: Vec<_> = fs::read_dir(&canary).unwrap().flatten().collect();
                assert_eq!(left.len(), 1, "{left:?}");
            }
        }
    });
    assert_eq!(fs::read_dir(&canary).unwrap().count(), 1);
    assert_eq!(
        fs::read_to_string(format!("{canary}/canary")).unwrap(),
        "whole"
    );
    tally.both_were_seen("cp", rounds, swaps, began);
}

/// Removal of a tree (2022-21658).
#[test]
fn removals() {
    let (host, began) = (Host::new(), Instant::now());
    let (rounds, mut tally) = (rounds(1000), Tally::default());
    let canary = PathBuf::from(host.folder("canary"));
    for n in 0..20 {
        fs::write(canary.join(n.to_string()), "whole").unwrap();
    }
    let base = PathBuf::from(host.folder("base"));
    let (victim, link, made) = (
        base.join("tree/deep/victim"),
        base.join("link"),
        base.join("made"),
    );
    let swaps = while_exchanging(&victim, &link, || {
        for _ in 0..rounds {
            let here = || open(&base).unwrap();
            if fs::symlink_metadata(&link).is_ok_and(|there| there.is_dir()) {
                // What was exchanged last time lies here.
                let _ = silo_image::remove_tree(here(), "link");
            }
            let _ = std::os::unix::fs::symlink(&canary, &link);
            fs::create_dir_all(base.join("tree/deep")).unwrap();
            // With a file, so that it must be entered; put in its place by a call that follows no link.
            fs::create_dir_all(&made).unwrap();
            fs::write(made.join("file"), "").unwrap();
            let _ = fs::rename(&made, &victim);
            let _ = silo_image::remove_tree(here(), "tree");
            match fs::symlink_metadata(&link) {
                // The folder is outside the tree: the link was in it when it was removed.
                Ok(there) if there.is_dir() => tally.link += 1,
                _ => tally.plain += 1,
            }
        }
    });
    assert_eq!(fs::read_dir(&canary).unwrap().count(), 20);
    tally.both_were_seen("rm", rounds, swaps, began);
}

/// A folder in a volume that is mounted by itself (the kin of 2021-30465): twenty in a container.
#[test]
fn folders_of_volumes() {
    const EACH: u64 = 20;
    let (host, began) = (Host::new(), Instant::now());
    let (rounds, mut tally) = (rounds(200), Tally::default());
    let canary = host.folder("canary");
    host.file("canary/canary", "whole");
    host.ok(&["volume", "create", "shared"]);
    let place = PathBuf::from(host.inspect("shared")["Mountpoint"].as_str().unwrap());
    let (one, other) = (place.join("a"), place.join("b"));
    fs::create_dir(&one).unwrap();
    std::os::unix::fs::symlink(&canary, &other).unwrap();
    let mounts: Vec<String> = (0..EACH)
        .map(|n| format!("type=volume,source=shared,target=/m{n},volume-subpath=a"))
        .collect();
    let mut words = vec!["run", "--rm", "--network", "none"];
    for mount in &mounts {
        words.extend(["--mount", mount.as_str()]);
    }
    words.extend([
        "lab",
        "sh",
        "-c",
        "cat /m*/canary 2>/dev/null; echo x > /m0/new",
    ]);
    let swaps = while_exchanging(&one, &other, || {
        while tally.plain + tally.link < rounds {
            let ran = host.silo(&words);
            assert!(!ran.out.contains("whole"), "{ran}");
            assert_eq!(fs::read_dir(&canary).unwrap().count(), 1, "{ran}");
            match ran.code {
                0 => tally.plain += EACH,
                // Found by the engine before anything is mounted, or at one of the mounts.
                _ => {
                    tally.plain += failed_at(&ran.err, "mount /m").unwrap_or(0);
                    tally.link += 1;
                }
            }
        }
    });
    assert_eq!(
        fs::read_to_string(format!("{canary}/canary")).unwrap(),
        "whole"
    );
    tally.both_were_seen("volume subpaths", rounds, swaps, began);
}
