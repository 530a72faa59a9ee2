//! Containers on the bridge: they reach what they may, and nothing else.

use std::net::Ipv4Addr;

use crate::common::{Attached, Host, Space, attach, id, sh};
use silo_net::{
    Bridge, Netns, Orphan, Request, configure_from_outside, configure_inside, configure_loopback,
};
use silo_types::Kind;

/// A namespace behind the host's uplink, 192.0.2.1 (host) to 192.0.2.2 (outside), with no route to the containers.
fn outside(host: &Host) -> Space {
    let outside = Space::new();
    let pid = outside.pid();
    sh(&format!("ip link add up0 type veth peer name up1 netns {pid} && ip addr add 192.0.2.1/24 dev up0 && ip link set up0 up")).unwrap();
    outside
        .sh("ip addr add 192.0.2.2/24 dev up1 && ip link set up1 up && ip link set lo up")
        .unwrap();
    assert!(host.space.pings("192.0.2.2"));
    outside
}

/// Answers one connection on the port with the address it came from.
fn serve(space: &Space, port: u16) -> std::process::Child {
    let program = format!(
        "import socket\ns=socket.create_server(('',{port}))\nprint(flush=True)\nc,a=s.accept()\nc.sendall(a[0].encode())\nc.close()"
    );
    space.inside(|| {
        use std::io::Read;
        let mut child = std::process::Command::new("timeout")
            .args(["10", "python3", "-c", &program])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        child
    })
}

fn connect(space: &Space, address: &str, port: u16) -> Result<String, String> {
    let program = format!(
        "import socket; print(socket.create_connection((\"{address}\",{port}),1).recv(99).decode())"
    );
    space
        .sh(&format!("python3 -c '{program}'"))
        .map(|text| text.trim().to_owned())
}

#[test]
fn two_containers_reach_the_gateway_and_each_other() {
    let host = Host::new();
    let bridge = host.bridge();
    let (one, two) = (attach(&bridge, 1), attach(&bridge, 2));
    assert_eq!(one.net.ip, Ipv4Addr::new(10, 88, 0, 2));
    assert_eq!(two.net.ip, Ipv4Addr::new(10, 88, 0, 3));
    assert!(one.space.pings(one.net.gateway) && two.space.pings(two.net.gateway));
    assert!(one.space.pings(two.net.ip) && two.space.pings(one.net.ip));
    assert!(host.space.pings(one.net.ip));
    assert!(one.space.pings("127.0.0.1"));
    assert!(!one.space.pings("10.88.0.77"));

    let shown = one.space.sh("ip addr show eth0; ip route").unwrap();
    for part in [
        "UP",
        "02:42:0a:58:00:02",
        "inet 10.88.0.2/16 brd 10.88.255.255",
        "default via 10.88.0.1 dev eth0",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains("inet6"), "{shown}");
    let host_end = sh(&format!("ip addr show {}", one.net.host_interface)).unwrap();
    assert!(
        host_end.contains("master") && !host_end.contains("inet6"),
        "{host_end}"
    );
    bridge.remove_all().unwrap();
}

#[test]
fn a_container_goes_out_as_the_host_and_nobody_comes_in() {
    let host = Host::new();
    let bridge = host.bridge();
    let one = attach(&bridge, 1);
    let outside = outside(&host);
    assert!(one.space.pings("192.0.2.2"));
    let mut server = serve(&outside, 8000);
    assert_eq!(connect(&one.space, "192.0.2.2", 8000).unwrap(), "192.0.2.1");
    server.wait().unwrap();
    outside
        .sh("ip route add 10.88.0.0/16 via 192.0.2.1")
        .unwrap();
    assert!(!outside.pings(one.net.ip));
    // It was the rule that stopped it.
    sh(&format!("nft flush chain ip {} forward", bridge.name())).unwrap();
    assert!(outside.pings(one.net.ip));
    bridge.remove_all().unwrap();
}

