use proptest::prelude::*;

use super::*;

fn problems(text: &[u8]) -> Vec<String> {
    match read_lines(&mut &*text, "x", Plan::builder(), 200) {
        Ok(_) => vec![],
        Err(error) => match error.downcast_ref::<BadInput>() {
            Some(bad) => bad.problems.iter().map(ToString::to_string).collect(),
            None => panic!("{error}"),
        },
    }
}

#[test]
fn a_plan_may_say_where_it_ends() {
    let check = |lines: &[&str], expected: &[&str]| {
        assert_eq!(problems(lines.join("\n").as_bytes()), expected, "{lines:?}");
    };
    let (begin, end, entry) = (r#"{"begin":true}"#, r#"{"end":true}"#, r#"{"path":"a","text":""}"#);
    let cut = |line| {
        let what = "the plan is cut off: its first line announces a line {\"end\":true}, which is missing";
        format!("line {line}: {what}")
    };
    check(&[begin, entry, end], &[]);
    check(&["", begin, end, "", " "], &[]);
    check(&[entry, end], &[]);
    check(&[begin, entry], &[&cut(3)]);
    check(&[begin], &[&cut(2)]);
    check(&[entry, begin, end], &["line 2: has `begin`, which only the first line may have"]);
    check(
        &[end, entry, "", entry],
        &["line 2: is after the plan's end", "line 4: a stands twice (also on line 2)"],
    );
    check(&[r#"{"begin":true,"end":true}"#], &["line 1: has more than one of `begin`, `end` and an entry"]);
    check(
        &[r#"{"end":true,"path":"a","text":""}"#],
        &["line 1: has more than one of `begin`, `end` and an entry"],
    );
}

#[test]
fn each_line_is_judged_by_itself() {
    let check = |line: &str, expected: &str| {
        let found: Vec<String> = problems(line.as_bytes());
        assert_eq!(found.join("; "), expected, "{line}");
    };
    for good in [
        "",
        " \t\r\n\n",
        r#"{"path":"a","text":""}"#,
        r#"{"path":"a","bytes":"","mode":"755"}"#,
        r#"{"path_b64":"/w==","symlink_b64":"/g=="}"#,
        r#"{"path":"a","dir":true,"text":null}"#,
        r#"{"path":"a/b","source":"/proc/self/exe","mode":"0644"}"#,
    ] {
        check(good, "");
    }
    let one = "`source`, `bytes`, `text`, `symlink`, `dir`";
    check("{}", &format!("line 1: has no `path`; line 1: has none of {one}"));
    check(r#"{"path":"a","dir":false}"#, &format!("line 1: a has none of {one}"));
    check(r#"{"path":"a","text":"","bytes":""}"#, &format!("line 1: a has more than one of {one}"));
    check(r#"{"path":"a","source":"/","dir":true}"#, &format!("line 1: a has more than one of {one}"));
    check(r#"{"path":"a","path_b64":"YQ==","text":""}"#, "line 1: has both `path` and `path_b64`");
    check(
        r#"{"path":"a","symlink":"b","symlink_b64":""}"#,
        "line 1: a has both `symlink` and `symlink_b64`",
    );
    check(r#"{"path":"a","bytes":"YQ"}"#, "line 1: a `bytes` is not base64");
    check(r#"{"path_b64":"YQ","text":""}"#, "line 1: `path_b64` is not base64");
    check(r#"{"path":"","text":""}"#, "line 1: the path is empty");
    check(r#"{"path":"/a","text":""}"#, "line 1: /a the path is absolute");
    check(r#"{"path":"a/../b","text":""}"#, "line 1: a/../b the path contains `..`");
    check(r#"{"path":"a\u0000","text":""}"#, "line 1: a\\u{0} the path contains a NUL byte");
    check(
        r#"{"path":"a","text":"","mode":"4755"}"#,
        "line 1: a the mode `4755` has bits other than permissions, which cannot be kept",
    );
    check(r#"{"path":"a","text":"","mode":"0o755"}"#, "line 1: a the mode `0o755` is not octal, like 0644");
    check(r#"{"path":"a","text":"","mode":"+755"}"#, "line 1: a the mode `+755` is not octal, like 0644");
    check(r#"{"path":"a","text":"","mode":""}"#, "line 1: a the mode `` is not octal, like 0644");
    check(r#"{"path":"a","dir":true,"mode":"755"}"#, "line 1: a has a `mode`, which is for files only");
    check(r#"{"path":"a","symlink":""}"#, "line 1: a is a symlink without a target (to )");
    check(r#"{"path":"a","source":""}"#, "line 1: a cannot come from : it does not exist");
    check(r#"{"path":"a","source":"/nowhere"}"#, "line 1: a cannot come from /nowhere: it does not exist");
    check(r#"{"path":"a","source":"/"}"#, "line 1: a cannot come from /: it is not a file");
    check(r#"{"path":"a","pth":"b"}"#, "line 1: unknown key `pth`, did you mean `path`?");
    check(
        r#"{"size":1}"#,
        "line 1: unknown key `size`, expected one of path, path_b64, mode, source, source_b64, bytes, text, \
         symlink, symlink_b64, dir, begin, end",
    );
    check(
        r#"{"path":1}"#,
        "line 1: is not an entry: it is the number 1, and must be text, in quotes (column 9)",
    );
    check(
        r#"{"path":"a","path":"b"}"#,
        "line 1: is not an entry: the key `path` is given twice (column 18)",
    );
    check("[]", "line 1: is not a JSON object");
    check(r#"["a"]"#, "line 1: is not a JSON object");
    check("x", "line 1: is not a JSON object");
    check("{x", "line 1: is not an entry: key must be a string (column 2)");
    check(r#"{"path":"a","te"#, "line 1: ends in the middle of an entry");
}

#[test]
fn all_lines_are_judged_together() {
    let text = b"{\"path\":\"a\",\"text\":\"1\"}\n\nnonsense\n{\"path\":\"a/b\",\"text\":\"\"}\n\
        {\"path\":\"a\",\"text\":\"2\"}\n{\"path\":\"up\",\"symlink\":\"../x\"}\n{\"path\":\"a\",\"dir\":true}\n";
    assert_eq!(
        problems(text),
        [
            "line 3: is not a JSON object",
            "line 4: a/b lies below something that is not a directory",
            "line 6: up is a symlink that leaves the tree (to ../x)",
            "line 7: a stands twice (also on line 1, 5)",
            "line 7: a is both a directory and something else (also on line 1, 5)",
        ]
    );
}

#[test]
fn what_is_read_is_bounded() {
    let long = format!("{{\"path\":\"a\",\"text\":\"{}\"}}\nx\n", "y".repeat(200));
    assert_eq!(problems(long.as_bytes()), ["line 1: is longer than 200 B; the rest was not read"]);
    let fits = format!("{{\"path\":\"a\",\"text\":\"{}\"}}\n", "y".repeat(200 - 22));
    assert_eq!(fits.len(), 201);
    assert_eq!(problems(fits.as_bytes()), [""; 0]);
    let found = problems("x\n".repeat(5000).as_bytes());
    assert_eq!(found.len(), PROBLEMS_MAX + 1);
    assert_eq!(found[PROBLEMS_MAX], "line 1001: there are too many problems; the rest was not read");
}

const GOOD: &str = concat!(
    r#"{"path":"css/site.css","mode":"0644","text":"body {}\n"}"#,
    "\n",
    r#"{"path":"bin/run","mode":"0755","bytes":"IyEvYmluL3NoCg=="}"#,
    "\n\n",
    r#"{"path":"latest","symlink":"css/site.css"}"#,
    "\n",
    r#"{"path_b64":"/w==","dir":true}"#,
    "\n",
);

proptest! {
    #[test]
    fn a_plan_that_is_cut_is_a_shorter_plan_or_none(cut in 0..GOOD.len()) {
        let whole_lines = GOOD[..cut].ends_with('\n') || GOOD[..cut].is_empty() || GOOD[cut..].starts_with('\n');
        let found = problems(&GOOD.as_bytes()[..cut]);
        prop_assert_eq!(found.is_empty(), whole_lines, "{:?}", found);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let blank = bytes.iter().all(|b| b.is_ascii_whitespace());
        prop_assert_eq!(problems(&bytes).is_empty(), blank);
    }

    #[test]
    fn no_change_makes_it_panic(at in 0..GOOD.len(), byte in any::<u8>()) {
        let mut bytes = GOOD.as_bytes().to_vec();
        bytes[at] = byte;
        for problem in problems(&bytes) {
            prop_assert!(problem.starts_with("line ") && !problem.contains('\n'), "{}", problem);
        }
    }
}
