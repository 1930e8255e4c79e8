//! `exec`.

use crate::harness::{Site, eventually};

fn shell(site: &Site, rev: &str, script: &str) -> crate::harness::Output {
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
    site.run("exec -- no-such-command").is(
        127,
        "",
        "error: cannot run no-such-command\n  No such file or directory (os error 2)\n\
         hint: check the spelling and PATH; a script's interpreter may be missing\n",
    );
    site.write("plain", "");
    site.run("exec -- ./plain").is(
        126,
        "",
        "error: cannot run ./plain\n  Permission denied (os error 13)\n\
         hint: check that it is a program and that you may execute it\n",
    );
    site.run("exec -- ./genstore").fails(126, "error: cannot run ./genstore\n  Permission denied");
    site.run("exec 9 -- true").fails(125, "error: no generation is called 9\n");
    site.run("exec --store nowhere -- true").fails(125, "error: nowhere is not a genstore store\n");
    site.command("exec -- true").env("GENSTORE_NOW", "x").run().fails(125, "error: the fixed time is not ");
    let error = site.run("exec --json 9 -- true").json_error();
    assert_eq!((&error["code"], &error["exit"]), (&"unknown-ref".into(), &125.into()));
    assert_eq!(site.run("exec --json -- no-such-command").json_error()["exit"], 127);
    site.run("exec").fails(2, "error: the following required arguments were not provided:\n  <CMD>...\n");
}

#[test]
fn holds_the_generation_as_long_as_it_lives() {
    let site = Site::published();
    let gc = || site.run("gc --keep-last 1 --grace 0").ok().stdout;
    let mut reader = site.command("exec 1 -- sh -c").args(&["echo ready; read end; exit 5"]).spawn();
    assert_eq!(reader.line(), "ready");
    assert!(gc().contains("keep  1  leased\n"));
    reader.close_stdin();
    assert_eq!(reader.end(&site).status, 5);
    assert!(gc().contains("remove  1  older than last 1\n"));
}

#[test]
fn a_child_of_the_command_holds_it_too() {
    let site = Site::published();
    // The command ends at once; its child waits for the end of its input. Shells give background processes
    // no stdin of their own, so it is kept open as descriptor 9.
    let script = "exec 9<&0; (read end <&9; echo over) & echo started";
    let mut reader = site.command("exec 1 -- sh -c").args(&[script]).spawn();
    assert_eq!(reader.line(), "started");
    let text = site.run("gc --keep-last 1 --grace 0").ok().stdout;
    assert!(text.contains("keep  1  leased\n"), "{text}");
    reader.close_stdin();
    assert_eq!(reader.line(), "over");
    reader.end(&site);
    // The orphan is not waited for. The end of its output comes shortly before the end of its lease.
    let gc = || site.run("gc --keep-last 1 --grace 0 -n").ok().stdout;
    eventually("the lease ends", || gc().contains("remove  1  older than last 1\n"));
}

#[test]
fn a_killed_holder_lets_go() {
    let site = Site::published();
    let mut reader = site.command("exec 1 -- sh -c").args(&["echo ready; read end"]).spawn();
    assert_eq!(reader.line(), "ready");
    reader.kill();
    let text = site.run("gc --keep-last 1 --grace 0").ok().stdout;
    assert!(text.contains("remove  1  older than last 1\n"), "{text}");
}

#[test]
fn its_help_warns_of_closed_descriptors() {
    let help = Site::new().run("exec --help").ok().stdout;
    assert!(help.contains("(sudo, su, some daemons) releases it"), "{help}");
}
