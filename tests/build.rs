//! `build`: the output of a command is published completely, or not at all.

use crate::prelude::*;

fn build(site: &Site, script: &str) -> Output {
    site.command("build").args(&["--", "sh", "-ec", script]).run()
}

#[test]
fn publishes_what_the_command_wrote() {
    let site = Site::new();
    let script = "mkdir -p \"$GENSTORE_OUT/css\"; echo 'a{}' > \"$GENSTORE_OUT/css/a.css\"; echo hello; echo careful >&2";
    build(&site, script).is(
        0,
        "hello\n     Built in [TIME]\n   Scanned 1 file, 4 B in [TIME]\n    Stored 1 new object, 4 B (0 shared)\n \
         Published generation 1 [ID] (the first): +1 ~0 -0 in [TIME]\n",
        "   Created the store [DIR]/genstore\ncareful\n",
    );
    assert_eq!(site.read("genstore/current/css/a.css"), "a{}\n");
    let log = site.read("genstore/generations/1/build.log");
    assert!(log == "hello\ncareful\n" || log == "careful\nhello\n", "{log}");
    assert_eq!(site.names("genstore/staging"), [""; 0]);
    build(&site, script).ok().stdout_ends("Unchanged: generation 1 [ID] is already current\n");
    assert!(!site.has("genstore/generations/2"));
}

#[test]
fn tells_programs() {
    let site = Site::new();
    let script = "echo talk; echo 1 > \"$GENSTORE_OUT/a\"";
    let output = site.command("build --json -m note").args(&["--", "sh", "-c", script]).run();
    assert_eq!((output.status, output.stderr.contains("talk\n")), (0, true), "{}", output.stderr);
    let doc = output.json("genstore.publish/1");
    assert!(doc["ms"]["build"].is_u64());
    has(&doc, json!({"generation": 1, "files": 1, "added": 1}));
    let failed = site.command("build --json").args(&["--", "sh", "-c", "exit 7"]).run();
    let error = failed.json_error();
    assert_eq!((&error["code"], &error["exit"], failed.status), (&json!("build-failed"), &json!(7), 7));
    assert_eq!(error["command"], json!({"exit": 7}));
    assert_eq!(error["failed"]["number"], 1);
    assert_eq!(error["failed"]["path"], "[DIR]/genstore/failed/1");
}

#[test]
fn a_build_that_fails_changes_nothing() {
    let site = Site::published();
    let before = site.path("genstore/current").read_link().unwrap();
    let script = "echo half > \"$GENSTORE_OUT/a.txt\"; echo it broke >&2; exit 3";
    build(&site, script).exits(3).says(
        "it broke\nerror: the build failed: sh exited with 3\nhint: readers see no change; its log \
         is kept in [DIR]/genstore/failed/1; exit status 3 is the command's\n",
    );
    assert_eq!(site.path("genstore/current").read_link().unwrap(), before);
    assert_eq!(site.read("genstore/failed/1/build.log"), "it broke\n");
    assert_eq!(site.names("genstore/staging"), [""; 0]);
    build(&site, "kill -SEGV $$").fails(139, "error: the build failed: sh was killed by signal 11\n");
    build(&site, "true").fails(1, "error: the build failed: it wrote nothing to GENSTORE_OUT\n");
    let slow = site.command("build --timeout 50ms").args(&["--", "sh", "-c", "sleep 1000"]).run();
    slow.fails(124, "error: the build failed: sh timed out\n");
    assert_eq!(site.path("genstore/current").read_link().unwrap(), before);
    site.run("verify").ok();
}

#[test]
fn a_command_that_cannot_be_started() {
    let site = Site::new();
    site.run("init").ok();
    let hint = "hint: check the spelling and PATH; a script's interpreter may be missing\n";
    let missing = "error: cannot run no-such-program\n  No such file or directory (os error 2)\n";
    site.run("build -- no-such-program").is(127, "", &format!("{missing}{hint}"));
    site.write("plain", "no program");
    site.run("build -- ./plain").fails(126, "error: cannot run ./plain\n  Permission denied");
    site.run("build").exits(2).says(
        "error: no build command is set\nhint: give one after `--`, or set `command` under [build] in \
         genstore.toml\n",
    );
    assert_eq!(site.names("genstore/staging"), [""; 0]);
    assert!(!site.has("genstore/failed"));
}

