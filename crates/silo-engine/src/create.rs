//! From what was asked to what will be: the image's defaults, names, volumes, checks against the host.

use silo_image::Image;
use silo_types::{
    ContainerConfig, Doing, Error, MountKind, MountSpec, NamespaceMode, NetworkMode, Result,
};

use crate::{Engine, container::Container, events, store};

/// A container that was made and not started.
#[derive(Debug)]
pub struct Created {
    pub config: ContainerConfig,
    pub warnings: Vec<String>,
}

impl Engine {
    /// Makes a container; nothing runs yet.
    ///
    /// Errors: NotFound for the image, Conflict for the name, Invalid for what cannot be.
    pub fn create(&self, config: ContainerConfig) -> Result<Created> {
        let _hold = self.images.hold()?;
        let image = self.images.resolve(&config.image.reference)?;
        let (locked, config) = self.make(config, &image)?;
        drop(locked);
        Ok(Created {
            config,
            warnings: Vec::new(),
        })
    }

    /// Completes and stores the configuration; the folder's lock is held by the result.
    pub(crate) fn make(
        &self,
        mut config: ContainerConfig,
        image: &Image,
    ) -> Result<(store::Locked, ContainerConfig)> {
        config.id = store::new_id()?;
        config.created = now();
        config.image.id = image.id.to_string();
        complete(&mut config, image)?;
        check_host(&config)?;
        self.resolve_shared(&mut config)?;
        let locked = store::create(&self.paths, &mut config)?;
        self.record(events::Event::of_container(&config, &config.name, "create"));
        Ok((locked, config))
    }

    /// `container:NAME` becomes `container:ID`, so that a later rename changes nothing.
    fn resolve_shared(&self, config: &mut ContainerConfig) -> Result<()> {
        let modes = &mut config.namespaces;
        for mode in [
            &mut modes.pid,
            &mut modes.ipc,
            &mut modes.uts,
            &mut modes.cgroup,
        ] {
            if let NamespaceMode::Container(name) = mode {
                *name = self.find_id(name)?.to_string();
            }
        }
        if let NetworkMode::Container(name) = &mut config.network.mode {
            *name = self.find_id(name)?.to_string();
        }
        Ok(())
    }

    /// The container whose namespace is shared; it must run.
    pub(crate) fn shared_with(&self, id: &str) -> Result<Container> {
        let other = self.find(id)?;
        other
            .main_process()
            .map_err(|e| e.context("cannot share its namespace"))?;
        Ok(other)
    }
}

/// Nanoseconds since the epoch.
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// Lays the image's configuration under what was asked: pure.
fn complete(config: &mut ContainerConfig, image: &Image) -> Result<()> {
    let defaults = &image.config;
    let process = &mut config.process;
    // An entrypoint given on the command line drops the image's command, as Docker.
    let entrypoint_given = process.entrypoint.is_some();
    let entrypoint = process
        .entrypoint
        .clone()
        .or_else(|| defaults.entrypoint.clone())
        .unwrap_or_default();
    let command = match &process.command {
        Some(command) => command.clone(),
        None if entrypoint_given => Vec::new(),
        None => defaults.cmd.clone().unwrap_or_default(),
    };
    process.args = entrypoint.into_iter().chain(command).collect();
    if process.args.is_empty() {
        return Err(Error::invalid(format!(
            "no command specified: image {} has none, name one after it",
            config.image.reference
        )));
    }
    if process.cwd.is_empty() {
        process.cwd = defaults.working_dir.clone();
    }
    if process.cwd.is_empty() {
        process.cwd = "/".to_owned();
    }
    if !process.cwd.starts_with('/') {
        return Err(Error::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            process.cwd
        )));
    }
    if process.user.is_empty() {
        process.user = defaults.user.clone();
    }
    if config.network.hostname.is_empty() {
        config.network.hostname = match (&config.network.mode, &config.namespaces.uts) {
            (NetworkMode::Host, _) | (_, NamespaceMode::Host) => host_name()?,
            _ => config.id.short().to_owned(),
        };
    }
    process.env = environment(
        &defaults.env,
        &process.env,
        &config.network.hostname,
        config.stdio.tty,
    );
    let life = &mut config.life;
    if life.stop_signal.is_none() && !defaults.stop_signal.is_empty() {
        life.stop_signal = Some(defaults.stop_signal.parse()?);
    }
    for (key, value) in &defaults.labels {
        config
            .labels
            .entry(key.clone())
            .or_insert_with(|| value.clone());
    }
    image_volumes(config, &defaults.volumes)?;
    name_anonymous_volumes(config)
}

