//! System calls that change the disk, from strace.

use crate::prelude::*;

/// A call, with its paths.
#[derive(PartialEq, Debug)]
pub struct Call {
    pub name: String,
    pub paths: Vec<PathBuf>,
    /// Whether it opens a file for writing, or creates one.
    pub writes: bool,
    /// Whether it succeeded.
    pub done: bool,
    line: String,
}

impl Call {
    /// Returns whether it changes a matching path.
    pub fn changes(&self, is: impl Fn(&Path) -> bool) -> bool {
        match self.name.as_str() {
            "open" | "openat" | "openat2" => self.writes && self.paths.iter().any(|path| is(path)),
            // The first path of a link is only read.
            "link" | "linkat" | "symlink" | "symlinkat" => self.paths.last().is_some_and(|path| is(path)),
            _ => self.paths.iter().any(|path| is(path)),
        }
    }
}

/// The `?` marks calls that some machines or versions of strace do not know.
const CALLS: &str = "?open,?openat,?openat2,?creat,?rename,?renameat,?renameat2,?link,?linkat,?symlink,?symlinkat,?unlink,?unlinkat,?rmdir,?mkdir,?mkdirat,?mknod,?mknodat,?truncate,?ftruncate,?fallocate,?chmod,?fchmod,?fchmodat,?fchmodat2,?chown,?fchown,?lchown,?fchownat,?utimensat,?setxattr,?fsetxattr,?copy_file_range";

/// Runs a command under strace and returns its calls in order. Returns `None`, with a printed reason, if
/// that is impossible.
pub fn traced(command: &Command, trace: &Path) -> Option<Vec<Call>> {
    let dir = command.get_current_dir().unwrap();
    let output = Command::new("strace")
        .args(["-f", "-y", "-qq", "-s", "4096", "-e", "signal=none", "-e"])
        .arg(format!("trace={CALLS}"))
        .arg("-o")
        .arg(trace)
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(dir)
        .output();
    let output = match output {
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("ptrace") => {
            skip_on_this_machine(String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        Ok(output) => output,
        Err(_) => {
            skip_without_package("strace");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(trace).unwrap();
    fs::remove_file(trace).unwrap();
    let mut waiting: std::collections::BTreeMap<&str, String> = Default::default();
    let mut calls = Vec::new();
    for line in text.lines() {
        let (pid, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            waiting.insert(pid, begun.to_owned());
        } else if let Some(rest) = rest.strip_prefix("<... ") {
            let rest = rest.split_once(" resumed>").unwrap().1;
            calls.extend(call(&(waiting.remove(pid).unwrap() + rest), dir));
        } else {
            calls.extend(call(rest, dir));
        }
    }
    Some(calls)
}

fn call(line: &str, dir: &Path) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    // No path in these tests contains a quote, a bracket or a comma.
    let (args, result) = rest.rsplit_once(") ")?;
    let mut paths = Vec::new();
    let mut base: Option<PathBuf> = None;
    for arg in args.split(", ") {
        if let Some((_, path)) = arg.split_once('<') {
            // A handle alone is the subject of the call, unless a name follows.
            paths.extend(base.replace(path.trim_end_matches('>').into()));
        } else if let Some(name) = arg.strip_prefix('"') {
            let name = name.trim_end_matches('"');
            paths.push(base.take().unwrap_or_else(|| dir.to_owned()).join(name));
        }
    }
    paths.extend(base);
    // The target of a symlink is not a path that the call uses.
    if name.starts_with("symlink") {
        paths.remove(0);
    }
    let writes = ["O_WRONLY", "O_RDWR", "O_TRUNC", "O_CREAT"].iter().any(|flag| args.contains(flag));
    let done = result.trim_start().starts_with("= 0");
    Some(Call { name: name.to_owned(), paths, writes, done, line: line.to_owned() })
}
