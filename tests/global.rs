//! Global flags and variables, help, and errors of the command line.

use std::fs::File;

use crate::prelude::*;

#[test]
fn colours_are_for_terminals_or_on_demand() {
    let site = Site::published();
    let colored = |args: &str, no_color: &str| {
        let run = site.command(args).env("NO_COLOR", no_color).run();
        (run.stdout + &run.stderr).contains('\x1b')
    };
    assert!(!colored("list", ""));
    assert!(colored("list --color always", ""));
    assert!(colored("--color=always list", "1"));
    assert!(!colored("list --color never", ""));
    assert!(colored("show 9 --color always", ""));
    assert!(colored("--help --color always", ""));
    assert!(!colored("--help", ""));
    assert!(!colored("show 9", ""));
    site.run("list --color some").fails(2, "error: invalid value 'some' for '--color <WHEN>'");
}

#[test]
fn progress_stays_away_from_pipes() {
    let site = Site::published();
    site.run("verify --progress auto").prints("Verified 2 generations, 6 objects, 28 B: no damage\n");
    // The run is over before the bar's delay.
    site.run("verify --progress never").prints("Verified 2 generations, 6 objects, 28 B: no damage\n");
    site.run("verify --progress some").fails(2, "error: invalid value 'some' for '--progress <WHEN>'");
}

#[test]
fn a_lock_that_is_held_is_waited_for_so_long() {
    let site = Site::published();
    let lock = File::open(site.path("genstore/locks/commit")).unwrap();
    lock.lock().unwrap();
    let output = site.run("mark 1 bad --lock-timeout 20ms").exits(11);
    let held = "error: [DIR]/genstore/locks/commit is locked, waited 0.0 s; held by process [PID] (";
    assert!(output.stderr.starts_with(held), "{}", output.stderr);
    let hint = ")\nhint: wait for that process to end, or use a longer timeout: --lock-timeout 10m\n";
    assert!(output.stderr.ends_with(hint), "{}", output.stderr);
    let error = site.run("--json mark 1 bad --lock-timeout 1ms").json_error();
    has(&error, json!({"code": "locked", "exit": 11}));
    assert_eq!(error["holders"][0]["pid"], std::process::id());
    // This run waits for the lock.
    let waiting = site.command("mark 1 bad --lock-timeout 1m").spawn();
    drop(lock);
    waiting.end(&site).prints("Marked generation 1 as bad\n");
    site.run("list --lock-timeout long").fails(2, "error: invalid value 'long' for '--lock-timeout <DUR>'");
}

#[test]
fn the_clock_and_the_faults_are_checked() {
    let site = Site::published();
    site.command("list").env("GENSTORE_NOW", "now").run().exits(2).says(
        "error: the fixed time is not an RFC 3339 time: now\n\
         hint: write it like 2031-05-01T12:00:00Z, or omit it\n",
    );
    for fault in ["x", "1", "x:kill", "1:burn", "flush:burn", "Flush:eio", "flush"] {
        let error = format!(
            "error: the fault is not understood: {fault}\n\
             hint: write it like 7:eio, or omit it\n"
        );
        site.command("list").env("GENSTORE_FAULT", fault).run().is(2, "", &error);
    }
}

#[test]
fn injected_failures_name_operation_path_and_cause() {
    let site = Site::published();
    site.write("dist/a.txt", "3");
    let hint = "hint: readers see no change; free some space (`genstore gc` may help) and try again\n";
    let output = site.command("publish dist").env("GENSTORE_FAULT", "1:enospc").run();
    assert_eq!((output.status, output.stdout.as_str()), (1, ""));
    assert!(output.stderr.starts_with("error: cannot "), "{}", output.stderr);
    let cause = format!("\n  No space left on device (os error 28)\n{hint}");
    assert!(output.stderr.ends_with(&cause), "{}", output.stderr);
    let output = site.command("publish dist").env("GENSTORE_FAULT", "1:eio-from").run().exits(1);
    assert!(output.stderr.contains("\n  Input/output error (os error 5)\n"), "{}", output.stderr);
    site.run("current").prints("2\n");
}

