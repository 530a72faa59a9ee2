//! Plans for the three kinds of host, as the shell lines that would do the same.

use oci_spec::runtime::LinuxResources;
use silo_cgroup::{CgroupPath, Layout, limits};
use silo_types::{Kind, Result};

fn layout(kind: &str) -> Layout {
    let v1 = [
        "memory",
        "cpu,cpuacct",
        "cpuset",
        "blkio",
        "pids",
        "devices",
        "freezer",
    ];
    let v1: String = v1
        .iter()
        .map(|name| format!("1 1 0:1 / /cg/{name} rw - cgroup cgroup rw,{name}\n"))
        .collect();
    let v2 = |point: &str| format!("2 1 0:2 / {point} rw - cgroup2 cgroup2 rw\n");
    let layout = match kind {
        "v1" => Layout::from_texts(&v1, ""),
        "hybrid" => Layout::from_texts(&(v1 + &v2("/cg/unified")), "hugetlb"),
        _ => Layout::from_texts(&v2("/cg"), "cpuset cpu io memory hugetlb pids rdma"),
    };
    layout.unwrap()
}

/// The plan's lines, without what all have in common.
fn plan(kind: &str, json: &str) -> Result<Vec<String>> {
    let resources: LinuxResources = serde_json::from_str(json).unwrap();
    let (layout, path) = (layout(kind), CgroupPath::new("/x").unwrap());
    let lines = limits::plan(&layout, &resources)?;
    Ok(lines
        .iter()
        .map(|step| {
            step.shell(&layout, &path)
                .replace("echo ", "")
                .replace("/cg", "")
        })
        .collect())
}

#[track_caller]
fn check(kind: &str, json: &str, want: &[&str]) {
    assert_eq!(plan(kind, json).unwrap(), want, "{kind} {json}");
}

