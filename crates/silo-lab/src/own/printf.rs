//! `printf` (XCU), also a builtin. Numbers are 64-bit; the format is used again while arguments are left.

use super::Made;

pub fn main(args: &[String]) -> i32 {
    format(args).finish("printf")
}

/// Carries out `printf ARGS`.
pub fn format(args: &[String]) -> Made {
    let mut made = Made::default();
    let Some((format, mut rest)) = args.split_first() else {
        made.complaints
            .push("usage: printf FORMAT [ARGUMENT...]".into());
        return made;
    };
    loop {
        let before = rest.len();
        if round(format, &mut rest, &mut made) || rest.is_empty() || rest.len() == before {
            return made;
        }
    }
}

/// One pass over the format; `true` when `\c` ended it all.
fn round(format: &str, rest: &mut &[String], made: &mut Made) -> bool {
    let mut chars = format.chars().peekable();
    let mut plain = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                plain.push(c);
                plain.extend(chars.next());
            }
            '%' => {
                if emit(&mut plain, false, made) {
                    return true;
                }
                let mut spec = String::new();
                while let Some(&c) = chars.peek().filter(|c| "-+ #0123456789.*".contains(**c)) {
                    chars.next();
                    match c {
                        '*' => spec.push_str(&take(rest)),
                        c => spec.push(c),
                    }
                }
                match chars.next() {
                    Some('%') => made.output.push('%'),
                    Some(conversion) => {
                        if convert(&spec, conversion, rest, made) {
                            return true;
                        }
                    }
                    None => made
                        .complaints
                        .push("the format ends inside a conversion".into()),
                }
            }
            c => plain.push(c),
        }
    }
    emit(&mut plain, false, made)
}

fn emit(plain: &mut String, octal_with_zero: bool, made: &mut Made) -> bool {
    let (text, stopped) = unescape(plain, octal_with_zero);
    made.output.push_str(&text);
    plain.clear();
    stopped
}

fn take(rest: &mut &[String]) -> String {
    match rest.split_first() {
        Some((first, others)) => {
            *rest = others;
            first.clone()
        }
        None => String::new(),
    }
}

fn convert(spec: &str, conversion: char, rest: &mut &[String], made: &mut Made) -> bool {
    let argument = take(rest);
    let body = match conversion {
        's' => precise(spec, &argument),
        'c' => argument
            .chars()
            .next()
            .map(String::from)
            .unwrap_or_default(),
        'b' => {
            let (text, stopped) = unescape(&argument, true);
            made.output
                .push_str(&pad(spec, precise(spec, &text), false));
            return stopped;
        }
        'd' | 'i' | 'u' | 'o' | 'x' | 'X' => integer(spec, conversion, number(&argument, made)),
        'f' | 'F' | 'e' | 'E' | 'g' | 'G' => float(spec, conversion, &argument, made),
        other => {
            made.complaints
                .push(format!("%{other}: no such conversion"));
            return true;
        }
    };
    made.output
        .push_str(&pad(spec, body, !matches!(conversion, 's' | 'c')));
    false
}

fn precision(spec: &str) -> Option<usize> {
    spec.split_once('.')
        .map(|(_, digits)| digits.parse().unwrap_or(0))
}

fn precise(spec: &str, text: &str) -> String {
    precision(spec).map_or(text.to_string(), |n| text.chars().take(n).collect())
}

fn number(text: &str, made: &mut Made) -> i64 {
    let text = text.trim();
    if let Some(c) = text
        .strip_prefix(['\'', '"'])
        .and_then(|t| t.chars().next())
    {
        return i64::from(u32::from(c));
    }
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |d| (true, d));
    let lower = digits.trim_start_matches('+').to_lowercase();
    let parsed = match lower.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None if lower.len() > 1 && lower.starts_with('0') => u64::from_str_radix(&lower, 8),
        None if lower.is_empty() => Ok(0),
        None => lower.parse(),
    };
    match parsed {
        Ok(value) if negative => (value as i64).wrapping_neg(),
        Ok(value) => value as i64,
        Err(_) => {
            made.complaints.push(format!("{text}: not a number"));
            0
        }
    }
}

fn integer(spec: &str, conversion: char, value: i64) -> String {
    let alternate = spec.contains('#');
    let digits = match conversion {
        'o' => format!("{}{value:o}", if alternate { "0" } else { "" }),
        'x' if alternate => format!("{value:#x}"),
        'x' => format!("{value:x}"),
        'X' if alternate => format!("0X{value:X}"),
        'X' => format!("{value:X}"),
        'u' => (value as u64).to_string(),
        _ => value.unsigned_abs().to_string(),
    };
    let sign = match conversion {
        'd' | 'i' if value < 0 => "-",
        'd' | 'i' if spec.contains('+') => "+",
        'd' | 'i' if spec.contains(' ') => " ",
        _ => "",
    };
    format!(
        "{sign}{:0>width$}",
        digits,
        width = precision(spec).unwrap_or(1)
    )
}

