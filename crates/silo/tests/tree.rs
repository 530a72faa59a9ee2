//! The tree itself: what the sources and papers of the project keep to, whatever they do.
//!
//! Reads the files of the project and asks cargo for its metadata, offline; makes nothing and needs no root.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Crates by layer (ARCHITECTURE.md): one may use those of lower layers only. A new crate is entered here first.
const LAYERS: [(&str, u8); 12] = [
    ("silo", 5),
    ("silo-engine", 3),
    ("silo-runtime", 2),
    ("silo-image", 2),
    ("silo-net", 2),
    ("silo-observe", 2),
    ("silo-cgroup", 1),
    ("silo-bench", 1),
    ("silo-sys", 0),
    ("silo-types", 0),
    // User land of the built-in image, and a tool that times commands: programs of their own.
    ("silo-lab", 0),
    ("silo-api", 4),
];

/// The one crate with code that the compiler cannot check.
const UNSAFE: &str = "silo-sys";

/// Whoever clones a process must have one thread, so nothing with an executor is linked into it.
const EXECUTORS: [&str; 4] = ["tokio", "async-std", "smol", "async-executor"];

/// Licences that code under Apache-2.0 may be linked with.
const LICENCES: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

const MOST_LINES: usize = 700;

#[test]
fn crates_use_lower_layers_only() {
    let metadata = metadata();
    let layer: BTreeMap<&str, u8> = LAYERS.into();
    let mut wrong = Vec::new();
    for package in own_packages(&metadata) {
        let name = text(&package["name"]);
        let Some(own) = layer.get(name) else {
            wrong.push(format!("{name} is in no layer"));
            continue;
        };
        for used in own_dependencies(package) {
            if layer.get(used).is_none_or(|of_used| of_used >= own) {
                wrong.push(format!("{name} uses {used}"));
            }
        }
    }
    none(wrong);
}

#[test]
fn only_the_engine_knows_runtime_and_network_together() {
    let metadata = metadata();
    let knows_both = |package: &&Value| {
        let used: Vec<&str> = own_dependencies(package).collect();
        used.contains(&"silo-runtime") && used.contains(&"silo-net")
    };
    let names: Vec<&str> = own_packages(&metadata)
        .filter(knows_both)
        .map(|package| text(&package["name"]))
        .collect();
    assert_eq!(names, ["silo-engine"]);
}

#[test]
fn nothing_that_clones_is_linked_with_an_executor() {
    let metadata = metadata();
    let uses = links(&metadata);
    let mut wrong = Vec::new();
    for name in ["silo-runtime", "silo-engine", "silo"] {
        let all = closure(&uses, name);
        assert!(all.contains("silo-sys"), "{name}: {all:?}");
        let found = EXECUTORS.into_iter().filter(|e| all.contains(e));
        wrong.extend(found.map(|executor| format!("{name} uses {executor}")));
    }
    none(wrong);
}

#[test]
fn licences_fit() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in list(&metadata["packages"]) {
        let licence = package["license"].as_str().unwrap_or("none");
        if !is_fit(licence) {
            wrong.push(format!("{}: {licence}", text(&package["name"])));
        }
    }
    none(wrong);
}

#[test]
fn unchecked_code_is_in_one_crate() {
    let allowed = root().join("crates").join(UNSAFE);
    let mut wrong = Vec::new();
    for path in sources().filter(|path| !path.starts_with(&allowed)) {
        let code = code(&read(&path));
        if words(&code).any(|word| word == "unsafe") || code.contains("allow(unsafe_code") {
            wrong.push(shown(&path));
        }
    }
    for package in own_packages(&metadata()).filter(|package| package["name"] != UNSAFE) {
        for target in list(&package["targets"]) {
            let of_product = list(&target["kind"]).any(|kind| kind == "lib" || kind == "bin");
            let path = PathBuf::from(text(&target["src_path"]));
            if of_product && !read(&path).contains("#![forbid(unsafe_code)]") {
                wrong.push(format!("{}: does not forbid it", shown(&path)));
            }
        }
    }
    none(wrong);
}

#[test]
fn libraries_print_nothing_and_start_no_programs() {
    let mut wrong = Vec::new();
    for path in library_sources() {
        let code = product(&read(&path));
        for name in ["print!", "println!", "eprint!", "eprintln!", "dbg!"] {
            let mut found = code.match_indices(name);
            if found.any(|(at, _)| !code[..at].ends_with(is_in_word)) {
                wrong.push(format!("{}: {name}", shown(&path)));
            }
        }
        if starts_programs(&code) {
            wrong.push(format!("{}: starts a program", shown(&path)));
        }
    }
    none(wrong);
}

