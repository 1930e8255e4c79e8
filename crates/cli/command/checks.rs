//! Audit commands: each checks the staged tree and reports findings.
//!
//! A command gets the tree's directory as `GENSTORE_STAGED`, and a file for its findings as
//! `GENSTORE_FINDINGS`. Each line of the file is a JSON object with `message` and, optionally, `rule`,
//! `path` and `severity` (`error` or `warning`). If the command fails without a finding, its failure is the
//! finding.

use std::io::Read;
use std::path::Path;

use anyhow::Result;
use genstore::Error;
use genstore::audit::{Finding, Severity};
use genstore_run::{Ended, Limits, Output};
use serde::Deserialize;
use tempfile::NamedTempFile;

use crate::command::context::Context;
use crate::command::running;
use crate::environment;
use crate::project::config::{AuditSection, CommandLine};
use crate::render::output;
use crate::text::human;

/// The rule of a finding that names none.
const RULE: &str = "run";

/// The project's audit commands.
pub(crate) struct Checks<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) section: &'a AuditSection,
    /// The directory in which the commands run.
    pub(crate) root: &'a Path,
}

impl Checks<'_> {
    /// Runs all commands on a staged tree.
    pub(crate) fn run(&self, staged: &Path) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for command in &self.section.run {
            findings.extend(self.one(command, staged)?);
        }
        Ok(findings)
    }

    fn one(&self, command: &CommandLine, staged: &Path) -> Result<Vec<Finding>> {
        let file = NamedTempFile::with_prefix("genstore-findings-").map_err(|source| Error::Io {
            op: "make a file in",
            path: environment::temp_dir(),
            source,
        })?;
        let mut job = running::job(&command.words()).ok_or_else(|| running::no_command("[audit] run"))?;
        job.cwd = Some(self.root.to_owned());
        job.env = vec![
            ("GENSTORE_STAGED".into(), staged.into()),
            ("GENSTORE_FINDINGS".into(), file.path().into()),
        ];
        let limits = Limits { timeout: self.section.timeout, ..Limits::default() };
        // Both streams are messages: the findings are in the file.
        let output = Output::to(|_, bytes| output::pass_to_stderr(bytes));
        let done = running::run(self.context, &job, output, limits)?;
        let mut findings = read(&file)?;
        let ended = done.finished.ended;
        let refuses = findings.iter().any(|finding| finding.severity == Severity::Error);
        if ended != Ended::Exited(0) && !refuses {
            let name = human::line(&command.text(), 60);
            findings.push(Finding::error(RULE, None, running::ending(&name, ended)));
        }
        Ok(findings)
    }
}

/// A line of the findings file.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    rule: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    severity: Option<String>,
    message: String,
}

/// The largest part of a findings file that is read.
const MAX_BYTES: u64 = 64 << 20;

fn read(file: &NamedTempFile) -> Result<Vec<Finding>> {
    let fail = |source| Error::Io { op: "read", path: file.path().to_owned(), source };
    let mut bytes = Vec::new();
    // The file is opened by its name, because the command may have replaced it.
    let opened = std::fs::File::open(file.path()).map_err(fail)?;
    opened.take(MAX_BYTES).read_to_end(&mut bytes).map_err(fail)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(finding).collect())
}

fn finding(line: &str) -> Finding {
    // Findings are printed to terminals: one line each, without control characters.
    let one_line = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        genstore::tree::show_path(words.join(" ").as_bytes())
    };
    match serde_json::from_str::<Line>(line) {
        Ok(Line { rule, path, severity, message }) => {
            let severity = match severity.as_deref() {
                Some("warning") => Severity::Warning,
                _ => Severity::Error,
            };
            let rule = one_line(rule.as_deref().unwrap_or(RULE));
            Finding::new(&rule, severity, path.as_deref().map(str::as_bytes), one_line(&message))
        }
        // A line that cannot be parsed counts as an error, because it may be the one that refuses the tree.
        Err(_) => Finding::error(RULE, None, format!("no finding: {}", human::line(line, 100))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_commands_write() {
        let wild = finding(r#"{"rule":"\u001b[2J","message":"a\u0007b"}"#);
        assert_eq!((wild.rule.as_str(), wild.message.as_str()), ("\\u{1b}[2J", "a\\u{7}b"));
        let full = finding(r#"{"rule":"links","path":"a/b","severity":"warning","message":"two\nlines"}"#);
        assert_eq!((full.rule.as_str(), full.path.as_deref()), ("links", Some(&b"a/b"[..])));
        assert_eq!((full.severity, full.message.as_str()), (Severity::Warning, "two lines"));
        let short = finding(r#"{"message":"bad"}"#);
        assert_eq!(short, Finding::error("run", None, "bad"));
        let unknown = finding(r#"{"message":"bad","severity":"fatal","more":1}"#);
        assert_eq!(unknown.severity, Severity::Error);
        assert_eq!(finding("oops"), Finding::error("run", None, "no finding: oops"));
    }
}
