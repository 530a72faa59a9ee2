//! `sha256sum [-c] [FILE...]`

use std::fs::File;
use std::io::Read;

use sha2::{Digest, Sha256};

use crate::{cli, text};

pub fn main(args: &[String]) -> i32 {
    let options = match cli::options(args, "cb", &[("check", 'c')]) {
        Ok(options) => options,
        Err(message) => return cli::fail("sha256sum", &message),
    };
    let standard = [String::from("-")];
    let files = if options.operands.is_empty() {
        &standard[..]
    } else {
        &options.operands
    };
    let work = if options.has('c') { check } else { show };
    files.iter().fold(0, |status, name| match work(name) {
        Ok(code) => status | code,
        Err(e) => cli::fail("sha256sum", &format!("{name}: {}", cli::reason(&e))),
    })
}

fn open(name: &str) -> std::io::Result<Box<dyn Read>> {
    Ok(if name == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(text::to_os(name))?)
    })
}

fn digest(name: &str) -> std::io::Result<String> {
    let mut input = open(name)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match input.read(&mut buffer)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn show(name: &str) -> std::io::Result<i32> {
    Ok(cli::print(&format!("{}  {name}\n", digest(name)?)))
}

fn check(list: &str) -> std::io::Result<i32> {
    let mut lines = Vec::new();
    open(list)?.read_to_end(&mut lines)?;
    let mut status = 0;
    for line in text::from_bytes(&lines).lines() {
        let Some((wanted, name)) = line.split_once("  ").or_else(|| line.split_once(" *")) else {
            continue;
        };
        let right = digest(name).is_ok_and(|found| found.eq_ignore_ascii_case(wanted));
        status |= i32::from(!right)
            | cli::print(&format!(
                "{name}: {}\n",
                if right { "OK" } else { "FAILED" }
            ));
    }
    Ok(status)
}
