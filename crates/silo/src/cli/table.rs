//! Every verb: group, names, names at the top, usage, what it does.

use std::ffi::OsString;

use super::{
    error::Failure,
    verb::{Group, Verb},
};
use crate::verbs::*;

use Group::{Container, Image, System, Volume};

const MANY: &str = "[OPTIONS] CONTAINER [CONTAINER...]";

/// In the order of Docker's lists.
pub static VERBS: &[Verb] = &[
    Verb::new::<attach::Attach>(
        Container,
        &["attach"],
        &["attach"],
        "[OPTIONS] CONTAINER",
        "Join the streams of a running container",
    ),
    Verb::new::<cp::Cp>(
        Container,
        &["cp"],
        &["cp"],
        "[OPTIONS] CONTAINER:PATH PATH|-\n       silo cp [OPTIONS] PATH|- CONTAINER:PATH",
        "Copy between a container and the host",
    ),
    Verb::new::<create::Create>(
        Container,
        &["create"],
        &["create"],
        "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Make a container without starting it",
    )
    .runs(),
    Verb::new::<dash::DashVerb>(
        Container,
        &["dash"],
        &["dash"],
        "[OPTIONS]",
        "Watch the host and its containers: processes, namespaces, limits",
    ),
    Verb::new::<diff::Diff>(
        Container,
        &["diff"],
        &["diff"],
        "CONTAINER",
        "Show what a container changed of its image",
    ),
    Verb::new::<exec::Exec>(
        Container,
        &["exec"],
        &["exec"],
        "[OPTIONS] CONTAINER COMMAND [ARG...]",
        "Run a command in a running container",
    )
    .runs()
    .starts(),
    Verb::new::<explain::ExplainVerb>(
        Container,
        &["explain"],
        &["explain"],
        "[OPTIONS] CONTAINER",
        "Tell what isolates a container, the largest risk first",
    ),
    Verb::new::<inspect::InspectContainer>(
        Container,
        &["inspect"],
        &[],
        MANY,
        "Show all that is known about containers",
    ),
    Verb::new::<kill::Kill>(
        Container,
        &["kill"],
        &["kill"],
        MANY,
        "Send a signal to containers",
    ),
    Verb::new::<limit::LimitVerb>(
        Container,
        &["limit"],
        &["limit"],
        "[OPTIONS] CONTAINER",
        "Change the limits of a container, and tell first what that takes",
    ),
    Verb::new::<logs::Logs>(
        Container,
        &["logs"],
        &["logs"],
        "[OPTIONS] CONTAINER",
        "Show what a container wrote",
    ),
    Verb::new::<ls::Ls>(
        Container,
        &["ls", "ps", "list"],
        &["ps", "ls", "list"],
        "[OPTIONS]",
        "List containers",
    ),
    Verb::new::<pause::Pause>(
        Container,
        &["pause"],
        &["pause"],
        "CONTAINER [CONTAINER...]",
        "Freeze all processes of containers",
    ),
    Verb::new::<plot::Plot>(
        Container,
        &["plot"],
        &["plot"],
        "[OPTIONS] CONTAINER",
        "Draw what a container used, also of one that was removed within the hour",
    ),
    Verb::new::<port::Port>(
        Container,
        &["port"],
        &["port"],
        "CONTAINER [PORT]",
        "Show published ports",
    ),
    Verb::new::<prune::Prune>(
        Container,
        &["prune"],
        &["prune"],
        "[OPTIONS]",
        "Remove all stopped containers",
    ),
    Verb::new::<rename::Rename>(
        Container,
        &["rename"],
        &["rename"],
        "CONTAINER NEW-NAME",
        "Give a container another name",
    ),
    Verb::new::<restart::Restart>(
        Container,
        &["restart"],
        &["restart"],
        MANY,
        "Stop containers and start them again",
    )
    .starts(),
    Verb::new::<rm::Rm>(
        Container,
        &["rm", "remove"],
        &["rm"],
        MANY,
        "Remove containers",
    ),
    Verb::new::<run::RunVerb>(
        Container,
        &["run"],
        &["run"],
        "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Make and start a container",
    )
    .runs()
    .starts(),
    Verb::new::<start::Start>(
        Container,
        &["start"],
        &["start"],
        MANY,
        "Start stopped containers",
    )
    .starts(),
    Verb::new::<stats::StatsVerb>(
        Container,
        &["stats"],
        &["stats"],
        "[OPTIONS] [CONTAINER...]",
        "Show what containers use, live",
    ),
    Verb::new::<stop::Stop>(
        Container,
        &["stop"],
        &["stop"],
        MANY,
        "Ask containers to end, then kill them",
    ),
    Verb::new::<throttle::ThrottleVerb>(
        Container,
        &["throttle"],
        &["throttle"],
        "[OPTIONS] CONTAINER",
        "Tell what a container's CPU limit does, and what would help",
    ),
    Verb::new::<top::Top>(
        Container,
        &["top"],
        &["top"],
        "CONTAINER [PS OPTIONS]",
        "Show the processes of a container, seen from both worlds",
    ),
    Verb::new::<pause::Unpause>(
        Container,
        &["unpause"],
        &["unpause"],
        "CONTAINER [CONTAINER...]",
        "Let frozen containers go on",
    ),
    Verb::new::<update::UpdateVerb>(
        Container,
        &["update"],
        &["update"],
        MANY,
        "Change the limits of containers",
    ),
    Verb::new::<wait::Wait>(
        Container,
        &["wait"],
        &["wait"],
        "CONTAINER [CONTAINER...]",
        "Wait until containers end; print their exit codes",
    ),
    Verb::new::<what_if::WhatIf>(
        Container,
        &["what-if"],
        &["what-if"],
        "[OPTIONS] CONTAINER",
        "Say what other limits would have done to a container",
    ),
    Verb::new::<web::WebVerb>(
        Container,
        &["web"],
        &["web"],
        "[OPTIONS]",
        "Watch the host and its containers in a browser on this machine",
    ),
    Verb::new::<whois::WhoisVerb>(
        Container,
        &["whois"],
        &["whois"],
        "[OPTIONS] PID|:PORT|PATH",
        "Tell which container a process, a port or a path of the host belongs to",
    ),
    Verb::new::<why::WhyVerb>(
        Container,
        &["why"],
        &["why"],
        "[OPTIONS] CONTAINER",
        "Tell what a container ended of, and how sure that is",
    ),
    Verb::new::<image_history::History>(
        Image,
        &["history"],
        &["history"],
        "[OPTIONS] IMAGE",
        "Show how an image was made",
    ),
    Verb::new::<image_import::Import>(
        Image,
        &["import"],
        &["import"],
        "[OPTIONS] FILE|- [NAME[:TAG]]",
        "Make an image of a tar archive",
    ),
    Verb::new::<inspect::InspectImage>(
        Image,
        &["inspect"],
        &[],
        "[OPTIONS] IMAGE [IMAGE...]",
        "Show all that is known about images",
    ),
    Verb::new::<image_load::Load>(
        Image,
        &["load"],
        &["load"],
        "[OPTIONS]",
        "Load images from an archive",
    ),
    Verb::new::<image_ls::ImageLs>(
        Image,
        &["ls", "list"],
        &["images"],
        "[OPTIONS] [NAME[:TAG]]",
        "List images",
    ),
    Verb::new::<image_prune::ImagePrune>(
        Image,
        &["prune"],
        &[],
        "[OPTIONS]",
        "Remove images that nothing uses",
    ),
    Verb::new::<image_rm::ImageRm>(
        Image,
        &["rm", "remove"],
        &["rmi"],
        "[OPTIONS] IMAGE [IMAGE...]",
        "Remove images",
    ),
    Verb::new::<image_save::Save>(
        Image,
        &["save"],
        &["save"],
        "[OPTIONS] IMAGE [IMAGE...]",
        "Write images to an archive",
    ),
    Verb::new::<image_tag::Tag>(
        Image,
        &["tag"],
        &["tag"],
        "IMAGE NAME[:TAG]",
        "Give an image a further name",
    ),
    Verb::new::<volume::VolumeCreate>(
        Volume,
        &["create"],
        &[],
        "[OPTIONS] [VOLUME]",
        "Make a volume",
    ),
    Verb::new::<inspect::InspectVolume>(
        Volume,
        &["inspect"],
        &[],
        "[OPTIONS] VOLUME [VOLUME...]",
        "Show all that is known about volumes",
    ),
    Verb::new::<volume::VolumeLs>(Volume, &["ls", "list"], &[], "[OPTIONS]", "List volumes"),
    Verb::new::<volume::VolumePrune>(
        Volume,
        &["prune"],
        &[],
        "[OPTIONS]",
        "Remove volumes that no container uses",
    ),
    Verb::new::<volume::VolumeRm>(
        Volume,
        &["rm", "remove"],
        &[],
        "[OPTIONS] VOLUME [VOLUME...]",
        "Remove volumes",
    ),
    Verb::new::<doctor::Doctor>(
        System,
        &["doctor"],
        &["doctor"],
        "[OPTIONS]",
        "Say what this host can enforce, and find what a crash left behind",
    ),
    Verb::new::<events::Events>(
        System,
        &["events"],
        &["events"],
        "[OPTIONS]",
        "Show what happens, as it happens",
    ),
    Verb::new::<info::InfoVerb>(
        System,
        &["info"],
        &["info"],
        "[OPTIONS]",
        "Show the engine and its host in figures",
    ),
    Verb::new::<inspect::Inspect>(
        Group::None,
        &["inspect"],
        &["inspect"],
        "[OPTIONS] NAME|ID [NAME|ID...]",
        "Show all that is known about containers, images or volumes",
    ),
    Verb::new::<crate::oci::Oci>(
        Group::None,
        &["oci"],
        &["oci"],
        "[OPTIONS] COMMAND [ARG...]",
        "Serve other engines as their OCI runtime",
    ),
    Verb::new::<version::Version>(
        Group::None,
        &["version"],
        &["version"],
        "[OPTIONS]",
        "Show the version",
    ),
    Verb::new::<completion::Completion>(
        Group::None,
        &["completion"],
        &["completion"],
        "bash|zsh|fish",
        "Print the completion script of a shell",
    ),
    Verb::new::<man::Man>(
        Group::None,
        &["man"],
        &["man"],
        "[--dir FOLDER]",
        "Write the manual pages",
    ),
    Verb::new::<lab::LabVerb>(
        Group::None,
        &["lab"],
        &["lab"],
        "[OPTIONS] [LESSON]",
        "Play a guided lesson about containers",
    ),
    Verb::new::<lab::OnTerminal>(
        Group::None,
        &["__on-terminal"],
        &[crate::lab::ON_TERMINAL],
        "[WORDS...]",
        "Run silo on a terminal of its own",
    )
    .hidden(),
    Verb::new::<completion::Complete>(
        Group::None,
        &["__complete"],
        &["__complete"],
        "[WORDS...]",
        "Answer a shell's completion",
    )
    .hidden(),
];

