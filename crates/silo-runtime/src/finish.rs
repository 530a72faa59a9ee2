//! The last steps of a process before its program: limits, user, capabilities, seccomp, exec. The same for a container's first
//! process and for one that enters later.

use std::{
    collections::HashSet,
    ffi::CString,
    os::fd::{AsFd, AsRawFd},
};

use oci_spec::runtime::{Process, State};
use rustix::{
    fs::{self, Mode, OFlags},
    io::Errno,
    process::{Gid, Uid},
    thread,
};
use silo_sys::exec;
use silo_types::{Doing, Error, Kind, Result};

use crate::{
    attributes::Attributes,
    capabilities,
    channel::Channel,
    hooks::HookSet,
    init::own_pid,
    labels::{self, Label, OpenLabel},
    listener::Listener,
    lookup, passage,
    plan::Rlimit,
    reaper,
    seccomp::Filter,
};

/// What a process becomes, prepared before the clone.
pub(crate) struct Finish<'a> {
    pub(crate) process: &'a Process,
    pub(crate) rlimits: &'a [Rlimit],
    pub(crate) attributes: &'a Attributes,
    /// Opened by the process itself, before the host's /proc is left.
    pub(crate) labels: Vec<OpenLabel>,
    pub(crate) seccomp: Option<Filter>,
    /// Where the filter's listener goes, if it has one: see [`Finish::connect_agent`].
    pub(crate) listener: Option<Listener>,
    pub(crate) in_user_namespace: bool,
    /// A first process of our own stays above the program.
    pub(crate) reaper: bool,
    /// Die when the parent dies.
    pub(crate) die_with_parent: bool,
    /// How many descriptors from 3 on are the program's.
    pub(crate) preserved_fds: u32,
    /// Those at the program's start run here.
    pub(crate) hooks: Option<&'a HookSet>,
}

