//! What stands in what is current at the paths of a plan, and what is known of the sources it was made
//! from. Floor 3.

use std::ops::Range;

use crate::model::index::SourceStat;
use crate::model::relpath;
use crate::model::tree::runs::RUN;
use crate::model::tree::{FileNode, Node, Tree};
use crate::plan::Plan;
use crate::plan::item::What;
use crate::threads::prelude::*;
use crate::verbs::publish::ingest::context::{Done, Ingest};

/// So many entries are looked for by one thread at a time.
const COMPARED_TOGETHER: usize = 4096;

/// What [`Shared::old`] says of an entry that is new.
pub(crate) const NO_ENTRY: u32 = u32::MAX;

/// Finds each path of a plan in what is current; both are sorted.
pub(crate) fn entries_before(plan: &Plan, base: &Tree) -> Vec<u32> {
    let find = |start: usize| {
        let end = plan.len().min(start + COMPARED_TOGETHER);
        let (mut found, mut at) = (Vec::with_capacity(end - start), base.lower_bound(plan.path(start)));
        while start + found.len() < end {
            let entry = start + found.len();
            let run = RUN.min(end - entry);
            // Mostly the paths are those that were.
            if at + run <= base.len() && plan.paths_of(entry..entry + run) == base.paths_of(at..at + run) {
                found.extend(at as u32..(at + run) as u32);
                at += run;
                continue;
            }
            for entry in entry..entry + run {
                while at < base.len() && relpath::compare(base.path(at), plan.path(entry)).is_lt() {
                    at += 1;
                }
                let is_there = at < base.len() && base.path(at) == plan.path(entry);
                found.push(if is_there { at as u32 } else { NO_ENTRY });
            }
        }
        found
    };
    (0..plan.len()).into_par_iter().step_by(COMPARED_TOGETHER).flat_map_iter(find).collect()
}

impl Ingest<'_> {
    /// Gives what stands at an entry's path in what is current, and what is known of its source.
    pub(crate) fn before(&self, old: &[u32], entry: usize) -> Option<(FileNode, SourceStat)> {
        let old = *old.get(entry).filter(|old| **old != NO_ENTRY)? as usize;
        match self.base?.get(old).node {
            Node::File(node) => Some((node, self.source_before(old)?)),
            _ => None,
        }
    }

    /// Gives what is known of the source of an entry of what is current.
    pub(crate) fn source_before(&self, old: usize) -> Option<SourceStat> {
        Some(self.index?.files[self.base?.file_rank(old)?])
    }

    /// Finds the files from an entry on that are as before, and stand together in what is current.
    pub(crate) fn run_before(
        &self,
        old: &[u32],
        entry: usize,
        files: &[Done],
    ) -> Option<(&Tree, Range<usize>)> {
        let is_file = |entry: usize| matches!(self.plan.what[entry], What::File { .. });
        let first = *old.get(entry)? as usize;
        let is_next = |(number, done): &(usize, &Done)| {
            matches!(done, Done::AsBefore)
                && is_file(entry + number)
                && old[entry + number] as usize == first + number
        };
        let run = files.iter().enumerate().take_while(is_next).count();
        (run > 0).then_some((self.base?, first..first + run))
    }
}
