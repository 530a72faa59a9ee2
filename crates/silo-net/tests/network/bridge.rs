//! The bridge as a whole: made once, checked, repaired, refused, removed.

use crate::common::{Host, attach, id, sh};
use silo_net::{Bridge, Orphan, Request};
use silo_types::Kind;

fn subnet_of(bridge: &Bridge) -> String {
    bridge.ensure().unwrap().network.subnet.to_string()
}

#[test]
fn the_first_use_makes_it_and_the_second_only_looks() {
    let host = Host::new();
    let bridge = host.bridge();
    // A fresh namespace takes this over from the machine's, where it may be on.
    sh("echo 0 > /proc/sys/net/ipv4/ip_forward").unwrap();
    assert_eq!(bridge.find().unwrap(), None);
    let first = bridge.ensure().unwrap();
    assert!(first.made && first.forwarding_enabled);
    assert_eq!(first.network.subnet.to_string(), "10.88.0.0/16");
    let name = bridge.name();
    let shown = sh(&format!("ip -d addr show {name}")).unwrap();
    for part in [
        "UP",
        "inet 10.88.0.1/16 brd 10.88.255.255",
        "02:42:0a:58:00:01",
        "silo network ",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains("inet6"), "{shown}");
    let sysctl = |path: &str| sh(&format!("cat /proc/sys/net/{path}")).unwrap();
    assert_eq!(sysctl(&format!("ipv6/conf/{name}/disable_ipv6")), "1\n");
    assert_eq!(sysctl(&format!("ipv6/conf/{name}/accept_ra")), "0\n");
    assert_eq!(sysctl("ipv4/ip_forward"), "1\n");

    let record = host.dir.path().join("network/bridge.json");
    let written = std::fs::metadata(&record).unwrap().modified().unwrap();
    let second = bridge.ensure().unwrap();
    assert!(!second.made && !second.forwarding_enabled);
    assert_eq!(second.network, first.network);
    assert_eq!(
        std::fs::metadata(&record).unwrap().modified().unwrap(),
        written
    );
    bridge.remove_all().unwrap();
}

#[test]
fn the_rules_are_what_nft_shows() {
    let host = Host::new();
    let bridge = host.bridge();
    bridge.ensure().unwrap();
    let name = bridge.name();
    let text = sh(&format!("nft list table ip {name}")).unwrap();
    for rule in [
        "comment \"silo rules 1 for 10.88.0.0/16\"".to_owned(),
        "type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service".to_owned(),
        format!("iifname \"{name}\" ip saddr != 10.88.0.0/16 drop"),
        format!("oifname != \"{name}\" accept"),
        format!("iifname \"{name}\" accept"),
        "ct state established,related accept".to_owned(),
        "ct status dnat accept".to_owned(),
        "fib daddr type local dnat".to_owned(),
        format!("ip saddr 10.88.0.0/16 oifname != \"{name}\" masquerade"),
        "type nat hook postrouting priority srcnat; policy accept;".to_owned(),
        "type filter hook forward priority filter; policy accept;".to_owned(),
        "type filter hook prerouting priority raw; policy accept;".to_owned(),
    ] {
        assert!(text.contains(&rule), "{rule}\nis not in\n{text}");
    }
    assert_eq!(text.matches("type nat hook").count(), 3, "{text}");
    bridge.remove_all().unwrap();
}

#[test]
fn a_flushed_ruleset_is_put_back() {
    let host = Host::new();
    let bridge = host.bridge();
    let before = bridge.ensure().unwrap().network;
    sh("nft add table ip other; nft flush ruleset").unwrap();
    assert_eq!(bridge.find().unwrap(), None);
    let again = bridge.ensure().unwrap();
    assert!(again.made);
    assert_eq!(again.network, before);
    sh(&format!("nft list chain ip {} forward", bridge.name())).unwrap();
    sh(&format!("ip link set {} down", bridge.name())).unwrap();
    assert!(bridge.ensure().unwrap().made);
    assert!(!bridge.ensure().unwrap().made);
}

#[test]
fn the_subnet_avoids_what_the_host_uses() {
    let host = Host::new();
    let bridge = host.bridge();
    sh("ip link add d0 type veth peer name d1 && ip link set d1 up && ip link set d0 up && ip addr add 10.88.3.4/24 dev d0")
        .unwrap();
    sh("ip route add blackhole 10.89.128.0/17 && ip route add 10.90.0.0/15 dev d0 table 77")
        .unwrap();
    sh("ip route add default dev d0").unwrap();
    assert_eq!(subnet_of(&bridge), "10.92.0.0/16");
    // Remembered, even when an earlier one becomes free and the bridge is gone, as after a restart of the machine.
    sh(&format!("ip link del d0; ip link del {}", bridge.name())).unwrap();
    assert_eq!(subnet_of(&bridge), "10.92.0.0/16");
    // Given up when it is in use meanwhile.
    sh(&format!("ip link del {}", bridge.name())).unwrap();
    sh("ip route add blackhole 10.0.0.0/8 && ip route add blackhole 172.16.0.0/13").unwrap();
    assert_eq!(subnet_of(&bridge), "172.24.0.0/16");
    bridge.remove_all().unwrap();
    sh("ip route add blackhole 172.24.0.0/13").unwrap();
    let full = bridge.ensure().unwrap_err();
    assert_eq!(full.kind(), Kind::Conflict);
    assert!(full.to_string().contains("no private network is free"));
}

