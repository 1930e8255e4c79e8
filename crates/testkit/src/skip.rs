//! Skipped tests. Every test that cannot run records this here, with the reason.
//!
//! The reason is printed, and appended to the file that `GENSTORE_SKIPS` names. `scripts/check` sets
//! that variable, ends with a table of all reasons, and fails if `scripts/setup` could have avoided
//! one of them.

#![allow(clippy::print_stdout, reason = "prints why a test was skipped")]

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Ends the calling test if a condition does not hold. The condition has recorded why.
#[macro_export]
macro_rules! needs {
    ($condition:expr) => {
        if !$condition {
            return;
        }
    };
}

/// The thing that a skipped test lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    /// A program or package that `scripts/setup` can install.
    Package,
    /// A right, a filesystem or a kernel feature that this machine does not have.
    Machine,
}

/// Records that the calling test is skipped because `what` is not installed.
pub fn skip_without_package(what: impl Display) {
    record(Lack::Package, &format!("{what} is not installed"));
}

/// Records that the calling test is skipped because this machine lacks something.
pub fn skip_on_this_machine(why: impl Display) {
    record(Lack::Machine, &why.to_string());
}

/// Returns whether a program can be started. If not, records that the calling test is skipped.
pub fn has_program(program: &str) -> bool {
    let is_there = can_start(program);
    if !is_there {
        skip_without_package(program);
    }
    is_there
}

fn can_start(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

/// Returns whether the packages of a folder's lockfile are installed in its `node_modules`, and node and
/// npm with them. If not, records that the calling test is skipped.
pub fn has_node_modules(folder: &Path) -> bool {
    if !has_program("node") || !has_program("npm") {
        return false;
    }
    let lockfile = std::fs::read(folder.join("package-lock.json")).expect("read the lockfile");
    // Written by `scripts/setup` when `npm ci` is done.
    let installed = std::fs::read(folder.join("node_modules/.installed"));
    let is_installed = installed.is_ok_and(|bytes| bytes == lockfile);
    if !is_installed {
        skip_without_package(format!("a package of {}/package-lock.json", folder.display()));
    }
    is_installed
}

/// Returns whether the tests run as root. If not, records that the calling test is skipped.
pub fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip_on_this_machine("the test needs root");
    }
    is_root
}

fn record(lack: Lack, why: &str) {
    println!("skipped: {why}");
    if let Some(file) = std::env::var_os("GENSTORE_SKIPS") {
        append(Path::new(&file), &line(lack, &test_name(), why));
    }
}

/// The thread that runs a test is named after it.
fn test_name() -> String {
    std::thread::current().name().unwrap_or("unknown test").to_owned()
}

/// Formats one line of the file: kind, test and reason, separated by tabs.
fn line(lack: Lack, test: &str, why: &str) -> String {
    let kind = match lack {
        Lack::Package => "package",
        Lack::Machine => "machine",
    };
    let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{kind}\t{test}\t{why}\n")
}

/// Appends in one write, so that lines of several processes do not mix.
fn append(file: &Path, line: &str) {
    let mut file =
        std::fs::File::options().append(true).create(true).open(file).expect("open the file of skips");
    file.write_all(line.as_bytes()).expect("write to the file of skips");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_one_line_with_kind_test_and_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("skips");
        append(&file, &line(Lack::Package, "verify::a_test", "rsync is not installed"));
        append(&file, &line(Lack::Machine, "view::b", "mount: denied\nby\tthe kernel"));
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            "package\tverify::a_test\trsync is not installed\n\
             machine\tview::b\tmount: denied by the kernel\n"
        );
    }

    #[test]
    fn the_calling_test_is_named() {
        assert!(test_name().ends_with("the_calling_test_is_named"), "{}", test_name());
    }

    #[test]
    fn a_program_that_is_absent_is_found_out() {
        // The other functions would record a skip, which the gate counts.
        assert!(can_start("sh"));
        assert!(!can_start("genstore-no-such-program"));
    }
}
