//! --format: templates as people write them, on the lists and on inspect.

use crate::common::Host;

#[test]
fn templates_on_inspect() {
    let host = Host::new();
    host.idle(
        "box",
        &[
            "-l",
            "b=2",
            "-l",
            "a=1",
            "-e",
            "X=y",
            "-m",
            "64m",
            "--restart",
            "on-failure:2",
        ],
    );
    let show = |template: &str| host.ok(&["inspect", "--format", template, "box"]);
    let id = host.inspect("box")["Id"].as_str().unwrap().to_owned();
    for (template, expected) in [
        ("{{.Id}}", id.as_str()),
        ("{{.Name}} {{.State.Running}}", "/box true"),
        ("{{json .Config.Labels}}", "{\"a\":\"1\",\"b\":\"2\"}"),
        (
            "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}",
            "a=1;b=2;",
        ),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        (
            "{{if and .State.Paused true}}x{{else if eq .Name \"/box\"}}yes{{end}}",
            "yes",
        ),
        (
            "{{printf \"%s-%d-%5s|\" .Name .HostConfig.Memory \"r\"}}",
            "/box-67108864-    r|",
        ),
        ("{{join .Config.Cmd \" \"}}", "sleep 600"),
        ("{{len .Config.Labels}}", "2"),
        (
            "{{index .Config.Labels \"a\"}} {{index .Config.Cmd 1}}",
            "1 600",
        ),
        ("{{upper .Name}} {{lower \"ABC\"}}", "/BOX abc"),
        (
            "{{with .HostConfig.RestartPolicy}}{{.Name}}:{{.MaximumRetryCount}}{{end}}",
            "on-failure:2",
        ),
        ("{{- .Name -}}  x", "/boxx"),
        ("{{/* note */}}{{.Name | printf \"<%s>\"}}", "</box>"),
        ("{{slice .Id 0 12}}", &id[..12]),
        ("{{.NoSuch}}", "<no value>"),
    ] {
        if template == "{{.NoSuch}}" {
            host.fails(&["inspect", "-f", template, "box"], 1, "NoSuch");
        } else {
            assert_eq!(show(template), expected, "{template}");
        }
    }
    for broken in [
        "{{",
        "{{.Name",
        "{{nosuch .Id}}",
        "{{if}}{{end}}",
        "{{range .Name}}",
    ] {
        host.fails(&["inspect", "-f", broken, "box"], 1, "template");
    }
    let two = host.ok(&["inspect", "-f", "{{.Name}}", "box", &id[..6]]);
    assert_eq!(two, "/box\n/box");
    let ran = host.silo(&["inspect", "box", "nosuch"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains(&id) && ran.err.contains("nosuch"), "{ran}");
}

#[test]
fn templates_on_lists() {
    let host = Host::new();
    host.idle("box", &["-l", "a=1"]);
    let table = host.ok(&["ps", "--format", "table {{.ID}}\t{{.Names}}\t{{.Status}}"]);
    let head: Vec<&str> = table
        .lines()
        .next()
        .unwrap()
        .split("   ")
        .filter(|w| !w.is_empty())
        .map(str::trim)
        .collect();
    assert_eq!(head, ["CONTAINER ID", "NAMES", "STATUS"]);
    let json = host.ok(&["ps", "--format", "json"]);
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    for key in [
        "ID",
        "Names",
        "Image",
        "Command",
        "CreatedAt",
        "RunningFor",
        "Status",
        "State",
        "Ports",
        "Labels",
        "Mounts",
        "Networks",
        "Size",
        "LocalVolumes",
    ] {
        assert!(row.get(key).is_some(), "{key}: {json}");
    }
    assert_eq!(row["State"], "running");
    assert_eq!(row["Labels"], "a=1");
    assert_eq!(
        host.ok(&["ps", "--format", "{{json .Names}} {{.Label \"a\"}}"]),
        "\"box\" 1"
    );
    for (list, key) in [("images", "Repository"), ("ps", "Names")] {
        let text = host.ok(&[list, "--format", "json"]);
        assert!(text.contains(&format!("\"{key}\"")), "{text}");
    }
    host.ok(&["volume", "create", "data"]);
    assert_eq!(
        host.ok(&["volume", "ls", "--format", "{{.Name}} {{.Driver}}"]),
        "data local"
    );
    host.fails(&["ps", "--format", "{{.NoSuch}}"], 1, "NoSuch");
}

/// Docker's own fields, at Docker's own places: scripts depend on them.
#[test]
fn inspect_has_dockers_shape() {
    let host = Host::new();
    host.ok(&["run", "-d", "--name", "box", "--init", "lab", "true"]);
    host.ended("box");
    let facts = host.inspect("box");
    for pointer in [
        "/Created",
        "/Path",
        "/Args",
        "/State/Status",
        "/State/Running",
        "/State/Paused",
        "/State/Restarting",
        "/State/OOMKilled",
        "/State/Dead",
        "/State/Pid",
        "/State/ExitCode",
        "/State/Error",
        "/State/StartedAt",
        "/State/FinishedAt",
        "/Image",
        "/ResolvConfPath",
        "/HostnamePath",
        "/HostsPath",
        "/LogPath",
        "/Name",
        "/RestartCount",
        "/Driver",
        "/HostConfig/NetworkMode",
        "/HostConfig/RestartPolicy/Name",
        "/HostConfig/AutoRemove",
        "/HostConfig/CapAdd",
        "/HostConfig/ReadonlyRootfs",
        "/HostConfig/ShmSize",
        "/Mounts",
        "/Config/Hostname",
        "/Config/User",
        "/Config/Env",
        "/Config/Cmd",
        "/Config/Image",
        "/Config/WorkingDir",
        "/Config/Labels",
        "/NetworkSettings/IPAddress",
        "/NetworkSettings/Networks/bridge",
    ] {
        assert!(facts.pointer(pointer).is_some(), "{pointer}: {facts}");
    }
    assert_eq!(facts["State"]["Status"], "exited");
    assert_eq!(facts["HostConfig"]["Init"], true);
    assert_eq!(facts["State"]["Pid"], 0);
}
