//! Finds the paths of a plan in the current generation.

use crate::model::relpath;
use crate::model::tree::Tree;
use crate::model::tree::runs::RUN;
use crate::plan::Plan;
use crate::threads::prelude::*;

/// Number of entries that one thread searches at a time.
const COMPARED_TOGETHER: usize = 4096;

/// The value in the list of [`entries_before`] for a new entry.
pub(crate) const NO_ENTRY: u32 = u32::MAX;

/// Finds each path of a plan in the current generation. Both are sorted.
pub(crate) fn entries_before(plan: &Plan, base: &Tree) -> Vec<u32> {
    let find = |start: usize| {
        let end = plan.len().min(start + COMPARED_TOGETHER);
        let (mut found, mut at) = (Vec::with_capacity(end - start), base.lower_bound(plan.path(start)));
        while start + found.len() < end {
            let entry = start + found.len();
            let run = RUN.min(end - entry);
            // Most paths are unchanged.
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
