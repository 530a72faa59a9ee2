//! What every integration test stands on: a `Host`, a Silo of its own that shares nothing with another test.
//!
//! Own `--root` and `--run` (and with them own control groups and an own bridge), an own network namespace without an uplink,
//! and a leak check when it is dropped: whatever the test made, nothing of it may be left in the kernel or on disk.
#![allow(dead_code, reason = "each test program uses its part of this")]

pub mod grid;
pub mod kernel;
mod leaks;
mod network;
pub mod terminal;

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

pub use terminal::Session;

/// Longest time that one command may take.
const LONGEST: Duration = Duration::from_secs(60);

/// How long to wait for what should come at once, on a machine that is busy with other tests.
pub fn soon() -> Duration {
    patient(Duration::from_secs(20))
}

/// So much, times the number in SILO_TEST_PATIENCE: emulated machines are slow (tests/vm).
pub fn patient(time: Duration) -> Duration {
    let factor = std::env::var("SILO_TEST_PATIENCE").ok();
    time * factor.and_then(|f| f.parse().ok()).unwrap_or(1)
}

/// Name of the variable by which processes of a host are recognised.
const MARK: &str = "SILO_TEST_HOST";

/// Held by every test; alone by those that measure.
static MACHINE: RwLock<()> = RwLock::new(());

/// This test's share of the machine, let go of at its end.
enum Share {
    Together {
        _guard: RwLockReadGuard<'static, ()>,
    },
    Alone {
        _guard: RwLockWriteGuard<'static, ()>,
    },
    /// Of a test that holds one already.
    None,
}

/// A Silo of its own.
pub struct Host {
    pub root: PathBuf,
    pub run: PathBuf,
    /// For files of the test; everything else of the host lies beside it.
    pub files: PathBuf,
    base: PathBuf,
    mark: String,
    parents: Vec<String>,
    _share: Share,
}

/// How a command ended and what it wrote.
#[derive(Debug)]
pub struct Ran {
    pub words: String,
    pub code: i32,
    pub out: String,
    pub err: String,
    pub raw: Vec<u8>,
}

impl Host {
    /// A fresh host; the calling thread and what it starts move into a network namespace of their own.
    pub fn new() -> Host {
        Host::below(Path::new("/tmp"))
    }

    /// The same with its data below `folder`.
    pub fn below(folder: &Path) -> Host {
        let guard = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        network::enter_own();
        Host::here(folder, Share::Together { _guard: guard })
    }

    /// For a test that measures: no other test of this program runs meanwhile.
    pub fn alone() -> Host {
        Host::alone_below(Path::new("/tmp"))
    }

    /// The same with its data below `folder`.
    pub fn alone_below(folder: &Path) -> Host {
        let guard = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        network::enter_own();
        Host::here(folder, Share::Alone { _guard: guard })
    }

    /// A second host beside this one, in the same network namespace.
    pub fn another(&self) -> Host {
        Host::here(Path::new("/tmp"), Share::None)
    }

    fn here(folder: &Path, share: Share) -> Host {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("silo-test-{}-{number}", std::process::id());
        let base = folder.join(&mark);
        let files = base.join("files");
        fs::create_dir_all(&files).unwrap();
        Host {
            root: base.join("root"),
            run: base.join("run"),
            files,
            base,
            mark,
            parents: Vec::new(),
            _share: share,
        }
    }

    /// A name that no other host has.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// The name of the control group above its containers, and of its bridge.
    pub fn group(&self) -> String {
        let paths = silo_engine::Paths {
            root: self.root.clone(),
            run: self.run.clone(),
        };
        format!("silo{}", paths.suffix())
    }

