//! cp: Docker's rules for names, links that lead nowhere but into the container, owners, archives.

use std::{fs, os::unix::fs::MetadataExt};

use crate::common::{Host, kernel};

#[test]
fn files_and_folders_both_ways() {
    let host = Host::new();
    host.idle("box", &[]);
    let there = |path: &str| host.ok(&["exec", "box", "cat", path]);
    let one = host.file("one", "first");
    host.folder("tree/deep");
    host.file("tree/deep/two", "second");
    let tree = host.files.join("tree").display().to_string();
    host.ok(&["cp", &one, "box:/tmp"]);
    assert_eq!(there("/tmp/one"), "first");
    host.ok(&["cp", &one, "box:/tmp/renamed"]);
    assert_eq!(there("/tmp/renamed"), "first");
    host.ok(&["cp", &tree, "box:/tmp"]);
    assert_eq!(there("/tmp/tree/deep/two"), "second");
    host.ok(&["cp", &tree, "box:/fresh"]);
    assert_eq!(there("/fresh/deep/two"), "second");
    host.ok(&["cp", &format!("{tree}/."), "box:/tmp"]);
    assert_eq!(there("/tmp/deep/two"), "second");

    let here = |name: &str| fs::read_to_string(host.files.join(name)).unwrap();
    host.ok(&["cp", "box:/etc/os-release", "."]);
    assert!(here("os-release").starts_with("NAME="));
    host.ok(&["cp", "box:/etc/os-release", "other"]);
    assert!(here("other").starts_with("NAME="));
    host.ok(&["cp", "box:/fresh", "back"]);
    assert_eq!(here("back/deep/two"), "second");
    host.ok(&["cp", "box:/fresh", "back"]);
    assert_eq!(here("back/fresh/deep/two"), "second");
    host.ok(&["cp", "box:/fresh/.", "flat"]);
    assert_eq!(here("flat/deep/two"), "second");

    host.fails(&["cp", "box:/nosuch", "."], 1, "nosuch");
    host.fails(&["cp", "nosuch", "box:/tmp"], 1, "nosuch");
    host.fails(&["cp", &one, "box:/nosuch/folder/x"], 1, "nosuch");
    host.fails(&["cp", &tree, "box:/tmp/one"], 1, "/tmp/one");
    host.fails(&["cp", &one, "box:/nosuch/"], 1, "nosuch");
    host.fails(&["cp", "box:/etc", "box:/tmp"], 1, "");
    host.fails(&["cp", &one, "nosuch:/tmp"], 1, "nosuch");
    host.fails(&["cp", &one, &tree], 1, "");
}

#[test]
fn archives_in_and_out() {
    let host = Host::new();
    host.ok(&["create", "--name", "box", "lab"]);
    let archive = host.silo(&["cp", "box:/etc", "-"]);
    assert_eq!(archive.code, 0, "{archive}");
    let path = host.files.join("etc.tar");
    fs::write(&path, &archive.raw).unwrap();
    let list = kernel::run("tar", &["tf", &path.display().to_string()]);
    assert!(list.lines().any(|l| l == "etc/passwd"), "{list}");
    assert_eq!(
        host.silo_with(&["cp", "-", "box:/tmp"], &archive.raw).code,
        0
    );
    host.ok(&["cp", "box:/tmp/etc/passwd", "passwd"]);
    assert!(
        fs::read_to_string(host.files.join("passwd"))
            .unwrap()
            .contains("root:")
    );
    let ran = host.silo_with(&["cp", "-", "box:/tmp"], b"no archive at all");
    assert_eq!(ran.code, 1, "{ran}");
    let ran = host.silo_with(&["cp", "-", "box:/etc/passwd"], &archive.raw);
    assert_eq!(ran.code, 1, "{ran}");
}

#[test]
fn owners_and_modes() {
    let host = Host::new();
    host.idle("box", &[]);
    let file = host.file("script", "x");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o750)).unwrap();
    std::os::unix::fs::chown(&file, Some(1000), Some(1000)).unwrap();
    let look = |path: &str| host.ok(&["exec", "box", "stat", "-c", "%a %u:%g", path]);
    host.ok(&["cp", &file, "box:/plain"]);
    assert_eq!(look("/plain"), "750 0:0");
    host.ok(&["cp", "-a", &file, "box:/kept"]);
    assert_eq!(look("/kept"), "750 1000:1000");
    host.ok(&["exec", "box", "chown", "1000:1000", "/plain"]);
    host.ok(&["cp", "box:/plain", "back"]);
    let back = fs::metadata(host.files.join("back")).unwrap();
    assert_eq!((back.uid(), back.mode() & 0o777), (0, 0o750));
    host.ok(&["cp", "-a", "box:/plain", "kept"]);
    assert_eq!(fs::metadata(host.files.join("kept")).unwrap().uid(), 1000);
}

/// CVE-2018-15664 and its kin.
#[test]
fn links_stay_inside() {
    let host = Host::new();
    let canary = host.file("canary", "untouched");
    let folder = host.folder("canaries");
    let script = format!(
        "ln -s {canary} /tmp/file; ln -s {canary} /tmp/outer; ln -s {folder} /tmp/folder; ln -s /etc/passwd /tmp/inner; ln -s ../../../../../../../../.. /tmp/up; echo ready; sleep 600"
    );
    host.ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        &script,
    ]);
    host.logged("box", "ready");
    let evil = host.file("evil", "evil");
    let _ = host.silo(&["cp", &evil, "box:/tmp/file"]);
    let _ = host.silo(&["cp", &evil, "box:/tmp/folder/x"]);
    assert_eq!(fs::read_to_string(&canary).unwrap(), "untouched");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    // A path through links ends inside.
    host.ok(&["cp", &evil, "box:/tmp/up/tmp/found"]);
    assert_eq!(host.ok(&["exec", "box", "cat", "/tmp/found"]), "evil");
    // A link is copied as a link, or followed when asked.
    host.ok(&["cp", "box:/tmp/inner", "link"]);
    assert!(
        fs::symlink_metadata(host.files.join("link"))
            .unwrap()
            .is_symlink()
    );
    host.ok(&["cp", "-L", "box:/tmp/inner", "followed"]);
    assert!(
        fs::read_to_string(host.files.join("followed"))
            .unwrap()
            .contains("lab:x:1000")
    );
    let ran = host.silo(&["cp", "-L", "box:/tmp/outer", "stolen"]);
    assert!(
        ran.code != 0 && !host.files.join("stolen").exists(),
        "{ran}"
    );
}

#[test]
fn volumes_and_read_only_roots() {
    let host = Host::new();
    let file = host.file("one", "first");
    host.idle("box", &["-v", "data:/data"]);
    host.ok(&["cp", &file, "box:/data/one"]);
    assert_eq!(host.ok(&["exec", "box", "cat", "/data/one"]), "first");
    assert_eq!(
        host.offline(&["-v", "data:/other"], "cat /other/one"),
        "first"
    );
    host.idle("still", &["--read-only"]);
    host.fails(&["cp", &file, "still:/tmp/one"], 1, "read-only");
    // A stopped container is reached as well.
    host.ok(&["stop", "-t", "0", "box"]);
    host.ok(&["cp", &file, "box:/etc/one"]);
    host.ok(&["start", "box"]);
    assert_eq!(host.ok(&["exec", "box", "cat", "/etc/one"]), "first");
}
