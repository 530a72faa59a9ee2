//! Runs the tree: lists, pipelines, control structures, functions. Programs are started in `launch`, builtins live in
//! `builtins`.

use std::rc::Rc;

use super::ast::{
    AndOr, Command, Compound, Item, List, Pipeline, Redirect, RedirectKind, Simple, Word,
};
use super::builtins;
use super::fds::Fds;
use super::pattern::Pattern;
use super::state::{Flow, Run, Shell, Variable, reason};
use crate::text;
use rustix::fs::{Mode, OFlags};
use signal_hook::consts::SIGINT;

const MAX_CALLS: usize = 500;

impl Shell {
    /// Runs commands one after another.
    ///
    /// # Errors
    /// [`Flow`] when something leaves the list early.
    pub fn run_list(&mut self, list: &List) -> Run {
        for item in &list.0 {
            self.run_item(item)?;
            self.run_pending_traps()?;
        }
        Ok(())
    }

    fn run_item(&mut self, item: &Item) -> Run {
        if item.background {
            return self.run_background(item);
        }
        if item.rest.is_empty() {
            return self.run_pipeline(&item.first, &item.text);
        }
        self.run_tested(|shell| shell.run_pipeline(&item.first, &item.text))?;
        for (index, (op, pipeline)) in item.rest.iter().enumerate() {
            if (self.status == 0) != (*op == AndOr::And) {
                continue;
            }
            if index + 1 == item.rest.len() {
                self.run_pipeline(pipeline, &item.text)?;
            } else {
                self.run_tested(|shell| shell.run_pipeline(pipeline, &item.text))?;
            }
        }
        Ok(())
    }

    /// Runs something whose failure is no failure (`set -e`).
    fn run_tested(&mut self, work: impl FnOnce(&mut Self) -> Run) -> Run {
        self.tested += 1;
        let result = work(self);
        self.tested -= 1;
        result
    }

    fn run_pipeline(&mut self, pipeline: &Pipeline, text: &str) -> Run {
        if pipeline.negate {
            self.run_tested(|shell| shell.run_stages(pipeline, text))?;
            self.status = i32::from(self.status == 0);
            return Ok(());
        }
        self.run_stages(pipeline, text)?;
        // Inside compound commands the failing command has already been judged.
        let judged = matches!(pipeline.stages.as_slice(), [Command::Compound(compound, _)] if !matches!(**compound, Compound::Subshell(_)));
        if self.status != 0 && self.options.errexit && self.tested == 0 && !judged {
            return Err(Flow::Exit);
        }
        Ok(())
    }

    fn run_stages(&mut self, pipeline: &Pipeline, text: &str) -> Run {
        match pipeline.stages.as_slice() {
            [only] => self.run_command(only, text),
            stages => self.run_connected(stages, text),
        }
    }

    fn run_command(&mut self, command: &Command, text: &str) -> Run {
        match command {
            Command::Simple(simple) => self.run_simple(simple, text),
            Command::Function { name, body } => {
                self.functions
                    .insert(name.clone(), Rc::new((**body).clone()));
                self.status = 0;
                Ok(())
            }
            Command::Compound(compound, redirects) => {
                if matches!(**compound, Compound::Subshell(_)) {
                    return self.run_subshell(command, text);
                }
                let saved = self.fds.clone();
                let result = match self.redirect_all(redirects)? {
                    true => self.run_compound(compound),
                    false => Ok(()),
                };
                self.fds = saved;
                result
            }
        }
    }

    /// A pipeline's stage, in its own process.
    ///
    /// # Errors
    /// As [`Self::run_list`].
    pub fn run_stage_alone(&mut self, body: &Command) -> Run {
        self.replaceable = matches!(body, Command::Simple(_));
        self.run_command(body, "")
    }

    fn run_compound(&mut self, compound: &Compound) -> Run {
        match compound {
            Compound::Brace(list) | Compound::Subshell(list) => self.run_list(list),
            Compound::If { arms, otherwise } => self.run_if(arms, otherwise.as_ref()),
            Compound::Loop {
                until,
                condition,
                body,
            } => self.run_loop(*until, condition, body),
            Compound::For { name, words, body } => self.run_for(name, words.as_deref(), body),
            Compound::Case { word, arms } => self.run_case(word, arms),
        }
    }

    fn run_if(&mut self, arms: &[(List, List)], otherwise: Option<&List>) -> Run {
        for (condition, body) in arms {
            self.run_tested(|shell| shell.run_list(condition))?;
            if self.status == 0 {
                return self.run_list(body);
            }
        }
        self.status = 0;
        otherwise.map_or(Ok(()), |list| self.run_list(list))
    }

    /// One round of a loop's body: does the loop go on?
    fn round(&mut self, body: &List) -> Run<bool> {
        match self.run_list(body) {
            Ok(()) | Err(Flow::Continue(1)) => Ok(true),
            Err(Flow::Break(1)) => Ok(false),
            Err(Flow::Break(n)) => Err(Flow::Break(n - 1)),
            Err(Flow::Continue(n)) => Err(Flow::Continue(n - 1)),
            Err(other) => Err(other),
        }
    }

