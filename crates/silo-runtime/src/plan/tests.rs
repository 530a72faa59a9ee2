//! What becomes of a specification, by table.

use super::*;

#[test]
fn the_default_specification_has_a_plan() {
    let plan = plan(&Spec::default()).unwrap();
    assert_ne!(plan.new_namespaces & ns::PID, 0);
    assert_eq!(plan.mounts[0].target, "/proc");
    assert!(plan.mounts.iter().any(|m| m.what == MountWhat::Cgroup));
    assert!(plan.devices.iter().any(|d| d.path == "/dev/null"));
}

#[test]
fn relative_destinations_begin_at_the_root() {
    let mut mount = Mount::default();
    mount.set_destination("proc".into());
    mount.set_typ(Some("proc".to_owned()));
    let step = mount_step(&mount, &Plan::default()).unwrap();
    assert_eq!(step.target, "/proc");
    mount.set_destination("".into());
    assert!(mount_step(&mount, &Plan::default()).is_err());
}

/// The default specification with `linux` changed.
fn with_linux(json: &str) -> Result<Plan> {
    with("linux", json)
}

fn with(part: &str, json: &str) -> Result<Plan> {
    let mut base = serde_json::to_value(Spec::default()).unwrap();
    let added: serde_json::Value = serde_json::from_str(json).unwrap();
    base["hostname"] = serde_json::Value::Null;
    match (&mut base[part], added) {
        (serde_json::Value::Object(whole), serde_json::Value::Object(added)) => {
            whole.extend(added);
        }
        (whole, added) => *whole = added,
    }
    plan(&serde_json::from_value(base).unwrap())
}

const MAP: &str = r#"[{"containerID": 0, "hostID": 100000, "size": 1000}]"#;

/// Whoever lives in a mount namespace that was not made for it: nothing that would be done to somebody's mounts is in the plan.
#[test]
fn the_mounts_are_never_the_hosts() {
    let shared = [
        "",
        r#""namespaces": null"#,
        r#""namespaces": [{"type": "pid"}]"#,
        r#""namespaces": [{"type": "mount", "path": "/proc/1/ns/mnt"}]"#,
    ];
    let bare = r#""maskedPaths": [], "readonlyPaths": []"#;
    let mut plans: Vec<Plan> = shared
        .iter()
        .map(|namespaces| match *namespaces {
            "" => with_linux("null").unwrap(),
            namespaces => with_linux(&format!("{{{namespaces}, {bare}}}")).unwrap(),
        })
        .collect();
    for plan in &mut plans {
        plan.find_own(Path::new("/b/rootfs"));
        assert!(plan.shares_mounts && plan.new_namespaces & ns::MOUNT == 0);
        assert!(plan.mounts.is_empty() && plan.devices.is_empty());
        assert!(plan.masked_paths.is_empty() && plan.readonly_paths.is_empty());
        assert!(plan.sysctls.is_empty() && !plan.root_read_only);
        assert!(plan.root_propagation.is_none() && plan.mount_label.is_none());
        let told = plan.left_out[0].to_string();
        assert!(
            told.contains("/dev/shm") && told.contains("chroot"),
            "{told}"
        );
    }
    let own = with_linux("{}").unwrap();
    assert!(!own.shares_mounts && !own.mounts.is_empty() && own.left_out.is_empty());
}

