//! Publishing: plans, stages and audits.

use std::path::Path;

use crate::error::Result;
use crate::model::audit::{AuditRules, Finding};
use crate::model::ids::StageId;
use crate::model::relpath::RelPath;
use crate::model::tree::Tree;
use crate::parts::claim::{Claims, OpenStage};
use crate::parts::locks::{Locks, WatchLock};
use crate::plan::{Plan, ScanRules};
use crate::store::Store;
use crate::verbs::publish::batch::{self, PutRoot};
use crate::verbs::publish::ingest::lossy::Lossy;
use crate::verbs::publish::options::StageOptions;
use crate::verbs::publish::stage::{self, Stage};
use crate::verbs::publish::staged::Staged;
use crate::verbs::publish::{self, audit};

impl Store {
    /// Hashes a plan and returns the tree that it would become. Writes nothing.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::{Plan, Source};
    ///
    /// let plan = Plan::builder().file("index.html", Source::Bytes(b"two".to_vec())).build()?;
    /// let tree = store.preview(&plan)?;
    /// let current = store.open_generation(&"@".parse()?)?.head()?.tree;
    /// assert_eq!(tree.id(), current);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BadPlan`](crate::Error::BadPlan),
    /// [`Error::SourceChanged`](crate::Error::SourceChanged), [`Error::Io`](crate::Error::Io).
    pub fn preview(&self, plan: &Plan) -> Result<Tree> {
        publish::preview(&self.store, plan)
    }

    /// Returns the findings of an audit of a tree by these rules. Writes nothing.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::audit::AuditRules;
    /// use genstore::{Plan, Source};
    ///
    /// let plan = Plan::builder().file("a", Source::Bytes(b"12345".to_vec())).build()?;
    /// let tree = store.preview(&plan)?;
    /// let findings = store.judge(&tree, &AuditRules::default().max_file(4))?;
    /// assert_eq!(findings[0].rule, "max_file");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Only if the audit cannot be done.
    pub fn judge(&self, tree: &Tree, rules: &AuditRules) -> Result<Vec<Finding>> {
        audit::judge(&self.store, tree, rules)
    }

