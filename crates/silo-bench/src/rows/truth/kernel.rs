//! What the kernel itself says, read from its files and not through any engine.

use std::{fs, path::PathBuf};

use silo_types::{Doing, Error, Result};

use super::loads::Load;

/// What a container has beside what it holds, as the kernel counts it.
#[derive(Clone, Copy, Debug)]
pub struct Base {
    /// Of one process, and of two.
    pub bare: [Bare; 2],
    /// Memory of the kernel that a byte of cache needs: version 1 does not tell how much of that it could drop.
    pub per_cached: f64,
}

impl Base {
    /// Of the process that holds `load`.
    pub fn of(&self, load: &Load) -> &Bare {
        &self.bare[usize::from(load.shared > 0)]
    }

    /// What a container that holds `load` should have, bytes.
    pub fn held(&self, load: &Load) -> f64 {
        let cached = load.cache as f64 * self.per_cached;
        (load.private + load.shared) as f64 + self.of(load).held + cached
    }
}

/// What a container that holds nothing has all the same, bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bare {
    /// Of its control group: what cannot be dropped.
    pub held: f64,
    /// Of its main process.
    pub private: f64,
    pub rss: f64,
}

/// The control groups of a process.
#[derive(Clone)]
pub struct Groups {
    /// Of the memory controller, and whether that is version 1.
    memory: (PathBuf, bool),
    cpu: (PathBuf, bool),
}

impl Groups {
    pub fn of(pid: i32) -> Result<Groups> {
        let text = read(&format!("/proc/{pid}/cgroup"))?;
        let find = |controller: &str| {
            let lines = || text.lines().map(|line| line.splitn(3, ':'));
            let own = lines().find_map(|mut parts| {
                let named = parts.nth(1)?.split(',').any(|name| name == controller);
                let path = parts.next()?.trim_start_matches('/');
                named.then(|| PathBuf::from("/sys/fs/cgroup").join(controller).join(path))
            });
            let unified = || {
                lines().find_map(|mut parts| {
                    let path = (parts.next()? == "0").then(|| parts.nth(1))??;
                    Some(PathBuf::from("/sys/fs/cgroup").join(path.trim_start_matches('/')))
                })
            };
            match own {
                Some(path) => Ok((path, true)),
                None => unified().map(|path| (path, false)).ok_or_else(|| {
                    Error::unsupported(format!("process {pid} has no group of {controller}"))
                }),
            }
        };
        Ok(Groups {
            memory: find("memory")?,
            cpu: find("cpuacct")?,
        })
    }

    /// Seconds of processor time.
    pub fn cpu(&self) -> Result<f64> {
        let (folder, v1) = &self.cpu;
        Ok(match v1 {
            true => number(&read(&folder.join("cpuacct.usage").display().to_string())?) / 1e9,
            false => field(&self.cpu, "cpu.stat", "usage_usec")? / 1e6,
        })
    }

    /// The same, open, to be read often.
    pub fn cpu_counter(&self) -> Result<Counter> {
        let (folder, v1) = &self.cpu;
        let (name, unit) = match v1 {
            true => ("cpuacct.usage", 1e9),
            // Its first line is the total.
            false => ("cpu.stat", 1e6),
        };
        let path = folder.join(name);
        let file = fs::File::open(&path).doing_with(|| format!("open {}", path.display()))?;
        Ok(Counter { file, unit })
    }

    /// Files with processor time and memory in use: what a recorder reads each time.
    pub fn read_often(&self) -> [PathBuf; 2] {
        let name = |v1: bool, one: &'static str, two: &'static str| if v1 { one } else { two };
        let (cpu, memory) = (&self.cpu, &self.memory);
        [
            cpu.0.join(name(cpu.1, "cpuacct.usage", "cpu.stat")),
            memory
                .0
                .join(name(memory.1, "memory.usage_in_bytes", "memory.current")),
        ]
    }

    /// Bytes of cached files: the kernel may have dropped some of what was made.
    pub fn cache(&self) -> Result<f64> {
        let stat = |name| field(&self.memory, "memory.stat", name);
        match self.memory.1 {
            true => Ok(stat("total_cache")? - stat("total_shmem")?),
            false => Ok(stat("file")? - stat("shmem")?),
        }
    }

    /// Bytes that cannot be dropped.
    fn held(&self) -> Result<f64> {
        let (folder, v1) = &self.memory;
        let stat = |name| field(&self.memory, "memory.stat", name);
        if !v1 {
            return Ok(stat("anon")? + stat("shmem")? + stat("kernel")? - stat("slab_reclaimable")?);
        }
        let kernel = folder.join("memory.kmem.usage_in_bytes");
        let kernel = fs::read_to_string(kernel).map_or(0.0, |text| number(&text));
        Ok(stat("total_rss")? + stat("total_shmem")? + kernel)
    }
}

/// A counter of processor time, open.
pub struct Counter {
    file: fs::File,
    /// So many of its units are a second.
    unit: f64,
}

impl Counter {
    /// Seconds.
    pub fn read(&self) -> Result<f64> {
        let mut text = [0; 64];
        let got = std::os::unix::fs::FileExt::read_at(&self.file, &mut text, 0);
        let got = got.doing("read a counter of processor time")?;
        let digits = text[..got]
            .split(|byte| !byte.is_ascii_digit())
            .find(|digits| !digits.is_empty());
        let digits = std::str::from_utf8(digits.unwrap_or_default()).unwrap_or_default();
        Ok(number(digits) / self.unit)
    }
}

impl Bare {
    pub fn of(pid: i32) -> Result<Bare> {
        let rollup = read(&format!("/proc/{pid}/smaps_rollup"))?;
        let kib = |names: &[&str]| {
            let lines = rollup.lines().filter_map(|line| line.split_once(':'));
            let wanted = lines.filter(|(name, _)| names.contains(name));
            wanted
                .map(|(_, value)| number(value.trim().trim_end_matches(" kB")) * 1024.0)
                .sum()
        };
        Ok(Bare {
            held: Groups::of(pid)?.held()?,
            private: kib(&["Private_Clean", "Private_Dirty"]),
            rss: kib(&["Rss"]),
        })
    }
}

fn field((folder, _): &(PathBuf, bool), file: &str, name: &str) -> Result<f64> {
    let path = folder.join(file).display().to_string();
    let text = read(&path)?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value
        .map(number)
        .ok_or_else(|| Error::unsupported(format!("{path} has no {name}")))
}

fn number(text: &str) -> f64 {
    text.trim().parse().unwrap_or(0.0)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).doing_with(|| format!("read {path}"))
}
