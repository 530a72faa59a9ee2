//! --network --add-host --dns --dns-search --dns-option --ip --mac-address.

use crate::common::{Host, kernel};

#[test]
fn the_kinds_of_network() {
    let host = Host::new();
    let links = |flags: &[&str]| {
        let text = host.script(flags, "ip link");
        let name = |l: &str| Some(l.split(": ").nth(1)?.split(['@', ':']).next()?.to_owned());
        text.lines()
            .filter(|l| l.starts_with(|c: char| c.is_ascii_digit()))
            .filter_map(name)
            .collect::<Vec<_>>()
    };
    assert_eq!(links(&[]), ["lo", "eth0"]);
    assert_eq!(links(&["--network", "bridge"]), ["lo", "eth0"]);
    assert_eq!(links(&["--net=none"]), ["lo"]);
    assert!(links(&["--network", "host"]).contains(&host.group()));
    assert_eq!(
        host.script(
            &["--network", "none"],
            "ping -c 1 -W 1 127.0.0.1 > /dev/null && echo up"
        ),
        "up"
    );

    host.ok(&["run", "-d", "--name", "owner", "lab", "sleep", "600"]);
    host.ok(&[
        "run",
        "-d",
        "--name",
        "guest",
        "--network",
        "container:owner",
        "lab",
        "sleep",
        "600",
    ]);
    assert_eq!(
        kernel::namespace(host.pid("owner"), "net"),
        kernel::namespace(host.pid("guest"), "net")
    );
    let name = |of: &str| host.ok(&["exec", of, "cat", "/etc/hosts"]);
    assert_eq!(name("owner"), name("guest"));
    // The owner may go first.
    host.ok(&["rm", "-f", "owner"]);
    host.ok(&["rm", "-f", "guest"]);

    host.fails(
        &["run", "--rm", "--network", "mine", "lab", "true"],
        125,
        "mine",
    );
    host.fails(
        &[
            "run",
            "--rm",
            "--network",
            "container:nosuch",
            "lab",
            "true",
        ],
        125,
        "nosuch",
    );
    host.fails(
        &[
            "run",
            "--rm",
            "--network",
            "none",
            "--ip",
            "10.1.1.1",
            "lab",
            "true",
        ],
        125,
        "ip",
    );
    host.fails(
        &[
            "run",
            "--rm",
            "--network",
            "container:owner",
            "-h",
            "x",
            "lab",
            "true",
        ],
        125,
        "hostname",
    );
    assert_eq!(host.ok(&["ps", "-aq"]), "");
}

#[test]
fn containers_reach_each_other_and_the_gateway() {
    let host = Host::new();
    let gateway = host.gateway();
    host.ok(&[
        "run",
        "-d",
        "--name",
        "server",
        "lab",
        "sh",
        "-c",
        "echo hello > /tmp/word; exec httpd -f -p 8080 -h /tmp",
    ]);
    let address = host.inspect("server")["NetworkSettings"]["IPAddress"]
        .as_str()
        .unwrap()
        .to_owned();
    host.script(
        &[],
        &format!("ping -c 1 -W 2 {gateway} && ping -c 1 -W 2 {address}"),
    );
    crate::common::until("an answer", || {
        let ask = format!("printf 'GET /word HTTP/1.0\\r\\n\\r\\n' | nc {address} 8080");
        host.silo(&["run", "--rm", "lab", "sh", "-c", &ask])
            .out
            .contains("hello")
    });
    // The image's own files stay as they are: hosts, hostname and resolv.conf come from outside.
    let hosts = host.ok(&["exec", "server", "cat", "/etc/hosts"]);
    let id = host.inspect("server")["Id"].as_str().unwrap()[..12].to_owned();
    assert!(
        hosts.contains("127.0.0.1\tlocalhost") || hosts.contains("127.0.0.1 localhost"),
        "{hosts}"
    );
    assert!(
        hosts
            .lines()
            .any(|l| l.contains(&address) && l.contains(&id)),
        "{hosts}"
    );
}