    /// Stages a plan, invisible to readers. See [`Staged::audit`] and
    /// [`crate::audit::Audited::commit`].
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::audit::{AuditRules, Judged};
    /// use genstore::{CommitOptions, Plan, Source, StageOptions};
    ///
    /// let plan = Plan::builder().file("index.html", Source::Bytes(b"three".to_vec())).build()?;
    /// let staged = store.stage(&plan, StageOptions::default())?;
    /// let Judged::Accepted(audited) = staged.audit(&AuditRules::default())? else { panic!("refused") };
    /// let published = audited.commit(&CommitOptions::default().note("a third page"))?;
    /// assert_eq!(published.generation.get(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BadPlan`](crate::Error::BadPlan),
    /// [`Error::SourceChanged`](crate::Error::SourceChanged), [`Error::Locked`](crate::Error::Locked),
    /// [`Error::Io`](crate::Error::Io).
    ///
    /// # Locks
    /// Takes the shared store lock, and keeps it as long as the staged tree lives.
    pub fn stage(&self, plan: &Plan, options: StageOptions) -> Result<Staged<'_>> {
        publish::stage(&self.store, None, plan, options)
    }

    /// Begins a stage: a directory that any program may write to, invisible to readers. See
    /// [`Stage::seal`].
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::plan::ScanRules;
    /// use genstore::{CommitOptions, StageOptions};
    ///
    /// let stage = store.begin()?;
    /// std::fs::write(stage.path().join("index.html"), "three")?;
    /// let staged = stage.seal(&ScanRules::default(), StageOptions::default())?;
    /// let published = staged.unaudited().commit(&CommitOptions::default())?;
    /// assert!(published.changed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Locked`](crate::Error::Locked), [`Error::Io`](crate::Error::Io).
    pub fn begin(&self) -> Result<Stage<'_>> {
        stage::begin(&self.store)
    }

    /// Begins a stage that several writers fill with [`Store::put`], each with roots of its own. Its directory
    /// is not written to: [`Stage::path`] does not exist.
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub fn begin_batch(&self) -> Result<Stage<'_>> {
        stage::begin_batch(&self.store)
    }

    /// Copies the directory or file `root.1` into a batch that was left to an owner. Its entries are at and
    /// below `root.0` in the generation. It replaces a root of the same name that was put before. Its source
    /// may change afterwards. A commit finds all of it or nothing. It is not flushed: a stage ends with the
    /// boot.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::plan::ScanRules;
    /// use genstore::publish::{CommitOptions, Lossy, Owner, StageOptions};
    /// use genstore::tree::RelPath;
    ///
    /// let until = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    /// let id = store.begin_batch()?.leave_to(Owner::Until(until))?;
    /// let (rules, page) = (ScanRules::default(), dir.path().join("page.html"));
    /// std::fs::write(&page, "three")?;
    /// let name = RelPath::new("web/index.html").map_err(|why| why.to_string())?;
    /// // Maybe in other processes, at the same time.
    /// let put = store.put(&id, (&name, &page), &rules, Lossy::Warn)?;
    /// assert_eq!((put.files, put.bytes), (1, 5));
    /// let stage = store.resume(&id)?;
    /// let plan = stage.scan(&rules)?;
    /// let staged = stage.seal_plan(&plan, StageOptions::default())?;
    /// assert!(staged.unaudited().commit(&CommitOptions::default())?.changed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::resume`]; code `stage-not-batch`; [`Error::BadPlan`](crate::Error::BadPlan) with every problem
    /// of the root; [`Error::SourceChanged`](crate::Error::SourceChanged) if a file changed while it was copied;
    /// code `lossy`; [`Error::Locked`](crate::Error::Locked) if another process commits the batch.
    ///
    /// # Locks
    /// The stage's, shared.
    pub fn put(
        &self,
        id: &StageId,
        root: (&RelPath, &Path),
        rules: &ScanRules,
        lossy: Lossy,
    ) -> Result<PutRoot> {
        batch::put(&self.store, id, root, rules, lossy)
    }

    /// Begins a stage for a build in this process. Its path is the same for each of them, so that programs
    /// that write down where they write create equal trees. While another build has that path, it begins
    /// one with a path of its own ([`Stage::has_path_of_builds`]). It cannot be left to an owner.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// let (first, beside) = (store.begin_build()?, store.begin_build()?);
    /// assert!(first.has_path_of_builds() && !beside.has_path_of_builds());
    /// let path = first.path().to_owned();
    /// first.abort()?;
    /// assert_eq!(store.begin_build()?.path(), path);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub fn begin_build(&self) -> Result<Stage<'_>> {
        stage::begin_build(&self.store)
    }

    /// Takes over a stage that was left to an owner.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::publish::Owner;
    ///
    /// let until = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    /// let id = store.begin()?.leave_to(Owner::Until(until))?;
    /// // Maybe in another process.
    /// let stage = store.resume(&id)?;
    /// stage.abort()?;
    /// assert!(store.resume(&id).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Codes `stage-unknown`, `stage-expired`, `stage-committed`, `stage-refused`, `stage-foreign`;
    /// [`Error::Locked`](crate::Error::Locked) if another process works on it.
    pub fn resume(&self, id: &StageId) -> Result<Stage<'_>> {
        stage::resume(&self.store, id)
    }

    /// Lists the stages that wait for a commit, oldest first.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use std::time::{Duration, SystemTime};
    ///
    /// use genstore::publish::Owner;
    ///
    /// let until = SystemTime::now() + Duration::from_secs(60);
    /// let id = store.begin()?.leave_to(Owner::Until(until))?;
    /// let open = store.stages()?;
    /// assert_eq!((open.len(), &open[0].id), (1, &id));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// I/O errors of the staging directory.
    pub fn stages(&self) -> Result<Vec<OpenStage>> {
        Claims::of(&self.store).open()
    }

    /// Takes the watch lock of this store: one process at a time watches sources for it.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// let watching = store.lock_watch()?;
    /// assert_eq!(store.lock_watch().err().map(|error| error.code()), Some("locked"));
    /// drop(watching);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Locked`](crate::Error::Locked) at once, with the process that has it.
    pub fn lock_watch(&self) -> Result<WatchLock> {
        Locks::of(&self.store).watch()
    }
}
