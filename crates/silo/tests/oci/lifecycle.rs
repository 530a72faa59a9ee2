//! From `create` to `delete`, and what is left when somebody is killed in between.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use serde_json::json;

use crate::{
    common::{kernel, signal, until},
    fixture::{Oci, add, bind, is_silo, rootfs},
};

#[test]
fn a_container_waits_for_its_start() {
    let oci = Oci::new();
    let out = oci.host.files.join("out");
    fs::create_dir(&out).unwrap();
    let bundle = oci.bundle(
        "a",
        &["sh", "-c", "touch /out/ran; exec sleep 600"],
        |spec| {
            add(&mut spec["mounts"], bind(&out, "/out"));
            spec["annotations"] = json!({"org.example": "yes"});
        },
    );
    let made = oci.leave(&bundle, &["create", "--pid-file", "pid", "a"]);
    assert_eq!(made.code, 0, "{made}");
    let state = oci.state("a");
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], "a");
    assert_eq!(state["bundle"].as_str(), bundle.to_str());
    assert_eq!(state["annotations"]["org.example"], "yes");
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."));
    let pid = oci.pid("a");
    assert_eq!(
        fs::read_to_string(bundle.join("pid")).unwrap(),
        pid.to_string()
    );
    assert!(kernel::alive(pid));
    assert!(!out.join("ran").exists());
    oci.ok(&["start", "a"]);
    assert_eq!(oci.status("a"), "running");
    assert_eq!(oci.pid("a"), pid);
    until("the program", || out.join("ran").exists());
    oci.fails(&["start", "a"], "running");
    oci.fails(&["delete", "a"], "not stopped");
    oci.ok(&["kill", "a", "KILL"]);
    oci.becomes("a", "stopped");
    assert_eq!(oci.state("a")["pid"], 0);
    oci.fails(&["kill", "a", "TERM"], "not running");
    oci.fails(&["start", "a"], "stopped");
    oci.ok(&["delete", "a"]);
    oci.fails(&["state", "a"], "does not exist");
    assert!(oci.groups().is_empty());
}

/// Who else can write where the pid goes puts links there: they are replaced, and what they lead to stays.
#[test]
fn a_pid_file_is_written_through_no_link() {
    let oci = Oci::new();
    let victim = oci.host.file("victim", "whole");
    let bundle = oci.bundle("a", &["true"], |_| {});
    for name in ["pid", ".pid"] {
        std::os::unix::fs::symlink(&victim, bundle.join(name)).unwrap();
    }
    let made = oci.leave(&bundle, &["create", "--pid-file", "pid", "a"]);
    assert_eq!(made.code, 0, "{made}");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "whole");
    let written = bundle.join("pid");
    assert!(fs::symlink_metadata(&written).unwrap().is_file());
    assert_eq!(
        fs::read_to_string(&written).unwrap(),
        oci.pid("a").to_string()
    );
    assert!(!bundle.join(".pid").exists());
    oci.ok(&["delete", "--force", "a"]);
}

#[test]
fn what_waits_can_be_deleted() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["true"], |_| {});
    assert_eq!(oci.leave(&bundle, &["create", "a"]).code, 0);
    let pid = oci.pid("a");
    oci.ok(&["delete", "a"]);
    until("its end", || !kernel::alive(pid));
    assert_eq!(oci.ok(&["list", "-q"]), "");
}

#[test]
fn an_id_is_taken_once() {
    let oci = Oci::new();
    let bundle = oci.idle("a", |_| {});
    for words in [&["create", "a"][..], &["run", "-d", "a"]] {
        let ran = oci.leave(&bundle, words);
        assert_ne!(ran.code, 0);
        assert!(
            ran.err.contains("container with given ID already exists"),
            "{ran}"
        );
    }
    assert_eq!(oci.status("a"), "running");
    for id in ["a/b", "..", "", "a b"] {
        assert_ne!(oci.leave(&bundle, &["create", id]).code, 0, "{id:?}");
    }
    oci.ok(&["delete", "a", "--force"]);
    oci.ok(&["delete", "--force", "a"]);
    oci.fails(&["delete", "a"], "does not exist");
}

#[test]
fn run_ends_with_the_programs_code() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["sh", "-c", "echo out; echo err >&2; exit 7"], |_| {});
    let ran = oci.run_in(&bundle, &["run", "a"]);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (7, "out\n", "err\n")
    );
    assert_eq!(oci.ok(&["list", "-q"]), "");
    let bundle = oci.bundle("b", &["sh", "-c", "kill -9 $$"], |spec| {
        // Process 1 of a pid namespace cannot kill itself.
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
    });
    assert_eq!(oci.run_in(&bundle, &["run", "b"]).code, 137);
}

