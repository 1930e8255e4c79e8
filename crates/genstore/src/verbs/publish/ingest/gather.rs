//! Builds the tree of the ingested files, entry by entry in the order of the plan.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use crate::model::index::{SourceIndex, SourceStat};
use crate::model::tree::builder::TreeBuilder;
use crate::model::tree::{Mtime, Node, ObjectId, Tree, TreeId};
use crate::plan::Plan;
use crate::plan::item::What;
use crate::verbs::publish::ingest::claims::Claim;
use crate::verbs::publish::ingest::context::{Done, EntrySource};
use crate::verbs::publish::ingest::linked::LinkedFolders;
use crate::verbs::publish::ingest::reuse::Reuse;

/// The tree of a plan, and the data about its sources for the next publish.
pub(crate) struct Gathered {
    pub(crate) tree: Tree,
    /// One per entry of the tree.
    pub(crate) how: Vec<EntrySource>,
    pub(crate) new_bytes: u64,
    pub(crate) sources: Option<SourceIndex>,
    /// Folders with sources that have other names, too.
    pub(crate) linked: BTreeSet<Vec<u8>>,
}

/// A tree that is being built.
pub(crate) struct Gathering<'a> {
    plan: &'a Plan,
    reuse: &'a Reuse<'a>,
    claims: &'a HashMap<ObjectId, Claim>,
    linked: LinkedFolders<'a>,
    sources: Sources,
    tree: TreeBuilder,
    how: Vec<EntrySource>,
    new_bytes: u64,
}

impl<'a> Gathering<'a> {
    /// Starts an empty tree. `start` is a time before the first source was read. `linked` are the
    /// inodes of sources that have several names.
    pub(crate) fn new(
        plan: &'a Plan,
        reuse: &'a Reuse<'a>,
        claims: &'a HashMap<ObjectId, Claim>,
        linked: HashSet<u64>,
        start: Mtime,
    ) -> Gathering<'a> {
        Gathering {
            plan,
            reuse,
            claims,
            linked: LinkedFolders::new(plan, linked),
            sources: Sources { start, files: Vec::with_capacity(plan.files()) },
            tree: TreeBuilder::with_capacity(plan.len()),
            how: Vec::with_capacity(plan.len()),
            new_bytes: 0,
        }
    }

    /// Adds all entries of the plan. `files` has one item per entry. Items of entries that are not
    /// files are ignored.
    pub(crate) fn add_all(&mut self, files: Vec<Done>) {
        let mut files = files.into_iter();
        loop {
            let same = self.run(files.as_slice());
            if !same.is_empty() {
                files.nth(same.len() - 1);
                self.add_run(same);
                continue;
            }
            let Some(done) = files.next() else { break };
            self.add(done);
        }
    }

    /// Finds the unchanged files from the next entry on that are adjacent in the current generation.
    fn run(&self, files: &[Done]) -> Range<usize> {
        let entry = self.how.len();
        let Some(first) = self.reuse.entry_before(entry) else { return 0..0 };
        let is_next = |(number, done): &(usize, &Done)| {
            matches!(done, Done::AsBefore)
                && matches!(self.plan.what[entry + number], What::File { .. })
                && self.reuse.entry_before(entry + number) == Some(first + number)
        };
        let run = files.iter().enumerate().take_while(is_next).count();
        first..first + run
    }

    /// Adds unchanged files. Most files are unchanged, so they are copied together.
    fn add_run(&mut self, same: Range<usize>) {
        let entry = self.how.len();
        self.tree.push_files(self.reuse.base(), same.clone());
        for (number, old) in same.clone().enumerate() {
            let source = self.reuse.source_of(old);
            self.linked.note(entry + number, source);
            self.sources.add(source);
        }
        self.how.resize(entry + same.len(), EntrySource::Object);
    }

    fn add(&mut self, done: Done) {
        let entry = self.how.len();
        let (node, way) = match (&self.plan.what[entry], done) {
            (What::File { .. }, Done::New(mut file)) => {
                if file.how == EntrySource::Twin
                    && let Some(claim) = self.claims.get(&file.node.object())
                {
                    // By now the mtime that the filesystem stored is known.
                    file.node.mtime = claim.mtime;
                }
                self.linked.note(entry, file.source);
                self.sources.add(file.source);
                self.new_bytes += if file.how == EntrySource::Placed { file.node.size } else { 0 };
                (Node::File(file.node), file.how)
            }
            (What::Symlink(target), _) => (Node::Symlink(target), EntrySource::Made),
            _ => (Node::EmptyDir, EntrySource::Made),
        };
        self.tree.append_node(node);
        self.how.push(way);
    }

    /// Completes the tree. `dev` is the filesystem of all sources in the index.
    pub(crate) fn finish(self, dev: Option<u64>) -> Gathered {
        let tree = self.tree.finish_at(self.plan.paths.clone());
        Gathered {
            sources: self.sources.finish(tree.id(), dev),
            tree,
            how: self.how,
            new_bytes: self.new_bytes,
            linked: self.linked.finish(),
        }
    }
}

/// Collects the stat values of the sources, file by file.
struct Sources {
    /// A time before the first source was read.
    start: Mtime,
    files: Vec<SourceStat>,
}

impl Sources {
    fn add(&mut self, source: Option<SourceStat>) {
        let settled = source.filter(|stat| stat.is_settled(self.start));
        self.files.push(settled.unwrap_or_default());
    }

    /// Returns the index, or `None` if it would be empty.
    fn finish(self, tree: TreeId, dev: Option<u64>) -> Option<SourceIndex> {
        let is_indexed = self.files.iter().any(|stat| stat.ino != 0);
        dev.filter(|_| is_indexed).map(|dev| SourceIndex { tree, dev, files: self.files })
    }
}
