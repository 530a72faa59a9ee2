//! Layouts from the mount tables of real hosts.

use silo_cgroup::{Controller, Layout, Mode};

const V2: &str = "\
24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";
const V2_CONTROLLERS: &str = "cpuset cpu io memory hugetlb pids rdma misc dmem\n";

/// A systemd host of 2018.
const V1: &str = "\
25 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 23 0:25 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:8 - tmpfs tmpfs ro,mode=755
31 30 0:26 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:9 - cgroup cgroup rw,xattr,release_agent=/usr/lib/systemd/systemd-cgroups-agent,name=systemd
33 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:10 - cgroup cgroup rw,cpuacct,cpu
34 30 0:29 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid,nodev,noexec,relatime shared:11 - cgroup cgroup rw,net_prio,net_cls
35 30 0:30 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:12 - cgroup cgroup rw,memory
36 30 0:31 / /sys/fs/cgroup/blkio rw,nosuid,nodev,noexec,relatime shared:13 - cgroup cgroup rw,blkio
37 30 0:32 / /sys/fs/cgroup/cpuset rw,nosuid,nodev,noexec,relatime shared:14 - cgroup cgroup rw,cpuset,clone_children
38 30 0:33 / /sys/fs/cgroup/devices rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,devices
39 30 0:34 / /sys/fs/cgroup/freezer rw,nosuid,nodev,noexec,relatime shared:16 - cgroup cgroup rw,freezer
40 30 0:35 / /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime shared:17 - cgroup cgroup rw,pids
";

/// A hybrid host without systemd, where each controller is mounted alone, and memory a second time elsewhere.
const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
99 31 0:32 /jail /srv/jail/memory rw,relatime - cgroup cgroup rw,memory
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

#[test]
fn pure_v2() {
    let layout = Layout::from_texts(V2, V2_CONTROLLERS).unwrap();
    assert_eq!(layout.mode(), Mode::V2);
    assert_eq!(layout.unified(), Some(0));
    assert_eq!(layout.place(Controller::Memory), Some(0));
    assert_eq!(layout.place(Controller::Io), Some(0));
    assert_eq!(layout.place(Controller::Devices), None);
    assert_eq!(
        layout.to_string(),
        "v2: unified(cpu,cpuset,memory,io,pids,hugetlb,rdma,misc)"
    );
    let paths = layout.paths_of("0::/user.slice/session-1.scope\n");
    assert_eq!(paths, [Some("/user.slice/session-1.scope".to_owned())]);
}

#[test]
fn v1_with_controllers_mounted_together() {
    let layout = Layout::from_texts(V1, "").unwrap();
    assert_eq!(layout.mode(), Mode::V1);
    assert_eq!(layout.unified(), None);
    assert_eq!(layout.hierarchies().len(), 9);
    let cpu = layout.place(Controller::Cpu).unwrap();
    assert_eq!(layout.place(Controller::Cpuacct), Some(cpu));
    assert_eq!(layout.hierarchies()[cpu].label(), "cpu,cpuacct");
    assert_eq!(
        layout.hierarchies()[cpu].point,
        "/sys/fs/cgroup/cpu,cpuacct"
    );
    assert_eq!(layout.hierarchies()[0].label(), "name=systemd");
    let paths =
        layout.paths_of("11:cpuset:/a\n4:cpu,cpuacct:/b\n1:name=systemd:/init.scope\n0::/unseen\n");
    assert_eq!(paths[0].as_deref(), Some("/init.scope"));
    assert_eq!(paths[cpu].as_deref(), Some("/b"));
    assert_eq!(paths[layout.place(Controller::Memory).unwrap()], None);
}

#[test]
fn hybrid_takes_the_whole_mount_of_two() {
    let layout = Layout::from_texts(HYBRID, "hugetlb\n").unwrap();
    assert_eq!(layout.mode(), Mode::Hybrid);
    let memory = layout.place(Controller::Memory).unwrap();
    assert_eq!(layout.hierarchies()[memory].point, "/sys/fs/cgroup/memory");
    assert_eq!(layout.place(Controller::Hugetlb), layout.unified());
    assert_eq!(layout.place(Controller::Pids), None);
}

#[test]
fn inside_a_container_the_mount_shows_a_part() {
    let text =
        "99 31 0:32 /docker/0a1b /sys/fs/cgroup/my\\040memory ro - cgroup cgroup rw,memory\n";
    let layout = Layout::from_texts(text, "").unwrap();
    assert_eq!(layout.hierarchies()[0].point, "/sys/fs/cgroup/my memory");
    let paths = |text| layout.paths_of(text).remove(0);
    assert_eq!(paths("4:memory:/docker/0a1b/x\n").as_deref(), Some("/x"));
    assert_eq!(paths("4:memory:/docker/0a1b\n").as_deref(), Some("/"));
    assert_eq!(paths("4:memory:/docker/0a1bc\n"), None);
}

#[test]
fn the_saved_form_reads_back() {
    for (mounts, controllers) in [(V2, V2_CONTROLLERS), (V1, ""), (HYBRID, "hugetlb")] {
        let layout = Layout::from_texts(mounts, controllers).unwrap();
        assert_eq!(Layout::from_text(&layout.to_text()).unwrap(), layout);
    }
    assert!(Layout::from_text("v3 0 - / /x\n").is_err());
    assert!(Layout::from_text("").is_err());
}

#[test]
fn a_host_without_cgroups_is_an_error() {
    let error = Layout::from_texts("25 0 8:1 / / rw - ext4 /dev/sda1 rw\n", "").unwrap_err();
    assert!(error.to_string().contains("no control group hierarchy"));
}

#[test]
fn both_ways_find_the_same_on_this_host() {
    let sorted = |layout: Layout| {
        let mut list = layout.hierarchies().to_vec();
        list.sort_by(|a, b| a.point.cmp(&b.point));
        list
    };
    let quick = Layout::detect().unwrap();
    assert_eq!(sorted(quick), sorted(Layout::from_mounts().unwrap()));
}
