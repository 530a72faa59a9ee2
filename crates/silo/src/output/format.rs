//! `--format` of lists and documents: `table`, `table TEMPLATE`, `json`, TEMPLATE.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use silo_types::Result;

use super::align;
use crate::gotemplate::{Methods, Mode, NoMethods, Template};

/// One line of a list.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Docker's fields; all are text.
    pub fields: Map<String, Value>,
    /// Answers `.Label "name"`.
    pub labels: BTreeMap<String, String>,
}

impl Row {
    pub fn new<const N: usize>(fields: [(&str, String); N]) -> Row {
        Row {
            fields: fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), Value::String(value)))
                .collect(),
            labels: BTreeMap::new(),
        }
    }

    pub fn with_labels(mut self, labels: BTreeMap<String, String>) -> Row {
        self.labels = labels;
        self
    }
}

impl Methods for Row {
    fn call(&self, name: &str, arguments: &[Value]) -> Option<std::result::Result<Value, String>> {
        match (name, arguments) {
            ("Label", [Value::String(label)]) => {
                let value = self.labels.get(label).cloned().unwrap_or_default();
                Some(Ok(Value::String(value)))
            }
            _ => None,
        }
    }
}

/// A kind of list: its usual table, what `-q` shows, and the header of each field.
pub struct Listing {
    /// A template without the word `table`.
    pub table: &'static str,
    pub quiet: &'static str,
    /// Field and header.
    pub headers: &'static [(&'static str, &'static str)],
}

impl Listing {
    /// The text of the whole list. `format` is as typed; empty: the usual table, or `quiet`'s.
    pub fn render(&self, format: &str, quiet: bool, rows: &[Row]) -> Result<String> {
        let (template, with_header) = match format.trim_start() {
            "" | "table" if quiet => (self.quiet, false),
            "" | "table" => (self.table, true),
            "json" | "{{json .}}" => return Ok(rows.iter().map(json_line).collect()),
            other => match other.strip_prefix("table ") {
                Some(_) if quiet => (self.quiet, false),
                Some(template) => (template.trim_start(), true),
                None => (other, false),
            },
        };
        // Shells hand `\t` through as two characters.
        let template = Template::parse(&template.replace("\\t", "\t").replace("\\n", "\n"))?;
        let mut text = String::new();
        if with_header {
            let headers = self
                .headers
                .iter()
                .map(|(field, header)| ((*field).to_owned(), Value::from(*header)))
                .collect();
            text += &template.execute(&Value::Object(headers), &NoMethods, Mode::Header)?;
            text.push('\n');
        }
        for row in rows {
            let data = Value::Object(row.fields.clone());
            text += &template.execute(&data, row, Mode::Document)?;
            text.push('\n');
        }
        Ok(if with_header { align(&text) } else { text })
    }
}

fn json_line(row: &Row) -> String {
    format!("{}\n", Value::Object(row.fields.clone()))
}

/// One document through a template, as `inspect --format`, `info --format`, `version --format` do.
pub fn document(format: &str, data: &Value) -> Result<String> {
    if format == "json" {
        return Ok(format!("{data}\n"));
    }
    let template = Template::parse(&format.replace("\\t", "\t").replace("\\n", "\n"))?;
    let mut text = template.execute(data, &NoMethods, Mode::Document)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: Listing = Listing {
        table: "{{.ID}}\t{{.Names}}",
        quiet: "{{.ID}}",
        headers: &[
            ("ID", "CONTAINER ID"),
            ("Names", "NAMES"),
            ("Labels", "LABELS"),
        ],
    };

    fn rows() -> Vec<Row> {
        let labels = BTreeMap::from([("a.b".to_owned(), "x".to_owned())]);
        vec![
            Row::new([("ID", "abc".to_owned()), ("Names", "web".to_owned())]).with_labels(labels),
            Row::new([("ID", "def".to_owned()), ("Names", "database".to_owned())]),
        ]
    }

    fn render(format: &str) -> String {
        LISTING.render(format, false, &rows()).unwrap()
    }

    #[test]
    fn forms() {
        let usual = "CONTAINER ID   NAMES\nabc            web\ndef            database\n";
        assert_eq!(render(""), usual);
        assert_eq!(render("table"), usual);
        assert_eq!(render("table {{.ID}}\\t{{.Names}}"), usual);
        assert_eq!(render("{{.ID}}"), "abc\ndef\n");
        assert_eq!(
            render("json"),
            "{\"ID\":\"abc\",\"Names\":\"web\"}\n{\"ID\":\"def\",\"Names\":\"database\"}\n"
        );
        assert_eq!(render("{{json .}}"), render("json"));
        assert_eq!(render("table {{.Label \"a.b\"}}"), "b\nx\n\n");
        assert_eq!(LISTING.render("", true, &rows()).unwrap(), "abc\ndef\n");
        assert_eq!(
            LISTING.render("", false, &[]).unwrap(),
            "CONTAINER ID   NAMES\n"
        );
        assert!(LISTING.render("{{.Nope}}", false, &rows()).is_err());
    }

    #[test]
    fn documents() {
        let data = serde_json::json!({"State": {"Pid": 7}});
        assert_eq!(document("{{.State.Pid}}", &data).unwrap(), "7\n");
        assert_eq!(
            document("json", &data).unwrap(),
            "{\"State\":{\"Pid\":7}}\n"
        );
    }
}