/// What the first words mean.
pub enum Found {
    Verb(FoundVerb),
    /// A group without a verb.
    Group(Group),
    /// `help VERB`
    Help(FoundVerb),
}

/// A verb as it was typed.
pub struct FoundVerb {
    pub verb: &'static Verb,
    /// `silo container run`
    pub name: String,
    /// Words that name it.
    pub taken: usize,
}

/// Finds the verb; `None` when there are no words.
pub fn find(words: &[OsString]) -> Result<Option<Found>, Failure> {
    let word = |at: usize| words.get(at).map(|word| word.to_string_lossy());
    let Some(first) = word(0) else {
        return Ok(None);
    };
    if first == "help" {
        return Ok(match find(&words[1..])? {
            Some(Found::Verb(verb)) => Some(Found::Help(verb)),
            other => other,
        });
    }
    let Some(group) = group(&first) else {
        let verb = at_top(&first).ok_or_else(|| unknown(&first, Group::None))?;
        let name = full_name(Group::None, &first);
        return Ok(Some(Found::Verb(FoundVerb {
            verb,
            name,
            taken: 1,
        })));
    };
    match word(1).as_deref() {
        None | Some("--help" | "-h" | "help") => Ok(Some(Found::Group(group))),
        Some(second) => {
            let inside = |v: &&Verb| v.group == group && v.names.contains(&second);
            let verb = VERBS
                .iter()
                .find(inside)
                .ok_or_else(|| unknown(second, group))?;
            let name = full_name(group, second);
            Ok(Some(Found::Verb(FoundVerb {
                verb,
                name,
                taken: 2,
            })))
        }
    }
}

