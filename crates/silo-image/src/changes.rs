//! `silo import --change`: the instructions of a Dockerfile that only set configuration.
//!
//! Pure: words in, configuration out.

use silo_types::{Error, Result};

use crate::config::{ImageConfig, clean_volume};

/// Applies instructions in order.
pub(crate) fn apply_changes(config: &mut ImageConfig, changes: &[String]) -> Result<()> {
    for change in changes {
        apply(config, change.trim()).map_err(|e| e.context(format!("--change {change:?}")))?;
    }
    Ok(())
}

fn apply(config: &mut ImageConfig, change: &str) -> Result<()> {
    let (word, rest) = change
        .split_once(char::is_whitespace)
        .unwrap_or((change, ""));
    let rest = rest.trim();
    if rest.is_empty() {
        return Err(Error::invalid("the instruction has no value"));
    }
    match word.to_ascii_uppercase().as_str() {
        "CMD" => config.cmd = Some(command(rest)?),
        "ENTRYPOINT" => config.entrypoint = Some(command(rest)?),
        "SHELL" => {
            config.shell = Some(json_list(rest).ok_or_else(|| Error::invalid("use SHELL [\"…\"]"))?)
        }
        "ENV" => {
            for (key, value) in pairs(rest)? {
                config
                    .env
                    .retain(|old| old.split('=').next() != Some(key.as_str()));
                config.env.push(format!("{key}={value}"));
            }
        }
        "LABEL" => config.labels.extend(pairs(rest)?),
        "WORKDIR" => {
            let base = if rest.starts_with('/') {
                ""
            } else {
                &config.working_dir[..]
            };
            config.working_dir = clean_volume(&format!("{base}/{rest}"));
        }
        "USER" => config.user = rest.to_owned(),
        "STOPSIGNAL" => {
            rest.parse::<silo_types::Signal>()?;
            config.stop_signal = rest.to_owned();
        }
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                insert(&mut config.exposed_ports, expose(port)?);
            }
        }
        "VOLUME" => {
            let paths = json_list(rest).map_or_else(|| words(rest), Ok)?;
            for path in paths {
                insert(&mut config.volumes, clean_volume(&path));
            }
        }
        "ONBUILD" => config.on_build.push(rest.to_owned()),
        other => {
            return Err(Error::invalid(format!(
                "unknown instruction {other}: use CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME or WORKDIR"
            )));
        }
    }
    Ok(())
}

fn insert(list: &mut Vec<String>, value: String) {
    if !list.contains(&value) {
        list.push(value);
    }
}

/// `["a","b"]` is executed as it is; anything else by the shell.
fn command(text: &str) -> Result<Vec<String>> {
    Ok(json_list(text).unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into(), text.into()]))
}

fn json_list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// `80`, `80/tcp`, `53/udp`, with ranges `8000-8010`.
fn expose(text: &str) -> Result<String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let good = number(first)
        .zip(number(last))
        .is_some_and(|(first, last)| first <= last);
    if !good || !matches!(&protocol[..], "tcp" | "udp" | "sctp") {
        return Err(Error::invalid(format!(
            "{text:?} is no port: use 80, 80/udp or 8000-8010/tcp"
        )));
    }
    Ok(format!("{ports}/{protocol}"))
}

/// `A=b C="d e"`, or the old form `A b c`.
fn pairs(text: &str) -> Result<Vec<(String, String)>> {
    let all = words(text)?;
    if !all[0].contains('=') {
        return match text.split_once(char::is_whitespace) {
            Some((key, value)) => Ok(vec![(key.to_owned(), value.trim().to_owned())]),
            None => Err(Error::invalid(format!(
                "{text:?} lacks a value: use KEY=VALUE"
            ))),
        };
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Error::invalid(format!("{word:?} is not KEY=VALUE"))),
    };
    all.iter().map(pair).collect()
}

/// Words at white space, with quotes and backslashes as in a Dockerfile.
fn words(text: &str) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            (c, Some(q)) if c == q => quote = None,
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => all.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    all.extend(word);
    match quote {
        None if !all.is_empty() => Ok(all),
        None => Err(Error::invalid("the instruction has no value")),
        Some(quote) => Err(Error::invalid(format!("a closing {quote} is missing"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changed(changes: &[&str]) -> Result<ImageConfig> {
        let mut config = ImageConfig::default();
        let changes: Vec<String> = changes.iter().map(|c| (*c).to_owned()).collect();
        apply_changes(&mut config, &changes)?;
        Ok(config)
    }

    #[test]
    fn instructions() {
        let config = changed(&[
            "CMD [\"sh\", \"-l\"]",
            "entrypoint exec top",
            "ENV A=1 B=\"two words\" C=x\\ y",
            "ENV A 3 and more",
            "WORKDIR /srv",
            "WORKDIR www/../data",
            "EXPOSE 80 53/UDP",
            "VOLUME [\"/a\", \"/../b\"]",
            "VOLUME /c /d",
            "LABEL x=y \"z w\"=1",
            "USER 7:8",
            "STOPSIGNAL SIGINT",
        ])
        .unwrap();
        assert_eq!(config.cmd.unwrap(), ["sh", "-l"]);
        assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "exec top"]);
        assert_eq!(config.env, ["B=two words", "C=x y", "A=3 and more"]);
        assert_eq!(config.working_dir, "/srv/data");
        assert_eq!(config.exposed_ports, ["80/tcp", "53/udp"]);
        assert_eq!(config.volumes, ["/a", "/b", "/c", "/d"]);
        assert_eq!(config.labels["z w"], "1");
        assert_eq!(
            (&config.user[..], &config.stop_signal[..]),
            ("7:8", "SIGINT")
        );
    }

    #[test]
    fn malformed_instructions() {
        for bad in [
            "",
            "CMD",
            "RUN ls",
            "EXPOSE 0",
            "EXPOSE 9-8",
            "ENV x",
            "ENV =y",
            "LABEL a=\"b",
            "STOPSIGNAL NOPE",
        ] {
            assert!(changed(&[bad]).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(text in "(ENV|LABEL|VOLUME|EXPOSE|CMD) .{0,60}") {
            let _ = changed(&[&text]);
        }
    }
}