#[test]
fn signals_reach_the_program_of_run() {
    let oci = Oci::new();
    let script = "trap 'exit 9' TERM; touch /out/ready; while true; do sleep 0.05; done";
    let out = oci.host.folder("out");
    let bundle = oci.bundle("a", &["sh", "-c", script], |spec| {
        add(&mut spec["mounts"], bind(out.as_ref(), "/out"));
    });
    let mut command = oci.command(&bundle, &["run", "a"]).spawn().unwrap();
    until("the program", || oci.host.files.join("out/ready").exists());
    signal(command.id() as i32, 15);
    assert_eq!(command.wait().unwrap().code(), Some(9));
}

#[test]
fn a_kept_container_is_stopped() {
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["true"], |_| {});
    assert_eq!(oci.run_in(&bundle, &["run", "--keep", "a"]).code, 0);
    assert_eq!(oci.status("a"), "stopped");
    oci.ok(&["delete", "a"]);
}

#[test]
fn descriptors_are_handed_over_and_no_others() {
    let oci = Oci::new();
    let file = oci.host.file("handed", "inside");
    let bundle = oci.bundle(
        "a",
        &["sh", "-c", "cat <&3; ls /proc/self/fd | wc -l"],
        |_| {},
    );
    let program = oci.program().display().to_string();
    let state = oci.state.display().to_string();
    let script = format!("exec {program} --root {state} run --preserve-fds 1 a 3<{file} 7<{file}");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).current_dir(&bundle);
    let ran = oci.host.finish(shell, &["sh", &script], b"");
    // 0, 1, 2, 3, and the folder that ls reads.
    assert_eq!(ran.ok(), "inside5");
}

#[test]
fn sockets_of_an_activated_caller_are_handed_over() {
    let oci = Oci::new();
    let file = oci.host.file("handed", "inside ");
    let script = "cat <&3; echo $LISTEN_FDS $LISTEN_PID";
    let bundle = oci.bundle("a", &["sh", "-c", script], |_| {});
    let program = oci.program().display().to_string();
    let state = oci.state.display().to_string();
    let script = format!("LISTEN_FDS=1 LISTEN_PID=$$ exec {program} --root {state} run a 3<{file}");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).current_dir(&bundle);
    let ran = oci.host.finish(shell, &["sh", &script], b"");
    assert_eq!(ran.ok(), "inside 1 1");
}

#[test]
fn what_waits_holds_no_descriptor_of_the_host() {
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["true"], |_| {});
    assert_eq!(oci.leave(&bundle, &["create", "a"]).code, 0);
    let folder = format!("/proc/{}/fd", oci.pid("a"));
    let held: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .filter(|entry| !["0", "1", "2"].contains(&entry.file_name().to_str().unwrap()))
        .map(|entry| fs::read_link(entry.path()).unwrap().display().to_string())
        .collect();
    assert_eq!(held.len(), 1, "{held:?}");
    assert!(held[0].starts_with("socket:"), "{held:?}");
}

#[test]
fn all_is_killed_also_without_a_pid_namespace() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["sh", "-c", "sleep 600 & sleep 600 & wait"], |spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
    });
    assert_eq!(oci.leave(&bundle, &["run", "-d", "a"]).code, 0);
    let pids =
        || -> Vec<i32> { serde_json::from_str(&oci.ok(&["ps", "--format", "json", "a"])).unwrap() };
    until("three processes", || pids().len() == 3);
    let all = pids();
    oci.ok(&["kill", "--all", "a", "9"]);
    oci.becomes("a", "stopped");
    until("their end", || all.iter().all(|pid| !kernel::alive(*pid)));
}

