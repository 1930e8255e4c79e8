//! One trial: a copy of the prepared place, the program with a fault, and the checks of the result.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use genstore::faults::{FaultKind, FaultStage};
use genstore::tree::show_path;

use crate::check::{self, End, Listing, Shown};
use crate::faults::KINDS;
use crate::place;
use crate::scenarios::{Scenario, Step};
use crate::seams::Seams;
use crate::wire::{self, TRIAL};

/// The clock of all runs. It is fixed, so that two runs write the same.
const NOW: &str = "2026-01-02T03:04:05Z";

/// The point of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    /// A call that changes the disk, counted from 1.
    Call(usize),
    /// The beginning of a stage.
    Stage(FaultStage),
}

/// A fault and its point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The point.
    pub point: Point,
    /// The kind.
    pub kind: FaultKind,
}

impl Fault {
    /// Returns the name of its kind.
    pub fn kind(self) -> &'static str {
        KINDS.into_iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| name)
    }

    /// Formats it for [`Seams::fault`].
    fn text(self) -> String {
        match self.point {
            Point::Call(step) => format!("{step}:{}", self.kind()),
            Point::Stage(stage) => format!("{}:{}", stage.name(), self.kind()),
        }
    }
}

/// The end of a run.
pub(crate) struct Ended {
    exit: Option<i32>,
    signal: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Ended {
    /// Returns the error code that the run printed.
    fn error(&self) -> Option<String> {
        let last = self.stderr.lines().last()?;
        let document: serde_json::Value = serde_json::from_str(last).ok()?;
        document.get("code")?.as_str().map(str::to_owned)
    }

    /// Returns whether the run printed a warning.
    fn warned(&self) -> bool {
        let document: serde_json::Value = serde_json::from_slice(&self.stdout).unwrap_or_default();
        document["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty())
    }

    /// Checks that the run ended with this status.
    pub(crate) fn check(&self, args: &str, exit: u8) -> Result<(), String> {
        match self.exit == Some(exit.into()) {
            true => Ok(()),
            false => Err(format!("`genstore {args}` ended with {}", self.text())),
        }
    }

    /// Describes the end, with the program's output.
    fn text(&self) -> String {
        let end = match (self.exit, self.signal) {
            (Some(status), _) => format!("exit status {status}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        match self.stderr.trim() {
            "" => end,
            said => format!("{end}: {}", show_path(said.as_bytes())),
        }
    }
}

/// Returns a run without faults.
pub(crate) fn undisturbed() -> Seams {
    Seams { now: Some(NOW.to_owned()), ..Seams::default() }
}

/// Runs the program and takes steps at places.
pub(crate) struct Hand;

impl Hand {
    /// Runs the program at a place, with an empty environment.
    pub(crate) fn run(&self, place: &Path, args: &str, seams: &Seams) -> io::Result<Ended> {
        // This runs the same program, even if its file was replaced since the start.
        let mut command = Command::new("/proc/self/exe");
        command.arg(TRIAL).args(args.split(' ')).args(["--json", "--lock-timeout", "20s"]);
        // The place is trusted, regardless of the owner of the folder that the user chose.
        command.arg("--trust");
        command.current_dir(place).env_clear().env("TZ", "UTC");
        // A process group of its own keeps the terminal's Ctrl-C away: this process stops between two
        // trials.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let pipe = child.stdin.take();
        // A child that did not get its message fails, and its output shows why.
        let sent = pipe.as_ref().map_or(Ok(()), |pipe| wire::send(seams, pipe));
        let output = child.wait_with_output()?;
        sent?;
        drop(pipe);
        Ok(Ended {
            exit: output.status.code(),
            signal: output.status.signal(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs the program without faults.
    pub(crate) fn run_well(&self, place: &Path, args: &str, exit: u8) -> io::Result<Result<(), String>> {
        Ok(self.run(place, args, &undisturbed())?.check(args, exit))
    }

    /// Takes a step of a scenario. `exit` is the expected exit status of a run.
    pub(crate) fn step(&self, place: &Path, step: Step, exit: u8) -> io::Result<Result<(), String>> {
        match step {
            Step::Run(args) => return self.run_well(place, &fill(place, args)?, exit),
            Step::Build => {
                let stages = check::stages(place).map_err(io::Error::other)?;
                for stage in stages {
                    place::build_b(&place.join(format!("{}/staging/s-{stage}/out", place::STORE)))?;
                }
            }
            Step::Damage(content) => place::damage(place, content)?,
            Step::Refuse => place::set_project(place, place::NOTHING_PASSES)?,
            Step::Recycle => place::set_project(place, place::RECYCLES)?,
            Step::Folder(name) => place::make_folder(&place.join(name))?,
            Step::Unlink(name) => place::unlink(&place.join(name))?,
            Step::Strangers(name) => place::add_strangers(&place.join(name))?,
            Step::Give(lines) => place::give(place, lines)?,
        }
        Ok(Ok(()))
    }

    /// Continues like a user who does not know of the fault: ends stages, publishes both trees, verifies,
    /// collects. Each command must succeed without help.
    pub(crate) fn go_on(&self, place: &Path) -> io::Result<Result<Settled, String>> {
        for stage in check::stages(place).map_err(io::Error::other)? {
            let args = format!("abort {stage}");
            let ended = self.run(place, &args, &undisturbed())?;
            if ended.exit != Some(0) && ended.error().as_deref() != Some("stage-committed") {
                return Ok(Err(format!("`genstore {args}` ended with {}", ended.text())));
            }
        }
        place::set_project(place, "")?;
        for args in ["publish ../b", "publish ../a"] {
            if let Err(wrong) = self.run_well(place, args, 0)? {
                return Ok(Err(wrong));
            }
        }
        match check::debris(place) {
            Ok(left) if left.is_empty() => {}
            Ok(left) => return Ok(Err(format!("left behind: {}", left.join(", ")))),
            Err(wrong) => return Ok(Err(wrong)),
        }
        for args in ["verify", "gc --keep-last 0 --grace 0s"] {
            if let Err(wrong) = self.run_well(place, args, 0)? {
                return Ok(Err(wrong));
            }
        }
        Ok(Shown::of(place).and_then(|shown| Ok(Settled { shown, objects: check::objects(place)? })))
    }
}

/// Fills the open stage at a place, and this process, into a command.
pub(crate) fn fill(place: &Path, args: &str) -> io::Result<String> {
    let stages = check::stages(place).map_err(io::Error::other)?;
    let stage = stages.first().map_or("none", |id| id);
    Ok(args.replace("{stage}", stage).replace("{pid}", &std::process::id().to_string()))
}

/// The final state.
#[derive(PartialEq)]
pub(crate) struct Settled {
    pub(crate) shown: Shown,
    pub(crate) objects: usize,
}

impl Settled {
    /// Fails with the differences from a run without faults.
    pub(crate) fn compare(&self, wanted: &Settled) -> Result<(), String> {
        self.shown.compare(&wanted.shown).map_err(|wrong| format!("at the end {wrong}"))?;
        match self.objects == wanted.objects {
            true => Ok(()),
            false => Err(format!(
                "after gc there are {} objects, and {} where nothing went wrong",
                self.objects, wanted.objects
            )),
        }
    }
}

/// A command, and its results without faults.
pub(crate) struct Act<'a> {
    pub(crate) scenario: &'a Scenario,
    /// The command as in the scenario.
    pub(crate) command: &'static str,
    /// The command as it is run.
    pub(crate) args: String,
    pub(crate) prepared: PathBuf,
    pub(crate) before: Shown,
    pub(crate) after: Shown,
    /// The folder that was to be consumed.
    pub(crate) given: Listing,
    pub(crate) settled: Settled,
    /// The calls that change the disk, in order.
    pub(crate) calls: Vec<String>,
}

fn done_but(wrong: &str) -> String {
    format!("it is done, but {wrong}")
}

/// The result of a trial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    /// Whether readers see the new state.
    pub(crate) new: bool,
}

impl Act<'_> {
    /// Returns the name of a trial's folder.
    pub(crate) fn folder(&self, fault: Fault) -> String {
        let text = format!("{} {} {}", self.scenario.name, self.command, fault.text());
        let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-")
    }

    /// Tries one fault at a free place. Returns the violation, if there is one.
    pub(crate) fn try_fault(
        &self,
        hand: &Hand,
        place: &Path,
        fault: Fault,
    ) -> io::Result<Result<Outcome, String>> {
        self.scenario.copy(&self.prepared, place)?;
        let seams = Seams { fault: Some(fault.text()), ..undisturbed() };
        let ended = hand.run(place, &self.args, &seams)?;
        let outcome = match self.judge(place, fault, &ended) {
            Ok(outcome) => outcome,
            Err(wrong) => return Ok(Err(format!("{wrong} (it ended with {})", ended.text()))),
        };
        self.give_again(place)?;
        let again = hand.run(place, &self.args, &undisturbed())?;
        let done_already = again.error().is_some_and(|code| self.scenario.again.contains(&code.as_str()));
        if again.exit != Some(self.scenario.exit.into()) && !done_already {
            return Ok(Err(format!("the same command again ended with {}", again.text())));
        }
        let shown = Shown::of(place).and_then(|shown| {
            shown.compare(&self.after)?;
            check::judge_consumed(place)?;
            self.before.check_folder(place)
        });
        let shown = shown.and_then(|()| check::judge_outside(place));
        if let Err(wrong) = shown {
            return Ok(Err(format!("after the same command again: {wrong}")));
        }
        let settled = hand.go_on(place)?;
        let settled = settled.and_then(|settled| settled.compare(&self.settled));
        Ok(settled.and_then(|()| check::judge_outside(place)).map(|()| outcome))
    }

    /// Restores a folder to be consumed if it is no longer complete, like a build that runs again. A
    /// complete one is left as the fault left it.
    fn give_again(&self, place: &Path) -> io::Result<()> {
        if check::given(place).as_ref() == Ok(&self.given) {
            return Ok(());
        }
        for step in self.scenario.before {
            if let Step::Give(lines) = step {
                place::give(place, lines)?;
            }
        }
        Ok(())
    }

    /// Checks the state after a fault, before any other command runs.
    fn judge(&self, place: &Path, fault: Fault, ended: &Ended) -> Result<Outcome, String> {
        let end = check::judge_end(ended.exit, ended.signal, fault.kind, self.scenario.exit)?;
        let is_stage = matches!(fault.point, Point::Stage(_));
        if is_stage && fault.kind == FaultKind::Kill && end != End::Killed {
            return Err("the stage was never begun".to_owned());
        }
        let shown = Shown::of(place)?;
        shown.judge(&self.before, &self.after, self.scenario.mends)?;
        self.before.check_folder(place)?;
        check::judge_outside(place)?;
        let is_committed = self.scenario.exit == 0 && shown.compare_current(&self.after).is_ok();
        check::judge_given(&check::given(place)?, &self.given, is_committed)?;
        let no_way_back = self.scenario.no_way_back && fault.kind == FaultKind::EioFromHere;
        match end {
            End::Failed if !self.scenario.mends && !no_way_back => {
                shown.compare(&self.before).map_err(|wrong| format!("it failed, but {wrong}"))?;
            }
            // A view that could not be updated is a warning; the next command updates it.
            End::Done if ended.warned() => {
                shown.compare_current(&self.after).map_err(|wrong| done_but(&wrong))?
            }
            End::Done => shown
                .compare(&self.after)
                .and_then(|()| check::judge_consumed(place))
                .map_err(|wrong| done_but(&wrong))?,
            _ => {}
        }
        Ok(Outcome { end, new: shown != self.before })
    }
}
