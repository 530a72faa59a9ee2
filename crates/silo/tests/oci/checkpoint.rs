//! Checkpoint and restore with a real CRIU: a program goes on where it was, as confined as it was. Where CRIU is missing or cannot
//! work, it says so.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    common::{
        Ran,
        kernel::{group_file, mounts, namespace, status},
        until,
    },
    fixture::{Oci, add, bind, is_silo},
};

/// CRIU's version, where it works on this kernel.
fn criu() -> Option<(u32, u32)> {
    let run = |word: &str| Command::new("criu").arg(word).output().ok();
    let checked = run("check").is_some_and(|ran| ran.status.success());
    if !checked {
        // Where it is made sure of, nothing is skipped (tests/vm/suite).
        assert!(
            std::env::var_os("SILO_TEST_CRIU").is_none(),
            "criu check fails"
        );
        println!("skipped: criu is not installed, or does not work on this kernel (criu check)");
    }
    if !checked || !is_silo() {
        return None;
    }
    let said = String::from_utf8(run("--version")?.stdout).unwrap();
    let numbers = said.split_once("Version: ")?.1;
    let mut numbers = numbers.trim().split('.').map(|n| n.parse().unwrap_or(0));
    Some((numbers.next()?, numbers.next()?))
}

/// A shell that counts, in its memory and into files, slowly.
const COUNT: &str = "i=0; echo kept > /dev/shm/kept; while true; do i=$((i+1)); echo $i > /out/new; mv /out/new /out/n; sleep 0.1; done";

/// A bundle of it, with a filter, limits and a namespace of control groups.
fn counting(oci: &Oci, id: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let out = oci.host.folder("out");
    oci.bundle(id, &["sh", "-c", COUNT], |spec| {
        add(&mut spec["mounts"], bind(Path::new(&out), "/out"));
        let groups = json!({"type": "cgroup"});
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|one| one != &groups);
        namespaces.push(groups);
        // The first CRIU that keeps it is 3.19.
        spec["process"]["noNewPrivileges"] = json!(criu().is_some_and(|known| known >= (3, 19)));
        spec["linux"]["resources"]["pids"] = json!({"limit": 40});
        spec["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
        spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["chroot"], "action": "SCMP_ACT_ERRNO"}]});
        change(spec);
    })
}

