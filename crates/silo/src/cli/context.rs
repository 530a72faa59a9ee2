//! What every verb is given: where the data lies, and the engine, opened when it is first needed.

use std::path::PathBuf;

use silo_engine::Engine;
use silo_types::Result;

use super::global::Global;

/// The global options.
#[derive(Debug)]
pub struct Context {
    pub root: PathBuf,
    pub run: PathBuf,
    /// `-D`: errors come with the chain of their causes.
    pub debug: bool,
}

impl Context {
    pub fn new(global: Global) -> Context {
        Context {
            root: global.root,
            run: global.run,
            debug: global.debug,
        }
    }

    /// Opens the engine, with the built-in image.
    pub fn engine(&self) -> Result<Engine> {
        let engine = Engine::open(&self.root, &self.run)?;
        Ok(engine.with_builtin(crate::builtin::lab()))
    }
}
