//! Images come in, are named, listed, saved, loaded and removed, with the same ids everywhere.

mod common;

use std::{collections::BTreeSet, io::Write, os::unix::fs::PermissionsExt, path::Path};

use common::{Item, Place, file, item, link, names, place, tar_of};
use silo_image::{Builtin, BuiltinFile, Digest, Image};
use silo_types::Kind;

fn root_fs() -> Vec<Item> {
    vec![
        item(b'5', "./"),
        item(b'5', "bin/"),
        file("bin/sh", "#!").mode(0o4755),
        link(b'2', "bin/ash", "sh"),
        link(b'1', "bin/dash", "bin/sh"),
        item(b'5', "tmp/").mode(0o1777),
        file("etc/passwd", "root:x:0:0::/root:/bin/sh\n"),
        item(b'6', "fifo").mode(0o622),
        item(b'3', "null").mode(0o666),
    ]
}

fn import(place: &Place, name: &str, items: &[Item]) -> Image {
    let changes = ["CMD [\"sh\"]".to_owned(), "ENV A=b".to_owned()];
    place
        .store
        .import(
            &tar_of(items)[..],
            Some(&name.parse().unwrap()),
            &changes,
            "test",
        )
        .unwrap()
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

fn unused(_: &Digest) -> silo_types::Result<Vec<String>> {
    Ok(Vec::new())
}

#[test]
fn an_imported_tree_is_there_with_all_its_attributes() {
    let place = place();
    let image = import(&place, "debian:12", &root_fs());
    assert_eq!(image.config.cmd.as_deref(), Some(&["sh".to_owned()][..]));
    assert_eq!(image.references, ["debian:12"]);
    assert_eq!(image.size, 2 + 26, "a file with two names counts once");
    let fs = place.store.layer_dir(&image.layers[0].id);
    assert_eq!(mode(&fs.join("bin/sh")), 0o4755);
    assert_eq!(mode(&fs.join("tmp")), 0o1777);
    assert_eq!(mode(&fs.join("null")), 0o666);
    assert_eq!(mode(&fs.join("fifo")), 0o622);
    assert_eq!(
        std::fs::read_link(fs.join("bin/ash")).unwrap(),
        Path::new("sh")
    );
    let time = fs.join("bin").metadata().unwrap().modified().unwrap();
    assert_eq!(
        time.duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs(),
        1_700_000_000
    );
    assert_eq!(names(&place.path("root/images/tmp")), [""; 0]);
}

#[test]
fn nobody_but_root_can_walk_into_the_store() {
    let place = place();
    let image = import(&place, "x", &root_fs());
    let layer = place.store.layer_dir(&image.layers[0].id);
    for folder in layer
        .ancestors()
        .skip(1)
        .take_while(|p| p.ends_with("images") || p.starts_with(place.path("root/images")))
    {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    let probe = std::process::Command::new("setpriv")
        .args([
            "--reuid=1000",
            "--regid=1000",
            "--clear-groups",
            "stat",
            "--",
        ])
        .arg(layer.join("bin/sh"))
        .output()
        .unwrap();
    assert!(!probe.status.success());
}

#[test]
fn names_ids_and_prefixes_lead_to_the_image() {
    let place = place();
    let image = import(&place, "debian:12", &root_fs());
    let id = image.id.to_string();
    for text in [
        "debian:12".to_owned(),
        "docker.io/library/debian:12".to_owned(),
        format!("debian@{}", image.manifest),
        id.clone(),
        id[7..].to_owned(),
        id[7..19].to_owned(),
        id[..12].to_owned(),
    ] {
        assert_eq!(place.store.resolve(&text).unwrap(), image, "{text}");
    }
    let other = import(&place, "other", &[file("f", "2")]);
    for text in ["debian", "nope", "sha256:0000000000000000000000000000"] {
        let error = place.store.resolve(text).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{text:.20}: {error}");
        assert!(error.to_string().contains("silo image ls"));
    }
    for text in [
        "../x",
        "debian@sha256:zz",
        "debian:",
        "Debian",
        &"x".repeat(70_000),
    ] {
        let error = place.store.resolve(text).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{text:.20}: {error}");
        assert!(error.to_string().contains("reference format"), "{error}");
    }
    assert!(
        place
            .store
            .resolve(&format!("other@{}", image.manifest))
            .is_err()
    );
    let list: Vec<Digest> = place.store.list().unwrap().iter().map(|i| i.id).collect();
    assert_eq!(list, [other.id, image.id], "newest first");
}

#[test]
fn tags_move_and_removal_takes_the_last_name_with_the_image() {
    let place = place();
    let image = import(&place, "a", &root_fs());
    place.store.tag("a", &"b:2".parse().unwrap()).unwrap();
    assert_eq!(
        place.store.resolve("b:2").unwrap().references,
        ["a:latest", "b:2"]
    );
    let error = place
        .store
        .remove(&image.id.short(), false, &unused)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    let removed = place.store.remove("a", false, &unused).unwrap();
    assert_eq!(
        (removed.untagged, removed.deleted.len()),
        (vec!["a:latest".to_owned()], 0)
    );

    let user = |_: &Digest| Ok(vec!["pinger".to_owned()]);
    let error = place.store.remove("b:2", false, &user).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("pinger"));
    assert!(
        place
            .store
            .remove(&image.id.to_string(), true, &user)
            .is_err(),
        "never below a container"
    );
    let removed = place.store.remove("b:2", true, &user).unwrap();
    assert_eq!(removed.deleted, []);
    assert!(
        place
            .store
            .resolve(&image.id.short())
            .unwrap()
            .references
            .is_empty()
    );

    assert_eq!(
        place.store.prune(false, &user, &|_| true).unwrap().deleted,
        []
    );
    let removed = place.store.prune(false, &unused, &|_| true).unwrap();
    assert_eq!(removed.deleted, [image.id]);
    assert!(removed.bytes > 28);
    for folder in ["layers", "blobs/sha256", "records", "tmp"] {
        assert_eq!(
            names(&place.path("root/images").join(folder)),
            [""; 0],
            "{folder}"
        );
    }
}

#[test]
fn layers_are_held_once_and_stay_while_an_image_needs_them() {
    let place = place();
    let first = import(&place, "a", &root_fs());
    let second = place
        .store
        .import(&tar_of(&root_fs())[..], None, &["USER 7".into()], "")
        .unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(first.layers, second.layers);
    place.store.remove("a", false, &unused).unwrap();
    assert!(
        place
            .store
            .layer_dir(&second.layers[0].id)
            .join("bin/sh")
            .exists()
    );
    let saved = save(&place, &[&second.id.to_string()]);
    assert!(saved.len() > 512);
}

#[test]
fn history_has_the_sizes_of_its_layers() {
    let place = place();
    let image = import(&place, "a", &root_fs());
    let history = place.store.history(&image).unwrap();
    assert_eq!(
        (history.len(), &history[0].comment[..], history[0].size),
        (1, "test", 28)
    );
}

fn save(place: &Place, references: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    place.store.save(references, &mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_saved_loads_with_the_same_ids_and_saves_the_same_bytes() {
    let (here, there) = (place(), place());
    let image = import(&here, "team/app:1", &root_fs());
    here.store
        .tag("team/app:1", &"team/app:2".parse().unwrap())
        .unwrap();
    let other = import(&here, "other", &[file("f", "x")]);
    let saved = save(&here, &["team/app", "other:latest"]);
    let mut packed = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    packed.write_all(&saved).unwrap();
    let loaded = there.store.load(&packed.finish().unwrap()[..]).unwrap();
    let ids: BTreeSet<Digest> = loaded.iter().map(|l| l.id).collect();
    assert_eq!(ids, BTreeSet::from([image.id, other.id]));
    assert_eq!(
        there.store.resolve("team/app:2").unwrap().manifest,
        image.manifest
    );
    assert_eq!(
        there.store.resolve("team/app:1").unwrap().layers,
        image.layers
    );
    assert_eq!(save(&there, &["team/app", "other:latest"]), saved);
    assert_eq!(
        there.store.raw_config(&image).unwrap(),
        here.store.raw_config(&image).unwrap()
    );
    // Once more: everything is there already.
    there.store.load(&saved[..]).unwrap();
    assert_eq!(there.store.list().unwrap().len(), 2);
}

#[test]
fn a_saved_archive_is_also_dockers() {
    let (here, there) = (place(), place());
    let image = import(&here, "app:1", &root_fs());
    let saved = save(&here, &["app:1"]);
    // Without the OCI documents only manifest.json is left, as old versions of docker wrote it.
    let mut old = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(&saved[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        if !path.ends_with("oci-layout") && !path.ends_with("index.json") {
            let mut header = entry.header().clone();
            old.append_data(&mut header, path, &mut entry).unwrap();
        }
    }
    let loaded = there.store.load(&old.into_inner().unwrap()[..]).unwrap();
    assert_eq!(
        (loaded[0].id, &loaded[0].references[..]),
        (image.id, &["app:1".to_owned()][..])
    );
    assert_eq!(
        there.store.resolve("app:1").unwrap().manifest,
        image.manifest
    );
}

#[test]
fn changed_blobs_and_wrong_archives_are_refused_whole() {
    let (here, there) = (place(), place());
    import(&here, "app:1", &[file("f", "the content of the file")]);
    let saved = save(&here, &["app:1"]);
    let at = saved.windows(11).position(|w| w == b"the content").unwrap();
    let mut changed = saved.clone();
    changed[at] = b'T';
    let error = there.store.load(&changed[..]).unwrap_err();
    assert!(error.to_string().contains("digest"), "{error}");
    for bad in [
        &b""[..],
        b"not a tar",
        &saved[..saved.len() / 2],
        &tar_of(&root_fs()),
    ] {
        assert!(there.store.load(bad).is_err());
    }
    assert!(there.store.list().unwrap().is_empty());
    assert!(there.store.leftovers().unwrap().is_empty());
    let xz = there
        .store
        .import(&b"\xfd7zXZ\0........"[..], None, &[], "")
        .unwrap_err();
    assert!(xz.to_string().contains("xz -dc"), "{xz}");
}

#[test]
fn doctor_finds_and_sweeps_what_a_crash_left() {
    let place = place();
    import(&place, "a", &root_fs());
    let images = place.path("root/images");
    std::fs::create_dir_all(images.join("tmp/half/fs")).unwrap();
    std::fs::write(images.join("tmp/half/fs/f"), "12345").unwrap();
    std::fs::create_dir(images.join("layers").join("0".repeat(64))).unwrap();
    let hold = place.store.hold().unwrap();
    assert!(
        place.store.leftovers().unwrap().is_empty(),
        "somebody may be at work"
    );
    drop(hold);
    let found = place.store.leftovers().unwrap();
    assert_eq!(found.iter().map(|l| l.bytes).collect::<Vec<_>>(), [5, 0]);
    assert_eq!(place.store.sweep().unwrap(), 5);
    assert!(place.store.leftovers().unwrap().is_empty());
    assert!(place.store.resolve("a").is_ok());
}

#[test]
fn an_untouched_store_is_empty_and_stays_untouched() {
    let place = place();
    assert!(place.store.list().unwrap().is_empty());
    assert_eq!(place.store.resolve("x").unwrap_err().kind(), Kind::NotFound);
    assert!(place.store.leftovers().unwrap().is_empty());
    assert!(!place.path("root").exists());
    assert!(silo_image::ImageStore::open(Path::new("relative")).is_err());
}

const LAB: Builtin = Builtin {
    reference: "lab:latest",
    version: "1",
    created: 1_700_000_000_000_000_000,
    binary: b"\x7fELF program",
    program: "silo-lab",
    applets: &["sh", "ls"],
    files: &[BuiltinFile {
        path: "etc/passwd",
        mode: 0o644,
        data: b"root:x:0:0:root:/root:/bin/sh\n",
    }],
};

#[test]
fn the_builtin_image_makes_itself_and_follows_the_program() {
    let mut place = place();
    place.store = place.store.with_builtin(LAB);
    let lab = place.store.resolve("lab").unwrap();
    assert_eq!(lab.references, ["lab:latest"]);
    let fs = place.store.layer_dir(&lab.layers[0].id);
    assert_eq!(std::fs::read(fs.join("bin/sh")).unwrap(), LAB.binary);
    assert_eq!(std::fs::read(fs.join("usr/bin/ls")).unwrap(), LAB.binary);
    assert_eq!(mode(&fs.join("tmp")), 0o1777);
    assert_eq!(place.store.resolve("lab:latest").unwrap(), lab);

    let newer = Builtin {
        version: "2",
        binary: b"newer",
        ..LAB
    };
    place.store = place.store.with_builtin(newer);
    let new = place.store.resolve("lab").unwrap();
    assert_ne!(new.id, lab.id);
    assert!(
        place
            .store
            .resolve(&lab.id.to_string())
            .unwrap()
            .references
            .is_empty()
    );
    place.store.remove("lab", false, &unused).unwrap();
    assert_eq!(place.store.resolve("lab").unwrap().id, new.id, "made again");

    let own = import(&place, "lab", &root_fs());
    assert_eq!(
        place.store.resolve("lab").unwrap().id,
        own.id,
        "the user's own is left alone"
    );
}

#[test]
fn many_at_once_lose_nothing() {
    let place = place();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let place = &place;
            scope.spawn(move || {
                let name = format!("n{n}");
                import(place, &name, &[file("shared", "same")]);
                place
                    .store
                    .tag(&name, &format!("{name}:t").parse().unwrap())
                    .unwrap();
                if n % 2 == 0 {
                    place.store.remove(&name, false, &unused).unwrap();
                }
            });
        }
    });
    for n in 0..8 {
        let image = place.store.resolve(&format!("n{n}:t")).unwrap();
        assert!(
            place
                .store
                .layer_dir(&image.layers[0].id)
                .join("shared")
                .exists()
        );
    }
    assert!(place.store.leftovers().unwrap().is_empty());
}

/// An OCI layout as build tools write it: a gzip layer, behind an index for several machines with a statement beside the image.
struct Layout {
    blobs: Vec<Vec<u8>>,
    index: String,
    manifest: Digest,
}

fn descriptor(media_type: &str, blob: &[u8], more: &str) -> String {
    let (digest, size) = (Digest::of(blob), blob.len());
    format!(
        r#"{{"mediaType":"application/vnd.oci.image.{media_type}","digest":"{digest}","size":{size}{more}}}"#
    )
}

fn layout(layer_type: &str, manifest_fields: &str) -> Layout {
    let plain = tar_of(&root_fs());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let layer = gzip.finish().unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["sh"]}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Digest::of(&plain)
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,{manifest_fields}"config":{},"layers":[{}]}}"#,
        descriptor("config.v1+json", config.as_bytes(), ""),
        descriptor(layer_type, &layer, "")
    );
    let here = r#","platform":{"os":"linux","architecture":"amd64"}"#;
    let statement = r#","platform":{"os":"unknown","architecture":"unknown"}"#;
    let inner = format!(
        r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#,
        descriptor("manifest.v1+json", b"absent", statement),
        descriptor("manifest.v1+json", manifest.as_bytes(), here)
    );
    let name = r#","annotations":{"io.containerd.image.name":"docker.io/library/built:1"}"#;
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        descriptor("index.v1+json", inner.as_bytes(), name)
    );
    Layout {
        manifest: Digest::of(manifest.as_bytes()),
        blobs: vec![
            layer,
            config.into_bytes(),
            manifest.into_bytes(),
            inner.into_bytes(),
        ],
        index,
    }
}

