//! --read-only --tmpfs --shm-size --device, and the file systems that every container has.

use crate::common::{Host, kernel};

#[test]
fn the_root_is_writable_or_not() {
    let host = Host::new();
    assert_eq!(host.offline(&[], "echo x > /etc/new && cat /etc/new"), "x");
    let text = host.offline(
        &["--read-only", "--tmpfs", "/run"],
        "echo x 2>/dev/null > /etc/new || echo refused; echo y > /run/ok && cat /run/ok; echo z > /dev/shm/ok && cat /dev/shm/ok",
    );
    assert_eq!(text, "refused\ny\nz");
    host.idle("still", &["--read-only"]);
    let root = &kernel::mounts(host.pid("still"))["/"];
    assert!(root.0.split(',').any(|o| o == "ro"), "{root:?}");
    // The image is never written to.
    assert_eq!(
        host.offline(&[], "ls /etc/new 2>/dev/null || echo none"),
        "none"
    );
}

#[test]
fn file_systems_in_memory() {
    let host = Host::new();
    let flags = [
        "--tmpfs",
        "/a",
        "--tmpfs",
        "/b:size=1m,mode=700,uid=1000,exec",
        "--mount",
        "type=tmpfs,target=/c,tmpfs-size=2097152,tmpfs-mode=1770",
        "--shm-size",
        "3m",
    ];
    host.idle("memory", &flags);
    let mounts = kernel::mounts(host.pid("memory"));
    for (place, options, size) in [
        ("/a", "noexec", ""),
        ("/b", "nosuid", "size=1024k"),
        ("/c", "nodev", "size=2048k"),
        ("/dev/shm", "noexec", "size=3072k"),
    ] {
        let (flags, kind, data) = &mounts[place];
        assert_eq!(kind, "tmpfs", "{place}");
        assert!(flags.split(',').any(|f| f == options), "{place}: {flags}");
        assert!(data.contains(size), "{place}: {data}");
    }
    assert!(!mounts["/b"].0.contains("noexec"));
    let look = "stat -c '%a %u' /a /b /c /dev/shm";
    assert_eq!(
        host.ok(&["exec", "memory", "sh", "-c", look]),
        "1777 0\n700 1000\n1770 0\n1777 0"
    );
    let fill = "dd if=/dev/zero of=/b/x bs=1k count=2048 2>/dev/null || echo full";
    assert_eq!(host.ok(&["exec", "memory", "sh", "-c", fill]), "full");
    host.idle("usual", &[]);
    assert!(
        kernel::mounts(host.pid("usual"))["/dev/shm"]
            .2
            .contains("size=65536k")
    );
    for wrong in ["relative", "/a:nosuch", "/", "/proc"] {
        host.fails(&["run", "--rm", "--tmpfs", wrong, "lab", "true"], 125, "");
    }
    host.fails(
        &["run", "--rm", "--shm-size", "x", "lab", "true"],
        125,
        "shm-size",
    );
}

#[test]
fn devices_are_given_one_by_one() {
    let host = Host::new();
    let list = host.offline(&[], "ls /dev");
    let usual = [
        "console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm",
        "stderr", "stdin", "stdout", "tty", "urandom", "zero",
    ];
    for name in list.lines() {
        assert!(
            usual.contains(&name),
            "{name} is none of a container's devices"
        );
    }
    assert_eq!(
        host.offline(
            &[],
            "head -c 3 /dev/zero | wc -c; echo x > /dev/null; head -c 4 /dev/urandom | wc -c"
        ),
        "3\n4"
    );
    // Making a node is allowed, using it is not; the kernel's log is one that every host has.
    let flags = ["--device", "/dev/kmsg:/dev/log:r"];
    assert_eq!(
        host.offline(
            &flags,
            "test -c /dev/log && dd if=/dev/log count=1 bs=8192 2>/dev/null | wc -l | grep -c ."
        ),
        "1"
    );
    assert_eq!(
        host.offline(&flags, "echo x 2>/dev/null > /dev/log || echo refused"),
        "refused"
    );
    host.idle("plain", &["--device", "/dev/kmsg"]);
    let facts = &host.inspect("plain")["HostConfig"]["Devices"][0];
    assert_eq!(facts["PathInContainer"], "/dev/kmsg");
    assert_eq!(facts["CgroupPermissions"], "rwm");
    for wrong in [
        "/dev/nosuch",
        "/dev/null:/dev/x:q",
        "relative",
        "/etc/passwd",
    ] {
        host.fails(&["run", "--rm", "--device", wrong, "lab", "true"], 125, "");
    }
}

/// The kernel's own places: own, masked or read-only.
#[test]
fn what_tells_about_the_host_is_hidden() {
    let host = Host::new();
    host.idle("masked", &[]);
    let mounts = kernel::mounts(host.pid("masked"));
    for place in [
        "/proc/bus",
        "/proc/fs",
        "/proc/irq",
        "/proc/sys",
        "/proc/sysrq-trigger",
    ] {
        // Kernels are built without some of them.
        if !std::path::Path::new(place).exists() {
            continue;
        }
        assert!(
            mounts[place].0.split(',').any(|o| o == "ro"),
            "{place}: {:?}",
            mounts[place]
        );
    }
    for place in ["/sys", "/sys/fs/cgroup"] {
        assert!(
            mounts[place].0.split(',').any(|o| o == "ro"),
            "{place}: {:?}",
            mounts[place]
        );
    }
    for file in [
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/proc/interrupts",
    ] {
        if std::path::Path::new(file).exists() {
            let text = host.ok(&[
                "exec",
                "masked",
                "sh",
                "-c",
                &format!("head -c 10 {file} | wc -c"),
            ]);
            assert_eq!(text.trim(), "0", "{file}");
        }
    }
    assert_eq!(
        host.ok(&["exec", "masked", "sh", "-c", "ls /sys/firmware | wc -l"])
            .trim(),
        "0"
    );
    for write in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/proc/sys/vm/drop_caches",
    ] {
        let text = host.ok(&[
            "exec",
            "masked",
            "sh",
            "-c",
            &format!("echo 0 2>/dev/null > {write} || echo refused"),
        ]);
        assert_eq!(text, "refused", "{write}");
    }
    // Only the container's own mounts: nothing of the host's root.
    let inside = host.ok(&["exec", "masked", "cat", "/proc/self/mountinfo"]);
    assert!(
        !inside.contains("/var/lib") && !inside.contains(" /home "),
        "{inside}"
    );
    host.idle("open", &["--security-opt", "systempaths=unconfined"]);
    let mounts = kernel::mounts(host.pid("open"));
    assert!(!mounts.contains_key("/proc/sys") && !mounts.contains_key("/proc/kcore"));
}

/// Layers are held once: two containers run the same pages.
#[test]
fn containers_share_the_images_files() {
    let host = Host::new();
    host.idle("one", &[]);
    host.idle("two", &[]);
    let inode = |name: &str| host.ok(&["exec", name, "stat", "-c", "%i", "/bin/silo-lab"]);
    assert_eq!(inode("one"), inode("two"));
    let root = kernel::mounts(host.pid("one"))["/"].clone();
    assert_eq!(root.1, "overlay", "{root:?}");
    // Roots are mounted in the container's own namespace only.
    let outside = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !outside.contains(&host.root.display().to_string()),
        "{outside}"
    );
}
