//! A bundle: a folder with `config.json` and, as a rule, the root file system (OCI runtime specification, "Bundle").

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use silo_types::{Doing, Error, Result};

use crate::document;

/// A bundle as it was read; what changes in its folder later does not matter.
#[derive(Debug)]
pub struct Bundle {
    /// Absolute.
    pub path: PathBuf,
    /// `config.json` as it stands there.
    pub text: Vec<u8>,
    pub spec: Spec,
}

impl Bundle {
    pub fn load(path: &Path) -> Result<Bundle> {
        let path = path
            .canonicalize()
            .doing_with(|| format!("open the bundle {}", path.display()))?;
        let file = path.join("config.json");
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::not_found(format!(
                    "JSON specification file {} not found",
                    file.display()
                )));
            }
            Err(error) => return Err(Error::system(format!("read {}", file.display()), error)),
        };
        let spec = parse(&text, &file)?;
        Ok(Bundle { path, text, spec })
    }

    /// The folder of the root file system.
    pub fn rootfs(&self) -> Result<PathBuf> {
        let root = self
            .spec
            .root()
            .as_ref()
            .ok_or_else(|| Error::invalid("the specification has no root"))?;
        // Joining an absolute path gives that path.
        let path = self.path.join(root.path());
        let found = std::fs::metadata(&path)
            .doing_with(|| format!("root file system {}", path.display()))?;
        match found.is_dir() {
            true => path
                .canonicalize()
                .doing_with(|| format!("root file system {}", path.display())),
            false => Err(Error::invalid(format!(
                "root file system {} is no folder",
                path.display()
            ))),
        }
    }

    pub fn process(&self) -> Result<&Process> {
        self.spec
            .process()
            .as_ref()
            .ok_or_else(|| Error::invalid("the specification has no process"))
    }
}

/// Understands a specification and refuses what no runtime of this version could run.
pub fn parse(text: &[u8], file: &Path) -> Result<Spec> {
    let spec: Spec = read(text, file, |value| {
        document::check_memory_policy(value)?;
        if let Some(process) = value.get_mut("process") {
            complete(process);
        }
        Ok(())
    })?;
    let version = spec.version();
    if version.split('.').next() != Some("1") {
        return Err(Error::unsupported(format!(
            "{}: ociVersion {version:?} is not 1.x",
            file.display()
        )));
    }
    if let Some(process) = spec.process() {
        check_process(process)?;
    }
    Ok(spec)
}

/// The same for a process alone.
pub fn parse_process(text: &[u8], file: &Path) -> Result<Process> {
    read(text, file, |value| {
        complete(value);
        Ok(())
    })
}

/// What is left out in a document, or unknown in it, costs a second look only then.
fn read<T: DeserializeOwned>(
    text: &[u8],
    file: &Path,
    complete: impl FnOnce(&mut Value) -> Result<()>,
) -> Result<T> {
    let doing = || format!("understand {}", file.display());
    if let Ok(read) = serde_json::from_slice(text) {
        return Ok(read);
    }
    let mut value: Value = serde_json::from_slice(text).doing_with(doing)?;
    complete(&mut value)?;
    serde_json::from_value(value).doing_with(doing)
}

/// runc's way: no user is root, and capabilities that nobody knows are none.
fn complete(process: &mut Value) {
    let Some(fields) = process.as_object_mut() else {
        return;
    };
    let user = fields.entry("user").or_insert_with(|| json!({}));
    for id in ["uid", "gid"] {
        if let Some(user) = user.as_object_mut()
            && user.get(id).is_none_or(Value::is_null)
        {
            user.insert(id.to_owned(), json!(0));
        }
    }
    document::settle(process);
}

/// What every process must have, the first and those of `exec`.
pub fn check_process(process: &Process) -> Result<()> {
    if process.args().as_deref().unwrap_or_default().is_empty() {
        return Err(Error::invalid("process.args must not be empty"));
    }
    if !process.cwd().is_absolute() {
        return Err(Error::invalid("process.cwd must be an absolute path"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_run_is_refused() {
        let refused = |text: &str| {
            let error = parse(text.as_bytes(), Path::new("config.json")).unwrap_err();
            error.to_string()
        };
        assert!(refused("{").contains("config.json"));
        assert!(refused(r#"{"ociVersion": "2.0.0"}"#).contains("not 1.x"));
        assert!(refused("7").contains("config.json"));
        // What stands where an object should is read as serde reads it, or refused; it was a panic.
        for no_object in [
            "[]",
            r#"{"ociVersion": "1.0.2", "process": []}"#,
            r#"{"ociVersion": "1.0.2", "process": {"user": [1], "args": ["a"], "cwd": "/"}}"#,
            r#"{"ociVersion": "1.0.2", "process": {"user": "x", "args": ["a"], "cwd": "/"}}"#,
        ] {
            let _ = parse(no_object.as_bytes(), Path::new("config.json"));
        }
        let process = |args: &str, cwd: &str| {
            let user = r#""user": {"uid": 0, "gid": 0}"#;
            format!(
                r#"{{"ociVersion": "1.0.2", "process": {{{user}, "args": {args}, "cwd": "{cwd}"}}}}"#
            )
        };
        assert!(refused(&process("[]", "/")).contains("args"));
        assert!(refused(&process(r#"["a"]"#, "x")).contains("cwd"));
        let bare = r#"{"args": ["a"], "cwd": "/", "capabilities": {"bounding": ["CAP_KILL", "CAP_UNKNOWN"]}}"#;
        let bare = parse_process(bare.as_bytes(), Path::new("x")).unwrap();
        assert_eq!(bare.user().uid(), 0);
        let known = bare.capabilities().as_ref().unwrap().bounding().as_ref();
        assert_eq!(known.unwrap().len(), 1);
        assert!(parse(process(r#"["a"]"#, "/").as_bytes(), Path::new("x")).is_ok());
    }
}
