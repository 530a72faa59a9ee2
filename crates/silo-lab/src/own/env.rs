//! `env [-i] [-u NAME] [NAME=VALUE...] [COMMAND...]`

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::{cli, text};

pub fn main(args: &[String]) -> i32 {
    let options = match cli::options(args, "+iu:", &[("ignore-environment", 'i'), ("unset", 'u')]) {
        Ok(options) => options,
        Err(message) => return cli::fail("env", &message),
    };
    let mut variables: Vec<(String, String)> = Vec::new();
    if !options.has('i') {
        variables.extend(std::env::vars_os().map(|(k, v)| (text::from_os(&k), text::from_os(&v))));
    }
    variables.retain(|(name, _)| !options.values('u').any(|u| u == name));
    let command = options
        .operands
        .iter()
        .position(|w| !w.contains('='))
        .unwrap_or(options.operands.len());
    for word in &options.operands[..command] {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        variables.retain(|(n, _)| n != name);
        variables.push((name.into(), value.into()));
    }
    let Some((program, rest)) = options.operands[command..].split_first() else {
        let lines: String = variables
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        return cli::print(&lines);
    };
    let variables = variables
        .iter()
        .map(|(n, v)| (text::to_os(n), text::to_os(v)));
    let mut child = Command::new(text::to_os(program));
    let error = child
        .args(rest.iter().map(|a| text::to_os(a)))
        .env_clear()
        .envs(variables)
        .exec();
    cli::fail("env", &format!("{program}: {}", cli::reason(&error)));
    if error.kind() == std::io::ErrorKind::NotFound {
        127
    } else {
        126
    }
}