/// It counts, in the background. Of the host's files it holds the null device alone.
fn count(oci: &Oci, bundle: &Path, id: &str) {
    let mut command = oci.command(bundle, &["run", "-d", id]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    until("it to count", || counted(oci) > 3);
}

/// One that counts, its bundle, and a folder for images; `None` where there is no CRIU for it.
fn started() -> Option<(Oci, PathBuf, String)> {
    criu()?;
    let oci = Oci::new();
    let bundle = counting(&oci, "a", |_| {});
    count(&oci, &bundle, "a");
    let images = oci.host.folder("images");
    Some((oci, bundle, images))
}

#[track_caller]
fn counted(oci: &Oci) -> u64 {
    let text = fs::read_to_string(format!("{}/n", oci.host.folder("out"))).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

#[track_caller]
fn counts_on(oci: &Oci) {
    let before = counted(oci);
    until("it to count on", || counted(oci) > before + 1);
}

/// What CRIU said, for a test that fails.
fn log(folder: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("{folder}/{name}")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

#[track_caller]
fn checkpoint(oci: &Oci, id: &str, images: &str, flags: &[&str]) {
    let words = [&["checkpoint", "--image-path", images], flags, &[id]].concat();
    let ran = oci.run(&words);
    assert_eq!(ran.code, 0, "{ran}\n{}", log(images, "dump.log"));
}

fn restore(oci: &Oci, bundle: &Path, id: &str, images: &str) -> Ran {
    oci.leave(bundle, &["restore", "-d", "--image-path", images, id])
}

#[track_caller]
fn restored(oci: &Oci, bundle: &Path, id: &str, images: &str) {
    let ran = restore(oci, bundle, id, images);
    assert_eq!(ran.code, 0, "{ran}\n{}", log(images, "restore.log"));
    assert_eq!(oci.status(id), "running");
}

/// How a container's main process is confined.
fn confinement(pid: i32) -> Value {
    let fields = [
        "Uid",
        "Gid",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "NSpid",
    ];
    let own = |kind: &&str| namespace(pid, kind) != namespace(std::process::id() as i32, kind);
    let kinds = ["mnt", "uts", "ipc", "pid", "net", "cgroup"];
    json!({
        "fields": fields.map(|field| status(pid, field).rsplit('\t').next().unwrap_or_default().to_owned()),
        "own": kinds.iter().filter(|kind| own(kind)).collect::<Vec<_>>(),
        "mounts": mounts(pid),
        "limits": fs::read_to_string(format!("/proc/{pid}/limits")).unwrap(),
    })
}

#[test]
fn a_counting_shell_goes_on_where_it_was() {
    let Some((oci, bundle, images)) = started() else {
        return;
    };
    let was = confinement(oci.pid("a"));
    checkpoint(&oci, "a", &images, &["--leave-running"]);
    assert_eq!(oci.status("a"), "running");
    counts_on(&oci);
    // Once more after a restore, with a further process: what was restored can be kept again.
    let mut sleeps: Option<String> = None;
    for round in 0..2 {
        checkpoint(&oci, "a", &images, &[]);
        oci.fails(&["state", "a"], "does not exist");
        assert!(oci.groups().is_empty(), "{:?}", oci.groups());
        let stopped = counted(&oci);
        restored(&oci, &bundle, "a", &images);
        until("it to go on", || counted(&oci) > stopped);
        // Not from the beginning.
        assert!(counted(&oci) < stopped + 1000);
        let pid = oci.pid("a");
        let now = confinement(pid);
        for (what, value) in was.as_object().unwrap() {
            assert_eq!(value, &now[what], "{what}, round {round}");
        }
        assert_eq!(group_file(pid, "pids", "pids.max", "pids.max"), "40");
        let memory = group_file(pid, "memory", "memory.limit_in_bytes", "memory.max");
        assert_eq!(memory, (64 << 20).to_string());
        if let Some(pid) = &sleeps {
            oci.ok(&["exec", "a", "test", "-d", &format!("/proc/{pid}")]);
        }
        let sleep = "sleep 600 </dev/null >/dev/null 2>&1 & echo $!";
        let said = oci.ok(&["exec", "a", "sh", "-c", sleep]);
        sleeps = Some(said.trim().to_owned());
    }
    let seen = "hostname; cat /dev/shm/kept /proc/1/comm /proc/sys/net/ipv4/ip_forward; grep -c : /proc/net/dev; chroot / true || echo no; ps | wc -l";
    let said = oci.ok(&["exec", "a", "sh", "-c", seen]);
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert_eq!(lines[..4], ["runc", "kept", "sh", "1"], "{said}");
    // Its network has the loopback alone, or what the kernel puts into every new one.
    assert!(lines[4].parse::<u32>().unwrap() < 5, "{said}");
    assert_eq!(lines[5], "no", "{said}");
    let own = oci.ok(&["exec", "a", "cat", "/proc/self/cgroup"]);
    assert!(!own.contains(oci.host.mark()), "{own}");
    assert_eq!(oci.state("a")["bundle"], json!(bundle));
    oci.ok(&["pause", "a"]);
    assert_eq!(oci.status("a"), "paused");
    oci.ok(&["resume", "a"]);
    counts_on(&oci);
    oci.ok(&["delete", "--force", "a"]);
    assert!(oci.groups().is_empty(), "{:?}", oci.groups());
}

#[test]
fn it_goes_on_under_another_name_and_ends_with_its_code() {
    if criu().is_none() {
        return;
    }
    let oci = Oci::new();
    let bundle = counting(&oci, "a", |spec| {
        spec["process"]["args"] = json!([
            "sh",
            "-c",
            "trap 'exit 7' TERM; i=0; while true; do i=$((i+1)); echo $i > /out/n; sleep 0.1; done"
        ]);
    });
    count(&oci, &bundle, "a");
    let images = oci.host.folder("images");
    let work = oci.host.folder("work");
    // Of a container that stands still, too.
    oci.ok(&["pause", "a"]);
    checkpoint(&oci, "a", &images, &["--work-path", &work]);
    assert!(Path::new(&work).join("dump.log").exists());
    let other = counting(&oci, "b", |_| {});
    let stopped = counted(&oci);
    let pid_file = oci.host.files.join("pid");
    let words = [
        "restore",
        "--image-path",
        &images,
        "--work-path",
        &work,
        "--pid-file",
        pid_file.to_str().unwrap(),
        "b",
    ];
    let mut command = oci.command(&other, &words);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut waits = command.spawn().unwrap();
    until("it to go on", || counted(&oci) > stopped);
    until("its pid file", || pid_file.exists());
    assert_eq!(
        fs::read_to_string(&pid_file).unwrap(),
        oci.pid("b").to_string()
    );
    oci.ok(&["kill", "b", "TERM"]);
    assert_eq!(waits.wait().unwrap().code(), Some(7));
    assert_eq!(oci.ok(&["list", "-q"]), "");
}

#[test]
fn a_namespace_of_others_is_joined_again() {
    if criu().is_none() {
        return;
    }
    let oci = Oci::new();
    let holder = oci.idle("holder", |_| {});
    let of_holder = format!("/proc/{}/ns/", oci.pid("holder"));
    let bundle = counting(&oci, "a", |spec| {
        for one in spec["linux"]["namespaces"].as_array_mut().unwrap() {
            let kind = match one["type"].as_str().unwrap() {
                "network" => "net",
                "uts" => "uts",
                "ipc" => "ipc",
                _ => continue,
            };
            one["path"] = json!(format!("{of_holder}{kind}"));
        }
        spec.as_object_mut().unwrap().remove("hostname");
    });
    count(&oci, &bundle, "a");
    let images = oci.host.folder("images");
    checkpoint(&oci, "a", &images, &[]);
    restored(&oci, &bundle, "a", &images);
    counts_on(&oci);
    for kind in ["net", "uts", "ipc"] {
        let of = |id: &str| namespace(oci.pid(id), kind);
        assert_eq!(of("a"), of("holder"), "{kind}");
    }
    drop(holder);
}

#[test]
fn failures_leave_it_running_or_nothing() {
    let oci = Oci::new();
    if criu().is_none() {
        if is_silo() {
            // Whatever is the matter: said, and nothing happened.
            oci.idle("a", |_| {});
            let images = oci.host.folder("images");
            let ran = oci.run(&["checkpoint", "--image-path", &images, "a"]);
            assert!(ran.code == 1 && ran.err.contains("criu"), "{ran}");
            assert_eq!(oci.status("a"), "running");
        }
        return;
    }
    let bundle = counting(&oci, "a", |_| {});
    count(&oci, &bundle, "a");
    let images = oci.host.folder("images");
    let keep = ["checkpoint", "--image-path", &images];
    let fails = |more: &[&str], text: &str| {
        oci.fails(&[&keep[..], more].concat(), text);
    };
    fails(
        &["--parent-path", "/abs", "a"],
        "--parent-path must be relative",
    );
    fails(&["--parent-path", "nonesuch", "a"], "--parent-path");
    fails(&["--manage-cgroups-mode", "x", "a"], "manage-cgroups-mode");
    fails(&["--empty-ns", "user", "a"], "not supported");
    fails(&["--page-server", "here", "a"], "ADDRESS:PORT");
    fails(&["--status-fd", "77", "a"], "--status-fd");
    fails(&["nonesuch"], "does not exist");
    // Nobody takes the memory: CRIU is in the middle of it then.
    fails(&["--page-server", "127.0.0.1:1", "a"], "criu failed");
    assert_eq!(oci.status("a"), "running");
    counts_on(&oci);

    let empty = oci.host.folder("empty");
    let ran = restore(&oci, &bundle, "b", &empty);
    assert!(ran.code == 1 && ran.err.contains("no checkpoint"), "{ran}");
    checkpoint(&oci, "a", &images, &["--leave-running"]);
    let ran = restore(&oci, &bundle, "a", &images);
    assert!(ran.code == 1 && ran.err.contains("exists"), "{ran}");
    oci.ok(&["delete", "--force", "a"]);
    // Half of the images.
    fs::remove_file(format!("{images}/pagemap-1.img")).unwrap();
    let ran = restore(&oci, &bundle, "b", &images);
    assert!(ran.code == 1 && ran.err.contains("restore.log"), "{ran}");
    assert_eq!(oci.ok(&["list", "-q"]), "");
    assert!(oci.groups().is_empty(), "{:?}", oci.groups());
}

#[test]
fn images_of_others_and_links_are_not_read() {
    let Some((oci, bundle, images)) = started() else {
        return;
    };
    let canary = oci.host.file("canary", "untouched");
    let log = format!("{images}/dump.log");
    symlink(&canary, &log).unwrap();
    let ran = oci.run(&["checkpoint", "--image-path", &images, "a"]);
    assert!(ran.code == 1 && ran.err.contains("no plain file"), "{ran}");
    fs::remove_file(&log).unwrap();
    checkpoint(&oci, "a", &images, &[]);
    let refused = |text: &str| {
        let ran = restore(&oci, &bundle, "a", &images);
        assert!(ran.code == 1 && ran.err.contains(text), "{ran}");
        assert_eq!(oci.ok(&["list", "-q"]), "");
    };
    for name in ["restore.log", "pages-1.img", "descriptors.json"] {
        let path = format!("{images}/{name}");
        let aside = format!("{images}.aside");
        let had = fs::rename(&path, &aside).is_ok();
        symlink(&canary, &path).unwrap();
        refused("no plain file");
        fs::remove_file(&path).unwrap();
        if had {
            fs::rename(&aside, &path).unwrap();
        }
    }
    let mode = |mode| fs::set_permissions(&images, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o777);
    refused("by others");
    mode(0o700);
    assert_eq!(fs::read_to_string(&canary).unwrap(), "untouched");
    restored(&oci, &bundle, "a", &images);
    counts_on(&oci);
}

#[test]
fn no_more_is_restored_than_the_specification_says() {
    if criu().is_none() {
        return;
    }
    let oci = Oci::new();
    let images = oci.host.folder("images");
    // Images of a container that may more, as somebody else might hand them over.
    let bundle = counting(&oci, "a", |spec| {
        spec["linux"]["maskedPaths"] = json!([]);
        spec["linux"]["readonlyPaths"] = json!([]);
        spec["linux"].as_object_mut().unwrap().remove("seccomp");
        spec["process"]["noNewPrivileges"] = json!(false);
        for kind in ["bounding", "permitted", "effective"] {
            add(
                &mut spec["process"]["capabilities"][kind],
                json!("CAP_SYS_RAWIO"),
            );
        }
    });
    count(&oci, &bundle, "a");
    checkpoint(&oci, "a", &images, &[]);
    let before = counted(&oci);
    let may_rawio = |spec: &mut Value| {
        for kind in ["bounding", "permitted", "effective"] {
            add(
                &mut spec["process"]["capabilities"][kind],
                json!("CAP_SYS_RAWIO"),
            );
        }
    };
    let refused = |text: &str, change: &dyn Fn(&mut Value)| {
        let bundle = counting(&oci, "b", |spec| {
            spec["process"]["noNewPrivileges"] = json!(false);
            spec["linux"].as_object_mut().unwrap().remove("seccomp");
            change(spec);
        });
        let ran = restore(&oci, &bundle, "b", &images);
        assert!(ran.code == 1 && ran.err.contains(text), "{text}: {ran}");
        assert_eq!(oci.ok(&["list", "-q"]), "");
        assert!(oci.groups().is_empty(), "{:?}", oci.groups());
    };
    refused("has CAP_SYS_RAWIO", &|_| {});
    refused("is not masked", &may_rawio);
    refused("can be written to", &|spec| {
        may_rawio(spec);
        spec["linux"]["maskedPaths"] = json!([]);
    });
    refused("no seccomp filter", &|spec| {
        may_rawio(spec);
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["chroot"], "action": "SCMP_ACT_ERRNO"}]});
    });
    refused("can gain privileges", &|spec| {
        may_rawio(spec);
        spec["process"]["noNewPrivileges"] = json!(true);
    });
    // Nothing of it has run.
    assert_eq!(counted(&oci), before);
    restored(&oci, &bundle, "a", &images);
    counts_on(&oci);
}