/// What hides or protects is not left out with them.
#[test]
fn protection_needs_a_mount_namespace() {
    let bare = r#""maskedPaths": [], "readonlyPaths": [], "namespaces": [{"type": "ipc"}]"#;
    for (field, asked) in [
        ("maskedPaths", r#""maskedPaths": ["/proc/kcore"]"#),
        ("readonlyPaths", r#""readonlyPaths": ["/proc/sys"]"#),
        (
            "devices",
            r#""devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}]"#,
        ),
        ("sysctl", r#""sysctl": {"kernel.shmmni": "7"}"#),
        ("rootfsPropagation", r#""rootfsPropagation": "private""#),
        ("mountLabel", r#""mountLabel": "a:b:c:s0""#),
    ] {
        // Of two fields of one name the last one counts.
        let error = with_linux(&format!("{{{bare}, {asked}}}"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(field) && error.contains("mount namespace of the container's own"),
            "{error}"
        );
    }
}

#[test]
fn the_roots_name_on_the_host_is_the_containers_root() {
    let mounts = r#"[{"destination": "/b/rootfs/a", "type": "bind", "source": "/b/rootfs/../x", "options": ["rbind"]},
        {"destination": "/c", "type": "bind", "source": "/b/rootfsx"}]"#;
    let mut plan = with("mounts", mounts).unwrap();
    plan.find_own(Path::new("/b/rootfs"));
    assert_eq!(plan.mounts[0].target, "/a");
    let own = MountWhat::Own {
        path: "/../x".to_owned(),
        recursive: true,
    };
    assert_eq!(plan.mounts[0].what, own);
    assert!(matches!(plan.mounts[1].what, MountWhat::Bind { .. }));
}

#[test]
fn user_namespaces_come_with_maps() {
    let made = with_linux(&format!(
        r#"{{"namespaces": [{{"type": "mount"}}, {{"type": "user"}}], "uidMappings": {MAP}, "gidMappings": {MAP}}}"#
    ))
    .unwrap();
    assert!(matches!(made.user_namespace, Some(UserNamespace::New(_))));
    assert!(made.needs_passage());
    let joined = with_linux(
        r#"{"namespaces": [{"type": "mount"}, {"type": "user", "path": "/proc/1/ns/user"}]}"#,
    )
    .unwrap();
    assert!(matches!(
        joined.user_namespace,
        Some(UserNamespace::Joined(_))
    ));
    for bad in [
        r#"{"namespaces": [{"type": "mount"}, {"type": "user"}]}"#.to_owned(),
        format!(r#"{{"uidMappings": {MAP}}}"#),
        format!(
            r#"{{"namespaces": [{{"type": "mount"}}, {{"type": "user"}}], "uidMappings": {MAP}}}"#
        ),
        r#"{"namespaces": [{"type": "mount"}, {"type": "mount"}]}"#.to_owned(),
    ] {
        assert!(with_linux(&bad).is_err(), "{bad}");
    }
}

#[test]
fn time_offsets_are_lines_for_the_kernel() {
    let time = r#"[{"type": "mount"}, {"type": "time"}]"#;
    let plan = with_linux(&format!(
        r#"{{"namespaces": {time}, "timeOffsets": {{"monotonic": {{"secs": -5}}, "boottime": {{"secs": 1, "nanosecs": 7}}}}}}"#
    ))
    .unwrap();
    assert_eq!(plan.time_offsets, "boottime 1 7\nmonotonic -5 0\n");
    for bad in [
        r#"{"timeOffsets": {"monotonic": {"secs": 1}}}"#.to_owned(),
        format!(r#"{{"namespaces": {time}, "timeOffsets": {{"realtime": {{"secs": 1}}}}}}"#),
        format!(
            r#"{{"namespaces": {time}, "timeOffsets": {{"monotonic": {{"nanosecs": 1000000000}}}}}}"#
        ),
    ] {
        assert!(with_linux(&bad).is_err(), "{bad}");
    }
}

#[test]
fn what_cannot_be_carried_out_is_refused() {
    for bad in [
        r#"{"intelRdt": {"closID": "x"}}"#,
        r#"{"netDevices": {"eth0": {}}, "namespaces": [{"type": "mount"}]}"#,
        r#"{"rootfsPropagation": "sharded"}"#,
        r#"{"sysctl": {"kernel.core_pattern": "|/x"}}"#,
        r#"{"namespaces": [{"type": "mount"}], "sysctl": {"net.ipv4.ip_forward": "1"}}"#,
        r#"{"devices": [{"path": "dev/x", "type": "c", "major": 1, "minor": 3}]}"#,
        r#"{"devices": [{"path": "/dev/../x", "type": "c", "major": 1, "minor": 3}]}"#,
    ] {
        assert!(with_linux(bad).is_err(), "{bad}");
    }
    for nobody in [
        r#"{"user": {"uid": 4294967295, "gid": 0}}"#,
        r#"{"user": {"uid": 0, "gid": 4294967295}}"#,
        r#"{"user": {"uid": 0, "gid": 0, "additionalGids": [4294967295]}}"#,
    ] {
        assert!(with("process", nobody).is_err(), "{nobody}");
    }
    let twice = r#"{"rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 1}]}"#;
    assert!(with("process", twice).is_err());
}

#[test]
fn mounts_that_contradict_themselves_are_refused() {
    for bad in [
        r#"{"destination": "/x", "type": "bind", "source": "/", "options": ["uid=1"]}"#,
        r#"{"destination": "/x", "type": "bind", "source": "/", "options": ["tmpcopyup"]}"#,
        r#"{"destination": "/x", "type": "bind", "source": "/", "options": ["idmap"]}"#,
        r#"{"destination": "/x", "type": "proc", "options": ["tmpcopyup"]}"#,
        r#"{"destination": "/x", "type": "bind"}"#,
        r#"{"destination": "/x"}"#,
    ] {
        assert!(with("mounts", &format!("[{bad}]")).is_err(), "{bad}");
    }
    let sized = r#"[{"destination": "/x", "type": "bind", "source": "/", "options": ["ro", "mode=755", "size=1k"]}]"#;
    let plan = with("mounts", sized).unwrap();
    assert!(plan.mounts[0].options.data.is_empty() && plan.mounts[0].options.is_read_only());
    let told: Vec<String> = plan.left_out.iter().map(Error::to_string).collect();
    assert!(
        told[0].contains("mode=755") && told[1].contains("size=1k"),
        "{told:?}"
    );
    let mapped = format!(
        r#"[{{"destination": "/x", "type": "bind", "source": "/", "uidMappings": {MAP}, "gidMappings": {MAP}}}]"#
    );
    let plan = with("mounts", &mapped).unwrap();
    assert!(matches!(plan.mounts[0].id_map, Some(MountMaps::Own(_))));
}
