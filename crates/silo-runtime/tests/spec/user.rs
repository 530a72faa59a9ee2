//! User namespaces: made and joined, by root and by anybody, for a first process and for one that enters.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    process::{Child, Command, Stdio},
};

use serde_json::json;

use crate::support::{Bundle, file, own};

const HOST: u32 = 200_000;
/// A user without privileges.
const NOBODY: u32 = 65_500;

#[test]
fn root_inside_is_nobody_outside() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(HOST, 1000);
    let said = bundle.ask(&[
        "ids",
        "pid",
        "read:/proc/self/uid_map",
        "read:/proc/self/setgroups",
        "status:Groups",
        "status:CapEff",
        "write:/made=x",
        "stat:/made",
        "mknod:/node",
    ]);
    assert_eq!(said["ids"], json!([0, 0]));
    assert_eq!(said["pid"], 1);
    let map: Vec<&str> = said["read:/proc/self/uid_map"]
        .as_str()
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(map, ["0", "200000", "1000"]);
    assert_eq!(said["read:/proc/self/setgroups"], "allow\n");
    assert_eq!(said["status:Groups"], "");
    assert_eq!(said["stat:/made"]["uid"], 0);
    assert_eq!(said["mknod:/node"]["error"], 1);
    let made = fs::metadata(bundle.rootfs().join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (HOST, HOST));
}

#[test]
fn devices_are_the_hosts_own() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(HOST, 1000);
    let said = bundle.ask(&[
        "write:/dev/null=x",
        "stat:/dev/null",
        "stat:/dev/tty",
        "read:/proc/version",
        "write:/proc/sys/kernel/shmmni=5",
        "list:/sys/firmware",
    ]);
    assert_eq!(said["write:/dev/null=x"], "written");
    assert_eq!(said["stat:/dev/null"]["kind"], "device");
    assert_eq!(said["stat:/dev/null"]["device"], 0x103);
    assert_eq!(said["stat:/dev/tty"]["device"], 0x500);
    // What is masked is the null device, in which nothing is read.
    assert_eq!(said["read:/proc/version"], "");
    assert_eq!(said["write:/proc/sys/kernel/shmmni=5"]["error"], 30);
    assert_eq!(said["list:/sys/firmware"], json!([]));

    bundle.set(
        "/linux/devices",
        json!([{"path": "/dev/zero", "type": "c", "major": 1, "minor": 3}]),
    );
    let error = bundle.refused();
    assert!(error.contains("which is not 1:3"), "{error}");
}

#[test]
fn other_users_have_groups_and_ambient_capabilities() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(HOST, 1000);
    bundle.set(
        "/process/user",
        json!({"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o27}),
    );
    let sets = [
        "bounding",
        "effective",
        "permitted",
        "inheritable",
        "ambient",
    ];
    for set in sets {
        bundle.set(
            &format!("/process/capabilities/{set}"),
            json!(["CAP_NET_BIND_SERVICE"]),
        );
    }
    let said = bundle.ask(&[
        "ids",
        "status:Groups",
        "status:CapAmb",
        "status:CapBnd",
        "umask",
    ]);
    assert_eq!(said["ids"], json!([7, 8]));
    assert_eq!(said["status:Groups"], "9 10");
    assert_eq!(said["status:CapAmb"], "0000000000000400");
    assert_eq!(said["status:CapBnd"], "0000000000000400");
    assert_eq!(said["umask"], 0o27);
}

/// Anybody can make one, with a map of the own id alone, and gets no further than that.
#[test]
fn without_privileges_the_own_id_alone_is_mapped() {
    let mut bundle = Bundle::new().called_by(NOBODY);
    bundle.user_namespace(NOBODY, 1);
    let said = bundle.ask(&[
        "ids",
        "read:/proc/self/setgroups",
        "write:/made=x",
        "write:/dev/null=x",
        "pid",
        "list:/sys/class/net",
    ]);
    assert_eq!(said["ids"], json!([0, 0]));
    assert_eq!(said["read:/proc/self/setgroups"], "deny\n");
    assert_eq!(said["write:/dev/null=x"], "written");
    assert_eq!(said["pid"], 1);
    assert_eq!(said["list:/sys/class/net"], json!(["lo"]));
    let made = fs::metadata(bundle.rootfs().join("made")).unwrap();
    assert_eq!(made.uid(), NOBODY);

    bundle.set("/process/user/additionalGids", json!([5]));
    let error = bundle.refused();
    assert!(error.contains("supplementary groups"), "{error}");
}

#[test]
fn without_privileges_other_maps_are_refused() {
    let mut bundle = Bundle::new().called_by(NOBODY);
    bundle.user_namespace(HOST, 1000);
    let error = bundle.refused();
    assert!(error.contains("can map user 65500"), "{error}");
}

#[test]
fn without_a_user_namespace_nobody_gets_nowhere() {
    let error = Bundle::new().called_by(NOBODY).refused();
    assert!(error.contains("ermitted"), "{error}");
}

/// Sources of bind mounts are opened with the host's privileges, which root inside has not.
#[test]
fn what_only_root_can_reach_can_be_bound() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(HOST, 1000);
    let secret = bundle.host().join("closed/given");
    fs::create_dir_all(&secret).unwrap();
    file(&secret.join("file"), "text", 0);
    let closed = bundle.host().join("closed");
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    bundle.mount(json!({"destination": "/given", "type": "bind", "source": secret, "options": ["bind", "ro", "nosuid"]}));
    let said = bundle.ask(&[
        "read:/given/file",
        "stat:/given/file",
        "write:/given/x=1",
        "chown:/given/file",
    ]);
    assert_eq!(said["read:/given/file"], "text");
    assert_eq!(said["stat:/given/file"]["uid"], 65_534);
    assert_eq!(said["write:/given/x=1"]["error"], 30);
    assert_eq!(said["chown:/given/file"]["error"], 30);
}

