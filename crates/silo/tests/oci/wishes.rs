//! What conformance suites ask that no engine asks every day: how mounts come about, where processes run, what is told of them.

use std::{
    fs,
    io::IoSliceMut,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{
            fs::{MetadataExt, PermissionsExt, symlink},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use serde_json::{Value, json};

use crate::{
    common::kernel,
    fixture::{Oci, add, bind, is_silo, rootfs},
};

/// A root that may be written to.
fn own_root(oci: &Oci) -> PathBuf {
    let root = oci.host.files.join("root");
    let copied = Command::new("cp")
        .args(["-a", "--"])
        .args([rootfs(), &root])
        .status();
    assert!(copied.unwrap().success());
    root
}

/// Runs to its end; what it printed.
fn said(oci: &Oci, args: &[&str], change: impl FnOnce(&mut Value)) -> String {
    let bundle = oci.bundle("a", args, change);
    oci.run_in(&bundle, &["run", "a"]).ok().trim().to_owned()
}

fn tmpfs(target: &str, options: &[&str]) -> Value {
    json!({"destination": target, "type": "tmpfs", "source": "tmpfs", "options": options})
}

#[test]
fn a_tmpfs_has_the_mode_of_what_it_covers() {
    let oci = Oci::new();
    let root = own_root(&oci);
    let folder = root.join("covered");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o1710)).unwrap();
    for (options, mode) in [(&[][..], "1710"), (&["mode=750"][..], "750")] {
        let got = said(&oci, &["stat", "-c", "%a", "/covered"], |spec| {
            spec["root"]["path"] = json!(root);
            add(&mut spec["mounts"], tmpfs("/covered", options));
        });
        assert_eq!(got, mode);
    }
}

#[test]
fn a_read_only_dev_is_filled_before() {
    let oci = Oci::new();
    let script = "grep ' /dev ' /proc/mounts; echo x > /dev/null && echo written; touch /dev/new || echo refused";
    let got = said(&oci, &["sh", "-c", script], |spec| {
        let dev = spec["mounts"].as_array_mut().unwrap().iter_mut();
        let mut dev = dev.filter(|mount| mount["destination"] == "/dev");
        add(&mut dev.next().unwrap()["options"], json!("ro"));
    });
    assert!(got.contains("tmpfs ro,"), "{got}");
    assert!(got.contains("written") && got.contains("refused"), "{got}");
}

#[test]
fn mounts_are_listed_in_order() {
    let oci = Oci::new();
    let mut asked = Vec::new();
    let folder = oci.host.files.join("folder");
    fs::create_dir(&folder).unwrap();
    let got = said(&oci, &["cat", "/proc/self/mountinfo"], |spec| {
        // Of the host's, between new ones.
        let mounts = spec["mounts"].as_array_mut().unwrap();
        mounts.insert(1, bind(&folder, "/tmp"));
        mounts.push(bind(&folder, "/home"));
        let mounts = mounts.iter();
        let targets = mounts.map(|mount| mount["destination"].as_str().unwrap().to_owned());
        asked = targets
            .filter(|target| !target.contains("cgroup"))
            .collect();
    });
    let place = |target: &String| {
        let mut lines = got.lines();
        lines
            .position(|line| line.split(' ').nth(4) == Some(target))
            .unwrap()
    };
    let places: Vec<usize> = asked.iter().map(place).collect();
    assert!(places.is_sorted(), "{asked:?}: {places:?}\n{got}");
}

#[test]
fn a_bind_source_inside_the_root_is_the_containers() {
    let oci = Oci::new();
    let root = own_root(&oci);
    let outside = oci.host.files.join("outside");
    for (folder, text) in [(&outside, "outside"), (&root.join("of-the-root"), "image")] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("file"), text).unwrap();
    }
    // By its name on the host this leads out; in the container it leads to a folder that is not there.
    symlink(&outside, root.join("leads-out")).unwrap();
    let with = |spec: &mut Value, source: &str| {
        spec["root"]["path"] = json!(root);
        add(&mut spec["mounts"], bind(&outside, "/of-the-root"));
        add(
            &mut spec["mounts"],
            bind(&root.join(source), root.join("seen").to_str().unwrap()),
        );
    };
    let got = said(&oci, &["cat", "/seen/file"], |spec| {
        with(spec, "of-the-root")
    });
    assert_eq!(got, "outside", "what was mounted before is not seen");
    if is_silo() {
        let bundle = oci.bundle("b", &["true"], |spec| with(spec, "leads-out"));
        let ran = oci.run_in(&bundle, &["run", "b"]);
        assert!(
            ran.code != 0 && ran.err.contains("bind source /leads-out"),
            "{ran}"
        );
    }
}