#[test]
fn a_criu_that_forgets_confinement_is_not_used() {
    let Some(version) = criu() else {
        return;
    };
    if version >= (3, 19) {
        println!("skipped: this criu keeps no_new_privs");
        return;
    }
    let oci = Oci::new();
    let bundle = counting(&oci, "a", |spec| {
        spec["process"]["noNewPrivileges"] = json!(true)
    });
    count(&oci, &bundle, "a");
    let images = oci.host.folder("images");
    oci.fails(
        &["checkpoint", "--image-path", &images, "a"],
        "no_new_privs",
    );
    counts_on(&oci);
}

#[test]
fn memory_of_before_is_built_upon() {
    if criu().is_none() {
        return;
    }
    let feature = ["check", "--feature", "mem_dirty_track"];
    if !Command::new("criu")
        .args(feature)
        .output()
        .unwrap()
        .status
        .success()
    {
        println!("skipped: this kernel does not follow changes of memory (mem_dirty_track)");
        let oci = Oci::new();
        oci.idle("a", |spec| {
            spec["process"]["noNewPrivileges"] = json!(false)
        });
        let images = oci.host.folder("images");
        oci.fails(
            &["checkpoint", "--pre-dump", "--image-path", &images, "a"],
            "MemTrack",
        );
        return;
    }
    let oci = Oci::new();
    let bundle = counting(&oci, "a", |_| {});
    count(&oci, &bundle, "a");
    let before = oci.host.folder("before");
    let images = oci.host.folder("images");
    checkpoint(&oci, "a", &before, &["--pre-dump"]);
    counts_on(&oci);
    checkpoint(&oci, "a", &images, &["--parent-path", "../before"]);
    assert!(Path::new(&images).join("parent").exists());
    let stopped = counted(&oci);
    restored(&oci, &bundle, "a", &images);
    until("it to go on", || counted(&oci) > stopped);
}

