//! Archives that try to reach outside: a canary beside the folder must stay as it is (THREATS, part C).

mod common;

use std::{
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
};

use common::{Item, Place, file, item, link, place, tar_of};
use proptest::prelude::*;
use silo_image::{UnpackOptions, apply_layer, unpack};
use silo_types::Kind;

/// A folder to unpack into, beside a canary that links in the archive can name.
fn target() -> Place {
    let place = place();
    std::fs::create_dir_all(place.path("in")).unwrap();
    std::fs::create_dir_all(place.path("canary/folder")).unwrap();
    std::fs::write(place.path("canary/file"), "alive").unwrap();
    place
}

type Facts = (u32, u32, i64, u64, String);

fn canary(place: &Place) -> (Facts, Vec<String>, u32) {
    let meta = place.path("canary/file").metadata().unwrap();
    let text = std::fs::read_to_string(place.path("canary/file")).unwrap();
    let folder = place.path("canary").metadata().unwrap().mode();
    let mut names = common::names(&place.path("canary"));
    names.extend(common::names(&place.path("canary/folder")));
    names.extend(common::names(place.folder.path()));
    (
        (meta.mode(), meta.uid(), meta.mtime(), meta.nlink(), text),
        names,
        folder,
    )
}

fn apply(place: &Place, items: &[Item]) -> silo_types::Result<silo_image::Unpacked> {
    apply_layer(place.open("in").as_fd(), &tar_of(items)[..])
}

#[test]
fn links_out_of_the_tree_lead_nowhere() {
    let place = target();
    let before = canary(&place);
    let out = place.path("canary");
    let out = out.to_str().unwrap();
    let victim = format!("{out}/file");
    let cases: Vec<Vec<Item>> = vec![
        vec![link(b'2', "l", out), file("l/new", "x")],
        vec![link(b'2', "l", "../canary"), file("l/file", "x")],
        vec![link(b'2', "l", &victim), file("l", "x")],
        vec![link(b'2', "l", &victim), item(b'5', "l/")],
        vec![link(b'2', "l", out), item(b'5', "l/").mode(0o777)],
        vec![link(b'2', "l", out), item(b'5', "l/folder/").mode(0o777)],
        vec![link(b'1', "l", &victim)],
        vec![link(b'1', "l", "../canary/file")],
        vec![
            link(b'2', "s", out),
            link(b'1', "l", "s/file"),
            file("l", "x"),
        ],
        vec![
            link(b'2', "s", &victim),
            link(b'1', "l", "s"),
            file("l", "x"),
        ],
        vec![link(b'2', "s", out), file("s/.wh.file", "")],
        vec![link(b'2', "s", out), file("s/.wh..wh..opq", "")],
        vec![file("../canary/file", "x")],
        vec![file("a/../../canary/file", "x")],
        vec![file(&victim, "x")],
        vec![
            link(b'2', "s", "/proc/self/root"),
            file(&format!("s{victim}"), "x"),
        ],
        vec![item(b'5', "d/"), link(b'2', "d", out), file("d/file", "x")],
        vec![
            file("d/f", "1"),
            link(b'2', "d", out),
            file("d/f", "2"),
            file("d/file", "x"),
        ],
        vec![link(b'2', ".", out)],
        vec![link(b'2', "./", out), file("file", "x")],
        vec![link(b'2', "s", out), item(b'3', "s/null")],
    ];
    for items in cases {
        let _ = apply(&place, &items);
        assert_eq!(canary(&place), before, "{items:?}");
        silo_image::remove_tree(place.folder.path().to_owned_fd(), "in").unwrap();
        assert_eq!(canary(&place).0, before.0, "removal: {items:?}");
        std::fs::create_dir(place.path("in")).unwrap();
    }
}

trait ToOwnedFd {
    fn to_owned_fd(&self) -> std::os::fd::OwnedFd;
}

impl ToOwnedFd for Path {
    fn to_owned_fd(&self) -> std::os::fd::OwnedFd {
        std::fs::File::open(self).unwrap().into()
    }
}

#[test]
fn links_mean_what_they_mean_inside() {
    let place = target();
    let items = [
        item(b'5', "usr/lib/"),
        link(b'2', "lib", "/usr/lib"),
        file("lib/libc.so", "c"),
        link(b'1', "lib/hard", "/lib/libc.so"),
    ];
    apply(&place, &items).unwrap();
    assert_eq!(
        std::fs::read_to_string(place.path("in/usr/lib/hard")).unwrap(),
        "c"
    );
}

#[test]
fn later_entries_replace_earlier_ones() {
    let place = target();
    let items = [
        file("a/b/c", "12345"),
        file("a", "now a file"),
        file("f", "123"),
        item(b'5', "f/"),
        file("f/g", "1"),
        file("f/g", "22"),
        link(b'1', "f/g", "f/g"),
    ];
    let done = apply(&place, &items).unwrap();
    assert_eq!(done.bytes, 10 + 2);
    assert_eq!(
        std::fs::read_to_string(place.path("in/a")).unwrap(),
        "now a file"
    );
    assert_eq!(std::fs::read_to_string(place.path("in/f/g")).unwrap(), "22");
    let keep = UnpackOptions {
        keep_kind: true,
        ..UnpackOptions::default()
    };
    let error = unpack(
        place.open("in").as_fd(),
        &tar_of(&[file("f", "x")])[..],
        &keep,
    )
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
}

