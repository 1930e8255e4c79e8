//! Prints an error: one line, its causes, the paths concerned, a hint, and the exit status.

use std::fmt;

use genstore::audit::Failed;
use genstore::error::Problem;
use genstore::{Error, GenerationId};
use genstore_run::Ended;
use serde::Serialize;

use super::hints::hint_of;
use super::json::{FindingDoc, PathField, UseDoc, WarningDoc};
use super::leftover::{LeftoverDoc, leftover_line};
use super::output::Out;
use super::publish::finding_line;
use super::remote;
use crate::errors::{BadInput, BuildFailed, Fail, InputProblem, Refused};
use crate::exit;
use crate::text::escape::show;
use crate::text::style::{BAD, CARE};
use crate::text::{human, time};

/// The most findings that are printed for people.
const MANY_LINES: usize = 50;

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct FailedDoc {
    number: u64,
    #[serde(flatten)]
    path: PathField,
}

/// The end of a command: one of the fields, or none if it is unknown.
#[derive(Serialize, Default)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct CommandDoc {
    /// The exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<i32>,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// Whether it was stopped after its time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    timed_out: bool,
}

impl CommandDoc {
    fn of(ended: Ended) -> CommandDoc {
        match ended {
            Ended::Exited(code) => CommandDoc { exit: Some(code), ..CommandDoc::default() },
            Ended::Signaled(signal) => CommandDoc { signal: Some(signal), ..CommandDoc::default() },
            Ended::TimedOut => CommandDoc { timed_out: true, ..CommandDoc::default() },
            _ => CommandDoc::default(),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct ProblemDoc {
    /// The line of the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(flatten)]
    path: PathField,
    /// A sentence for people.
    what: String,
}

impl ProblemDoc {
    fn of(problem: &InputProblem) -> ProblemDoc {
        let path = problem.path.as_deref().map(PathField::of).unwrap_or_default();
        ProblemDoc { line: problem.line, path, what: problem.what.clone() }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct HolderDoc {
    /// The number of the process.
    pid: u32,
    /// Its command line.
    command: String,
    /// The number of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
}

/// A failure: the document `genstore.error/1`.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct Failure {
    schema: &'static str,
    /// The code of the error, for programs.
    code: String,
    /// The exit code.
    exit: u8,
    /// A sentence for people.
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
    /// A hint.
    hint: String,
    /// The problems of the input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<ProblemDoc>,
    /// The paths that have the object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    uses: Vec<UseDoc>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    near: Vec<String>,
    /// The processes that hold the lock.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    holders: Vec<HolderDoc>,
    /// The paths that could not be removed or repaired.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<LeftoverDoc>,
    /// The generation that was expected, and the one that is current.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<LostDoc>,
    /// The findings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<FindingDoc>,
    /// The place where the refused or failed output is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<FailedDoc>,
    /// The end of the command whose failure it is. Without it, the failure is the program's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<CommandDoc>,
    /// The last lines that a failed build printed, at most 4 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    /// Failures after the commit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningDoc>,
    /// The places and problems, as lines for people.
    #[serde(skip)]
    lines: Vec<String>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct LostDoc {
    expected: Option<GenerationId>,
    found: Option<GenerationId>,
    /// The user who did it.
    by: Option<String>,
    at: Option<String>,
}

impl Failure {
    /// Collects the details of an error.
    pub(crate) fn of(error: &anyhow::Error) -> Failure {
        let mut causes: Vec<String> = error.chain().skip(1).map(one_line).collect();
        causes.dedup();
        let mut failure = Failure {
            schema: "genstore.error/1",
            code: "failed".to_owned(),
            exit: exit::FAILED,
            message: one_line(error),
            causes,
            hint: "run the command again with -v".to_owned(),
            problems: vec![],
            uses: vec![],
            near: vec![],
            holders: vec![],
            left: vec![],
            lost: None,
            findings: vec![],
            failed: None,
            command: None,
            output: None,
            warnings: vec![],
            lines: vec![],
        };
        if let Some(fail) = error.downcast_ref::<Fail>() {
            failure.code = fail.code.to_owned();
            failure.exit = fail.exit;
            failure.hint.clone_from(&fail.hint);
        } else if let Some(refused) = error.downcast_ref::<Refused>() {
            failure.add_refusal(refused);
        } else if let Some(build) = error.downcast_ref::<BuildFailed>() {
            failure.code = "build-failed".to_owned();
            failure.exit = build.status;
            failure.add_kept(build.failed.as_ref(), "its log is kept in");
            failure.add_command(build);
        } else if let Some(bad) = error.downcast_ref::<BadInput>() {
            failure.code = "bad-plan".to_owned();
            failure.hint.clone_from(&bad.hint);
            failure.lines = bad.problems.iter().map(ToString::to_string).collect();
            failure.problems = bad.problems.iter().map(ProblemDoc::of).collect();
        } else if let Some(error) = error.downcast_ref::<Error>() {
            failure.code = error.code().to_owned();
            failure.exit = exit_of(error);
            failure.hint = hint_of(error);
            failure.describe(error);
        } else if let Some(error) = error.downcast_ref::<genstore_remote::Error>() {
            failure.add_remote(error);
        }
        failure
    }

    /// Creates the failure of a command line that clap refused.
    pub(crate) fn usage(message: &str, hint: String) -> Failure {
        let fail = Fail { hint, ..Fail::usage("usage", one_line(message)) };
        Failure::of(&fail.into())
    }

    fn add_refusal(&mut self, refused: &Refused) {
        self.code = "audit-refused".to_owned();
        self.exit = exit::REFUSED;
        self.findings = refused.findings.iter().map(FindingDoc::of).collect();
        self.lines = refused.findings.iter().take(MANY_LINES).map(finding_line).collect();
        if let Some(more) = refused.findings.len().checked_sub(MANY_LINES).filter(|more| *more > 0) {
            self.lines.push(format!("and {} more, which --json lists", human::number(more as u64)));
        }
        self.add_kept(refused.failed.as_ref(), "the refused output is kept in");
    }

    fn add_remote(&mut self, error: &genstore_remote::Error) {
        self.code = error.code().to_owned();
        self.exit = remote::exit_of(error);
        self.hint = remote::hint_of(error);
        if let genstore_remote::Error::Unknown { near, .. } = error {
            self.near.clone_from(near);
        }
    }

    fn add_kept(&mut self, failed: Option<&Failed>, lead: &str) {
        self.hint = "readers see no change".to_owned();
        if let Some(failed) = failed {
            self.hint.push_str(&format!("; {lead} {}", show(&failed.path)));
            let left = failed.left.iter().map(|left| format!("could not remove {}", leftover_line(left)));
            self.lines.extend(left);
            self.left = failed.left.iter().map(LeftoverDoc::of).collect();
            let path = PathField::of_path(&failed.path);
            self.failed = Some(FailedDoc { number: failed.number, path });
        }
    }

    /// Adds how the command of a build ended, and a likely cause.
    fn add_command(&mut self, build: &BuildFailed) {
        self.command = build.ended.map(CommandDoc::of);
        self.output = build.log_end().filter(|output| !output.is_empty());
        if matches!(build.ended, Some(Ended::Exited(_))) && exit::is_own(build.status) {
            self.hint.push_str(&format!("; exit status {} is the command's", build.status));
        }
        if let Some(advice) = &build.advice {
            self.hint.push_str(&format!("; {advice}"));
        }
    }

    fn describe(&mut self, error: &Error) {
        match error {
            Error::BadPlan { problems } => {
                let line = |p: &Problem| {
                    let line = format!("{} {}", genstore::tree::show_path(&p.path), p.what);
                    line.trim_start().to_owned()
                };
                self.lines = problems.iter().map(line).collect();
                let doc = |p: &Problem| ProblemDoc {
                    line: None,
                    path: PathField::of(&p.path),
                    what: p.what.clone(),
                };
                self.problems = problems.iter().map(doc).collect();
            }
            Error::Damaged { uses, .. } => {
                self.lines = human::uses(uses);
                self.uses = uses.iter().map(UseDoc::of).collect();
            }
            Error::Left { left } => {
                self.lines = left.iter().skip(1).map(leftover_line).collect();
                self.left = left.iter().map(LeftoverDoc::of).collect();
            }
            Error::UnknownRev { near, .. } => self.near.clone_from(near),
            Error::UnknownView { near, .. } => self.near = near.iter().map(|path| show(path)).collect(),
            Error::Locked { holders, .. } => {
                let doc = |h: &genstore::error::Holder| HolderDoc {
                    pid: h.pid,
                    command: h.command.clone(),
                    uid: h.user,
                };
                self.holders = holders.iter().map(doc).collect();
            }
            Error::Lost { expected, found, by, at } => {
                let at_what_time = at.map(|at| format!(" at {}", time::local(at)));
                let by_whom =
                    by.as_ref().map(|by| format!(" by {}", genstore::tree::show_path(by.as_bytes())));
                if at_what_time.is_some() || by_whom.is_some() {
                    let (at, by) = (at_what_time.unwrap_or_default(), by_whom.unwrap_or_default());
                    self.message.push_str(&format!(" (made current{at}{by})"));
                }
                self.lost = Some(LostDoc {
                    expected: *expected,
                    found: *found,
                    by: by.clone(),
                    at: at.map(time::rfc3339),
                });
            }
            _ => {}
        }
    }

    /// Prints the failure on stderr, after the warnings, and returns the exit status. `own` replaces a
    /// status that could be mistaken for the command's.
    pub(crate) fn report(mut self, out: &Out, own: Option<u8>) -> u8 {
        if let Some(own) = own
            && ![exit::NOT_FOUND, exit::NOT_EXECUTABLE].contains(&self.exit)
        {
            self.exit = own;
        }
        self.warnings = WarningDoc::take(out);
        self.print(out, &format!("{BAD}error:{BAD:#}"));
        self.exit
    }

    /// Prints it as a warning, because the change itself succeeded.
    pub(crate) fn report_as_warning(self, out: &Out) -> u8 {
        self.print(out, &format!("{CARE}warning:{CARE:#}"));
        self.exit
    }

    fn print(&self, out: &Out, level: &str) {
        if out.json() {
            return out.json_talk(self);
        }
        let mut text = format!("{level} {}\n", self.message);
        for line in self.causes.iter().chain(&self.lines) {
            text.push_str(&format!("  {line}\n"));
        }
        out.talk(&text);
        out.hint(&self.hint);
    }
}

/// Returns the text as one line without a full stop. It may quote foreign text.
fn one_line(text: impl fmt::Display) -> String {
    let text = text.to_string();
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").trim_end_matches('.').to_owned()
}

fn exit_of(error: &Error) -> u8 {
    match error {
        Error::Damaged { .. } => exit::DAMAGED,
        Error::Lost { .. } => exit::LOST,
        Error::NotAStore { .. } => exit::NOT_A_STORE,
        Error::Locked { .. } => exit::LOCKED,
        Error::NewerFormat { .. } => exit::NEWER_FORMAT,
        Error::Left { .. } => exit::PARTLY,
        _ => exit::FAILED,
    }
}

/// Returns the exit status of a run whose report could not be written. A closed pipe is no failure. If the
/// store was changed, the status is "partly done". Otherwise the run failed.
pub(crate) fn settle(out: &Out, status: u8) -> u8 {
    let Some(lost) = out.take_lost_report() else { return status };
    let (fail, warns) = match lost.stands {
        Some(what) => {
            let message = format!("{what}, but the report could not be written");
            let hint = "the change is done; check it with `genstore list`";
            (Fail::new("output", message, hint).with_exit(exit::PARTLY), true)
        }
        None => {
            let hint = "free some space, or redirect the output";
            (Fail::new("output", "cannot write to standard output", hint), false)
        }
    };
    let failure = Failure::of(&anyhow::Error::from(lost.error).context(fail));
    if warns { failure.report_as_warning(out) } else { failure.report(out, None) }
}
