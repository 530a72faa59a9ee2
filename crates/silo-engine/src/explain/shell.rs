//! Text that a POSIX shell takes as it is. What comes from an image must never become a command of whoever runs the script.

/// One word: in single quotes, where nothing means anything; control characters, which could end a here-document, by number.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if text.chars().any(char::is_control) {
        return format!("\"$(printf '%b' '{}')\"", escaped(text));
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// For printf(1)'s `%b`.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b' ' | b'/' | b'.' | b'_' | b'-' | b'=' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("\\0{other:03o}")),
        }
    }
    out
}

/// A script in the making.
#[derive(Debug, Default)]
pub(super) struct Script(String);

impl Script {
    pub(super) fn line(&mut self, line: impl AsRef<str>) {
        self.0 += line.as_ref();
        self.0.push('\n');
    }

    /// A step: a blank line and a comment.
    pub(super) fn step(&mut self, comment: &str) {
        self.0.push('\n');
        self.line(format!("# {comment}"));
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words() {
        assert_eq!(word("/bin/sh"), "/bin/sh");
        assert_eq!(word(""), "''");
        assert_eq!(word("a b"), "'a b'");
        assert_eq!(word("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(word("a\nINSIDE"), "\"$(printf '%b' 'a\\0012INSIDE')\"");
    }

    proptest! {
        #[test]
        fn nothing_gets_out_of_its_word(text in "[^\\x00]{0,40}") {
            let quoted = word(&text);
            prop_assert!(!quoted.contains('\n') && !quoted.contains('\r'));
            let out = std::process::Command::new("sh").arg("-c").arg(format!("printf %s {quoted}")).output().unwrap();
            // Command substitution drops newlines at the end: the one difference.
            let said = String::from_utf8_lossy(&out.stdout).into_owned();
            let ends = text.chars().any(char::is_control);
            prop_assert_eq!(said.as_str(), if ends { text.trim_end_matches('\n') } else { &text });
        }
    }
}