#[test]
fn a_published_port_is_one_element() {
    let host = Host::new();
    let bridge = host.bridge();
    let one = attach(&bridge, 1);
    let outside = outside(&host);
    let add = |addresses: &str, port: u16| {
        let (table, ip) = (bridge.name(), one.net.ip);
        let line = format!(
            "nft add element ip {table} published '{{ tcp . {addresses} . {port} : {ip} . 80 }}'"
        );
        sh(&line).unwrap();
    };
    add("0.0.0.0-255.255.255.255", 8080);
    add("192.0.2.1", 8081);
    add("192.0.2.99", 8082);
    for port in [8080, 8081] {
        let mut server = serve(&one.space, 80);
        assert_eq!(connect(&outside, "192.0.2.1", port).unwrap(), "192.0.2.2");
        server.wait().unwrap();
    }
    let mut server = serve(&one.space, 80);
    assert!(connect(&outside, "192.0.2.1", 8082).is_err());
    // The host's own connections; and the container's to that port elsewhere is not caught.
    assert!(connect(&one.space, "192.0.2.2", 8080).is_err());
    assert_eq!(
        connect(&host.space, "192.0.2.1", 8080).unwrap(),
        "192.0.2.1"
    );
    server.wait().unwrap();
    bridge.remove_all().unwrap();
}

#[test]
fn bridges_are_apart() {
    let host = Host::new();
    let one = attach(&host.bridge(), 1);
    let other = Bridge::new(host.dir.path().join("other"), "silotother").unwrap();
    let two = attach(&other, 2);
    assert_eq!(two.net.ip, Ipv4Addr::new(10, 89, 0, 2));
    assert!(two.space.pings(two.net.gateway));
    assert!(!one.space.pings(two.net.ip) && !two.space.pings(one.net.ip));
    // One network's rules are enough for its own protection; without either nothing stops it.
    sh("nft flush chain ip silotother forward").unwrap();
    assert!(!two.space.pings(one.net.ip));
    sh(&format!(
        "nft flush chain ip {} forward",
        host.bridge().name()
    ))
    .unwrap();
    assert!(two.space.pings(one.net.ip));
    host.bridge().remove_all().unwrap();
    assert!(two.space.pings(two.net.gateway));
    other.remove_all().unwrap();
}

#[test]
fn a_false_source_address_is_dropped() {
    let host = Host::new();
    let bridge = host.bridge();
    let (one, name) = (attach(&bridge, 1), bridge.name());
    sh(&format!(
        "ip route add 198.51.100.7/32 via {} dev {name}",
        one.net.ip
    ))
    .unwrap();
    one.space
        .sh("ip addr add 198.51.100.7/32 dev eth0")
        .unwrap();
    let pretend = || {
        one.space
            .sh("ping -n -c 1 -W 1 -I 198.51.100.7 10.88.0.1")
            .is_ok()
    };
    assert!(!pretend());
    assert!(one.space.pings(one.net.gateway));
    // It was the rule that stopped it.
    sh(&format!("nft flush chain ip {name} sources")).unwrap();
    assert!(pretend());
    bridge.remove_all().unwrap();
}

