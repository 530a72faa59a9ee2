//! What a crash can leave, made by hand: `doctor` names it, `--fix` removes it, and nothing beside it that is not Silo's, belongs to
//! another `--root` or to a container that lives.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use crate::common::{Host, Ran, kernel, until};

/// Of containers that do not exist.
const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const SECOND: &str = "11112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// The folder above this host's containers in every hierarchy that it uses.
fn tops(host: &Host) -> Vec<PathBuf> {
    let tops = kernel::hierarchies().into_iter();
    let tops = tops.map(|hierarchy| hierarchy.place.join(host.group()));
    tops.filter(|top| top.exists()).collect()
}

fn group(tops: &[PathBuf], name: &str) -> Vec<PathBuf> {
    let made = tops.iter().map(|top| top.join(name));
    made.inspect(|path| fs::create_dir(path).unwrap()).collect()
}

/// Looks, removes, looks again.
#[track_caller]
fn named_and_removed(host: &Host, words: &[&str], foreign: &[&str]) {
    let found = host.silo(&["doctor"]);
    assert_eq!(found.code, 1, "{found}");
    says(&found, words);
    for word in foreign {
        assert!(!found.out.contains(word), "{word}: {found}");
    }
    let fixed = host.silo(&["doctor", "--fix"]);
    assert_eq!(fixed.code, 0, "{fixed}");
    says(&fixed, words);
    let again = host.ok(&["doctor"]);
    assert!(again.ends_with("nothing"), "{again}");
}

#[track_caller]
fn says(ran: &Ran, words: &[&str]) {
    for word in words {
        assert!(ran.out.contains(word), "{word}: {ran}");
    }
}

/// A mount of the test's own, gone at its end whatever becomes of it.
struct Mount(PathBuf);

impl Mount {
    fn new(options: &[&str], point: PathBuf) -> Mount {
        let text = point.display().to_string();
        kernel::run("mount", &[options, &[&text]].concat());
        Mount(point)
    }

    fn is_there(&self) -> bool {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let point = self.0.display().to_string();
        table
            .lines()
            .any(|line| line.split(' ').nth(4) == Some(&point))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.is_there() {
            kernel::run("umount", &[&self.0.display().to_string()]);
        }
    }
}

/// A process that does nothing, ended with the test.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Sleeper {
        Sleeper(Command::new("sleep").arg("600").spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn each_is_named_and_removed_and_nothing_else() {
    let host = Host::new();
    // It makes the bridge and the groups, and must be there afterwards.
    host.ok(&["run", "-d", "--name", "lives", "lab", "sleep", "600"]);
    let tops = tops(&host);
    let orphans = group(&tops, ID);
    let others = group(&tops, "not-a-container");
    assert!(!orphans.is_empty());
    fs::write(host.run.join(ID), b"").unwrap();
    fs::write(host.run.join("foreign-file"), b"").unwrap();
    fs::create_dir(host.root.join("containers").join(ID)).unwrap();
    // Killed after it had opened the file, or in the middle of writing.
    for (id, text) in [("22", ""), ("33", "{\"id\": \"22")] {
        let folder = host
            .root
            .join("containers")
            .join(format!("{id}{}", &ID[2..]));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("config.json"), text).unwrap();
    }
    // What a whole document of another time says is not for this one to throw away.
    let strange = host.root.join("containers").join(format!("44{}", &ID[2..]));
    fs::create_dir(&strange).unwrap();
    fs::write(strange.join("config.json"), "{\"version\": 2}").unwrap();
    let aside = host.root.join(format!("containers/.removed-{SECOND}"));
    fs::create_dir(&aside).unwrap();
    symlink(ID, host.root.join("names/forgotten")).unwrap();
    symlink(&ID[..32], host.root.join("network/leases/10.88.7.7")).unwrap();
    fs::create_dir_all(host.root.join("volumes/half/_data")).unwrap();
    fs::create_dir_all(host.root.join("volumes/full/_data/a")).unwrap();
    for name in ["half", "full"] {
        let folder = host.root.join("volumes").join(name).display().to_string();
        kernel::run("touch", &["-d", "1 hour ago", &folder]);
    }
    let bridge = host.group();
    for (name, peer) in [("veth00112233445", "peer-a"), ("vethown", "peer-b")] {
        kernel::run(
            "ip",
            &["link", "add", name, "type", "veth", "peer", "name", peer],
        );
        kernel::run("ip", &["link", "set", name, "master", &bridge]);
    }
    named_and_removed(
        &host,
        &[
            "control group",
            "control socket of 001122334455",
            "unfinished container 001122334455",
            "unfinished container 221122334455",
            "unfinished container 331122334455",
            "half removed container 111122334455",
            "name forgotten",
            "address lease 10.88.7.7",
            "unfinished volume half",
            "network link veth00112233445",
        ],
        &[
            "vethown",
            "not-a-container",
            "foreign-file",
            "volume full",
            "441122334455",
        ],
    );
    assert!(orphans.iter().all(|path| !path.exists()));
    assert!(others.iter().all(|path| path.exists()));
    assert!(!host.run.join(ID).exists() && host.run.join("foreign-file").exists());
    assert!(host.root.join("volumes/full/_data/a").exists());
    let links = kernel::links();
    let has = |name: &str| links.iter().any(|link| link == name);
    assert!(!has("veth00112233445") && has("vethown"), "{links:?}");
    lives(&host);

    kernel::run("ip", &["link", "delete", "vethown"]);
    others.iter().for_each(|path| fs::remove_dir(path).unwrap());
    fs::remove_file(host.run.join("foreign-file")).unwrap();
    assert!(strange.exists());
    fs::remove_dir_all(strange).unwrap();
    fs::remove_dir_all(host.root.join("volumes/full")).unwrap();
}

