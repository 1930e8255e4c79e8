//! Pull: what is missing, checked, then the store's own commit.
//!
//! The bytes of every object are hashed before the object gets a name (RMT-7). A pull that is interrupted
//! leaves the objects that it received, and the next one fetches the rest.

use genstore::audit::Audited;
use genstore::generation::Mark;
use genstore::plan::{SharedPaths, Symlinks};
use genstore::publish::{Activate, Activation, Expect, Staged};
use genstore::tree::{Digest, Node, show_path};
use genstore::{CommitOptions, GenerationId, Plan, Publication, Retention, Rev, StageOptions, Store};

use crate::check::Check;
use crate::codec::record::Head;
use crate::codec::{Bad, names};
use crate::error::{Error, Result};
use crate::fetch::Fetched;
use crate::load::Remembered;
use crate::log::Entry;
use crate::requests::Remote;

/// The number of records that a search for a tree reads.
const SEARCHED: u64 = 200;
/// The number of hex digits of a tree's id that name it.
const MIN_HEX: usize = 6;

/// The options of a pull.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PullOptions {
    /// Whether the generation becomes current, unless a rollback holds the current one, or it is marked as bad.
    pub activate: bool,
    /// Only find out what is missing.
    pub dry_run: bool,
    /// The symlinks that the tree may have.
    pub symlinks: Symlinks,
    /// The shared paths of the project. A path that the tree has, too, gets its place here.
    pub shared: SharedPaths,
    /// The rule by which old generations are given up, so that their trees are used again. `None`: all are kept.
    pub recycle: Option<Retention>,
}

impl PullOptions {
    /// Uses old generations again, those that this rule gives up.
    pub fn recycle(mut self, recycle: Option<Retention>) -> PullOptions {
        self.recycle = recycle;
        self
    }

    /// Makes the generation current, unless a rollback holds the current one, or it is marked as bad.
    pub fn activate(mut self, activate: bool) -> PullOptions {
        self.activate = activate;
        self
    }

    /// Only finds out what is missing.
    pub fn dry_run(mut self, dry_run: bool) -> PullOptions {
        self.dry_run = dry_run;
        self
    }

    /// Sets the shared paths of the project.
    pub fn shared(mut self, shared: SharedPaths) -> PullOptions {
        self.shared = shared;
        self
    }

    /// Sets the symlinks that the tree may have.
    pub fn symlinks(mut self, symlinks: Symlinks) -> PullOptions {
        self.symlinks = symlinks;
        self
    }
}

/// The result of a pull.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pulled {
    /// The record that pushed the generation.
    pub record: u64,
    /// The tree's id.
    pub tree: Digest,
    /// The local generation. `None`: a dry run of a pull that would create it.
    pub generation: Option<GenerationId>,
    /// The objects that were fetched.
    pub fetched: Fetched,
    /// The new generation. `None`: the store had one with this tree.
    pub publication: Option<Publication>,
    /// The move of `current` to a generation that the store had.
    pub activation: Option<Activation>,
    /// The contents that the remote has forgotten, and the store still has.
    pub forgotten: Vec<Digest>,
    /// The reason why it was not activated, although that was wanted.
    pub waits: Option<Waits>,
}

/// The reason why a generation is not activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// A rollback holds the current generation.
    Held,
    /// It is marked as bad.
    Bad,
}

/// The name of a generation on a remote: a channel, a pin, the number of a record, or hex digits of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted(pub String);

impl Remote {
    /// Pulls a generation into a store.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Distrusted`], [`Error::Damaged`], [`Error::Missing`],
    /// [`Error::Request`], [`Error::Store`]. Nothing was activated then.
    pub fn pull(&self, store: &Store, wanted: &Wanted, options: &PullOptions) -> Result<Pulled> {
        self.pull_with(store, wanted, options, |staged| Ok::<_, Error>(staged.unaudited()))
    }