#[test]
fn ipv6_is_off_on_both_ends() {
    let host = Host::new();
    let bridge = host.bridge();
    let one = attach(&bridge, 1);
    let read = |name: &str| format!("cat /proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    assert_eq!(one.space.sh(&read("eth0")).unwrap(), "1\n");
    assert_eq!(sh(&read(&one.net.host_interface)).unwrap(), "1\n");
    bridge.remove_all().unwrap();
}

#[test]
fn addresses_and_link_addresses_can_be_chosen() {
    let host = Host::new();
    let bridge = host.bridge();
    let one = id(1);
    let wanted = Ipv4Addr::new(10, 88, 7, 7);
    let mac = "02:00:00:00:00:01".parse().unwrap();
    let request = Request {
        id: &one,
        ip: Some(wanted),
        mac: Some(mac),
    };
    let pending = bridge.prepare(&request).unwrap();
    let space = Space::new();
    let net = pending.connect(Netns::Pid(space.pid())).unwrap();
    let own = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
    use std::os::fd::AsFd;
    configure_from_outside(space.fd(), own.as_fd(), &net).unwrap();
    assert!(sh("ip link show").unwrap().contains(bridge.name()));
    assert!(space.pings(net.gateway));
    let shown = space.sh("ip addr show eth0").unwrap();
    assert!(shown.contains("02:00:00:00:00:01") && shown.contains("10.88.7.7/16"));

    let two = id(2);
    let refused = |ip: [u8; 4]| {
        let request = Request {
            id: &two,
            ip: Some(ip.into()),
            mac: None,
        };
        let error = bridge.prepare(&request).err().unwrap();
        (error.kind(), error.to_string())
    };
    let (kind, text) = refused([10, 88, 7, 7]);
    assert_eq!(kind, Kind::Conflict);
    assert!(
        text.contains("10.88.7.7 is already in use by container 010101010101"),
        "{text}"
    );
    assert_eq!(refused([192, 0, 2, 1]).0, Kind::Invalid);
    assert_eq!(refused([10, 88, 0, 1]).0, Kind::Conflict);
    bridge.remove_all().unwrap();
}

#[test]
fn detaching_frees_link_and_address_and_may_be_repeated() {
    let host = Host::new();
    let bridge = host.bridge();
    let Attached { space, net } = attach(&bridge, 1);
    bridge.detach(&net).unwrap();
    assert!(space.sh("ip link show eth0").is_err());
    assert!(sh(&format!("ip link show {}", net.host_interface)).is_err());
    assert_eq!(bridge.orphans(&[]).unwrap(), []);
    bridge.detach(&net).unwrap();
    let _two = attach(&bridge, 2);
    bridge.detach(&net).unwrap();
    assert_eq!(bridge.orphans(&[id(2)]).unwrap(), []);
    bridge.remove_all().unwrap();
}

#[test]
fn a_released_pair_goes_with_its_namespace() {
    let host = Host::new();
    let bridge = host.bridge();
    let Attached { space, net } = attach(&bridge, 1);
    bridge.release(&net).unwrap();
    bridge.release(&net).unwrap();
    let link = Orphan::Link(net.host_interface.clone());
    assert_eq!(bridge.orphans(&[]).unwrap(), [link]);
    drop(space);
    let start = std::time::Instant::now();
    while !bridge.orphans(&[]).unwrap().is_empty() {
        assert!(start.elapsed().as_secs() < 5, "the kernel keeps the pair");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    // The next one gets the next address, not the one that was just given back.
    assert_eq!(attach(&bridge, 2).net.ip, Ipv4Addr::new(10, 88, 0, 3));
    bridge.remove_all().unwrap();
}

#[test]
fn a_pair_left_from_the_last_run_is_replaced() {
    let host = Host::new();
    let bridge = host.bridge();
    let first = attach(&bridge, 1);
    let again = attach(&bridge, 1);
    assert_eq!(first.net.host_interface, again.net.host_interface);
    assert!(again.space.pings(again.net.gateway));
    bridge.remove_all().unwrap();
}

#[test]
fn failures_say_what_failed() {
    let host = Host::new();
    let bridge = host.bridge();
    let one = id(1);
    let request = Request {
        id: &one,
        ip: None,
        mac: None,
    };
    let pending = bridge.prepare(&request).unwrap();
    let net = pending.attachment().clone();
    let error = pending.connect(Netns::Pid(u32::MAX / 2)).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("create veth pair veth01010101010"),
        "{error}"
    );
    bridge.detach(&net).unwrap();
    assert_eq!(bridge.orphans(&[]).unwrap(), []);
    let space = Space::new();
    let error = space.inside(|| configure_inside(&net)).unwrap_err();
    assert!(error.to_string().contains("eth0"), "{error}");
    bridge.remove_all().unwrap();
}

#[test]
fn loopback_alone() {
    let space = Space::new();
    assert!(!space.pings("127.0.0.1"));
    space.inside(configure_loopback).unwrap();
    assert!(space.pings("127.0.0.1"));
    assert!(space.pings("::1"));
}

#[test]
fn links_of_many_are_awaited_and_one_that_stays_is_deleted() {
    let host = Host::new();
    let bridge = host.bridge();
    let all: Vec<Attached> = (1..=6).map(|n| attach(&bridge, n)).collect();
    let ids: Vec<String> = (1..=6).map(|n| id(n).to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let links = || sh("ip -o link").unwrap().matches("veth").count();
    assert_eq!(links(), 6);
    let mut all = all.into_iter();
    let stays = all.next().unwrap();
    for gone in all {
        bridge.release(&gone.net).unwrap();
    }
    bridge.await_gone(&ids[1..]).unwrap();
    assert_eq!(links(), 1);
    // Its namespace lives on: the kernel will not remove it.
    bridge.await_gone(&ids).unwrap();
    assert_eq!(links(), 0);
    bridge.release(&stays.net).unwrap();
    bridge.await_gone(&ids).unwrap();
}
