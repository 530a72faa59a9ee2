//! `events`: what happens, as it happens.

use clap::Args;
use serde_json::json;
use silo_engine::{Event, EventOptions};
use silo_types::{Error, Result};

use crate::{
    cli::{Context, Run},
    documents::Filters,
    output::{document, local_rfc3339, print, since},
};

const FILTERS: [&str; 6] = ["container", "event", "type", "image", "label", "volume"];

/// Its flags.
#[derive(Args, Debug)]
pub struct Events {
    /// Only what a condition holds for, such as event=die or container=NAME
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// json, or a Go template
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    format: String,
    /// From a moment on, such as 10m or 2026-01-02T03:04:05Z
    #[arg(long, value_name = "MOMENT")]
    since: Option<String>,
    /// End at a moment
    #[arg(long, value_name = "MOMENT")]
    until: Option<String>,
}

impl Run for Events {
    fn run(self, context: &Context) -> Result<i32> {
        let filters = Filters::parse(&self.filter, &FILTERS)?;
        let moment = |what: &str, typed: &Option<String>| {
            typed.as_ref().map(|typed| since(what, typed)).transpose()
        };
        let options = EventOptions {
            since: moment("since", &self.since)?,
            until: moment("until", &self.until)?,
        };
        let mut failed: Option<Error> = None;
        context.engine()?.events(&options, &mut |event| {
            if !wanted(&filters, event) {
                return true;
            }
            let shown = self.text(event).and_then(|text| print(&text));
            failed = shown.err();
            failed.is_none()
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(0),
        }
    }
}

impl Events {
    fn text(&self, event: &Event) -> Result<String> {
        if !self.format.is_empty() {
            return document(&self.format, &as_json(event));
        }
        let attributes: Vec<String> = event
            .attributes
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        Ok(format!(
            "{} {} {} {} ({})\n",
            local_rfc3339(event.time),
            event.kind,
            event.action,
            event.id,
            attributes.join(", ")
        ))
    }
}

fn wanted(filters: &Filters, event: &Event) -> bool {
    let attribute = |key: &str| event.attributes.get(key).map_or("", String::as_str);
    let of = |kind: &str, wanted: &str| {
        event.kind == kind
            && (attribute("name") == wanted || (!wanted.is_empty() && event.id.starts_with(wanted)))
    };
    filters.any("event", |v| event.action == v)
        && filters.any("type", |v| event.kind == v)
        && filters.any("container", |v| of("container", v))
        && filters.any("volume", |v| of("volume", v))
        && filters.any("image", |v| attribute("image") == v || of("image", v))
        && filters.labels(&event.attributes)
}

/// Docker's fields.
fn as_json(event: &Event) -> serde_json::Value {
    json!({
        "status": event.action,
        "id": event.id,
        "from": event.attributes.get("image").cloned().unwrap_or_default(),
        "Type": event.kind,
        "Action": event.action,
        "Actor": { "ID": event.id, "Attributes": event.attributes },
        "scope": "local",
        "time": event.time / 1_000_000_000,
        "timeNano": event.time,
        // Names that templates of Docker's use.
        "Status": event.action,
        "ID": event.id,
        "Time": event.time / 1_000_000_000,
        "TimeNano": event.time,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_choose() {
        let event = Event {
            kind: "container".into(),
            action: "die".into(),
            id: "abc".into(),
            attributes: [("name".to_owned(), "web".to_owned())].into(),
            ..Event::default()
        };
        for (filter, holds) in [
            ("event=die", true),
            ("event=start", false),
            ("container=web", true),
            ("container=ab", true),
            ("container=we", false),
            ("type=image", false),
        ] {
            let filters = Filters::parse(&[filter.to_owned()], &FILTERS).unwrap();
            assert_eq!(wanted(&filters, &event), holds, "{filter}");
        }
    }
}