    /// Does the same, and audits a new tree before it becomes a generation.
    ///
    /// # Errors
    /// As [`Remote::pull`], and those of `audit`.
    pub fn pull_with<E: From<Error>>(
        &self,
        store: &Store,
        wanted: &Wanted,
        options: &PullOptions,
        audit: impl Fn(Staged<'_>) -> std::result::Result<Audited<'_>, E>,
    ) -> std::result::Result<Pulled, E> {
        let (mut pulled, remembered) = match self.fetch_wanted(store, wanted, options) {
            // gc removed it after a newer record: the newest generation is another now.
            Err(Error::Missing { .. }) => self.fetch_wanted(store, wanted, options)?,
            done => done?,
        };
        if pulled.generation.is_none() && !options.dry_run {
            let staged = stage(store, &remembered, options)?;
            let publication = commit(audit(staged)?, &remembered, options)?;
            pulled.waits = (options.activate && !publication.current).then_some(Waits::Held);
            pulled.generation = Some(publication.generation);
            pulled.publication = Some(publication);
        }
        if let Some(cache) = &self.options.cache {
            cache.prune(remembered.bundle.header.checkpoint);
        }
        Ok(pulled)
    }

    /// Fetches the objects that the store lacks, or finds the generation there and activates it.
    fn fetch_wanted(
        &self,
        store: &Store,
        wanted: &Wanted,
        options: &PullOptions,
    ) -> Result<(Pulled, Remembered)> {
        let (head, newest) = self.resolve_at(wanted)?;
        let remembered = self.remembered(head.bundle)?;
        self.refuse_forgotten(&newest.record, &remembered.manifest.tree)?;
        let tree = remembered.manifest.head.tree;
        let mut pulled = Pulled {
            record: head.number,
            tree: tree.digest(),
            generation: None,
            fetched: Fetched::default(),
            publication: None,
            activation: None,
            forgotten: vec![],
            waits: None,
        };
        for digest in self.forgotten(&newest.record)? {
            if store.open_object(digest)?.is_some() {
                pulled.forgotten.push(digest);
            }
        }
        let listing = store.list()?;
        let mut same = listing.generations.iter().filter(|listed| listed.head.tree == tree);
        if let Some(listed) = same.clone().find(|listed| listed.current).or(same.next()) {
            pulled.generation = Some(listed.id);
            if options.activate && !listed.current && !options.dry_run {
                let is_bad = listed.mark.mark == Mark::Bad;
                pulled.waits = match (is_bad, store.hold()?) {
                    (true, _) => Some(Waits::Bad),
                    (false, Some(_)) => Some(Waits::Held),
                    (false, None) => None,
                };
                if pulled.waits.is_none() {
                    pulled.activation = Some(store.activate(&Rev::Number(listed.id), Expect::Any)?);
                }
            }
            return Ok((pulled, remembered));
        }
        pulled.fetched = self.fetch(store, &remembered, options.dry_run)?;
        Ok((pulled, remembered))
    }

    /// Finds a generation by its name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with similar names; [`Error::Distrusted`] if the newest record is too old.
    pub fn resolve(&self, wanted: &Wanted) -> Result<Head> {
        self.resolve_at(wanted).map(|(head, _)| head)
    }

    /// Does the same, and returns the newest record, too.
    fn resolve_at(&self, wanted: &Wanted) -> Result<(Head, Entry)> {
        let name = &wanted.0;
        let unknown = |near| Error::Unknown { name: name.clone(), near };
        let newest = self.newest()?.ok_or_else(|| unknown(vec![]))?;
        let until = newest.record.best_before;
        if until != 0 && until < self.now() {
            let why = format!("its newest record was to be replaced {} s ago", self.now() - until);
            return Err(Error::Distrusted { check: Check::Frozen, why });
        }
        let record = &newest.record;
        let (head, pin) = (record.heads.get(name), record.pins.get(name));
        if let Some(found) = head.or(pin) {
            self.verify_head(head.map(|_| &**name), *found, &newest)?;
            return Ok((*found, newest));
        }
        if let Ok(number) = name.parse::<u64>()
            && let Some(entry) = self.record(number)?
            && let Some(of) = entry.record.change.generation()
        {
            self.verify(&entry.record)?;
            return Ok((Head { number, bundle: of.bundle }, newest));
        }
        match self.find_tree(name, &newest)? {
            Some(head) => Ok((head, newest)),
            None => Err(unknown(record.heads.keys().chain(record.pins.keys()).cloned().collect())),
        }
    }

    /// Returns the tree of a generation by its name.
    ///
    /// # Errors
    /// As [`Remote::resolve`].
    pub fn tree_of_name(&self, wanted: &Wanted) -> Result<Digest> {
        let head = self.resolve(wanted)?;
        let key = names::record(head.number);
        let entry = self.record(head.number)?.ok_or(Error::Missing { key })?;
        match entry.record.change.generation() {
            Some(of) => Ok(of.tree),
            None => Err(Error::Unknown { name: wanted.0.clone(), near: vec![] }),
        }
    }

    /// Searches the newest records for a tree.
    fn find_tree(&self, hex: &str, newest: &Entry) -> Result<Option<Head>> {
        if hex.len() < MIN_HEX || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let last = newest.record.number;
        for number in (last.saturating_sub(SEARCHED) + 1..=last).rev() {
            let Some(entry) = self.record(number)? else { continue };
            if let Some(of) = entry.record.change.generation()
                && of.tree.to_string().starts_with(hex)
            {
                self.verify(&entry.record)?;
                return Ok(Some(Head { number, bundle: of.bundle }));
            }
        }
        Ok(None)
    }
}

/// Assembles the tree out of objects that the store has by now.
fn stage<'s>(store: &'s Store, remembered: &Remembered, options: &PullOptions) -> Result<Staged<'s>> {
    let manifest = &remembered.manifest;
    let is_known = |path: &[u8]| options.shared.iter().any(|shared| shared.path.as_bytes() == path);
    let unknown = SharedPaths::in_tree(&manifest.tree).into_iter().filter(|path| !is_known(path));
    let unknown: Vec<String> = unknown.map(show_path).collect();
    if !unknown.is_empty() && options.symlinks != Symlinks::Any {
        let why =
            format!("the generation has shared paths that this project has not: {}", unknown.join(", "));
        return Err(Error::NotShared { why });
    }
    let has = |path: &[u8]| matches!(manifest.tree.find(path), Some(Node::Symlink(_)));
    let shared = options.shared.iter().filter(|shared| has(shared.path.as_bytes())).cloned().collect();
    // A part of paths that fit together fits together.
    let shared = SharedPaths::new(shared).unwrap_or_default();
    let mut plan = Plan::builder().symlinks(options.symlinks).shared(&shared);
    for entry in manifest.tree.iter() {
        plan = match entry.node {
            Node::File(file) => plan.stored(entry.path, file),
            Node::Symlink(target) => plan.symlink(entry.path, target),
            Node::EmptyDir => plan.dir(entry.path),
        };
    }
    let mut stage = StageOptions::default();
    stage.recycle.clone_from(&options.recycle);
    let staged = store.stage(&plan.build()?, stage)?;
    if staged.tree().id() != manifest.head.tree {
        let why = Bad::Malformed("its tree's id is not that of its entries");
        return Err(Error::bad(&names::bundle(remembered.bundle.id), why));
    }
    Ok(staged)
}

fn commit(audited: Audited<'_>, remembered: &Remembered, options: &PullOptions) -> Result<Publication> {
    let head = &remembered.manifest.head;
    let activate = if options.activate { Activate::UnlessHeld } else { Activate::Never };
    let commit =
        CommitOptions::default().note(head.note.clone()).facts(head.facts.clone()).activate(activate);
    Ok(audited.commit(&commit)?)
}