#[test]
fn what_a_link_leads_to_is_made_inside() {
    let oci = Oci::new();
    let root = own_root(&oci);
    let canary = oci.host.files.join("canary");
    let link = root.join("etc/linked");
    symlink(format!("{}/made/here", canary.display()), &link).unwrap();
    let file = oci.host.files.join("file");
    fs::write(&file, "bound").unwrap();
    let got = said(&oci, &["cat", "/etc/linked"], |spec| {
        spec["root"]["path"] = json!(root);
        add(&mut spec["mounts"], bind(&file, "/etc/linked"));
    });
    assert_eq!(got, "bound");
    assert!(!canary.exists(), "made on the host");
    let inside = canary.strip_prefix("/").unwrap();
    assert!(root.join(inside).join("made/here").is_file());
}

#[test]
fn a_path_that_is_masked_twice_has_one_cover() {
    let oci = Oci::new();
    let got = said(&oci, &["cat", "/proc/mounts"], |spec| {
        spec["linux"]["maskedPaths"] = json!(["/etc", "/etc", "/proc/kcore"]);
    });
    let covers = got
        .lines()
        .filter(|line| line.split(' ').nth(1) == Some("/etc"));
    assert_eq!(covers.count(), 1, "{got}");
}

#[test]
fn a_root_may_go_on_following_the_hosts_mounts() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["cat", "/proc/self/mountinfo"], |spec| {
        spec["linux"]["rootfsPropagation"] = json!("slave");
    });
    let runtime = oci.command(&bundle, &["run", "a"]);
    // In a mount namespace of its own whose mounts are shared, as systemd has them.
    let mut shared = Command::new("unshare");
    shared
        .args(["-m", "--propagation", "shared", "--"])
        .arg(oci.program());
    shared
        .args(runtime.get_args())
        .current_dir(&bundle)
        .env("SILO_TEST_HOST", oci.host.mark());
    let got = oci.host.finish(shared, &["unshare"], b"").ok();
    let root = got
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"))
        .unwrap();
    assert!(
        root.contains(" master:") && !root.contains(" shared:"),
        "{root}"
    );
}

#[test]
fn a_user_namespace_without_a_cgroup_namespace_sees_its_own_groups() {
    let oci = Oci::new();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
    let script = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; \
                  grep -c ' /sys/fs/cgroup[^ ]* cgroup2* ro,' /proc/mounts";
    let got = said(&oci, &["sh", "-c", script], |spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "cgroup");
        namespaces.push(json!({"type": "user"}));
        spec["linux"]["uidMappings"] = map.clone();
        spec["linux"]["gidMappings"] = map;
        spec["linux"]["resources"]["pids"] = json!({"limit": 37});
    });
    let (limit, views) = got.split_once('\n').unwrap();
    assert_eq!(limit, "37");
    assert_ne!(views, "0");
}

#[test]
fn without_a_cgroup_namespace_v1_shows_the_containers_own_groups() {
    let oci = Oci::new();
    if !Path::new("/sys/fs/cgroup/pids/tasks").exists() {
        return;
    }
    let script = "cat /sys/fs/cgroup/pids/pids.max; mkdir /sys/fs/cgroup/pids/below";
    let bundle = oci.bundle("a", &["sh", "-c", script], |spec| {
        let linux = &mut spec["linux"];
        let namespaces = linux["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "cgroup");
        linux["resources"]["pids"] = json!({"limit": 38});
        for mount in spec["mounts"].as_array_mut().unwrap() {
            if mount["type"] == "cgroup" {
                mount["options"] = json!(["nosuid", "noexec", "nodev"]);
            }
        }
    });
    let made = oci.run_in(&bundle, &["run", "--keep", "a"]).ok();
    assert_eq!(made.trim(), "38");
    let groups = oci.groups();
    let below = groups.iter().filter(|group| group.ends_with("a/below"));
    assert_eq!(below.count(), 1, "{groups:?}");
}

#[test]
fn a_container_runs_where_its_group_allows_and_not_where_its_maker_was_bound() {
    let oci = Oci::new();
    let own = sched_getaffinity(None).unwrap();
    let Some(first) = (0..CpuSet::MAX_CPU).find(|cpu| own.is_set(*cpu)) else {
        return;
    };
    let allowed = "Cpus_allowed_list";
    let of = |text: &str| {
        let line = text.lines().find(|line| line.starts_with(allowed));
        line.unwrap_or_default().to_owned()
    };
    let everywhere = of(&fs::read_to_string("/proc/thread-self/status").unwrap());
    oci.idle("b", |_| {});
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).unwrap();
    let ran = said(&oci, &["grep", allowed, "/proc/self/status"], |_| {});
    let entered = oci.run(&["exec", "b", "grep", allowed, "/proc/self/status"]);
    sched_setaffinity(None, &own).unwrap();
    assert_eq!(of(&ran), everywhere);
    assert_eq!(of(&entered.ok()), everywhere);
}

