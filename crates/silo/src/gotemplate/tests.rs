//! Templates as people write them, and what Docker prints for them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Methods, Mode, NoMethods, Template};

struct Labels;

impl Methods for Labels {
    fn call(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        match (name, arguments) {
            ("Label", [Value::String(key)]) => Some(Ok(Value::String(format!("<{key}>")))),
            _ => None,
        }
    }
}

fn data() -> Value {
    json!({
        "ID": "abc", "Names": "web", "Count": 3, "Load": 1.5, "On": true, "Off": false, "Empty": "",
        "List": ["a", "b", "c"], "None": null,
        "Map": {"x": "1", "y": "2"},
        "Config": {"Env": ["A=b", "C=d"], "Labels": {"k": "v", "com.example.a": "z"}},
        "Ports": {"80/tcp": [{"HostPort": "8080"}]},
    })
}

fn run(template: &str) -> Result<String, String> {
    Template::parse(template)
        .and_then(|t| t.execute(&data(), &Labels, Mode::Document))
        .map_err(|e| e.to_string())
}

#[track_caller]
fn gives(template: &str, text: &str) {
    assert_eq!(run(template).as_deref(), Ok(text), "{template}");
}

#[track_caller]
fn fails(template: &str, said: &str) {
    let error = run(template).unwrap_err();
    assert!(
        error.starts_with("template parsing error: template: :"),
        "{error}"
    );
    assert!(error.contains(said), "{template:.200}: {error:.200}");
}

#[test]
fn fields() {
    gives("plain", "plain");
    gives("{{.ID}}\t{{.Names}}", "abc\tweb");
    gives("{{.Config.Env}}", "[A=b C=d]");
    gives("{{.Map}}", "map[x:1 y:2]");
    gives("{{$.ID}}", "abc");
    gives("{{.None}}", "<no value>");
    gives("{{.Load}} {{.On}} {{.Count}}", "1.5 true 3");
    gives("{{(index .List 0)}}", "a");
    gives("{{(index .Ports \"80/tcp\" 0).HostPort}}", "8080");
    gives("{{.Label \"a\"}}", "<a>");
    gives("{{range .List}}{{$.Label .}}{{end}}", "<a><b><c>");
    fails("{{.Nope}}", "at <.Nope>: map has no entry for key \"Nope\"");
    fails("{{.None.x}}", "nil pointer evaluating");
    fails("{{.ID.x}}", "can't evaluate field x in type string");
    fails("{{.ID 1}}", "not a method but has arguments");
}

#[test]
fn conditions() {
    gives("{{if .On}}yes{{end}}", "yes");
    gives("{{if .Off}}yes{{else}}no{{end}}", "no");
    gives("{{if .Off}}1{{else if .On}}2{{else}}3{{end}}", "2");
    gives("{{if and .On .Empty}}1{{else}}0{{end}}", "0");
    gives("{{or .Empty .ID}}", "abc");
    gives("{{and .On .ID}}", "abc");
    gives("{{not .Empty}}", "true");
    // Neither looks at what comes behind the deciding one.
    gives("{{if or .On .Nope}}1{{end}}", "1");
    gives("{{with .ID}}{{.}}{{end}}", "abc");
    gives("{{with .Empty}}x{{else}}none{{end}}", "none");
    gives("{{with .Empty}}x{{else with .ID}}{{.}}{{end}}", "abc");
    gives("{{with $x := .ID}}{{$x}}{{end}}", "abc");
    gives("{{if eq .ID \"x\" \"abc\"}}1{{end}}", "1");
    gives("{{if ne .Count 3}}1{{else}}2{{end}}", "2");
    gives(
        "{{lt .Count 4}}{{le .Count 3}}{{gt .Count 3}}{{ge .Count 3}}",
        "truetruefalsetrue",
    );
    gives("{{lt 1 1.5}}", "true");
    fails("{{eq .ID 1}}", "incompatible types");
    fails("{{lt .List 1}}", "invalid type");
}

