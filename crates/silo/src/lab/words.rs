//! Texts of a lab with places for what only the run knows: `{pinger}`, `{pinger.pid}`, `{gateway}`. Pure.

use silo_types::{Error, Result};

/// A text with places. `{{` stands for a brace.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Place(String),
}

/// Places that are of no container, and what they stand for.
pub const GLOBAL: [(&str, &str); 8] = [
    ("gateway", "the host's address on the containers' bridge"),
    ("silent", "an address on that bridge that nobody has"),
    (
        "ceiling",
        "bytes that all containers of the lab may take together",
    ),
    (
        "grow",
        "bytes that the lab takes without a limit of its own",
    ),
    (
        "limit",
        "a memory limit that fits this machine, 4096m or less",
    ),
    ("nearly-limit", "nine tenths of it, in bytes"),
    ("cpus", "how many processors this machine has"),
    ("nearly-all-cpus", "nine tenths of them"),
];

/// What may stand behind the dot of a container's name.
pub const OF_CONTAINER: [(&str, &str); 4] = [
    ("pid", "host pid of its first process"),
    ("id", "its id"),
    ("ip", "its address"),
    (
        "file:NAME|NAME",
        "path of a control group's file, by its name on v1 or on v2",
    ),
];

impl Template {
    /// Reads a text; `known` says which containers the lab has.
    pub fn parse(text: &str, known: &[String]) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            plain += &rest[..at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('{') {
                plain.push('{');
                rest = after;
                continue;
            }
            let Some((place, after)) = rest.split_once('}') else {
                return Err("a '{' without its '}': write '{{' for the brace itself".to_owned());
            };
            check_place(place, known)?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Place(place.to_owned()));
            rest = after;
        }
        plain += rest;
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Template(pieces))
    }

    /// Goes on with another text, behind a blank.
    pub fn append(&mut self, more: Template) {
        self.0.push(Piece::Text(" ".to_owned()));
        self.0.extend(more.0);
    }

    /// The text with every place filled.
    pub fn fill(&self, value: &dyn Fn(&str) -> Result<String>) -> Result<String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out += text,
                Piece::Place(place) => out += &value(place)?,
            }
        }
        Ok(out)
    }

    /// The same where places become parts of a regular expression and must stand for themselves.
    pub fn fill_pattern(&self, value: &dyn Fn(&str) -> Result<String>) -> Result<String> {
        self.fill(&|place| Ok(regex_lite::escape(&value(place)?)))
    }

    /// With the names of its places, for what is read before a run.
    pub fn plain(&self) -> String {
        let shown = |place: &str| {
            Ok::<_, Error>(place.split('.').next_back().unwrap_or(place).to_uppercase())
        };
        self.fill(&|place| match place.contains('.') {
            true => shown(place),
            false => Ok(place.to_owned()),
        })
        .unwrap_or_default()
    }
}

fn check_place(place: &str, known: &[String]) -> Result<(), String> {
    let (name, part) = match place.split_once('.') {
        Some((name, part)) => (name, Some(part)),
        None => (place, None),
    };
    let is_known = known.iter().any(|k| k == name);
    let good = match part {
        None => is_known || GLOBAL.iter().any(|(global, _)| *global == name),
        Some(part) => {
            is_known && (["pid", "id", "ip"].contains(&part) || part.starts_with("file:"))
        }
    };
    if good {
        return Ok(());
    }
    let globals: Vec<&str> = GLOBAL.iter().map(|(name, _)| *name).collect();
    let parts: Vec<String> = OF_CONTAINER
        .iter()
        .map(|(part, _)| format!(".{part}"))
        .collect();
    Err(format!(
        "unknown place '{{{place:.40}}}': there are {}, a container named in a 'container' line, and its {}; write '{{{{' for the brace itself",
        globals.join(", "),
        parts.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Template, String> {
        Template::parse(text, &["box".to_owned()])
    }

    #[test]
    fn places_are_filled() {
        let value = |place: &str| Ok(format!("<{place}>"));
        let text = "kill {box.pid} {gateway} {{x} {box}";
        let filled = parse(text).unwrap().fill(&value).unwrap();
        assert_eq!(filled, "kill <box.pid> <gateway> {x} <box>");
        assert_eq!(parse("a").unwrap().fill(&value).unwrap(), "a");
        let dots = |_: &str| Ok("a.b".to_owned());
        assert_eq!(
            parse("{box}").unwrap().fill_pattern(&dots).unwrap(),
            "a\\.b"
        );
        assert_eq!(parse("{box.pid} of {box}").unwrap().plain(), "PID of box");
    }

    #[test]
    fn unknown_places_are_named() {
        for (text, said) in [
            ("{nosuch}", "'{nosuch}'"),
            ("{box.x}", "'{box.x}'"),
            ("{box", "without its '}'"),
            ("{other.pid}", "'{other.pid}'"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(said) && error.contains("{{"), "{error}");
        }
    }
}