#[test]
fn every_source_says_what_it_is_and_stays_short() {
    let mut wrong = Vec::new();
    for path in sources() {
        let source = read(&path);
        if !source.starts_with("//! ") {
            wrong.push(format!("{}: does not open with '//!'", shown(&path)));
        }
        let lines = source.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{}: {lines} lines", shown(&path)));
        }
    }
    none(wrong);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together, so that this file does not hold them.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
    ];
    let mut wrong = Vec::new();
    for path in sources() {
        let source = read(&path);
        let found = source.lines().enumerate();
        let found = found.filter(|(_, line)| words(line).any(|word| marks.contains(&word)));
        wrong.extend(found.map(|(at, line)| format!("{}:{}: {line}", shown(&path), at + 1)));
    }
    none(wrong);
}

#[test]
fn papers_point_at_what_is_there() {
    let mut wrong = Vec::new();
    for paper in papers() {
        let source = read(&paper);
        for (label, target) in paper_links(&source) {
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let file = target.split('#').next().unwrap_or_default();
            let path = paper.parent().unwrap_or(&paper).join(file);
            if !path.exists() {
                wrong.push(format!("{}: no {target}", shown(&paper)));
                continue;
            }
            // [`name`](FILE.rs) stands for a test of that name.
            let test = label.strip_prefix('`').and_then(|l| l.strip_suffix('`'));
            if let (Some(name), true) = (test, file.ends_with(".rs"))
                && !read(&path).contains(&format!("fn {name}("))
            {
                wrong.push(format!("{}: no {name} in {target}", shown(&paper)));
            }
        }
    }
    none(wrong);
}

#[test]
fn promises_are_numbered_and_held_or_marked() {
    let source = read(&root().join("PROMISES.md"));
    let rows = source.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        Some((cells.next()?.parse::<usize>().ok()?, line))
    });
    let mut count = 0;
    for (number, line) in rows {
        count += 1;
        assert_eq!(number, count, "{line}");
        assert!(line.contains("[`") || line.contains("*pending*"), "{line}");
    }
    assert!(count > 20, "{count} promises");
}

#[test]
fn comments_and_literals_are_no_code() {
    let source = r##"
        /* unsafe */ let a = "unsafe \" unsafe"; // unsafe
        let b = ('"', '\'', 'x', b'\\', '\u{1f600}', r#"unsafe " unsafe"#);
        fn c<'a>(d: &'a str) -> &'a str { d }
    "##;
    let code = code(source);
    assert!(!code.contains("unsafe"), "{code}");
    assert!(code.contains("&'a str { d }"), "{code}");
    assert!(starts_programs("use std::{fs, process::{Child, Command}};"));
    assert!(!starts_programs("use rustix::process::Pid; Command::new()"));
    assert!(is_fit("(MIT OR GPL-3.0) AND Unicode-3.0"));
    assert!(!is_fit("MIT AND GPL-3.0"));
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    here.canonicalize().unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A path as seen from the project's folder.
fn shown(path: &Path) -> String {
    let path = path.canonicalize().unwrap();
    path.strip_prefix(root()).unwrap().display().to_string()
}

#[track_caller]
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
}

/// Files below the project's folder with this ending, without what was built.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let is_folder = entry.file_type().unwrap().is_dir();
            if is_folder && name != "target" && name != ".git" {
                folders.push(path);
            } else if !is_folder && path.extension().is_some_and(|e| e == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources() -> impl Iterator<Item = PathBuf> {
    let found = files("rs");
    assert!(found.len() > 100, "{found:?}");
    found.into_iter()
}

/// Sources of what is below the programs, without their tests.
fn library_sources() -> impl Iterator<Item = PathBuf> {
    let programs = ["silo", "silo-lab", "silo-bench"];
    let libraries: Vec<PathBuf> = LAYERS
        .into_iter()
        .filter(|(name, _)| !programs.contains(name))
        .map(|(name, _)| root().join("crates").join(name).join("src"))
        .collect();
    sources().filter(move |path| {
        let of_library = libraries.iter().any(|library| path.starts_with(library));
        of_library
            && !path
                .iter()
                .any(|part| part == "tests" || part == "tests.rs")
    })
}

fn papers() -> Vec<PathBuf> {
    files("md")
}

/// Label and target of each `[label](target)`.
fn paper_links(source: &str) -> Vec<(&str, &str)> {
    let mut links = Vec::new();
    for (at, _) in source.match_indices("](") {
        let label = source[..at].rsplit('[').next().unwrap_or_default();
        let target = source[at + 2..].split(')').next().unwrap_or_default();
        links.push((label, target));
    }
    links
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value
        .as_array()
        .unwrap_or_else(|| panic!("{value} is no list"))
        .iter()
}

/// Packages of this project: those that come from no registry.
fn own_packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    list(&metadata["packages"]).filter(|package| package["source"].is_null())
}

