//! Ingest: reads every source once, in parallel, and writes the bytes that the store does not have.
//!
//! A new object is written directly to its path in the stage's tree. Its name among the objects is a
//! second link, created after the flush. Existing objects are linked later, once it is known that the
//! tree is new. So publishing an unchanged tree writes nothing.

pub(crate) mod claims;
pub(crate) mod consumed;
pub(crate) mod context;
mod gather;
pub(crate) mod intake;
mod kept;
pub(crate) mod linked;
pub(crate) mod lossy;
pub(crate) mod previous;
pub(crate) mod reuse;
pub(crate) mod task;

use rustix::io::Errno;

use crate::error::{Error, Problem, ProblemKind, Result};
use crate::fs::Dir;
use crate::fs::dir_cursor::DirCursor;
use crate::fs::mount::is_mount;
use crate::model::relpath;
use crate::model::tree::Tree;
use crate::parts::writeback::Writeback;
use crate::plan::item::{ItemSource, ScannedRoot, What};
use crate::plan::scan::MOUNT_POINT;
use crate::progress::Phase;
use crate::threads::prelude::*;
use crate::threads::{into_inner, lock};
use crate::verbs::publish::ingest::context::{Done, EntrySource, Ingest, Ingested, Shared, Taken};
use crate::verbs::publish::ingest::gather::{Gathered, Gathering};
use crate::verbs::publish::ingest::reuse::Reuse;
use crate::verbs::publish::ingest::task::{Intake, SourceOwnership};

/// Number of files of one folder that one task takes: small enough to share the work, large enough that
/// the cost of opening the folder is negligible.
const BATCH: usize = 64;

/// The last source of a thread, with its open folders.
type Near<'p> = Option<(&'p ScannedRoot, DirCursor<'p>)>;

impl<'a> Ingest<'a> {
    /// Reads every source of the plan that may have changed, and writes the bytes that the store does
    /// not have.
    ///
    /// # Errors
    /// [`Error::BadPlan`] with all sources that cannot be taken in; [`Error::SourceChanged`],
    /// [`Error::Io`].
    pub(crate) fn run(&self) -> Result<Ingested> {
        let start = self.store.fs.file_clock();
        let empty = Tree::empty();
        let reuse = Reuse::of(self, self.base.unwrap_or(&empty));
        let shared = Shared::new();
        let files = self.take_in(&shared, &reuse)?;
        let Shared { claims, linked, dev, .. } = shared;
        let claims = claims.finish();
        let mut gathering = Gathering::new(self.plan, &reuse, &claims, into_inner(linked), start);
        gathering.add_all(files);
        let Gathered { tree, how, new_bytes, sources, linked } =
            gathering.finish(dev.into_inner().flatten());
        Ok(Ingested {
            tree,
            how,
            new_bytes,
            sources,
            linked,
            restored: reuse.restored(),
            placed: claims.into_iter().map(|(id, claim)| (id, claim.entry)).collect(),
            damaged: into_inner(shared.damaged),
            consumed: into_inner(shared.consumed),
            losses: into_inner(shared.losses),
        })
    }

    /// Takes in all files. Returns one item per entry of the plan, for all kinds of entries.
    fn take_in<'p>(&'p self, shared: &'p Shared, reuse: &'p Reuse<'p>) -> Result<Vec<Done>> {
        type Batches = Result<Vec<Vec<Done>>>;
        self.store.options.progress.begin(Phase::Store, Some(self.plan.len() as u64));
        let batches: Vec<&[u32]> = self.folders.members().flat_map(|all| all.chunks(BATCH)).collect();
        let (done, again, seen) = Writeback::during(self.store, |ahead| {
            let first = Pass { ingest: self, shared, reuse, ahead };
            let take = |near: &mut Near<'p>, batch: &&[u32]| first.batch(near, batch);
            let done: Batches = batches.par_iter().map_init(|| None, take).collect();
            let done = done?;
            let again = self.believed_and_linked(shared, reuse);
            // Without the current generation's number, no file is taken in unread.
            let looking = Ingest { base_id: None, ..*self };
            let second = Pass { ingest: &looking, ..first };
            let seen: Batches = again.par_iter().map(|batch| second.batch(&mut None, batch)).collect();
            Ok((done, again, seen?))
        })?;
        shared.refuse_problems()?;
        let mut files: Vec<Done> = Vec::new();
        files.resize_with(self.plan.len(), || Done::AsBefore);
        let again = again.iter().map(Vec::as_slice).zip(seen);
        for (batch, done) in batches.into_iter().zip(done).chain(again) {
            let is_file = |entry: &&u32| matches!(self.plan.what[**entry as usize], What::File { .. });
            for (entry, done) in batch.iter().filter(is_file).zip(done) {
                files[*entry as usize] = done;
            }
        }
        Ok(files)
    }
}