fn float(spec: &str, conversion: char, text: &str, made: &mut Made) -> String {
    let value: f64 = match text.trim() {
        "" => 0.0,
        text => text.parse().unwrap_or_else(|_| {
            made.complaints.push(format!("{text}: not a number"));
            0.0
        }),
    };
    let digits = precision(spec).unwrap_or(6);
    let sign = if spec.contains('+') && value >= 0.0 {
        "+"
    } else {
        ""
    };
    let body = match conversion.to_ascii_lowercase() {
        'f' => format!("{value:.digits$}"),
        'e' => exponent(value, digits),
        _ => general(value, digits.max(1)),
    };
    let body = if conversion.is_uppercase() {
        body.to_uppercase()
    } else {
        body
    };
    format!("{sign}{body}")
}

fn exponent(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$e}");
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    format!(
        "{mantissa}e{}{:02}",
        if power < 0 { '-' } else { '+' },
        power.abs()
    )
}

/// C's `%g`: the shorter of both forms, without zeros at the end.
pub fn general(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let power = exponent(value, digits - 1);
    let power: i32 = power
        .split_once('e')
        .and_then(|(_, p)| p.parse().ok())
        .unwrap_or(0);
    let cut = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_string()
        } else {
            text.to_string()
        }
    };
    if power < -4 || power >= digits as i32 {
        let text = exponent(value, digits - 1);
        let (mantissa, power) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{power}", cut(mantissa));
    }
    let decimals = usize::try_from(digits as i32 - 1 - power).unwrap_or(0);
    cut(&format!("{value:.decimals$}"))
}

fn pad(spec: &str, body: String, numeric: bool) -> String {
    let flags_end = spec.find(|c| !"-+ #0".contains(c)).unwrap_or(spec.len());
    let (flags, rest) = spec.split_at(flags_end);
    let width: usize = rest
        .split('.')
        .next()
        .and_then(|w| w.parse().ok())
        .unwrap_or(0);
    let missing = width.saturating_sub(body.chars().count());
    if flags.contains('-') {
        return body + &" ".repeat(missing);
    }
    if flags.contains('0')
        && numeric
        && !(spec.contains('.') && body.chars().all(|c| c.is_ascii_hexdigit()))
    {
        let sign = usize::from(body.starts_with(['-', '+', ' ']));
        return format!("{}{}{}", &body[..sign], "0".repeat(missing), &body[sign..]);
    }
    " ".repeat(missing) + &body
}

/// Reads backslash escapes; `true` when `\c` says that nothing more is to be printed. `zero_octal`: octal numbers
/// need a leading 0 (`echo`, `%b`).
pub fn unescape(text: &str, zero_octal: bool) -> (String, bool) {
    let mut bytes = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { None };
        let Some(escape) = escaped else {
            bytes.extend(crate::text::to_bytes(c.encode_utf8(&mut [0; 4])));
            continue;
        };
        match escape {
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'c' => return (crate::text::from_bytes(&bytes), true),
            'e' => bytes.push(27),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(11),
            '\\' => bytes.push(b'\\'),
            'x' => bytes.push(digits(&mut chars, 16, 2, 0)),
            '0' if zero_octal => bytes.push(digits(&mut chars, 8, 3, 0)),
            c if c.is_digit(8) => bytes.push(digits(&mut chars, 8, 2, c.to_digit(8).unwrap_or(0))),
            '"' | '\'' if !zero_octal => bytes.push(escape as u8),
            other => {
                bytes.push(b'\\');
                bytes.extend(crate::text::to_bytes(other.encode_utf8(&mut [0; 4])));
            }
        }
    }
    (crate::text::from_bytes(&bytes), false)
}

fn digits(
    chars: &mut std::iter::Peekable<std::str::Chars>,
    radix: u32,
    most: usize,
    start: u32,
) -> u8 {
    let mut value = start;
    for _ in 0..most {
        let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix)) else {
            break;
        };
        value = value * radix + digit;
        chars.next();
    }
    (value & 0xff) as u8
}

#[cfg(test)]
mod tests {
    use super::format;

    fn printf(words: &[&str]) -> String {
        format(&words.iter().map(|w| w.to_string()).collect::<Vec<_>>()).output
    }

    #[test]
    fn conversions() {
        for (words, output) in [
            (&["%s-%d\\n", "a", "5"][..], "a-5\n"),
            (&["%5s|%-5s|", "ab", "cd"], "   ab|cd   |"),
            (
                &["%05d %x %o %X", "42", "255", "8", "255"],
                "00042 ff 10 FF",
            ),
            (&["%s\\n", "a", "b"], "a\nb\n"),
            (&["%.2f", "3.14159"], "3.14"),
            (&["%c%%", "xyz"], "x%"),
            (&["%b", "a\\tb"], "a\tb"),
            (&["\\101\\x42"], "AB"),
            (&["%d", "-7"], "-7"),
            (&["%*d", "4", "7"], "   7"),
            (&["%.3s", "abcdef"], "abc"),
            (&["%g %e", "0.5", "1500"], "0.5 1.500000e+03"),
            (&["%+d", "3"], "+3"),
            (&["%05d", "-3"], "-0003"),
        ] {
            assert_eq!(printf(words), output, "{words:?}");
        }
    }

    #[test]
    fn bad_numbers_are_said() {
        let made = format(&["%d".into(), "abc".into()]);
        assert_eq!(made.output, "0");
        assert_eq!(made.complaints.len(), 1);
    }
}
