//! Builtins about variables, options, aliases and the current folder.

use std::path::Path;

use super::super::state::{Flow, OPTIONS, Run, Shell, reason};
use super::super::words::is_name;
use super::quoted;
use crate::text;

pub fn export(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    mark(shell, argv, |v| v.exported, |v| v.exported = true)
}

pub fn readonly(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    mark(shell, argv, |v| v.readonly, |v| v.readonly = true)
}

type Variable = super::super::state::Variable;

fn mark(
    shell: &mut Shell,
    argv: &[String],
    has: fn(&Variable) -> bool,
    set: fn(&mut Variable),
) -> Run<i32> {
    let names: Vec<&String> = argv[1..].iter().filter(|a| *a != "-p").collect();
    if names.is_empty() {
        let line = |(name, v): (&String, &Variable)| match &v.value {
            Some(value) => format!("{} {name}={}\n", argv[0], quoted(value)),
            None => format!("{} {name}\n", argv[0]),
        };
        let lines: String = shell
            .variables
            .iter()
            .filter(|(_, v)| has(v))
            .map(line)
            .collect();
        return Ok(shell.say(&lines));
    }
    for word in names {
        let (name, value) = word
            .split_once('=')
            .map_or((word.as_str(), None), |(n, v)| (n, Some(v)));
        if !is_name(name) {
            return Ok(shell.misuse(argv, &format!("{name}: bad variable name")));
        }
        if let Some(value) = value {
            shell.assign(name, value)?;
        }
        set(shell.variables.entry(name.into()).or_default());
    }
    Ok(0)
}

pub fn unset(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let mut functions = false;
    for word in &argv[1..] {
        match word.as_str() {
            "-f" => functions = true,
            "-v" => functions = false,
            name if functions => {
                shell.functions.remove(name);
            }
            name if shell.variables.get(name).is_some_and(|v| v.readonly) => {
                return Err(Flow::Error(format!("unset: {name}: is read only")));
            }
            name => {
                shell.variables.remove(name);
            }
        }
    }
    Ok(0)
}

pub fn local(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    if shell.locals.is_empty() {
        return Ok(shell.misuse(argv, "only works in a function"));
    }
    for word in &argv[1..] {
        let (name, value) = word
            .split_once('=')
            .map_or((word.as_str(), None), |(n, v)| (n, Some(v)));
        if !is_name(name) {
            return Ok(shell.misuse(argv, &format!("{name}: bad variable name")));
        }
        shell.make_local(name);
        if let Some(value) = value {
            shell.assign(name, value)?;
        }
    }
    Ok(0)
}

pub fn set(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    if argv.len() == 1 {
        let line = |(name, v): (&String, &Variable)| {
            v.value
                .as_ref()
                .map(|value| format!("{name}={}\n", quoted(value)))
        };
        let lines: String = shell.variables.iter().filter_map(line).collect();
        return Ok(shell.say(&lines));
    }
    let mut at = 1;
    while let Some(word) = argv.get(at) {
        let (on, letters) = match word.split_at_checked(1) {
            Some(("-", "-")) => {
                at += 1;
                shell.positional = argv[at..].to_vec();
                return Ok(0);
            }
            Some(("-", letters)) if !letters.is_empty() => (true, letters),
            Some(("+", letters)) if !letters.is_empty() => (false, letters),
            _ => break,
        };
        at += 1;
        for letter in letters.chars() {
            if letter == 'o' {
                let name = argv.get(at).cloned().unwrap_or_default();
                at += 1;
                if let Some(status) = set_long(shell, argv, &name, on) {
                    return Ok(status);
                }
            } else if let Some(option) = shell.options.by_letter(letter) {
                *option = on;
            } else if !"bhmn".contains(letter) {
                return Ok(shell.misuse(argv, &format!("no such option: {word}")));
            }
        }
    }
    if at < argv.len() {
        shell.positional = argv[at..].to_vec();
    }
    Ok(0)
}