#[test]
fn no_processes_at_all_are_one() {
    let oci = Oci::new();
    oci.idle("a", |spec| {
        spec["linux"]["resources"]["pids"] = json!({"limit": 0});
    });
    let limit = || kernel::group_file(oci.pid("a"), "pids", "pids.max", "pids.max");
    assert_eq!(limit().trim(), "1");
    oci.ok(&["update", "--pids-limit", "-1", "a"]);
    assert_eq!(limit().trim(), "max");
    oci.ok(&["update", "--pids-limit", "0", "a"]);
    assert_eq!(limit().trim(), "1");
}

#[test]
fn a_pidfd_is_sent_to_who_asks() {
    let oci = Oci::new();
    let socket = oci.host.files.join("pidfd");
    let listener = UnixListener::bind(&socket).unwrap();
    let option = socket.to_str().unwrap();
    let bundle = oci.bundle("a", &["sleep", "600"], |_| {});
    let ran = oci.leave(&bundle, &["create", "--pidfd-socket", option, "a"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(
        pid_received(&listener),
        ("standard".to_owned(), oci.pid("a"))
    );
    oci.ok(&["start", "a"]);
    let file = oci.host.files.join("pid");
    let words = [
        "exec",
        "-d",
        "--pid-file",
        file.to_str().unwrap(),
        "--pidfd-socket",
        option,
        "a",
        "sleep",
        "600",
    ];
    let ran = oci.leave(&bundle, &words);
    assert_eq!(ran.code, 0, "{ran}");
    let pid: i32 = fs::read_to_string(&file).unwrap().parse().unwrap();
    assert_eq!(pid_received(&listener), ("setns".to_owned(), pid));
}

/// The name that came with a pidfd, and whose it is.
fn pid_received(listener: &UnixListener) -> (String, i32) {
    let (stream, _) = listener.accept().unwrap();
    let mut name = [0u8; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut name)];
    let got = recvmsg(&stream, &mut parts, &mut control, RecvFlags::empty()).unwrap();
    let mut fds = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<OwnedFd>>(),
        _ => Vec::new(),
    });
    let pidfd = fds.next().expect("no descriptor came");
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    let pid = info
        .lines()
        .find_map(|line| line.strip_prefix("Pid:"))
        .unwrap();
    let name = String::from_utf8_lossy(&name[..got.bytes]).into_owned();
    (name, pid.trim().parse().unwrap())
}

#[test]
fn a_container_that_waits_takes_its_end() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["sleep", "600"], |_| {});
    let ran = oci.leave(&bundle, &["create", "a"]);
    assert_eq!(ran.code, 0, "{ran}");
    oci.ok(&["kill", "a", "TERM"]);
    oci.becomes("a", "stopped");
}

#[test]
fn without_a_process_it_is_made_and_its_start_ends_it() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &[], |spec| {
        spec.as_object_mut().unwrap().remove("process");
    });
    let ran = oci.leave(&bundle, &["create", "a"]);
    if is_silo() {
        assert_eq!(ran.code, 0, "{ran}");
        let started = oci.run(&["start", "a"]);
        assert_eq!(started.code, 0, "{started}");
        for text in ["level=error", "has no process", "no command specified"] {
            assert!(started.err.contains(text), "{started}");
        }
        oci.becomes("a", "stopped");
        oci.fails(&["start", "a"], "has stopped");
        oci.ok(&["delete", "a"]);
        // One that is there and does not run is an error as ever.
        let bundle = oci.bundle("b", &["sh"], |spec| {
            spec["hooks"] = json!({"startContainer": [{"path": "/bin/false"}]});
        });
        assert_eq!(oci.leave(&bundle, &["create", "b"]).code, 0);
        oci.fails(&["start", "b"], "startContainer");
    }
}

