//! Points by table: what is set, how large a risk it is, and what is said.

use std::path::PathBuf;

use silo_runtime::capabilities::CapSet;
use silo_types::{ContainerConfig, DeviceSpec, MountKind, MountSpec, NetworkMode};

use super::{
    KINDS,
    points::{Facts, Point, Risk, Space, all},
};

struct Case {
    config: ContainerConfig,
    host: Vec<&'static str>,
    capabilities: CapSet,
    filtered: bool,
    uid: Option<u32>,
}

fn case() -> Case {
    Case {
        config: ContainerConfig::default(),
        host: vec!["user", "time"],
        capabilities: CapSet::DEFAULT,
        filtered: true,
        uid: Some(0),
    }
}

impl Case {
    fn points(&self) -> Vec<Point> {
        let space = |kind: &&'static str| match self.host.contains(kind) {
            true => (*kind, Space::Host),
            false => (*kind, Space::Own),
        };
        all(&Facts {
            config: &self.config,
            limits: &self.config.resources,
            spaces: KINDS.iter().map(space).collect(),
            capabilities: self.capabilities,
            filtered: self.filtered,
            no_new_privileges: false,
            uid: self.uid,
            sensitive: PathBuf::from("/var/lib/silo"),
            is_v2: true,
        })
    }

    #[track_caller]
    fn has(&self, topic: &str, risk: Risk, said: &str) {
        let points = self.points();
        assert!(points.is_sorted_by(|a, b| a.risk >= b.risk), "{points:?}");
        let found: Vec<&Point> = points.iter().filter(|point| point.topic == topic).collect();
        let right = |point: &&Point| {
            let all = format!("{} {}", point.state, point.meaning);
            point.risk == risk && all.contains(said)
        };
        assert!(
            found.iter().any(right),
            "{topic} {risk:?} {said:?}: {found:?}"
        );
    }
}

#[test]
fn the_usual_container() {
    let usual = case();
    for kind in [
        "pidNamespace",
        "mountNamespace",
        "networkNamespace",
        "ipcNamespace",
        "utsNamespace",
        "cgroupNamespace",
    ] {
        usual.has(kind, Risk::None, "own");
    }
    usual.has("userNamespace", Risk::Medium, "SHARED WITH HOST");
    usual.has("capabilities", Risk::Low, "14 of 41");
    usual.has("seccomp", Risk::None, "filtered");
    usual.has("memoryLimit", Risk::Medium, "NO LIMIT");
    usual.has("pidsLimit", Risk::Medium, "NO LIMIT");
    usual.has("devices", Risk::None, "harmless");
    assert!(usual.points().iter().all(|point| point.risk < Risk::High));
    let mut topics: Vec<_> = usual.points().iter().map(|point| point.topic).collect();
    topics.sort_unstable();
    topics.dedup();
    assert_eq!(topics.len(), usual.points().len(), "each once");
}

#[test]
fn what_is_shared() {
    let mut shared = case();
    shared.host.extend(["pid", "net", "ipc", "uts"]);
    shared.has("pidNamespace", Risk::High, "can kill them");
    shared.has("networkNamespace", Risk::High, "127.0.0.1");
    shared.has("ipcNamespace", Risk::Medium, "SHARED WITH HOST");
    shared.has("utsNamespace", Risk::Low, "host name");
    let mut other = case();
    other.uid = Some(1000);
    other.config.network.mode = NetworkMode::None;
    other.has("userNamespace", Risk::Low, "as user 1000");
    other.has("networkNamespace", Risk::None, "loopback");
}

#[test]
fn what_is_given() {
    let mut open = case();
    open.capabilities = CapSet::ALL;
    open.filtered = false;
    open.config.security.privileged = true;
    for (topic, said) in [
        ("capabilities", "can leave"),
        ("seccomp", "ALL ALLOWED"),
        ("maskedPaths", "OPEN"),
        ("devices", "disks"),
    ] {
        open.has(topic, Risk::High, said);
    }
    let mut given = case();
    let mut bind = |source: &str, read_only| {
        given.config.files.mounts.push(MountSpec {
            kind: MountKind::Bind {
                source: source.to_owned(),
                create_source: false,
                propagation: String::new(),
                non_recursive: false,
            },
            target: "/given".to_owned(),
            read_only,
        });
    };
    bind("/etc", false);
    bind("/boot", true);
    bind("/srv/data", false);
    bind("/var/run/docker.sock", true);
    bind("/var/lib/silo/containers", false);
    given.config.resources.devices.push(DeviceSpec {
        host_path: "/dev/kvm".to_owned(),
        ..DeviceSpec::default()
    });
    given.has("bind", Risk::High, "change the machine's own /etc");
    given.has("bind", Risk::Medium, "read the machine's own /boot");
    given.has("bind", Risk::Low, "/srv/data as /given");
    given.has("bind", Risk::High, "give orders");
    given.has("bind", Risk::High, "/var/lib/silo/containers");
    given.has("devices", Risk::Medium, "/dev/kvm");
}

#[test]
fn limits_that_are_set() {
    let mut limited = case();
    limited.config.resources.memory = Some(256 << 20);
    limited.config.resources.pids_limit = Some(100);
    limited.config.resources.nano_cpus = Some(1_500_000_000);
    limited.config.resources.cpuset_cpus = "0".to_owned();
    limited.has("memoryLimit", Risk::None, "256MiB");
    limited.has("pidsLimit", Risk::None, "100");
    limited.has("cpuLimit", Risk::None, "1.5 CPU");
    limited.has("cpuset", Risk::None, "these only");
    limited.capabilities = CapSet::EMPTY;
    limited.has("capabilities", Risk::None, "no more than any user");
}
