//! What the specification says of a process: scheduler, priorities, memory policy, personality, processors, limits, labels, names.

use serde_json::json;

use crate::support::Bundle;

#[test]
fn scheduler_and_priorities() {
    let mut bundle = Bundle::new();
    bundle.set(
        "/process/scheduler",
        json!({"policy": "SCHED_BATCH", "nice": 7, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}),
    );
    bundle.set(
        "/process/ioPriority",
        json!({"class": "IOPRIO_CLASS_BE", "priority": 6}),
    );
    let said = bundle.ask(&["scheduler", "io"]);
    assert_eq!(said["scheduler"], json!([3, 7, 0, 1]));
    assert_eq!(said["io"], json!([2, 6]));

    bundle.set(
        "/process/scheduler",
        json!({"policy": "SCHED_FIFO", "priority": 5}),
    );
    bundle.set(
        "/process/ioPriority",
        json!({"class": "IOPRIO_CLASS_RT", "priority": 1}),
    );
    let said = bundle.ask_beside(&["scheduler", "io"], |_| {});
    assert_eq!(said["scheduler"], json!([1, 0, 5, 0]));
    assert_eq!(said["io"], json!([1, 1]));

    bundle.set(
        "/process/scheduler",
        json!({"policy": "SCHED_FIFO", "priority": 1000}),
    );
    let error = bundle.refused();
    assert!(error.contains("scheduler"), "{error}");
}

#[test]
fn memory_policy_and_personality_are_the_containers() {
    let mut bundle = Bundle::new();
    bundle.set(
        "/linux/memoryPolicy",
        json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}),
    );
    bundle.set("/linux/personality", json!({"domain": "LINUX32"}));
    let asked = ["memory", "machine"];
    for said in [bundle.ask(&asked), bundle.ask_beside(&asked, |_| {})] {
        assert_eq!(said["memory"], 2 | 1 << 15);
        assert_eq!(said["machine"], "i686");
    }
    bundle.set(
        "/linux/memoryPolicy",
        json!({"mode": "MPOL_BIND", "nodes": "900"}),
    );
    let error = bundle.refused();
    assert!(error.contains("memory policy"), "{error}");
}

#[test]
fn processors_of_a_process_that_enters() {
    if std::thread::available_parallelism().is_ok_and(|n| n.get() < 2) {
        println!("skipped: there is one processor");
        return;
    }
    let mut bundle = Bundle::new();
    let last = |affinity: serde_json::Value| {
        move |process: &mut serde_json::Value| process["execCPUAffinity"] = affinity
    };
    let said = bundle.ask_beside(&["processors"], last(json!({"initial": "0", "final": "1"})));
    assert_eq!(said["processors"], json!([1]));
    let said = bundle.ask_beside(&["processors"], last(json!({"initial": "1"})));
    assert_eq!(said["processors"], json!([1]));
}

#[test]
fn names_umask_groups_and_limits() {
    let mut bundle = Bundle::new();
    bundle.set("/hostname", json!("one"));
    bundle.set("/domainname", json!("two"));
    bundle.set(
        "/process/user",
        json!({"uid": 1, "gid": 2, "additionalGids": [3], "umask": 0o77}),
    );
    bundle.set("/process/noNewPrivileges", json!(true));
    bundle.set(
        "/process/rlimits",
        json!([{"type": "RLIMIT_STACK", "soft": 65536, "hard": 131072}]),
    );
    bundle.set("/process/oomScoreAdj", json!(7));
    let said = bundle.ask(&[
        "hostname",
        "domainname",
        "ids",
        "status:Groups",
        "umask",
        "status:NoNewPrivs",
        "limit:3",
        "read:/proc/self/oom_score_adj",
    ]);
    assert_eq!(said["hostname"], "one");
    assert_eq!(said["domainname"], "two");
    assert_eq!(said["ids"], json!([1, 2]));
    assert_eq!(said["status:Groups"], "3");
    assert_eq!(said["umask"], 0o77);
    assert_eq!(said["status:NoNewPrivs"], "1");
    assert_eq!(said["limit:3"], json!([65536, 131072]));
    assert_eq!(said["read:/proc/self/oom_score_adj"], "7\n");
}

/// A security module that the host lacks is an error, never a container without.
#[test]
fn labels_of_modules_that_are_not_there() {
    let mut bundle = Bundle::new();
    if !std::path::Path::new("/sys/module/apparmor").exists() {
        bundle.set("/process/apparmorProfile", json!("docker-default"));
        let error = bundle.refused();
        assert!(error.contains("AppArmor is not enabled"), "{error}");
        bundle.set("/process/apparmorProfile", json!("unconfined"));
        bundle.ask(&["pid"]);
    }
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        bundle.set(
            "/process/selinuxLabel",
            json!("system_u:system_r:container_t:s0"),
        );
        let error = bundle.refused();
        assert!(error.contains("SELinux is not enabled"), "{error}");
        bundle.set("/process/selinuxLabel", json!(null));
        bundle.set(
            "/linux/mountLabel",
            json!("system_u:object_r:container_file_t:s0"),
        );
        let error = bundle.refused();
        assert!(error.contains("SELinux is not enabled"), "{error}");
    }
}

#[test]
fn settings_of_the_kernel() {
    let mut bundle = Bundle::new();
    bundle.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1", "kernel.shmmni": "77", "fs.mqueue.msg_max": "8", "kernel.domainname": "x"}));
    let said = bundle.ask(&[
        "read:/proc/sys/net/ipv4/ip_forward",
        "read:/proc/sys/kernel/shmmni",
        "read:/proc/sys/fs/mqueue/msg_max",
        "domainname",
    ]);
    assert_eq!(said["read:/proc/sys/net/ipv4/ip_forward"], "1\n");
    assert_eq!(said["read:/proc/sys/kernel/shmmni"], "77\n");
    assert_eq!(said["read:/proc/sys/fs/mqueue/msg_max"], "8\n");
    assert_eq!(said["domainname"], "x");

    // Joined by path, the host's own is no other than the host's.
    bundle
        .without_namespace("network")
        .namespace(json!({"type": "network", "path": "/proc/self/ns/net"}))
        .set("/linux/sysctl", json!({"net.ipv4.ip_default_ttl": "63"}));
    let error = bundle.refused();
    assert!(error.contains("is the host's"), "{error}");
}

#[test]
fn settings_of_the_kernel_in_a_user_namespace() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(200_000, 1000);
    bundle.set(
        "/linux/sysctl",
        json!({"net.ipv4.ip_forward": "1", "user.max_uts_namespaces": "3"}),
    );
    let said = bundle.ask(&[
        "read:/proc/sys/net/ipv4/ip_forward",
        "read:/proc/sys/user/max_uts_namespaces",
    ]);
    assert_eq!(said["read:/proc/sys/net/ipv4/ip_forward"], "1\n");
    assert_eq!(said["read:/proc/sys/user/max_uts_namespaces"], "3\n");
}
