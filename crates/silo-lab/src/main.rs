//! `silo-lab`: the user land of Silo's built-in image in one static program. The name that it is called by, else its
//! first argument, chooses the applet; `--list` prints the names, from which the image builder makes links.
//!
//! Applets such as `true` and `sleep` run before anything is set up: their start-up time is what start-up benchmarks of
//! containers measure.

#![forbid(unsafe_code)]

mod applets;
mod cli;
mod net;
mod own;
mod proc;
mod saturate;
mod sh;
mod size;
mod text;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use applets::{Applet, Run};

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let applet = args.first().and_then(|name| by_path(name));
    let applet = match applet {
        Some(applet) => applet,
        None => match args.get(1).map(|a| (a.to_str(), by_path(a))) {
            Some((Some("--list"), _)) => return exit(list()),
            Some((_, Some(applet))) => {
                args.remove(0);
                applet
            }
            _ => return exit(usage(args.get(1))),
        },
    };
    exit(run(applet, args))
}

/// The applet for a program path; a login shell's name starts with a dash.
fn by_path(path: &OsStr) -> Option<&'static Applet> {
    let name = Path::new(path).file_name()?.to_str()?;
    applets::find(name.strip_prefix('-').unwrap_or(name))
}

fn run(applet: &Applet, mut args: Vec<OsString>) -> i32 {
    if !matches!(applet.run, Run::Shell | Run::Lasting(_))
        && rustix::process::getpid() == rustix::process::Pid::INIT
    {
        end_on_signals();
    }
    match applet.run {
        Run::Shell => {
            if args[0].as_encoded_bytes().starts_with(b"-") {
                args.insert(1, "-l".into());
            }
            sh::main(&args[1..])
        }
        Run::Own(main) => main(&arguments(&args)),
        Run::Tool(main) | Run::Lasting(main) => {
            cli::die_on_closed_pipe();
            main(&arguments(&args))
        }
        Run::Coreutils(main) => {
            cli::die_on_closed_pipe();
            args[0] = applet.name.into();
            // Without its texts a tool still works; only its messages would be bare keys.
            let _ = uucore::locale::setup_localization(applet.name);
            main(args)
        }
    }
}

fn arguments(args: &[OsString]) -> Vec<String> {
    args[1..].iter().map(|a| text::from_os(a)).collect()
}

/// The kernel drops signals of PID 1 that have no handler; `docker stop` should not have to wait for SIGKILL.
fn end_on_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    let always = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    for signal in [SIGTERM, SIGINT, SIGQUIT, SIGHUP] {
        // Without the handler the applet only ends later, by SIGKILL.
        let _ =
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, always.clone());
    }
}

fn list() -> i32 {
    let names: String = applets::names().map(|name| format!("{name}\n")).collect();
    cli::print(&names)
}

fn usage(asked: Option<&OsString>) -> i32 {
    if let Some(name) = asked {
        eprintln!(
            "silo-lab: {}: no such applet; see 'silo-lab --list'",
            name.to_string_lossy()
        );
        return 127;
    }
    eprintln!("usage: silo-lab APPLET [ARGUMENT...]\n       silo-lab --list");
    2
}

fn exit(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status & 0xff).unwrap_or(1))
}
