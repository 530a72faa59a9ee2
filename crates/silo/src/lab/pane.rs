//! One of a lab's two terminals: commands of the host, and for as long as one runs, what is typed into it.

use silo_types::Result;

use super::{
    check::Output,
    script::Key,
    terminal::Session,
    vt::{Line, Vt},
    world::{PARENT, World},
};

/// A terminal and its last command.
pub struct Pane {
    size: (u16, u16),
    session: Option<Session>,
    /// What was typed last.
    pub command: String,
    /// What was typed to start the program that has the terminal.
    pub holder: String,
    /// Line of its first output.
    mark: usize,
    /// What earlier sessions left, kept for show.
    pub past: Vt,
    /// Output of the last command, as far as it is there; with its looks.
    text: String,
    lines: Vec<Line>,
    exit: Option<i32>,
}

impl Pane {
    pub fn new(size: (u16, u16)) -> Pane {
        Pane {
            size,
            session: None,
            command: String::new(),
            holder: String::new(),
            mark: 0,
            past: Vt::new(size),
            text: String::new(),
            lines: Vec::new(),
            exit: None,
        }
    }

    /// A program runs in it that takes what is typed.
    pub fn is_taken(&self) -> bool {
        self.session.is_some()
    }

    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Runs a line: in the program that has the terminal, else as a command of the host.
    pub fn enter(&mut self, world: &World<'_>, line: &str) -> Result<()> {
        self.command = line.to_owned();
        self.exit = None;
        self.text.clear();
        self.lines.clear();
        if let Some(session) = &mut self.session {
            self.mark = session.vt.here() + 1;
            return session.send(format!("{line}\r").as_bytes());
        }
        line.clone_into(&mut self.holder);
        let script = format!("{}\n{line}", prelude(world));
        let colours = std::env::var("NO_COLOR").unwrap_or_default();
        let variables = [
            (PARENT, world.group.as_str()),
            ("TERM", "xterm"),
            ("NO_COLOR", &colours),
        ];
        let mut session = Session::start(&script, self.size, &variables)?;
        // As it stood at the prompt; its output begins below.
        session.vt.write(format!("$ {line}\r\n").as_bytes());
        self.mark = session.vt.here();
        self.session = Some(session);
        Ok(())
    }

    pub fn press(&mut self, key: Key) -> Result<()> {
        self.send(&[key.byte()])
    }

    /// What the learner types; a line's end begins a new command.
    pub fn keys(&mut self, bytes: &[u8]) -> Result<()> {
        if let (true, Some(session)) = (bytes.contains(&b'\r'), &self.session)
            && is_prompt_line(&session.vt.current().0)
        {
            // What it is stands on the line when all of it has arrived there.
            self.command.clear();
            self.mark = session.vt.here() + 1;
            self.text.clear();
            self.lines.clear();
        }
        self.send(bytes)
    }

    /// Ends what runs in it.
    pub fn leave(&mut self) {
        self.session = None;
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.session {
            Some(session) => session.send(bytes),
            None => Ok(()),
        }
    }

    /// Takes in what came; true when there is something new.
    pub fn pump(&mut self) -> Result<bool> {
        let Some(session) = &mut self.session else {
            return Ok(false);
        };
        if !session.pump()? {
            return Ok(false);
        }
        let at_prompt = is_prompt(&session.vt, self.mark) && session.exit().is_none();
        let end = session.vt.here() + usize::from(!at_prompt);
        self.text = session.vt.text(self.mark, end);
        if self.command.is_empty() {
            let line = session.vt.text(self.mark.saturating_sub(1), self.mark);
            let typed = line.split_once(['#', '$']).map_or("", |(_, typed)| typed);
            typed.trim().clone_into(&mut self.command);
        }
        self.lines = session.vt.lines(self.mark, end).to_vec();
        if let Some(exit) = session.exit() {
            self.exit = Some(exit);
            self.past.extend(&session.vt);
            self.session = None;
        }
        Ok(true)
    }

    /// The last command has ended, or a shell waits for the next.
    pub fn is_done(&self) -> bool {
        match &self.session {
            Some(session) => is_prompt(&session.vt, self.mark),
            None => true,
        }
    }

    pub fn output(&self) -> Output<'_> {
        Output {
            text: &self.text,
            exit: self.exit,
        }
    }

    /// The same as it looked.
    pub fn lines(&self) -> Vec<Line> {
        let blank = self
            .lines
            .iter()
            .rev()
            .take_while(|line| line.text().is_empty())
            .count();
        self.lines[..self.lines.len() - blank].to_vec()
    }

    pub fn resize(&mut self, size: (u16, u16)) {
        self.size = size;
        self.past.resize(size);
        if let Some(session) = &mut self.session {
            session.resize(size);
        }
    }
}

/// A shell's prompt stands on the cursor's line, below what was typed.
fn is_prompt(vt: &Vt, mark: usize) -> bool {
    let (line, at_end) = vt.current();
    at_end
        && vt.here() >= mark
        && (line.ends_with('#') || line.ends_with('$'))
        && is_prompt_line(&line)
}

/// `user@host:folder# …`
fn is_prompt_line(line: &str) -> bool {
    line.split_once(['#', '$'])
        .is_some_and(|(before, _)| before.contains('@') && !before.contains(' '))
}

/// `silo` is this very program, on the same folders.
fn prelude(world: &World<'_>) -> String {
    let paths = world.engine.paths();
    // By its process: the file may lie where only that leads to.
    format!(
        "silo() {{ /proc/{}/exe --root {} --run {} \"$@\"; }}",
        std::process::id(),
        quoted(&paths.root.display().to_string()),
        quoted(&paths.run.display().to_string())
    )
}

/// A word for a shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