#[test]
fn names_of_hosts_and_servers() {
    let host = Host::new();
    let gateway = host.gateway();
    let flags = [
        "--add-host",
        "db:192.0.2.7",
        "--add-host",
        "six:2001:db8::1",
        "--add-host",
        "outside:host-gateway",
        "--dns",
        "192.0.2.53",
        "--dns",
        "192.0.2.54",
        "--dns-search",
        "example.org",
        "--dns-option",
        "ndots:3",
    ];
    let text = host.script(&flags, "cat /etc/hosts; echo; cat /etc/resolv.conf");
    let has = |words: &[&str]| {
        text.lines()
            .any(|l| l.split_whitespace().eq(words.iter().copied()))
    };
    assert!(has(&["192.0.2.7", "db"]), "{text}");
    assert!(has(&["2001:db8::1", "six"]), "{text}");
    assert!(has(&[&gateway, "outside"]), "{text}");
    assert!(
        has(&["nameserver", "192.0.2.53"]) && has(&["nameserver", "192.0.2.54"]),
        "{text}"
    );
    assert!(
        has(&["search", "example.org"]) && has(&["options", "ndots:3"]),
        "{text}"
    );
    for (flag, wrong) in [
        ("--add-host", "x"),
        ("--add-host", "x:1.2.3"),
        ("--dns", "nosuch"),
        ("--dns-search", "a b"),
        ("--dns-option", "a b"),
    ] {
        host.fails(&["run", "--rm", flag, wrong, "lab", "true"], 125, "");
    }
}

#[test]
fn fixed_addresses() {
    let host = Host::new();
    let gateway = host.gateway();
    let (net, _) = gateway.rsplit_once('.').unwrap();
    let wanted = format!("{net}.77");
    let flags = [
        "--name",
        "fixed",
        "--ip",
        &wanted,
        "--mac-address",
        "92:d0:c6:0a:29:33",
    ];
    host.ok(&[&["run", "-d"], &flags[..], &["lab", "sleep", "600"]].concat());
    let text = host.ok(&["exec", "fixed", "ip", "addr"]);
    assert!(
        text.contains(&format!("{wanted}/")) && text.contains("92:d0:c6:0a:29:33"),
        "{text}"
    );
    let facts = &host.inspect("fixed")["NetworkSettings"];
    assert_eq!(facts["IPAddress"], wanted.as_str());
    assert_eq!(facts["MacAddress"], "92:d0:c6:0a:29:33");
    host.fails(
        &["run", "--rm", "--ip", &wanted, "lab", "true"],
        125,
        &wanted,
    );
    host.fails(
        &["run", "--rm", "--ip", "192.0.2.1", "lab", "true"],
        125,
        "192.0.2.1",
    );
    host.fails(
        &["run", "--rm", "--ip", &gateway, "lab", "true"],
        125,
        &gateway,
    );
    host.fails(&["run", "--rm", "--ip", "x", "lab", "true"], 125, "x");
    host.fails(
        &[
            "run",
            "--rm",
            "--mac-address",
            "01:00:00:00:00:01",
            "lab",
            "true",
        ],
        125,
        "MAC",
    );
    assert_eq!(host.ok(&["ps", "-aq"]).lines().count(), 1);
    // Given back, it can be taken again.
    host.ok(&["rm", "-f", "fixed"]);
    assert!(host.script(&["--ip", &wanted], "ip addr").contains(&wanted));
}

/// CVE-2020-13401 and CVE-2024-32473: no router advertisements, no stray IPv6.
#[test]
fn version_6_is_off() {
    let host = Host::new();
    assert_eq!(
        host.script(&[], "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6"),
        "1"
    );
    let text = host.script(&[], "ip addr");
    assert!(!text.contains("inet6 fe80"), "{text}");
}

#[test]
fn rules_are_in_a_table_of_their_own() {
    let host = Host::new();
    host.script(&[], "true");
    let rules = kernel::firewall();
    let tables: Vec<&str> = rules.lines().filter(|l| l.starts_with("table")).collect();
    assert!(!tables.is_empty(), "{rules}");
    let group = host.group();
    assert!(tables.iter().all(|t| t.contains(&group)), "{rules}");
    assert!(rules.contains("masquerade"), "{rules}");
    // The same after another container: nothing piles up.
    host.script(&[], "true");
    assert_eq!(kernel::firewall(), rules);
}