/// Names of the project's crates that one uses, for whatever purpose.
fn own_dependencies(package: &Value) -> impl Iterator<Item = &str> {
    list(&package["dependencies"])
        .filter(|dependency| dependency["source"].is_null())
        .map(|dependency| text(&dependency["name"]))
}

/// What is linked into what, by name: normal dependencies as cargo has resolved them.
fn links(metadata: &Value) -> BTreeMap<&str, Vec<&str>> {
    let names: BTreeMap<&str, &str> = list(&metadata["packages"])
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let is_linked = |used: &&Value| list(&used["dep_kinds"]).any(|kind| kind["kind"].is_null());
    let mut links: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let used = list(&node["deps"]).filter(is_linked);
        let used = used.map(|used| names[text(&used["pkg"])]);
        links
            .entry(names[text(&node["id"])])
            .or_default()
            .extend(used);
    }
    links
}

fn closure<'a>(links: &BTreeMap<&'a str, Vec<&'a str>>, name: &'a str) -> BTreeSet<&'a str> {
    let mut all = BTreeSet::new();
    let mut next = vec![name];
    while let Some(name) = next.pop() {
        if all.insert(name) {
            next.extend(links.get(name).into_iter().flatten());
        }
    }
    all
}

/// Whether an SPDX expression offers a licence of the list in each of its parts.
fn is_fit(expression: &str) -> bool {
    expression.split(" AND ").all(|part| {
        part.split(" OR ")
            .flat_map(|choice| choice.split('/'))
            .map(|choice| choice.trim_matches(['(', ')', ' ']))
            .any(|choice| LICENCES.contains(&choice))
    })
}

fn is_in_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter| !is_in_word(letter))
}

/// The part of a source that is in the product: without comments, literals and the tests at its end.
fn product(source: &str) -> String {
    let code = code(source);
    match code.find("#[cfg(test)]\nmod") {
        Some(at) => code[..at].to_owned(),
        None => code,
    }
}

/// Whether `std::process::Command` is named, alone or in a list.
fn starts_programs(code: &str) -> bool {
    code.match_indices("process::").any(|(at, found)| {
        let named = &code[at + found.len()..];
        let named = match named.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => named
                .split(|letter| !is_in_word(letter))
                .next()
                .unwrap_or_default(),
        };
        words(named).any(|word| word == "Command")
    })
}

/// A Rust source with comments and literals blanked out.
fn code(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let blank = comment(rest)
            .or_else(|| raw_string(rest))
            .or_else(|| quoted(rest));
        rest = match blank {
            Some(length) => {
                code.push(' ');
                &rest[length..]
            }
            None => {
                code.push(first);
                &rest[first.len_utf8()..]
            }
        };
    }
    code
}

/// Bytes of the comment that `rest` begins with; a line's end is not part of it.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    let inside = rest.strip_prefix("/*")?;
    Some(inside.find("*/").map_or(rest.len(), |end| end + 4))
}

/// Bytes of the `r#"…"#` that `rest` begins with.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.strip_prefix('r')?;
    let inside = hashes.trim_start_matches('#');
    let marks = hashes.len() - inside.len();
    let inside = inside.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(1 + marks + 1 + length)
}

/// Bytes of the string or character that `rest` begins with; a lifetime is none.
fn quoted(rest: &str) -> Option<usize> {
    let quote = rest
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''))?;
    let is_escaped = rest[1..].starts_with('\\');
    let mut letters = rest.char_indices().skip(1);
    let mut count = 0;
    while let Some((at, letter)) = letters.next() {
        count += 1;
        match letter {
            '\\' => drop(letters.next()),
            letter if letter == quote => return Some(at + 1),
            _ if quote == '\'' && count > 1 && !is_escaped => return None,
            _ => {}
        }
    }
    None
}
