//! Where recordings are found: beside their container, and for an hour after its removal in the graveyard.
//!
//! A grave is a folder `SECONDS-ID`: its age is in its name, so that clearing costs one listing. It has the recording and
//! `grave.json`, the state at the end. The recording is moved last: a grave without one is of a removal that was killed.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use silo_types::{ContainerConfig, ContainerId, ContainerState, Doing, Error, Kind, Result};

use super::{FILE, Moment, Series, ring};
use crate::{Engine, container::Container, create::now, paths::make_private, store};

/// How long a grave is kept.
const KEPT: Duration = Duration::from_secs(3600);

/// How many graves are kept, the newest.
const MOST: usize = 128;

const STONE: &str = "grave.json";

/// A container that was removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Grave {
    pub id: String,
    pub image: String,
    /// Nanoseconds since the epoch.
    pub removed: u64,
    /// At its end.
    pub state: ContainerState,
}

/// A recording, and whose it is.
#[derive(Clone, Debug)]
pub struct Recording {
    pub name: String,
    pub id: String,
    pub series: Series,
    /// It is there still.
    pub container: Option<Container>,
    /// It is not.
    pub grave: Option<Grave>,
}

impl Recording {
    /// As it is, or as it was at its end.
    pub fn state(&self) -> Option<&ContainerState> {
        let there = self.container.as_ref().map(|container| &container.state);
        there.or(self.grave.as_ref().map(|grave| &grave.state))
    }
}

impl Engine {
    /// The recording of a container, also of one that was removed within the hour. It may hold no moments yet.
    pub fn recording(&self, reference: &str) -> Result<Recording> {
        let missing = match self.find(reference) {
            Ok(container) => {
                let path = self.recording_path(container.id());
                let mut series = read(&path)?;
                // A curve that has begun goes up to now.
                if series.moments.len() > 1 {
                    series
                        .moments
                        .extend(self.present_step(&container, &series.moments));
                }
                return Ok(Recording {
                    name: container.name().to_owned(),
                    id: container.id().to_string(),
                    series,
                    container: Some(container),
                    grave: None,
                });
            }
            Err(missing) => missing,
        };
        if missing.kind() != Kind::NotFound {
            return Err(missing);
        }
        let ours = |grave: &Grave| {
            grave.state.name == reference
                || (reference.len() >= 4 && grave.id.starts_with(reference))
        };
        let mut graves = self.graves();
        let Some(at) = graves.iter().rposition(|(_, grave)| ours(grave)) else {
            return Err(missing);
        };
        let (folder, grave) = graves.swap_remove(at);
        Ok(Recording {
            name: grave.state.name.clone(),
            id: grave.id.clone(),
            series: read(&folder.join(FILE))?,
            container: None,
            grave: Some(grave),
        })
    }

    /// The newest moments of a container, some seconds of them; `None` when nothing was recorded yet.
    pub fn newest_moments(&self, id: &ContainerId) -> Option<Vec<Moment>> {
        ring::newest(&self.recording_path(id)).filter(|moments| !moments.is_empty())
    }

    pub(crate) fn recording_path(&self, id: &ContainerId) -> PathBuf {
        self.paths.container(id).join(FILE)
    }

    /// Graves that are not over their time, the oldest first.
    fn graves(&self) -> Vec<(PathBuf, Grave)> {
        let folders = self.grave_folders().into_iter();
        let mut found: Vec<(PathBuf, Grave)> = folders
            .filter(|(removed, _)| !is_over(*removed))
            .filter_map(|(_, folder)| {
                Some((folder.clone(), store::read_json(&folder.join(STONE)).ok()?))
            })
            .collect();
        found.sort_by_key(|(_, grave)| grave.removed);
        found
    }

    /// When they were made, in seconds, and where they are.
    fn grave_folders(&self) -> Vec<(u64, PathBuf)> {
        let entries = std::fs::read_dir(self.paths.graveyard())
            .into_iter()
            .flatten();
        let mut found: Vec<(u64, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                let seconds = name.to_str()?.split('-').next()?.parse().ok()?;
                Some((seconds, entry.path()))
            })
            .collect();
        found.sort();
        found
    }

    /// Moves what was recorded of a container that is being removed, from its folder to a grave. A failure costs the recording,
    /// not the removal.
    pub(crate) fn bury(
        &self,
        folder: &std::path::Path,
        config: &ContainerConfig,
        state: &ContainerState,
    ) {
        let recording = folder.join(FILE);
        if recording.exists() {
            // Of a container that ran until now the caller's state may be older than its end.
            let written = match state.status.is_up() {
                true => store::read_json(&folder.join("state.json")).ok(),
                false => None,
            };
            let _ = self.dig(&recording, config, written.as_ref().unwrap_or(state));
            self.clear_graveyard();
        }
    }

    fn dig(
        &self,
        recording: &std::path::Path,
        config: &ContainerConfig,
        state: &ContainerState,
    ) -> Result<()> {
        let removed = now();
        let grave = Grave {
            id: config.id.to_string(),
            image: config.image.reference.clone(),
            removed,
            state: state.clone(),
        };
        let name = format!("{}-{}", removed / 1_000_000_000, config.id);
        let folder = self.paths.graveyard().join(name);
        make_private(&folder)?;
        store::replace_json(&folder, STONE, &grave)?;
        std::fs::rename(recording, folder.join(FILE))
            .doing_with(|| format!("keep the recording of {}", state.name))
    }

    /// Removes graves that are over their time, and the oldest of too many; how many are left. Also for commands that look
    /// around: a grave goes when its hour is over though nothing more is removed.
    pub(crate) fn clear_graveyard(&self) -> usize {
        let folders = self.grave_folders();
        let surplus = folders.len().saturating_sub(MOST);
        let mut left = 0;
        for (at, (removed, folder)) in folders.iter().enumerate() {
            match at < surplus || is_over(*removed) {
                true => drop(store::remove_folder(folder)),
                false => left += 1,
            }
        }
        left
    }
}

/// Times in the future are of a clock that was set back: over, too.
fn is_over(removed: u64) -> bool {
    let seconds = now() / 1_000_000_000;
    !(removed..removed + KEPT.as_secs()).contains(&seconds)
}

fn read(path: &std::path::Path) -> Result<Series> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Series::default()),
        Err(e) => return Err(Error::system(format!("read {}", path.display()), e)),
    };
    let moments = ring::read(&bytes)
        .ok_or_else(|| Error::internal(format!("{} is no recording", path.display())))?;
    Ok(Series { moments })
}
