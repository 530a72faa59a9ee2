//! Links and other surprises of an image, at every place where the runtime works on its files.

use std::fs;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::json;

use crate::{
    fixture::add,
    scene::{EVERY, Scene, Who, remove, tmpfs, without_mount},
};

/// Destinations through links, absolute and climbing (2021-30465, 2019-18837), and what is made for them (2024-45310, 2025-24965).
#[test]
fn mounts_through_links_stay_inside() {
    let scene = Scene::new();
    let file = scene.oci.host.file("given", "of the host");
    scene.link(&scene.canary, "out");
    scene.link(
        format!("{}{}", "../".repeat(20), scene.canary.display()),
        "up",
    );
    for how in EVERY {
        let ran = scene.run(how, &["true"], |spec| {
            for place in ["/out/new", "/up/new/deep", "/out", "/out/deep"] {
                add(&mut spec["mounts"], tmpfs(place));
            }
            for place in ["/out/file", "/up/other/file", "/etc/hosts", "/etc/resolv.conf"] {
                add(
                    &mut spec["mounts"],
                    json!({"destination": place, "type": "bind", "source": file, "options": ["bind", "ro"]}),
                );
            }
            add(
                &mut spec["mounts"],
                json!({"destination": "/out/copy", "type": "tmpfs", "source": "t", "options": ["tmpcopyup"]}),
            );
        });
        scene.is_whole(&ran);
        // All of it was done, in the places that the links have inside.
        assert!(ran.code == 0, "{how:?} {ran}");
        let inside = scene.root.join(scene.canary.strip_prefix("/").unwrap());
        assert!(inside.exists(), "{how:?}");
        remove(&scene.root.join("tmp"));
        fs::create_dir(scene.root.join("tmp")).unwrap();
    }
}

/// Files that an engine puts in over links of the image, to a file of the host and to none (2025-24965).
#[test]
fn files_put_in_over_links() {
    let scene = Scene::new();
    let file = scene.oci.host.file("given", "of the host");
    for name in ["canary", "fresh", "deep/fresh"] {
        scene.link(scene.canary(name), "etc/hosts");
        for how in EVERY {
            let ran = scene.run(how, &["cat", "/etc/hosts"], |spec| {
                add(
                    &mut spec["mounts"],
                    json!({"destination": "/etc/hosts", "type": "bind", "source": file, "options": ["bind"]}),
                );
            });
            scene.is_whole(&ran);
            assert!(ran.code != 0 || ran.out == "of the host", "{how:?} {ran}");
        }
    }
}

/// /proc, /sys and /dev that are links (2019-19921, 2023-27561, 2023-28642; 2026-41579, 2026-47766).
#[test]
fn places_of_the_kernel_are_no_links() {
    for name in ["proc", "sys", "dev"] {
        let scene = Scene::new();
        fs::create_dir(scene.root.join("else")).unwrap();
        for to in [scene.canary("."), "/else".to_owned(), "else".to_owned()] {
            scene.link(&to, name);
            for how in EVERY {
                let ran = scene.run(how, &["true"], |_| {});
                scene.is_whole(&ran);
                assert_ne!(ran.code, 0, "{name} {to} {how:?} {ran}");
                assert!(ran.err.contains("symbolic link"), "{ran}");
            }
        }
        // Without a mount of its own, the image's folder would be filled.
        if name == "dev" {
            for how in EVERY {
                let ran = scene.run(how, &["true"], |spec| {
                    for place in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
                        without_mount(spec, place);
                    }
                });
                scene.is_whole(&ran);
                assert_ne!(ran.code, 0, "{ran}");
            }
        }
    }
}

/// 2025-31133: files are masked by the null device, and nothing that only says so.
#[test]
fn a_null_device_that_is_none_masks_nothing() {
    let scene = Scene::new();
    let secret = scene.root.join("etc/secret");
    fs::write(&secret, "secret").unwrap();
    let dev = scene.oci.host.files.join("dev");
    for kind in ["link", "file", "pipe", "zero", "nothing"] {
        remove(&dev);
        fs::create_dir(&dev).unwrap();
        let null = dev.join("null");
        let mode = Mode::from_raw_mode(0o666);
        match kind {
            "link" => std::os::unix::fs::symlink(scene.canary("canary"), &null).unwrap(),
            "file" => fs::write(&null, "of somebody").unwrap(),
            "pipe" => mknodat(CWD, &null, FileType::Fifo, mode, 0).unwrap(),
            "zero" => mknodat(CWD, &null, FileType::CharacterDevice, mode, makedev(1, 5)).unwrap(),
            _ => {}
        }
        for how in EVERY {
            let ran = scene.run(how, &["cat", "/etc/secret"], |spec| {
                for place in ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev"] {
                    without_mount(spec, place);
                }
                add(
                    &mut spec["mounts"],
                    json!({"destination": "/dev", "type": "bind", "source": dev, "options": ["bind"]}),
                );
                spec["linux"]["maskedPaths"] = json!(["/etc/secret"]);
            });
            scene.is_whole(&ran);
            assert!(ran.code != 0 && ran.out.is_empty(), "{kind} {how:?} {ran}");
            assert!(ran.err.contains("null device"), "{kind} {how:?} {ran}");
        }
    }
}