/// `set -o NAME`: a status when there is nothing more to do.
fn set_long(shell: &mut Shell, argv: &[String], name: &str, on: bool) -> Option<i32> {
    if name.is_empty() {
        let mut options = shell.options;
        let state = |&(letter, name): &(char, &str)| {
            let on = options.by_letter(letter).is_some_and(|o| *o);
            format!("{name:<16}{}\n", if on { "on" } else { "off" })
        };
        let lines: String = OPTIONS.iter().map(state).collect();
        return Some(shell.say(&lines));
    }
    let letter = OPTIONS.iter().find(|o| o.1 == name).map(|o| o.0);
    match letter.and_then(|l| shell.options.by_letter(l)) {
        Some(option) => {
            *option = on;
            None
        }
        None => Some(shell.misuse(argv, &format!("no such option: {name}"))),
    }
}

pub fn alias(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let mut status = 0;
    if argv.len() == 1 {
        let lines: String = shell
            .aliases
            .iter()
            .map(|(name, text)| format!("alias {name}={}\n", quoted(text)))
            .collect();
        return Ok(shell.say(&lines));
    }
    for word in &argv[1..] {
        if let Some((name, value)) = word.split_once('=') {
            shell.aliases.insert(name.into(), value.into());
        } else if let Some(text) = shell.aliases.get(word) {
            status |= shell.say(&format!("alias {word}={}\n", quoted(text)));
        } else {
            status = shell.failed(argv, &format!("{word}: not found"));
        }
    }
    Ok(status)
}

pub fn unalias(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let mut status = 0;
    for name in &argv[1..] {
        if name == "-a" {
            shell.aliases.clear();
        } else if shell.aliases.remove(name).is_none() {
            status = shell.failed(argv, &format!("{name}: not found"));
        }
    }
    Ok(status)
}

pub fn pwd(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let physical = argv.get(1).is_some_and(|a| a == "-P");
    let logical = shell.get("PWD").filter(|_| !physical).map(str::to_string);
    let here = match logical.or_else(|| {
        std::env::current_dir()
            .ok()
            .map(|p| text::from_os(p.as_os_str()))
    }) {
        Some(here) => here,
        None => return Ok(shell.failed(argv, "the current folder does not exist any more")),
    };
    Ok(shell.say(&format!("{here}\n")))
}

pub fn cd(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let words: Vec<&str> = argv[1..]
        .iter()
        .map(String::as_str)
        .filter(|a| !matches!(*a, "-L" | "-P" | "--"))
        .collect();
    let (target, say) = match words.first() {
        None => (shell.get("HOME").unwrap_or("/").to_string(), false),
        Some(&"-") => match shell.get("OLDPWD") {
            Some(old) => (old.to_string(), true),
            None => return Ok(shell.failed(argv, "OLDPWD is not set")),
        },
        Some(folder) => ((*folder).to_string(), false),
    };
    let here = shell.get("PWD").unwrap_or("/").to_string();
    let physical = argv[1..].iter().any(|a| a == "-P");
    let path = if physical {
        target.clone()
    } else {
        logical_path(&here, &target)
    };
    if let Err(e) = std::env::set_current_dir(Path::new(&text::to_os(&path))) {
        return Ok(shell.failed(argv, &format!("can't cd to {target}: {}", reason(&e))));
    }
    let new = match std::env::current_dir() {
        Ok(real) if physical => text::from_os(real.as_os_str()),
        _ => path,
    };
    shell.put("OLDPWD", &here);
    shell.put("PWD", &new);
    for name in ["PWD", "OLDPWD"] {
        shell.variables.entry(name.into()).or_default().exported = true;
    }
    Ok(if say {
        shell.say(&format!("{new}\n"))
    } else {
        0
    })
}

/// Where `cd` goes when symbolic links keep their names.
fn logical_path(here: &str, target: &str) -> String {
    let start = if target.starts_with('/') { "" } else { here };
    let mut parts: Vec<&str> = Vec::new();
    for part in start.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::logical_path;

    #[test]
    fn paths_are_folded() {
        assert_eq!(logical_path("/a/b", "../c"), "/a/c");
        assert_eq!(logical_path("/a", "/x/./y/"), "/x/y");
        assert_eq!(logical_path("/", ".."), "/");
    }
}