#[test]
fn the_project_says_how_to_build() {
    let site = Site::new();
    site.write(
        "genstore.toml",
        "[build]\ncommand = 'echo $WHO in $(basename $PWD) > $GENSTORE_OUT/a'\ncwd = 'src'\nenv = { WHO = 'project' }\n",
    );
    fs::create_dir_all(site.path("src/deep")).unwrap();
    site.command("build").dir("src/deep").run().ok();
    assert_eq!(site.read("genstore/current/a"), "project in src\n");
    // A command from the command line runs in the current directory.
    let script = "echo $WHO in $(basename $PWD) > $GENSTORE_OUT/a";
    site.command("build").args(&["--", "sh", "-c", script]).dir("src/deep").run().ok();
    assert_eq!(site.read("genstore/current/a"), "project in deep\n");
    site.write("genstore.toml", "[build]\ncommand = ['sh', '-c', 'exit 9']\n");
    site.run("build").fails(9, "error: the build failed: sh exited with 9");
    site.write("genstore.toml", "[build]\ncommand = ''\n");
    site.run("build").fails(2, "error: the command of [build] is empty\n");
    site.write("genstore.toml", "[build]\ncommand = 'true'\ncwd = 'none'\n");
    site.run("build").fails(125, "error: cannot enter [DIR]/none\n");
}

#[test]
fn incremental_builders_get_the_previous_tree() {
    let site = Site::new();
    let script = "echo \"${GENSTORE_GENERATION-none}\" > \"$GENSTORE_OUT/from\"; \
                  if [ -n \"$GENSTORE_PREV\" ]; then cp -al \"$GENSTORE_PREV/big\" \"$GENSTORE_OUT/\"; \
                  else echo big > \"$GENSTORE_OUT/big\"; chmod 600 \"$GENSTORE_OUT/big\"; fi";
    build(&site, script).ok();
    assert_eq!(site.read("genstore/current/from"), "none\n");
    build(&site, script).ok();
    assert_eq!(site.read("genstore/current/from"), "1\n");
    let inode = |generation: u64| {
        let path = site.path(format!("genstore/generations/{generation}/tree/big"));
        let meta = fs::metadata(path).unwrap();
        (std::os::unix::fs::MetadataExt::ino(&meta), std::os::unix::fs::MetadataExt::mode(&meta) & 0o7777)
    };
    assert_eq!(inode(1), inode(2), "unchanged, it is the same file, with the same mode");
    assert_eq!(inode(2).1, 0o444);
    site.run("verify").ok();
}

#[test]
fn the_commands_status_is_told_from_the_programs_own() {
    let site = Site::new();
    site.write("genstore.toml", "[audit]\nforbid = ['bad']\n[build]\nstop_timeout = '10ms'\n");
    let run = |more: &str, script: &str| {
        let output = site.command(&format!("build --json {more}")).args(&["--", "sh", "-c", script]).run();
        (output.status, output.json_error())
    };
    let (status, error) = run("", "exit 5");
    assert_eq!(
        (status, &error["code"], &error["command"]),
        (5, &json!("build-failed"), &json!({"exit": 5}))
    );
    let (status, error) = run("", "echo > $GENSTORE_OUT/bad");
    assert_eq!((status, &error["code"], &error["command"]), (5, &json!("audit-refused"), &json!(null)));
    let (status, error) = run("", "true");
    assert_eq!((status, &error["code"], &error["command"]), (1, &json!("build-failed"), &json!(null)));
    let (status, error) = run("", "kill -TERM $$");
    assert_eq!((status, &error["command"]), (143, &json!({"signal": 15})));
    let (status, error) = run("--timeout 1ms", "sleep 1000");
    assert_eq!((status, &error["command"]), (124, &json!({"timed_out": true})));
    // A status without another meaning needs no explanation.
    let hint = |script| build(&site, script).stderr.ends_with("is the command's\n");
    assert!(hint("exit 5") && !hint("exit 7"));
}