impl Finish<'_> {
    /// Becomes the program; returns only the reason why not, to be told on `channel`.
    pub(crate) fn become_program(&mut self, channel: &mut Option<Channel>) -> Error {
        let settled = self
            .settle(channel.as_ref())
            .and_then(|()| self.run_hooks());
        if let Err(error) = settled {
            return error;
        }
        if self.reaper {
            reaper::show();
            match silo_sys::process::fork() {
                Ok(0) => {
                    let _ = passage::hide();
                    let _ = rustix::process::setpgid(None, None);
                }
                Ok(child) => {
                    // The program's success shows in the end of the conversation: this end must not keep it open.
                    drop(channel.take());
                    let _ = exec::close_others(&[]);
                    reaper::serve(child)
                }
                Err(error) => return Error::system("fork the program from its init", error),
            }
        }
        self.execute()
    }

    /// Connects the agent of a filter that notifies, while the host's files are seen with the host's privileges.
    pub(crate) fn connect_agent(&mut self, state: Option<&State>) -> Result<()> {
        let agent = self.seccomp.as_ref().and_then(|f| f.agent.as_ref());
        if let (Some(agent), Some(state)) = (agent, state) {
            self.listener = Some(agent.connect(state)?);
        }
        Ok(())
    }

    /// What only the very process that becomes the program can open or know of itself, while the host's /proc is seen.
    pub(crate) fn look_at_itself(&mut self, labels: &[Label]) -> Result<()> {
        self.labels = labels::open(labels)?;
        match &mut self.listener {
            Some(listener) => listener.is_of_caller(),
            None => Ok(()),
        }
    }

    /// Whether there is something of that.
    pub(crate) fn needs_host(&self, labels: &[Label]) -> bool {
        !labels.is_empty() || self.listener.is_some()
    }

    fn settle(&mut self, channel: Option<&Channel>) -> Result<()> {
        let process = self.process;
        let user = process.user();
        for limit in self.rlimits {
            silo_sys::process::set_rlimit(limit.resource, limit.soft, limit.hard).doing_with(
                || format!("set ulimit {}={}:{}", limit.name, limit.soft, limit.hard),
            )?;
        }
        // Before a filter that may know neither of these calls.
        exec::reset_signals();
        self.close_hosts(channel)?;
        // From here on it has the program's rights and still the caller's memory. The exec ends it.
        passage::hide()?;
        self.attributes.apply()?;
        for label in &self.labels {
            label.apply()?;
        }
        let no_new_privileges = process.no_new_privileges().unwrap_or(false);
        if no_new_privileges {
            thread::set_no_new_privs(true).doing("set no_new_privs")?;
        } else {
            // Without no_new_privs a filter needs CAP_SYS_ADMIN, seccomp(2): so before capabilities go.
            self.load_seccomp()?;
        }
        // Who starts the container may enter a folder that its user may not; what only the user may enter comes later.
        let entered = self.enter_folder().is_ok();
        if let Some(capabilities) = process.capabilities() {
            capabilities::before_setuid(capabilities)?;
        }
        let groups: Vec<Gid> = user
            .additional_gids()
            .iter()
            .flatten()
            .map(|gid| Gid::from_raw(*gid))
            .collect();
        match thread::set_thread_groups(&groups) {
            // Where they can be given up by nobody, there are none to be set either: user_namespaces(7), /proc/PID/setgroups.
            Err(Errno::PERM) if self.in_user_namespace && groups.is_empty() => {}
            set => set.doing("set the supplementary groups")?,
        }
        let (uid, gid) = (Uid::from_raw(user.uid()), Gid::from_raw(user.gid()));
        thread::set_thread_res_gid(gid, gid, gid).doing_with(|| format!("become group {gid:?}"))?;
        thread::set_thread_res_uid(uid, uid, uid).doing_with(|| format!("become user {uid:?}"))?;
        if let Some(capabilities) = process.capabilities() {
            capabilities::after_setuid(capabilities)?;
        }
        rustix::process::umask(Mode::from_raw_mode(user.umask().unwrap_or(0o022)));
        if !entered {
            self.enter_folder()?;
        }
        if self.die_with_parent {
            // A change of user cleared what was set before, prctl(2).
            silo_sys::process::set_parent_death_signal(9).doing("ask to die with the parent")?;
        }
        if no_new_privileges {
            self.load_seccomp()?;
        }
        Ok(())
    }

    /// Closes all but the program's own and what the last steps need: sockets and files, never a folder. To mark the others
    /// close-on-exec would not do: until the program is executed, a path or a link such as /proc/self/fd/N/../bin/sh leads through
    /// a folder of the host to its programs (CVE-2024-21626).
    ///
    /// What is closed belongs to frames to which this process never returns.
    fn close_hosts(&self, channel: Option<&Channel>) -> Result<()> {
        let doing = "close what is not the program's";
        let own = 3 + self.preserved_fds;
        let mut kept: Vec<i32> = (3..own as i32).collect();
        kept.extend(channel.map(|channel| channel.as_fd().as_raw_fd()));
        kept.extend(self.descriptors());
        exec::close_others(&kept).doing(doing)?;
        exec::close_on_exec_from(own).doing(doing)
    }

    /// What is open for the last steps and must stay so while the process waits for its start.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = i32> {
        let labels = self.labels.iter().map(|label| label.as_fd().as_raw_fd());
        let agent = self.listener.iter().map(|agent| agent.as_fd().as_raw_fd());
        labels.chain(agent)
    }

    fn run_hooks(&self) -> Result<()> {
        match self.hooks {
            Some(hooks) => {
                let env = self.process.env().as_deref().unwrap_or_default();
                let home = lookup::missing_home(env, self.process.user().uid());
                hooks.run_at_start(own_pid(), &environment(env, home.as_deref()))
            }
            None => Ok(()),
        }
    }

    fn load_seccomp(&mut self) -> Result<()> {
        let Some(filter) = &self.seccomp else {
            return Ok(());
        };
        let listener = filter.load().doing("load the seccomp filter")?;
        match (listener, self.listener.take()) {
            (Some(descriptor), Some(agent)) => agent.hand_over(descriptor),
            (None, _) => Ok(()),
            (Some(_), None) => Err(Error::internal("the filter's agent was not connected")),
        }
    }

    /// The working directory must be one that the container's root can name: a leaked descriptor of the host is none.
    fn enter_folder(&self) -> Result<()> {
        let cwd = self.process.cwd();
        let named = || format!("enter the working directory {}", cwd.display());
        if cwd.as_os_str() != "/" {
            rustix::process::chdir(cwd.as_path()).doing_with(named)?;
        } else {
            rustix::process::chdir(c"/").doing_with(named)?;
            return Ok(());
        }
        let here = rustix::process::getcwd(Vec::new()).doing_with(named)?;
        if here.as_bytes().starts_with(b"/") {
            Ok(())
        } else {
            Err(Error::invalid(format!(
                "the working directory {} lies outside the container",
                cwd.display()
            )))
        }
    }

    fn execute(&self) -> Error {
        let args = self.process.args().as_deref().unwrap_or_default();
        let env = self.process.env().as_deref().unwrap_or_default();
        let Some(program) = args.first() else {
            return Error::invalid("no command specified: name one after the image");
        };
        let home = lookup::missing_home(env, self.process.user().uid());
        let words = exec::Words::new(args.iter().map(String::as_str));
        let variables = environment(env, home.as_deref());
        let variables = exec::Words::new(variables);
        let (words, variables) = match (words, variables) {
            (Ok(words), Ok(variables)) => (words, variables),
            _ => {
                return Error::invalid(
                    "a word of the command or the environment holds a NUL character",
                );
            }
        };
        let run = |path: &str| match CString::new(path) {
            Ok(path) => exec::execve(&path, &words, &variables),
            Err(error) => error.into(),
        };
        if program.contains('/') {
            return not_executed(program, &run(program), false);
        }
        if program.is_empty() {
            // The folder itself would be found in every place.
            return not_executed(program, &Errno::NOENT.into(), true);
        }
        let search = lookup::search_path(env);
        let mut denied = None;
        for folder in search.split(':') {
            let folder = if folder.is_empty() { "." } else { folder };
            let path = format!("{folder}/{program}");
            let error = run(&path);
            match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::NOENT) if exists(&path) => {
                    return not_executed(program, &error, false);
                }
                Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => {}
                Some(Errno::ACCESS) => denied = Some(error),
                _ => return not_executed(program, &error, false),
            }
        }
        match denied {
            Some(error) => not_executed(program, &error, false),
            None => not_executed(program, &Errno::NOENT.into(), true),
        }
    }
}

