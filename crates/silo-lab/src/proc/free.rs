//! `free [-b|-k|-m|-g|-h]`: memory of the host, as the kernel tells it.

use super::reader;
use crate::{cli, size};

pub fn main(args: &[String]) -> i32 {
    cli::answer("free", table(args))
}

fn table(args: &[String]) -> Result<String, String> {
    let options = cli::options(
        args,
        "bkmgh",
        &[("human", 'h'), ("mebi", 'm'), ("bytes", 'b')],
    )?;
    let info = reader::meminfo().ok_or("/proc/meminfo cannot be read; is /proc mounted?")?;
    let shown = |bytes: u64| match () {
        () if options.has('h') => size::human(bytes).replace(' ', ""),
        () if options.has('b') => bytes.to_string(),
        () if options.has('m') => (bytes >> 20).to_string(),
        () if options.has('g') => (bytes >> 30).to_string(),
        () => (bytes >> 10).to_string(),
    };
    let of = |key: &str| reader::memory(&info, key);
    let cache = of("Buffers") + of("Cached") + of("SReclaimable");
    let (total, free) = (of("MemTotal"), of("MemFree"));
    let used = total.saturating_sub(of("MemAvailable"));
    let row = |name: &str, cells: &[u64]| {
        let cells: String = cells
            .iter()
            .map(|&bytes| format!(" {:>11}", shown(bytes)))
            .collect();
        format!("{name:<7}{cells}\n")
    };
    let head = ["total", "used", "free", "shared", "buff/cache", "available"];
    let head: String = head.iter().map(|title| format!(" {title:>11}")).collect();
    let swap = (of("SwapTotal"), of("SwapFree"));
    Ok(format!("{:<7}{head}\n", "")
        + &row(
            "Mem:",
            &[total, used, free, of("Shmem"), cache, of("MemAvailable")],
        )
        + &row("Swap:", &[swap.0, swap.0.saturating_sub(swap.1), swap.1]))
}
