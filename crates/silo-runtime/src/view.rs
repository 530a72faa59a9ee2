//! How the host's control group hierarchies appear inside a container.

use silo_cgroup::{Controller, Layout, Mode, Version};

use crate::rootfs::{CgroupHierarchy, CgroupView};

impl CgroupView {
    /// The same hierarchies as on the host, under the same names.
    pub fn of(layout: &Layout) -> CgroupView {
        if layout.mode() == Mode::V2 {
            return CgroupView::V2;
        }
        let hierarchies = layout.hierarchies().iter().map(|hierarchy| {
            let names: Vec<String> = hierarchy
                .controllers
                .iter()
                .map(Controller::v1_name)
                .map(str::to_owned)
                .collect();
            let (name, kind, options, links) = match (hierarchy.version, &hierarchy.name) {
                (Version::V2, _) => ("unified".to_owned(), "cgroup2", vec![], vec![]),
                (Version::V1, Some(name)) => (
                    name.clone(),
                    "cgroup",
                    vec!["none".to_owned(), format!("name={name}")],
                    vec![],
                ),
                (Version::V1, None) => {
                    let links = if names.len() > 1 {
                        names.clone()
                    } else {
                        vec![]
                    };
                    (names.join(","), "cgroup", names, links)
                }
            };
            CgroupHierarchy {
                name,
                kind: kind.to_owned(),
                options,
                links,
            }
        });
        CgroupView::V1(hierarchies.collect())
    }
}
