//! `tty`, `stty` (size and the settings that lessons need), `clear`, `reset`.

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, tcgetattr,
    tcgetwinsize, tcsetattr,
};

use crate::cli;

pub fn clear(_: &[String]) -> i32 {
    cli::print("\x1b[H\x1b[2J\x1b[3J")
}

pub fn reset(_: &[String]) -> i32 {
    let status = sane()
        .err()
        .map_or(0, |message| cli::fail("reset", &message));
    status | cli::print("\x1bc\x1b[!p\x1b[?3;4l\x1b[4l\x1b>")
}

pub fn tty(args: &[String]) -> i32 {
    let silent = args.first().is_some_and(|a| a == "-s");
    match rustix::termios::ttyname(std::io::stdin(), Vec::new()) {
        Ok(_) if silent => 0,
        Ok(name) => cli::print(&format!("{}\n", name.to_string_lossy())),
        Err(_) if silent => 1,
        Err(_) => {
            cli::print("not a tty\n");
            1
        }
    }
}

pub fn stty(args: &[String]) -> i32 {
    cli::answer("stty", settings(args))
}

fn settings(args: &[String]) -> Result<String, String> {
    let input = std::io::stdin();
    let no_tty = |e: rustix::io::Errno| format!("standard input: {}", cli::reason(&e.into()));
    let size = tcgetwinsize(&input).map_err(no_tty)?;
    let mut modes = tcgetattr(&input).map_err(no_tty)?;
    if args.is_empty() || args[0] == "-a" {
        let sign = |on: bool| if on { "" } else { "-" };
        let local = |mode: LocalModes| sign(modes.local_modes.contains(mode));
        return Ok(format!(
            "speed {} baud; rows {}; columns {};\n{}isig {}icanon {}echo {}icrnl {}opost\n",
            modes.output_speed(),
            size.ws_row,
            size.ws_col,
            local(LocalModes::ISIG),
            local(LocalModes::ICANON),
            local(LocalModes::ECHO),
            sign(modes.input_modes.contains(InputModes::ICRNL)),
            sign(modes.output_modes.contains(OutputModes::OPOST)),
        ));
    }
    if args[0] == "size" {
        return Ok(format!("{} {}\n", size.ws_row, size.ws_col));
    }
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "sane" | "-raw" | "cooked" => return sane().map(|()| String::new()),
            "raw" => modes.make_raw(),
            "rows" | "cols" | "columns" => {
                let number = words
                    .next()
                    .and_then(|n| n.parse().ok())
                    .ok_or(format!("{word} needs a number"))?;
                let mut size = tcgetwinsize(&input).map_err(no_tty)?;
                *(if word == "rows" {
                    &mut size.ws_row
                } else {
                    &mut size.ws_col
                }) = number;
                rustix::termios::tcsetwinsize(&input, size).map_err(no_tty)?;
            }
            other => {
                let (on, name) = other
                    .strip_prefix('-')
                    .map_or((true, other), |name| (false, name));
                let mode = match name {
                    "echo" => LocalModes::ECHO,
                    "icanon" => LocalModes::ICANON,
                    "isig" => LocalModes::ISIG,
                    "tostop" => LocalModes::TOSTOP,
                    _ => return Err(format!("{other}: no such setting")),
                };
                modes.local_modes.set(mode, on);
            }
        }
    }
    tcsetattr(&input, OptionalActions::Drain, &modes).map_err(no_tty)?;
    Ok(String::new())
}

fn sane() -> Result<(), String> {
    let input = std::io::stdin();
    let failed = |e: rustix::io::Errno| format!("standard input: {}", cli::reason(&e.into()));
    let mut modes = tcgetattr(&input).map_err(failed)?;
    modes.input_modes |= InputModes::ICRNL | InputModes::IXON;
    modes.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
    modes.local_modes |= LocalModes::ISIG
        | LocalModes::ICANON
        | LocalModes::ECHO
        | LocalModes::ECHOE
        | LocalModes::ECHOK
        | LocalModes::IEXTEN;
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    tcsetattr(&input, OptionalActions::Drain, &modes).map_err(failed)
}
