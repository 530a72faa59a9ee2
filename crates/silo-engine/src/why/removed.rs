//! Containers that are gone: with `--rm` the answer must outlive the question's object. The event of the removal carries it.

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

/// What is left of a container that removed itself.
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
    /// The event of a container's removal; what it had ended of is in it when it removes itself.
    pub(crate) fn removal(&self, config: &ContainerConfig, state: &ContainerState) -> Event {
        let event = Event::of_container(config, &state.name, "destroy");
        if !config.life.auto_remove {
            return event;
        }
        let names = Names::host().ok();
        let verdict = verdict::judge(&Facts {
            name: &state.name,
            config,
            run: Run::of_state(state),
            victims: &state.victims,
            near: &[],
            user: &|uid| {
                names
                    .as_ref()
                    .map_or_else(|| uid.to_string(), |names| names.user(uid))
            },
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

    /// The last container of this name, or with an id that begins so, that removed itself.
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