#[test]
fn network_and_sysfs_of_the_host_can_be_shared() {
    let mut bundle = Bundle::new();
    bundle
        .user_namespace(HOST, 1000)
        .without_namespace("network");
    let said = bundle.ask(&[
        "list:/sys/class/net",
        "write:/sys/kernel/mm/ksm/run=0",
        "mounts",
    ]);
    assert!(said["list:/sys/class/net"].to_string().contains("lo"));
    assert_eq!(said["write:/sys/kernel/mm/ksm/run=0"]["error"], 30);
    for line in said["mounts"].as_str().unwrap().lines() {
        let place = line.split(' ').nth(4).unwrap();
        let options = line.split(' ').nth(5).unwrap();
        assert!(
            !place.starts_with("/sys") || options.starts_with("ro"),
            "{line}"
        );
    }

    bundle.without_namespace("pid");
    let error = bundle.refused();
    assert!(error.contains("/proc needs a PID namespace"), "{error}");
}

#[test]
fn own_control_groups_are_seen() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(HOST, 1000);
    bundle.mount(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid", "noexec", "nodev"]}));
    let said = bundle.ask(&["list:/sys/fs/cgroup", "mkdir:/sys/fs/cgroup/x"]);
    assert_ne!(said["list:/sys/fs/cgroup"], json!([]));
    assert_eq!(said["mkdir:/sys/fs/cgroup/x"]["error"], 30);

    // Those of the host could be written there (2023-25809).
    bundle.without_namespace("cgroup");
    let error = bundle.refused();
    assert!(error.contains("of the container's own alone"), "{error}");
}

/// A process that keeps namespaces alive for others to join.
struct Holder(Child);

