//! Kubernetes without its cluster: containerd is asked what a kubelet asks it for pods of the runtime class `silo`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{
    PATH, apart,
    cri::{self, Message},
    documented, have,
};
use crate::{
    common::{Ran, kernel, until},
    fixture::Oci,
};

/// Where Debian has the plugins that give pods their network.
const PLUGINS: &str = "/usr/lib/cni";

/// Besides what is documented: places of its own, an image for sandboxes, and what a host without CAP_SYS_RESOURCE needs.
const CONFIG: &str = r#"
version = 2
root = "BASE/root"
state = "BASE/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
address = "BASE/sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/lab:latest"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "PLUGINS"
conf_dir = "BASE/cni"
"#;

/// Any file system has it.
const SNAPSHOTTER: &str = r#"
snapshotter = "native"
default_runtime_name"#;

const NETWORK: &str = r#"{
"cniVersion": "0.4.0", "name": "pods", "plugins": [{
"type": "bridge", "bridge": "pods0", "isGateway": true,
"ipam": {"type": "host-local", "dataDir": "BASE/leases", "subnet": "10.98.0.0/24"}}]
}"#;

/// A node: containerd with its interface for Kubernetes.
struct Node {
    oci: Oci,
    daemon: Child,
    base: PathBuf,
}

/// A pod as its node knows it.
struct Pod {
    id: String,
    config: Message,
}

impl Node {
    fn new() -> Node {
        let oci = Oci::new();
        let base = oci.host.files.join("node");
        fs::create_dir_all(base.join("cni")).unwrap();
        let fill = |text: &str| {
            text.replace("BASE", base.to_str().unwrap())
                .replace("PLUGINS", PLUGINS)
        };
        let config = base.join("config.toml");
        let text = documented("/etc/containerd/config.toml", &oci)
            .replace("version = 2\n", &fill(CONFIG))
            .replace("default_runtime_name", SNAPSHOTTER);
        fs::write(&config, text).unwrap();
        fs::write(base.join("cni/pods.conflist"), fill(NETWORK)).unwrap();
        let words = ["containerd", "--log-level", "warn", "--config"];
        let daemon = apart(&oci, &[])
            .args(words)
            .arg(config)
            .stderr(fs::File::create(base.join("log")).unwrap())
            .spawn()
            .unwrap();
        let node = Node { oci, daemon, base };
        until("containerd", || {
            node.ask("Version", &Message::new()).is_ok()
        });
        node.load();
        node
    }

    /// Gives it the image `lab`, whose program waits.
    fn load(&self) {
        let host = &self.oci.host;
        let path = format!("ENV {PATH}");
        let program = r#"CMD ["sleep", "600"]"#;
        let words = ["import", "--change", &path, "--change", program, "-", "lab"];
        host.silo_with(&words, super::archive()).ok();
        let file = host.files.join("lab.tar").display().to_string();
        host.ok(&["save", "-o", &file, "lab"]);
        self.ctr(&["images", "import", "--no-unpack", &file]).ok();
        let image = Message::new().text(1, "docker.io/library/lab:latest");
        let question = Message::new().part(1, &image);
        until("the image", || {
            let answer = cri::call(
                &self.socket(),
                "/runtime.v1.ImageService/ImageStatus",
                &question,
            );
            !answer.unwrap().get(1).0.is_empty()
        });
    }

    fn socket(&self) -> PathBuf {
        self.base.join("sock")
    }

    fn ask(&self, method: &str, question: &Message) -> io::Result<Message> {
        let path = format!("/runtime.v1.RuntimeService/{method}");
        cri::call(&self.socket(), &path, question)
    }

    #[track_caller]
    fn ok(&self, method: &str, question: &Message) -> Message {
        self.ask(method, question).unwrap()
    }

    fn ctr(&self, words: &[&str]) -> Ran {
        let mut command = Command::new("ctr");
        command
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", "k8s.io"])
            .args(words)
            .stdin(Stdio::null());
        self.oci.host.finish(command, words, b"")
    }

    /// What is asked for a pod of a runtime class.
    fn wanted(&self, name: &str, class: &str) -> (Message, Message) {
        let metadata = Message::new()
            .text(1, name)
            .text(2, name)
            .text(3, "default");
        let parent = format!("/{}/{name}", self.oci.host.mark());
        let config = Message::new()
            .part(1, &metadata)
            .text(2, name)
            .part(8, &Message::new().text(1, &parent));
        let question = Message::new().part(1, &config).text(2, class);
        (question, config)
    }

    #[track_caller]
    fn pod(&self, name: &str) -> Pod {
        let (question, config) = self.wanted(name, "silo");
        let id = self.ok("RunPodSandbox", &question).get_text(1);
        Pod { id, config }
    }

