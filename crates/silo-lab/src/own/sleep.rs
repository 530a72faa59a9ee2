//! `sleep TIME...`: seconds, or with `s`, `m`, `h`, `d`; several add up; `infinity`.

use std::time::Duration;

use crate::{cli, size};

pub fn main(args: &[String]) -> i32 {
    let mut total = Duration::ZERO;
    if args.is_empty() {
        return cli::fail("sleep", "how long? say for example 'sleep 1.5'");
    }
    for text in args {
        match size::duration(text) {
            Ok(Some(time)) => total = total.saturating_add(time),
            Ok(None) => total = Duration::MAX,
            Err(message) => return cli::fail("sleep", &message),
        }
    }
    std::thread::sleep(total.min(Duration::from_secs(u32::MAX.into())));
    0
}