#[test]
fn whiteouts_become_overlays_and_spare_their_own_layer() {
    let place = target();
    let items = [
        file("gone/.wh.name", ""),
        file("mine", "x"),
        file(".wh.mine", ""),
        file(".wh.reborn", ""),
        file("reborn/f", "x"),
        file("opaque/.wh..wh..opq", ""),
        file(".wh..wh.plnk", ""),
    ];
    apply(&place, &items).unwrap();
    let hidden = place.path("in/gone/name").symlink_metadata().unwrap();
    assert_eq!((hidden.mode() & 0o170000, hidden.rdev()), (0o020000, 0));
    assert!(place.path("in/mine").is_file());
    assert!(!place.path("in/.wh..wh.plnk").exists());
    for folder in ["in/reborn", "in/opaque"] {
        let mut value = [0; 8];
        let n = rustix::fs::lgetxattr(place.path(folder), "trusted.overlay.opaque", &mut value[..])
            .unwrap();
        assert_eq!(&value[..n], b"y");
    }
    for bad in [".wh.", ".wh..", ".wh..."] {
        assert!(apply(&place, &[file(bad, "")]).is_err(), "{bad}");
    }
    let plain = UnpackOptions::default();
    unpack(
        place.open("in").as_fd(),
        &tar_of(&[file(".wh.kept", "x")])[..],
        &plain,
    )
    .unwrap();
    assert!(place.path("in/.wh.kept").is_file());
}

#[test]
fn only_attributes_that_images_may_have_are_kept() {
    let place = target();
    // VFS_CAP_REVISION_2 with CAP_NET_RAW, capabilities(7).
    let capability = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let items = [file("ping", "x")
        .mode(0o4755)
        .xattr("security.capability", &capability)
        .xattr("user.note", b"1")
        .xattr("trusted.overlay.redirect", b"/etc")
        .xattr("user.overlay.opaque", b"y")
        .xattr("security.selinux", b"x")];
    apply(&place, &items).unwrap();
    let path = place.path("in/ping");
    let mut list = [0u8; 4096];
    let n = rustix::fs::llistxattr(&path, &mut list[..]).unwrap();
    let mut names: Vec<_> = list[..n]
        .split(|&b| b == 0)
        .filter(|n| !n.is_empty())
        .collect();
    names.sort();
    assert_eq!(names, [&b"security.capability"[..], b"user.note"]);
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o4755);

    let mut packed = Vec::new();
    silo_image::write_tar(
        place.open("in").as_fd(),
        &mut packed,
        &silo_image::PackOptions::default(),
    )
    .unwrap();
    let again = target();
    apply_layer(again.open("in").as_fd(), &packed[..]).unwrap();
    let mut value = [0u8; 64];
    let n = rustix::fs::lgetxattr(again.path("in/ping"), "security.capability", &mut value[..])
        .unwrap();
    assert_eq!(value[..n], capability);
}

#[test]
fn endless_streams_end_early() {
    use std::io::Read;
    let place = target();
    let fd = place.open("in");
    let padding = tar_of(&[file("f", "x")]);
    let endless = padding.chain(std::io::repeat(0));
    let error = apply_layer(fd.as_fd(), endless).unwrap_err();
    assert!(error.to_string().contains("64 MiB"), "{error}");

    for kind in [b'x', b'L', b'K', b'g'] {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().linkflag = [kind];
        header.set_size(7 << 30);
        header.set_cksum();
        let error =
            apply_layer(fd.as_fd(), header.as_bytes().chain(std::io::repeat(b'a'))).unwrap_err();
        assert!(error.to_string().contains("1 MiB"), "{error}");
    }

    let mut header = tar::Header::new_ustar();
    header.set_path("big").unwrap();
    header.as_old_mut().linkflag = [b'0'];
    header.set_size(1 << 50);
    header.set_cksum();
    let error = apply_layer(fd.as_fd(), header.as_bytes().chain(std::io::repeat(0))).unwrap_err();
    assert!(error.to_string().contains("no space left"), "{error}");
}