#[test]
fn devices_are_listed_as_they_were_asked_for() {
    let oci = Oci::new();
    if !Path::new("/sys/fs/cgroup/devices/devices.list").exists() {
        return;
    }
    oci.idle("a", |spec| {
        let rule = |kind: &str, major: u32, access: &str| json!({"allow": true, "type": kind, "major": major, "minor": 9, "access": access});
        spec["linux"]["resources"]["devices"] = json!([
            {"allow": false, "access": "rwm"},
            {"allow": false, "type": "c", "major": 1, "minor": 11, "access": "rwa"},
            rule("c", 20, "rwm"),
            rule("b", 10, "r"),
            rule("c", 11, "rw"),
        ]);
    });
    let list = kernel::group_file(oci.pid("a"), "devices", "devices.list", "");
    let first: Vec<&str> = list.lines().take(3).collect();
    assert_eq!(first, ["c 20:9 rwm", "b 10:9 r", "c 11:9 rw"]);
}

#[test]
fn what_was_done_is_told_to_who_debugs() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["sleep", "600"], |spec| {
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]});
        spec["process"]["execCPUAffinity"] = json!({"initial": "0"});
    });
    let made = oci.leave(&bundle, &["--debug", "run", "-d", "a"]);
    for text in [
        "container setup",
        "child process in init()",
        "closing the pipe to signal completion",
    ] {
        assert!(made.err.contains(text), "{made}");
    }
    if is_silo() {
        assert!(made.err.contains("\"seccomp filter flags: 2\""), "{made}");
        // How it is sealed, which is by no overlay.
        let sealed = "exeseal: using /proc/self/exe clone: a read-only one";
        assert!(made.err.contains(sealed), "{made}");
        assert!(!made.err.contains("overlay"), "{made}");
    }
    let entered = oci.run(&["--debug", "exec", "a", "true"]);
    assert!(entered.err.contains(": affinity: 0x1\""), "{entered}");
    assert!(!oci.run(&["exec", "a", "true"]).err.contains("debug"));
}

#[test]
fn a_capability_that_cannot_be_ambient_is_told() {
    let oci = Oci::new();
    let bundle = oci.bundle("a", &["grep", "CapAmb", "/proc/self/status"], |spec| {
        let sets = &mut spec["process"]["capabilities"];
        sets["inheritable"] = json!(["CAP_KILL"]);
        sets["ambient"] = json!(["CAP_KILL", "CAP_CHOWN"]);
    });
    let ran = oci.run_in(&bundle, &["run", "a"]);
    assert!(
        ran.err
            .contains("can't raise ambient capability CAP_CHOWN: "),
        "{ran}"
    );
    assert!(ran.out.trim().ends_with("0000000000000020"), "{ran}");
}

/// What callers send to every host is left out where the kernel has no such module, and told each time.
#[test]
fn labels_of_modules_that_the_kernel_lacks_are_told() {
    let oci = Oci::new();
    if !is_silo() {
        return;
    }
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap();
    let asked = [
        (
            !Path::new("/sys/module/apparmor").exists(),
            "AppArmor",
            "/process/apparmorProfile",
            "tight",
            Some("--apparmor"),
        ),
        (
            !filesystems.contains("selinuxfs"),
            "SELinux",
            "/process/selinuxLabel",
            "a:b:c:s0",
            Some("--process-label"),
        ),
        (
            !filesystems.contains("selinuxfs"),
            "SELinux",
            "/linux/mountLabel",
            "a:b:d:s0",
            None,
        ),
    ];
    for (at, (is_lacking, module, field, label, option)) in asked.into_iter().enumerate() {
        if !is_lacking {
            continue;
        }
        let id = format!("a{at}");
        let bundle = oci.bundle(&id, &["sleep", "600"], |spec| {
            let (part, name) = field[1..].split_once('/').unwrap();
            spec[part][name] = json!(label);
        });
        let told = |ran: &crate::common::Ran| {
            assert_eq!(ran.code, 0, "{ran}");
            for text in ["level=warning", module, label, "confines the container"] {
                assert!(ran.err.contains(text), "{text}: {ran}");
            }
        };
        told(&oci.leave(&bundle, &["run", "-d", &id]));
        if let Some(option) = option {
            told(&oci.run(&["exec", option, label, &id, "true"]));
        }
    }
}