    /// `silo` with the global options, ready for more.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_silo"));
        command
            .args(self.globals())
            .args(words)
            .env(MARK, &self.mark)
            .env("NO_COLOR", "1")
            .current_dir(&self.files)
            .stdin(Stdio::null());
        command
    }

    fn globals(&self) -> [String; 4] {
        let text = |path: &Path| path.display().to_string();
        [
            "--root".into(),
            text(&self.root),
            "--run".into(),
            text(&self.run),
        ]
    }

    /// Runs a command to its end.
    pub fn silo(&self, words: &[&str]) -> Ran {
        self.finish(self.command(words), words, b"")
    }

    /// The same with bytes on standard input.
    pub fn silo_with(&self, words: &[&str], input: &[u8]) -> Ran {
        self.finish(self.command(words), words, input)
    }

    /// Runs a prepared command to its end.
    pub fn finish(&self, mut command: Command, words: &[&str], input: &[u8]) -> Ran {
        if !input.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = input.to_vec();
        let writer = child.stdin.take().map(|mut stdin| {
            std::thread::spawn(move || {
                let _ = stdin.write_all(&input);
            })
        });
        let out = collect(child.stdout.take().unwrap());
        let err = collect(child.stderr.take().unwrap());
        let words: String = words.join(" ").chars().take(300).collect();
        let code = wait_at_most(&mut child, patient(LONGEST), &words);
        if let Some(writer) = writer {
            writer.join().unwrap();
        }
        let raw = out.join().unwrap();
        Ran {
            words,
            code,
            out: String::from_utf8_lossy(&raw).into_owned(),
            err: String::from_utf8_lossy(&err.join().unwrap()).into_owned(),
            raw,
        }
    }

    /// Runs a command that must succeed; what it printed, without the last newline.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        self.silo(words).ok()
    }

    /// Runs a command that must fail with this code and say this; its whole complaint.
    #[track_caller]
    pub fn fails(&self, words: &[&str], code: i32, text: &str) -> String {
        let ran = self.silo(words);
        assert_eq!(ran.code, code, "{ran}");
        assert!(ran.err.contains(text), "{text:?} is not said: {ran}");
        let broken = ["panicked", "os error"]
            .iter()
            .any(|word| ran.err.contains(word));
        assert!(!broken, "{ran}");
        ran.err
    }

    /// Runs a shell script in a fresh container of the built-in image; flags before it.
    #[track_caller]
    pub fn script(&self, flags: &[&str], script: &str) -> String {
        let words = [&["run", "--rm"], flags, &["lab", "sh", "-c", script]].concat();
        self.ok(&words)
    }

    /// The same without a network, which starts sooner.
    #[track_caller]
    pub fn offline(&self, flags: &[&str], script: &str) -> String {
        self.script(&[&["--network", "none"], flags].concat(), script)
    }

    /// A container in the background that does nothing until it is told to end; its name.
    #[track_caller]
    pub fn idle<'n>(&self, name: &'n str, flags: &[&str]) -> &'n str {
        let words = [
            &["run", "-d", "--name", name, "--network", "none"],
            flags,
            &["lab", "sleep", "600"],
        ];
        self.ok(&words.concat());
        name
    }

    /// The same before its first start.
    #[track_caller]
    pub fn waiting(&self, name: &str) {
        let words = ["create", "--name", name, "--network", "none"];
        self.ok(&[&words[..], &["lab", "sleep", "600"]].concat());
    }

    /// Starts a command and leaves it running; output goes nowhere.
    pub fn spawn(&self, words: &[&str]) -> Running {
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().unwrap())
    }

    /// A command on a terminal of 80 by 24.
    pub fn terminal(&self, words: &[&str]) -> Session {
        self.terminal_of((24, 80), words)
    }

    /// The same for somebody who wants no colours.
    pub fn terminal_plain(&self, words: &[&str]) -> Session {
        let mut command = self.on_terminal(words);
        command.env("NO_COLOR", "1");
        Session::start(command, (24, 80))
    }

    /// A command on a terminal of (rows, columns).
    pub fn terminal_of(&self, size: (u16, u16), words: &[&str]) -> Session {
        Session::start(self.on_terminal(words), size)
    }

    fn on_terminal(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_silo"));
        command
            .arg("__on-terminal")
            .args(self.globals())
            .args(words)
            .env(MARK, &self.mark)
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .current_dir(&self.files);
        command
    }

    /// What `inspect` says about a container, an image or a volume.
    #[track_caller]
    pub fn inspect(&self, name: &str) -> Value {
        let text = self.ok(&["inspect", name]);
        let list: Value = serde_json::from_str(&text).unwrap();
        list[0].clone()
    }

    /// Host pid of a container's main process.
    #[track_caller]
    pub fn pid(&self, name: &str) -> i32 {
        let pid = self.inspect(name)["State"]["Pid"].as_i64().unwrap();
        assert!(pid > 0, "{name} does not run");
        pid as i32
    }

    /// Host pid of a running container's monitor.
    #[track_caller]
    pub fn monitor(&self, name: &str) -> i32 {
        let id = self.inspect(name)["Id"].as_str().unwrap().to_owned();
        let path = self.root.join("containers").join(id).join("state.json");
        let state: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        state["monitor"]["pid"].as_i64().unwrap() as i32
    }

    /// Docker's word for what a container does at the moment.
    #[track_caller]
    pub fn status(&self, name: &str) -> String {
        let value = self.inspect(name);
        value["State"]["Status"].as_str().unwrap().to_owned()
    }

    /// Waits until the log of a container has this text; the whole log.
    #[track_caller]
    pub fn logged(&self, name: &str, text: &str) -> String {
        let mut log = String::new();
        until(&format!("{text:?} in the log of {name}"), || {
            let ran = self.silo(&["logs", name]);
            log = ran.out + &ran.err;
            log.contains(text)
        });
        log
    }

    /// Waits until a container has ended.
    #[track_caller]
    pub fn ended(&self, name: &str) {
        until(&format!("the end of {name}"), || {
            self.status(name) == "exited"
        });
    }

    /// Address of the bridge, which containers reach the host by.
    pub fn gateway(&self) -> String {
        let routes = self.script(&[], "ip route");
        let line = routes.lines().find(|l| l.starts_with("default")).unwrap();
        line.split_whitespace().nth(2).unwrap().to_owned()
    }

    /// A file of the test, with this text; its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.files.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A folder of the test; its path.
    pub fn folder(&self, name: &str) -> String {
        let path = self.files.join(name);
        fs::create_dir_all(&path).unwrap();
        path.display().to_string()
    }

    /// A control group of the test's own with a ceiling of memory, for `--cgroup-parent`; gone when the host is dropped.
    pub fn ceiling(&mut self, bytes: u64) -> String {
        let name = format!("{}-{}", self.mark, self.parents.len());
        kernel::make_parent(&name, bytes);
        self.parents.push(name.clone());
        name
    }
}

