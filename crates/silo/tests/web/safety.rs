//! Who may not ask, and what asking cannot do: other machines, other pages, containers, and those who only want to be in the way.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use serde_json::{Value, json};

use crate::{
    common::{Host, kernel, until},
    server::{Web, container, kill},
};

#[test]
fn it_listens_on_loopback_only_and_names_the_way_out() {
    let host = Host::new();
    for address in ["0.0.0.0:7456", "[::]:7456", "10.0.0.1:7456"] {
        host.fails(
            &["web", "--listen", address],
            1,
            "ssh -L 7456:127.0.0.1:7456",
        );
    }
    host.fails(&["web", "--listen", "7456"], 1, "127.0.0.1:PORT");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    host.fails(&["web", "--listen", &address], 1, "127.0.0.1:0");
    let web = Web::start(&host, &[]);
    assert!(web.address.ip().is_loopback());
    assert_eq!(web.token.len(), 64);
    // No other machine can even try: nothing listens elsewhere.
    let sockets = std::fs::read_to_string(format!("/proc/{}/net/tcp", web.pid())).unwrap();
    let port = format!(":{:04X} ", web.address.port());
    let listening = sockets
        .lines()
        .filter(|line| line.contains(&port) && line.contains(" 0A "));
    assert!(
        listening
            .map(str::trim)
            .all(|line| line.contains(" 0100007F:"))
    );
}

#[test]
fn other_names_other_pages_and_those_without_the_token_are_refused() {
    let host = Host::new();
    let web = Web::start(&host, &["--control"]);
    let bearer = format!("Authorization: Bearer {}\r\n", web.token);
    let own = format!("Host: {}\r\n", web.address);
    let ask = |path: &str, headers: &str| web.raw(&format!("GET {path} HTTP/1.1\r\n{headers}\r\n"));
    // DNS rebinding: a name of somebody else's that leads here, for the page as for the data.
    for name in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:7456",
        "",
    ] {
        let headers = format!("Host: {name}\r\n{bearer}");
        for path in ["/", "/app.js", "/api/at?time=1"] {
            assert_eq!(ask(path, &headers).status, 421, "{name} {path}");
        }
    }
    assert_eq!(ask("/api/at?time=1", &bearer).status, 421, "no host");
    // Through `ssh -L` the port may be another one.
    let tunnel = format!("Host: localhost:9999\r\n{bearer}");
    assert_eq!(ask("/api/at?time=1", &tunnel).status, 200);
    for other in ["https://evil.example", "null", "http://localhost:1"] {
        let headers = format!("{own}{bearer}Origin: {other}\r\n");
        assert_eq!(ask("/api/at?time=1", &headers).status, 403, "{other}");
    }
    let from_elsewhere = format!("{own}{bearer}Sec-Fetch-Site: cross-site\r\n");
    assert_eq!(ask("/api/at?time=1", &from_elsewhere).status, 403);
    for wrong in [
        String::new(),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: {}\r\n", web.token),
        format!("Authorization: Bearer {}\r\n", "0".repeat(64)),
        format!("Authorization: Bearer {}\r\n", &web.token[..63]),
        format!("Cookie: token={}\r\n", web.token),
    ] {
        let answer = ask("/api/at?time=1", &format!("{own}{wrong}"));
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(answer.body.contains("silo web"), "{}", answer.body);
    }
    // A form of another page can be made to send this, but not the token, nor its type.
    let form = format!(
        "POST /api/kill HTTP/1.1\r\n{own}Content-Length: 2\r\nContent-Type: text/plain\r\n\r\n{{}}"
    );
    assert_eq!(web.raw(&form).status, 401);
    let form = form.replace(&own, &format!("{own}{bearer}"));
    assert_eq!(web.raw(&form).status, 415);
    let asked = format!("OPTIONS /api/kill HTTP/1.1\r\n{own}Origin: https://evil.example\r\n\r\n");
    assert_eq!(web.raw(&asked).status, 405);
}

