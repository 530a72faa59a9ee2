//! completion, man, help.

use crate::common::{Host, kernel};

#[test]
fn completion_scripts() {
    let host = Host::new();
    for shell in ["bash", "zsh", "fish"] {
        let text = host.ok(&["completion", shell]);
        assert!(
            text.contains("silo") && text.lines().count() > 5,
            "{shell}: {text}"
        );
    }
    let path = host.file("silo.bash", &host.ok(&["completion", "bash"]));
    kernel::run("bash", &["-n", &path]);
    host.fails(&["completion", "nosuch"], 1, "nosuch");
}

#[test]
fn manual_pages() {
    let host = Host::new();
    let folder = host.folder("man");
    host.ok(&["man", "--dir", &folder]);
    let names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    for name in ["silo.1", "silo-container-run.1"] {
        assert!(names.iter().any(|n| n == name), "{names:?}");
    }
    let text = std::fs::read_to_string(format!("{folder}/silo-container-run.1")).unwrap();
    assert!(text.contains("cpuset"), "{text}");
}

#[test]
fn help_everywhere() {
    let host = Host::new();
    let overview = host.ok(&[]);
    for verb in [
        "run",
        "exec",
        "ps",
        "doctor",
        "container",
        "image",
        "volume",
    ] {
        assert!(overview.contains(verb), "{overview}");
        let text = host.ok(&[verb, "--help"]);
        assert!(text.contains("Usage:"), "{text}");
        assert!(host.ok(&["help", verb]).contains("Usage:"));
    }
    assert!(host.ok(&["run", "--help"]).contains("--memory"));
    // Behind the image it belongs to the command.
    assert_eq!(
        host.ok(&["run", "--rm", "--network", "none", "lab", "echo", "--help"]),
        "--help"
    );
    assert!(!host.root.exists() || host.ok(&["ps", "-aq"]).is_empty());
}
