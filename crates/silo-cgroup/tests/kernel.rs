//! The real kernel: limits, devices, statistics, events and teardown on groups of the tests' own. Needs root.
//!
//! What this host's kind of control groups does not have is passed over, with a line that says so.

mod common;

use common::{Job, Scratch, resources, until};
use rustix::event::{PollFd, Timespec, poll};
use silo_cgroup::{
    Cgroup, CgroupPath, Controller, Existing, Figures, Layout, OomEvent, OomWatch, StatsReader,
    Version,
};
use silo_types::Kind;
use std::time::{Duration, Instant};

fn is_v1(layout: &Layout, controller: Controller) -> bool {
    let place = layout.place(controller);
    place.is_some_and(|place| layout.hierarchies()[place].version == Version::V1)
}

#[test]
fn a_group_comes_and_goes_in_every_hierarchy() {
    let scratch = Scratch::new();
    let group = scratch.create("{}").unwrap();
    for place in 0..scratch.layout.hierarchies().len() {
        assert!(std::fs::metadata(group.dir(place)).unwrap().is_dir());
    }
    let again = scratch.create("{}").unwrap_err();
    assert_eq!(again.kind(), Kind::Conflict, "{again}");
    let adopted = Cgroup::create(
        &scratch.layout,
        &scratch.path(),
        &resources("{}"),
        Existing::Adopt,
    );
    assert!(adopted.is_ok());
    assert_eq!(
        Cgroup::list_below(&scratch.layout, &scratch.root).unwrap(),
        [scratch.path()]
    );
    assert!(group.destroy().is_empty());
    assert!(!group.exists());
    assert!(group.destroy().is_empty(), "gone is as good as removed");
}

#[test]
fn attached_processes_are_listed_confirmed_and_killed() {
    let scratch = Scratch::new();
    let group = scratch.create("{}").unwrap();
    let job = Job::start(&group, "sleep 1000 & sleep 1000 & wait");
    until("three processes", || group.procs(false).unwrap().len() == 3);
    assert!(group.procs(true).unwrap().contains(&job.pid()));
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", job.pid())).unwrap();
    group.confirm(&text).unwrap();
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    assert_eq!(group.confirm(&own).unwrap_err().kind(), Kind::Internal);
    let held = group.destroy();
    assert!(held[0].to_string().contains("are in it"), "{held:?}");
    group.kill_all().unwrap();
    assert!(group.procs(true).unwrap().is_empty());
    assert!(group.destroy().is_empty());
}

#[test]
fn a_fork_storm_is_killed() {
    let scratch = Scratch::new();
    let group = scratch.create(r#"{"pids": {"limit": 40}}"#).unwrap();
    // A shell would end at the first fork that is refused.
    let _job = Job::start(
        &group,
        "exec perl -e 'while (1) { fork; select(undef, undef, undef, 0.001) }'",
    );
    until("a storm", || group.procs(false).unwrap().len() > 20);
    group.kill_all().unwrap();
    assert!(group.procs(true).unwrap().is_empty());
}

#[test]
fn groups_below_are_seen_and_removed() {
    let scratch = Scratch::new();
    let group = scratch.create("{}").unwrap();
    let path = group.path().join("a").unwrap().join("b").unwrap();
    let below = Cgroup::create(&scratch.layout, &path, &resources("{}"), Existing::Refuse).unwrap();
    let job = Job::start(&below, "exec sleep 1000");
    assert_eq!(group.procs(false).unwrap(), [job.pid()]);
    group.kill_all().unwrap();
    assert!(group.destroy().is_empty());
    assert!(!below.exists());
}

#[test]
fn limits_are_set() {
    let scratch = Scratch::new();
    let group = scratch
        .create(
            r#"{"memory": {"limit": 33554432, "reservation": 16777216}, "pids": {"limit": 17},
                "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"}}"#,
        )
        .unwrap();
    let read = |file| scratch.read(&group, file);
    assert_eq!(read("pids.max"), "17");
    assert_eq!(read("cpuset.cpus"), "0");
    if is_v1(&scratch.layout, Controller::Memory) {
        assert_eq!(read("memory.limit_in_bytes"), "33554432");
        assert_eq!(read("memory.soft_limit_in_bytes"), "16777216");
        assert_eq!(read("cpu.cfs_quota_us"), "50000");
        assert_eq!(read("cpu.shares"), "512");
    } else {
        assert_eq!(read("memory.max"), "33554432");
        assert_eq!(read("cpu.max"), "50000 100000");
        assert_eq!(read("cpu.weight"), "59");
    }
}

