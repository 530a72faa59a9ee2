//! `--format` of a view: nothing for people, `json` for scripts.

use serde::Serialize;
use silo_types::{Error, Result};

/// True for JSON.
pub fn wants_json(format: Option<&str>) -> Result<bool> {
    match format {
        None => Ok(false),
        Some("json") => Ok(true),
        Some(other) => Err(Error::invalid(format!(
            "unknown format '{other:.80}': use json"
        ))),
    }
}

/// One document, one line.
pub fn json_line<T: Serialize>(document: &T) -> Result<String> {
    let json = serde_json::to_string(document);
    json.map(|text| text + "\n")
        .map_err(|e| Error::internal(format!("write the document: {e}")))
}
