//! Reads a lab's file: a word at the start of each line says what it is. Pure; errors name the line and the way out.
//!
//! The format is described in docs/lab.md, and by example in `template.lab`.

use std::time::Duration;

use silo_types::{Error, Result};

use super::{
    facts,
    script::{Action, Check, Deed, Figure, Key, Pane, Script, Step},
    words::Template,
};

/// Unless `within` says otherwise.
const USUAL: Duration = Duration::from_secs(15);

/// A file is not longer than that.
const MOST_BYTES: usize = 1 << 20;

const KEYWORDS: &str = "lab, title, container, step, needs, say, outside, inside, press, plot, runs-on, within, again, hint, check";

/// Reads `text`; `file` is its name in errors.
pub fn parse(file: &str, text: &str) -> Result<Script> {
    let wrong = |(line, what): (usize, String)| Error::invalid(format!("{file}:{line}: {what}"));
    if text.len() > MOST_BYTES {
        return Err(wrong((1, "longer than 1 MiB: no lab is".to_owned())));
    }
    let mut reader = Reader::default();
    for (at, line) in text.lines().enumerate() {
        let line_number = at + 1;
        reader
            .line(line_number, line.trim())
            .map_err(|what| wrong((line_number, what)))?;
    }
    let last = text.lines().count().max(1);
    reader.finish(last).map_err(wrong)
}

