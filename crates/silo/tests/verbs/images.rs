//! image ls rm import load save inspect tag history.

use std::fs;

use serde_json::Value;

use crate::common::{Host, kernel};

/// The files of the built-in image as a tar archive.
fn archive(host: &Host) -> String {
    let name = format!("source{}", host.ok(&["ps", "-aq"]).lines().count());
    host.ok(&["create", "--name", &name, "lab"]);
    let ran = host.silo(&["cp", &format!("{name}:/"), "-"]);
    assert_eq!(ran.code, 0, "{ran}");
    host.ok(&["rm", &name]);
    let path = host.files.join("files.tar");
    fs::write(&path, ran.raw).unwrap();
    path.display().to_string()
}

#[test]
fn imported_with_changes() {
    let host = Host::new();
    let tar = archive(&host);
    let words = [
        "import",
        "-m",
        "from a test",
        "-c",
        "ENV COLOUR=red",
        "-c",
        "USER lab",
        "-c",
        "WORKDIR /tmp",
        "-c",
        "CMD [\"sh\", \"-c\", \"pwd; id -u; echo $COLOUR\"]",
        "-c",
        "LABEL made=here",
        "-c",
        "VOLUME /data",
        "-c",
        "STOPSIGNAL SIGUSR1",
        "-c",
        "EXPOSE 80/tcp",
        &tar,
        "own:1.0",
    ];
    let id = host.ok(&words);
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    assert_eq!(
        host.ok(&["run", "--rm", "--network", "none", "own:1.0"]),
        "/tmp\n1000\nred"
    );
    host.ok(&["create", "--name", "box", "own:1.0"]);
    let facts = host.inspect("box");
    assert_eq!(facts["Config"]["Labels"]["made"], "here");
    assert_eq!(facts["Config"]["StopSignal"], "SIGUSR1");
    assert_eq!(facts["Mounts"][0]["Destination"], "/data");
    let image: Value = serde_json::from_str(&host.ok(&["image", "inspect", "own:1.0"])).unwrap();
    assert_eq!(image[0]["Id"], id.as_str());
    assert_eq!(
        image[0]["Config"]["Env"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|e| *e == "COLOUR=red")
            .count(),
        1
    );
    assert!(host.ok(&["history", "own:1.0"]).contains("from a test"));
    host.fails(&["import", "-c", "NOSUCH x", &tar, "bad"], 1, "NOSUCH");
    host.fails(&["import", "/nosuch.tar", "bad"], 1, "/nosuch.tar");
    host.fails(&["import", &tar, "Bad Name"], 1, "reference");
    let ran = host.silo_with(&["import", "-", "bad"], b"this is no archive");
    assert_eq!(ran.code, 1, "{ran}");
    assert!(!host.ok(&["images"]).contains("bad"));
    // The same files again are the same layer.
    let compressed = format!("{tar}.gz");
    fs::write(&compressed, kernel_gzip(&tar)).unwrap();
    host.ok(&["import", &compressed, "own:2.0"]);
    let layers = |name: &str| host.inspect(name)["RootFS"]["Layers"].clone();
    assert_eq!(layers("own:1.0"), layers("own:2.0"));
}

fn kernel_gzip(path: &str) -> Vec<u8> {
    std::process::Command::new("gzip")
        .args(["-c", path])
        .output()
        .unwrap()
        .stdout
}

#[test]
fn saved_and_loaded() {
    let host = Host::new();
    let tar = archive(&host);
    host.ok(&["import", "-c", "CMD [\"echo\", \"whole\"]", &tar, "own:1.0"]);
    host.ok(&["tag", "own:1.0", "other:latest"]);
    let saved = host.files.join("saved.tar").display().to_string();
    host.ok(&["save", "-o", &saved, "own:1.0", "other", "lab"]);
    let list = kernel::run("tar", &["tf", &saved]);
    assert!(list.lines().any(|l| l == "manifest.json"), "{list}");
    let second = host.another();
    let text = second.ok(&["load", "-i", &saved]);
    for name in ["own:1.0", "other:latest", "lab:latest"] {
        assert!(text.contains(name), "{text}");
    }
    assert_eq!(
        second.ok(&["run", "--rm", "--network", "none", "own:1.0"]),
        "whole"
    );
    let id = |host: &Host, name: &str| host.inspect(name)["Id"].clone();
    assert_eq!(id(&host, "own:1.0"), id(&second, "own:1.0"));
    // By pipes, too.
    let piped = host.silo(&["save", "own:1.0"]);
    assert_eq!(piped.code, 0, "{piped}");
    second.ok(&["rmi", "-f", "own:1.0", "other"]);
    assert_eq!(second.silo_with(&["load"], &piped.raw).code, 0);
    assert_eq!(
        second.ok(&["run", "--rm", "--network", "none", "own:1.0"]),
        "whole"
    );
    host.fails(&["save", "-o", &saved, "nosuch"], 1, "nosuch");
    let ran = second.silo_with(&["load"], &piped.raw[..piped.raw.len() / 2]);
    assert_ne!(ran.code, 0, "half an archive: {ran}");
    second.fails(&["load", "-i", "/nosuch"], 1, "/nosuch");
}

