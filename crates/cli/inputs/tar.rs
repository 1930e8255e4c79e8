//! `--from-tar`: a plan of the members of a tar archive.
//!
//! Members that no tree can hold are reported together, at the end. An error that makes the rest
//! unreadable, or exceeds a limit, ends the reading at once. Bytes are spooled, so memory is needed for
//! names only. A hole of a sparse file counts as its zeros: they must be hashed.

use std::collections::HashMap;
use std::io::Read;

use anyhow::Result;
use genstore::error::ProblemKind;
use genstore::plan::PlanBuilder;
use genstore::tree::RelPath;
use genstore::{Error, Plan, Source};

use super::members::{Archive, Kind};
use super::spool::{Kept, Spool};
use crate::errors::{BadInput, Fail, InputProblem};
use crate::text::human;

const HINT: &str = "make the archive without these members";

/// The limit of holes if no limit is set: a few bytes of an archive could otherwise keep a processor busy
/// for years.
pub(super) const HOLES_MAX: u64 = 1 << 40;

/// The part of an archive that is published.
#[derive(Default)]
pub(crate) struct Part {
    /// A folder of the archive.
    pub(crate) subdir: Option<RelPath>,
    /// The number of names that are removed from the beginning of each path.
    pub(crate) strip: usize,
}

impl Part {
    pub(super) fn is_all(&self) -> bool {
        self.subdir.is_none() && self.strip == 0
    }

    /// Returns the path of a member in the tree, or `None` if it is left out.
    pub(super) fn path<'p>(&self, member: &'p [u8]) -> Option<&'p [u8]> {
        let mut path = match &self.subdir {
            None => member,
            Some(folder) => match member.strip_prefix(folder.as_bytes())? {
                b"" => b"",
                rest => rest.strip_prefix(b"/")?,
            },
        };
        for _ in 0..self.strip {
            path = &path[path.iter().position(|byte| *byte == b'/')? + 1..];
        }
        (self.is_all() || !path.is_empty()).then_some(path)
    }
}

/// Reads a part of an archive. `plan` has the rules. `limit` is for the sizes of all members together.
///
/// # Errors
/// [`BadInput`] with every problem.
pub(crate) fn read(
    input: &mut dyn Read,
    name: &str,
    mut plan: PlanBuilder,
    (limit, part): (Option<u64>, &Part),
    spool: &mut dyn Spool,
) -> Result<Plan> {
    let mut archive = Archive::new(input, name, limit);
    let mut before: HashMap<Vec<u8>, Before> = HashMap::new();
    let mut room = Room::new(name, limit);
    let mut holes = Room::new(name, Some(limit.unwrap_or(HOLES_MAX)));
    let mut is_found = part.is_all();
    while let Some(member) = archive.next()? {
        let path = below_top(&member.path).to_vec();
        // The header's size counts before any byte is read. At most that many bytes are read.
        room.take(member.size_bytes, &path)?;
        holes.take(member.hole_bytes, &path)?;
        let Some(path) = part.path(&path).map(<[u8]>::to_vec) else { continue };
        is_found = true;
        if member.kind == Kind::Dir && path.is_empty() {
            continue;
        }
        if let Err(why) = RelPath::new(path.clone()) {
            plan.problem(&path, ProblemKind::Unfit, why.to_string());
            continue;
        }
        match member.kind {
            Kind::File { executable, mtime } => {
                let kept = spool.keep(&mut archive.bytes(), mtime);
                let kept = kept.map_err(|error| match error.downcast() {
                    Ok(error) => archive.failed(error),
                    Err(other) => other,
                })?;
                plan = add_file(plan, path.clone(), executable, kept.source());
                before.insert(path, Before::File(kept, executable));
            }
            Kind::HardLink(target) => match part.path(below_top(&target)).and_then(|path| before.get(path))
            {
                Some(Before::File(kept, executable)) => {
                    room.take(kept.size_bytes, &path)?;
                    plan = add_file(plan, path, *executable, kept.source());
                }
                // A symlink may have several names, too.
                Some(Before::Symlink(target)) => plan = plan.symlink(path, target.clone()),
                None => {
                    let target = genstore::tree::show_path(&target);
                    let what = format!("is a hard link to {target}, which is not an earlier file");
                    plan.problem(&path, ProblemKind::Unfit, what);
                }
            },
            Kind::Symlink(target) => {
                plan = plan.symlink(path.clone(), target.clone());
                before.insert(path, Before::Symlink(target));
            }
            Kind::Dir => plan = plan.dir(path),
            Kind::Other(what) => plan.problem(&path, ProblemKind::Unfit, what),
        }
    }
    finish(plan, name, is_found)
}

/// Completes the plan of an archive.
pub(super) fn finish(plan: PlanBuilder, name: &str, is_found: bool) -> Result<Plan> {
    if !is_found {
        let hint = "check --subdir and --strip-components; `tar -tf` lists the members";
        return Err(Fail::new("bad-tar", format!("{name} has no member in that folder"), hint).into());
    }
    plan.build().map_err(|error| match error {
        Error::BadPlan { problems } => {
            let problems = problems.into_iter().map(InputProblem::from).collect();
            BadInput::new(name, HINT, problems).into()
        }
        other => other.into(),
    })
}

/// A member that a hard link may refer to.
enum Before {
    File(Kept, bool),
    Symlink(Vec<u8>),
}

/// The number of bytes that an archive may still hold.
pub(super) struct Room<'a> {
    input: &'a str,
    limit: Option<u64>,
    used: u64,
}

impl<'a> Room<'a> {
    pub(super) fn new(input: &'a str, limit: Option<u64>) -> Room<'a> {
        Room { input, limit, used: 0 }
    }

    pub(super) fn take(&mut self, size: u64, member: &[u8]) -> Result<()> {
        self.used = self.used.saturating_add(size);
        let Some(limit) = self.limit.filter(|limit| self.used > *limit) else { return Ok(()) };
        let (limit, member) = (human::bytes(limit), genstore::tree::show_path(member));
        let message = format!("{} holds more than {limit}: stopped at the member {member}", self.input);
        let hint = "nothing was written; allow more with --max-total";
        Err(Fail::new("too-large", message, hint).into())
    }
}

/// Returns the part of a member's path below the top, which archives call `.` or `./`.
pub(super) fn below_top(path: &[u8]) -> &[u8] {
    let mut path = path;
    while let Some(rest) = path.strip_prefix(b"./") {
        path = rest;
    }
    while path.len() > 1
        && let Some(rest) = path.strip_suffix(b"/")
    {
        path = rest;
    }
    if path == b"." { b"" } else { path }
}

pub(super) fn add_file(plan: PlanBuilder, path: Vec<u8>, executable: bool, source: Source) -> PlanBuilder {
    if executable { plan.executable(path, source) } else { plan.file(path, source) }
}

#[cfg(test)]
#[path = "tar_tests.rs"]
mod tests;
