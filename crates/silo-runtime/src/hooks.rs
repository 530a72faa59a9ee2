//! Programs that callers want run at points of a container's life (OCI runtime specification, "POSIX-platform Hooks").
//!
//! Each gets the container's state on its standard input, in the order of the list, and the next only after it. Who runs them
//! is who is in the right namespaces: the command (prestart, createRuntime, poststart, poststop), the container's first process
//! before it enters its root (createContainer) or right before its program (startContainer).

use std::{
    ffi::CString,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

use oci_spec::runtime::{ContainerState, Hook, Hooks, Spec, State};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, ioctl_fionbio},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal},
};
use silo_sys::exec;
use silo_types::{Doing, Error, Result};

/// When in a container's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

/// How much of what a failed hook wrote is told.
const TOLD: usize = 4096;
/// A call that a seccomp filter forbids.
const SIGSYS: i32 = 31;

/// All hooks of a container, with what they are told.
#[derive(Clone, Debug)]
pub struct HookSet {
    hooks: Hooks,
    state: State,
}

impl HookSet {
    /// `None`: the specification has no hooks, which costs nothing.
    pub fn new(spec: &Spec, id: &str, bundle: &Path) -> Option<HookSet> {
        let hooks = spec.hooks().clone()?;
        let state = state(spec, id, bundle);
        Some(HookSet { hooks, state })
    }

    pub(crate) fn has(&self, point: Point) -> bool {
        !self.list(point).is_empty()
    }

    /// Whether some must run while the host's tree is still there and the container's mounts already are.
    pub(crate) fn come_before_the_root(&self) -> bool {
        [
            Point::Prestart,
            Point::CreateRuntime,
            Point::CreateContainer,
        ]
        .into_iter()
        .any(|point| self.has(point))
    }

    /// Runs those of `point`; the first that fails ends it.
    ///
    /// Errors say which, how it ended and what it wrote.
    pub fn run(&self, point: Point, pid: Option<i32>) -> Result<()> {
        let each = |(number, hook)| self.run_one(point, pid, number, hook, None);
        self.list(point).iter().enumerate().try_for_each(each)
    }

    /// The same for those at the program's start, which have its environment where they name none.
    pub(crate) fn run_at_start(&self, pid: Option<i32>, env: &[&str]) -> Result<()> {
        let point = Point::StartContainer;
        let each = |(number, hook)| self.run_one(point, pid, number, hook, Some(env));
        self.list(point).iter().enumerate().try_for_each(each)
    }

    /// Runs all of `point`, whatever becomes of each; what failed.
    pub fn run_all(&self, point: Point, pid: Option<i32>) -> Vec<Error> {
        let each = |(number, hook)| self.run_one(point, pid, number, hook, None).err();
        self.list(point)
            .iter()
            .enumerate()
            .filter_map(each)
            .collect()
    }

    #[allow(
        deprecated,
        reason = "callers still use prestart, and the specification keeps it"
    )]
    fn list(&self, point: Point) -> &[Hook] {
        let hooks = &self.hooks;
        let list = match point {
            Point::Prestart => hooks.prestart(),
            Point::CreateRuntime => hooks.create_runtime(),
            Point::CreateContainer => hooks.create_container(),
            Point::StartContainer => hooks.start_container(),
            Point::Poststart => hooks.poststart(),
            Point::Poststop => hooks.poststop(),
        };
        list.as_deref().unwrap_or_default()
    }

    fn run_one(
        &self,
        point: Point,
        pid: Option<i32>,
        number: usize,
        hook: &Hook,
        env: Option<&[&str]>,
    ) -> Result<()> {
        let mut state = self.state.clone();
        state.set_pid(pid).set_status(status(point));
        let text = serde_json::to_vec(&state).doing("write the state for a hook")?;
        // Inside the container the bundle's folder has no name; its root, which is about to be entered, is where one looks around.
        let place = match point {
            Point::StartContainer => Place::Inside,
            Point::CreateContainer => Place::Root,
            _ => Place::Bundle(self.state.bundle()),
        };
        execute(hook, &text, &place, env).map_err(|error| {
            let name = name(point);
            let path = hook.path().display();
            error.context(format!("error running {name} hook #{number}: {path}"))
        })
    }
}

/// What programs of the caller's are told of a container; status and pid are still to be set.
pub fn state(spec: &Spec, id: &str, bundle: &Path) -> State {
    let mut state = State::default();
    state
        .set_version(spec.version().clone())
        .set_id(id.to_owned())
        .set_bundle(bundle.to_owned())
        .set_annotations(spec.annotations().clone());
    state
}

fn name(point: Point) -> &'static str {
    match point {
        Point::Prestart => "prestart",
        Point::CreateRuntime => "createRuntime",
        Point::CreateContainer => "createContainer",
        Point::StartContainer => "startContainer",
        Point::Poststart => "poststart",
        Point::Poststop => "poststop",
    }
}

