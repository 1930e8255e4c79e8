//! Stages that other programs write to: begun, filled by any program, then staged for a commit.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rustix::io::Errno;

use crate::change::recover;
use crate::error::{Error, RefusedKind, Result, show_path};
use crate::fs::copy::{CHUNK, fill};
use crate::fs::errno::is_errno;
use crate::fs::mount::is_mount;
use crate::fs::sparse::Sparse;
use crate::fs::{Dir, Kind};
use crate::model::ids::StageId;
use crate::parts::batch::Batch;
use crate::parts::claim::{Claim, ClaimState, FolderMark, Owner};
use crate::parts::failed::{Cause, Failed, FailedBuilds, KeepFailed};
use crate::parts::generations::Generations;
use crate::parts::layout::StoreDir;
use crate::parts::log::Log;
use crate::parts::stage_debris::tolerate;
use crate::parts::stage_dir::{JoinedStage, OUT, OwnStage, StageDir};
use crate::plan::item::{Source, Spooled};
use crate::plan::scan::ScanRules;
use crate::plan::{Plan, PlanBuilder};
use crate::threads::lock;
use crate::verbs::publish;
use crate::verbs::publish::options::StageOptions;
use crate::verbs::publish::staged::Staged;

/// A directory in the store that programs write to, invisible to readers, until it is staged for a
/// commit.
///
/// Dropping it removes it. A resumed stage is not removed: its owner keeps it.
#[must_use]
pub struct Stage<'s> {
    store: &'s StoreDir,
    dir: OwnStage<'s>,
    /// The directory that was created for other programs, whatever has its name by now. `None` for a
    /// resumed stage if that is another one.
    out: Option<Dir>,
    path: PathBuf,
    spool: Mutex<Option<Spool>>,
}

/// The directory in which streams are taken in.
struct Spool {
    dir: Arc<Dir>,
    count: u64,
    chunk: Vec<u8>,
}

/// Begins a stage, held by this process.
pub(crate) fn begin(store: &StoreDir) -> Result<Stage<'_>> {
    with_out(store, create(store)?)
}

/// Begins a stage that several writers fill.
pub(crate) fn begin_batch(store: &StoreDir) -> Result<Stage<'_>> {
    let dir = create(store)?;
    let roots = dir.roots(store);
    ready(store, dir, roots.map(|_| None))
}

fn create(store: &StoreDir) -> Result<StageDir> {
    // The files of dead processes are removed first: they may be the reason why the disk is full.
    drop(recover::lock_and_recover(store)?);
    store.check_reserve()?;
    StageDir::create(store)
}

/// Begins the stage whose path is the same for each build; any other one if that is taken.
pub(crate) fn begin_build(store: &StoreDir) -> Result<Stage<'_>> {
    let (lock, _) = recover::lock_and_recover(store)?;
    store.check_reserve()?;
    let named = StageDir::create_for_build(store, &lock)?;
    drop(lock);
    with_out(store, named.map_or_else(|| StageDir::create(store), Ok)?)
}

fn with_out(store: &StoreDir, dir: StageDir) -> Result<Stage<'_>> {
    let out = dir.out(store);
    ready(store, dir, out.map(Some))
}

/// Returns a stage whose directory for other programs was created, or removes it.
fn ready(store: &StoreDir, dir: StageDir, out: Result<Option<Dir>>) -> Result<Stage<'_>> {
    match out {
        Ok(out) => Ok(Stage::of(store, dir, out)),
        Err(error) => {
            drop(dir.remove(store));
            Err(error)
        }
    }
}

/// Takes over a stage that was left to an owner.
pub(crate) fn resume<'s>(store: &'s StoreDir, id: &StageId) -> Result<Stage<'s>> {
    store.complete()?;
    let resumed = match StageDir::resume(store, id) {
        Err(e) if is_errno(&e, Errno::ACCESS) => return Err(foreign(id)),
        resumed => resumed?,
    };
    // If the process that committed it died before it wrote the log, this writes it. The stage's lock
    // is held already, so it is not removed as debris.
    drop(recover::lock_and_recover(store)?);
    if let Some(why) = committed(store, id)? {
        // The process that committed it died before it could remove it.
        if let Some((dir, ..)) = resumed {
            dir.remove(store)?;
        }
        return Err(why);
    }
    let Some((dir, standing, made)) = resumed else { return Err(unknown(store, id)?) };
    match over(store, id, standing) {
        None => {
            let out = dir.reopen_out(made.as_ref())?;
            Ok(Stage::of(store, dir, out))
        }
        Some(why) => {
            drop(dir.remove(store));
            Err(why)
        }
    }
}

