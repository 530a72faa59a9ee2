//! Rows of `ps`, `images` and `volume ls`: Docker's fields, headers and words.

use std::time::Duration;

use silo_engine::Volume;
use silo_image::Image;
use silo_types::{ContainerConfig, ContainerState, MountKind, Status};

use super::container::network_mode;
use crate::output::{Listing, Row, ago, duration, ellipsis, local, quoted, size};

/// `ps`
pub const CONTAINERS: Listing = Listing {
    table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
    quiet: "{{.ID}}",
    headers: &[
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("Ports", "PORTS"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("Size", "SIZE"),
        ("Names", "NAMES"),
        ("Labels", "LABELS"),
        ("Mounts", "MOUNTS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Networks", "NETWORKS"),
    ],
};

/// `images`
pub const IMAGES: Listing = Listing {
    table: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
    quiet: "{{.ID}}",
    headers: &[
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("Digest", "DIGEST"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("Size", "SIZE"),
        ("Containers", "CONTAINERS"),
        ("VirtualSize", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
    ],
};

/// `volume ls`
pub const VOLUMES: Listing = Listing {
    table: "{{.Driver}}\t{{.Name}}",
    quiet: "{{.Name}}",
    headers: &[
        ("Name", "VOLUME NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
    ],
};

/// What a row of `ps` is made from.
pub struct ContainerRow<'a> {
    pub config: &'a ContainerConfig,
    pub state: &'a ContainerState,
    pub truncate: bool,
    /// `CreatedAt` is asked for: the host's time zone has to be read for it.
    pub local_time: bool,
    /// Written bytes and those of the image, with `--size`.
    pub sizes: Option<(u64, u64)>,
}

impl ContainerRow<'_> {
    pub fn row(&self) -> Row {
        let (config, state) = (self.config, self.state);
        let command = config.process.args.join(" ");
        let id = match self.truncate {
            true => config.id.short(),
            false => config.id.as_str(),
        };
        let labels: Vec<String> = config
            .labels
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        Row::new([
            ("ID", id.to_owned()),
            ("Image", config.image.reference.clone()),
            (
                "Command",
                quoted(&if self.truncate {
                    ellipsis(&command, 20)
                } else {
                    command
                }),
            ),
            (
                "CreatedAt",
                match self.local_time {
                    true => local(config.created),
                    false => String::new(),
                },
            ),
            (
                "RunningFor",
                format!("{} ago", duration(ago(config.created))),
            ),
            ("Ports", String::new()),
            ("State", state.status.as_str().to_owned()),
            ("Status", status(state, ago)),
            (
                "Size",
                self.sizes.map_or_else(
                    || "0B".to_owned(),
                    |(written, image)| {
                        format!(
                            "{} (virtual {})",
                            size(written, 3),
                            size(written + image, 3)
                        )
                    },
                ),
            ),
            ("Names", state.name.clone()),
            ("Labels", labels.join(",")),
            ("Mounts", self.mounts()),
            ("LocalVolumes", self.volumes().to_string()),
            ("Networks", network_mode(&config.network.mode)),
        ])
        .with_labels(config.labels.clone())
    }

    fn mounts(&self) -> String {
        let name = |kind: &MountKind| match kind {
            MountKind::Bind { source, .. } => Some(source.clone()),
            MountKind::Volume { name, .. } => Some(name.clone()),
            MountKind::Tmpfs { .. } => None,
        };
        let names = self
            .config
            .files
            .mounts
            .iter()
            .filter_map(|m| name(&m.kind));
        let names: Vec<String> = names
            .map(|name| {
                if self.truncate {
                    ellipsis(&name, 15)
                } else {
                    name
                }
            })
            .collect();
        names.join(",")
    }

    fn volumes(&self) -> usize {
        let volume = |kind: &MountKind| matches!(kind, MountKind::Volume { .. });
        self.config
            .files
            .mounts
            .iter()
            .filter(|m| volume(&m.kind))
            .count()
    }
}

/// `Up 2 hours (Paused)`, `Exited (137) 3 minutes ago`, …; `ago` tells how long ago a moment was.
fn status(state: &ContainerState, ago: impl Fn(u64) -> Duration) -> String {
    let since = |moment| duration(ago(moment));
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => format!("Up {}", since(state.started)),
        Status::Paused => format!("Up {} (Paused)", since(state.started)),
        Status::Restarting => {
            format!(
                "Restarting ({}) {} ago",
                state.exit_code,
                since(state.finished)
            )
        }
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, since(state.finished)),
        Status::Dead => "Dead".to_owned(),
    }
}

