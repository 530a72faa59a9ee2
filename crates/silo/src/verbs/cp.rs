//! `cp`: copies between a container and the host.

use std::io::IsTerminal;

use clap::Args;
use silo_engine::CopyOptions;
use silo_types::{Error, Result};

use crate::cli::{Context, Run};

/// Its flags.
#[derive(Args, Debug)]
pub struct Cp {
    /// Keep owners
    #[arg(short, long)]
    archive: bool,
    /// Copy what a link leads to
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Accepted for Docker's sake: no progress is shown
    #[arg(short, long)]
    quiet: bool,
    /// CONTAINER:PATH, a path of the host, or - for a tar archive on standard input
    #[arg(value_name = "SOURCE")]
    source: String,
    /// CONTAINER:PATH, a path of the host, or - for a tar archive on standard output
    #[arg(value_name = "DESTINATION")]
    destination: String,
}

/// One side of a copy.
#[derive(Debug, PartialEq)]
enum Side<'a> {
    Container(&'a str, &'a str),
    Host(&'a str),
    Stream,
}

impl<'a> Side<'a> {
    /// A path with a colon is one of a container's, unless it begins with `/` or `.`.
    fn parse(typed: &'a str) -> Side<'a> {
        if typed == "-" {
            return Side::Stream;
        }
        match typed.split_once(':') {
            Some((name, path)) if !typed.starts_with(['/', '.']) => Side::Container(name, path),
            _ => Side::Host(typed),
        }
    }
}

impl Run for Cp {
    fn run(self, context: &Context) -> Result<i32> {
        let options = CopyOptions {
            archive: self.archive,
            follow: self.follow_link,
        };
        let sides = (Side::parse(&self.source), Side::parse(&self.destination));
        let engine = context.engine()?;
        match sides {
            (Side::Container(_, ""), _) | (_, Side::Container(_, "")) => {
                return Err(Error::invalid(
                    "a path inside the container is required: use CONTAINER:PATH",
                ));
            }
            (Side::Container(name, path), Side::Host(to)) => {
                engine.copy_out(&engine.find(name)?, path, to, options)?;
            }
            (Side::Host(from), Side::Container(name, path)) => {
                engine.copy_in(&engine.find(name)?, from, path, options)?;
            }
            (Side::Container(name, path), Side::Stream) => {
                let mut out = std::io::stdout().lock();
                if out.is_terminal() {
                    return Err(Error::invalid(
                        "refusing to write an archive to a terminal: redirect it",
                    ));
                }
                engine.copy_out_tar(&engine.find(name)?, path, &mut out, options)?;
            }
            (Side::Stream, Side::Container(name, path)) => {
                let mut archive = std::io::stdin().lock();
                engine.copy_in_tar(&engine.find(name)?, path, &mut archive, options)?;
            }
            (Side::Container(..), Side::Container(..)) => {
                return Err(Error::invalid(
                    "copying between containers is not supported",
                ));
            }
            _ => {
                return Err(Error::invalid(
                    "must specify at least one container source: use CONTAINER:PATH",
                ));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides() {
        assert_eq!(Side::parse("c:/x"), Side::Container("c", "/x"));
        assert_eq!(Side::parse("/a:b"), Side::Host("/a:b"));
        assert_eq!(Side::parse("./a:b"), Side::Host("./a:b"));
        assert_eq!(Side::parse("-"), Side::Stream);
    }
}