fn status(point: Point) -> ContainerState {
    match point {
        Point::CreateRuntime | Point::CreateContainer => ContainerState::Creating,
        // By the specification's lifecycle prestart hooks come when the environment is made.
        Point::Prestart | Point::StartContainer => ContainerState::Created,
        Point::Poststart => ContainerState::Running,
        Point::Poststop => ContainerState::Stopped,
    }
}

/// Where a hook runs.
enum Place<'a> {
    Bundle(&'a Path),
    /// In the container's root, of which the host's tree is still seen.
    Root,
    /// In the container, where all that is not the program's is closed already, by a filter that may not know the call.
    Inside,
}

/// A hook that runs.
struct Started {
    pid: Pid,
    pidfd: OwnedFd,
    /// What is still to be written to its input.
    input: Option<OwnedFd>,
    output: OwnedFd,
    written: Vec<u8>,
}

fn execute(hook: &Hook, state: &[u8], place: &Place<'_>, env: Option<&[&str]>) -> Result<()> {
    let timeout = match hook.timeout() {
        None => None,
        Some(seconds) => Some(
            u64::try_from(seconds)
                .ok()
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs)
                .ok_or_else(|| Error::invalid(format!("its timeout {seconds} is not above 0")))?,
        ),
    };
    if !hook.path().is_absolute() {
        return Err(Error::invalid("its path is not absolute"));
    }
    let mut started = spawn(hook, place, env)?;
    let end = timeout.map(|length| Instant::now() + length);
    let in_time = started.converse(state, end)?;
    if !in_time {
        let _ = pidfd_send_signal(&started.pidfd, Signal::KILL);
    }
    let status = started.wait()?;
    let said = String::from_utf8_lossy(&started.written);
    let said = match said.trim() {
        "" => String::new(),
        text => format!(": {text}"),
    };
    let how = match (in_time, status.exit_status(), status.terminating_signal()) {
        (false, ..) => {
            let seconds = timeout.unwrap_or_default().as_secs();
            format!("hook ran past specified timeout of {seconds}s")
        }
        (true, Some(0), _) => return Ok(()),
        (true, Some(code), _) => format!("exit status {code}"),
        // In words, for this one tells of a filter.
        (true, None, Some(SIGSYS)) => "signal: bad system call".to_owned(),
        (true, None, signal) => format!("signal {}", signal.unwrap_or(0)),
    };
    Err(Error::invalid(format!("{how}{said}")))
}

fn spawn(hook: &Hook, place: &Place<'_>, env: Option<&[&str]>) -> Result<Started> {
    let bad = "a word of the hook holds a NUL character";
    let path = hook.path().to_string_lossy().into_owned();
    let program = CString::new(path.as_str()).doing(bad)?;
    let words = match hook.args().as_deref() {
        Some(args) if !args.is_empty() => exec::Words::new(args.iter().map(String::as_str)),
        _ => exec::Words::new([path.as_str()]),
    }
    .doing(bad)?;
    let env = match (hook.env(), env) {
        (Some(env), _) => exec::Words::new(env.iter().map(String::as_str)),
        (None, Some(env)) => exec::Words::new(env.iter().copied()),
        (None, None) => exec::Words::from_os(std::env::vars_os().map(|(name, value)| {
            let mut variable = name;
            variable.push("=");
            variable.push(value);
            variable
        })),
    }
    .doing(bad)?;
    let pipe = || pipe_with(PipeFlags::CLOEXEC).doing("make a pipe for a hook");
    let (their_input, input) = pipe()?;
    let (output, their_output) = pipe()?;
    let pid = silo_sys::process::fork().doing("fork a hook")?;
    if pid == 0 {
        let why = become_hook(&their_input, &their_output, place, &program, &words, &env);
        let _ = rustix::io::write(rustix::stdio::stderr(), why.to_string().as_bytes());
        silo_sys::process::exit_now(127);
    }
    let pid = Pid::from_raw(pid).ok_or_else(|| Error::internal("a hook without a pid"))?;
    ioctl_fionbio(&input, true).doing("set up a hook's pipe")?;
    ioctl_fionbio(&output, true).doing("set up a hook's pipe")?;
    Ok(Started {
        pid,
        pidfd: pidfd_open(pid, PidfdFlags::empty()).doing("hold a hook")?,
        input: Some(input),
        output,
        written: Vec::new(),
    })
}

