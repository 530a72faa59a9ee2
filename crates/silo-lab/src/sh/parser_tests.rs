//! The parser alone: what is complete, what is wrong, and how lines hang together.

use super::*;
use crate::sh::ast::Part;

fn parse(text: &str) -> Parsed<List> {
    Parser::new(text, &Aliases::new()).whole()
}

fn only_stage(text: &str) -> Command {
    let list = parse(text).unwrap();
    assert_eq!(
        (list.0.len(), list.0[0].first.stages.len()),
        (1, 1),
        "{text}"
    );
    list.0[0].first.stages[0].clone()
}

fn words(text: &str) -> Vec<String> {
    let Command::Simple(simple) = only_stage(text) else {
        panic!("{text}: not simple")
    };
    simple
        .words
        .iter()
        .map(|w| w.literal().unwrap_or("?").to_string())
        .collect()
}

#[test]
fn open_constructs_ask_for_more() {
    for text in [
        "echo 'a",
        "echo \"a",
        "if true",
        "if true; then",
        "while :; do x",
        "{ a;",
        "(a",
        "a &&",
        "a |",
        "case x in",
        "f() {",
        "echo $(a",
        "echo ${a",
        "cat <<E\nbody",
        "echo `a",
        "echo $((1+",
        "for i in 1; do",
    ] {
        assert_eq!(parse(text), Err(ParseError::Incomplete), "{text}");
    }
}

#[test]
fn wrong_text_is_refused() {
    for text in [
        "then",
        "a; ; b",
        ")",
        "fi",
        "a | | b",
        "for 1x in a; do :; done",
        "{ }",
        "()",
        "if; then a; fi",
        "<",
        "done",
        "a && ; b",
        "}",
    ] {
        assert!(
            matches!(
                parse(text),
                Err(ParseError::Syntax(_) | ParseError::Incomplete)
            ),
            "{text}: {:?}",
            parse(text)
        );
    }
    assert!(matches!(parse("a ; ; b"), Err(ParseError::Syntax(m)) if m.contains("unexpected")));
}

#[test]
fn keywords_are_words_elsewhere() {
    assert_eq!(
        words("echo if then fi { }"),
        ["echo", "if", "then", "fi", "{", "}"]
    );
    assert_eq!(words("echo a#b # comment"), ["echo", "a#b"]);
    assert_eq!(words("a \\\n b"), ["a", "b"]);
}

#[test]
fn assignments_come_first() {
    let Command::Simple(simple) = only_stage("A=1 B= c D=2 >f 2>&1") else {
        panic!()
    };
    assert_eq!(
        simple
            .assigns
            .iter()
            .map(|a| a.0.as_str())
            .collect::<Vec<_>>(),
        ["A", "B"]
    );
    assert_eq!(simple.words.len(), 2);
    let redirects: Vec<_> = simple.redirects.iter().map(|r| (r.fd, r.kind)).collect();
    assert_eq!(
        redirects,
        [(1, RedirectKind::Write), (2, RedirectKind::Duplicate)]
    );
}

#[test]
fn here_documents_leave_the_next_line_alone() {
    let list = parse("cat <<A; echo x\ntext\nA\necho y\n").unwrap();
    assert_eq!(list.0.len(), 3);
    let Command::Simple(simple) = &list.0[0].first.stages[0] else {
        panic!()
    };
    assert_eq!(
        simple.redirects[0].target.0,
        [Part::Double(vec![Part::Literal("text\n".into())])]
    );
}

#[test]
fn arithmetic_or_a_subshell_in_a_substitution() {
    let part = |text: &str| match only_stage(text) {
        Command::Simple(simple) => simple.words[1].0[0].clone(),
        other => panic!("{other:?}"),
    };
    assert!(matches!(part("echo $((1+(2)))"), Part::Arith(_)));
    assert!(matches!(part("echo $( (a) )"), Part::Command(_)));
    assert!(matches!(part("echo $((a); b)"), Part::Command(_)));
}

#[test]
fn aliases_end() {
    let aliases = Aliases::from([("ls".into(), "ls -F".into()), ("ll".into(), "ls -l".into())]);
    let list = Parser::new("ll x; ls y", &aliases).whole().unwrap();
    let count = |i: usize| match &list.0[i].first.stages[0] {
        Command::Simple(simple) => simple.words.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((count(0), count(1)), (4, 3));
}

#[test]
fn lines_come_one_at_a_time() {
    let aliases = Aliases::new();
    let mut parser = Parser::new("a; b\n\n# c\nd &\n", &aliases);
    assert_eq!(parser.next_line().unwrap().unwrap().0.len(), 2);
    let last = parser.next_line().unwrap().unwrap();
    assert!(last.0[0].background && last.0[0].text == "d");
    assert!(parser.at_end() && parser.next_line().unwrap().is_none());
}