#[test]
fn a_wanted_subnet_is_taken_or_refused() {
    let host = Host::new();
    sh("ip route add blackhole 192.168.7.0/25").unwrap();
    let clash = host
        .bridge()
        .with_subnet("192.168.7.0/24".parse().unwrap())
        .unwrap();
    let error = clash.ensure().unwrap_err();
    assert!(
        error.to_string().contains("overlaps 192.168.7.0/25"),
        "{error}"
    );
    let fine = host
        .bridge()
        .with_subnet("192.168.8.0/24".parse().unwrap())
        .unwrap();
    assert_eq!(subnet_of(&fine), "192.168.8.0/24");
    assert_eq!(subnet_of(&host.bridge()), "192.168.8.0/24");
    let other = host
        .bridge()
        .with_subnet("192.168.9.0/24".parse().unwrap())
        .unwrap();
    assert_eq!(other.ensure().unwrap_err().kind(), Kind::Conflict);
    assert!(
        host.bridge()
            .with_subnet("10.0.0.0/31".parse().unwrap())
            .is_err()
    );
}

#[test]
fn links_of_others_are_left_alone() {
    let host = Host::new();
    let bridge = host.bridge();
    let name = bridge.name();
    sh(&format!("ip link add {name} type bridge")).unwrap();
    let error = bridge.ensure().unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("ip link delete"), "{error}");
    bridge.remove_all().unwrap();
    sh(&format!("ip link show {name} && ip link del {name}")).unwrap();

    bridge.ensure().unwrap();
    let second = Bridge::new(host.dir.path().join("other"), name).unwrap();
    let error = second.ensure().unwrap_err();
    assert!(error.to_string().contains("silo network"), "{error}");
    second.remove_all().unwrap();
    assert!(bridge.find().unwrap().is_some());
}

#[test]
fn a_wiped_state_folder_is_no_obstacle() {
    let host = Host::new();
    let bridge = host.bridge();
    attach(&bridge, 1);
    let wipe = || std::fs::remove_dir_all(host.dir.path().join("network")).unwrap();
    wipe();
    assert!(bridge.ensure().unwrap().made);
    assert!(attach(&bridge, 2).space.pings("10.88.0.1"));
    wipe();
    let removed = bridge.remove_all().unwrap();
    assert!(removed.rules && removed.links.contains(&bridge.name().to_owned()));
}

#[test]
fn an_interrupted_creation_is_completed() {
    let host = Host::new();
    let bridge = host.bridge();
    let before = bridge.ensure().unwrap().network;
    // As a kill between creating the link and its last step leaves it.
    let name = bridge.name();
    sh(&format!(
        "ip link set {name} down; ip link set {name} alias ''; ip addr flush dev {name}"
    ))
    .unwrap();
    assert_eq!(bridge.find().unwrap(), None);
    assert_eq!(bridge.ensure().unwrap().network, before);
    assert!(
        sh(&format!("ip addr show {name}"))
            .unwrap()
            .contains("10.88.0.1/16")
    );
}

#[test]
fn many_at_once_make_it_once() {
    let host = Host::new();
    let bridge = host.bridge();
    let made: usize = std::thread::scope(|scope| {
        let one = |byte| {
            let bridge = &bridge;
            scope.spawn(move || {
                let id = id(byte);
                let request = Request {
                    id: &id,
                    ip: None,
                    mac: None,
                };
                usize::from(bridge.prepare(&request).unwrap().ensured().made)
            })
        };
        let threads: Vec<_> = (1..=8).map(one).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(made, 1);
    assert_eq!(bridge.orphans(&[]).unwrap().len(), 8);
    assert_eq!(bridge.remove_all().unwrap().leases, 8);
}

#[test]
fn removal_leaves_nothing() {
    let host = Host::new();
    let links = || sh("ip -o link show").unwrap();
    let (before, ruleset) = (links(), sh("nft list ruleset").unwrap());
    let bridge = host.bridge();
    let one = attach(&bridge, 1);
    let _two = attach(&bridge, 2);
    assert_ne!(links(), before);
    let removed = bridge.remove_all().unwrap();
    assert_eq!(
        (removed.links.len(), removed.rules, removed.leases),
        (3, true, 2)
    );
    assert_eq!(links(), before);
    assert_eq!(sh("nft list ruleset").unwrap(), ruleset);
    let left = std::fs::read_dir(host.dir.path().join("network")).unwrap();
    assert_eq!(left.count(), 0);
    assert_eq!(bridge.remove_all().unwrap(), Default::default());
    bridge.detach(&one.net).unwrap();
}

#[test]
fn what_dead_containers_left_is_found_and_removed() {
    let host = Host::new();
    let bridge = host.bridge();
    let one = attach(&bridge, 1);
    let two = attach(&bridge, 2);
    assert_eq!(bridge.orphans(&[id(1), id(2)]).unwrap(), []);
    let orphans = bridge.orphans(&[id(1)]).unwrap();
    assert_eq!(orphans.len(), 2);
    assert!(orphans.contains(&Orphan::Link(two.net.host_interface.clone())));
    for orphan in &orphans {
        bridge.remove_orphan(orphan).unwrap();
        bridge.remove_orphan(orphan).unwrap();
    }
    assert_eq!(bridge.orphans(&[id(1)]).unwrap(), []);
    assert!(one.space.pings(one.net.gateway));
    bridge.remove_all().unwrap();
}
