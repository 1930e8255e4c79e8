//! Stages that others write to: begun, filled by whatever program, sealed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rustix::io::Errno;

use crate::change::begin;
use crate::error::{Error, RefusedKind, Result, show_path};
use crate::fs::copy::{CHUNK, fill};
use crate::fs::errno::is_errno;
use crate::fs::mount::is_mount;
use crate::fs::sparse::Sparse;
use crate::fs::{Dir, Kind};
use crate::model::ids::StageId;
use crate::parts::claim::{Claim, FolderMark, Owner, Standing};
use crate::parts::failed::{Cause, Failed, FailedBuilds, KeepFailed};
use crate::parts::generations::Generations;
use crate::parts::layout::StoreDir;
use crate::parts::log::Log;
use crate::parts::stage_dir::{OUT, StageDir, tolerate};
use crate::plan::Plan;
use crate::plan::item::{Source, Spooled};
use crate::plan::scan::ScanRules;
use crate::threads::lock;
use crate::verbs::publish;
use crate::verbs::publish::options::StageOptions;
use crate::verbs::publish::staged::Staged;

/// A directory in the store that programs write to, out of readers' sight, until it is sealed.
///
/// Dropping it removes it, unless it was resumed: then it is still its owner's.
#[must_use]
pub struct Stage<'s> {
    store: &'s StoreDir,
    /// Gone once it is sealed, left to an owner or ended.
    dir: Option<StageDir>,
    /// The directory that was made for others to write to, whatever has its name by now; `None` for a
    /// resumed stage where that is another one.
    out: Option<Dir>,
    path: PathBuf,
    spool: Mutex<Option<Spool>>,
}

/// Where streams are taken in.
struct Spool {
    dir: Arc<Dir>,
    count: u64,
    chunk: Vec<u8>,
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if let Some(dir) = self.dir.take() {
            // What cannot be removed now is debris, which the next writer removes.
            drop(dir.give_up(self.store));
        }
    }
}

/// Begins a stage, held by this process.
pub(crate) fn begin(store: &StoreDir) -> Result<Stage<'_>> {
    // What a dead process left goes first: it may be what fills the disk.
    drop(begin::begin_commit(store)?);
    let dir = StageDir::create(store)?;
    match dir.out(store) {
        Ok(out) => Ok(Stage::of(store, dir, Some(out))),
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
        Err(e) if is_errno(&e, Errno::ACCESS) => {
            return Err(Error::refused(
                RefusedKind::StageForeign,
                format!("the stage {id} belongs to another user"),
            ));
        }
        resumed => resumed?,
    };
    // Whoever committed it may not have lived to write the log; this does it. The stage itself is
    // ours already, so it is not taken for debris.
    drop(begin::begin_commit(store)?);
    if let Some(generation) = Log::of(store).history()?.made_of_stage(id)
        && Generations::of(store).find(generation)?.is_some()
    {
        // Whoever committed it did not live to remove it.
        if let Some((dir, ..)) = resumed {
            dir.remove(store)?;
        }
        let why = format!("the stage {id} was committed already: it is generation {generation}");
        return Err(Error::refused(RefusedKind::StageCommitted, why));
    }
    let Some((dir, standing, made)) = resumed else {
        return Err(match FailedBuilds::of(store).find_stage(id)? {
            Some(number) => Error::refused(
                RefusedKind::StageRefused,
                format!("the stage {id} was refused: it is kept as failed/{number}"),
            ),
            None => Error::refused(
                RefusedKind::StageUnknown,
                format!("there is no stage {id}: it was aborted, it is over, or it never was"),
            ),
        });
    };
    let why = match standing {
        Standing::Holds => {
            let out = dir.reopen_out(made.as_ref())?;
            return Ok(Stage::of(store, dir, out));
        }
        Standing::Expired(at) => {
            let ago = store.now().duration_since(at).unwrap_or_default().as_secs();
            format!("the stage {id} expired {ago} s ago")
        }
        Standing::OwnerGone(pid) => {
            format!("the stage {id} is over: its owner, process {pid}, has ended")
        }
        Standing::Rebooted => format!("the stage {id} is over: the system was started anew since"),
    };
    drop(dir.remove(store));
    Err(Error::refused(RefusedKind::StageExpired, why))
}