impl Holder {
    fn new(words: &[&str]) -> Holder {
        let mut command = Command::new("unshare");
        command.args(words).args(["sleep", "60"]);
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        // Ready when its program is another one.
        let path = format!("/proc/{}/comm", child.id());
        while fs::read_to_string(&path).unwrap().trim() != "sleep" {
            assert!(child.try_wait().unwrap().is_none(), "{words:?}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Holder(child)
    }

    fn map(&self) {
        for file in ["gid_map", "uid_map"] {
            let path = format!("/proc/{}/{file}", self.0.id());
            fs::write(path, format!("0 {HOST} 1000")).unwrap();
        }
    }

    fn namespace(&self, file: &str) -> String {
        format!("/proc/{}/ns/{file}", self.0.id())
    }

    fn inode(&self, file: &str) -> String {
        let link = fs::read_link(self.namespace(file)).unwrap();
        link.to_str().unwrap().to_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Those of the joined user namespace, and one of the host.
#[test]
fn user_namespaces_are_joined_by_path() {
    let other = Holder::new(&["--user", "--net", "--ipc"]);
    other.map();
    let of_host = Holder::new(&["--uts"]);
    let mut bundle = Bundle::new();
    own(&bundle.rootfs(), HOST);
    bundle
        .without_namespace("network")
        .without_namespace("uts")
        .without_namespace("ipc")
        .namespace(json!({"type": "network", "path": other.namespace("net")}))
        .namespace(json!({"type": "uts", "path": of_host.namespace("uts")}))
        .namespace(json!({"type": "ipc", "path": other.namespace("ipc")}))
        .namespace(json!({"type": "user", "path": other.namespace("user")}));
    let asked = [
        "ids",
        "pid",
        "link:/proc/self/ns/user",
        "link:/proc/self/ns/net",
        "link:/proc/self/ns/uts",
        "link:/proc/self/ns/ipc",
    ];
    let said = bundle.ask(&asked);
    assert_eq!(said["ids"], json!([0, 0]));
    assert_eq!(said["pid"], 1);
    assert_eq!(said["link:/proc/self/ns/user"], other.inode("user"));
    assert_eq!(said["link:/proc/self/ns/net"], other.inode("net"));
    assert_eq!(said["link:/proc/self/ns/ipc"], other.inode("ipc"));
    assert_eq!(said["link:/proc/self/ns/uts"], of_host.inode("uts"));

    let said = bundle.ask_beside(&asked, |_| {});
    assert_eq!(said["ids"], json!([0, 0]));
    assert_eq!(said["link:/proc/self/ns/uts"], of_host.inode("uts"));
}

#[test]
fn the_callers_own_is_not_joined() {
    let mut bundle = Bundle::new();
    bundle.namespace(json!({"type": "user", "path": "/proc/self/ns/user"}));
    let error = bundle.refused();
    assert!(error.contains("is the caller's own"), "{error}");
}

#[test]
fn processes_enter_with_users_of_their_own() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(HOST, 1000);
    let said = bundle.ask_beside(
        &[
            "ids",
            "pid",
            "status:Groups",
            "status:NStgid",
            "read:/proc/self/uid_map",
            "list:/proc/self/fd",
            "write:/dev/null=x",
        ],
        |process| process["user"] = json!({"uid": 3, "gid": 4, "additionalGids": [5]}),
    );
    assert_eq!(said["ids"], json!([3, 4]));
    assert_ne!(said["pid"], 1);
    assert_eq!(said["status:Groups"], "5");
    assert_eq!(said["write:/dev/null=x"], "written");
    assert!(
        said["read:/proc/self/uid_map"]
            .to_string()
            .contains("200000")
    );
    // The fourth is the listing itself.
    assert_eq!(said["list:/proc/self/fd"].as_array().unwrap().len(), 4);
}

#[test]
fn anybody_enters_the_own_container() {
    let mut bundle = Bundle::new().called_by(NOBODY);
    bundle.user_namespace(NOBODY, 1);
    let said = bundle.ask_beside(&["ids", "read:/proc/1/comm", "write:/made=x"], |_| {});
    assert_eq!(said["ids"], json!([0, 0]));
    assert_eq!(said["read:/proc/1/comm"], "probe\n");
    assert_eq!(said["write:/made=x"], "written");
}

/// Where root of the namespace is not mapped, the process's own user makes the root.
#[test]
fn root_need_not_be_mapped() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(HOST, 1);
    let map = json!([{"containerID": 5, "hostID": HOST, "size": 1}]);
    bundle.set("/linux/uidMappings", map.clone());
    bundle.set("/linux/gidMappings", map);
    bundle.set("/process/user", json!({"uid": 5, "gid": 5}));
    let said = bundle.ask(&["ids"]);
    assert_eq!(said["ids"], json!([5, 5]));
}

/// Limits above the caller's own are root's of the host, so they are raised before.
#[test]
fn limits_are_set_as_if_by_root() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(HOST, 1000);
    bundle.set(
        "/process/rlimits",
        json!([{"type": "RLIMIT_CORE", "soft": 5, "hard": 10}, {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]),
    );
    bundle.set("/process/oomScoreAdj", json!(100));
    let said = bundle.ask(&["limit:4", "limit:7", "read:/proc/self/oom_score_adj"]);
    assert_eq!(said["limit:4"], json!([5, 10]));
    assert_eq!(said["limit:7"], json!([100, 200]));
    assert_eq!(said["read:/proc/self/oom_score_adj"], "100\n");
}

#[test]
fn bad_maps_are_refused_before_anything_is_made() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(HOST, 1000);
    bundle.set(
        "/linux/gidMappings",
        json!([{"containerID": 0, "hostID": 1, "size": 2}, {"containerID": 1, "hostID": 9, "size": 1}]),
    );
    let error = bundle.refused();
    assert!(error.contains("gidMappings"), "{error}");
}

/// A program that opens /dev/stderr again finds a pipe of its own.
#[test]
fn standard_streams_are_the_users() {
    let mut bundle = Bundle::new();
    bundle.user_namespace(HOST, 1000);
    bundle.set("/process/user", json!({"uid": 7, "gid": 8}));
    let asked = ["write:/dev/stderr=x", "stat:/proc/self/fd/2"];
    for said in [bundle.ask(&asked), bundle.ask_beside(&asked, |_| {})] {
        assert_eq!(said["write:/dev/stderr=x"], "written", "{said}");
    }
}

/// A namespace that lets nobody give up groups is entered without the caller's: a group may be what opens the host's files.
#[test]
fn groups_of_the_caller_are_left_outside() {
    let own = Groups::take(4242);
    let other = Holder::new(&["--user"]);
    fs::write(format!("/proc/{}/setgroups", other.0.id()), "deny").unwrap();
    other.map();
    let mut bundle = Bundle::new();
    self::own(&bundle.rootfs(), HOST);
    bundle.namespace(json!({"type": "user", "path": other.namespace("user")}));
    let asked = ["read:/proc/self/setgroups", "status:Groups"];
    for said in [bundle.ask(&asked), bundle.ask_beside(&asked, |_| {})] {
        assert_eq!(said["read:/proc/self/setgroups"], "deny\n");
        assert_eq!(said["status:Groups"], "");
    }
    drop(own);
}

/// Supplementary groups of this thread, and so of what it starts.
struct Groups(Vec<rustix::process::Gid>);

impl Groups {
    fn take(group: u32) -> Groups {
        let before = rustix::process::getgroups().unwrap();
        let group = rustix::process::Gid::from_raw(group);
        rustix::thread::set_thread_groups(&[group]).unwrap();
        Groups(before)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        let _ = rustix::thread::set_thread_groups(&self.0);
    }
}