/// What this host cannot enforce is refused, never left out.
fn check_host(config: &ContainerConfig) -> Result<()> {
    let security = &config.security;
    if !matches!(security.apparmor.as_str(), "" | "unconfined") {
        return Err(Error::unsupported(format!(
            "apparmor profile {}: Silo cannot set AppArmor profiles yet, use apparmor=unconfined",
            security.apparmor
        )));
    }
    if let Some(label) = security.labels.iter().find(|label| *label != "disable") {
        return Err(Error::unsupported(format!(
            "label {label}: Silo cannot set SELinux labels yet, use label=disable"
        )));
    }
    Ok(())
}

fn host_name() -> Result<String> {
    let name = rustix::system::uname();
    name.nodename()
        .to_str()
        .map(str::to_owned)
        .doing("read the host's name")
}

/// PATH, HOSTNAME and TERM first, then the image's, then what was given; the last of a name wins, in its first place.
fn environment(image: &[String], given: &[String], hostname: &str, tty: bool) -> Vec<String> {
    let mut env: Vec<String> = vec![
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        format!("HOSTNAME={hostname}"),
    ];
    if tty {
        env.push("TERM=xterm".to_owned());
    }
    for variable in image.iter().chain(given) {
        let name = variable.split('=').next().unwrap_or_default();
        let same = |known: &String| known.split('=').next() == Some(name);
        match env.iter_mut().find(|known| same(known)) {
            Some(known) if variable.contains('=') => *known = variable.clone(),
            None if variable.contains('=') => env.push(variable.clone()),
            // `-e NAME` of a variable that the caller does not have takes it away.
            Some(_) => env.retain(|known| !same(known)),
            None => {}
        }
    }
    env
}

/// A volume that the image declares and nothing was mounted at becomes an anonymous one.
fn image_volumes(config: &mut ContainerConfig, volumes: &[String]) -> Result<()> {
    for volume in volumes {
        let target = clean_path(volume)?;
        if target == "/" {
            return Err(Error::invalid("the image declares a volume at /"));
        }
        if !config.files.mounts.iter().any(|m| m.target == target) {
            config.files.mounts.push(MountSpec {
                kind: MountKind::Volume {
                    name: String::new(),
                    anonymous: true,
                    no_copy: false,
                    subpath: String::new(),
                },
                target,
                read_only: false,
            });
        }
    }
    Ok(())
}

fn name_anonymous_volumes(config: &mut ContainerConfig) -> Result<()> {
    for mount in &mut config.files.mounts {
        if let MountKind::Volume {
            name, anonymous, ..
        } = &mut mount.kind
            && name.is_empty()
        {
            *name = store::new_id()?.to_string();
            *anonymous = true;
        }
    }
    Ok(())
}

/// An absolute path without `.`, `..` and doubled slashes; `..` never leads above the root (CVE-2022-23648).
fn clean_path(path: &str) -> Result<String> {
    if !path.starts_with('/') {
        return Err(Error::invalid(format!(
            "the image's volume {path:?} is not an absolute path"
        )));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_are_laid_over_each_other() {
        let image = ["PATH=/bin".to_owned(), "A=1".to_owned(), "C=3".to_owned()];
        let given = ["A=2".to_owned(), "C".to_owned()];
        let env = environment(&image, &given, "h", true);
        assert_eq!(env, ["PATH=/bin", "HOSTNAME=h", "TERM=xterm", "A=2"]);
    }

    #[test]
    fn volumes_of_an_image_stay_inside() {
        assert_eq!(clean_path("/../../etc/./x//y").unwrap(), "/etc/x/y");
        assert!(clean_path("etc").is_err());
    }
}
