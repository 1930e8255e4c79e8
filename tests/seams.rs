//! The clock and the faults of the shipped program: nothing that a stranger can set reaches them. Otherwise
//! it equals the program that the other tests run.

use crate::harness::{NOW, PROGRAM, SHIPPED};
use crate::prelude::*;

#[test]
fn the_environment_sets_neither_clock_nor_fault() {
    let site = Site::of(&[("a", "=1")]);
    site.write("precious", "kept");
    let trace = format!("trace:{}", site.path("precious").display());
    for (count, fault) in
        ["1:kill", "1:eio", "number:kill", "1:enospc", "x", &trace].into_iter().enumerate()
    {
        let run = site.shipped("publish dist --always --json").env("GENSTORE_FAULT", fault);
        let done = run.env("GENSTORE_NOW", NOW).run().is_json("genstore.publish/1");
        assert_eq!(done["generation"], count + 1, "{fault}");
    }
    assert_eq!(site.read("precious"), "kept");
    let list = site.shipped("list --json").env("GENSTORE_NOW", NOW).run().is_json("genstore.list/1");
    let times: Vec<&Value> =
        list["generations"].as_array().unwrap().iter().map(|generation| &generation["time"]).collect();
    assert!(times.len() == 6 && times.iter().all(|time| *time != NOW), "{times:?}");
    // The real clock has not reached the end of the pin, so it keeps the generation, whatever the variable
    // is.
    site.shipped("pin 1 p --until 1h").run().ok();
    let late =
        site.shipped("gc --keep-last 1 --grace 0 --json").env("GENSTORE_NOW", "2099-01-01T00:00:00Z");
    late.run().ok();
    assert_eq!(site.names("genstore/generations"), ["1", "6"]);
}

/// Searches for a word. Windows of each length take a debug build half a minute.
fn has_word(bytes: &[u8], word: &[u8]) -> bool {
    bytes.split(|byte| *byte == word[0]).any(|rest| rest.starts_with(&word[1..]))
}

#[test]
fn the_shipped_program_does_not_know_the_variables() {
    let holds = |program: &str, word: &str| {
        let bytes = fs::read(program).unwrap();
        has_word(&bytes, word.as_bytes())
    };
    for word in ["GENSTORE_FAULT", "GENSTORE_NOW"] {
        assert!(holds(PROGRAM, word), "{word} is how tests do it");
        assert!(!holds(SHIPPED, word), "{word}");
    }
    let site = Site::new();
    for args in ["--version", "--help", "help torture"] {
        let told = site.shipped(args).run().ok().stdout;
        assert_eq!(told, site.run(args).ok().stdout, "the two say the same");
        for word in ["GENSTORE_FAULT", "GENSTORE_NOW", "seam", "torture-trial", "testing"] {
            assert!(!told.contains(word), "{args}: {word}");
        }
    }
}

/// Runs a fake child of the torture at a place, with this as its stdin; returns its stderr.
fn trial(site: &Site, program: &str, args: &[&str], message: &str) -> String {
    let mut command = Command::new(program);
    command.args(args).current_dir(site.path("")).env_clear().env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // It may have ended before it reads.
    pipe.write_all(message.as_bytes()).unwrap_or_default();
    let output = child.wait_with_output().unwrap();
    drop(pipe);
    assert!(!output.status.success(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_stranger_cannot_speak_to_a_trial() {
    let site = Site::of(&[("a", "=1")]);
    let trace = site.path("trace");
    let message = format!("{NOW}\n1:kill\n{}\nend\n", trace.display());
    let unknown = "error: unrecognized verb 'torture-trial'";
    for program in [SHIPPED, PROGRAM] {
        for message in [&message, "", "end\n"] {
            let told = trial(&site, program, &["torture-trial", "publish", "dist"], message);
            assert!(told.starts_with(unknown), "{told}");
        }
        // The parent is this program, but the pipe is not its own.
        let nested = format!("printf '1\\n2\\n3\\nend\\n' | {program} torture-trial publish dist");
        let told = trial(&site, program, &["build", "--", "sh", "-c", &nested], "");
        assert!(told.contains(unknown), "{told}");
        let told = trial(&site, program, &["build", "--", program, "torture-trial", "list"], &message);
        assert!(told.contains(unknown), "{told}");
    }
    assert!(!site.has("trace"));
}

/// A parent that became this program by exec holds no end of a pipe between two others.
#[test]
fn a_trial_needs_the_pipe_of_its_parent() {
    let site = Site::published();
    let trace = site.path("trace");
    let message = format!("{NOW}\\n\\n{}\\nend\\n", trace.display());
    for program in [SHIPPED, PROGRAM] {
        let trial = format!(
            "until [ /proc/$PPID/exe -ef {program} ]; do :; done; exec {program} torture-trial list"
        );
        let script = format!(
            "export trial='{trial}'; printf '{message}' | sh -c \"$trial\" & \
             exec {program} wait --timeout 10m >/dev/null 2>&1"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(site.path("")).env_clear().env("PATH", "/usr/bin:/bin");
        let mut parent = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // It ends with the status of the trial.
        let told = std::io::read_to_string(parent.stderr.take().unwrap()).unwrap();
        let lives = parent.try_wait().unwrap().is_none();
        parent.kill().unwrap();
        parent.wait().unwrap();
        assert!(lives, "the parent ended before its trial");
        assert!(told.starts_with("error: unrecognized verb 'torture-trial'"), "{told}");
        assert!(!site.has("trace"));
    }
}