fn group(word: &str) -> Option<Group> {
    Group::ALL.into_iter().find(|group| group.word() == word)
}

fn at_top(word: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.top.contains(&word))
}

/// `silo container run`, `silo run`
pub fn full_name(group: Group, name: &str) -> String {
    match group {
        Group::None => format!("silo {name}"),
        group => format!("silo {} {name}", group.word()),
    }
}

/// Docker's words that have no meaning yet, and the way out.
const NOT_YET: [(&[&str], &str); 5] = [
    (
        &["pull", "push", "search", "login", "logout"],
        "registries are not there yet: 'silo load' and 'silo import' bring images, 'silo save' gives them on",
    ),
    (
        &["build", "builder", "buildx", "commit"],
        "images cannot be built yet: 'silo import' makes one of an archive of files",
    ),
    (
        &["network"],
        "networks of your own and published ports are not there yet: 'silo run --network' tells what there is",
    ),
    (
        &[
            "compose", "stack", "swarm", "service", "node", "secret", "config",
        ],
        "nothing runs several containers as one yet",
    ),
    (
        &["plugin", "context", "checkpoint", "trust", "manifest"],
        "'silo --help' tells what there is",
    ),
];

fn unknown(word: &str, group: Group) -> Failure {
    let command = match group {
        Group::None => "silo".to_owned(),
        group => format!("silo {}", group.word()),
    };
    let shown: String = word.chars().take(40).collect();
    let known = NOT_YET.iter().find(|(words, _)| words.contains(&word));
    let text = match (known, nearest(&shown, group)) {
        (Some((_, way)), _) => format!("{command} has no '{shown}': {way}"),
        (None, Some(near)) => {
            format!("'{shown}' is not a {command} command: did you mean '{near}'?")
        }
        (None, None) => format!("'{shown}' is not a {command} command"),
    };
    Failure::words(text, &command)
}

