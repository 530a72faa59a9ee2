//! `echo` (also a builtin) and `yes`.

use crate::cli;

/// What `echo ARGS` prints: `-n` leaves out the line end, `-e` reads escapes, `-E` does not.
pub fn line(args: &[String]) -> String {
    let (mut newline, mut escapes, mut at) = (true, false, 0);
    while let Some(letters) = args.get(at).and_then(|a| a.strip_prefix('-')) {
        if letters.is_empty() || !letters.chars().all(|c| matches!(c, 'n' | 'e' | 'E')) {
            break;
        }
        for letter in letters.chars() {
            match letter {
                'n' => newline = false,
                other => escapes = other == 'e',
            }
        }
        at += 1;
    }
    let text = args[at..].join(" ");
    let (mut text, stopped) = if escapes {
        super::printf::unescape(&text, true)
    } else {
        (text, false)
    };
    if newline && !stopped {
        text.push('\n');
    }
    text
}

pub fn main(args: &[String]) -> i32 {
    cli::print(&line(args))
}

/// `yes [TEXT]`: until nobody reads any more.
pub fn yes(args: &[String]) -> i32 {
    let line = if args.is_empty() {
        "y\n".to_string()
    } else {
        format!("{}\n", args.join(" "))
    };
    let block = line.repeat(8192 / line.len() + 1);
    loop {
        let status = cli::print(&block);
        if status != 0 {
            return status;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn lines() {
        let echo = |words: &[&str]| line(&words.iter().map(|w| w.to_string()).collect::<Vec<_>>());
        assert_eq!(echo(&["a", "b"]), "a b\n");
        assert_eq!(echo(&["-n", "a"]), "a");
        assert_eq!(echo(&["-ne", "a\\tb\\c", "x"]), "a\tb");
        assert_eq!(echo(&["-x"]), "-x\n");
        assert_eq!(echo(&["a\\n"]), "a\\n\n");
    }
}
