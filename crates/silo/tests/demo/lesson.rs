//! `silo lab`: the whole demo in one go, each step checked by itself.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use crate::common::{Host, kernel, patient};

#[test]
fn the_lesson_plays_to_its_end() {
    let host = Host::alone();
    let path = host.files.join("lesson");
    let file = std::fs::File::create(&path).unwrap();
    let mut command = host.command(&["lab", "process-isolation", "--auto"]);
    let mut child = command
        .stdout(Stdio::from(file.try_clone().unwrap()))
        .stderr(Stdio::from(file))
        .spawn()
        .unwrap();
    let end = Instant::now() + patient(Duration::from_secs(180));
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if Instant::now() > end {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let bytes = std::fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("All checks passed"), "{text}");
    assert!(!text.contains('\u{2717}'), "{text}");
    for step in 1..=11 {
        assert!(
            text.contains(&format!("\u{2501}\u{2501} {step} ")),
            "step {step}: {text}"
        );
    }
    assert_eq!(host.ok(&["ps", "-aq"]), "");
    assert!(!kernel::group_stands(&host.group()), "{}", host.group());
}

#[test]
fn an_unknown_lesson_is_refused() {
    let host = Host::new();
    host.fails(&["lab", "nosuch", "--auto"], 1, "nosuch");
}