#[test]
fn every_answer_forbids_what_a_page_could_be_misused_for() {
    let host = Host::new();
    let web = Web::start(&host, &[]);
    for path in [
        "/",
        "/style.css",
        "/app.js",
        "/icon.svg",
        "/api/at?time=1",
        "/nothing",
    ] {
        let answer = web.get(path);
        let head = answer.head.to_lowercase();
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
            "cache-control: no-store",
        ] {
            assert!(head.contains(header), "{path}: {header} is not in\n{head}");
        }
        for header in ["access-control-", "set-cookie", "server:"] {
            assert!(!head.contains(header), "{path}: {header} is in\n{head}");
        }
        assert!(!answer.body.contains(&web.token), "{path}");
    }
}

#[test]
fn without_control_nothing_is_changed() {
    let host = Host::new();
    host.idle("box", &["-m", "64m"]);
    let web = Web::start(&host, &[]);
    let pid = host.pid("box");
    let mut live = web.live("c=box");
    let hello = live.next();
    assert_eq!(hello["hello"]["control"], false);
    let start = &live.until("its processes", |m| {
        m["detail"]["processes"].get(0).cloned()
    })["start"];
    for (path, body) in [
        ("/api/kill", kill("box", 9)),
        (
            "/api/kill",
            json!({"container": "box", "signal": 9, "pid": pid, "start": start}),
        ),
        (
            "/api/limit",
            json!({"container": "box", "memory": 32 << 20}),
        ),
        ("/api/undo", json!({"container": "box"})),
    ] {
        let answer = web.post(path, &body);
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.body.contains("--control"), "{}", answer.body);
    }
    assert!(kernel::alive(pid));
    assert_eq!(host.inspect("box")["HostConfig"]["Memory"], 64 << 20);
    // A look ahead is no change.
    let preview = web.json("/api/preview?c=box&memory=33554432");
    assert_eq!(preview["kills"], 0);
    assert_eq!(host.inspect("box")["HostConfig"]["Memory"], 64 << 20);
}

#[test]
fn requests_are_bounded() {
    let host = Host::new();
    let web = Web::start(&host, &["--control"]);
    let head = web.head("GET", "/api/at?time=1");
    let with = |more: &str| web.raw(&format!("{head}{more}\r\n")).status;
    assert_eq!(with(""), 200);
    assert_eq!(with(&format!("A: {}\r\n", "x".repeat(9000))), 431);
    assert_eq!(with(&"A: b\r\n".repeat(70)), 431);
    assert_eq!(with("Host: localhost\r\n"), 400);
    let long = format!("/{}", "x".repeat(2000));
    assert_eq!(web.get(&long).status, 414);
    let post = web.head("POST", "/api/kill") + "Content-Type: application/json\r\n";
    let body = |length: &str| web.raw(&format!("{post}{length}\r\n\r\n")).status;
    assert_eq!(body("Content-Length: 1000000"), 413);
    assert_eq!(body("Content-Length: -1"), 400);
    assert_eq!(body("Transfer-Encoding: chunked"), 411);
    for nonsense in [
        json!([]),
        json!({"container": "../../etc", "signal": 9}),
        json!({"container": "x", "signal": 9}),
        json!({"container": "x", "signal": 9, "more": 1}),
    ] {
        let status = web.post("/api/kill", &nonsense).status;
        assert!((400..500).contains(&status), "{nonsense}: {status}");
    }
    assert_eq!(web.get("/api/../../etc/passwd").status, 404);
    assert_eq!(web.get("/..%2f..%2fetc%2fpasswd").status, 400);
}

#[test]
fn slow_and_many_connections_shut_nobody_out() {
    let host = Host::new();
    host.idle("box", &[]);
    let web = Web::start(&host, &[]);
    // Half a request each, held open.
    let mut held: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut socket = web.connect();
            let _ = socket.write_all(b"GET / HTTP/1.1\r\nHost: ");
            socket
        })
        .collect();
    assert_eq!(web.get("/").status, 200);
    // They are told to go, or have made room.
    let mut end = String::new();
    let _ = held.last_mut().unwrap().read_to_string(&mut end);
    assert!(end.is_empty() || end.starts_with("HTTP/1.1 408 "), "{end}");
    drop(held);
    let mut pages: Vec<_> = (0..16).map(|_| web.live("c=box")).collect();
    assert_eq!(web.get("/api/live?c=box").status, 503);
    // Those that look still do, also beside one that takes nothing of what it is sent.
    for page in &mut pages[1..] {
        assert!(container(&page.next(), "box").is_some());
        assert!(container(&page.next(), "box").is_some());
    }
    let descriptors = format!("/proc/{}/fd", web.pid());
    drop(pages);
    until("the end of its connections", || {
        web.get("/").status == 200 && std::fs::read_dir(&descriptors).unwrap().count() < 30
    });
}

