//! The table of applets: the only place that lists them.

use std::ffi::OsString;

use crate::{net, own, proc, saturate};

/// How an applet is started, and what is set up before it.
pub enum Run {
    /// Nothing is set up.
    Own(fn(&[String]) -> i32),
    /// A closed pipe ends it silently, as it would a C program.
    Tool(fn(&[String]) -> i32),
    /// As `Tool`, and handles SIGINT and SIGTERM itself, also as PID 1.
    Lasting(fn(&[String]) -> i32),
    /// From uutils: gets all arguments, the name first.
    Coreutils(fn(Vec<OsString>) -> i32),
    Shell,
}

pub struct Applet {
    pub name: &'static str,
    pub run: Run,
}

const fn applet(name: &'static str, run: Run) -> Applet {
    Applet { name, run }
}

macro_rules! coreutils {
    ($krate:ident) => {
        Run::Coreutils(|args| $krate::uumain(args.into_iter()))
    };
}

/// Sorted by name.
static TABLE: &[Applet] = &[
    applet("[", Run::Own(own::test::bracket_main)),
    applet("basename", Run::Own(own::path::basename)),
    applet("cat", Run::Own(own::cat::main)),
    applet("chmod", coreutils!(uu_chmod)),
    applet("chown", coreutils!(uu_chown)),
    applet("clear", Run::Own(own::tty::clear)),
    applet("cp", coreutils!(uu_cp)),
    applet("cut", coreutils!(uu_cut)),
    applet("date", Run::Own(own::date::main)),
    applet("dd", coreutils!(uu_dd)),
    applet("df", coreutils!(uu_df)),
    applet("dirname", Run::Own(own::path::dirname)),
    applet("du", coreutils!(uu_du)),
    applet("echo", Run::Own(own::echo::main)),
    applet("env", Run::Own(own::env::main)),
    applet("expr", Run::Own(own::expr::main)),
    applet("false", Run::Own(|_| 1)),
    applet("free", Run::Tool(proc::free::main)),
    applet("grep", Run::Tool(own::grep::main)),
    applet("head", coreutils!(uu_head)),
    applet("hold", Run::Lasting(saturate::hold::main)),
    applet("hostname", Run::Own(own::system::hostname)),
    applet("httpd", Run::Tool(net::httpd::main)),
    applet("id", Run::Own(own::id::main)),
    applet("ip", Run::Tool(net::ip::main)),
    applet("kill", Run::Own(own::kill::main)),
    applet("ln", coreutils!(uu_ln)),
    applet("ls", coreutils!(uu_ls)),
    applet("mkdir", coreutils!(uu_mkdir)),
    applet("mktemp", coreutils!(uu_mktemp)),
    applet("mount", Run::Tool(proc::mount::main)),
    applet("mv", coreutils!(uu_mv)),
    applet("nc", Run::Tool(net::nc::main)),
    applet("nproc", Run::Own(own::system::nproc)),
    applet("ping", Run::Lasting(net::ping::main)),
    applet("printf", Run::Own(own::printf::main)),
    applet("ps", Run::Tool(proc::ps::main)),
    applet("pwd", Run::Own(own::path::pwd)),
    applet("readlink", coreutils!(uu_readlink)),
    applet("realpath", coreutils!(uu_realpath)),
    applet("reset", Run::Own(own::tty::reset)),
    applet("rm", coreutils!(uu_rm)),
    applet("rmdir", coreutils!(uu_rmdir)),
    applet("saturate-cpu", Run::Lasting(saturate::cpu::main)),
    applet("saturate-fork", Run::Lasting(saturate::fork::main)),
    applet("saturate-io", Run::Lasting(saturate::io::main)),
    applet("saturate-mem", Run::Lasting(saturate::mem::main)),
    applet("seq", Run::Tool(own::seq::main)),
    applet("sh", Run::Shell),
    applet("sha256sum", Run::Tool(own::sum::main)),
    applet("sleep", Run::Own(own::sleep::main)),
    applet("sort", Run::Tool(own::sort::main)),
    applet("stat", coreutils!(uu_stat)),
    applet("stty", Run::Own(own::tty::stty)),
    applet("sync", Run::Own(own::system::sync)),
    applet("tail", coreutils!(uu_tail)),
    applet("tee", coreutils!(uu_tee)),
    applet("test", Run::Own(own::test::main)),
    applet("timeout", coreutils!(uu_timeout)),
    applet("top", Run::Lasting(proc::top::main)),
    applet("touch", Run::Own(own::touch::main)),
    applet("tr", coreutils!(uu_tr)),
    applet("true", Run::Own(|_| 0)),
    applet("tty", Run::Own(own::tty::tty)),
    applet("umount", Run::Own(proc::mount::umount)),
    applet("uname", Run::Own(own::system::uname)),
    applet("uniq", coreutils!(uu_uniq)),
    applet("wc", coreutils!(uu_wc)),
    applet("whoami", Run::Own(own::id::whoami)),
    applet("yes", Run::Tool(own::echo::yes)),
];

/// The applet of that name.
pub fn find(name: &str) -> Option<&'static Applet> {
    TABLE
        .binary_search_by(|a| a.name.cmp(name))
        .ok()
        .map(|index| &TABLE[index])
}

/// All names, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|a| a.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_applet_is_found() {
        for name in names() {
            assert!(
                find(name).is_some_and(|a| a.name == name),
                "{name}: the table is not sorted"
            );
        }
    }
}