/// Rows and columns that were asked for, or else those of the specification; 0: the kernel's default.
pub(crate) fn console_size(process: &Process, asked: (u16, u16)) -> (u16, u16) {
    match (asked, process.console_size()) {
        ((0, _) | (_, 0), Some(size)) => {
            let cut = |cells: u64| u16::try_from(cells).unwrap_or(u16::MAX);
            (cut(size.height()), cut(size.width()))
        }
        _ => asked,
    }
}

/// Each variable once, the last one given, `home` in place of what stands there.
fn environment<'e>(env: &'e [String], home: Option<&'e str>) -> Vec<&'e str> {
    fn name(variable: &str) -> &str {
        variable.split('=').next().unwrap_or_default()
    }
    let all: Vec<&str> = env.iter().map(String::as_str).chain(home).collect();
    let mut seen = HashSet::with_capacity(all.len());
    let mut last: Vec<&str> = all
        .into_iter()
        .rev()
        .filter(|v| seen.insert(name(v)))
        .collect();
    last.reverse();
    last
}

/// Present, so that a "no such file" of execve(2) means its interpreter.
fn exists(path: &str) -> bool {
    fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).is_ok()
}

/// Docker's texts and classes: 127 for what is not there, 126 for what cannot be executed.
pub(crate) fn not_executed(program: &str, error: &std::io::Error, searched: bool) -> Error {
    let shown: String = program.chars().take(200).collect();
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    if !searched && errno == Some(Errno::NOENT) && !program.is_empty() && exists(program) {
        // As runc has it from execve(2) itself: without quotes.
        return Error::new(
            Kind::CommandNotFound,
            format!(
                "exec {shown}: no such file or directory: its interpreter or loader is missing in the image"
            ),
        );
    }
    let (kind, why) = match errno {
        Some(Errno::NOENT) if searched => (
            Kind::CommandNotFound,
            "executable file not found in $PATH".to_owned(),
        ),
        Some(Errno::NOENT | Errno::NOTDIR) => (
            Kind::CommandNotFound,
            "no such file or directory".to_owned(),
        ),
        Some(Errno::ACCESS) => (Kind::CommandNotExecutable, "permission denied".to_owned()),
        Some(Errno::NOEXEC) => (
            Kind::CommandNotExecutable,
            "exec format error: not a program of this machine, or a script without #!".to_owned(),
        ),
        Some(Errno::TOOBIG) => (
            Kind::Invalid,
            "the arguments and the environment are too long together".to_owned(),
        ),
        _ => (
            Kind::CommandNotExecutable,
            Error::system(
                "exec",
                std::io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0)),
            )
            .to_string(),
        ),
    };
    Error::new(kind, format!("exec: {shown:?}: {why}"))
}
