//! The words of ps(1): UNIX options in a cluster after one dash, BSD options without, GNU options after two.
//!
//! No I/O. What is not understood is an error that names it: columns silently missing would be worse.

use silo_types::{Error, Result};

use super::{Forest, PsRequest, Shown, SortKey, columns, near::hint};

/// Docker's default.
const DEFAULT: &str = "uid:user pid ppid c stime tname time cmd";

const LONG: [&str; 10] = [
    "forest",
    "format",
    "sort",
    "no-headers",
    "no-heading",
    "headers",
    "pid",
    "columns",
    "cols",
    "width",
];

/// Which built-in set of columns the options ask for, and the rest of what they say.
#[derive(Default)]
struct Parsed {
    custom: Vec<Shown>,
    full: bool,
    extra_full: bool,
    long: bool,
    no_flags: bool,
    jobs: bool,
    bsd: bool,
    user: bool,
    bsd_long: bool,
    bsd_jobs: bool,
    forest: Forest,
    sort: Vec<SortKey>,
    no_headers: bool,
    only: Option<Vec<i32>>,
}

impl Default for PsRequest {
    /// Docker's `UID PID PPID C STIME TTY TIME CMD`.
    fn default() -> PsRequest {
        Parsed {
            full: true,
            ..Parsed::default()
        }
        .finish()
    }
}

impl PsRequest {
    /// From the words after the container's name; none give Docker's default. A word with blanks is split, as Docker does.
    /// [`silo_types::Kind::Invalid`] names the option or column that is unknown and what it may have been.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<PsRequest> {
        let mut words = words
            .iter()
            .flat_map(|w| w.as_ref().split_whitespace())
            .peekable();
        if words.peek().is_none() {
            return Ok(PsRequest::default());
        }
        let mut parsed = Parsed::default();
        while let Some(word) = words.next() {
            let mut next = |option: &str| {
                words
                    .next()
                    .ok_or_else(|| Error::invalid(format!("ps option {option} needs a value")))
            };
            if let Some(long) = word.strip_prefix("--") {
                parsed.gnu(long, &mut next)?;
            } else if let Some(cluster) = word.strip_prefix('-') {
                if is_bsd_with_dash(cluster) {
                    parsed.bsd_cluster(cluster, word, &mut next)?;
                } else {
                    parsed.unix_cluster(cluster, word, &mut next)?;
                }
            } else if word.starts_with(|c: char| c.is_ascii_digit()) {
                parsed.pids(word)?;
            } else {
                parsed.bsd_cluster(word, word, &mut next)?;
            }
        }
        Ok(parsed.finish())
    }
}

/// `-aux` and its like: in UNIX `-u x` chooses a user, but everybody means `aux`, and ps(1) takes it so.
fn is_bsd_with_dash(cluster: &str) -> bool {
    cluster.len() > 1
        && cluster.contains('u')
        && cluster.contains(['a', 'x'])
        && cluster.chars().all(|c| "auxfwh".contains(c))
}

