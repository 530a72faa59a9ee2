//! Builtins that take input apart: read, getopts.

use super::super::state::{Run, Shell};
use super::super::words::is_name;
use crate::text;

pub fn read(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let (mut raw, mut at) = (false, 1);
    while let Some(option) = argv.get(at).filter(|a| a.starts_with('-')) {
        at += 1;
        match option.as_str() {
            "-r" => raw = true,
            "-p" => {
                shell.complain_raw(&argv.get(at).cloned().unwrap_or_default());
                at += 1;
            }
            "--" => break,
            _ => return Ok(shell.misuse(argv, &format!("no such option: {option}"))),
        }
    }
    let names: Vec<String> = if at < argv.len() {
        argv[at..].to_vec()
    } else {
        vec!["REPLY".into()]
    };
    if let Some(bad) = names.iter().find(|n| !is_name(n)) {
        return Ok(shell.misuse(argv, &format!("{bad}: bad variable name")));
    }
    let (line, ended) = match logical_line(shell, raw) {
        Ok(read) => read,
        Err(e) => return Ok(shell.failed(argv, &super::super::state::reason(&e))),
    };
    let ifs = shell.get("IFS").unwrap_or(" \t\n").to_string();
    let values = split(&line, &ifs, names.len());
    for (index, name) in names.iter().enumerate() {
        shell.assign(name, values.get(index).map_or("", String::as_str))?;
    }
    Ok(i32::from(!ended))
}

/// A line as (character, was it escaped), and whether its end was seen (not the end of the input).
fn logical_line(shell: &Shell, raw: bool) -> std::io::Result<(Vec<(char, bool)>, bool)> {
    let mut line = Vec::new();
    let mut bytes: Vec<u8> = Vec::new();
    let flush = |bytes: &mut Vec<u8>, line: &mut Vec<(char, bool)>, escaped: bool| {
        line.extend(text::from_bytes(bytes).chars().map(|c| (c, escaped)));
        bytes.clear();
    };
    loop {
        match shell.fds.read_byte(0)? {
            None => {
                flush(&mut bytes, &mut line, false);
                return Ok((line, false));
            }
            Some(b'\n') => {
                flush(&mut bytes, &mut line, false);
                return Ok((line, true));
            }
            Some(b'\\') if !raw => {
                flush(&mut bytes, &mut line, false);
                if let Some(byte) = shell.fds.read_byte(0)?.filter(|&b| b != b'\n') {
                    line.push((char::from(byte), true));
                }
            }
            Some(0) => {}
            Some(byte) => bytes.push(byte),
        }
    }
}

/// Takes a line apart for `count` variables; the last one gets the rest.
fn split(line: &[(char, bool)], ifs: &str, count: usize) -> Vec<String> {
    let separator = |&(c, escaped): &(char, bool)| !escaped && ifs.contains(c);
    let blank = |g: &(char, bool)| separator(g) && g.0.is_ascii_whitespace();
    let start = line.iter().position(|g| !blank(g)).unwrap_or(line.len());
    let end = line
        .iter()
        .rposition(|g| !blank(g))
        .map_or(start, |i| i + 1);
    let mut rest = &line[start..end];
    let mut values = Vec::new();
    while values.len() + 1 < count && !rest.is_empty() {
        let at = rest.iter().position(separator).unwrap_or(rest.len());
        values.push(rest[..at].iter().map(|g| g.0).collect());
        rest = &rest[at..];
        let mut seen_mark = false;
        while let Some(g) = rest.first().filter(|g| separator(g)) {
            if !blank(g) {
                if seen_mark {
                    break;
                }
                seen_mark = true;
            }
            rest = &rest[1..];
        }
    }
    values.push(rest.iter().map(|g| g.0).collect());
    values
}

pub fn getopts(shell: &mut Shell, argv: &[String]) -> Run<i32> {
    let (Some(spec), Some(name)) = (argv.get(1), argv.get(2)) else {
        return Ok(shell.misuse(argv, "usage: getopts LETTERS NAME [WORD...]"));
    };
    let words = if argv.len() > 3 {
        argv[3..].to_vec()
    } else {
        shell.positional.clone()
    };
    let mut index: usize = shell
        .get("OPTIND")
        .and_then(|t| t.parse().ok())
        .unwrap_or(1);
    let at = shell.getopts_at.max(1);
    let word: Vec<char> = words
        .get(index - 1)
        .map(|w| w.chars().collect())
        .unwrap_or_default();
    let is_option = word.len() > 1 && word[0] == '-';
    if !is_option || word == ['-', '-'] {
        shell.put("OPTIND", &(index + usize::from(is_option)).to_string());
        shell.assign(name, "?")?;
        return Ok(1);
    }
    let letter = word.get(at).copied().unwrap_or('?');
    let silent = spec.starts_with(':');
    let place = spec.find(letter).filter(|_| letter != ':');
    let takes_argument = place.is_some_and(|p| spec[p + letter.len_utf8()..].starts_with(':'));
    let last = at + 1 >= word.len();
    let mut argument = None;
    let mut next_at = if last { 0 } else { at + 1 };
    index += usize::from(last);
    let mut found = if place.is_some() { letter } else { '?' };
    if takes_argument {
        next_at = 0;
        if !last {
            argument = Some(word[at + 1..].iter().collect());
            index += 1;
        } else if let Some(value) = words.get(index - 1) {
            argument = Some(value.clone());
            index += 1;
        } else {
            found = if silent { ':' } else { '?' };
        }
    }
    if matches!(found, '?' | ':') {
        argument = silent.then(|| letter.to_string());
        if !silent {
            let what = if place.is_some() {
                "needs an argument"
            } else {
                "no such option"
            };
            shell.complain(&format!("-{letter}: {what}"));
        }
    }
    match argument {
        Some(argument) => shell.assign("OPTARG", &argument)?,
        None => {
            shell.variables.remove("OPTARG");
        }
    }
    shell.put("OPTIND", &index.to_string());
    shell.getopts_at = next_at;
    shell.assign(name, &found.to_string())?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::split;

    fn parts(line: &str, ifs: &str, count: usize) -> Vec<String> {
        split(
            &line.chars().map(|c| (c, false)).collect::<Vec<_>>(),
            ifs,
            count,
        )
    }

    #[test]
    fn lines_are_split_for_variables() {
        assert_eq!(parts("  a  b c d ", " ", 3), ["a", "b", "c d"]);
        assert_eq!(parts("a::b:c", ":", 3), ["a", "", "b:c"]);
        assert_eq!(parts("only", " ", 2), ["only", ""]);
        assert_eq!(parts(" x y ", "", 1), [" x y "]);
    }
}