impl<'s> Stage<'s> {
    fn of(store: &'s StoreDir, dir: StageDir, out: Option<Dir>) -> Stage<'s> {
        let path = dir.dir().join(OUT);
        Stage { store, dir: Some(dir), out, path, spool: Mutex::default() }
    }

    fn dir(&self) -> &StageDir {
        self.dir.as_ref().expect("it goes only with the stage itself")
    }

    /// Gives its name, by which another process resumes it.
    pub fn id(&self) -> StageId {
        self.dir().id()
    }

    /// Gives the directory to write to: empty at first, of mode 0755.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory that was made for others to write to, if it still has its name, or one that
    /// was made there since: build tools empty their output by removing it. Anything else in its place is
    /// somebody's own, or the store's.
    fn written_to(&self) -> Result<Dir> {
        let stage = self.dir().dir();
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
            _ => Err(why("it is no directory")),
        }
    }

    /// Makes the file that stays with the generation as the log of its build
    /// (`generations/N/build.log`), or with what is kept of a failure.
    ///
    /// # Errors
    /// [`Error::Io`]: EEXIST when there is one already.
    pub fn log(&self) -> Result<File> {
        self.dir().log(self.store)
    }

    /// Takes in the bytes of a stream, for a plan that is sealed with this stage. `mtime` is what
    /// the file will show; none is now.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn spool(&self, bytes: &mut dyn Read, mtime: Option<SystemTime>) -> Result<Source> {
        let fs = &self.store.fs;
        // Archives have many small members: the folder and the buffer are there once.
        let mut spool = lock(&self.spool);
        if spool.is_none() {
            let dir = Arc::new(self.dir().spool(self.store)?);
            *spool = Some(Spool { dir, count: 0, chunk: vec![0; CHUNK] });
        }
        let Spool { dir, count, chunk } = spool.as_mut().expect("it was made above");
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

    /// Makes a plan of all that was written to its directory.
    ///
    /// # Errors
    /// [`Error::BadPlan`], also for what is still mounted in it; code `stage-output-replaced` where
    /// something else has its name that was not made there since: nothing of that is touched.
    pub fn scan(&self, rules: &ScanRules) -> Result<Plan> {
        let mut builder = Plan::builder().symlinks(rules.symlinks);
        builder.scan_ours(&self.written_to()?, rules)?;
        builder.build()
    }

    /// Brings all that was written to its directory into the store, where no reader sees it. Files
    /// are moved in, so nothing may write to them any more.
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

    /// Brings a plan into the store, among whose sources may be what this stage has taken in.
    ///
    /// # Errors
    /// As [`Stage::seal`].
    pub fn seal_plan(mut self, plan: &Plan, options: StageOptions) -> Result<Staged<'s>> {
        publish::stage(self.store, self.dir.take(), plan, options)
    }

    /// Leaves it to an owner; another process goes on with [`crate::Store::resume`].
    ///
    /// # Errors
    /// Code `no-such-process`; [`Error::Io`]. Then the stage is removed.
    pub fn leave_to(mut self, owner: Owner) -> Result<StageId> {
        let made = self.out.as_ref().map(FolderMark::of).transpose()?;
        let claim = Claim { out: made, ..Claim::new(self.store, owner)? };
        let dir = self.dir.take().expect("it goes only with the stage itself");
        dir.let_go(self.store, &claim)
    }

    /// Ends it for a build that failed; keeps its log for a look.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Locked`].
    pub fn fail(mut self, why: &str, keep: KeepFailed) -> Result<Failed> {
        let (lock, _) = begin::begin_commit(self.store)?;
        let dir = self.dir.take().expect("it goes only with the stage itself");
        let kept =
            FailedBuilds::of(self.store).keep(&lock, &dir, Cause::Build { why: why.to_owned() }, keep);
        drop(lock);
        let removed = tolerate(dir.remove(self.store));
        let mut kept = kept?;
        kept.left.extend(removed?);
        Ok(kept)
    }

    /// Ends it, and removes all that was written to it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn abort(mut self) -> Result<()> {
        let dir = self.dir.take().expect("it goes only with the stage itself");
        dir.remove(self.store)
    }
}
