//! `basename`, `dirname`, `pwd`.

use crate::{cli, text};

pub fn basename(args: &[String]) -> i32 {
    let Some(path) = args.first() else {
        return cli::fail("basename", "usage: basename PATH [SUFFIX]");
    };
    let trimmed = path.trim_end_matches('/');
    let name = if trimmed.is_empty() && !path.is_empty() {
        "/"
    } else {
        trimmed.rsplit('/').next().unwrap_or_default()
    };
    let name = match args.get(1) {
        Some(suffix) if suffix != name => name.strip_suffix(suffix.as_str()).unwrap_or(name),
        _ => name,
    };
    cli::print(&format!("{name}\n"))
}

pub fn dirname(args: &[String]) -> i32 {
    if args.is_empty() {
        return cli::fail("dirname", "usage: dirname PATH...");
    }
    let folder = |path: &String| {
        let trimmed = path.trim_end_matches('/');
        match trimmed.rsplit_once('/') {
            None if trimmed.is_empty() && !path.is_empty() => "/".to_string(),
            None => ".".to_string(),
            Some((folder, _)) => Some(folder.trim_end_matches('/'))
                .filter(|f| !f.is_empty())
                .unwrap_or("/")
                .to_string(),
        }
    };
    let lines: String = args.iter().map(|path| folder(path) + "\n").collect();
    cli::print(&lines)
}

pub fn pwd(_: &[String]) -> i32 {
    let here = std::env::current_dir().map_err(|e| cli::reason(&e));
    cli::answer(
        "pwd",
        here.map(|path| text::from_os(path.as_os_str()) + "\n"),
    )
}
