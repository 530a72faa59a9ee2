//! The shell's language, as scripts see it.

mod common;
use common::{applet, check, feed, sh};

#[test]
fn quoting_and_variables() {
    check(&[
        (r#"echo a  "b  c" 'd$e' f\ g"#, "a b  c d$e f g\n"),
        ("x=5; echo $x${x}y ${#x}", "55y 1\n"),
        ("echo ${z:-a b} ${z-} ${z:+no} x", "a b x\n"),
        ("z=; echo ${z:-d} [${z-d}] ${z:=new} $z", "d [] new new\n"),
        (
            "v=/a/b.tar.gz; echo ${v##*/} ${v#/} ${v%.*} ${v%%.*}",
            "b.tar.gz a/b.tar.gz /a/b.tar /a/b\n",
        ),
        (
            r#"v='*'; case x in "$v") echo no;; $v) echo yes;; esac"#,
            "yes\n",
        ),
        ("echo \"$(echo 'a b')\" `echo c`", "a b c\n"),
        ("i=1; : $((i+=4)); echo $i $((i>3?10:20))", "5 10\n"),
        ("echo 'a'\"b\"c\\\nd", "abcd\n"),
        ("unset nothing; echo \"[$nothing]\"", "[]\n"),
        (
            "set -- a 'b c'; echo $# \"$2\"; for w in \"$@\"; do echo \"<$w>\"; done",
            "2 b c\n<a>\n<b c>\n",
        ),
        (
            "set --; for w in \"$@\"; do echo never; done; echo \"x$*\"",
            "x\n",
        ),
        ("set -- 1 2 3; IFS=-; echo \"$*\"", "1-2-3\n"),
        ("IFS=:; p=a::b; set -- $p; echo $#", "3\n"),
        ("HOME=/h; echo ~ ~/x '~' x~", "/h /h/x ~ x~\n"),
    ]);
}

#[test]
fn control_structures() {
    check(&[
        (
            "for i in 1 2 3; do [ $i = 2 ] && continue; echo $i; done",
            "1\n3\n",
        ),
        (
            "i=0; while :; do i=$((i+1)); [ $i -gt 3 ] && break; done; echo $i",
            "4\n",
        ),
        (
            "i=3; until [ $i -eq 0 ]; do i=$((i-1)); done; echo $i",
            "0\n",
        ),
        (
            "for a in 1 2; do for b in 1 2; do [ $b = 2 ] && continue 2; echo $a$b; done; done",
            "11\n21\n",
        ),
        (
            "if false; then echo a; elif true; then echo b; else echo c; fi",
            "b\n",
        ),
        (
            "case abc in x) echo x;; a*|b*) echo ab;; *) echo else;; esac",
            "ab\n",
        ),
        ("f() { echo $1 $#; return 3; }; f x y; echo $?", "x 2\n3\n"),
        (
            "f() { local v=in; echo $v; }; v=out; f; echo $v",
            "in\nout\n",
        ),
        (
            "f() { [ $1 -eq 0 ] || { echo $1; f $(($1-1)); }; }; f 3",
            "3\n2\n1\n",
        ),
        ("(cd /; x=1); echo ${x-unset}", "unset\n"),
        (
            "{ echo a; echo b; } | while read l; do echo got $l; done",
            "got a\ngot b\n",
        ),
        ("! true; echo $?; ! false; echo $?", "1\n0\n"),
        (
            "true && echo a || echo b; false && echo a || echo b",
            "a\nb\n",
        ),
        ("echo one; # comment\necho two # more", "one\ntwo\n"),
    ]);
}

#[test]
fn redirections_and_here_documents() {
    let folder = tempfile::tempdir().unwrap();
    let f = folder.path().join("f");
    let f = f.display();
    check(&[
        (&format!("echo a > {f}; echo b >> {f}; cat < {f}"), "a\nb\n"),
        (
            "x=7; cat <<EOF\n$x $((x+1)) \\$x \"q\"\nEOF\necho after",
            "7 8 $x \"q\"\nafter\n",
        ),
        ("cat <<'EOF'\n$x\nEOF", "$x\n"),
        ("cat <<-EOF\n\tindented\n\tEOF", "indented\n"),
        ("cat <<A; cat <<B\na\nA\nb\nB", "a\nb\n"),
        ("{ echo out; echo err >&2; } 2>&1 | sort", "err\nout\n"),
        ("echo hidden 2>&1 >/dev/null; echo x 1>&2 2>/dev/null", ""),
        (
            &format!("exec 3>{f}; echo three >&3; exec 3>&-; cat {f}"),
            "three\n",
        ),
        (
            &format!("sh -c 'echo inherited >&3' 3>{f}; cat {f}"),
            "inherited\n",
        ),
        (&format!("(echo sub >&4) 4>{f}; cat {f}"), "sub\n"),
        (
            &format!("echo a b > {f}; while read a b; do echo \"$b $a\"; done < {f}"),
            "b a\n",
        ),
        (&format!("set -C; echo x > {f}; echo $?"), "1\n"),
    ]);
}

#[test]
fn globbing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.txt", "b.txt", "c.md", ".hidden"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let cd = format!("cd {}; ", folder.path().display());
    check(&[
        (&format!("{cd}echo *.txt"), "a.txt b.txt\n"),
        (
            &format!("{cd}echo [ab]* ?.md .h*"),
            "a.txt b.txt c.md .hidden\n",
        ),
        (&format!("{cd}echo '*' \"*\" \\* *.none"), "* * * *.none\n"),
        (&format!("{cd}set -f; echo *"), "*\n"),
        (&format!("{cd}echo ../*/a.txt | wc -w"), "1\n"),
    ]);
}