fn archive(layout: &Layout) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, data: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(data.len() as u64);
        builder.append_data(&mut header, name, data).unwrap();
    };
    for blob in &layout.blobs {
        add(&format!("blobs/sha256/{}", Digest::of(blob).hex()), blob);
    }
    add("index.json", layout.index.as_bytes());
    add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    builder.into_inner().unwrap()
}

#[test]
fn layouts_of_build_tools_keep_their_blobs_and_digests() {
    let (here, there) = (place(), place());
    let made = layout("layer.v1.tar+gzip", "");
    let loaded = here.store.load(&archive(&made)[..]).unwrap();
    assert_eq!(loaded[0].references, ["built:1"]);
    let image = here
        .store
        .resolve(&format!("built@{}", made.manifest))
        .unwrap();
    assert_eq!(image.layers[0].blob.digest, Digest::of(&made.blobs[0]));
    there.store.load(&save(&here, &["built:1"])[..]).unwrap();
    assert_eq!(there.store.resolve("built:1").unwrap(), image);
}

#[test]
fn a_layer_that_is_not_what_its_manifest_says_is_refused() {
    let place = place();
    for (layer_type, fields) in [
        ("layer.v1.tar", ""),
        ("layer.v1.tar+zstd", ""),
        ("layer.nondistributable.v1.tar+gzip", ""),
        ("layer.v1.tar+gzip", r#""manifests":[],"#),
        (
            "layer.v1.tar+gzip",
            r#""mediaType":"application/vnd.oci.image.index.v1+json","#,
        ),
    ] {
        let made = layout(layer_type, fields);
        assert!(
            place.store.load(&archive(&made)[..]).is_err(),
            "{layer_type} {fields}"
        );
    }
    let mut missing = layout("layer.v1.tar+gzip", "");
    missing.blobs.remove(0);
    assert!(
        place
            .store
            .load(&archive(&missing)[..])
            .unwrap_err()
            .to_string()
            .contains("lacks")
    );
    assert!(place.store.list().unwrap().is_empty());
    assert!(place.store.leftovers().unwrap().is_empty());
}