#[test]
fn the_size_and_mode_of_a_bind_mount_are_told_and_left_out() {
    let oci = Oci::new();
    let folder = oci.host.files.join("folder");
    fs::create_dir(&folder).unwrap();
    let with = |option: &str| {
        oci.bundle("a", &["grep", " /seen ", "/proc/mounts"], |spec| {
            let mut mount = bind(&folder, "/seen");
            mount["options"] = json!(["bind", "ro", "mode=700", option]);
            add(&mut spec["mounts"], mount);
        })
    };
    let ran = oci.run_in(&with("size=1k"), &["run", "a"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.out.contains(" ro,"), "{ran}");
    if is_silo() {
        for text in ["level=warning", "mount at /seen", "mode=700", "size=1k"] {
            assert!(ran.err.contains(text), "{text}: {ran}");
        }
        // A word that may have been meant to protect is not.
        for word in ["nosiud", "uid=1"] {
            let ran = oci.run_in(&with(word), &["run", "a"]);
            assert!(
                ran.code != 0 && ran.err.contains("not one of a bind mount"),
                "{ran}"
            );
        }
    }
}

/// In a user namespace that takes root of the host, who made the container.
#[test]
fn files_of_the_container_are_mapped_again_by_its_maker() {
    let oci = Oci::new();
    let root = own_root(&oci);
    let owned = Command::new("chown")
        .args(["-R", "100000:100000"])
        .arg(&root)
        .status();
    assert!(owned.unwrap().success());
    let outside = oci.host.files.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "").unwrap();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    for hook in [
        json!({}),
        json!({"createContainer": [{"path": "/bin/true"}]}),
    ] {
        let script = "stat -c %u /plain/file /mapped/file /mapped/below/file";
        let said = said(&oci, &["sh", "-c", script], |spec| {
            spec["root"]["path"] = json!(root);
            spec["hooks"] = hook;
            spec["linux"]["uidMappings"] = map.clone();
            spec["linux"]["gidMappings"] = map.clone();
            add(&mut spec["linux"]["namespaces"], json!({"type": "user"}));
            add(&mut spec["mounts"], bind(&outside, "/plain"));
            fs::create_dir_all(outside.join("below")).unwrap();
            add(&mut spec["mounts"], bind(&outside, "/plain/below"));
            let mut mapped = bind(&root.join("plain"), root.join("mapped").to_str().unwrap());
            mapped["options"] = json!(["rbind", "ridmap"]);
            mapped["uidMappings"] = map.clone();
            mapped["gidMappings"] = map.clone();
            add(&mut spec["mounts"], mapped);
        });
        assert_eq!(said, "65534\n0\n0");
    }
}

#[test]
fn it_answers_to_the_name_by_which_it_is_called() {
    let oci = Oci::new();
    if !is_silo() {
        return;
    }
    let link = oci.host.files.join("runc");
    symlink(env!("CARGO_BIN_EXE_silo"), &link).unwrap();
    let ask = |words: &[&str]| {
        let mut command = Command::new(&link);
        command.args(words);
        oci.host.finish(command, words, b"").ok()
    };
    assert!(ask(&["--version"]).starts_with("runc version "));
    assert!(ask(&["--help"]).contains("runc - Open Container Initiative runtime"));
    assert!(ask(&["create", "--help"]).contains("runc create"));
}

#[test]
fn files_of_a_covered_folder_stay_on_the_host_as_they_were() {
    let oci = Oci::new();
    let root = own_root(&oci);
    let before = fs::metadata(root.join("etc")).unwrap().mode();
    said(&oci, &["true"], |spec| {
        spec["root"]["path"] = json!(root);
        add(
            &mut spec["mounts"],
            tmpfs("/etc", &["tmpcopyup", "mode=700"]),
        );
    });
    assert_eq!(fs::metadata(root.join("etc")).unwrap().mode(), before);
}
