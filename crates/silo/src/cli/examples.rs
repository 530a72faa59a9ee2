//! Examples of the verbs that show something, and what their words mean: for `--help` and the manual pages. A test runs the
//! examples as they stand.

/// Last word of a verb; command and what it does, with a container `web`.
const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "top",
        &[
            ("silo top web", "both pids of each process, and its memory"),
            (
                "silo top web -o pid,hpid,rss,cmd",
                "columns as ps(1) has them, and hpid",
            ),
            ("silo top --format json web", "the same for scripts"),
        ],
    ),
    (
        "why",
        &[
            ("silo why web", "what it ended of, also after its removal"),
            (
                "silo why --format json web",
                "cause, grade and what it follows from",
            ),
        ],
    ),
    (
        "whois",
        &[
            ("silo whois 1", "whose is this process of the host"),
            (
                "silo whois :8080",
                "who waits on that port, in whichever network",
            ),
            (
                "silo whois /etc/passwd",
                "which container wrote, mounts or has it open",
            ),
        ],
    ),
    (
        "explain",
        &[
            (
                "silo explain web",
                "what isolates it, the largest risk first",
            ),
            (
                "silo explain --commands web",
                "a script that builds the same by hand",
            ),
        ],
    ),
    (
        "throttle",
        &[(
            "silo throttle web",
            "how often its CPU limit stops it, and what would help",
        )],
    ),
    (
        "limit",
        &[
            ("silo limit web", "what is set"),
            (
                "silo limit web -m 64m --preview",
                "what a change would take, without making it",
            ),
            ("silo limit web --cpus 0.5", "makes it"),
            ("silo limit web --undo", "takes it back"),
        ],
    ),
    (
        "plot",
        &[
            ("silo plot web", "memory and CPU, as far as it was recorded"),
            ("silo plot web --mem --since 10m", "memory of ten minutes"),
            ("silo plot web --svg web.svg", "a picture"),
        ],
    ),
    (
        "what-if",
        &[(
            "silo what-if web -m 300m --cpus 0.5",
            "what these limits would have done",
        )],
    ),
    (
        "stats",
        &[
            ("silo stats --no-stream", "all that run, once"),
            (
                "silo stats --no-stream --format json web",
                "Docker's fields",
            ),
        ],
    ),
    (
        "doctor",
        &[
            (
                "silo doctor",
                "what this machine can do; 1: something is left",
            ),
            ("silo doctor --fix", "removes what a crash has left"),
        ],
    ),
    (
        "ls",
        &[
            ("silo ps -a", "all containers, also those that ended"),
            (
                "silo ps --host",
                "every process of the host, and whose it is",
            ),
        ],
    ),
    (
        "inspect",
        &[
            (
                "silo inspect web",
                "all that is known, as Docker's document",
            ),
            ("silo inspect -f '{{.State.Pid}}' web", "one field of it"),
        ],
    ),
    (
        "dash",
        &[
            ("silo dash", "on a terminal; ? tells the keys"),
            ("silo dash --format json", "one picture for scripts"),
        ],
    ),
    (
        "lab",
        &[
            ("silo lab", "which there are"),
            ("silo lab process-isolation", "in two panes, step by step"),
            (
                "silo lab capabilities --auto --html lab.html",
                "unattended, with a page of it",
            ),
            ("silo lab new my.lab", "one of your own"),
            ("silo lab check my.lab", "is it well formed"),
        ],
    ),
];

/// What the words of a view mean.
const WORDS: &[(&str, &[(&str, &str)])] = &[
    (
        "top",
        &[
            (
                "HOST-PID",
                "what the host calls the process: for ps, kill, gdb",
            ),
            ("PID", "what it calls itself, inside"),
            ("PRIVATE", "memory that no other process shares; M: MiB"),
            ("RSS", "memory with what it shares"),
            ("OOM", "when memory runs out the kernel kills the highest"),
            (
                "ST",
                "R runs, S sleeps, D waits for a disk, T stopped, Z zombie",
            ),
            ("THR", "threads"),
            ("zombie", "has ended, and its parent does not ask how"),
            ("ns", "namespace, and the kernel's number of it"),
            (
                "periods",
                "of the CPU limit, usually 0.1 s: see 'silo throttle'",
            ),
        ],
    ),
    (
        "stats",
        &[
            ("CPU %", "of one processor"),
            ("OF LIMIT", "of the CPU limit"),
            (
                "THROTTLED",
                "share of periods in which the CPU limit stopped it",
            ),
            ("MEM", "what the kernel cannot drop: without file cache"),
            (
                "PRESSURE",
                "share of the time in which something in it waited",
            ),
        ],
    ),
    (
        "why",
        &[
            (
                "certain",
                "the kernel or the container's monitor has seen it",
            ),
            (
                "likely",
                "it fits, and nobody saw that one led to the other",
            ),
            ("from", "what the verdict follows from"),
        ],
    ),
    (
        "explain",
        &[
            (
                "HIGH",
                "a way out of the container, or to all of the machine",
            ),
            ("medium", "weakens it, or lets it disturb others"),
            ("low", "worth knowing"),
            ("[--flag]", "changes it"),
        ],
    ),
    (
        "throttle",
        &[
            ("period", "the limit is a share of each: 0.1 s unless set"),
            ("stopped", "the share was used up before the period's end"),
            ("burst", "time saved in quiet periods, for busy ones"),
        ],
    ),
    (
        "doctor",
        &[
            ("ok", "tried, and works"),
            ("note", "works; something to know"),
            ("MISSING", "what needs it is refused"),
            ("left", "belongs to no container; --fix removes it"),
        ],
    ),
    (
        "what-if",
        &[
            (
                "safe from",
                "the smallest limit that would have done nothing",
            ),
            ("busiest", "processors in the busiest moment"),
        ],
    ),
];

/// Examples and words of a verb as text; none: it has neither.
pub fn of(verb: &str) -> Option<String> {
    let parts = [examples(verb), words(verb)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

fn words(verb: &str) -> Option<String> {
    let (_, words) = WORDS.iter().find(|(name, _)| *name == verb)?;
    Some(format!("Words:\n{}", lines(words)))
}

fn examples(verb: &str) -> Option<String> {
    let (_, examples) = EXAMPLES.iter().find(|(name, _)| *name == verb)?;
    Some(format!("Examples:\n{}", lines(examples)))
}

fn lines(pairs: &[(&str, &str)]) -> String {
    let widest = pairs.iter().map(|(word, _)| word.len()).max().unwrap_or(0);
    let lines = pairs
        .iter()
        .map(|(word, what)| format!("  {word:widest$}   {what}"));
    lines.collect::<Vec<_>>().join("\n")
}
