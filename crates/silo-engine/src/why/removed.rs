//! Containers that are gone: the answer must outlive what it is about. The event of the removal carries it.

use serde::Serialize;
use silo_observe::Names;
use silo_types::{ContainerConfig, ContainerState, Result};

use super::verdict::{self, Facts, Grade, Run};
use crate::{
    Engine,
    create::now,
    events::{Event, EventOptions},
    time_text,
};

/// What is left of a container that was removed, or removed itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Removed {
    pub container: String,
    pub id: String,
    /// Always `removed`.
    pub status: &'static str,
    pub exit_code: i32,
    pub removed_at: String,
    /// Nanoseconds since the epoch.
    #[serde(skip)]
    pub time: u64,
    /// A statement with its grade, as one text.
    pub why: String,
}

impl Engine {
    /// The event of a container's removal, with what it had ended of.
    pub(crate) fn removal(&self, config: &ContainerConfig, state: &ContainerState) -> Event {
        let event = Event::of_container(config, &state.name, "destroy");
        // Most ends need no names, and this is on the way of every `run --rm`.
        let user =
            |uid: u32| Names::host().map_or_else(|_| uid.to_string(), |names| names.user(uid));
        let verdict = verdict::judge(&Facts {
            name: &state.name,
            config,
            run: Run::of_state(state),
            victims: &state.victims,
            near: &[],
            user: &user,
        });
        let grade = match verdict.grade {
            Grade::Certain => "certain",
            Grade::Likely => "likely",
            Grade::Unknown => "unknown",
        };
        event
            .with("exitCode", state.exit_code)
            .with("why", format!("{} ({grade})", verdict.statement))
    }

    /// The last container of this name, or with an id that begins so, that was removed.
    pub fn why_removed(&self, name: &str) -> Result<Option<Removed>> {
        let options = EventOptions {
            since: Some(0),
            until: Some(now() - 1),
        };
        let mut last = None;
        self.events(&options, &mut |event| {
            let has = |key: &str| event.attributes.get(key);
            let named = has("name").is_some_and(|known| known == name);
            let by_id = name.len() >= 4 && event.id.starts_with(name);
            if event.action == "destroy" && (named || by_id) {
                last = has("why").map(|why| Removed {
                    container: has("name").cloned().unwrap_or_default(),
                    id: event.id.clone(),
                    status: "removed",
                    exit_code: has("exitCode").and_then(|c| c.parse().ok()).unwrap_or(0),
                    removed_at: time_text(event.time),
                    time: event.time,
                    why: why.clone(),
                });
            }
            true
        })?;
        Ok(last)
    }
}
