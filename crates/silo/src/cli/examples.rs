//! Examples of the verbs that show something: for `--help` and the manual pages. A test runs them as they stand.

/// Last word of a verb; command and what it does, with a container `web`.
const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "top",
        &[
            (
                "silo top web",
                "both pids of each process, private memory, threads",
            ),
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
            "how often it would have been killed or stopped, and what is safe",
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
            (
                "silo lab process-isolation",
                "in two panes, each step typed and checked",
            ),
            (
                "silo lab capabilities --auto --html lab.html",
                "unattended, with a page of what happened",
            ),
            ("silo lab new my.lab", "one of your own"),
            ("silo lab check my.lab", "is it well formed"),
        ],
    ),
];

/// The examples of a verb as text; none: it has none.
pub fn of(verb: &str) -> Option<String> {
    let (_, examples) = EXAMPLES.iter().find(|(name, _)| *name == verb)?;
    let widest = examples.iter().map(|(command, _)| command.len()).max()?;
    let lines = examples
        .iter()
        .map(|(command, what)| format!("  {command:widest$}   {what}"));
    Some(format!(
        "Examples:\n{}",
        lines.collect::<Vec<_>>().join("\n")
    ))
}