impl Parsed {
    fn unix_cluster<'w>(
        &mut self,
        cluster: &'w str,
        word: &str,
        next: &mut dyn FnMut(&str) -> Result<&'w str>,
    ) -> Result<()> {
        if cluster.is_empty() {
            return Err(Error::invalid("ps option '-' has no letter"));
        }
        for (at, letter) in cluster.char_indices() {
            let rest = &cluster[at + letter.len_utf8()..];
            let mut value = |name: &str| {
                if rest.is_empty() {
                    next(name)
                } else {
                    Ok(rest)
                }
            };
            match letter {
                'e' | 'A' | 'a' | 'd' | 'w' | 'n' => {}
                'f' => self.full = true,
                'F' => self.extra_full = true,
                'l' => self.long = true,
                'y' => self.no_flags = true,
                'j' => self.jobs = true,
                'x' => self.bsd = true,
                'H' => self.forest = Forest::Indent,
                'o' => return self.format(value("-o")?),
                'p' | 'q' => return self.pids(value("-p")?),
                'L' | 'T' | 'm' => {
                    return Err(Error::invalid(format!(
                        "ps option -{letter} (one line per thread) is not supported: -o pid,nlwp,comm shows their number"
                    )));
                }
                'u' | 'U' | 'g' | 'G' | 't' | 's' | 'C' => {
                    return Err(Error::invalid(format!(
                        "ps option -{letter} chooses processes, but top always lists those of the container: leave it out"
                    )));
                }
                _ => {
                    return Err(unknown(
                        word,
                        letter,
                        "-e -f -F -l -j -o -p -H -w --forest --sort",
                    ));
                }
            }
        }
        Ok(())
    }

    fn bsd_cluster<'w>(
        &mut self,
        cluster: &'w str,
        word: &str,
        next: &mut dyn FnMut(&str) -> Result<&'w str>,
    ) -> Result<()> {
        self.bsd = true;
        for (at, letter) in cluster.char_indices() {
            let rest = &cluster[at + letter.len_utf8()..];
            let mut value = |name: &str| {
                if rest.is_empty() {
                    next(name)
                } else {
                    Ok(rest)
                }
            };
            match letter {
                'a' | 'x' | 'g' | 'w' => {}
                'u' => self.user = true,
                'l' => self.bsd_long = true,
                'j' => self.bsd_jobs = true,
                'f' => self.forest = Forest::Branches,
                'h' => self.no_headers = true,
                'o' => return self.format(value("o")?),
                'k' => return self.sort(value("k")?),
                'p' => return self.pids(value("p")?),
                _ => return Err(unknown(word, letter, "a x u f w h l j o k")),
            }
        }
        Ok(())
    }

    fn gnu<'w>(
        &mut self,
        long: &'w str,
        next: &mut dyn FnMut(&str) -> Result<&'w str>,
    ) -> Result<()> {
        let (name, given) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let mut value = || given.map_or_else(|| next(&format!("--{name}")), Ok);
        match name {
            "forest" => self.forest = Forest::Branches,
            "no-headers" | "no-header" | "no-heading" | "no-headings" | "noheaders"
            | "noheader" | "noheading" | "noheadings" => self.no_headers = true,
            "headers" | "heading" | "headings" => {}
            "format" => return self.format(value()?),
            "sort" => return self.sort(value()?),
            "pid" | "quick-pid" => return self.pids(value()?),
            "cols" | "columns" | "width" | "rows" | "lines" => {
                value()?;
            }
            _ => {
                let shown: String = name.chars().take(40).collect();
                let hint = hint(&shown, LONG.into_iter());
                return Err(Error::invalid(format!("unknown ps option --{shown}{hint}")));
            }
        }
        Ok(())
    }

    /// `pid,hpid,user:20,cmd=WHAT`: names, each with an optional width (not needed here) and title.
    fn format(&mut self, list: &str) -> Result<()> {
        let mut any = false;
        for item in list.split(',').filter(|item| !item.is_empty()) {
            let (name, title) = match item.split_once('=') {
                Some((name, title)) => (name, Some(title)),
                None => (item, None),
            };
            let (name, width) = name.split_once(':').unwrap_or((name, "1"));
            if width.parse::<u16>().is_err() {
                return Err(Error::invalid(format!(
                    "ps column {item:?} has no number after the colon"
                )));
            }
            let (column, usual) = columns::by_name(name)?;
            self.custom.push(Shown {
                column,
                title: title.unwrap_or(usual).to_owned(),
            });
            any = true;
        }
        if any {
            Ok(())
        } else {
            Err(Error::invalid(
                "ps option -o needs columns, such as -o pid,rss,cmd",
            ))
        }
    }

    fn sort(&mut self, list: &str) -> Result<()> {
        for item in list.split(',').filter(|item| !item.is_empty()) {
            let name = item.trim_start_matches(['+', '-']);
            self.sort.push(SortKey {
                column: columns::by_name(name)?.0,
                descending: item.starts_with('-'),
            });
        }
        Ok(())
    }

    fn pids(&mut self, list: &str) -> Result<()> {
        let pids = self.only.get_or_insert_default();
        for item in list.split(',').filter(|item| !item.is_empty()) {
            let pid = item.parse().ok().filter(|pid: &i32| *pid > 0);
            pids.push(pid.ok_or_else(|| {
                let shown: String = item.chars().take(40).collect();
                Error::invalid(format!("{shown:?} is no process number"))
            })?);
        }
        Ok(())
    }

    fn finish(self) -> PsRequest {
        let columns = if self.custom.is_empty() {
            columns::built_in(self.built_in())
        } else {
            self.custom
        };
        PsRequest {
            columns,
            forest: self.forest,
            sort: self.sort,
            no_headers: self.no_headers,
            only: self.only,
        }
    }

    /// The sets of ps(1), each `name` or `title:name`.
    fn built_in(&self) -> &'static str {
        match self {
            _ if self.user => "user pid %cpu %mem vsz rss tname stat start_time bsdtime command",
            _ if self.bsd_long => {
                "f uid pid ppid pri:intpri ni vsz rss wchan stat tname bsdtime command"
            }
            _ if self.bsd_jobs => "ppid pid pgid sid tname tpgid stat uid bsdtime command",
            _ if self.extra_full => "uid:user pid ppid c sz rss psr stime tname time cmd",
            _ if self.long && self.full => {
                "f s uid:user pid ppid c pri:opri ni addr sz wchan stime tname time cmd"
            }
            _ if self.long && self.no_flags => {
                "s uid pid ppid c pri:opri ni rss sz wchan tname time ucmd"
            }
            _ if self.long => "f s uid pid ppid c pri:opri ni addr sz wchan tname time ucmd",
            _ if self.jobs && self.full => "uid:user pid ppid pgid sid c stime tname time cmd",
            _ if self.jobs => "pid pgid sid tname time ucmd",
            _ if self.full => DEFAULT,
            _ if self.bsd => "pid tname stat bsdtime command",
            _ => "pid tname time ucmd",
        }
    }
}

