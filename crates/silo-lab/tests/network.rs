//! Network tools, in network namespaces of their own with nothing but loopback (and once a dead-end veth pair).

mod common;
use common::{BIN, Ran, applet};
use std::process::Command;

/// Runs a script in a new network namespace after `lo` is up. `ip` is the host's own, for the set-up only.
fn inside(script: &str) -> Ran {
    let script = format!(
        "ip link set lo up && export PATH={}; {script}",
        BIN.display()
    );
    Command::new("unshare")
        .args(["-n", "/bin/sh", "-c", &script])
        .output()
        .unwrap()
        .into()
}

#[test]
fn ping_looks_like_iputils() {
    let ran = inside("ping -c 2 -i 0.1 127.0.0.1");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "PING 127.0.0.1 (127.0.0.1) 56(84) bytes of data.");
    assert!(
        lines[1].starts_with("64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=")
            && lines[1].ends_with(" ms")
    );
    assert_eq!(lines[4], "--- 127.0.0.1 ping statistics ---");
    assert!(lines[5].starts_with("2 packets transmitted, 2 received, 0% packet loss, time "));
    assert!(lines[6].starts_with("rtt min/avg/max/mdev = "));
}

#[test]
fn ping_uses_both_kinds_of_socket() {
    for range in ["1 0", "0 2147483647"] {
        let ran = inside(&format!(
            "echo '{range}' > /proc/sys/net/ipv4/ping_group_range; ping -c 1 127.0.0.1"
        ));
        assert!(ran.out.contains(" 1 received"), "{range}: {ran:?}");
    }
}

#[test]
fn ping_ends_with_statistics_on_signals() {
    for signal in ["INT", "TERM"] {
        let ran = inside(&format!(
            "ping -i 0.1 127.0.0.1 & sleep 0.35; kill -{signal} $!; wait $!"
        ));
        assert!(
            ran.out.contains("ping statistics") && ran.code == Some(0),
            "{ran:?}"
        );
    }
}

#[test]
fn ping_says_that_nobody_answers() {
    let host = "PATH=/usr/sbin:/usr/bin:/sbin:/bin ip";
    let dead_end = format!(
        "{host} link add dead type veth peer name end && {host} addr add 10.99.0.1/24 dev dead && \
         {host} link set dead up && {host} link set end up"
    );
    for range in ["1 0", "0 2147483647"] {
        let ran = inside(&format!(
            "{dead_end}; echo '{range}' > /proc/sys/net/ipv4/ping_group_range; ping -i 0.5 -w 5 10.99.0.2"
        ));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.out.contains("no answer yet for icmp_seq=1\n"),
            "{ran:?}"
        );
        assert!(
            ran.out
                .contains("From 10.99.0.1 icmp_seq=1 Destination Host Unreachable"),
            "{range}: {ran:?}"
        );
        assert!(ran.out.contains(" 0 received"), "{ran:?}");
    }
}

#[test]
fn ping_without_a_route_goes_on() {
    let ran = inside("ping -c 2 -i 0.1 -W 0.1 192.0.2.1");
    assert!(
        ran.err.contains("Network is unreachable")
            && ran
                .out
                .contains("2 packets transmitted, 0 received, +2 errors"),
        "{ran:?}"
    );
    assert_eq!(
        applet("ping").arg("no.such.host").status().unwrap().code(),
        Some(2)
    );
}

#[test]
fn netcat_and_httpd_talk() {
    let ran = inside(
        "nc -l -p 4000 > /dev/null & sleep 0.3; echo hello | nc 127.0.0.1 4000; echo $?; wait",
    );
    assert_eq!(ran.out, "0\n", "{ran:?}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "welcome").unwrap();
    let script = format!(
        "httpd -p 8080 -h {} & sleep 0.3; printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc 127.0.0.1 8080; \
         printf 'GET /../../etc/passwd HTTP/1.0\\r\\n\\r\\n' | nc 127.0.0.1 8080; kill $!",
        folder.path().display()
    );
    let ran = inside(&script);
    assert!(
        ran.out.starts_with("HTTP/1.0 200 OK")
            && ran.out.contains("welcome")
            && ran.out.contains("404 Not Found"),
        "{ran:?}"
    );
}

#[test]
fn netcat_speaks_unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let ran = inside(&format!(
        "echo answer | nc -l -U {0} & sleep 0.3; nc -U {0} < /dev/null",
        path.display()
    ));
    assert_eq!(ran.out, "answer\n", "{ran:?}");
}

#[test]
fn ip_shows_addresses_and_routes() {
    let ran = inside("ip addr; ip link show lo; ip route; ip addr show nope");
    assert!(
        ran.out.contains("lo: <LOOPBACK,UP,LOWER_UP>")
            && ran.out.contains("inet 127.0.0.1/8 scope host lo"),
        "{ran:?}"
    );
    assert!(ran.code == Some(1) && ran.err.contains("nope"), "{ran:?}");
}