#[test]
fn names_that_are_no_utf8_survive() {
    let folder = tempfile::tempdir().unwrap();
    let cd = format!("cd {}; ", folder.path().display());
    check(&[(
        &format!("{cd}n=$(printf 'x\\377y'); echo content > \"$n\"; cat x*; ls | wc -l"),
        "content\n1\n",
    )]);
}

#[test]
fn exit_codes() {
    for (script, code) in [
        ("exit 7", 7),
        ("no-such-program", 127),
        ("/etc/passwd", 126),
        ("/", 126),
        ("sh -c 'kill -9 $$'; exit $?", 137),
        ("sh -c 'kill -TERM $$'; exit $?", 143),
        ("false | true", 0),
        ("true | false", 1),
        ("x=$(exit 5)", 5),
        ("set -e; false; exit 0", 1),
        ("set -e; if false; then :; fi; false || true; exit 3", 3),
        ("set -u; echo $unset; exit 0", 2),
        ("if then", 2),
        ("echo 'unterminated", 2),
        (": ${x?gone}", 2),
        ("readonly r=1; r=2", 2),
        ("(exit 9)", 9),
        ("eval 'exit 4'", 4),
    ] {
        assert_eq!(sh(script).code, Some(code), "{script}: {:?}", sh(script));
    }
    assert_eq!(
        sh("no-such-program").err,
        "sh: no-such-program: not found\n"
    );
    assert_eq!(sh("sh -c 'kill -9 $$'; echo lives").err, "Killed\n");
}

#[test]
fn traps_and_jobs() {
    check(&[
        ("trap 'echo bye' EXIT; echo hi", "hi\nbye\n"),
        (
            "trap 'echo caught' TERM; kill -TERM $$; echo after",
            "caught\nafter\n",
        ),
        (
            "trap 'echo usr; exit 3' USR1; kill -USR1 $$; echo never",
            "usr\n",
        ),
        ("sleep 0.1 & wait $!; echo $?", "0\n"),
        ("sh -c 'exit 6' & wait $!; echo $?", "6\n"),
        ("sleep 50 & kill $!; wait $!; echo $?", "143\n"),
        ("(sleep 0.2; echo late) & echo early; wait", "early\nlate\n"),
        ("trap '' TERM; kill -TERM $$; echo lives", "lives\n"),
    ]);
}

#[test]
fn builtins() {
    check(&[
        (
            "cd /usr; pwd; cd - >/dev/null; cd /usr/..; pwd",
            "/usr\n/\n",
        ),
        ("echo 'a b  c' | { read x y; echo \"$y|$x\"; }", "b  c|a\n"),
        ("printf '%s:%03d\\n' a 7 b 8", "a:007\nb:008\n"),
        (
            "export V=1; env | grep ^V=; V=2 env | grep ^V=; echo $V",
            "V=1\nV=2\n1\n",
        ),
        ("command -v cd; type cd", "cd\ncd is a shell builtin\n"),
        ("alias hi='echo hello'\nhi you", "hello you\n"),
        (
            "while getopts ab:c o; do echo $o $OPTARG; done; echo $OPTIND",
            "1\n",
        ),
        (
            "set -- -a -b val -c rest; while getopts ab:c o; do echo $o $OPTARG; done; shift $((OPTIND-1)); echo $1",
            "a\nb val\nc\nrest\n",
        ),
        ("umask 027; umask", "0027\n"),
        ("eval \"x='a b'\"; echo $x", "a b\n"),
        ("set -- a b c; shift 2; echo $1", "c\n"),
        ("[ 1 -lt 2 ] && test -d / && [ -z '' ] && echo ok", "ok\n"),
        ("exec echo replaced; echo never", "replaced\n"),
        ("echo $0 $1", "sh\n"),
    ]);
    assert_eq!(sh("set -x; echo a 'b c'").err, "+ echo a 'b c'\n");
}

#[test]
fn scripts_from_files_and_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script");
    std::fs::write(&file, "echo $0 $1 $#\n. ./lib\nshow\n").unwrap();
    std::fs::write(folder.path().join("lib"), "show() {\n echo shown\n}\n").unwrap();
    let output = applet("sh")
        .arg("script")
        .arg("arg")
        .current_dir(&folder)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "script arg 1\nshown\n"
    );
    assert_eq!(
        feed(
            "sh",
            &[],
            "echo a\nread line\nthis is data\necho got $line\nfor i in 1 2\ndo echo $i\ndone\n"
        )
        .out,
        "a\ngot this is data\n1\n2\n"
    );
    assert_eq!(feed("sh", &["-s", "x"], "echo $1").out, "x\n");
    assert_eq!(feed("sh", &[], "echo a \\\n b\n").out, "a b\n");
}
