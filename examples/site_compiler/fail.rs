//! Requested faults: in a phase of the compiler, in a stage of the store, or at one call.

use anyhow::{Result, bail};
use genstore::faults::{FaultKind, FaultPlan, FaultStage, Faults};

/// The phases that can fail by themselves.
const PHASES: [&str; 6] = ["plan", "write", "format", "compile", "audit", "deploy-recipe"];

#[derive(Clone, Copy)]
enum At {
    Phase(&'static str),
    Store(FaultPlan),
}

/// A fault and its place.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    at: At,
    kind: FaultKind,
}

impl Fault {
    /// Parses `WHERE[:HOW]`.
    pub(crate) fn parse_place(text: &str) -> Result<Fault> {
        let (place, kind) = split(text)?;
        if let Some(phase) = PHASES.into_iter().find(|phase| *phase == place) {
            return Ok(Fault { at: At::Phase(phase), kind });
        }
        // The store has its own plan, write and audit.
        let stage = FaultStage::ALL.into_iter().find(|stage| {
            let name = stage.name();
            if PHASES.contains(&name) { place.strip_prefix("store-") == Some(name) } else { place == name }
        });
        match stage {
            Some(stage) => Ok(Fault { at: At::Store(FaultPlan::stage(stage, kind)), kind }),
            None => bail!("unknown place {place}"),
        }
    }

    /// Parses `N[:HOW]`.
    pub(crate) fn parse_step(text: &str) -> Result<Fault> {
        let (step, kind) = split(text)?;
        Ok(Fault { at: At::Store(FaultPlan::step(step.parse()?, kind)), kind })
    }

    /// Returns the faults of the store.
    pub(crate) fn of_the_store(fault: Option<Fault>) -> Faults {
        match fault {
            Some(Fault { at: At::Store(plan), .. }) => Faults::inject(plan),
            _ => Faults::default(),
        }
    }

    /// Fails, if this is the requested phase.
    pub(crate) fn strike(self, name: &str) -> Result<()> {
        match self.at {
            At::Phase(phase) if phase == name => {}
            _ => return Ok(()),
        }
        match self.kind {
            FaultKind::Kill => {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
                bail!("SIGKILL was survived")
            }
            FaultKind::Full => Err(std::io::Error::from(rustix::io::Errno::NOSPC).into()),
            _ => bail!("it was asked to"),
        }
    }
}

fn split(text: &str) -> Result<(&str, FaultKind)> {
    Ok(match text.split_once(':') {
        None => (text, FaultKind::Eio),
        Some((place, "eio")) => (place, FaultKind::Eio),
        Some((place, "kill")) => (place, FaultKind::Kill),
        Some((place, "enospc")) => (place, FaultKind::Full),
        Some((_, how)) => bail!("unknown kind of failure {how}"),
    })
}