/// One pass over the files of a plan.
#[derive(Clone, Copy)]
struct Pass<'a, 'w> {
    ingest: &'a Ingest<'a>,
    shared: &'a Shared,
    reuse: &'a Reuse<'a>,
    ahead: &'w Writeback,
}

impl<'a> Pass<'a, '_> {
    /// Takes in some files of one folder.
    fn batch(&self, near: &mut Near<'a>, batch: &[u32]) -> Result<Vec<Done>> {
        let plan = self.ingest.plan;
        let mut done = Vec::with_capacity(batch.len());
        let mut target: Option<Dir> = None;
        for &entry in batch {
            let path = plan.path(entry as usize);
            let What::File { source, executable } = &plan.what[entry as usize] else {
                continue;
            };
            match self.file(near, &mut target, entry, (source, *executable)) {
                Ok(file) => done.push(file),
                Err(error) => match problem_of(&error) {
                    Some((kind, what)) => lock(&self.shared.problems).push(Problem::new(path, kind, what)),
                    None => return Err(error),
                },
            }
            self.ingest.store.options.progress.advance(1);
        }
        Ok(done)
    }

    /// Takes in one file. `target` is its folder in the stage, once it exists.
    fn file(
        &self,
        near: &mut Near<'a>,
        target: &mut Option<Dir>,
        entry: u32,
        (from, executable): (&'a ItemSource, bool),
    ) -> Result<Done> {
        let path = self.ingest.plan.path(entry as usize);
        let before = self.reuse.before(entry as usize);
        let mut task = Intake {
            ingest: self.ingest,
            shared: self.shared,
            reuse: self.reuse,
            before,
            path_in_plan: path,
            entry,
            give: SourceOwnership::of(from, self.ingest.consume),
            root: match from {
                ItemSource::Scanned(root) => Some(root),
                ItemSource::Given(_) | ItemSource::Kept(..) => None,
            },
            target,
            source: None,
        };
        let (node, how) = match from {
            ItemSource::Given(given) => task.given(given, executable)?,
            ItemSource::Kept(kept, index) => task.kept(kept, *index as usize)?,
            ItemSource::Scanned(root) => match task.unseen(root)? {
                Some(done) => done,
                None => {
                    let (folder, name) = relpath::split(root.below(path));
                    let cursor = match near {
                        Some((at, cursor)) if std::ptr::eq(*at, root.as_ref()) => cursor,
                        other => &mut other.insert((root, DirCursor::new(&root.dir))).1,
                    };
                    task.disk((cursor.dir(folder)?, name), None)?
                }
            },
        };
        if how == EntrySource::Placed && self.ingest.stage.is_some() {
            self.ahead.wrote(self.ingest.store, node.size)?;
        }
        let source = task.source;
        let is_as_before = how == EntrySource::Object
            && source.is_some()
            && before.is_some_and(|before| (before.node, before.source) == (node, source));
        Ok(match is_as_before {
            true => Done::AsBefore,
            false => Done::New(Box::new(Taken { node, how, source })),
        })
    }
}

/// Returns the problem for errors that concern only one source, so that all of them are reported
/// together.
fn problem_of(error: &Error) -> Option<(ProblemKind, String)> {
    match error {
        Error::Io { op: "open", source, .. }
            if [Some(Errno::ACCESS), Some(Errno::LOOP), Some(Errno::NXIO)]
                .contains(&Errno::from_io_error(source)) =>
        {
            Some((ProblemKind::Unfit, format!("cannot be read: {source}")))
        }
        Error::BadSource { reason, .. } => Some((ProblemKind::Unfit, reason.to_string())),
        error if is_mount(error) => Some((ProblemKind::MountPoint, MOUNT_POINT.to_owned())),
        _ => None,
    }
}