#[track_caller]
fn refuses(kind: &str, json: &str, class: Kind, text: &str) {
    let error = plan(kind, json).unwrap_err();
    assert_eq!(error.kind(), class, "{error}");
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn memory() {
    let json = r#"{"memory": {"limit": 1048576, "swap": 3145728, "reservation": 4096}}"#;
    check(
        "v1",
        json,
        &[
            "'1048576' > /memory/x/memory.limit_in_bytes",
            "'3145728' > /memory/x/memory.memsw.limit_in_bytes",
            "'4096' > /memory/x/memory.soft_limit_in_bytes",
        ],
    );
    check(
        "v2",
        json,
        &[
            "'1048576' > /x/memory.max",
            "'2097152' > /x/memory.swap.max",
            "'4096' > /x/memory.low",
        ],
    );
    let json = r#"{"memory": {"limit": -1}}"#;
    check(
        "v1",
        json,
        &[
            "'-1' > /memory/x/memory.limit_in_bytes",
            "'-1' > /memory/x/memory.memsw.limit_in_bytes",
        ],
    );
    check(
        "v2",
        json,
        &["'max' > /x/memory.max", "'max' > /x/memory.swap.max"],
    );
    check("v2", r#"{"memory": {"limit": 0, "swap": 0}}"#, &[]);
    let json = r#"{"memory": {"swappiness": 10, "disableOOMKiller": true}}"#;
    check(
        "v1",
        json,
        &[
            "'10' > /memory/x/memory.swappiness",
            "'1' > /memory/x/memory.oom_control",
        ],
    );
}

#[test]
fn memory_that_cannot_be() {
    let swappiness = r#"{"memory": {"swappiness": 10}}"#;
    refuses(
        "v2",
        swappiness,
        Kind::Unsupported,
        "memory swappiness: control groups v2",
    );
    let killer = r#"{"memory": {"disableOOMKiller": true}}"#;
    refuses("v2", killer, Kind::Unsupported, "OOM killer switch");
    refuses(
        "v1",
        r#"{"memory": {"swappiness": 101}}"#,
        Kind::Invalid,
        "0 to 100",
    );
    refuses(
        "v1",
        r#"{"memory": {"limit": -2}}"#,
        Kind::Invalid,
        "memory limit",
    );
    for kind in ["v1", "v2"] {
        let small = r#"{"memory": {"limit": 8192, "swap": 4096}}"#;
        refuses(kind, small, Kind::Invalid, "below the memory limit");
    }
    let alone = r#"{"memory": {"swap": 4096}}"#;
    refuses("v2", alone, Kind::Invalid, "give the memory limit too");
    check(
        "v1",
        alone,
        &["'4096' > /memory/x/memory.memsw.limit_in_bytes"],
    );
}

#[test]
fn cpu() {
    let json = r#"{"cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 1000, "cpus": "0-1", "mems": "0"}}"#;
    check(
        "v1",
        json,
        &[
            "'512' > /cpu,cpuacct/x/cpu.shares",
            "'100000' > /cpu,cpuacct/x/cpu.cfs_period_us",
            "'50000' > /cpu,cpuacct/x/cpu.cfs_quota_us",
            "'1000' > /cpu,cpuacct/x/cpu.cfs_burst_us",
            "'0-1' > /cpuset/x/cpuset.cpus",
            "'0' > /cpuset/x/cpuset.mems",
        ],
    );
    check(
        "v2",
        json,
        &[
            "'59' > /x/cpu.weight",
            "'50000 100000' > /x/cpu.max",
            "'1000' > /x/cpu.max.burst",
            "'0-1' > /x/cpuset.cpus",
            "'0' > /x/cpuset.mems",
        ],
    );
    check("v2", r#"{"cpu": {"quota": -1}}"#, &["'max' > /x/cpu.max"]);
    check(
        "v2",
        r#"{"cpu": {"period": 50000}}"#,
        &["'max 50000' > /x/cpu.max"],
    );
    check("v2", r#"{"cpu": {"idle": 1}}"#, &["'1' > /x/cpu.idle"]);
    let rt = r#"{"cpu": {"realtimeRuntime": 1000}}"#;
    check("v1", rt, &["'1000' > /cpu,cpuacct/x/cpu.rt_runtime_us"]);
    refuses("v2", rt, Kind::Unsupported, "real-time cpu limit");
    refuses(
        "v1",
        r#"{"cpu": {"cpus": "0-x"}}"#,
        Kind::Invalid,
        "no list",
    );
    refuses(
        "v1",
        r#"{"cpu": {"idle": 1, "shares": 2}}"#,
        Kind::Invalid,
        "cpu shares",
    );
}

#[test]
fn pids_and_controllers_that_are_missing() {
    check(
        "v1",
        r#"{"pids": {"limit": 7}}"#,
        &["'7' > /pids/x/pids.max"],
    );
    check("v2", r#"{"pids": {"limit": -1}}"#, &["'max' > /x/pids.max"]);
    let rdma = r#"{"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10}}}"#;
    check(
        "v2",
        rdma,
        &["'mlx5_1 hca_handle=3 hca_object=10' > /x/rdma.max"],
    );
    refuses("v1", rdma, Kind::Unsupported, "no rdma controller");
    let class = r#"{"network": {"classID": 1048577}}"#;
    refuses(
        "v1",
        class,
        Kind::Unsupported,
        "network class: this host has no net_cls",
    );
    refuses("v2", class, Kind::Unsupported, "control groups v2");
}

#[test]
fn block_io() {
    let json = r#"{"blockIO": {"weight": 500,
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1048576}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 10}, {"major": 8, "minor": 16, "rate": 0}]}}"#;
    check(
        "v1",
        json,
        &[
            "'500' > /blkio/x/blkio.bfq.weight",
            "'8:0 1048576' > /blkio/x/blkio.throttle.read_bps_device",
            "'8:0 10' > /blkio/x/blkio.throttle.write_iops_device",
            "'8:16 0' > /blkio/x/blkio.throttle.write_iops_device",
        ],
    );
    check(
        "v2",
        json,
        &[
            "'default 500' > /x/io.bfq.weight",
            "'8:0 rbps=1048576 wiops=10' > /x/io.max",
            "'8:16 wiops=max' > /x/io.max",
        ],
    );
    refuses(
        "v1",
        r#"{"blockIO": {"weight": 5}}"#,
        Kind::Invalid,
        "10 to 1000",
    );
    let leaf = r#"{"blockIO": {"leafWeight": 50}}"#;
    refuses("v2", leaf, Kind::Unsupported, "leaf weight");
}

#[test]
fn huge_pages_and_the_unified_map() {
    let json = r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}"#;
    check(
        "hybrid",
        json,
        &[
            "'4194304' > /unified/x/hugetlb.2MB.max",
            "'4194304' > /unified/x/hugetlb.2MB.rsvd.max",
        ],
    );
    refuses("v1", json, Kind::Unsupported, "no hugetlb controller");
    let odd = r#"{"hugepageLimits": [{"pageSize": "../x", "limit": 1}]}"#;
    refuses("v2", odd, Kind::Invalid, "page size");
    let json = r#"{"unified": {"memory.high": "1M", "io.max": "8:0 rbps=1\n8:16 rbps=2"}}"#;
    check(
        "v2",
        json,
        &[
            "'8:0 rbps=1' > /x/io.max",
            "'8:16 rbps=2' > /x/io.max",
            "'1M' > /x/memory.high",
        ],
    );
    refuses("hybrid", json, Kind::Unsupported, "not in a v2 hierarchy");
    refuses("v1", json, Kind::Unsupported, "not in a v2 hierarchy");
    for bad in ["cgroup.procs", "a/b.c", "x", "cgroup.kill"] {
        let json = format!(r#"{{"unified": {{"{bad}": "1"}}}}"#);
        refuses("v2", &json, Kind::Invalid, bad);
    }
}