/// Of all containers one with the host's network comes closest: it reaches the port. It has no token.
#[test]
fn a_container_cannot_drive_it() {
    let host = Host::new();
    let web = Web::start(&host, &["--control"]);
    host.idle("victim", &[]);
    let ask = |network: &str, request: &str| {
        let port = web.address.port().to_string();
        let script = format!("printf '{request}' | nc -w 3 127.0.0.1 {port}; true");
        host.ok(&[
            "run",
            "--rm",
            "--network",
            network,
            "lab",
            "sh",
            "-c",
            &script,
        ])
    };
    let request = r#"POST /api/kill HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\nContent-Type: application/json\r\nContent-Length: 33\r\n\r\n{"container":"victim","signal":9}"#;
    let answer = ask("host", request);
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    for network in ["bridge", "none"] {
        let answer = ask(network, request);
        assert!(!answer.contains("HTTP/1.1"), "{network}: {answer}");
    }
    assert_eq!(host.status("victim"), "running");
    // Nothing of the token is in what a container with the host's processes can read of it.
    let script = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null";
    let seen = host.silo(&[
        "run",
        "--rm",
        "--pid",
        "host",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    assert!(!String::from_utf8_lossy(&seen.raw).contains(&web.token));
}

#[test]
fn what_a_container_says_is_shown_and_does_nothing() {
    let host = Host::new();
    let script =
        r#"printf '\033[2J<img src=x onerror=alert(1)>\r\342\200\256evil\n'; exec sleep 600"#;
    host.ok(&[
        "run",
        "-d",
        "--name",
        "box",
        "--network",
        "none",
        "lab",
        "sh",
        "-c",
        script,
    ]);
    host.logged("box", "evil");
    let web = Web::start(&host, &[]);
    let logs = web.get("/api/logs?c=box");
    assert!(logs.body.contains("<img src=x"), "{}", logs.body);
    assert!(logs.head.contains("application/json"), "{}", logs.head);
    let facts: Value = serde_json::from_str(&logs.body).unwrap();
    let text = facts["lines"][0]["text"].as_str().unwrap();
    assert_eq!(text, r"\x1b[2J<img src=x onerror=alert(1)>\x0d\u202eevil");
    host.ok(&[
        "exec",
        "-d",
        "box",
        "sh",
        "-c",
        "exec -a x sleep 601 || sleep 601 '\u{1b}[2J'",
    ]);
    let mut live = web.live("c=box&view=processes");
    for _ in 0..3 {
        let message = live.next().to_string();
        assert!(!message.contains("\\u001b"), "{message}");
    }
}

#[test]
fn it_costs_nothing_while_nobody_looks() {
    let host = Host::new();
    host.idle("box", &[]);
    let web = Web::start(&host, &[]);
    let mut live = web.live("c=box");
    live.next();
    live.next();
    drop(live);
    // How often any of its threads went to sleep, and so how often one was awake.
    let awake = || -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", web.pid())).unwrap();
        let switches = tasks.map(|task| {
            let text = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let line = text
                .lines()
                .find(|l| l.starts_with("voluntary_ctxt"))
                .unwrap();
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<u64>()
                .unwrap()
        });
        switches.sum()
    };
    let still = || {
        let before = awake();
        std::thread::sleep(std::time::Duration::from_secs(3));
        awake() == before
    };
    until("its sleep", still);
}

#[test]
fn signals_end_it_and_nothing_is_left() {
    let host = Host::new();
    host.idle("box", &[]);
    for number in [1, 2, 15] {
        let web = Web::start(&host, &[]);
        let mut live = web.live("c=box");
        live.next();
        let address = web.address;
        assert_eq!(web.end(number), 0, "signal {number}");
        assert!(TcpStream::connect(address).is_err());
    }
    assert_eq!(host.status("box"), "running");
}