#[derive(Default)]
struct Reader {
    name: String,
    title: String,
    containers: Vec<String>,
    steps: Vec<Step>,
    /// The line before was `say`, and this one goes on with it.
    says: bool,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        if line.starts_with('#') {
            return Ok(());
        }
        if line.is_empty() {
            self.says = false;
            return Ok(());
        }
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let said = std::mem::replace(&mut self.says, word == "say");
        match word {
            "lab" => once(&mut self.name, lab_name(rest)?, word),
            "title" => once(
                &mut self.title,
                needed(rest, "title A short sentence")?,
                word,
            ),
            "container" => self.container(rest),
            "step" => self.step(rest),
            "needs" => self.needs(rest),
            "say" => self.say(rest, said),
            "outside" => self.types(number, Pane::Outside, rest),
            "inside" => self.types(number, Pane::Inside, rest),
            "press" => self.press(number, rest),
            "plot" => self.plot(number, rest),
            "runs-on" | "within" | "again" | "hint" | "check" => self.of_action(number, word, rest),
            _ => Err(format!(
                "unknown word '{word:.40}': a line begins with one of {KEYWORDS}, or with # for a comment"
            )),
        }
    }

    fn container(&mut self, rest: &str) -> Result<(), String> {
        if !self.steps.is_empty() {
            return Err("'container' comes before the first 'step'".to_owned());
        }
        needed(rest, "container NAME")?;
        for name in rest.split_whitespace() {
            if !is_name(name) {
                return Err(format!(
                    "'{name:.40}' is no name of a container: use small letters, digits and -"
                ));
            }
            if super::words::GLOBAL
                .iter()
                .any(|(global, _)| *global == name)
            {
                return Err(format!(
                    "'{name}' is a place of its own: choose another name"
                ));
            }
            self.containers.push(name.to_owned());
        }
        Ok(())
    }

    fn step(&mut self, title: &str) -> Result<(), String> {
        self.steps.push(Step {
            title: needed(title, "step What happens in it")?,
            text: Vec::new(),
            needs_disk: false,
            actions: Vec::new(),
        });
        Ok(())
    }

    fn needs(&mut self, what: &str) -> Result<(), String> {
        match what {
            "disk" => self.last_step("needs")?.needs_disk = true,
            _ => return Err("write 'needs disk': nothing else can be needed".to_owned()),
        }
        Ok(())
    }

    fn last_step(&mut self, word: &str) -> Result<&mut Step, String> {
        self.steps
            .last_mut()
            .ok_or_else(|| format!("'{word}' before the first 'step'"))
    }

    /// Lines that follow each other are one paragraph.
    fn say(&mut self, text: &str, goes_on: bool) -> Result<(), String> {
        let piece = self.template(text)?;
        let step = self.last_step("say")?;
        match step.text.last_mut() {
            Some(paragraph) if goes_on => paragraph.append(piece),
            _ => step.text.push(piece),
        }
        Ok(())
    }

    fn template(&self, text: &str) -> Result<Template, String> {
        Template::parse(text, &self.containers)
    }

    fn types(&mut self, number: usize, pane: Pane, command: &str) -> Result<(), String> {
        needed(command, &format!("{} COMMAND", pane.word()))?;
        let deed = Deed::Type(pane, self.template(command)?);
        self.act(number, pane.word(), deed)
    }

    fn press(&mut self, number: usize, rest: &str) -> Result<(), String> {
        let usage = "write 'press inside ctrl-c', or outside, or one of ctrl-d, enter";
        let (pane, key) = rest.split_once(' ').ok_or(usage)?;
        let pane = match pane {
            "inside" => Pane::Inside,
            "outside" => Pane::Outside,
            _ => return Err(usage.to_owned()),
        };
        let key = match key.trim() {
            "ctrl-c" => Key::CtrlC,
            "ctrl-d" => Key::CtrlD,
            "enter" => Key::Enter,
            _ => return Err(usage.to_owned()),
        };
        self.act(number, "press", Deed::Press(pane, key))
    }

    fn plot(&mut self, number: usize, rest: &str) -> Result<(), String> {
        let usage =
            "write 'plot NAME memory' or 'plot NAME cpu', with the name of a 'container' line";
        let (name, figure) = rest.split_once(' ').ok_or(usage)?;
        let figure = match figure.trim() {
            "memory" => Figure::Memory,
            "cpu" => Figure::Cpu,
            _ => return Err(usage.to_owned()),
        };
        let name = facts::container(name, &self.containers)?;
        self.act(number, "plot", Deed::Plot(name, figure))
    }

    fn act(&mut self, line: usize, word: &str, deed: Deed) -> Result<(), String> {
        self.last_step(word)?.actions.push(Action {
            line,
            deed,
            runs_on: false,
            within: USUAL,
            again: None,
            hint: None,
            checks: Vec::new(),
        });
        Ok(())
    }

    /// What belongs to the last thing that was done.
    fn of_action(&mut self, line: usize, word: &str, rest: &str) -> Result<(), String> {
        let known = self.containers.clone();
        let step = self.last_step(word)?;
        let action = step.actions.last_mut().ok_or_else(|| {
            format!("'{word}' belongs to a command: write an 'outside', 'inside' or 'press' line above it")
        })?;
        match word {
            "runs-on" => action.runs_on = true,
            "within" => action.within = seconds(rest)?,
            "again" if !matches!(action.deed, Deed::Type(..)) => {
                return Err("'again' belongs to a command: only those can be typed anew".to_owned());
            }
            "again" => action.again = Some(seconds(rest)?),
            "hint" => action.hint = Some(Template::parse(rest, &known)?),
            _ => {
                let (fact, words) = match rest.split_once(" -- ") {
                    Some((fact, words)) => {
                        (fact.trim(), Some(Template::parse(words.trim(), &known)?))
                    }
                    None => (rest, None),
                };
                let fact = facts::parse(fact, &known)?;
                action.checks.push(Check { line, fact, words });
            }
        }
        Ok(())
    }

    fn finish(self, last: usize) -> Result<Script, (usize, String)> {
        let missing = |what: &str| Err((last, what.to_owned()));
        if self.name.is_empty() {
            return missing("no 'lab NAME' line: it is the first of a lab");
        }
        if self.title.is_empty() {
            return missing("no 'title' line: it says in a sentence what is learnt");
        }
        if self.steps.is_empty() {
            return missing("no 'step': a lab has at least one");
        }
        for step in &self.steps {
            if step.actions.is_empty() {
                return Err((
                    last,
                    format!(
                        "step '{}' does nothing: give it an 'outside' or 'inside' line",
                        step.title
                    ),
                ));
            }
        }
        let checks = self
            .steps
            .iter()
            .flat_map(|step| &step.actions)
            .flat_map(|action| &action.checks);
        if checks.count() == 0 {
            return missing(
                "nothing is checked: a lab without 'check' lines cannot fail, and teaches nothing",
            );
        }
        Ok(Script {
            name: self.name,
            title: self.title,
            containers: self.containers,
            steps: self.steps,
        })
    }
}

fn once(field: &mut String, value: String, word: &str) -> Result<(), String> {
    if !field.is_empty() {
        return Err(format!("a second '{word}': a file is one lab"));
    }
    *field = value;
    Ok(())
}

fn needed(text: &str, usage: &str) -> Result<String, String> {
    match text.is_empty() {
        true => Err(format!("nothing follows: write '{usage}'")),
        false => Ok(text.to_owned()),
    }
}

fn lab_name(text: &str) -> Result<String, String> {
    match is_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "'{text:.40}' is no name of a lab: use small letters, digits and -, as in 'lab first-steps'"
        )),
    }
}

fn is_name(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= 40 && text.bytes().all(good) && text.bytes().next().is_some_and(|b| b != b'-')
}

/// `10s`, `2m`
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let usage = || format!("'{text:.40}' is no time: write it as '30s' or '2m'");
    let (number, unit) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1.0),
        (_, Some(number)) => (number, 60.0),
        _ => return Err(usage()),
    };
    let number: f64 = number.parse().map_err(|_| usage())?;
    match (0.0..=36_000.0).contains(&(number * unit)) {
        true => Ok(Duration::from_secs_f64(number * unit)),
        false => Err(usage()),
    }
}
