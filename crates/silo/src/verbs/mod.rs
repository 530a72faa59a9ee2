//! One file for each verb: its flags, and what it does with the engine.

pub mod attach;
pub mod completion;
pub mod cp;
pub mod create;
pub mod dash;
pub mod diff;
pub mod doctor;
pub mod events;
pub mod exec;
pub mod explain;
pub mod image_history;
pub mod image_import;
pub mod image_load;
pub mod image_ls;
pub mod image_prune;
pub mod image_rm;
pub mod image_save;
pub mod image_tag;
pub mod info;
pub mod inspect;
pub mod kill;
pub mod lab;
pub mod limit;
pub mod logs;
pub mod ls;
mod ls_host;
pub mod man;
pub mod pause;
pub mod plot;
pub mod port;
pub mod prune;
pub mod rename;
pub mod restart;
pub mod rm;
pub mod run;
pub mod start;
pub mod stats;
pub mod stop;
pub mod throttle;
pub mod top;
pub mod update;
pub mod version;
pub mod volume;
pub mod wait;
pub mod web;
pub mod what_if;
pub mod whois;
pub mod why;

use std::io::Write;

use silo_engine::{Container, Engine};
use silo_types::{ContainerConfig, Result};

use crate::output::print_line;

/// Does the same to each of several things, going on past failures; prints each name that it was done to. The exit code.
fn each(names: &[String], mut act: impl FnMut(&str) -> Result<()>) -> Result<i32> {
    let mut code = 0;
    for name in names {
        match act(name) {
            Ok(()) => print_line(name)?,
            Err(error) => {
                complain(&error);
                code = 1;
            }
        }
    }
    Ok(code)
}

/// The same for containers.
fn each_container(
    engine: &Engine,
    names: &[String],
    mut act: impl FnMut(&Container) -> Result<()>,
) -> Result<i32> {
    each(names, |name| act(&engine.find(name)?))
}

/// One of several failures: the command goes on.
fn complain(error: &silo_types::Error) {
    eprintln!("silo: {error}");
}

/// Where containers lie whose command line does not say: the group that SILO_CGROUP_PARENT names, as --cgroup-parent does.
fn place(config: &mut ContainerConfig) -> Result<()> {
    let parent = &mut config.resources.cgroup_parent;
    if parent.is_empty()
        && let Some(named) = std::env::var_os(crate::lab::PARENT)
    {
        *parent = named.to_string_lossy().into_owned();
        return silo_types::parse::check(config).map_err(|error| error.context(crate::lab::PARENT));
    }
    Ok(())
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("silo: warning: {warning}");
    }
}

/// Asks before something is removed for good; true on `y`.
fn confirmed(question: &str) -> Result<bool> {
    use silo_types::Doing;
    print!("WARNING! This will remove {question}.\nAre you sure you want to continue? [y/N] ");
    std::io::stdout().flush().doing("write to the terminal")?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .doing("read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
