//! The files inside the program are well formed, and what is wrong in a file is said with its line and the way out.

use super::*;

fn wrong(text: &str) -> String {
    parse::parse("my.lab", text).unwrap_err().to_string()
}

#[test]
fn the_built_in_labs_are_well_formed() {
    for (name, text) in BUILT_IN {
        let script = parse::parse(name, text).unwrap();
        assert_eq!(script.name, name);
        for step in &script.steps {
            let length: usize = step.text.iter().map(|text| text.plain().len()).sum();
            assert!(
                length <= 320,
                "{name}: {} does not fit above two panes",
                step.title
            );
        }
    }
    parse::parse("template", TEMPLATE).unwrap();
}

/// The template shows every check that there is, and the papers do, too.
#[test]
fn every_form_of_a_check_is_shown() {
    let paper = include_str!("../../../../docs/lab.md");
    for (form, _) in facts::FORMS {
        let word = form.split(' ').next().unwrap();
        assert!(
            TEMPLATE.contains(&format!(" {word} ")),
            "{word} is not in the template"
        );
        assert!(
            paper.contains(&format!("`{form}`").replace('|', "\\|")),
            "`{form}` is not in docs/lab.md"
        );
    }
    for (place, _) in words::GLOBAL {
        assert!(
            TEMPLATE.contains(&format!("{{{place}}}")),
            "{place} is not in the template"
        );
        assert!(
            paper.contains(&format!("`{{{place}}}`")),
            "{place} is not in docs/lab.md"
        );
    }
    for (place, _) in words::OF_CONTAINER {
        assert!(
            paper.contains(&format!("`{{NAME.{place}}}`").replace('|', "\\|")),
            "{place} is not in docs/lab.md"
        );
    }
}

#[test]
fn mistakes_are_told_with_their_line_and_the_way_out() {
    let head = "lab x\ntitle X\ncontainer box\n";
    let step = format!("{head}step one\n");
    for (text, said) in [
        ("".to_owned(), "my.lab:1: no 'lab NAME' line"),
        (
            "lab X".to_owned(),
            "my.lab:1: 'X' is no name of a lab: use small letters",
        ),
        ("lab x\ntitle X".to_owned(), "my.lab:2: no 'step'"),
        (
            "lab x\nstep one\noutside ls\n check exit 0".to_owned(),
            "no 'title' line",
        ),
        (
            format!("{head}typo x"),
            "my.lab:4: unknown word 'typo': a line begins with one of lab, title",
        ),
        (
            format!("{head}say x"),
            "my.lab:4: 'say' before the first 'step'",
        ),
        (
            format!("{step}check exit 0"),
            "my.lab:5: 'check' belongs to a command: write an 'outside'",
        ),
        (
            format!("{step}outside"),
            "my.lab:5: nothing follows: write 'outside COMMAND'",
        ),
        (
            format!("{step}outside ls {{other}}"),
            "my.lab:5: unknown place '{other}'",
        ),
        (
            format!("{step}outside ls\ncheck exit x"),
            "my.lab:6: 'x' is no whole number",
        ),
        (
            format!("{step}outside ls\ncheck nosuch"),
            "my.lab:6: 'nosuch' is nothing that can be checked: there are output, exit",
        ),
        (
            format!("{step}outside ls\ncheck memory box 5"),
            "my.lab:6: write 'at least', 'at most'",
        ),
        (
            format!("{step}outside ls\ncheck memory box at least x"),
            "my.lab:6: 'x' is not understood",
        ),
        (
            format!("{step}outside ls\ncheck memory other at least 5m"),
            "my.lab:6: 'other' is no container of this lab",
        ),
        (
            format!("{step}outside ls\ncheck output matches ("),
            "my.lab:6: no regular expression",
        ),
        (
            format!("{step}outside ls\ncheck cpu box at least 1"),
            "my.lab:6: say over which time",
        ),
        (
            format!("{step}outside ls\ncheck namespace box x own"),
            "my.lab:6: 'x' is no namespace: there are pid",
        ),
        (
            format!("{step}outside ls\ncheck process 1 runs"),
            "my.lab:6: this check is not understood: write 'check process PID alive|gone'",
        ),
        (
            format!("{step}press inside enter\nagain 1s"),
            "my.lab:6: 'again' belongs to a command",
        ),
        (
            format!("{step}outside ls\nwithin 5"),
            "my.lab:6: '5' is no time",
        ),
        (
            format!("{step}press inside f1"),
            "my.lab:5: write 'press inside ctrl-c'",
        ),
        (
            format!("{step}plot box disk"),
            "my.lab:5: write 'plot NAME memory'",
        ),
        (format!("{step}outside ls"), "nothing is checked"),
        (
            format!("{step}say x\nstep two\noutside ls\ncheck exit 0"),
            "step 'one' does nothing",
        ),
        (format!("{step}container late"), "'container' comes before"),
        ("lab x\nlab y".to_owned(), "my.lab:2: a second 'lab'"),
        (
            "lab x\ncontainer limit".to_owned(),
            "my.lab:2: 'limit' is a place of its own",
        ),
    ] {
        let error = wrong(&text);
        assert!(error.contains(said), "{said:?} is not in {error:?}");
    }
}