#[test]
fn the_path_to_write_to_stays_the_same() {
    let site = Site::new();
    let script = "echo \"$GENSTORE_OUT\" > \"$GENSTORE_OUT/where\"";
    build(&site, script).ok();
    let usual = format!("{}\n", site.path("genstore/staging/s-build/out").display());
    assert_eq!(site.read("genstore/current/where"), usual);
    build(&site, script).ok().stdout_has("\nUnchanged: generation 1 ");
    build(&site, "exit 1").fails(1, "error: the build failed");
    // While another build has it, it is another one, and that is said.
    let wait = format!("echo up; while ! [ -e go ]; do sleep 0.01; done; {script}");
    let mut first = site.command("build").args(&["--", "sh", "-c", &wait]).spawn();
    assert_eq!(first.line(), "up");
    let beside = build(&site, script).ok();
    let other = site.read("genstore/current/where");
    assert_ne!(other, usual);
    let shown = site.replace(other.trim());
    let warning = format!("warning: another build has the usual GENSTORE_OUT: it is {shown} this time\n");
    assert_eq!(beside.stderr, warning);
    // It concerns only builds that use it.
    site.tree("dist", &[("a", "=1")]);
    assert_eq!(site.run("build --output dist -- true").ok().stderr, "");
    site.write("go", "");
    assert_eq!(first.end(&site).status, 0);
    assert_eq!(site.read("genstore/current/where"), usual);
}

/// Returns whether a process exists and is no zombie.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn an_interrupted_build_leaves_nothing() {
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let site = Site::published();
        site.write("genstore.toml", "[build]\nstop_timeout = '100ms'\n");
        let before = site.path("genstore/current").read_link().unwrap();
        // A grandchild in a session of its own, and one that ignores signals.
        let script = "setsid sh -c 'echo $$ > far; sleep 1000' & (trap '' TERM INT; echo $$ > near; sleep 1000) & \
                      echo 1 > \"$GENSTORE_OUT/a\"; echo up; wait";
        let mut run = site.command("build").args(&["--", "sh", "-c", script]).spawn();
        assert_eq!(run.line(), "up");
        eventually("all of them run", || {
            site.has("far") && site.has("near") && !site.read("far").is_empty()
        });
        let kill = Command::new("kill").args([&format!("-{signal}"), &run.pid().to_string()]).status();
        assert!(kill.unwrap().success());
        let output = run.end(&site).exits(status);
        assert!(output.stderr.starts_with("error: interrupted by signal"), "{}", output.stderr);
        assert!(!lives(&site.read("far")), "a grandchild lives on");
        assert_eq!(site.path("genstore/current").read_link().unwrap(), before);
        assert_eq!(site.names("genstore/staging"), [""; 0]);
    }
}

#[test]
fn grandchildren_do_not_survive() {
    let site = Site::new();
    let script = "setsid sh -c 'echo $$ > pid; exec sleep 1000' & while ! [ -s pid ]; do :; done; echo 1 > \"$GENSTORE_OUT/a\"";
    build(&site, script).ok();
    assert!(!lives(&site.read("pid")), "a process of the build is alive");
}

#[test]
fn a_killed_build_is_swept_by_the_next_writer() {
    let site = Site::new();
    let script = "echo 1 > \"$GENSTORE_OUT/a\"; setsid sleep 1000 & echo $! > pid; echo up; wait";
    let mut run = site.command("build").args(&["--", "sh", "-c", script]).spawn();
    assert_eq!(run.line(), "up");
    run.kill();
    eventually("the grandchild is gone", || !lives(&site.read("pid")));
    assert!(!site.names("genstore/staging").is_empty());
    site.tree("dist", &[("b", "=2")]);
    site.run("publish dist").ok();
    assert_eq!(site.names("genstore/staging"), [""; 0]);
    assert_eq!(site.names("genstore/current"), ["b"]);
}

#[test]
fn a_race_for_current_is_lost_after_the_build_too() {
    let site = Site::published();
    let script = "echo 1 > \"$GENSTORE_OUT/a\"; echo up; while ! [ -e go ]; do sleep 0.01; done";
    let mut run = site.command("build --expect 2").args(&["--", "sh", "-c", script]).spawn();
    assert_eq!(run.line(), "up");
    site.tree("dist", &[("other", "=2")]);
    site.run("publish dist").ok();
    site.write("go", "");
    run.end(&site).exits(6);
    assert_eq!(site.names("genstore/current"), ["other"]);
}
