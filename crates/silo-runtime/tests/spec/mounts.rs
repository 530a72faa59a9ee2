//! Mounts: id maps, recursive options, propagation, copies, what is mounted again, files, devices, and what a hostile image tries.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};

use crate::support::{Bundle, file};

/// Options of the mount at a place, and its other fields, as /proc/self/mountinfo has them.
#[track_caller]
fn mounted(said: &Value, place: &str) -> (String, String) {
    let text = said["mounts"].as_str().unwrap();
    let line = text
        .lines()
        .rfind(|line| line.split(' ').nth(4) == Some(place));
    let line = line.unwrap_or_else(|| panic!("nothing at {place}:\n{text}"));
    let options = line.split(' ').nth(5).unwrap().to_owned();
    (options, line.to_owned())
}

fn map(inside: u32, outside: u32) -> Value {
    json!([{"containerID": inside, "hostID": outside, "size": 10}])
}

#[test]
fn ids_of_a_mount_are_mapped() {
    let mut bundle = Bundle::new();
    file(&bundle.host().join("a"), "", 1000);
    let source = bundle.host();
    bundle.mount(json!({"destination": "/own", "type": "bind", "source": source, "options": ["bind", "idmap"],
        "uidMappings": map(1000, 5000), "gidMappings": map(1000, 6000)}));
    bundle.mount(json!({"destination": "/same", "type": "bind", "source": source, "options": ["rbind", "ridmap"],
        "uidMappings": map(1000, 5000), "gidMappings": map(1000, 6000)}));
    bundle.mount(
        json!({"destination": "/plain", "type": "bind", "source": source, "options": ["bind"]}),
    );
    let said = bundle.ask(&["stat:/own/a", "stat:/same/a", "stat:/plain/a"]);
    for place in ["stat:/own/a", "stat:/same/a"] {
        assert_eq!(
            (&said[place]["uid"], &said[place]["gid"]),
            (&json!(5000), &json!(6000))
        );
    }
    assert_eq!(said["stat:/plain/a"]["uid"], 1000);
}

/// Without maps of its own a mount has those of the container: what is root's on the host is root's inside.
#[test]
fn ids_of_a_mount_are_mapped_as_the_containers() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(200_000, 1000);
    file(&bundle.host().join("a"), "", 0);
    let source = bundle.host();
    bundle.mount(json!({"destination": "/x", "type": "bind", "source": source, "options": ["bind", "idmap"]}));
    let said = bundle.ask(&["stat:/x/a", "write:/x/b=1"]);
    assert_eq!(said["stat:/x/a"]["uid"], 0);
    assert_eq!(said["write:/x/b=1"], "written");
    assert_eq!(fs::metadata(bundle.host().join("b")).unwrap().uid(), 0);
}

#[test]
fn what_cannot_be_mapped_is_an_error() {
    let mut bundle = Bundle::new();
    bundle.mount(
        json!({"destination": "/x", "type": "bind", "source": "/proc", "options": ["bind", "idmap"],
        "uidMappings": map(0, 5000), "gidMappings": map(0, 5000)}),
    );
    let error = bundle.refused();
    assert!(error.contains("knows no id-mapped mounts"), "{error}");
}

#[test]
fn options_reach_the_mount_and_those_below() {
    let mut bundle = Bundle::new();
    bundle.mount(json!({"destination": "/t", "type": "tmpfs", "source": "t", "options": ["nosymfollow", "noatime", "size=1m", "mode=1755"]}));
    bundle.mount(json!({"destination": "/one", "type": "bind", "source": "/sys", "options": ["rbind", "ro"]}));
    bundle.mount(json!({"destination": "/all", "type": "bind", "source": "/sys", "options": ["rbind", "rro", "rnoexec"]}));
    let said = bundle.ask(&["mounts", "stat:/t"]);
    let (tmpfs, line) = mounted(&said, "/t");
    assert!(
        tmpfs.contains("noatime") && tmpfs.contains("nosymfollow"),
        "{line}"
    );
    assert!(line.contains("size=1024k"), "{line}");
    assert_eq!(said["stat:/t"]["mode"], 0o1755);
    assert!(mounted(&said, "/one").0.starts_with("ro"));
    assert!(mounted(&said, "/one/fs/cgroup").0.starts_with("rw"));
    for place in ["/all", "/all/fs/cgroup"] {
        let options = mounted(&said, place).0;
        assert!(
            options.starts_with("ro") && options.contains("noexec"),
            "{options}"
        );
    }
}

