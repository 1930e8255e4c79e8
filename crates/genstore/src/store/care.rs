//! Care of a store: gc, verify, repair and export.

use std::path::Path;

use crate::change::retain;
use crate::check::owners::Foreign;
use crate::check::report::VerifyReport;
use crate::check::strays::{self, Strays};
use crate::check::tree::Depth;
use crate::error::Result;
use crate::model::ids::GenerationId;
use crate::model::retention::{Retention, Verdict};
use crate::parts::generations::{Generation, Generations};
use crate::repair::owners::{self, GivenBack};
use crate::store::Store;
use crate::verbs::collect::{self, Collected, GcPlan};
use crate::verbs::export::{self, Exported, SharedExport};
use crate::verbs::verify::{self, Relinked, Repaired};

impl Store {
    /// Returns the verdict of a collection with this rule about a generation.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::Retention;
    ///
    /// let first = store.resolve(&"1".parse()?)?;
    /// let verdict = store.verdict(first, &Retention::only_last(1))?.expect("it is there");
    /// assert!(!verdict.keeps());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged).
    pub fn verdict(&self, id: GenerationId, retention: &Retention) -> Result<Option<Verdict>> {
        retain::judge_one(&self.store, id, retention)
    }

    /// Plans a collection. Changes nothing.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::Retention;
    ///
    /// let plan = store.plan_gc(&Retention::only_last(1))?;
    /// assert_eq!((plan.removed().len(), plan.objects()), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged): an unreadable generation may reference objects.
    pub fn plan_gc(&self, retention: &Retention) -> Result<GcPlan> {
        collect::plan_gc(&self.store, retention)
    }

    /// Removes the generations and objects in the plan that still have no reason to stay.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::Retention;
    ///
    /// let plan = store.plan_gc(&Retention::only_last(1))?;
    /// let done = store.collect(&plan)?;
    /// assert_eq!(done.generations, plan.removed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Locked`](crate::Error::Locked), [`Error::Damaged`](crate::Error::Damaged),
    /// [`Error::Io`](crate::Error::Io).
    ///
    /// # Locks
    /// The exclusive store lock: waits for publishers.
    pub fn collect(&self, plan: &GcPlan) -> Result<Collected> {
        collect::collect(&self.store, plan)
    }

    /// Compares the store, or one generation, with its records.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::verify::Depth;
    ///
    /// assert!(store.verify(None, Depth::Full)?.is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Only if the check cannot be done: damage is in the report.
    pub fn verify(&self, only: Option<GenerationId>, depth: Depth) -> Result<VerifyReport> {
        verify::verify(&self.store, only, depth)
    }

    /// Repairs damage from intact copies, and moves the other damaged objects to quarantine. Returns
    /// the findings before the repair and those that are left.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// let repaired = store.repair()?;
    /// assert!(repaired.before.is_clean() && repaired.after.is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Locked`](crate::Error::Locked), [`Error::Io`](crate::Error::Io).
    pub fn repair(&self) -> Result<Repaired> {
        verify::repair(&self.store)
    }

    /// Restores the hard links of a store that was copied without them: by `cp -r`, or from an archive. Names,
    /// modes and mtimes of objects are restored too, from the generations' own files. Nothing is moved to
    /// quarantine: other damage is reported and stays.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// assert!(!store.relink()?.done.any());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) if a record is damaged that every change reads;
    /// [`Error::Locked`](crate::Error::Locked), [`Error::Io`](crate::Error::Io).
    pub fn relink(&self) -> Result<Relinked> {
        verify::relink(&self.store)
    }

    /// Counts the entries with a foreign owner. Takes no lock and changes nothing.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// assert_eq!(store.foreign()?.count, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn foreign(&self) -> Result<Foreign> {
        owners::foreign(&self.store)
    }

    /// Changes the owner of foreign entries to the store's owner, or their group to the group that
    /// shares it. Returns the findings before and those that are left.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// // Only root may do it.
    /// match store.give_back() {
    ///     Ok(given) => assert_eq!(given.after.count, 0),
    ///     Err(error) => assert_eq!(error.code(), "needs-root"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Code `needs-root`; [`Error::Locked`](crate::Error::Locked), [`Error::Io`](crate::Error::Io).
    ///
    /// # Locks
    /// The exclusive store lock, and the commit lock.
    pub fn give_back(&self) -> Result<GivenBack> {
        owners::give_back(&self.store)
    }

    /// Returns the number of bytes that this user may still write to the store's filesystem.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// assert!(store.free_bytes()? > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn free_bytes(&self) -> Result<u64> {
        self.store.dir.free_bytes()
    }

    /// Finds the files that a program wrote into the current generation. Takes no lock and changes nothing.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// assert_eq!(store.strays()?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged), [`Error::Io`](crate::Error::Io).
    pub fn strays(&self) -> Result<Option<Strays>> {
        let Some(id) = self.current()? else { return Ok(None) };
        let generation = Generations::of(&self.store).open(id)?;
        strays::find(&self.store, &generation, &generation.manifest()?.tree)
    }

    /// Copies a generation's tree to a directory that is absent or empty. Returns the number of files
    /// and bytes.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// let generation = store.open_generation(&"1".parse()?)?;
    /// let copied = store.export(&generation, &dir.path().join("copy"))?;
    /// assert_eq!((copied.files, copied.bytes), (1, 3));
    /// assert_eq!(std::fs::read(dir.path().join("copy/index.html"))?, b"one");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotEmpty`](crate::Error::NotEmpty), [`Error::Damaged`](crate::Error::Damaged),
    /// [`Error::Io`](crate::Error::Io), and [`Error::Refused`](crate::Error::Refused) with the codes
    /// `bad-target`, `target-in-store` and `target-in-view`. Then there is no copy.
    pub fn export(&self, generation: &Generation, to: &Path) -> Result<Exported> {
        self.export_with(generation, to, SharedExport::default())
    }

    /// Does the same, with a choice of what the copy has at shared paths.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::generation::SharedExport;
    ///
    /// let generation = store.open_generation(&"1".parse()?)?;
    /// let copied = store.export_with(&generation, &dir.path().join("copy"), SharedExport::Leave)?;
    /// assert_eq!(copied.files, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::export`], and the code `shared-unknown`.
    pub fn export_with(
        &self,
        generation: &Generation,
        to: &Path,
        shared: SharedExport,
    ) -> Result<Exported> {
        export::export(&self.store, generation, to, shared)
    }
}