/// Joins a stage that was left to an owner, as one of its writers.
pub(crate) fn join(store: &StoreDir, id: &StageId) -> Result<JoinedStage> {
    let joined = JoinedStage::join(store, id);
    let joined = joined.map_err(|e| if is_errno(&e, Errno::ACCESS) { foreign(id) } else { e })?;
    if let Some(why) = committed(store, id)? {
        return Err(why);
    }
    let Some(joined) = joined else { return Err(unknown(store, id)?) };
    over(store, id, joined.standing).map_or(Ok(joined), Err)
}

fn foreign(id: &StageId) -> Error {
    Error::refused(RefusedKind::StageForeign, format!("the stage {id} belongs to another user"))
}

/// Returns the error for a stage that was committed before.
fn committed(store: &StoreDir, id: &StageId) -> Result<Option<Error>> {
    let Some(generation) = Log::of(store).history()?.made_of_stage(id) else { return Ok(None) };
    let why = format!("the stage {id} was committed before: it is generation {generation}");
    let is_there = Generations::of(store).find(generation)?.is_some();
    Ok(is_there.then(|| Error::refused(RefusedKind::StageCommitted, why)))
}

/// Returns the error for a stage that is not there.
fn unknown(store: &StoreDir, id: &StageId) -> Result<Error> {
    Ok(match FailedBuilds::of(store).find_stage(id)? {
        Some(number) => Error::refused(
            RefusedKind::StageRefused,
            format!("the stage {id} was refused: it is kept as failed/{number}"),
        ),
        None => Error::refused(
            RefusedKind::StageUnknown,
            format!("there is no stage {id}: it was aborted, it is over, or it never existed"),
        ),
    })
}

/// Returns the error for a stage whose claim does not hold any more.
fn over(store: &StoreDir, id: &StageId, standing: ClaimState) -> Option<Error> {
    let why = match standing {
        ClaimState::Holds => return None,
        ClaimState::Expired(at) => {
            let ago = store.now().duration_since(at).unwrap_or_default().as_secs();
            format!("the stage {id} expired {ago} s ago")
        }
        ClaimState::OwnerGone(pid) => {
            format!("the stage {id} is over: its owner, process {pid}, has ended")
        }
        ClaimState::Rebooted => format!("the stage {id} is over: the system was rebooted"),
    };
    Some(Error::refused(RefusedKind::StageExpired, why))
}

impl<'s> Stage<'s> {
    fn of(store: &'s StoreDir, dir: StageDir, out: Option<Dir>) -> Stage<'s> {
        let path = dir.dir().join(OUT);
        Stage { store, dir: OwnStage::new(store, dir), out, path, spool: Mutex::default() }
    }

    /// Returns its id, by which another process resumes it.
    pub fn id(&self) -> StageId {
        self.dir.id()
    }

    /// Returns whether [`Stage::path`] is the one that all builds have, one at a time. See
    /// [`crate::Store::begin_build`].
    pub fn has_path_of_builds(&self) -> bool {
        self.dir.is_for_build()
    }

    /// Returns the descriptor of its lock. As long as any process has it, the stage is not removed as
    /// debris, and no other build gets its path.
    pub fn lock(&self) -> BorrowedFd<'_> {
        self.dir.lock().as_fd()
    }

    /// Returns the directory to write to: empty at first, of mode 0755. A batch has none at this path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory that was created for other programs if it still has its name, or one that
    /// was created there since: build tools empty their output by removing it. Any other entry in its
    /// place is foreign, or belongs to the store.
    fn written_to(&self) -> Result<Dir> {
        let stage = self.dir.dir();
        let named = stage.stat(OUT)?;
        let why = |what: &str| {
            let shown = show_path(&self.path);
            let why = format!("{shown} is not the directory that the stage was begun with: {what}");
            Error::refused(RefusedKind::StageOutputReplaced, why)
        };
        let Some(named) = named else { return Err(why("it was removed")) };
        match (&self.out, named.kind) {
            (Some(out), _) if out.stat_self()?.same_inode(&named) => out.open_dir(b""),
            (_, Kind::Symlink) => Err(why("it is a symlink")),
            (_, Kind::Dir) => match stage.open_dir(OUT) {
                Err(e) if is_mount(&e) => Err(why("something is mounted there")),
                // A directory that was moved there is older than the stage.
                Ok(out) if out.born().is_some_and(|born| Some(born) >= stage.born()) => Ok(out),
                Ok(_) => Err(why("it is another directory")),
                Err(e) => Err(e),
            },
            _ => Err(why("it is not a directory")),
        }
    }

