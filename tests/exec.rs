//! `exec`.

use crate::prelude::*;

fn shell(site: &Site, rev: &str, script: &str) -> Output {
    let mut args = vec!["exec"];
    args.extend((!rev.is_empty()).then_some(rev));
    args.extend(["--", "sh", "-c", script]);
    site.run_with(&args)
}

#[test]
fn becomes_the_command() {
    let site = Site::published();
    shell(&site, "", "echo $GENSTORE_GENERATION $GENSTORE_ROOT; pwd")
        .prints("2 [DIR]/genstore/generations/2/tree\n[DIR]\n");
    shell(&site, "1", "cat $GENSTORE_ROOT/a.txt; exit 9").is(9, "one\n", "");
    assert_eq!(shell(&site, "@-", "kill -TERM $$").status, 128 + 15);
    // Flags after `--` are the command's.
    site.run("exec -- echo --json -q").prints("--json -q\n");
}

#[test]
fn tells_its_own_failures_from_the_command_s() {
    let site = Site::published();
    site.run("exec -- no-such-command").exits(127).says(
        "error: cannot run no-such-command\n  No such file or directory (os error 2)\n\
         hint: check the spelling and PATH; a script's interpreter may be missing\n",
    );
    site.write("plain", "");
    site.run("exec -- ./plain").exits(126).says(
        "error: cannot run ./plain\n  Permission denied (os error 13)\n\
         hint: check that it is a program and that you may execute it\n",
    );
    site.run("exec -- ./genstore").fails(126, "error: cannot run ./genstore\n  Permission denied");
    site.run("exec 9 -- true").fails(125, "error: no generation is called 9\n");
    site.run("exec --store nowhere -- true").fails(125, "error: nowhere is not a genstore store\n");
    site.command("exec -- true").env("GENSTORE_NOW", "x").run().fails(125, "error: the fixed time is not ");
    let error = site.run("exec --json 9 -- true").json_error();
    has(&error, json!({"code": "unknown-ref", "exit": 125}));
    assert_eq!(site.run("exec --json -- no-such-command").json_error()["exit"], 127);
    site.run("exec").fails(2, "error: the following required arguments were not provided:\n  <CMD>...\n");
}

#[test]
fn its_help_warns_of_closed_descriptors() {
    Site::new().run("exec --help").ok().stdout_has("(sudo, su, some daemons) releases it");
}

/// The program raises its own limit of open files. Commands that use `select` rely on a low one.
#[test]
fn commands_get_the_limit_of_open_files_that_the_program_was_started_with() {
    let site = Site::published();
    let limited = ["prlimit", "--nofile=300:4000"];
    let print = "ulimit -Sn; ulimit -Hn";
    let exec = site.command("exec --").args(&["sh", "-c", print]).under(&limited).run();
    exec.prints("300\n4000\n");
    let script = format!("({print}) > \"$GENSTORE_OUT/limits\"");
    site.command("build --").args(&["sh", "-c", &script]).under(&limited).run().ok();
    assert_eq!(site.read("genstore/current/limits"), "300\n4000\n");
}