/// A maker that is killed takes its container along, and `delete --force` what it wrote down.
#[test]
fn a_killed_create_leaves_nothing_that_cannot_be_deleted() {
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    let seen = oci.host.files.join("hook-state");
    let script = format!("cat > {}; exec sleep 600", seen.display());
    let bundle = oci.bundle("a", &["sleep", "600"], |spec| {
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script]});
        spec["hooks"] = json!({"createRuntime": [hook]});
    });
    let mut maker = oci.command(&bundle, &["create", "a"]).spawn().unwrap();
    until("the hook", || {
        fs::read(&seen).is_ok_and(|text| text.ends_with(b"}"))
    });
    let state: serde_json::Value = serde_json::from_slice(&fs::read(&seen).unwrap()).unwrap();
    let main = state["pid"].as_i64().unwrap() as i32;
    assert_eq!(oci.status("a"), "creating");
    let hook = kernel::children(maker.id() as i32);
    maker.kill().unwrap();
    maker.wait().unwrap();
    until("the end of the first process", || !kernel::alive(main));
    assert_eq!(oci.status("a"), "stopped");
    assert!(!oci.groups().is_empty());
    oci.ok(&["delete", "--force", "a"]);
    assert!(oci.groups().is_empty());
    for pid in hook {
        signal(pid, 9);
    }
}

#[test]
fn killed_at_any_moment_it_can_be_deleted() {
    if !is_silo() {
        return;
    }
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["sleep", "600"], |_| {});
    let mut made = 0;
    for round in 0..60 {
        let verb = [&["create", "a"][..], &["run", "-d", "a"]][round % 2];
        let quiet = || std::process::Stdio::null();
        let mut command = oci.command(&bundle, verb);
        let mut maker = command.stdout(quiet()).stderr(quiet()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(round as u64 * 700));
        maker.kill().unwrap();
        made += usize::from(maker.wait().unwrap().success());
        // A removal that is killed is no obstacle for the next one.
        let mut command = oci.command(&bundle, &["delete", "--force", "a"]);
        let mut remover = command.stdout(quiet()).stderr(quiet()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(round as u64 * 100));
        remover.kill().unwrap();
        remover.wait().unwrap();
        oci.ok(&["delete", "--force", "a"]);
        assert!(oci.groups().is_empty(), "round {round}");
        oci.fails(&["state", "a"], "does not exist");
    }
    assert!(made < 60, "nobody was killed in time");
}

#[test]
fn makers_of_one_id_race_and_one_wins() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["sleep", "600"], |_| {});
    let start = || {
        let mut command = oci.command(&bundle, &["run", "-d", "a"]);
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    let racers: Vec<_> = (0..6).map(|_| start()).collect();
    let codes = racers
        .into_iter()
        .map(|mut racer| racer.wait().unwrap().code());
    assert_eq!(codes.filter(|code| *code == Some(0)).count(), 1);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(oci.status("a"), "running");
}

/// As Podman has them for a container whose root is read-only, too.
#[test]
fn a_tmpfs_is_read_only_when_it_is_filled() {
    let oci = Oci::new();
    let look =
        "echo x >/dev/null && ls /dev/pts/ptmx /mnt/below/file; ! touch /dev/x; ! touch /mnt/x";
    let bundle = oci.bundle("a", &["sh", "-c", look], |spec| {
        spec["root"]["readonly"] = json!(true);
        for mount in spec["mounts"].as_array_mut().unwrap() {
            if mount["destination"] == "/dev" {
                add(&mut mount["options"], json!("ro"));
            }
        }
        let shared = PathBuf::from(oci.host.folder("shared"));
        fs::write(shared.join("file"), "").unwrap();
        let top =
            json!({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]});
        add(&mut spec["mounts"], top);
        add(&mut spec["mounts"], bind(&shared, "/mnt/below"));
    });
    let ran = oci.run_in(&bundle, &["run", "a"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "/dev/pts/ptmx\n/mnt/below/file\n"),
        "{ran}"
    );
    assert_eq!(ran.err.matches("Read-only").count(), 2, "{ran}");
}

/// As Docker's are with `--userns-remap`.
#[test]
fn a_root_on_a_shared_mount_with_users_of_its_own() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["sh", "-c", "id -u; cd /; ls -d bin"], |spec| {
        add(&mut spec["linux"]["namespaces"], json!({"type": "user"}));
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
        spec["linux"]["uidMappings"] = map.clone();
        spec["linux"]["gidMappings"] = map;
    });
    let share = r#"mount --bind "$0" "$0" && mount --make-shared "$0" && exec "$@""#;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", share])
        .arg(rootfs())
        .arg(oci.program())
        .arg("--root")
        .arg(&oci.state)
        .args(["run", "a"])
        .current_dir(&bundle);
    let ran = oci.host.finish(command, &["run", "a"], b"");
    assert_eq!((ran.code, ran.out.as_str()), (0, "0\nbin\n"), "{ran}");
}