/// Masked and read-only paths, and places of devices, that are links are an error, not a place somewhere else.
#[test]
fn what_is_masked_is_no_link() {
    let scene = Scene::new();
    scene.link(scene.canary("canary"), "etc/masked");
    scene.link(&scene.canary, "out");
    for how in EVERY {
        let ran = scene.run(how, &["true"], |spec| {
            spec["linux"]["devices"] = json!([{"path": "/out/pipe", "type": "p"}]);
        });
        scene.is_whole(&ran);
        assert_ne!(ran.code, 0, "{how:?} {ran}");
    }
    for field in ["maskedPaths", "readonlyPaths"] {
        for how in EVERY {
            let ran = scene.run(how, &["true"], |spec| {
                spec["linux"][field] = json!(["/etc/masked"]);
            });
            scene.is_whole(&ran);
            assert_ne!(ran.code, 0, "{field} {how:?} {ran}");
        }
    }
}

/// Settings of the kernel go to the procfs that was mounted, not to what lies over it (2019-16884, 2025-52881).
#[test]
fn settings_go_to_no_other_file() {
    let scene = Scene::new();
    let fake = scene.oci.host.files.join("fake");
    fs::create_dir_all(fake.join("sys/net/ipv4")).unwrap();
    fs::create_dir_all(fake.join("net/ipv4")).unwrap();
    fs::create_dir_all(fake.join("ipv4")).unwrap();
    let files = [
        "sys/net/ipv4/ip_forward",
        "net/ipv4/ip_forward",
        "ipv4/ip_forward",
    ];
    for file in files {
        fs::write(fake.join(file), "whole").unwrap();
    }
    let host = "/proc/sys/net/ipv4/ip_forward";
    let before = fs::read(host).unwrap();
    for place in ["/proc", "/proc/sys", "/proc/sys/net"] {
        for how in EVERY {
            let ran = scene.run(how, &["true"], |spec| {
                let bind = json!({"destination": place, "type": "bind", "source": fake, "options": ["bind"]});
                if place == "/proc" {
                    without_mount(spec, "/proc");
                }
                add(&mut spec["mounts"], bind);
                spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
                spec["linux"]["maskedPaths"] = json!([]);
                spec["linux"]["readonlyPaths"] = json!([]);
            });
            assert_ne!(ran.code, 0, "{place} {how:?} {ran}");
            for file in files {
                let text = fs::read_to_string(fake.join(file)).unwrap();
                assert_eq!(text, "whole", "{place} {how:?} {file}");
            }
        }
    }
    assert_eq!(fs::read(host).unwrap(), before);
}

/// 2025-52565: a console that is a link, and a terminal that is none.
#[test]
fn a_terminal_is_the_containers_own() {
    let scene = Scene::new();
    let on_image = |spec: &mut serde_json::Value| {
        for place in ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"] {
            without_mount(spec, place);
        }
        spec["process"]["terminal"] = json!(true);
    };
    let mode = Mode::from_raw_mode(0o666);
    mknodat(
        CWD,
        scene.root.join("dev/pts/ptmx"),
        FileType::Fifo,
        mode,
        0,
    )
    .unwrap();
    let ran = scene.run((Who::Root, false), &["true"], on_image);
    assert!(ran.code != 0 && ran.err.contains("no devpts"), "{ran}");

    scene.link(scene.canary("console"), "dev/console");
    fs::remove_file(scene.root.join("dev/pts/ptmx")).unwrap();
    for how in [(Who::Root, false), (Who::Root, true)] {
        let ran = scene.run(how, &["true"], |spec| {
            on_image(spec);
            let pts = json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["newinstance", "ptmxmode=0666", "mode=0620"]});
            add(&mut spec["mounts"], pts);
        });
        scene.is_whole(&ran);
        assert!(
            ran.code != 0 && ran.err.contains("symbolic link"),
            "{how:?} {ran}"
        );
    }
}

/// 2026-55686: a missing working directory is made inside.
#[test]
fn working_directories_are_made_inside() {
    let scene = Scene::new();
    scene.link(&scene.canary, "out");
    for how in EVERY {
        let ran = scene.run(how, &["pwd"], |spec| {
            spec["process"]["cwd"] = json!("/out/made/deep");
        });
        scene.is_whole(&ran);
        assert_eq!(ran.code, 0, "{how:?} {ran}");
        assert!(ran.out.trim().ends_with("/made/deep"), "{ran}");
        let inside = scene.root.join(scene.canary.strip_prefix("/").unwrap());
        assert!(inside.join("made/deep").is_dir());
        remove(&inside);
    }
}

/// What a container mounts is seen by nobody else, also where the host shares its mounts.
#[test]
fn mounts_do_not_spread_to_the_host() {
    let scene = Scene::new();
    let bundle = scene.bundle("c", (Who::Root, false), &["sleep", "600"], |spec| {
        add(&mut spec["mounts"], tmpfs("/etc/inner"));
    });
    let runtime = format!(
        "{} --root {}",
        scene.oci.program().display(),
        scene.oci.state.display()
    );
    let script = format!(
        "cd {}; {runtime} run -d c >/dev/null 2>&1 </dev/null; {runtime} state c; cat /proc/self/mountinfo; {runtime} delete --force c",
        bundle.display()
    );
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--mount", "--propagation", "shared", "bash", "-c", &script])
        .env("SILO_TEST_HOST", scene.oci.host.mark());
    let ran = scene.oci.host.finish(command, &["spread"], b"");
    assert!(ran.out.contains("\"running\""), "{ran}");
    let files = scene.oci.host.files.display().to_string();
    let spread: Vec<&str> = ran
        .out
        .lines()
        .filter(|l| l.contains(" - ") && l.contains(&files))
        .collect();
    assert!(spread.is_empty(), "{spread:?}");
}