/// The container beside the orphans has all that it had.
#[track_caller]
fn lives(host: &Host) {
    assert_eq!(host.status("lives"), "running");
    assert_eq!(host.ok(&["exec", "lives", "echo", "here"]), "here");
    let ip = host.inspect("lives")["NetworkSettings"]["IPAddress"].to_string();
    let ip = ip.trim_matches('"');
    assert!(
        host.root.join("network/leases").join(ip).is_symlink(),
        "{ip}"
    );
    assert!(kernel::links().iter().any(|link| link.starts_with("veth")));
}

/// Each hierarchy alone, and one with processes in it.
#[test]
fn groups_of_every_hierarchy_with_their_processes() {
    let host = Host::new();
    host.ok(&["run", "-d", "--name", "lives", "lab", "sleep", "600"]);
    let tops = tops(&host);
    let ids: Vec<String> = (0..tops.len())
        .map(|at| format!("{at:02}{}", &ID[2..]))
        .collect();
    for (top, id) in tops.iter().zip(&ids) {
        fs::create_dir_all(top.join(id).join("below")).unwrap();
    }
    let mut sleeper = Sleeper::new();
    let pid = sleeper.0.id().to_string();
    for path in group(&tops, SECOND) {
        // What a first process of a v1 cpuset needs.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(above) = fs::read_to_string(path.parent().unwrap().join(file)) {
                let _ = fs::write(path.join(file), above);
            }
        }
        fs::write(path.join("cgroup.procs"), &pid).unwrap();
    }
    let process = format!("with process {pid} (sleep)");
    let mut words: Vec<&str> = ids.iter().map(String::as_str).collect();
    words.push(&process);
    let found = host.silo(&["doctor"]);
    says(&found, &words);
    assert!(
        tops.len() == 1 || found.out.contains(" in memory"),
        "{found}"
    );
    named_and_removed(
        &host,
        &words,
        &[&host.inspect("lives")["Id"].as_str().unwrap()[..12]],
    );
    until("the process to be gone", || {
        sleeper.0.try_wait().unwrap().is_some()
    });
    let left: Vec<PathBuf> = kernel::groups_below(&host.group());
    let id = host.inspect("lives")["Id"].as_str().unwrap().to_owned();
    assert!(left.iter().all(|path| path.ends_with(&id)), "{left:?}");
    lives(&host);
}

