//! The loads: programs of the `lab` image that hold exactly what they are told.

const MIB: u64 = 1 << 20;

/// The limits of each, as given and as whole numbers.
pub const MEMORY_LIMIT: (&str, u64) = ("512m", 512 * MIB);
pub const CPU_LIMIT: (&str, f64) = ("0.75", 0.75);
pub const PIDS_LIMIT: (&str, u64) = ("100", 100);

/// Cache of the one by which the kernel's own memory for it is measured.
pub const CACHED: u64 = 64 * MIB;

/// One container. Sizes are bytes.
#[derive(Clone, Debug)]
pub struct Load {
    pub name: String,
    pub private: u64,
    pub shared: u64,
    pub cache: u64,
    pub cpus: f64,
    /// Of its main process.
    pub threads: usize,
    pub zombies: usize,
}

impl Load {
    /// One that holds nothing of its own; with shared memory there is a second process.
    pub fn nothing(name: &str, shared: u64, cache: u64) -> Load {
        Load {
            name: name.to_owned(),
            private: 0,
            shared,
            cache,
            cpus: 0.0,
            threads: 1,
            zombies: 0,
        }
    }

    /// Options of `run`, alike in all engines.
    pub fn options(&self) -> Vec<&str> {
        vec![
            "run",
            "-d",
            "--network",
            "none",
            "--name",
            &self.name,
            "-m",
            MEMORY_LIMIT.0,
            "--cpus",
            CPU_LIMIT.0,
            "--pids-limit",
            PIDS_LIMIT.0,
            "--shm-size",
            "128m",
        ]
    }

    /// What runs in it.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec!["hold".to_owned()];
        let figures = [
            ("--private", self.private.to_string()),
            ("--shared", self.shared.to_string()),
            ("--cache", self.cache.to_string()),
            ("--cpus", self.cpus.to_string()),
            ("--threads", self.threads.to_string()),
            ("--zombies", self.zombies.to_string()),
        ];
        for (name, value) in figures {
            words.extend([name.to_owned(), value]);
        }
        words
    }

    /// Those that are no zombies.
    pub fn processes(&self) -> usize {
        1 + usize::from(self.shared > 0)
    }

    /// What counts against a limit of processes: threads, and zombies, too.
    pub fn tasks(&self) -> usize {
        self.threads + usize::from(self.shared > 0) + self.zombies
    }
}

/// Of all kinds; together they keep less than one processor busy.
pub fn loads(count: usize) -> Vec<Load> {
    let load = |n: usize| Load {
        name: format!("truth-{n}"),
        private: (48 + 16 * (n as u64 % 4)) * MIB,
        shared: [0, 32 * MIB, 64 * MIB][n % 3],
        cache: [64 * MIB, 0, 0, 96 * MIB][n % 4],
        cpus: if n.is_multiple_of(6) { 0.15 } else { 0.0 },
        threads: 2 + n % 5,
        zombies: n % 4,
    };
    (0..count).map(load).collect()
}