    /// A container that runs in a pod.
    #[track_caller]
    fn container(&self, pod: &Pod, name: &str) -> String {
        let resources = Message::new()
            .number(1, 100_000)
            .number(2, 50_000)
            .number(4, 64 << 20);
        // Processes of its own, as a kubelet asks for unless the pod says otherwise.
        let security = Message::new().part(3, &Message::new().number(2, 1));
        let config = Message::new()
            .part(1, &Message::new().text(1, name))
            .part(2, &Message::new().text(1, "docker.io/library/lab:latest"))
            .text(3, "sh")
            .text(4, "-c")
            .text(4, "trap 'exit 3' TERM; while :; do sleep 0.1; done")
            .part(15, &Message::new().part(1, &resources).part(2, &security));
        let question = Message::new()
            .text(1, &pod.id)
            .part(2, &config)
            .part(3, &pod.config);
        let id = self.ok("CreateContainer", &question).get_text(1);
        self.ok("StartContainer", &Message::new().text(1, &id));
        id
    }

    /// Exit code and output of a command in a container, as of a probe.
    #[track_caller]
    fn exec(&self, id: &str, words: &[&str]) -> (u64, String) {
        let start = Message::new().text(1, id);
        let question = words.iter().fold(start, |all, word| all.text(2, word));
        let answer = self.ok("ExecSync", &question.number(3, 20));
        (answer.get_number(3), answer.get_text(1))
    }

    #[track_caller]
    fn task(&self, id: &str) -> i32 {
        let listed = self.ctr(&["tasks", "ls"]).ok();
        let line = listed.lines().find(|line| line.starts_with(id)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn remove(&self, pod: Pod) -> io::Result<()> {
        let question = Message::new().text(1, &pod.id);
        self.ask("StopPodSandbox", &question)?;
        self.ask("RemovePodSandbox", &question).map(drop)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.base.join("log"));
            eprintln!("{}", log.unwrap_or_default());
        }
        for id in self.ctr(&["tasks", "ls", "-q"]).out.lines() {
            self.ctr(&["tasks", "rm", "--force", id]);
        }
        // The shims end with their tasks.
        until("their end", || {
            let groups = self.oci.groups();
            let used = |group: &PathBuf| {
                fs::read_to_string(group.join("cgroup.procs")).is_ok_and(|text| !text.is_empty())
            };
            !groups.iter().any(used)
        });
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        for group in self.oci.groups() {
            let _ = fs::remove_dir(group);
        }
        if kernel::links().contains(&"pods0".to_owned()) {
            kernel::run("ip", &["link", "delete", "pods0"]);
        }
    }
}

#[test]
fn pods_of_a_runtime_class() {
    if !have(&["containerd", "ctr", "containerd-shim-runc-v2", "ip"]) {
        return;
    }
    if !Path::new(PLUGINS).join("bridge").exists() {
        println!("skipped: there are no plugins in {PLUGINS}");
        return;
    }
    let node = Node::new();
    let (question, _) = node.wanted("none", "nonesuch");
    assert!(node.ask("RunPodSandbox", &question).is_err());

    let [one, two] = ["one", "two"].map(|name| node.pod(name));
    let first = node.container(&one, "first");
    let second = node.container(&one, "second");
    assert_eq!(node.exec(&first, &["hostname"]), (0, "one\n".to_owned()));
    assert_eq!(node.exec(&first, &["sh", "-c", "exit 3"]).0, 3);
    // Containers of a pod share what the sandbox has, and each has processes and files of its own.
    let [sandbox, pid, other] = [&one.id, &first, &second].map(|id| node.task(id));
    for (kind, shared) in [
        ("net", true),
        ("ipc", true),
        ("uts", true),
        ("pid", false),
        ("mnt", false),
    ] {
        for with in [sandbox, other] {
            let same = kernel::namespace(pid, kind) == kernel::namespace(with, kind);
            assert_eq!(same, shared, "{kind}");
        }
    }
    assert_eq!(kernel::number(pid, kernel::MEMORY), 64 << 20);
    assert_eq!(kernel::cpu_quota(pid), (50_000, 100_000));
    let higher = Message::new().number(4, 80 << 20);
    let question = Message::new().text(1, &first).part(2, &higher);
    node.ok("UpdateContainerResources", &question);
    assert_eq!(kernel::number(pid, kernel::MEMORY), 80 << 20);
    let stats = node.ok("ContainerStats", &Message::new().text(1, &first));
    let used = stats.get(1).get(3).get(2).get_number(1);
    assert!((1..80 << 20).contains(&used), "{used}");
    // Pods have addresses, and reach each other.
    let status = node.ok("PodSandboxStatus", &Message::new().text(1, &two.id));
    let address = status.get(1).get(5).get_text(1);
    assert!(address.starts_with("10.98.0."), "{address}");
    assert_eq!(
        node.exec(&first, &["ping", "-c", "1", "-W", "5", &address])
            .0,
        0
    );

    let stop = Message::new().text(1, &first).number(2, 20);
    node.ok("StopContainer", &stop);
    let status = node.ok("ContainerStatus", &Message::new().text(1, &first));
    // Its state is `exited`, with the program's own code.
    assert_eq!(
        (status.get(1).get_number(3), status.get(1).get_number(7)),
        (2, 3)
    );
    node.ok("RemoveContainer", &Message::new().text(1, &first));
    for pod in [one, two] {
        node.remove(pod).unwrap();
    }
    assert!(!kernel::alive(other) && !kernel::alive(sandbox));
    for pod in ["one", "two"] {
        kernel::remove_parent(&format!("{}/{pod}", node.oci.host.mark()));
    }
    assert_eq!(node.oci.groups(), Vec::<PathBuf>::new());
}