    fn run_loop(&mut self, until: bool, condition: &List, body: &List) -> Run {
        self.loops += 1;
        let mut last = 0;
        let result = loop {
            match self.run_tested(|shell| shell.run_list(condition)) {
                Ok(()) if (self.status == 0) == until => break Ok(()),
                Ok(()) => {}
                Err(Flow::Break(1)) => break Ok(()),
                Err(Flow::Continue(1)) => continue,
                Err(Flow::Break(n)) => break Err(Flow::Break(n - 1)),
                Err(Flow::Continue(n)) => break Err(Flow::Continue(n - 1)),
                Err(other) => break Err(other),
            }
            match self.round(body) {
                Ok(true) => last = self.status,
                Ok(false) => {
                    last = self.status;
                    break Ok(());
                }
                Err(flow) => break Err(flow),
            }
        };
        self.loops -= 1;
        if result.is_ok() {
            self.status = last;
        }
        result
    }

    fn run_for(&mut self, name: &str, words: Option<&[Word]>, body: &List) -> Run {
        let values = match words {
            Some(words) => self.expand_words(words)?,
            None => self.positional.clone(),
        };
        self.status = 0;
        self.loops += 1;
        let mut result = Ok(());
        for value in values {
            result = self.assign(name, &value);
            if result.is_err() {
                break;
            }
            match self.round(body) {
                Ok(true) => {}
                Ok(false) => break,
                Err(flow) => {
                    result = Err(flow);
                    break;
                }
            }
        }
        self.loops -= 1;
        result
    }

    fn run_case(&mut self, word: &Word, arms: &[(Vec<Word>, List)]) -> Run {
        let word: Vec<char> = self.expand_single(word)?.chars().collect();
        self.status = 0;
        for (patterns, body) in arms {
            for pattern in patterns {
                if Pattern::new(&self.expand_glyphs(pattern)?).matches(&word) {
                    return self.run_list(body);
                }
            }
        }
        Ok(())
    }

    fn run_simple(&mut self, simple: &Simple, text: &str) -> Run {
        let replaceable = std::mem::take(&mut self.replaceable);
        self.substitution_status = None;
        let argv = self.expand_words(&simple.words)?;
        let Some(name) = argv.first().cloned() else {
            return self.run_assignments(simple);
        };
        if let Some(function) = self.functions.get(&name).cloned() {
            return self.run_function(&function, simple, &argv);
        }
        if let Some(builtin) = builtins::find(&name) {
            return self.run_builtin(builtin, simple, &argv);
        }
        let assigns = self.assignments(&simple.assigns)?;
        self.trace(&assigns, &argv);
        let saved = self.fds.clone();
        let result = match self.redirect_all(&simple.redirects)? {
            true if replaceable => {
                let refusal = self.become_program(&argv, &assigns);
                self.complain(&refusal.message);
                self.status = refusal.status;
                Ok(())
            }
            true => self.run_program(&argv, &assigns, text),
            false => Ok(()),
        };
        self.fds = saved;
        result
    }

    fn run_assignments(&mut self, simple: &Simple) -> Run {
        let saved = self.fds.clone();
        let redirected = self.redirect_all(&simple.redirects);
        self.fds = saved;
        let assigns = self.assignments(&simple.assigns)?;
        self.trace(&assigns, &[]);
        for (name, value) in &assigns {
            self.assign(name, value)?;
        }
        if redirected? {
            self.status = self.substitution_status.unwrap_or(0);
        }
        Ok(())
    }

    /// Values of `A=1 B=2` in front of a command.
    ///
    /// # Errors
    /// As expansion.
    pub fn assignments(&mut self, assigns: &[(String, Word)]) -> Run<Vec<(String, String)>> {
        assigns
            .iter()
            .map(|(name, word)| Ok((name.clone(), self.expand_assignment(word)?)))
            .collect()
    }

    fn run_function(&mut self, body: &Command, simple: &Simple, argv: &[String]) -> Run {
        if self.locals.len() >= MAX_CALLS {
            return Err(Flow::Error(format!(
                "{}: functions call each other too deeply",
                argv[0]
            )));
        }
        let assigns = self.assignments(&simple.assigns)?;
        self.trace(&assigns, argv);
        let saved_fds = self.fds.clone();
        if !self.redirect_all(&simple.redirects)? {
            self.fds = saved_fds;
            return Ok(());
        }
        self.locals.push(Vec::new());
        let overlay = assigns.iter().try_for_each(|(name, value)| {
            self.make_local(name);
            self.assign(name, value)
        });
        let saved_positional = std::mem::replace(&mut self.positional, argv[1..].to_vec());
        let saved_loops = std::mem::take(&mut self.loops);
        let result = overlay.and_then(|()| self.run_command(body, ""));
        self.loops = saved_loops;
        self.positional = saved_positional;
        self.fds = saved_fds;
        for (name, old) in self.locals.pop().unwrap_or_default().into_iter().rev() {
            self.restore(name, old);
        }
        match result {
            Err(Flow::Return) => Ok(()),
            other => other,
        }
    }