#[test]
fn what_only_v1_has_is_set() {
    let scratch = Scratch::new();
    let json = r#"{"memory": {"swappiness": 10, "disableOOMKiller": true, "limit": 33554432}}"#;
    if !is_v1(&scratch.layout, Controller::Memory) {
        let error = scratch.create(json).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{error}");
        return;
    }
    let group = scratch.create(json).unwrap();
    assert_eq!(scratch.read(&group, "memory.swappiness"), "10");
    let control = scratch.read(&group, "memory.oom_control");
    assert!(control.starts_with("oom_kill_disable 1"), "{control}");
    let free = resources(r#"{"memory": {"limit": -1, "disableOOMKiller": false}}"#);
    group.update(&free).unwrap();
    assert_eq!(group.stats().unwrap().memory.unwrap().limit, None);
}

/// A disk of this host: partitions cannot be throttled.
fn disk() -> Option<(u32, u32)> {
    std::fs::read_dir("/sys/block").ok()?.find_map(|entry| {
        let text = std::fs::read_to_string(entry.ok()?.path().join("dev")).ok()?;
        let (major, minor) = text.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    })
}

#[test]
fn disks_are_throttled() {
    let scratch = Scratch::new();
    let Some((major, minor)) = disk() else {
        eprintln!("passed over: no disk");
        return;
    };
    let json = |rate: u64, operations: u64| {
        format!(
            r#"{{"blockIO": {{
                "throttleReadBpsDevice": [{{"major": {major}, "minor": {minor}, "rate": {rate}}}],
                "throttleWriteIOPSDevice": [{{"major": {major}, "minor": {minor}, "rate": {operations}}}]}}}}"#
        )
    };
    let group = scratch.create(&json(1048576, 77)).unwrap();
    let shown = || match is_v1(&scratch.layout, Controller::Io) {
        true => scratch.read(&group, "blkio.throttle.read_bps_device"),
        false => scratch.read(&group, "io.max"),
    };
    assert!(shown().contains("1048576"), "{}", shown());
    group.update(&resources(&json(0, 77))).unwrap();
    assert!(!shown().contains("1048576"), "{}", shown());
}

/// The disk that holds a directory, its partitions taken together; `None` for a file system without one.
fn disk_of(dir: &std::path::Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let device = std::fs::metadata(dir).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let node = std::path::PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    let disk = match node.join("partition").exists() {
        true => node.join("../dev"),
        false => node.join("dev"),
    };
    Some(std::fs::read_to_string(disk).ok()?.trim().to_owned())
}

#[test]
fn disk_traffic_is_counted() {
    let dir = std::env::temp_dir();
    let Some(disk) = disk_of(&dir) else {
        eprintln!("passed over: {} is on no disk", dir.display());
        return;
    };
    let scratch = Scratch::new();
    // v1 counts where a throttle is; this one holds nothing back
    let (major, minor) = disk.split_once(':').unwrap();
    let json = format!(
        r#"{{"blockIO": {{"throttleWriteBpsDevice": [{{"major": {major}, "minor": {minor}, "rate": 1099511627776}}]}}}}"#
    );
    let group = scratch.create(&json).unwrap();
    let file = dir.join(format!("silo-test-io-{}", std::process::id()));
    let name = file.display();
    let command = format!("dd if=/dev/zero of={name} bs=1M count=4 oflag=direct conv=fsync");
    let mut job = Job::start(&group, &command);
    let status = job.0.wait().unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(status.success());
    let io = group.stats().unwrap().io.unwrap();
    assert!(io.write_bytes >= 4 << 20, "{io:?}");
    assert!(io.write_ops >= 4, "{io:?}");
}

