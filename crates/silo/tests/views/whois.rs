//! `whois` and `ps --host`: from a process, a port or a path of the host back to its container.

use serde_json::Value;

use crate::common::{Host, kernel, until};

#[track_caller]
fn whois(host: &Host, what: &str) -> Value {
    let text = host.ok(&["whois", "--format", "json", what]);
    serde_json::from_str(text.lines().next().unwrap()).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn processes() {
    let mut host = Host::new();
    let parent = host.ceiling(256 << 20);
    host.idle(
        "box",
        &["-m", "64m", "--cpus", "0.5", "--cgroup-parent", &parent],
    );
    let main = host.pid("box");
    let facts = whois(&host, &main.to_string());
    assert_eq!(
        (facts["role"].as_str(), facts["pid"].as_i64()),
        (Some("main"), Some(1))
    );
    assert_eq!(facts["container"]["name"], "box", "{facts}");
    assert_eq!(facts["container"]["limits"]["memory"], 64 << 20);
    assert!(
        facts["container"]["startedBy"]
            .as_str()
            .unwrap()
            .starts_with("root"),
        "{facts}"
    );
    let own = facts["namespaces"].as_array().unwrap().iter();
    let own: Vec<&str> = own
        .filter(|n| n["sharedWithHost"] == false)
        .map(|n| n["kind"].as_str().unwrap())
        .collect();
    assert_eq!(own, ["cgroup", "ipc", "mnt", "net", "pid", "uts"]);
    let text = host.ok(&["whois", &main.to_string()]);
    for word in [
        "first process of box",
        "1 inside",
        "image lab",
        "memory 64MiB",
        "0.5 CPU",
        &parent,
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }

    host.ok(&["exec", "-d", "box", "sleep", "601"]);
    let exec = kernel::run("pgrep", &["-f", "^sleep 601$"]);
    let exec = exec.split_whitespace().find(|pid| {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"));
        groups.unwrap_or_default().contains(&parent)
    });
    let facts = whois(&host, exec.unwrap());
    assert_eq!(
        (facts["role"].as_str(), facts["container"]["name"].as_str()),
        (Some("exec"), Some("box"))
    );
    assert_eq!(facts["exec"]["args"][1], "601", "{facts}");

    let monitor = host.inspect("box")["Silo"]["MonitorPid"].to_string();
    let facts = whois(&host, &monitor);
    assert_eq!(
        (facts["role"].as_str(), facts["container"]["name"].as_str()),
        (Some("monitor"), Some("box"))
    );
    let own = std::process::id().to_string();
    assert!(host.ok(&["whois", &own]).contains("is in no container"));
    host.fails(&["whois", "4194303"], 1, "does not exist");
    host.fails(&["whois", "box"], 1, "no process number");
}

#[test]
fn ports() {
    let host = Host::new();
    let words = [
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "none",
        "lab",
        "httpd",
        "-p",
        "8123",
    ];
    host.ok(&words);
    until("the server", || host.silo(&["whois", ":8123"]).code == 0);
    let facts = whois(&host, ":8123");
    assert_eq!(
        (facts["protocol"].as_str(), facts["container"].as_str()),
        (Some("tcp"), Some("web"))
    );
    assert_eq!(
        facts["processes"][0]["hostPid"].as_i64(),
        Some(i64::from(host.pid("web"))),
        "{facts}"
    );
    let text = host.ok(&["whois", ":8123"]);
    assert!(text.contains("0.0.0.0:8123 in web's own network"), "{text}");
    // A listener on the host is nobody's container.
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!(":{}", own.local_addr().unwrap().port());
    let text = host.ok(&["whois", &port]);
    assert!(text.contains("on the host · no container"), "{text}");
    drop(own);
    host.fails(&["whois", &port], 1, "nobody waits");
}

#[test]
fn paths() {
    let host = Host::new();
    let shared = host.folder("shared");
    let script = "echo x > /etc/note; exec 5< /given/file 6< /etc/note; exec sleep 600";
    host.file("shared/file", "x");
    let given = format!("{shared}:/given");
    let words = [
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "none",
        "-v",
        &given,
        "-v",
        "data:/kept",
    ];
    host.ok(&[&words[..], &["lab", "sh", "-c", script]].concat());
    let id = host.inspect("box")["Id"].as_str().unwrap().to_owned();
    let folder = host.root.join("containers").join(&id);
    until("its files", || folder.join("upper/etc/note").exists());
    let place = |path: &str| whois(&host, path)["places"][0].clone();
    let written = place(&folder.join("upper/etc/note").display().to_string());
    assert_eq!(
        (written["kind"].as_str(), written["inside"].as_str()),
        (Some("written"), Some("/etc/note"))
    );
    let bind = place(&format!("{shared}/file"));
    assert_eq!(
        (bind["kind"].as_str(), bind["inside"].as_str()),
        (Some("bind"), Some("/given/file"))
    );
    let volume = place(&host.root.join("volumes/data/_data").display().to_string());
    assert_eq!(
        (volume["kind"].as_str(), volume["inside"].as_str()),
        (Some("volume"), Some("/kept"))
    );
    let through = place(&format!("/proc/{}/root/etc/note", host.pid("box")));
    assert_eq!(
        (through["kind"].as_str(), through["container"].as_str()),
        (Some("process"), Some("box"))
    );
    until("that it has the file open", || {
        whois(&host, &format!("{shared}/file"))["open"]
            .to_string()
            .contains("\"box\"")
    });
    let text = host.ok(&["whois", &format!("{shared}/file")]);
    assert!(
        text.contains("container box: host pid") && text.contains("as fd 5"),
        "{text}"
    );
    let text = host.ok(&["whois", "/usr"]);
    assert!(text.contains("belongs to no container"), "{text}");
    host.fails(&["whois", "/no/such"], 1, "no such file");
}

#[test]
fn the_process_list_of_the_host() {
    let host = Host::new();
    host.idle("box", &[]);
    let main = host.pid("box");
    let text = host.ok(&["ps", "--host"]);
    let line = text
        .lines()
        .find(|l| l.starts_with(&format!("{main} ")))
        .unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1..4], ["1", "box", "root"], "{line}");
    let own = format!("{} ", std::process::id());
    assert!(
        text.lines()
            .any(|l| l.starts_with(&own) && l.contains(" - ")),
        "{text}"
    );
    let json = host.ok(&["ps", "--host", "--format", "json"]);
    let found = json
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap());
    let found = found.into_iter().find(|v| v["hostPid"] == main).unwrap();
    assert_eq!(
        (found["container"].as_str(), found["pid"].as_i64()),
        (Some("box"), Some(1))
    );
    assert!(
        host.ok(&["ps", "--host", "-q"])
            .lines()
            .any(|l| l == main.to_string())
    );
}