    /// `local NAME`: remembers what it was outside.
    pub fn make_local(&mut self, name: &str) {
        let old = self.variables.get(name).cloned();
        if let Some(frame) = self.locals.last_mut() {
            frame.push((name.to_string(), old));
        }
    }

    fn restore(&mut self, name: String, old: Option<Variable>) {
        match old {
            Some(variable) => self.variables.insert(name, variable),
            None => self.variables.remove(&name),
        };
    }

    fn run_builtin(
        &mut self,
        builtin: &builtins::Builtin,
        simple: &Simple,
        argv: &[String],
    ) -> Run {
        let assigns = self.assignments(&simple.assigns)?;
        self.trace(&assigns, argv);
        let saved_fds = self.fds.clone();
        if !self.redirect_all(&simple.redirects)? {
            self.fds = saved_fds;
            return Ok(());
        }
        let old: Vec<_> = assigns
            .iter()
            .map(|(name, _)| (name.clone(), self.variables.get(name).cloned()))
            .collect();
        let assigned = assigns
            .iter()
            .try_for_each(|(name, value)| self.assign(name, value));
        let result = assigned.and_then(|()| (builtin.run)(self, argv));
        if !builtin.special {
            for (name, variable) in old {
                self.restore(name, variable);
            }
        }
        // `exec >file` without a program changes the shell's own descriptors.
        if argv[0] != "exec" || result.is_err() {
            self.fds = saved_fds;
        }
        self.status = result?;
        Ok(())
    }

    fn trace(&self, assigns: &[(String, String)], argv: &[String]) {
        if !self.options.xtrace {
            return;
        }
        let assigns = assigns
            .iter()
            .map(|(name, value)| format!("{name}={}", builtins::quoted(value)));
        let words: Vec<String> = assigns
            .chain(argv.iter().map(|w| builtins::quoted(w)))
            .collect();
        let line = format!("{}{}\n", self.get("PS4").unwrap_or("+ "), words.join(" "));
        // A trace that cannot be written is lost, as in every shell.
        let _ = self.fds.write(2, &text::to_bytes(&line));
    }

    /// Changes the table for a command; `false` (said, and `$?` is 1) when a file cannot be opened.
    ///
    /// # Errors
    /// As expansion.
    pub fn redirect_all(&mut self, redirects: &[Redirect]) -> Run<bool> {
        if redirects.is_empty() {
            return Ok(true);
        }
        let mut fds = self.fds.clone();
        for redirect in redirects {
            let target = self.expand_single(&redirect.target)?;
            if let Err(e) = redirect_one(&mut fds, redirect, &target, self.options.noclobber) {
                let what = if redirect.kind == RedirectKind::HereDoc {
                    "here-document"
                } else {
                    &target
                };
                self.complain(&format!("{what}: {}", reason(&e)));
                self.status = 1;
                return Ok(false);
            }
        }
        self.fds = fds;
        Ok(true)
    }

    /// Between commands: traps whose signals came, and Ctrl-C of an interactive shell.
    ///
    /// # Errors
    /// [`Flow::Interrupted`], or what the trap's commands give.
    pub fn run_pending_traps(&mut self) -> Run {
        if !self.signals.pending(self.options.interactive) {
            return Ok(());
        }
        let actions: Vec<(i32, String)> = self
            .signals
            .traps
            .iter()
            .map(|(n, a)| (*n, a.clone()))
            .collect();
        let trapped_interrupt = self.signals.traps.contains_key(&SIGINT);
        for (signal, action) in actions {
            if signal != 0 && self.signals.take(signal) {
                let status = self.status;
                self.run_text(&action)?;
                self.status = status;
            }
        }
        if self.options.interactive && !trapped_interrupt && self.signals.take(SIGINT) {
            self.status = 128 + SIGINT;
            self.complain_raw("\n");
            return Err(Flow::Interrupted);
        }
        Ok(())
    }
}

fn redirect_one(
    fds: &mut Fds,
    redirect: &Redirect,
    target: &str,
    noclobber: bool,
) -> std::io::Result<()> {
    let flags = match redirect.kind {
        RedirectKind::HereDoc => {
            fds.set(redirect.fd, Fds::holding(&text::to_bytes(target))?);
            return Ok(());
        }
        RedirectKind::Duplicate if target == "-" => {
            fds.close(redirect.fd);
            return Ok(());
        }
        RedirectKind::Duplicate => {
            let from = target
                .parse()
                .map_err(|_| std::io::Error::from(rustix::io::Errno::BADF))?;
            return fds.duplicate(from, redirect.fd);
        }
        RedirectKind::Read => OFlags::RDONLY,
        RedirectKind::Write if noclobber => OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
        RedirectKind::Write => OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC,
        RedirectKind::Append => OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND,
        RedirectKind::ReadWrite => OFlags::RDWR | OFlags::CREATE,
    };
    let file = rustix::fs::open(
        text::to_os(target),
        flags | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o666),
    )?;
    fds.set(redirect.fd, file);
    Ok(())
}
