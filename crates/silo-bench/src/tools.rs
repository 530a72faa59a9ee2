//! Silo and its peers as command lines, with what they need made ready.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use silo_types::{Doing, Error, Result};

use crate::{
    Options, bundle,
    measure::{Candidate, output, reap_ended},
};

/// Silo with a root and a run folder of its own.
#[derive(Debug)]
pub struct Silo {
    program: PathBuf,
    root: PathBuf,
}

/// Where Silo's run-time files lie: on tmpfs, as /run is.
const RUN: &str = "/run/silo-bench";

/// The profile that podman ships; Docker's and Silo's have the same reach.
const SECCOMP_PROFILE: &str = "/usr/share/containers/seccomp.json";

/// All tools, ready to run.
#[derive(Debug)]
pub struct Tools {
    pub silo: Silo,
    /// The root of the `lab` image as a plain folder.
    pub rootfs: PathBuf,
    pub work: PathBuf,
    /// Docker's default profile, where podman's package brought it.
    pub seccomp: Option<Value>,
    pub versions: Vec<String>,
}

impl Silo {
    /// `silo --root … --run … WORDS…`
    pub fn words(&self, words: &[&str]) -> Vec<OsString> {
        let mut all: Vec<OsString> = vec![
            self.program.clone().into(),
            "--root".into(),
            self.root.clone().into(),
            "--run".into(),
            RUN.into(),
        ];
        all.extend(words.iter().map(Into::into));
        all
    }

    pub fn as_runtime(&self) -> Runtime {
        Runtime(vec![self.program.clone().into(), "oci".into()])
    }

    pub fn candidate(&self, name: &str, words: &[&str]) -> Candidate {
        Candidate::new(name, self.words(words))
    }

    /// Runs it and returns what it printed.
    pub fn output(&self, words: &[&str]) -> Result<String> {
        let words = self.words(words);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        output(&mut command).map(|text| String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// Starts a container that only sleeps; returns its id.
    pub fn start_idle(&self, options: &[&str]) -> Result<String> {
        let mut words = vec!["run", "-d"];
        words.extend(options);
        words.extend(["lab", "sleep", "1000000"]);
        self.output(&words)
    }

    /// Removes every container; what fails is told and left.
    pub fn remove_all(&self) {
        let removed = self.output(&["ls", "-aq"]).and_then(|ids| {
            let ids: Vec<&str> = ids.split_whitespace().collect();
            match ids.is_empty() {
                true => Ok(String::new()),
                false => self.output(&[&["rm", "-f"], ids.as_slice()].concat()),
            }
        });
        if let Err(error) = removed {
            eprintln!("silo-bench: {error}");
        }
        reap_ended();
    }
}

impl Tools {
    /// Makes the folders, the plain copy of the lab image and the profile.
    pub fn prepare(options: &Options) -> Result<Tools> {
        let work = options.work.clone();
        fs::create_dir_all(&work).doing_with(|| format!("make {}", work.display()))?;
        let silo = Silo {
            program: options.silo.clone(),
            root: work.join("state"),
        };
        silo.remove_all();
        let rootfs = work.join("rootfs");
        export_lab(&silo, &rootfs)?;
        let profile = Path::new(SECCOMP_PROFILE);
        Ok(Tools {
            seccomp: profile
                .exists()
                .then(|| bundle::default_seccomp(profile))
                .transpose()?,
            versions: versions(&silo)?,
            silo,
            rootfs,
            work,
        })
    }

    /// A bundle of the lab image for a bare runtime.
    pub fn bundle(&self, name: &str, args: &[&str], seccomp: bool) -> Result<PathBuf> {
        let folder = self.work.join(name);
        let profile = match (seccomp, &self.seccomp) {
            (true, None) => {
                return Err(Error::not_found(format!(
                    "{SECCOMP_PROFILE} is not there: install podman"
                )));
            }
            (true, profile) => profile.as_ref(),
            (false, _) => None,
        };
        bundle::write(&folder, &self.rootfs, args, profile)?;
        Ok(folder)
    }

    /// A runtime's command on such a bundle: `crun run --bundle FOLDER ID`.
    pub fn runtime(&self, name: &str, program: &str, bundle: &Path, id: &str) -> Candidate {
        Candidate::new(name, Runtime::peer(program).on("run", bundle, id))
    }

    /// The same with Silo as the bare runtime.
    pub fn own_runtime(&self, name: &str, bundle: &Path, id: &str) -> Candidate {
        Candidate::new(name, self.silo.as_runtime().on("run", bundle, id))
    }
}

/// A bare runtime: the words that its command lines begin with.
#[derive(Clone, Debug)]
pub struct Runtime(Vec<OsString>);

impl Runtime {
    pub fn peer(program: &str) -> Runtime {
        Runtime(vec![program.into()])
    }

    /// `crun WORDS…`
    pub fn words<S: Into<OsString>>(&self, words: impl IntoIterator<Item = S>) -> Vec<OsString> {
        let mut all = self.0.clone();
        all.extend(words.into_iter().map(Into::into));
        all
    }

    /// `crun VERB --bundle FOLDER ID`
    pub fn on(&self, verb: &str, bundle: &Path, id: &str) -> Vec<OsString> {
        self.words::<OsString>([verb.into(), "--bundle".into(), bundle.into(), id.into()])
    }
}

/// The image's files as a folder, through `silo cp`: peers run on the very same bytes.
fn export_lab(silo: &Silo, rootfs: &Path) -> Result<()> {
    const NAME: &str = "bench-export";
    match fs::remove_dir_all(rootfs) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::system(format!("remove {}", rootfs.display()), e));
        }
        _ => fs::create_dir_all(rootfs).doing_with(|| format!("make {}", rootfs.display()))?,
    }
    silo.output(&["create", "--name", NAME, "lab", "true"])?;
    silo.output(&["cp", &format!("{NAME}:/."), &rootfs.display().to_string()])?;
    silo.output(&["rm", "-f", NAME]).map(drop)
}

fn versions(silo: &Silo) -> Result<Vec<String>> {
    let mut versions = vec![silo.output(&["--version"])?];
    for program in ["crun", "runc", "podman", "docker"] {
        // A peer that is not there is not measured, and fails where it is asked for.
        if let Ok(text) = output(Command::new(program).arg("--version")) {
            let text = String::from_utf8_lossy(&text);
            versions.push(text.lines().next().unwrap_or_default().to_owned());
        }
    }
    Ok(versions)
}