#[test]
fn propagation_of_mounts_and_of_the_root() {
    let mut bundle = Bundle::new();
    bundle
        .mount(json!({"destination": "/t", "type": "tmpfs", "source": "t", "options": ["shared"]}));
    bundle.mount(
        json!({"destination": "/u", "type": "tmpfs", "source": "t", "options": ["unbindable"]}),
    );
    let said = bundle.ask(&["mounts"]);
    assert!(mounted(&said, "/t").1.contains("shared:"));
    assert!(mounted(&said, "/u").1.contains("unbindable"));
    assert!(!mounted(&said, "/").1.contains("shared:"));

    bundle.set("/linux/rootfsPropagation", json!("shared"));
    let said = bundle.ask(&["mounts"]);
    assert!(mounted(&said, "/").1.contains("shared:"));
    assert!(!mounted(&said, "/proc").1.contains("shared:"));
    bundle.set("/linux/rootfsPropagation", json!("rshared"));
    assert!(
        mounted(&bundle.ask(&["mounts"]), "/proc")
            .1
            .contains("shared:")
    );
}

#[test]
fn a_tmpfs_is_filled_with_what_it_covers() {
    let mut bundle = Bundle::new();
    let etc = bundle.rootfs().join("etc");
    fs::create_dir_all(etc.join("deep/er")).unwrap();
    file(&etc.join("deep/file"), "text", 7);
    fs::set_permissions(etc.join("deep/file"), fs::Permissions::from_mode(0o4751)).unwrap();
    symlink("/nowhere", etc.join("link")).unwrap();
    fs::set_permissions(&etc, fs::Permissions::from_mode(0o711)).unwrap();
    bundle.mount(
        json!({"destination": "/etc", "type": "tmpfs", "source": "t", "options": ["tmpcopyup"]}),
    );
    let said = bundle.ask(&[
        "read:/etc/deep/file",
        "stat:/etc/deep/file",
        "link:/etc/link",
        "list:/etc/deep/er",
        "stat:/etc",
        "write:/etc/new=1",
    ]);
    assert_eq!(said["read:/etc/deep/file"], "text");
    assert_eq!(said["stat:/etc/deep/file"]["uid"], 7);
    assert_eq!(said["stat:/etc/deep/file"]["mode"], 0o4751);
    assert_eq!(said["link:/etc/link"], "/nowhere");
    assert_eq!(said["list:/etc/deep/er"], json!([]));
    assert_eq!(said["stat:/etc"]["mode"], 0o711);
    assert_eq!(said["write:/etc/new=1"], "written");
    assert!(!etc.join("new").exists());
}

#[test]
fn what_is_mounted_is_mounted_again() {
    let mut bundle = Bundle::new();
    bundle.mount(
        json!({"destination": "/t", "type": "tmpfs", "source": "t", "options": ["size=1m"]}),
    );
    bundle.mount(
        json!({"destination": "/t", "type": "tmpfs", "options": ["remount", "noexec", "size=2m"]}),
    );
    let said = bundle.ask(&["mounts"]);
    let (options, line) = mounted(&said, "/t");
    assert!(
        options.contains("noexec") && line.contains("size=2048k"),
        "{line}"
    );
    bundle.mount(json!({"destination": "/none", "options": ["remount", "ro"]}));
    let error = bundle.refused();
    assert!(error.contains("nothing to be mounted again"), "{error}");
}

#[test]
fn files_are_bound_over_files() {
    let mut bundle = Bundle::new();
    file(&bundle.host().join("a"), "of the host", 0);
    let source = bundle.host().join("a");
    bundle.mount(json!({"destination": "/etc/given", "type": "bind", "source": source, "options": ["bind", "ro"]}));
    let said = bundle.ask(&["read:/etc/given", "write:/etc/given=x"]);
    assert_eq!(said["read:/etc/given"], "of the host");
    assert_eq!(said["write:/etc/given=x"]["error"], 30);
}