/// In the child: returns only why not.
fn become_hook(
    input: &OwnedFd,
    output: &OwnedFd,
    place: &Place<'_>,
    program: &CString,
    words: &exec::Words,
    env: &exec::Words,
) -> Error {
    let ready = || -> Result<()> {
        rustix::stdio::dup2_stdin(input).doing("connect its input")?;
        rustix::stdio::dup2_stdout(output).doing("connect its output")?;
        rustix::stdio::dup2_stderr(output).doing("connect its output")?;
        exec::reset_signals();
        match place {
            Place::Inside => return Ok(()),
            Place::Root => {}
            Place::Bundle(folder) => {
                rustix::process::chdir(*folder).doing("enter the bundle")?;
            }
        }
        exec::close_on_exec_from(3).doing("close what is not its own")
    };
    match ready() {
        Ok(()) => Error::system("exec", exec::execve(program, words, env)),
        Err(error) => error,
    }
}

impl Started {
    /// Hands it the state and keeps what it writes, until it has ended; false: not in time.
    fn converse(&mut self, mut state: &[u8], end: Option<Instant>) -> Result<bool> {
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            let limit = left.map(|left| Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: left.subsec_nanos().into(),
            });
            let mut fds = vec![
                PollFd::new(&self.pidfd, PollFlags::IN),
                PollFd::new(&self.output, PollFlags::IN),
            ];
            if let Some(input) = &self.input {
                fds.push(PollFd::new(input, PollFlags::OUT));
            }
            match poll(&mut fds, limit.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Error::system("wait for a hook", error)),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            if ready.get(2) == Some(&true) {
                state = self.hand_over(state);
            }
            let open = ready[1] && self.hear();
            if ready[0] {
                while self.hear() {}
                return Ok(true);
            }
            // It closed its output and goes on: only its end is left to wait for.
            if ready[1] && !open && self.input.is_none() {
                return self.wait_end(end);
            }
        }
    }

    fn wait_end(&self, end: Option<Instant>) -> Result<bool> {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let limit = left.map(|left| Timespec {
            tv_sec: left.as_secs() as i64,
            tv_nsec: left.subsec_nanos().into(),
        });
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        match poll(&mut fds, limit.as_ref()) {
            Ok(count) => Ok(count > 0),
            Err(error) => Err(Error::system("wait for a hook", error)),
        }
    }

    /// What is left to be written. A hook need not read.
    fn hand_over<'s>(&mut self, state: &'s [u8]) -> &'s [u8] {
        let Some(input) = &self.input else {
            return &[];
        };
        let left = match rustix::io::write(input, state) {
            Ok(done) => &state[done..],
            Err(Errno::AGAIN | Errno::INTR) => state,
            Err(_) => &[],
        };
        if left.is_empty() {
            self.input = None;
        }
        left
    }

    /// False when there is nothing more at the moment.
    fn hear(&mut self) -> bool {
        let mut buffer = [0u8; TOLD];
        match rustix::io::read(&self.output, &mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(got) => {
                let room = TOLD.saturating_sub(self.written.len());
                self.written.extend_from_slice(&buffer[..got.min(room)]);
                true
            }
        }
    }

    fn wait(&self) -> Result<WaitStatus> {
        loop {
            match rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => return Ok(status),
                Ok(None) | Err(Errno::INTR) => {}
                Err(error) => return Err(Error::system("wait for a hook", error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(hooks: serde_json::Value, point: Point) -> Result<()> {
        let mut spec = Spec::default();
        spec.set_hooks(Some(serde_json::from_value(hooks).unwrap()));
        let set = HookSet::new(&spec, "x", Path::new("/tmp")).unwrap();
        set.run(point, Some(7))
    }

    #[test]
    fn a_hook_gets_the_state_and_its_words() {
        let script = "grep -q '\"pid\":7.*\"bundle\":\"/tmp\"' && test \"$A$1\" = bc && test \"$PWD\" = /tmp";
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script, "sh", "c"], "env": ["A=b", "PATH=/bin:/usr/bin"]});
        run(json!({ "poststart": [hook] }), Point::Poststart).unwrap();
    }

    #[test]
    fn failures_name_the_hook_and_what_it_wrote() {
        let bad = json!({"path": "/bin/sh", "args": ["sh", "-c", "echo because >&2; exit 3"]});
        let list = json!({"createRuntime": [{"path": "/bin/true"}, bad]});
        let error = run(list, Point::CreateRuntime).unwrap_err().to_string();
        assert!(error.contains("createRuntime hook #1"), "{error}");
        assert!(error.contains("exit status 3: because"), "{error}");
        let missing = json!({"poststop": [{"path": "/nowhere"}]});
        let error = run(missing, Point::Poststop).unwrap_err().to_string();
        assert!(error.contains("no such file"), "{error}");
        assert!(run(json!({"poststop": [{"path": "sh"}]}), Point::Poststop).is_err());
    }

    #[test]
    fn a_hook_has_its_time() {
        let slow = json!({"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1});
        let begun = Instant::now();
        let error = run(json!({ "prestart": [slow] }), Point::Prestart).unwrap_err();
        assert!(error.to_string().contains("timeout of 1s"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