#[test]
fn a_fault_may_be_at_a_stage() {
    let site = Site::published();
    let faulted = |fault: &str| {
        site.write("dist/a.txt", fault);
        site.command("publish dist --json").env("GENSTORE_FAULT", fault).run()
    };
    assert_eq!(faulted("audit:kill").status, 0, "nothing is audited in this project");
    site.write("genstore.toml", "[audit]\nmax_total = \"1MiB\"\n");
    for stage in ["plan", "write", "audit", "flush", "number", "pointer"] {
        assert_eq!(faulted(&format!("{stage}:kill")).status, 137, "{stage}");
        site.run("current").prints("3\n");
        let failed = faulted(&format!("{stage}:eio"));
        assert_eq!((failed.status, failed.json_error()["code"].as_str()), (1, Some("io")), "{stage}");
        site.run("current").prints("3\n");
    }
    let full = faulted("write:enospc").json_error();
    assert_eq!(full["causes"][0], "No space left on device (os error 28)");
    // `current` has moved by then, so a failure is a warning.
    assert_eq!(faulted("view:kill").status, 137);
    let warned = faulted("view:eio-from").json("genstore.publish/1");
    assert!(warned["warnings"].to_string().contains("check the views"), "{warned}");
    site.run("verify -q").ok();
}