#[test]
fn ranges() {
    gives("{{range .List}}{{.}},{{end}}", "a,b,c,");
    gives(
        "{{range $i, $v := .List}}{{$i}}={{$v}};{{end}}",
        "0=a;1=b;2=c;",
    );
    gives("{{range $v := .List}}{{$v}}{{end}}", "abc");
    gives("{{range $k, $v := .Map}}{{$k}}:{{$v}} {{end}}", "x:1 y:2 ");
    gives("{{range .Empty | split \"\" }}x{{else}}none{{end}}", "none");
    gives("{{range .None}}x{{else}}none{{end}}", "none");
    gives(
        "{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}",
        "a",
    );
    gives(
        "{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}",
        "ac",
    );
    gives(
        "{{range $p, $c := .Ports}}{{$p}} -> {{(index $c 0).HostPort}}{{end}}",
        "80/tcp -> 8080",
    );
    gives("{{$n := 0}}{{range .List}}{{$n = .}}{{end}}{{$n}}", "c");
    fails("{{range .ID}}x{{end}}", "range can't iterate over abc");
    fails("{{break}}", "outside");
}

#[test]
fn functions() {
    gives("{{json .List}}", "[\"a\",\"b\",\"c\"]");
    gives("{{json .None}}", "null");
    gives("{{.Names | upper | printf \"%s!\"}}", "WEB!");
    gives("{{join .List \"-\"}}", "a-b-c");
    gives("{{split \"a:b\" \":\"}}", "[a b]");
    gives("{{index (split \"a:b\" \":\") 1}}", "b");
    gives("{{len .List}} {{len .ID}} {{.Map | len}}", "3 3 2");
    gives("{{index .Config.Labels \"com.example.a\"}}", "z");
    gives("{{index .Config.Labels \"nope\"}}", "");
    gives(
        "{{slice .ID 1}} {{slice .ID 0 2}} {{slice .List 1 2}}",
        "bc ab [b]",
    );
    gives("{{lower \"ABC\"}} {{title \"a bc\"}}", "abc A Bc");
    gives(
        "{{truncate .ID 2}}|{{pad .ID 1 2}}|{{pad .Empty 1 2}}|",
        "ab| abc  ||",
    );
    gives("{{print 1 2 \"a\" 3}} {{println .ID 1}}", "1 2a3 abc 1\n");
    gives("{{print .ID .Names}}", "abcweb");
    gives("{{html \"<a>\"}}", "&lt;a&gt;");
    fails(
        "{{index .List 9}}",
        "error calling index: index out of range: 9",
    );
    fails("{{len 3}}", "len of type int");
    fails("{{slice .ID 2 1}}", "invalid slice index");
    fails("{{json}}", "wrong number");
    fails("{{nope .ID}}", "function \"nope\" not defined");
}

#[test]
fn printf() {
    gives(
        "{{printf \"%s %d %v %q\" .ID .Count .On .ID}}",
        "abc 3 true \"abc\"",
    );
    gives(
        "{{printf \"%5s|%-5s|%05d|%+d\" .ID .ID 42 42}}",
        "  abc|abc  |00042|+42",
    );
    gives(
        "{{printf \"%x %X %o %b %c %U\" 255 255 8 5 65 65}}",
        "ff FF 10 101 A U+0041",
    );
    gives(
        "{{printf \"%.2f %g %e %8.3f\" 1.5 1.5 1500.0 2.5}}",
        "1.50 1.5 1.500000e+03    2.500",
    );
    gives("{{printf \"%.2s|%x\" .ID .ID}}", "ab|616263");
    gives("{{printf \"%t %T %%\" true .ID}}", "true string %");
    gives("{{printf \"%d\" .ID}}", "%!d(string=abc)");
    gives("{{printf \"%s\"}}", "%!s(MISSING)");
    gives("{{printf \"x\" 1}}", "x%!(EXTRA int=1)");
    gives(
        "{{printf \"%v\" 1e21}} {{1e20}}",
        "1e+21 100000000000000000000",
    );
    gives("{{printf \"%.3g\" 1234.5}}", "1.23e+03");
    assert!(run("{{printf \"%999999999d\" 1}}").unwrap().len() <= 10_000);
}