#[test]
fn gnu_tar_agrees_about_sparse_files_long_names_and_hard_links() {
    for format in ["gnu", "posix"] {
        let place = target();
        let source = place.path("source");
        let long = source.join("d".repeat(120)).join("e".repeat(200));
        std::fs::create_dir_all(&long).unwrap();
        std::fs::write(long.join("file"), "deep").unwrap();
        std::fs::hard_link(long.join("file"), source.join("linked")).unwrap();
        let holes = std::fs::File::create(source.join("holes")).unwrap();
        use std::os::unix::fs::FileExt;
        for n in 0..30u64 {
            holes
                .write_all_at(&[n as u8 + 1; 4096], n * 1_048_576)
                .unwrap();
        }
        holes.set_len(50 << 20).unwrap();
        let tar = std::process::Command::new("tar")
            .args([
                "-C",
                source.to_str().unwrap(),
                "-S",
                "--format",
                format,
                "-c",
                ".",
            ])
            .output()
            .unwrap();
        assert!(tar.status.success());
        assert!(tar.stdout.len() < 1 << 20, "the archive is sparse");
        let done = apply_layer(place.open("in").as_fd(), &tar.stdout[..]).unwrap();
        assert_eq!(done.bytes, (50 << 20) + 4);
        let diff = std::process::Command::new("diff")
            .arg("-r")
            .arg(&source)
            .arg(place.path("in"))
            .output()
            .unwrap();
        assert!(
            diff.status.success() && diff.stdout.is_empty(),
            "{format}: {diff:?}"
        );
        assert_eq!(place.path("in/linked").metadata().unwrap().nlink(), 2);

        let mut packed = Vec::new();
        silo_image::write_tar(place.open("in").as_fd(), &mut packed, &Default::default()).unwrap();
        let again = target();
        apply_layer(again.open("in").as_fd(), &packed[..]).unwrap();
        let diff = std::process::Command::new("diff")
            .arg("-r")
            .arg(&source)
            .arg(again.path("in"))
            .output()
            .unwrap();
        assert!(diff.status.success(), "{format}: {diff:?}");
    }
}

#[test]
fn a_running_tree_cannot_make_the_packer_hang_or_leave() {
    let place = target();
    let fd = place.open("in");
    rustix::fs::mknodat(
        &fd,
        "fifo",
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    std::os::unix::fs::symlink(place.path("canary"), place.path("in/out")).unwrap();
    let mut packed = Vec::new();
    silo_image::write_tar(fd.as_fd(), &mut packed, &Default::default()).unwrap();
    let mut archive = tar::Archive::new(&packed[..]);
    let paths: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|e| e.unwrap().path().unwrap().into_owned())
        .collect();
    assert_eq!(
        paths,
        [Path::new("./"), Path::new("fifo"), Path::new("out")]
    );

    let mut packed = Vec::new();
    silo_image::write_tar_entry(
        fd.as_fd(),
        "out",
        "renamed",
        &mut packed,
        &Default::default(),
    )
    .unwrap();
    let mut archive = tar::Archive::new(&packed[..]);
    let entry = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(entry.path().unwrap(), Path::new("renamed"));
    assert_eq!(entry.link_name().unwrap().unwrap(), place.path("canary"));
    let missing =
        silo_image::write_tar_entry(fd.as_fd(), "nope", "x", Vec::new(), &Default::default());
    assert_eq!(missing.unwrap_err().kind(), Kind::NotFound);
}

fn any_item() -> impl Strategy<Value = Item> {
    let name = prop_oneof![
        "a",
        "b",
        "a/b",
        "a/b/c",
        "../a",
        "a/../b",
        ".wh.a",
        "a/.wh..wh..opq",
        "/",
        ".",
        "a/"
    ];
    let to = prop_oneof![
        "a",
        "b",
        "..",
        "../canary",
        "../../canary/file",
        "/",
        "a/b",
        "",
        ".",
        "OUT",
        "OUT/file"
    ];
    let kind = prop_oneof![4 => Just(b'0'), 4 => Just(b'2'), 3 => Just(b'5'), 3 => Just(b'1'), 1 => Just(b'3'), 1 => Just(b'6')];
    (name, to, kind, 0u32..0o10000).prop_map(|(name, to, kind, mode)| Item {
        mode,
        data: if kind == b'0' {
            b"overwritten".to_vec()
        } else {
            Vec::new()
        },
        ..link(kind, &name, &to)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_entries_reaches_outside(mut items in proptest::collection::vec(any_item(), 1..12)) {
        let place = target();
        let out = place.path("canary").to_str().unwrap().to_owned();
        for item in &mut items {
            item.link = String::from_utf8(item.link.clone()).unwrap().replace("OUT", &out).into_bytes();
        }
        let before = canary(&place);
        // Errors are allowed, and entries up to them as well.
        for n in 1..=items.len() {
            let _ = apply(&place, &items[..n]);
        }
        prop_assert_eq!(canary(&place), before.clone());
        silo_image::remove_tree(place.folder.path().to_owned_fd(), "in").unwrap();
        std::fs::create_dir(place.path("in")).unwrap();
        prop_assert_eq!(canary(&place), before);
    }

    #[test]
    fn no_damaged_archive_panics(flips in proptest::collection::vec((0usize..3000, any::<u8>()), 1..8), cut in 0usize..4000) {
        let place = target();
        let mut bytes = tar_of(&[file("a", "x").xattr("user.x", b"y"), link(b'2', "b", "a"), item(b'5', "c/")]);
        let length = bytes.len();
        for (at, value) in flips {
            bytes[at % length] = value;
        }
        bytes.truncate(cut.max(1));
        let _ = apply_layer(place.open("in").as_fd(), &bytes[..]);
    }
}