#[test]
fn mounts_and_what_they_keep() {
    let host = Host::new();
    host.ok(&["run", "-d", "--name", "lives", "lab", "sleep", "600"]);
    let folder = host.root.join("containers").join(ID);
    for part in ["upper", "work", "below a blank"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    let point = |name: &str| PathBuf::from(host.folder(name));
    let overlay = format!(
        "lowerdir={0},upperdir={1}/upper,workdir={1}/work",
        point("lower").display(),
        folder.display()
    );
    fs::write(host.run.join(ID), b"").unwrap();
    let id = host.inspect("lives")["Id"].as_str().unwrap().to_owned();
    let own = host.root.join("containers").join(&id).join("mine");
    fs::create_dir(&own).unwrap();
    fs::create_dir_all(host.root.join("volumes/shared/_data")).unwrap();
    fs::create_dir_all(host.files.join("other/containers").join(ID)).unwrap();
    let tmpfs = ["-t", "tmpfs", "mine"];
    let orphans = [
        Mount::new(&tmpfs, folder.join("below a blank")),
        Mount::new(&["--bind", "/proc/self/ns/net"], host.run.join(ID)),
        Mount::new(&["-t", "overlay", "-o", &overlay, "mine"], point("merged")),
    ];
    let others = [
        Mount::new(&tmpfs, own),
        Mount::new(&tmpfs, host.root.join("volumes/shared/_data")),
        Mount::new(&tmpfs, host.files.join("other/containers").join(ID)),
        Mount::new(&tmpfs, point("elsewhere")),
    ];
    named_and_removed(
        &host,
        &[
            &format!("mount at {}", orphans[0].0.display()),
            &format!("mount that keeps a namespace at {}", orphans[1].0.display()),
            &format!("overlay mount at {}", orphans[2].0.display()),
        ],
        &["/mine", "volumes/", "/elsewhere", "files/other"],
    );
    assert!(orphans.iter().all(|mount| !mount.is_there()));
    assert!(others.iter().all(Mount::is_there));
    lives(&host);
    drop(others);
    fs::remove_dir_all(host.root.join("volumes/shared")).unwrap();
}

/// A network namespace that somebody keeps by a name keeps a container's cable, too: the cable is Silo's, the name is not.
#[test]
fn a_cable_into_a_namespace_that_is_kept() {
    let host = Host::new();
    host.ok(&["run", "-d", "--name", "lives", "lab", "sleep", "600"]);
    host.ok(&["run", "-d", "--name", "gone", "lab", "sleep", "600"]);
    let net = format!("/proc/{}/ns/net", host.pid("gone"));
    let name = Path::new(&host.folder("kept")).join("net");
    fs::write(&name, b"").unwrap();
    let kept = Mount::new(&["--bind", &net], name);
    let cable = format!(
        "veth{}",
        &host.inspect("gone")["Id"].as_str().unwrap()[..11]
    );
    // Its end leaves the cable to the kernel, which keeps it for the namespace's sake.
    super::kills::kill(host.pid("gone"));
    host.ended("gone");
    named_and_removed(&host, &[&format!("network link {cable}")], &["kept/net"]);
    assert!(!kernel::links().contains(&cable) && kept.is_there());
    lives(&host);
}

#[test]
fn networks_that_are_half_there() {
    let host = Host::new();
    host.ok(&["run", "-d", "--name", "lives", "lab", "sleep", "600"]);
    let bridge = host.group();
    let has_rules = || kernel::run("nft", &["list", "tables"]).contains(&bridge);
    let has_bridge = || kernel::links().contains(&bridge);
    kernel::run("nft", &["delete", "table", "ip", &bridge]);
    named_and_removed(&host, &["without its firewall rules"], &[]);
    assert!(has_rules());
    lives(&host);

    host.ok(&["rm", "-f", "lives"]);
    assert!(
        host.ok(&["doctor"]).ends_with("nothing"),
        "an empty network is none"
    );
    kernel::run("ip", &["link", "delete", &bridge]);
    named_and_removed(&host, &["half a network: bridge"], &[]);
    assert!(!has_rules() && !host.root.join("network/bridge.json").exists());

    host.ok(&["run", "--rm", "lab", "true"]);
    fs::remove_dir_all(host.root.join("network")).unwrap();
    named_and_removed(&host, &["of a folder that is gone"], &[]);
    assert!(!has_rules() && !has_bridge());

    // Somebody else's, under the very name.
    kernel::run("nft", &["add", "table", "ip", &bridge]);
    kernel::run(
        "ip",
        &[
            "link", "add", &bridge, "type", "veth", "peer", "name", "peer-a",
        ],
    );
    assert!(host.ok(&["doctor"]).ends_with("nothing"));
    assert!(has_rules() && has_bridge());
    kernel::run("nft", &["delete", "table", "ip", &bridge]);
    kernel::run("ip", &["link", "delete", &bridge]);
}

/// What it tries on a host without containers is gone when it ends.
#[test]
fn looking_leaves_nothing() {
    let host = Host::new();
    let links = kernel::links();
    let said = host.ok(&["doctor"]);
    for word in [
        "memory: enforced",
        "own users (user namespaces)",
        "(nftables): yes",
        "capabilities: ",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!kernel::group_stands(&host.group()));
    assert_eq!(kernel::links(), links);
    let entries = fs::read_dir(host.root.join("containers")).unwrap().count();
    assert_eq!(entries, 0);
}

/// What is another root's is its own doctor's alone.
#[test]
fn another_root_is_left_alone() {
    let host = Host::new();
    let other = host.another();
    other.ok(&["run", "-d", "--name", "lives", "lab", "sleep", "600"]);
    host.ok(&["run", "--rm", "lab", "true"]);
    let orphans = group(&tops(&other), ID);
    fs::write(other.run.join(ID), b"").unwrap();
    assert!(host.ok(&["doctor", "--fix"]).ends_with("nothing"));
    assert!(orphans.iter().all(|path| path.exists()) && other.run.join(ID).exists());
    lives(&other);
    named_and_removed(&other, &["control group", "control socket"], &[]);
    lives(&other);
    // They share a network namespace: each would take the other's bridge for a leak.
    other.ok(&["rm", "-f", "lives"]);
    for silo in [&host, &other] {
        kernel::run("ip", &["link", "delete", &silo.group()]);
        named_and_removed(silo, &["half a network"], &[]);
    }
}

/// A container whose folder was deleted by hand goes on unseen, until `doctor` ends it.
#[test]
fn a_container_without_its_folder() {
    let host = Host::new();
    host.ok(&["run", "-d", "--name", "lives", "lab", "sleep", "600"]);
    host.ok(&["run", "-d", "--name", "lost", "lab", "sleep", "600"]);
    let (pid, id) = (
        host.pid("lost"),
        host.inspect("lost")["Id"].as_str().unwrap().to_owned(),
    );
    fs::remove_dir_all(host.root.join("containers").join(&id)).unwrap();
    let process = format!("with process {pid} (sleep)");
    let found = host.silo(&["doctor", "--fix"]);
    says(
        &found,
        &[&process, "name lost", "address lease", "network link"],
    );
    until("its process and its monitor to be gone", || {
        !kernel::alive(pid) && super::kills::monitors(&host).len() == 1
    });
    assert!(host.ok(&["doctor", "--fix"]).ends_with("nothing"));
    lives(&host);
}

#[test]
fn a_lab_that_was_killed() {
    let host = Host::new();
    let mut lab = host.spawn(&["lab", "process-isolation", "--auto"]);
    until("the lab's container", || !host.ok(&["ps", "-q"]).is_empty());
    lab.kill();
    let found = host.silo(&["doctor"]);
    assert_eq!(found.code, 1, "{found}");
    says(&found, &["a lab that was killed"]);
    assert_eq!(host.silo(&["doctor", "--fix"]).code, 0);
    assert!(host.ok(&["doctor"]).ends_with("nothing"));
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}