#[test]
fn devices_lie_where_they_are_asked_for() {
    let mut bundle = Bundle::new();
    bundle.set(
        "/linux/devices",
        json!([
            {"path": "/dev/own/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4},
            {"path": "/else/pipe", "type": "p", "fileMode": 0o600},
            {"path": "/else/null", "type": "u", "major": 1, "minor": 3},
        ]),
    );
    let said = bundle.ask(&["stat:/dev/own/zero", "stat:/else/pipe", "stat:/else/null"]);
    let zero = &said["stat:/dev/own/zero"];
    assert_eq!(
        (&zero["mode"], &zero["uid"], &zero["gid"]),
        (&json!(0o640), &json!(3), &json!(4))
    );
    assert_eq!(zero["device"], 0x105);
    assert_eq!(said["stat:/else/pipe"]["kind"], "pipe");
    assert_eq!(said["stat:/else/null"]["device"], 0x103);
}

/// Without a mount at /dev the image's own folder has the devices, and a link in its place leads nowhere (2026-41579).
#[test]
fn dev_of_the_image() {
    let mut bundle = Bundle::new();
    let mounts = bundle
        .config
        .pointer_mut("/mounts")
        .unwrap()
        .as_array_mut()
        .unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    let said = bundle.ask(&["stat:/dev/null", "link:/dev/fd", "write:/dev/null=x"]);
    assert_eq!(said["stat:/dev/null"]["device"], 0x103);
    assert_eq!(said["link:/dev/fd"], "/proc/self/fd");
    bundle.ask(&["stat:/dev/null"]);

    fs::remove_dir_all(bundle.rootfs().join("dev")).unwrap();
    symlink(bundle.host(), bundle.rootfs().join("dev")).unwrap();
    bundle.refused();
    assert_eq!(fs::read_dir(bundle.host()).unwrap().count(), 0);
}

/// /proc and /sys as links (2019-19921), a target that leads out (2021-30465), a link at a masked path (2025-31133).
#[test]
fn links_of_the_image_lead_nowhere() {
    for name in ["proc", "sys"] {
        let mut bundle = Bundle::new();
        fs::create_dir(bundle.rootfs().join("else")).unwrap();
        symlink("/else", bundle.rootfs().join(name)).unwrap();
        let error = bundle.refused();
        assert!(error.contains("symbolic link"), "{error}");
    }
    let mut bundle = Bundle::new();
    let canary = bundle.host().join("canary");
    file(&canary, "whole", 0);
    symlink(bundle.host(), bundle.rootfs().join("out")).unwrap();
    symlink(&canary, bundle.rootfs().join("masked")).unwrap();
    bundle.set("/linux/maskedPaths", json!(["/masked", "/out/canary"]));
    bundle.mount(json!({"destination": "/out/new", "type": "tmpfs", "source": "t"}));
    let run = bundle.run(&["mounts"]);
    assert_eq!(
        fs::read_dir(bundle.host()).unwrap().count(),
        1,
        "{}",
        run.errors
    );
    assert_eq!(fs::read_to_string(&canary).unwrap(), "whole");
}

/// Whoever shares the root swaps a folder and a link out of it, as fast as it can (2021-30465, 2024-45310).
#[test]
fn a_race_of_links_leads_nowhere() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let mut bundle = Bundle::new();
    let (folder, link) = (bundle.rootfs().join("a"), bundle.rootfs().join("b"));
    fs::create_dir(&folder).unwrap();
    symlink(bundle.host(), &link).unwrap();
    bundle.mount(json!({"destination": "/a/made/deep", "type": "tmpfs", "source": "t"}));
    bundle.set("/process/cwd", json!("/a/work"));
    let end = AtomicBool::new(false);
    let rounds = std::thread::scope(|scope| {
        let swaps = scope.spawn(|| {
            let mut swaps = 0;
            while !end.load(Ordering::Relaxed) {
                renameat_with(CWD, &folder, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        });
        for _ in 0..60 {
            // Made or refused, as it happens.
            bundle.run(&["pid"]);
        }
        end.store(true, Ordering::Relaxed);
        swaps.join().unwrap()
    });
    assert!(rounds > 1000, "{rounds}");
    let left: Vec<_> = fs::read_dir(bundle.host()).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A working directory that is a descriptor of the host (2024-21626).
#[test]
fn the_working_directory_lies_inside() {
    for number in [3, 5, 7, 8] {
        let mut bundle = Bundle::new();
        bundle.user_namespace(200_000, 1000);
        bundle.set("/process/cwd", json!(format!("/proc/self/fd/{number}")));
        let said = bundle.run(&["link:/proc/self/cwd"]);
        assert_ne!(said.code, 0, "{}", said.answers);
    }
}

#[test]
fn nothing_stays_mounted_on_the_host() {
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut bundle = Bundle::new();
    bundle.user_namespace(200_000, 1000);
    bundle.ask(&["pid"]);
    let after = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let ours = bundle.folder.display().to_string();
    assert!(!after.contains(&ours), "{before}\n{after}");
    let left = Command::new("ps").args(["-eo", "args"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&left.stdout).contains(&ours));
}