    /// Creates the file that stays with the generation as the log of its build
    /// (`generations/N/build.log`), or with a failed build that is kept.
    ///
    /// # Errors
    /// [`Error::Io`]: EEXIST if it exists already.
    pub fn log(&self) -> Result<File> {
        self.dir.log(self.store)
    }

    /// Takes in the bytes of a stream, for a plan that is staged with this stage. `mtime` is the mtime
    /// of the file; `None` is now.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn spool(&self, bytes: &mut dyn Read, mtime: Option<SystemTime>) -> Result<Source> {
        let fs = &self.store.fs;
        // Archives have many small members, so the folder and the buffer are created only once.
        let mut spool = lock(&self.spool);
        let Spool { dir, count, chunk } = match &mut *spool {
            Some(spool) => spool,
            none => {
                let dir = Arc::new(self.dir.spool(self.store)?);
                none.insert(Spool { dir, count: 0, chunk: vec![0; CHUNK] })
            }
        };
        let name = count.to_string().into_bytes();
        *count += 1;
        let file = fs.create(dir, &name)?;
        let path = dir.join(&name);
        let mut sparse = Sparse::new(fs, &file, &path);
        loop {
            match fill(bytes, chunk).map_err(|e| Error::io("read the stream for", &path, e))? {
                0 => break,
                read => sparse.write(&chunk[..read])?,
            }
        }
        sparse.finish()?;
        fs.set_mtime(&file, &path, mtime.unwrap_or_else(|| self.store.now()).into())?;
        Ok(Source::Spooled(Spooled { dir: dir.clone(), name }))
    }

    /// Makes a plan from all entries of its directory.
    ///
    /// # Errors
    /// [`Error::BadPlan`], also for remaining mounts in it. Code `stage-output-replaced` if its name
    /// belongs to an entry that was not created there since: such an entry is not touched.
    pub fn scan(&self, rules: &ScanRules) -> Result<Plan> {
        self.scan_onto(Plan::builder().rules(rules), rules)
    }

    /// Adds all entries of its directory, or all roots of a batch, to a plan, which may have a base.
    ///
    /// # Errors
    /// As [`Stage::scan`].
    pub fn scan_onto(&self, mut plan: PlanBuilder, rules: &ScanRules) -> Result<Plan> {
        match Batch::of(self.dir.dir())? {
            Some(batch) => plan.scan_batch(&batch, rules)?,
            None => plan.scan_ours(b"", &self.written_to()?, rules)?,
        }
        plan.build()
    }

    /// Stages all entries of its directory, invisible to readers. Files are moved in, so no program may
    /// write to them any more.
    ///
    /// # Errors
    /// As [`Stage::scan`]; [`Error::SourceChanged`], [`Error::Locked`], [`Error::Io`].
    ///
    /// # Locks
    /// As [`crate::Store::stage`].
    pub fn seal(self, rules: &ScanRules, options: StageOptions) -> Result<Staged<'s>> {
        let plan = self.scan(rules)?;
        self.seal_plan(&plan, options)
    }

    /// Stages a plan, whose sources may include the spooled streams of this stage.
    ///
    /// # Errors
    /// As [`Stage::seal`].
    pub fn seal_plan(self, plan: &Plan, options: StageOptions) -> Result<Staged<'s>> {
        publish::stage(self.store, Some(self.dir), plan, options)
    }

    /// Leaves it to an owner. Another process continues with [`crate::Store::resume`].
    ///
    /// # Errors
    /// Codes `no-such-process` and `stage-of-build` (see [`crate::Store::begin_build`]); [`Error::Io`].
    /// Then the stage is removed.
    pub fn leave_to(self, owner: Owner) -> Result<StageId> {
        if self.has_path_of_builds() {
            // Its id is used again: a later one would be taken for this one, which was committed.
            let why = "a stage that was begun for a build cannot be left to an owner";
            return Err(Error::refused(RefusedKind::StageOfBuild, why));
        }
        let made = self.out.as_ref().map(FolderMark::of).transpose()?;
        let claim = Claim { out: made, ..Claim::new(self.store, owner)? };
        self.dir.let_go(&claim)
    }

    /// Ends it after a failed build, and keeps the build's log for inspection.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Locked`].
    pub fn fail(self, why: &str, keep: KeepFailed) -> Result<Failed> {
        let (lock, _) = recover::lock_and_recover(self.store)?;
        let cause = Cause::Build { why: why.to_owned() };
        let kept = FailedBuilds::of(self.store).keep(&lock, &self.dir, cause, keep);
        drop(lock);
        let removed = tolerate(self.dir.remove());
        let mut kept = kept?;
        kept.left.extend(removed?);
        Ok(kept)
    }

    /// Ends it, and removes everything in it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn abort(self) -> Result<()> {
        self.dir.remove()
    }
}