/// Killed at any moment it leaves a container that runs, or one that has stopped; either can be deleted.
#[test]
fn a_killed_checkpoint_leaves_a_clear_state() {
    if criu().is_none() {
        return;
    }
    let oci = Oci::new();
    let bundle = counting(&oci, "a", |_| {});
    for round in 0..6u64 {
        count(&oci, &bundle, "a");
        let images = oci.host.folder(&format!("images-{round}"));
        let words = ["checkpoint", "--image-path", &images, "a"];
        let mut command = oci.command(&bundle, &words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut made = command.spawn().unwrap();
        let log = PathBuf::from(&images).join("dump.log");
        until("criu to begin", || {
            log.exists() || made.try_wait().unwrap().is_some()
        });
        std::thread::sleep(std::time::Duration::from_millis(30 * round));
        let _ = made.kill();
        made.wait().unwrap();
        // CRIU hears of it at its next word.
        until("criu to let go", || {
            let state = oci.run(&["state", "a"]);
            let stands = |word: &str| state.out.contains(&format!("\"status\": \"{word}\""));
            match state.code {
                0 if stands("running") => {
                    counts_on(&oci);
                    true
                }
                0 => stands("stopped"),
                // It was done before.
                _ => true,
            }
        });
        oci.ok(&["delete", "--force", "a"]);
        assert!(oci.groups().is_empty(), "{:?}", oci.groups());
    }
}

#[test]
fn a_killed_restore_leaves_nothing_that_delete_does_not_find() {
    let Some((oci, bundle, images)) = started() else {
        return;
    };
    checkpoint(&oci, "a", &images, &[]);
    for round in 0..6u64 {
        let words = ["restore", "-d", "--image-path", &images, "a"];
        let mut command = oci.command(&bundle, &words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut made = command.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60 * round));
        let _ = made.kill();
        made.wait().unwrap();
        oci.ok(&["delete", "--force", "a"]);
        assert!(oci.groups().is_empty(), "{:?}", oci.groups());
        let before = counted(&oci);
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert_eq!(counted(&oci), before, "it runs on, in no group");
    }
    restored(&oci, &bundle, "a", &images);
    counts_on(&oci);
}