#[test]
fn limits_that_the_host_cannot_enforce_leave_nothing_behind() {
    let scratch = Scratch::new();
    let cases = [
        (r#"{"cpu": {"cpus": "0-4000"}}"#, "cpu set"),
        (r#"{"cpu": {"mems": "4000"}}"#, "memory node set"),
        (r#"{"cpu": {"quota": 1}}"#, "cpu quota"),
        (r#"{"cpu": {"shares": 300000}}"#, "cpu shares"),
        (r#"{"blockIO": {"leafWeight": 100}}"#, "leaf weight"),
        (
            r#"{"blockIO": {"throttleReadBpsDevice": [{"major": 250, "minor": 250, "rate": 1}]}}"#,
            "250:250",
        ),
        (r#"{"rdma": {"none": {"hcaHandles": 1}}}"#, "rdma"),
    ];
    for (json, text) in cases {
        if text == "cpu shares" && !is_v1(&scratch.layout, Controller::Cpu) {
            continue;
        }
        let error = scratch.create(json).unwrap_err();
        assert!(error.to_string().contains(text), "{json}: {error}");
        assert!(
            [Kind::Invalid, Kind::Unsupported].contains(&error.kind()),
            "{json}: {error:?}"
        );
        assert!(
            !Cgroup::at(&scratch.layout, &scratch.path()).exists(),
            "{json}"
        );
    }
}

#[test]
fn swap_is_limited_in_either_direction() {
    let scratch = Scratch::new();
    let json = |limit: u64, swap: u64| {
        let (limit, swap) = (limit << 20, swap << 20);
        format!(r#"{{"memory": {{"limit": {limit}, "swap": {swap}}}}}"#)
    };
    let group = match scratch.create(&json(64, 128)) {
        Ok(group) => group,
        Err(error) if error.to_string().contains("swap accounting") => {
            eprintln!("passed over: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let limits = || match is_v1(&scratch.layout, Controller::Memory) {
        true => (
            scratch.read(&group, "memory.limit_in_bytes"),
            scratch.read(&group, "memory.memsw.limit_in_bytes"),
        ),
        false => (
            scratch.read(&group, "memory.max"),
            scratch.read(&group, "memory.swap.max"),
        ),
    };
    for (limit, swap) in [(256, 512), (32, 32), (100, 100), (16, 64)] {
        group.update(&resources(&json(limit, swap))).unwrap();
        let second = match is_v1(&scratch.layout, Controller::Memory) {
            true => swap << 20,
            false => (swap - limit) << 20,
        };
        assert_eq!(limits(), ((limit << 20).to_string(), second.to_string()));
    }
    if is_v1(&scratch.layout, Controller::Memory) {
        let before = limits();
        let alone = resources(r#"{"memory": {"limit": 1073741824, "reservation": 4096}}"#);
        let error = group.update(&alone).unwrap_err();
        assert!(error.to_string().contains("memory and swap"), "{error}");
        assert_eq!(limits(), before);
        assert!(scratch.read(&group, "memory.soft_limit_in_bytes").len() > 10);
    }
}

#[test]
fn an_update_keeps_what_is_not_given_and_takes_back_when_it_fails() {
    let scratch = Scratch::new();
    let group = scratch
        .create(r#"{"cpu": {"quota": 50000, "period": 100000}, "pids": {"limit": 5}}"#)
        .unwrap();
    group
        .update(&resources(r#"{"cpu": {"period": 200000}}"#))
        .unwrap();
    let quota = || match is_v1(&scratch.layout, Controller::Cpu) {
        true => format!(
            "{} {}",
            scratch.read(&group, "cpu.cfs_quota_us"),
            scratch.read(&group, "cpu.cfs_period_us")
        ),
        false => scratch.read(&group, "cpu.max"),
    };
    assert_eq!(quota(), "50000 200000");
    group
        .update(&resources(r#"{"cpu": {"quota": 80000}}"#))
        .unwrap();
    assert_eq!(quota(), "80000 200000");
    assert_eq!(scratch.read(&group, "pids.max"), "5");
    let bad = r#"{"cpu": {"quota": 10000, "period": 100000, "cpus": "4000"}, "memory": {"limit": 8388608}}"#;
    group.update(&resources(bad)).unwrap_err();
    assert_eq!(quota(), "80000 200000");
    let memory = group.stats().unwrap().memory.unwrap();
    assert_eq!(memory.limit, None);
}

#[test]
fn a_limit_below_what_is_in_use_is_refused() {
    let scratch = Scratch::new();
    let group = scratch
        .create(r#"{"memory": {"limit": 268435456}}"#)
        .unwrap();
    let _job = Job::start(&group, "head -c 40m /dev/zero | { head -c 40m | tail; }");
    let _hog = Job::start(
        &group,
        "x=$(head -c 20000000 /dev/zero | tr '\\0' a); sleep 1000",
    );
    until("memory in use", || {
        group.stats().unwrap().memory.unwrap().anon > 20_000_000
    });
    let small = resources(r#"{"memory": {"limit": 1048576, "checkBeforeUpdate": true}}"#);
    let error = group.update(&small).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert!(error.to_string().contains("in use"), "{error}");
    if is_v1(&scratch.layout, Controller::Memory) {
        let small = resources(r#"{"memory": {"limit": 1048576}}"#);
        let error = group.update(&small).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{error}");
    }
    assert_eq!(
        group.stats().unwrap().memory.unwrap().limit,
        Some(268435456)
    );
}

#[test]
fn devices_are_allowed_and_denied() {
    let scratch = Scratch::new();
    let json = |more: &str| {
        format!(
            r#"{{"devices": [{{"allow": false, "access": "rwm"}},
                {{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}}{more}]}}"#
        )
    };
    let group = scratch.create(&json("")).unwrap();
    let can = |device: &str| {
        let mut job = Job::start(&group, &format!(": <{device} || exit 7"));
        job.0.wait().unwrap().code() == Some(0)
    };
    assert!(can("/dev/null"));
    assert!(!can("/dev/zero"));
    let zero = r#",{"allow": true, "type": "c", "major": 1, "minor": 5, "access": "r"}"#;
    group.update(&resources(&json(zero))).unwrap();
    assert!(can("/dev/zero"));
    group.update(&resources(&json(""))).unwrap();
    assert!(can("/dev/null"));
    assert!(!can("/dev/zero"));
    let all = resources(r#"{"devices": [{"allow": true, "access": "rwm"}]}"#);
    group.update(&all).unwrap();
    assert!(can("/dev/zero"));
}

#[test]
fn a_bpf_program_is_attached_and_replaced() {
    let scratch = Scratch::new();
    let Some(place) = scratch.layout.unified() else {
        eprintln!("passed over: no v2 hierarchy");
        return;
    };
    let group = scratch.create("{}").unwrap();
    let directory = group.open_dir_fd().unwrap().unwrap();
    let rules = |json| {
        let resources = resources(json);
        silo_cgroup::devices::Rules::new(resources.devices().as_deref().unwrap()).unwrap()
    };
    let attach = |json| {
        let code = silo_cgroup::devices::program::program(&rules(json));
        let program = silo_sys::bpf::load_cgroup_device(&code).unwrap();
        silo_sys::bpf::attach_cgroup_device(&directory, &program).unwrap();
        silo_sys::bpf::attached_cgroup_device(&directory).unwrap()
    };
    let can = |device: &str| {
        let mut job = Job::start(&group, &format!(": <{device} || exit 7"));
        job.0.wait().unwrap().code() == Some(0)
    };
    let first = attach(
        r#"{"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"}]}"#,
    );
    assert_eq!(first.len(), 1, "in {}", group.dir(place));
    assert!(can("/dev/null") && !can("/dev/zero"));
    let second = attach(
        r#"{"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rw"},
            {"allow": true, "type": "b", "major": 4294967294, "minor": 2, "access": "m"}]}"#,
    );
    assert_eq!(second.len(), 1);
    assert_ne!(first, second);
    assert!(!can("/dev/null") && can("/dev/zero"));
}

#[test]
fn frozen_processes_stand_still() {
    let scratch = Scratch::new();
    let group = scratch.create("{}").unwrap();
    let _job = Job::start(&group, "while :; do :; done");
    let time = || group.stats().unwrap().cpu.unwrap().total_ns;
    until("some work", || time() > 1_000_000);
    assert!(!group.is_frozen().unwrap());
    group.freeze().unwrap();
    assert!(group.is_frozen().unwrap());
    let before = time();
    std::thread::sleep(Duration::from_millis(50));
    assert!(time() - before < 2_000_000);
    group.thaw().unwrap();
    until("work again", || time() > before + 5_000_000);
    // A frozen group can be killed as well
    group.freeze().unwrap();
    group.kill_all().unwrap();
}

/// On a hybrid host the v2 hierarchy alone, as if there were no other: what needs no controller works as on a v2 host.
#[test]
fn v2_alone_freezes_kills_and_guards_devices() {
    let mut scratch = Scratch::new();
    let Some(place) = scratch.layout.unified() else {
        eprintln!("passed over: no v2 hierarchy");
        return;
    };
    let point = &scratch.layout.hierarchies()[place].point;
    let table = format!("1 1 0:1 / {point} rw - cgroup2 cgroup2 rw\n");
    scratch.layout = Layout::from_texts(&table, "").unwrap();
    let devices = |minor: u8| {
        format!(
            r#"{{"devices": [{{"allow": true, "type": "c", "major": 1, "minor": {minor}, "access": "rw"}}]}}"#
        )
    };
    let group = scratch.create(&devices(3)).unwrap();
    let can = |device: &str| {
        let mut job = Job::start(&group, &format!(": <{device} || exit 7"));
        job.0.wait().unwrap().code() == Some(0)
    };
    assert!(can("/dev/null") && !can("/dev/zero"));
    group.update(&resources(&devices(5))).unwrap();
    assert!(!can("/dev/null") && can("/dev/zero"));
    let job = Job::start(&group, "while :; do :; done");
    group.freeze().unwrap();
    assert!(group.is_frozen().unwrap());
    group.thaw().unwrap();
    assert!(!group.is_frozen().unwrap());
    group.freeze().unwrap();
    assert_eq!(group.procs(false).unwrap(), [job.pid()]);
    group.kill_all().unwrap();
    assert!(group.procs(false).unwrap().is_empty());
    let error = group
        .update(&resources(r#"{"memory": {"limit": 1}}"#))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    let figures = group.stats().unwrap();
    assert!(figures.memory.is_none() && figures.io.is_none());
}

#[test]
fn cpu_time_and_throttling_are_counted() {
    let scratch = Scratch::new();
    let group = scratch
        .create(r#"{"cpu": {"quota": 20000, "period": 100000}}"#)
        .unwrap();
    let mut reader = StatsReader::open(&group, Figures::ALL).unwrap();
    let _job = Job::start(&group, "while :; do :; done");
    let start = (Instant::now(), reader.sample().unwrap().cpu.unwrap());
    std::thread::sleep(Duration::from_millis(1500));
    let stats = reader.sample().unwrap();
    let cpu = stats.cpu.unwrap();
    let used = (cpu.total_ns - start.1.total_ns) as f64 / start.0.elapsed().as_nanos() as f64;
    assert!((0.1..0.3).contains(&used), "used {used} of a cpu");
    assert_eq!(cpu.total_ns, cpu.user_ns + cpu.system_ns);
    let throttle = cpu.throttle.unwrap();
    assert!(throttle.throttled > 3 && throttle.throttled <= throttle.periods);
    assert!(throttle.throttled_ns > 100_000_000);
    assert_eq!(stats.pids.unwrap().current, 1);
    assert_eq!(stats.pids.unwrap().limit, None);
    group.kill_all().unwrap();
    assert!(group.destroy().is_empty());
    assert_eq!(reader.sample().unwrap_err().kind(), Kind::NotFound);
    let gone = StatsReader::open(&group, Figures::ALL).unwrap_err();
    assert_eq!(gone.kind(), Kind::NotFound);
}

#[test]
fn memory_is_counted() {
    let scratch = Scratch::new();
    let group = scratch
        .create(r#"{"memory": {"limit": 134217728}}"#)
        .unwrap();
    let _job = Job::start(
        &group,
        "x=$(head -c 20000000 /dev/zero | tr '\\0' a); sleep 1000",
    );
    let memory = || group.stats().unwrap().memory.unwrap();
    until("memory in use", || memory().anon > 20_000_000);
    let memory = memory();
    assert_eq!(memory.limit, Some(134217728));
    assert!(memory.usage >= memory.anon);
    assert!(memory.used <= memory.usage && memory.used > 20_000_000);
    assert!(memory.peak.unwrap() >= memory.usage);
    assert_eq!(memory.oom_kills, Some(0));
    assert!(memory.kernel.unwrap() > 0);
}

/// Whether the watch gets ready within ten seconds.
fn wait_for(watch: &OomWatch) -> bool {
    let limit = Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    };
    poll(
        &mut [PollFd::from_borrowed_fd(watch.fd(), watch.interest())],
        Some(&limit),
    )
    .unwrap()
        == 1
}

#[test]
fn the_oom_killer_is_noticed_and_so_is_removal() {
    let scratch = Scratch::new();
    let group = scratch
        .create(r#"{"memory": {"limit": 16777216}}"#)
        .unwrap();
    let watch = OomWatch::new(&group).unwrap();
    assert_eq!(watch.counters().unwrap().oom_kill, Some(0));
    let mut job = Job::start(&group, "exec tail /dev/zero");
    assert!(wait_for(&watch), "no event");
    assert!(matches!(watch.read().unwrap(), OomEvent::Counters(_)));
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&job.0.wait().unwrap()),
        Some(9)
    );
    assert_eq!(watch.counters().unwrap().oom_kill, Some(1));
    assert_eq!(group.stats().unwrap().memory.unwrap().oom_kills, Some(1));
    assert!(group.stats().unwrap().memory.unwrap().limit_hits.unwrap() > 0);
    // Take what has come meanwhile
    watch.read().unwrap();
    assert!(group.destroy().is_empty());
    assert!(wait_for(&watch), "removal is not noticed");
    assert_eq!(watch.read().unwrap(), OomEvent::Removed);
}

#[test]
fn an_unwritable_place_is_explained() {
    let dir = std::env::temp_dir().join(format!("silo-test-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let point = dir.to_str().unwrap();
    // proc takes no new directories
    let text = format!(
        "1 1 0:1 / /proc rw - cgroup cgroup rw,pids\n2 1 0:1 / {point} rw - cgroup cgroup rw,name=x\n"
    );
    let layout = Layout::from_texts(&text, "").unwrap();
    let path = CgroupPath::new("/silo-test-x").unwrap();
    let error = Cgroup::create(&layout, &path, &resources("{}"), Existing::Refuse).unwrap_err();
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(error.to_string().contains("/silo-test-x"), "{error}");
}