/// A row for one name of an image; `users` is how many containers were made from it.
pub fn image_row(image: &Image, reference: Option<&str>, truncate: bool, users: usize) -> Row {
    let (repository, tag) = match reference {
        Some(reference) => reference.rsplit_once(':').unwrap_or((reference, "<none>")),
        None => ("<none>", "<none>"),
    };
    let bytes = size(image.size, 3);
    Row::new([
        (
            "ID",
            match truncate {
                true => image.id.short(),
                false => image.id.to_string(),
            },
        ),
        ("Repository", repository.to_owned()),
        ("Tag", tag.to_owned()),
        ("Digest", "<none>".to_owned()),
        (
            "CreatedSince",
            format!("{} ago", duration(ago(image.created))),
        ),
        ("CreatedAt", local(image.created)),
        ("Size", bytes.clone()),
        ("VirtualSize", bytes),
        ("SharedSize", "N/A".to_owned()),
        ("UniqueSize", "N/A".to_owned()),
        ("Containers", users.to_string()),
    ])
}

/// A row of `volume ls`.
pub fn volume_row(volume: &Volume, mountpoint: &str) -> Row {
    let labels: Vec<String> = volume
        .labels
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    Row::new([
        ("Name", volume.name.clone()),
        ("Driver", "local".to_owned()),
        ("Scope", "local".to_owned()),
        ("Mountpoint", mountpoint.to_owned()),
        ("Labels", labels.join(",")),
        ("Links", "N/A".to_owned()),
        ("Size", "N/A".to_owned()),
    ])
    .with_labels(volume.labels.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use silo_types::ContainerId;

    #[test]
    fn words_of_the_status() {
        let state = |status| ContainerState {
            status,
            exit_code: 137,
            ..ContainerState::default()
        };
        let hour = |_| Duration::from_secs(7200);
        for (is, says) in [
            (Status::Created, "Created"),
            (Status::Running, "Up 2 hours"),
            (Status::Paused, "Up 2 hours (Paused)"),
            (Status::Exited, "Exited (137) 2 hours ago"),
            (Status::Restarting, "Restarting (137) 2 hours ago"),
            (Status::Removing, "Removal In Progress"),
            (Status::Dead, "Dead"),
        ] {
            assert_eq!(status(&state(is), hour), says);
        }
    }

    #[test]
    fn rows_of_containers() {
        let mut config = ContainerConfig {
            id: ContainerId::from_bytes([0xab; 32]),
            ..ContainerConfig::default()
        };
        config.process.args = vec!["sleep".into(), "12345678901234567890".into()];
        let state = ContainerState {
            name: "web".into(),
            ..ContainerState::default()
        };
        let row = |truncate| {
            let of = ContainerRow {
                config: &config,
                state: &state,
                truncate,
                local_time: true,
                sizes: Some((10, 7_800_000)),
            };
            of.row().fields
        };
        let short = row(true);
        assert_eq!(short["ID"], "abababababab");
        assert_eq!(short["Command"], "\"sleep 1234567890123…\"");
        assert_eq!(short["Size"], "10B (virtual 7.8MB)");
        assert_eq!(short["Networks"], "bridge");
        assert_eq!(row(false)["ID"].as_str().unwrap().len(), 64);
        // Every field has a header, and the usual table needs no other.
        assert_eq!(short.len(), CONTAINERS.headers.len());
    }
}
