//! Nothing that the host has open is a way out: for the program, its interpreter, its folder; and the program that makes
//! containers cannot be written to.

use std::{
    fs,
    os::fd::AsFd,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    fs::{CWD, Mode, OFlags, StatVfsMountFlags},
    io::Errno,
    mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount_remount, move_mount, open_tree},
};
use silo_sys::mount::{MountAttr, attr, mount_setattr};

use crate::{
    common::{Host, kernel, until},
    scene::{Scene, Who},
};

/// Numbers that a command or a monitor may have open at the end.
const NUMBERS: std::ops::Range<i32> = 3..15;

/// A program of the host, and what an image calls it through a descriptor.
fn outside(host: &Host) -> PathBuf {
    let tool = host.files.join("tool");
    fs::copy(crate::fixture::rootfs().join("bin/silo-lab"), &tool).unwrap();
    tool
}

fn through(number: i32, tool: &std::path::Path) -> String {
    format!(
        "/proc/self/fd/{number}{}{}",
        "/..".repeat(20),
        tool.display()
    )
}

/// As the program, by a link and by a script's first line (2024-21626, its ways by `process.args`).
#[test]
fn programs_of_the_host_are_not_reached_by_a_runtime() {
    let scene = Scene::new();
    let tool = outside(&scene.oci.host);
    for number in NUMBERS {
        let path = through(number, &tool);
        scene.link(&path, &format!("bin/link{number}"));
        let script = scene.root.join(format!("bin/script{number}"));
        fs::write(&script, format!("#!{path} echo OUTSIDE\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let idle = scene.bundle("idle", (Who::Root, false), &["sleep", "600"], |_| {});
    assert_eq!(scene.oci.leave(&idle, &["run", "-d", "idle"]).code, 0);
    for number in NUMBERS {
        let ways = [
            through(number, &tool),
            format!("/bin/link{number}"),
            format!("/bin/script{number}"),
        ];
        for program in &ways {
            let words = [program, "echo", "OUTSIDE"];
            for who in [Who::Root, Who::User] {
                let ran = scene.run((who, false), &words, |_| {});
                assert!(ran.code != 0 && !ran.out.contains("OUTSIDE"), "{ran}");
            }
            let ran = scene.oci.run(&[&["exec", "idle"], &words[..]].concat());
            assert!(ran.code != 0 && !ran.out.contains("OUTSIDE"), "{ran}");
        }
        let bundle = scene.bundle(
            "made",
            (Who::Root, false),
            &[&ways[1], "echo", "OUTSIDE"],
            |_| {},
        );
        if scene.oci.leave(&bundle, &["create", "made"]).code == 0 {
            let _ = scene.oci.run(&["start", "made"]);
            scene.oci.ok(&["delete", "--force", "made"]);
        }
        let out = fs::read_to_string(bundle.join("out")).unwrap();
        assert!(!out.contains("OUTSIDE"), "{out}");
    }
}

#[test]
fn programs_of_the_host_are_not_reached_by_the_engine() {
    let host = Host::new();
    let tool = outside(&host);
    host.idle("box", &[]);
    for number in NUMBERS {
        let path = through(number, &tool);
        let program = [path.as_str(), "echo", "OUTSIDE"];
        let run = ["run", "--rm", "--network", "none", "lab"];
        for words in [&run[..], &["exec", "box"]] {
            let ran = host.silo(&[words, &program].concat());
            assert!(ran.code != 0 && !ran.out.contains("OUTSIDE"), "{ran}");
        }
        let init = ["run", "--rm", "--init", "--network", "none", "lab"];
        let ran = host.silo(&[&init[..], &program].concat());
        assert!(!ran.out.contains("OUTSIDE"), "{ran}");
    }
}

/// Also of a descriptor that is handed over on purpose (2024-21626).
#[test]
fn working_directories_are_the_containers() {
    let scene = Scene::new();
    let bundle = scene.bundle("idle", (Who::Root, false), &["sleep", "600"], |_| {});
    assert_eq!(scene.oci.leave(&bundle, &["run", "-d", "idle"]).code, 0);
    for number in NUMBERS {
        let cwd = format!("/proc/self/fd/{number}");
        scene
            .oci
            .fails(&["exec", "--cwd", &cwd, "idle", "pwd"], "working directory");
        scene.link(&cwd, "tmp/cwd");
        scene.oci.fails(
            &["exec", "--cwd", "/tmp/cwd", "idle", "pwd"],
            "working directory",
        );
        for who in [Who::Root, Who::User] {
            let ran = scene.run((who, false), &["pwd"], |spec| {
                spec["process"]["cwd"] = cwd.as_str().into();
            });
            assert_ne!(ran.code, 0, "{ran}");
        }
    }
    let script = format!(
        "exec 3<{}; exec {} --root {} exec --preserve-fds 1 --cwd /proc/self/fd/3 idle ls",
        scene.canary.display(),
        scene.oci.program().display(),
        scene.oci.state.display(),
    );
    let mut command = std::process::Command::new("bash");
    command
        .args(["-c", &script])
        .env("SILO_TEST_HOST", scene.oci.host.mark());
    let ran = scene.oci.host.finish(command, &["exec"], b"");
    assert!(ran.code != 0 && !ran.out.contains("canary"), "{ran}");
    assert!(ran.err.contains("outside the container"), "{ran}");
}

/// 2019-5736: whoever is inside can open the program that waits to become the container's.
#[test]
fn the_program_cannot_be_written_to() {
    let scene = Scene::new();
    for who in [Who::Root, Who::User] {
        let bundle = scene.bundle("waits", (who, false), &["true"], |_| {});
        assert_eq!(scene.oci.leave(&bundle, &["create", "waits"]).code, 0);
        let exe = format!("/proc/{}/exe", scene.oci.pid("waits"));
        let [running, silo] = [&exe, env!("CARGO_BIN_EXE_silo")].map(|p| fs::metadata(p).unwrap());
        assert_eq!((running.dev(), running.ino()), (silo.dev(), silo.ino()));
        let mount = rustix::fs::statvfs(exe.as_str()).unwrap();
        assert!(mount.f_flag.contains(StatVfsMountFlags::RDONLY));
        // Not "text file busy", which passes.
        let mut options = fs::OpenOptions::new();
        options.write(true).truncate(true);
        let error = options.open(&exe).unwrap_err();
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ReadOnlyFilesystem,
            "{error}"
        );
        no_mount_is_made_of(&exe, &bundle.join("config.json"));
        scene.oci.ok(&["delete", "--force", "waits"]);
    }
}

/// The mount of a program is nobody's to change, to clone or to attach: not even root's of the host, in a place of its own.
#[track_caller]
fn no_mount_is_made_of(exe: &str, place: &Path) {
    let program = rustix::fs::open(exe, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let writable = MountAttr {
        clear: attr::RDONLY,
        ..MountAttr::default()
    };
    let changed = mount_setattr(program.as_fd(), c"", false, &writable);
    assert_eq!(changed.unwrap_err().raw_os_error(), Some(22));
    let remounted = mount_remount(exe, MountFlags::BIND, c"");
    assert_eq!(remounted.unwrap_err(), Errno::INVAL);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_EMPTY_PATH;
    assert_eq!(open_tree(&program, c"", flags).unwrap_err(), Errno::INVAL);
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    let attached = move_mount(&program, c"", CWD, place, flags);
    assert_eq!(attached.unwrap_err(), Errno::INVAL);
}

/// The same: its mount may be read-only now and writable later.
#[test]
fn a_program_on_a_read_only_mount_is_sealed_all_the_same() {
    let scene = Scene::new();
    let folder = scene.oci.host.files.join("usr");
    fs::create_dir(&folder).unwrap();
    let program = folder.join("silo-runtime");
    fs::copy(scene.oci.program(), &program).unwrap();
    let bundle = scene.bundle("waits", (Who::Root, false), &["true"], |_| {});
    let script = "mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"; shift; \"$@\"; mount -o remount,bind,rw \"${1%/*}\"; exec sleep 600";
    let out = fs::File::create(bundle.join("out")).unwrap();
    let mut space = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-ec", script, "sh"])
        .args([&folder, &program])
        .args(scene.oci.command(&bundle, &["create", "waits"]).get_args())
        .env("SILO_TEST_HOST", scene.oci.host.mark())
        .current_dir(&bundle)
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap();
    until("the mount to be writable", || {
        let read = |name| fs::read_to_string(format!("/proc/{}/{name}", space.id()));
        read("comm").is_ok_and(|name| name == "sleep\n")
    });
    let exe = format!("/proc/{}/exe", scene.oci.pid("waits"));
    let mut options = fs::OpenOptions::new();
    let error = options.write(true).truncate(true).open(&exe).unwrap_err();
    scene.oci.ok(&["delete", "--force", "waits"]);
    space.kill().unwrap();
    space.wait().unwrap();
    assert_eq!(
        error.kind(),
        std::io::ErrorKind::ReadOnlyFilesystem,
        "{error}"
    );
}

/// A process that waits for its start has nothing open but standard streams and its socket.
#[test]
fn what_waits_has_nothing_open() {
    let scene = Scene::new();
    let bundle = scene.bundle("waits", (Who::Root, true), &["true"], |_| {});
    assert_eq!(scene.oci.leave(&bundle, &["create", "waits"]).code, 0);
    let folder = format!("/proc/{}/fd", scene.oci.pid("waits"));
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let number: i32 = entry.file_name().to_string_lossy().parse().unwrap();
        let target = fs::read_link(entry.path()).unwrap();
        assert!(
            number < 3 || target.to_string_lossy().starts_with("socket:"),
            "{number} is {}",
            target.display()
        );
    }
    assert!(kernel::alive(scene.oci.pid("waits")));
    scene.oci.ok(&["delete", "--force", "waits"]);
}

/// With `--init` a process of Silo's stays inside: what it was started with is not the container's to read, not even with the right
/// to look at every process.
#[test]
fn the_small_init_tells_nothing_of_its_start() {
    let host = Host::new();
    let ask = "cat /proc/1/environ /proc/1/cmdline; echo log >/proc/1/fd/1";
    for right in [&[][..], &["--cap-add", "SYS_PTRACE"]] {
        let (flags, what) = (
            ["run", "--rm", "--init", "--network", "none"],
            ["lab", "sh", "-c", ask],
        );
        let words = [&flags[..], right, &what].concat();
        let mut command = host.command(&words);
        command.env("SECRET_OF_THE_CALLER", "told");
        let ran = host.finish(command, &words, b"");
        let said: String = ran.out.chars().filter(|c| *c != '\0').collect();
        assert_eq!((ran.code, said.as_str()), (0, "silo-initlog\n"), "{ran}");
    }
}

/// What is about to become the program has its rights already, and still the caller's memory: nobody with these rights looks into
/// it. A hook that runs at that moment is such a one.
#[test]
fn what_becomes_the_program_cannot_be_looked_at() {
    let scene = Scene::new();
    let look = "for name in fd environ exe; do ls -l /proc/1/$name >/dev/null && cat /proc/1/environ && echo seen $name; done >/tmp/seen 2>&1; true";
    let hook = serde_json::json!({"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", look], "env": ["PATH=/bin"]}]});
    let ran = scene.run((Who::Root, false), &["cat", "/tmp/seen"], |spec| {
        spec["hooks"] = hook;
    });
    assert_eq!(ran.code, 0, "{ran}");
    assert!(
        ran.out.contains("denied") && !ran.out.contains("seen"),
        "{ran}"
    );
}