/// What was probably meant.
fn nearest(word: &str, group: Group) -> Option<&'static str> {
    let verbs = VERBS.iter().filter(|verb| !verb.hidden);
    let words: Vec<&str> = match group {
        Group::None => {
            let groups = Group::ALL.iter().map(|group| group.word());
            groups
                .chain(verbs.flat_map(|verb| verb.top.iter().copied()))
                .collect()
        }
        group => {
            let inside = verbs.filter(|verb| verb.group == group);
            inside.flat_map(|verb| verb.names.iter().copied()).collect()
        }
    };
    let near = |candidate: &&str| strsim::damerau_levenshtein(word, candidate);
    let best = words.into_iter().min_by_key(near)?;
    // One slip of the finger, or two in a long word.
    let most = if word.chars().count() < 6 { 1 } else { 2 };
    (near(&best) <= most).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(words: &[&str]) -> Option<Found> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        find(&words).unwrap()
    }

    #[test]
    fn both_forms_reach_the_same_verb() {
        for (group, top) in [("run", "run"), ("ls", "ps"), ("rm", "rm"), ("top", "top")] {
            let (Some(Found::Verb(a)), Some(Found::Verb(b))) =
                (found(&["container", group, "x"]), found(&[top, "x"]))
            else {
                panic!("{group}");
            };
            assert!(std::ptr::eq(a.verb, b.verb), "{group}");
            assert_eq!((a.taken, b.taken), (2, 1));
        }
        assert!(matches!(found(&["image"]), Some(Found::Group(Image))));
        assert!(matches!(found(&["help", "run"]), Some(Found::Help(_))));
        assert!(found(&[]).is_none());
        assert!(find(&[OsString::from("nope")]).is_err());
        assert!(find(&["volume".into(), "nope".into()]).is_err());
    }

    #[test]
    fn what_docker_has_and_silo_has_not_is_told() {
        for (words, _) in NOT_YET {
            for word in words {
                assert!(at_top(word).is_none() && group(word).is_none(), "{word}");
            }
        }
        let said = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            find(&words).err().unwrap().text
        };
        assert!(said(&["image", "pull"]).contains("silo image has no 'pull': registries"));
        assert!(said(&["strat"]).contains("not a silo command: did you mean 'start'?"));
        assert!(said(&["volume", "craete"]).contains("did you mean 'create'?"));
        assert!(said(&["xyz"]).contains("'xyz' is not a silo command"));
        assert!(!said(&["__x"]).contains("did you mean"));
    }

    #[test]
    fn names_are_unique_and_commands_are_sound() {
        let mut tops: Vec<&str> = VERBS.iter().flat_map(|v| v.top.iter().copied()).collect();
        let count = tops.len();
        tops.sort_unstable();
        tops.dedup();
        assert_eq!(tops.len(), count);
        // clap's own checks: doubled flags, positions behind positions that take all.
        super::super::tree().debug_assert();
    }
}
