//! The hand-out: a page of what really happened, one file, no scripts, light and dark. All text is escaped.

use std::fmt::Write;

use super::{
    record::{Checked, Done, Record, Told},
    script::Pane,
    vt::Line,
};
use crate::output::rfc3339_seconds;

/// Lines of one output that are kept on paper.
const MOST: usize = 60;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1a1d21;--faint:#5c6670;--paper:#fff;--box:#f3f5f7;--edge:#d0d7de;--good:#0b5d8a;--bad:#b3400c;--limit:#b36b00}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--faint:#9aa7b3;--paper:#0d1117;--box:#161b22;--edge:#30363d;--good:#79c0ff;--bad:#ff9b66;--limit:#e3b341}}\
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.7rem;line-height:1.25}h2{font-size:1.2rem;margin:2.2rem 0 .4rem;border-top:1px solid var(--edge);padding-top:1rem}\
p{margin:.5rem 0}.faint{color:var(--faint);font-size:.9rem}\
pre{font:13px/1.4 ui-monospace,monospace;background:var(--box);border:1px solid var(--edge);border-radius:6px;padding:.6rem .8rem;overflow-x:auto;margin:.6rem 0}\
pre .c{font-weight:bold;white-space:pre-wrap}pre .w{color:var(--faint)}\
b.k{font-weight:600}.f{opacity:.65}\
ul.checks{list-style:none;padding:0;margin:.4rem 0}ul.checks li{padding-left:1.6rem;text-indent:-1.6rem}\
.good{color:var(--good)}.bad{color:var(--bad);font-weight:600}\
figure{margin:.8rem 0;border:1px solid var(--edge);border-radius:6px;padding:.4rem}\
figure svg{width:100%;height:auto;display:block}figure svg>rect{fill:none}figure svg text{fill:currentColor}\
@media print{body{margin:0;max-width:none}h2,pre{break-inside:avoid}}";

/// The page.
pub fn page(record: &Record) -> String {
    let title = escaped(&record.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    let _ = writeln!(
        out,
        "<p class=\"faint\">Played on {}, {}, Silo {}. Commands, output, process numbers and curves are of that run.</p>",
        escaped(&rfc3339_seconds(record.started)),
        escaped(&kernel()),
        env!("CARGO_PKG_VERSION")
    );
    if !record.broken.is_empty() {
        let _ = writeln!(
            out,
            "<p class=\"bad\">It ended early: {}</p>",
            escaped(&record.broken)
        );
    }
    for (at, step) in record.steps.iter().enumerate() {
        told(&mut out, at + 1, step);
    }
    out + "</body>\n</html>\n"
}

fn kernel() -> String {
    let name = rustix::system::uname();
    format!("Linux {}", name.release().to_string_lossy())
}

fn told(out: &mut String, number: usize, step: &Told) {
    let _ = writeln!(out, "<h2>{number}. {}</h2>", escaped(&step.title));
    for paragraph in &step.text {
        let _ = writeln!(out, "<p>{}</p>", escaped(paragraph));
    }
    for deed in &step.deeds {
        match deed {
            // Made by this program, whose drawing escapes what it is given.
            Done::Plot(picture) => {
                let _ = writeln!(out, "<figure>{picture}</figure>");
            }
            Done::Typed {
                pane,
                command,
                output,
                checks,
            } => {
                let (prompt, place) = match pane {
                    Pane::Outside => ("$", "outside"),
                    Pane::Inside => ("#", "inside"),
                };
                let _ = writeln!(
                    out,
                    "<pre><span class=\"w\">{place} {prompt}</span> <span class=\"c\">{}</span>",
                    escaped(command)
                );
                lines(out, output);
                out.push_str("</pre>\n");
                list(out, checks);
            }
        }
    }
    for container in &step.containers {
        let _ = writeln!(out, "<p class=\"faint\">{}</p>", escaped(container));
    }
}

fn lines(out: &mut String, output: &[Line]) {
    let left_out = output.len().saturating_sub(MOST);
    for (at, line) in output.iter().enumerate() {
        if left_out > 0 && at == MOST / 2 {
            let _ = writeln!(out, "<span class=\"w\">… {left_out} lines</span>");
        }
        if at < MOST / 2 || at >= MOST / 2 + left_out {
            out.push_str(&letters(line));
            out.push('\n');
        }
    }
}

/// A line with what was bold or faint.
fn letters(line: &Line) -> String {
    let mut out = String::new();
    let count = line.text().chars().count();
    let mut rest = &line.letters[..count.min(line.letters.len())];
    while let Some((_, look)) = rest.first() {
        let length = rest.iter().take_while(|(_, other)| other == look).count();
        let text: String = rest[..length].iter().map(|(letter, _)| letter).collect();
        let text = escaped(&text);
        out += &match (look.bold, look.faint, look.colour) {
            (_, _, Some(1)) => format!("<span class=\"bad\">{text}</span>"),
            (true, ..) => format!("<b class=\"k\">{text}</b>"),
            (_, true, _) => format!("<span class=\"f\">{text}</span>"),
            _ => text,
        };
        rest = &rest[length..];
    }
    out
}

fn list(out: &mut String, checks: &[Checked]) {
    if checks.is_empty() {
        return;
    }
    out.push_str("<ul class=\"checks\">\n");
    for check in checks {
        let (class, mark) = if check.holds {
            ("good", "\u{2713}")
        } else {
            ("bad", "\u{2717}")
        };
        let _ = writeln!(
            out,
            "<li><span class=\"{class}\">{mark}</span> {}</li>",
            escaped(&check.text())
        );
    }
    out.push_str("</ul>\n");
}

/// Text that cannot become markup; what no page may hold is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() && letter != '\n' && letter != '\t' => {
                out.push('\u{fffd}')
            }
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::vt::Vt;
    use super::*;

    #[test]
    fn nothing_becomes_markup() {
        let mut vt = Vt::new((5, 80));
        vt.write(b"<img src=x onerror=alert(1)>\r\n\x1b[1;31mred\x1b[0m & \"x\"\r\n\x1b[2mfaint");
        let record = Record {
            title: "<script>alert(1)</script>".to_owned(),
            broken: "'</p>".to_owned(),
            steps: vec![Told {
                title: "a<b".to_owned(),
                text: vec!["c & d".to_owned()],
                deeds: vec![Done::Typed {
                    pane: Pane::Inside,
                    command: "echo '<b>'".to_owned(),
                    output: vt.lines(0, 9).to_vec(),
                    checks: vec![Checked {
                        words: "<i>".to_owned(),
                        holds: false,
                        what: "</ul>".to_owned(),
                    }],
                }],
                containers: vec!["</body>".to_owned()],
            }],
            ..Record::default()
        };
        let page = page(&record);
        for bad in ["<script", "<img", "<i>", "'</p>", "a<b", "<b>'"] {
            assert!(!page.contains(bad), "{bad} in {page}");
        }
        for good in [
            "&lt;img src=x",
            "<span class=\"bad\">red</span> &amp; &quot;x&quot;",
            "<span class=\"f\">faint</span>",
        ] {
            assert!(page.contains(good), "{good} is not in {page}");
        }
        assert_eq!(page.matches("</body>").count(), 1);
        assert_eq!(page.matches("<ul").count(), page.matches("</ul>").count());
    }
}