fn unknown(word: &str, letter: char, known: &str) -> Error {
    let shown: String = word.chars().take(40).collect();
    Error::invalid(format!(
        "unknown ps option {letter:?} in {shown:?}: known here are {known}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn titles(words: &str) -> String {
        let request = PsRequest::parse(&[words]).unwrap();
        let titles: Vec<_> = request.columns.iter().map(|s| s.title.as_str()).collect();
        titles.join(" ")
    }

    fn refused(words: &[&str]) -> String {
        PsRequest::parse(words).unwrap_err().to_string()
    }

    #[test]
    fn built_in_sets_are_those_of_ps() {
        let full = "UID PID PPID C STIME TTY TIME CMD";
        for words in ["", "-ef", "-f", "-e -f", "-Af", "-efww", "-ef --forest"] {
            assert_eq!(titles(words), full, "{words}");
        }
        for words in ["aux", "-aux", "u", "axu", "auxww", "a u x", "auxf"] {
            assert_eq!(
                titles(words),
                "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND",
                "{words}"
            );
        }
        assert_eq!(titles("-e"), "PID TTY TIME CMD");
        assert_eq!(titles("--forest"), "PID TTY TIME CMD");
        for words in ["ax", "-x", "ax -ww", "f"] {
            assert_eq!(titles(words), "PID TTY STAT TIME COMMAND", "{words}");
        }
        assert_eq!(titles("-F"), "UID PID PPID C SZ RSS PSR STIME TTY TIME CMD");
        assert_eq!(
            titles("-l"),
            "F S UID PID PPID C PRI NI ADDR SZ WCHAN TTY TIME CMD"
        );
        assert_eq!(
            titles("-ely"),
            "S UID PID PPID C PRI NI RSS SZ WCHAN TTY TIME CMD"
        );
        assert_eq!(
            titles("l"),
            "F UID PID PPID PRI NI VSZ RSS WCHAN STAT TTY TIME COMMAND"
        );
        assert_eq!(titles("-j"), "PID PGID SID TTY TIME CMD");
        assert_eq!(
            titles("j"),
            "PPID PID PGID SID TTY TPGID STAT UID TIME COMMAND"
        );
    }

    #[test]
    fn chosen_columns() {
        for words in [
            "-o pid,hpid",
            "-opid,hpid",
            "-eo pid,hpid",
            "axo pid,hpid",
            "-o pid -o hpid",
            "--format=pid,hpid",
            "-ef -o pid,hpid",
        ] {
            assert_eq!(titles(words), "PID HPID", "{words}");
        }
        assert_eq!(titles("-o pid=X,comm=Y"), "X Y");
        assert_eq!(titles("-o pid=,user:20"), " USER");
        let request = PsRequest::parse(&["-eo", "pid,private,oom", "--sort", "-private"]).unwrap();
        assert!(request.want().memory && request.want().oom_score);
        assert!(!PsRequest::default().want().memory);
        assert!(request.sort[0].descending);
    }

    #[test]
    fn errors_name_what_is_wrong() {
        assert_eq!(
            refused(&["-o", "pidd"]),
            "unknown ps column \"pidd\": did you mean pid, pgid, ppid?"
        );
        assert!(refused(&["--forrest"]).contains("did you mean forest?"));
        assert!(refused(&["-Q"]).contains("'Q' in \"-Q\""));
        assert!(refused(&["-L"]).contains("nlwp"));
        assert!(refused(&["-u", "root"]).contains("chooses processes"));
        assert!(refused(&["-o"]).contains("needs a value"));
        assert!(refused(&["-o", ","]).contains("needs columns"));
        assert!(refused(&["-p", "x"]).contains("no process number"));
        assert!(refused(&["-"]).contains("no letter"));
    }

    proptest! {
        #[test]
        fn no_words_panic(words in proptest::collection::vec("[-a-zA-Z=,: %é]{0,12}", 0..4)) {
            let _ = PsRequest::parse(&words);
        }
    }
}
