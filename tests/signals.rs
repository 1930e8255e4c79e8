//! Commands that the program runs inherit no signal state, except for the ignored end signals.

use crate::prelude::*;

/// SIGHUP, SIGINT, SIGQUIT and SIGTERM, which stay ignored as under `nohup`; SIGILL, SIGFPE and SIGSEGV,
/// which cannot be caught; and 32 and 33, which an earlier program may have ignored.
const MAY_BE_IGNORED: u64 = 0x4007 | 0x0488 | LIBRARY;
const LIBRARY: u64 = 0x1_8000_0000;

/// Prints the ignored and the blocked signals of a command.
const TELL: &str = "grep -E '^Sig(Ign|Blk)' /proc/self/status";

/// Runs the command with every signal ignored and blocked.
fn deafened(run: Run<'_>) -> Run<'_> {
    run.under(&["env", "--ignore-signal", "--block-signal"])
}

fn can_deafen(site: &Site) -> bool {
    let told = site.command("--version").under(&["env", "--ignore-signal", "--block-signal"]).try_run();
    if told.is_none() {
        skip_on_this_machine("env(1) is too old to ignore signals");
    }
    told.is_some()
}

#[track_caller]
fn is_clear(text: &str) {
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        u64::from_str_radix(line.unwrap_or_else(|| panic!("no {name} in {text}")).trim(), 16).unwrap()
    };
    assert_eq!(of("SigBlk:"), 0, "{text}");
    assert_eq!(of("SigIgn:") & !MAY_BE_IGNORED, 0, "{text}");
}

#[test]
fn commands_begin_with_default_signals() {
    let site = Site::published();
    needs!(can_deafen(&site));
    let told = deafened(site.command("exec -- sh -c").args(&[TELL])).run().ok();
    is_clear(&told.stdout);
    let build = format!("{TELL} > $GENSTORE_OUT/signals");
    site.write("genstore.toml", format!("[hooks]\npost_commit = \"{TELL} > hook\"\n"));
    deafened(site.command("build -- sh -c").args(&[build])).run().ok();
    is_clear(&site.read("genstore/current/signals"));
    is_clear(&site.read("hook"));
}

/// Signals that are ignored so that a program outlives its terminal stay ignored.
#[test]
fn nohup_stays_nohup() {
    let site = Site::published();
    if can_deafen(&site) {
        let run = site.command("exec -- sh -c").args(&[TELL]);
        let told = run.under(&["env", "--ignore-signal=HUP", "--ignore-signal=USR1"]).run().ok();
        let ignored =
            told.stdout.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim().to_owned();
        assert_eq!(u64::from_str_radix(&ignored, 16).unwrap() & !LIBRARY, 1, "{}", told.stdout);
    }
}
