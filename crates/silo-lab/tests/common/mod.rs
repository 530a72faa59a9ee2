//! What the tests share: a folder with a link for each applet, so that scripts find these tools and no others.

// Each test program uses its own part of this module.
#![allow(dead_code)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

/// The program under test.
pub const LAB: &str = env!("CARGO_BIN_EXE_silo-lab");

/// A folder with the links; made once for a test program, in its build folder.
pub static BIN: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("silo-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let list = Command::new(LAB).arg("--list").output().unwrap().stdout;
    for name in String::from_utf8(list).unwrap().lines() {
        let link = folder.join(name);
        // Another thread of a former run with the same pid may have left it.
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(LAB, link).unwrap();
    }
    folder
});

/// A command with only these tools in its PATH.
pub fn applet(name: &str) -> Command {
    let mut command = Command::new(BIN.join(name));
    command.env("PATH", &*BIN);
    command
}

/// What a run gave.
#[derive(Debug)]
pub struct Ran {
    pub out: String,
    pub err: String,
    pub code: Option<i32>,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }
}

/// Runs a script with `sh -c`.
pub fn sh(script: &str) -> Ran {
    applet("sh")
        .args(["-c", script])
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .into()
}

/// Runs an applet with text on its standard input.
pub fn feed(name: &str, args: &[&str], input: &str) -> Ran {
    let mut child = applet(name)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap().into()
}

/// Runs each script and compares what it prints.
pub fn check(cases: &[(&str, &str)]) {
    for (script, wanted) in cases {
        let ran = sh(script);
        assert_eq!(ran.out, *wanted, "script: {script}\n{ran:?}");
    }
}