#[test]
fn who_reads_no_further_is_no_failure() {
    let site = Site::published();
    for args in ["list", "list --json", "diff -p", "show --tree", "rollback", "gc", "--help"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = site.command(args).stdout_is(writer).run().ok();
        assert!(!output.stderr.contains("error"), "{args}: {}", output.stderr);
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(site.command("diff 1 2 --exit-code").stdout_is(writer).run().status, 1);
}

#[test]
fn a_full_output_fails_what_changed_nothing() {
    let site = Site::published();
    let error = "error: cannot write to standard output\n  No space left on device (os error 28)\n\
                 hint: free some space, or redirect the output\n";
    for args in
        ["list", "show", "current", "path", "diff", "du", "verify", "gc -n", "publish dist -n", "--help"]
    {
        site.command(args).stdout_to("/dev/full").run().is(1, "", error);
    }
    let output = site.command("list --json").stdout_to("/dev/full").run();
    assert_eq!(output.json_error()["code"], "output");
}

#[test]
fn a_full_output_leaves_changes_partly_told() {
    let site = Site::published();
    for (args, done) in [
        ("switch 1", "generation 1 is current now"),
        ("switch 2", "generation 2 is current now"),
        ("rollback", "generation 1 is current now"),
        ("mark 2 good", "generation 2 was marked"),
        ("pin 2 p", "generation 2 was pinned"),
        ("unpin p", "the pin p was removed"),
        ("export 2 out", "generation 2 was exported"),
        ("gc --keep-last 0 --grace 0", "unreferenced generations and objects were removed"),
        ("init --store new", "the store was created"),
    ] {
        let output = site.command(args).stdout_to("/dev/full").run();
        let warning = format!("warning: {done}, but the report could not be written\n");
        assert_eq!(output.status, 3, "{args}: {}", output.stderr);
        assert!(output.stderr.contains(&warning), "{args}: {}", output.stderr);
    }
}

#[test]
fn help_is_data() {
    let site = Site::new();
    let help = site.run("--help").ok();
    assert!(help.stdout.starts_with("Publish build outputs as generations: "), "{}", help.stdout);
    assert_eq!(help.stderr, "");
    assert_eq!(site.run("help").ok().stdout, help.stdout);
    assert_eq!(site.run("help gc").ok().stdout, site.run("gc --help").ok().stdout);
    site.run("--version").prints(concat!("genstore ", env!("CARGO_PKG_VERSION"), "\n"));
    let verbs = "init publish list show current path diff cat export rollback switch mark pin unpin gc verify \
        exec du wait torture completions";
    for verb in verbs.split(' ') {
        assert!(help.stdout.contains(&format!("\n  {verb} ")), "{verb}");
        let own = site.run(&format!("{verb} --help")).ok().stdout;
        assert!(own.contains(&format!("\nUsage: genstore {verb}")), "{own}");
    }
}

#[test]
fn a_bad_command_line_is_told_to_people_and_programs() {
    let site = Site::new();
    let none = site.run("");
    assert_eq!((none.status, none.stdout.as_str()), (2, ""));
    assert!(none.stderr.starts_with("Publish build outputs"), "{}", none.stderr);
    site.run("rolback")
        .fails(2, "error: unrecognized verb 'rolback'\n\n  tip: a similar verb exists: 'rollback'\n");
    site.run("list --jsn").fails(
        2,
        "error: unexpected argument '--jsn' found\n\n  tip: a similar argument exists: '--json'\n",
    );
    site.run("-q -v list").fails(2, "error: the argument '--quiet' cannot be used with '--verbose...'\n");
    let check = |args: &str, message: &str, hint: &str| {
        let output = site.run(args).exits(2);
        let expected = json!({
            "schema": "genstore.error/1", "code": "usage", "exit": 2, "message": message, "hint": hint,
        });
        assert_eq!(output.json_error(), expected);
    };
    check("--json", "no verb is given", "see `genstore help`");
    check("rolback --json", "unrecognized verb 'rolback'", "did you mean rollback? see `genstore help`");
    check(
        "--json list --colr x",
        "unexpected argument '--colr' found",
        "did you mean --color? see `genstore help`",
    );
    check(
        "gc --grace x --json",
        "invalid value 'x' for '--grace <DUR>': not a duration: x (write it like 30s, 10m, 2h or 7d)",
        "see `genstore help`",
    );
}

/// Control characters of both sets, and characters that set the direction of text.
const OBEYED: [&str; 9] = [
    "\u{9b}31m",
    "\u{85}",
    "\u{7f}",
    "\u{61c}",
    "\u{200e}",
    "\u{200f}x",
    "\u{202e}txt.exe",
    "\u{2066}",
    "a\u{2028}b",
];

/// Commands with `ODD` in every place where foreign text may stand.
const ODD: &str = "ODD;list ODD;list --ODD;list --color ODD;list --store ODD;list --lock-timeout ODD;show ODD;\
    switch ODD;mark 1 ODD;pin 1 ODD;publish ODD;publish dist --fact ODD;\
    publish dist --always -m ODD --fact ODD=ODD;list;show;cat @ ODD;diff @ ODD;build -- ODD;exec -- ODD;view rm ODD";

/// Runs each of these commands, and returns its words and all that it prints.
fn all_odd(site: &Site, odd: &str, flags: &[&str]) -> Vec<(String, String)> {
    let told = |args: &str| {
        let args: Vec<String> = args.split(' ').map(|word| word.replace("ODD", odd)).collect();
        let run = site.command("").args(flags).args(&args).run();
        (format!("{args:?}"), String::from_utf8(run.bytes).unwrap() + &run.stderr)
    };
    ODD.split(';').map(told).collect()
}

#[test]
fn nothing_that_a_terminal_obeys_is_printed_raw() {
    let site = Site::published();
    let directs = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    for odd in OBEYED {
        for flags in [&[][..], &["--json"]] {
            for (args, told) in all_odd(&site, odd, flags) {
                let raw = |c: &char| (c.is_control() && *c != '\n') || directs(*c);
                assert_eq!(told.chars().find(raw), None, "{args}: {told}");
            }
        }
    }
    // A document contains the character, escaped.
    let odd = OBEYED[6];
    site.command("publish dist --always -q -m").args(&[odd]).run().ok();
    assert_eq!(site.run("show --json").json("genstore.show/1")["note"], odd);
    assert!(String::from_utf8(site.run("list --json").bytes).unwrap().contains("\\u202etxt.exe"));
}

/// Colours in foreign text are escaped even if colours are on.
#[test]
fn colours_in_what_others_wrote_are_printed_as_text() {
    let site = Site::published();
    for (args, told) in all_odd(&site, "\x1b[41mred", &["--color", "always"]) {
        assert!(!told.contains("\x1b[41m"), "{args}: {told}");
    }
}
