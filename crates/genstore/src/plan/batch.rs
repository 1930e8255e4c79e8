//! The roots of a batch as a plan.

use crate::error::Result;
use crate::fs::Kind;
use crate::parts::batch::{Batch, BatchRoot, TREE};
use crate::plan::builder::PlanBuilder;
use crate::plan::item::{Given, ItemSource, Spooled, What};
use crate::plan::scan::ScanRules;

impl PlanBuilder {
    /// Adds the roots of a batch. The files that are left out of them were decided when they were put.
    pub(crate) fn scan_batch(&mut self, batch: &Batch, rules: &ScanRules) -> Result<()> {
        let rules = ScanRules { include: None, exclude: None, ..rules.clone() };
        for BatchRoot { name, dir } in batch.roots()? {
            if !self.check_root_name(&name) {
                continue;
            }
            let Some(stat) = dir.stat(TREE)? else { continue };
            if stat.kind == Kind::Dir {
                self.add(name.clone(), What::Dir);
                self.scan_ours(&name, &dir.open_dir(TREE)?, &rules)?;
            } else {
                let spooled = Spooled { dir: dir.into(), name: TREE.to_vec() };
                let source = ItemSource::Given(Box::new(Given::Spooled(spooled)));
                self.add(name, What::File { source, executable: stat.mode & 0o100 != 0 });
            }
        }
        Ok(())
    }
}