#[test]
fn trimming_comments_and_literals() {
    gives("a {{- .ID -}} b", "aabcb");
    gives("a {{/* note */}} b", "a  b");
    gives("a {{- /* note */ -}} b", "ab");
    gives("{{`a\\n`}}{{\"a\\tb\\u00e9\"}}", "a\\na\tbé");
    gives("{{-3}}{{- 3 -}}", "-33");
    gives("{{0x10}} {{1_000}} {{'a'}} {{-1.5}}", "16 1000 97 -1.5");
    gives("{{true}} {{if nil}}{{end}}", "true ");
}

#[test]
fn malformed() {
    for (template, said) in [
        ("{{", "unclosed action"),
        ("{{.ID", "unclosed action"),
        ("{{.ID}", "unexpected '}'"),
        ("{{}}", "missing value for command"),
        ("{{if}}{{end}}", "missing value for if"),
        ("{{if .ID}}", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{$x}}", "undefined variable \"$x\""),
        ("{{if $x := .ID}}{{end}}{{$x}}", "undefined variable"),
        ("{{$x = 1}}", "undefined variable"),
        ("{{\"a}}", "unterminated quoted string"),
        ("{{`a}}", "unterminated raw"),
        ("{{/* a}}", "unclosed comment"),
        ("{{(.ID}}", "unclosed left paren"),
        ("{{.ID)}}", "unexpected right paren"),
        ("{{.ID | 3}}", "non executable command"),
        ("{{.ID | }}", "missing value for command"),
        ("{{3x}}", "bad number syntax"),
        ("{{.ID..x}}", "after '.'"),
        ("{{define \"x\"}}{{end}}", "not available"),
        ("line\n{{nope}}", ":2:"),
    ] {
        fails(template, said);
    }
    fails(
        &format!("{}{}", "{{if 1}}".repeat(500), "{{end}}".repeat(500)),
        "too deeply",
    );
    fails(
        &format!("{{{{{}1{}}}}}", "(".repeat(500), ")".repeat(500)),
        "too deeply",
    );
    fails(
        &format!("{{{{if 0}}}}{}", "{{else if 0}}".repeat(500)),
        "too deeply",
    );
    fails(&"x".repeat(70_000), "longer than");
}

#[test]
fn headers() {
    let header = |template: &str| {
        Template::parse(template)
            .unwrap()
            .execute(
                &json!({"ID": "CONTAINER ID", "Names": "NAMES"}),
                &NoMethods,
                Mode::Header,
            )
            .unwrap()
    };
    assert_eq!(header("{{.ID}}\t{{.Names}}"), "CONTAINER ID\tNAMES");
    assert_eq!(
        header("{{json .ID}} {{lower .Names}} {{truncate .ID 3}}"),
        "CONTAINER ID NAMES CONTAINER ID"
    );
    assert_eq!(header("{{.Nope}}"), "<no value>");
    assert_eq!(header("{{.Label \"com.example.my-app\"}}"), "my app");
}

proptest! {
    #[test]
    fn no_template_panics(template in "\\PC{0,80}") {
        let _ = run(&template);
    }

    #[test]
    fn nothing_template_like_panics(parts in prop::collection::vec(
        prop::sample::select(vec![
            "{{", "}}", "-", " ", ".", "$", ".ID", ".List", "$x", ":=", "=", "|", "(", ")", "if ", "else", "end", "range ",
            "with ", "printf ", "\"%5.3v%x\"", "index ", "slice ", "9", "-1", "1e9", "json ", "break", "and ", "`", "/*", "*/", ",",
            "truncate ", "pad ", "split ", "\n", "é", "{{range .List}}", "{{end}}", "{{if .On}}", "{{else}}", "{{.}}",
        ]), 0..24)) {
        let _ = run(&parts.concat());
    }
}