#[test]
fn listed_tagged_and_removed() {
    let host = Host::new();
    let tar = archive(&host);
    host.ok(&["import", &tar, "own:1.0"]);
    let list = host.ok(&["images"]);
    for column in ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"] {
        assert!(list.lines().next().unwrap().contains(column), "{list}");
    }
    assert!(
        list.lines()
            .any(|l| l.starts_with("lab ") && l.contains("latest")),
        "{list}"
    );
    host.ok(&["image", "tag", "own:1.0", "mine/second:x"]);
    let id = host.inspect("own:1.0")["Id"].as_str().unwrap().to_owned();
    let short = &id["sha256:".len()..][..12];
    assert_eq!(host.inspect("mine/second:x")["Id"], id.as_str());
    assert_eq!(host.inspect(short)["Id"], id.as_str());
    assert_eq!(host.ok(&["images", "-q", "own"]), short);
    assert_eq!(host.ok(&["images", "--no-trunc", "-q", "own"]), id);
    assert_eq!(
        host.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}", "own"]),
        "own:1.0"
    );

    let text = host.ok(&["rmi", "own:1.0"]);
    assert_eq!(text.trim(), "Untagged: own:1.0");
    host.ok(&["create", "--name", "user", "mine/second:x", "true"]);
    let said = host.fails(&["image", "rm", "mine/second:x"], 1, "");
    assert!(said.contains("use"), "{said}");
    host.fails(&["rmi", short], 1, "");
    host.ok(&["rm", "user"]);
    let text = host.ok(&["image", "rm", short]);
    assert!(
        text.contains("Untagged: mine/second:x") && text.contains(&format!("Deleted: {id}")),
        "{text}"
    );
    host.fails(&["rmi", "nosuch"], 1, "nosuch");
    host.fails(&["tag", "nosuch", "x"], 1, "nosuch");
    host.fails(&["run", "--rm", "own:1.0", "true"], 125, "own:1.0");
    // The built-in one comes back by itself.
    host.ok(&["rmi", "lab"]);
    assert_eq!(host.offline(&[], "echo back"), "back");
}

#[test]
fn history_of_an_image() {
    let host = Host::new();
    let text = host.ok(&["image", "history", "lab"]);
    for column in ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"] {
        assert!(text.lines().next().unwrap().contains(column), "{text}");
    }
    assert!(text.lines().count() >= 2, "{text}");
    host.fails(&["history", "nosuch"], 1, "nosuch");
}

/// An archive that reaches out of its folder is refused or kept inside: CVE-2025-47290 and its kin.
#[test]
fn hostile_archives() {
    let host = Host::new();
    let canary = host.folder("canary");
    let script = format!(
        "cd {0} && mkdir w && cd w && echo evil > f && ln -s {1} out && mkdir d && echo x > d/f && \
         tar cf ../a.tar --transform 's,^f$,../../../../../../..{1}/f,' -P f && \
         tar cf ../b.tar out && tar rf ../b.tar --transform 's,^d,out,' d && \
         tar cf ../c.tar --transform 's,^f$,{1}/abs,' -P f",
        host.files.display(),
        canary
    );
    kernel::run("sh", &["-c", &script]);
    for name in ["a.tar", "b.tar", "c.tar"] {
        let path = host.files.join(name).display().to_string();
        let _ = host.silo(&["import", &path, "hostile"]);
        assert_eq!(fs::read_dir(&canary).unwrap().count(), 0, "{name}");
    }
}
