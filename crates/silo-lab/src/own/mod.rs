//! Small tools written here: those that must start fast, that the shell shares as builtins, or whose library form is too
//! heavy for the image.

pub mod cat;
pub mod date;
pub mod echo;
pub mod env;
pub mod expr;
pub mod grep;
pub mod id;
pub mod kill;
pub mod path;
pub mod printf;
pub mod seq;
pub mod sleep;
pub mod sort;
pub mod sum;
pub mod system;
pub mod test;
pub mod touch;
pub mod tty;

/// What a tool that may also be a builtin has to say.
#[derive(Debug, Default)]
pub struct Made {
    pub output: String,
    pub complaints: Vec<String>,
}

impl Made {
    fn finish(self, name: &str) -> i32 {
        let status = crate::cli::print(&self.output);
        self.complaints
            .iter()
            .fold(status, |_, complaint| crate::cli::fail(name, complaint))
    }
}