impl Ran {
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self}");
        self.out.strip_suffix('\n').unwrap_or(&self.out).to_owned()
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        let _ = write!(text, "'silo {}' ended with {}", self.words, self.code);
        for (name, stream) in [("printed", &self.out), ("complained", &self.err)] {
            let shown: String = stream.chars().take(4000).collect();
            let _ = write!(text, "\n  {name}: {shown}");
        }
        f.write_str(&text)
    }
}

/// A command in the background; killed when dropped.
pub struct Running(Child);

impl Running {
    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// Waits for its end; 128 + signal when one ended it.
    #[track_caller]
    pub fn wait(mut self) -> i32 {
        wait_at_most(&mut self.0, soon(), "a command in the background")
    }

    pub fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// SIGKILL, at once.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

#[track_caller]
fn wait_at_most(child: &mut Child, most: Duration, what: &str) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    let end = Instant::now() + most;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{what} did not end within {most:?}");
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Waits until something holds, and fails when it does not soon.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + soon();
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {:?}", soon());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The words of each line behind the first.
pub fn rows(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .skip(1)
        .map(|l| l.split_whitespace().collect())
        .collect()
}

/// Sends a signal by number.
pub fn signal(pid: i32, number: i32) {
    let status = Command::new("kill")
        .args([format!("-{number}"), pid.to_string()])
        .stderr(Stdio::null())
        .status();
    assert!(status.is_ok());
}
