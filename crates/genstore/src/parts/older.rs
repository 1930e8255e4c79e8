//! The generations below a number, newest first.
//!
//! Most callers want one of the first: the generation before the current one. So the nearest numbers
//! are tried one by one, and `generations/` is listed only if the search goes on. The cost of finding a
//! near generation does not depend on how many there are.

use crate::error::Result;
use crate::model::ids::GenerationId;
use crate::parts::generations::Generations;
use crate::parts::layout::StoreDir;

/// The number of generations that are tried before all are listed. A try costs two stats, a listing
/// about one microsecond for each generation.
const TRIED: u64 = 32;

/// An iterator over the generations below a number.
pub(crate) struct Older<'s> {
    store: &'s StoreDir,
    /// The number above the next one to try.
    at: u64,
    tries: u64,
    /// The rest, oldest first, once all were listed.
    listed: Option<Vec<GenerationId>>,
}

impl<'s> Older<'s> {
    /// Returns the generations whose number is below `number`, newest first.
    pub(crate) fn than(store: &'s StoreDir, number: u64) -> Older<'s> {
        Older { store, at: number, tries: TRIED, listed: None }
    }

    fn try_next(&mut self) -> Result<Option<GenerationId>> {
        while self.listed.is_none() && self.tries > 0 {
            self.tries -= 1;
            self.at = self.at.saturating_sub(1);
            let Some(id) = GenerationId::new(self.at) else { return Ok(None) };
            if Generations::of(self.store).has(id)? {
                return Ok(Some(id));
            }
        }
        if self.listed.is_none() {
            let mut ids = Generations::of(self.store).ids()?;
            ids.retain(|id| id.get() < self.at);
            self.listed = Some(ids);
        }
        Ok(self.listed.as_mut().and_then(Vec::pop))
    }
}

impl Iterator for Older<'_> {
    type Item = Result<GenerationId>;

    fn next(&mut self) -> Option<Result<GenerationId>> {
        self.try_next().transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::parts::layout::GENERATIONS;
    use crate::{Audience, Durability, Options};

    /// Compares the iterator with the list, for stores with gaps shorter and longer than the tries.
    #[test]
    fn finds_what_a_listing_finds() {
        let check = |numbers: &[u64], below: u64| {
            let folder = tempfile::tempdir().unwrap();
            let options = Options::new(Arc::new(|| SystemTime::UNIX_EPOCH)).durability(Durability::None);
            let store =
                StoreDir::create(&folder.path().join("store"), options, Audience::Everybody).unwrap().0;
            for number in numbers {
                let path = [GENERATIONS, b"/", number.to_string().as_bytes()].concat();
                store.fs.make_dir(&store.dir, &path).unwrap();
            }
            let found: Vec<u64> = Older::than(&store, below).map(|id| id.unwrap().get()).collect();
            let mut expected: Vec<u64> = numbers.iter().copied().filter(|n| *n < below).collect();
            expected.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
            assert_eq!(found, expected, "{numbers:?} below {below}");
        };
        check(&[], 1);
        check(&[], u64::MAX);
        check(&[1, 2, 3], 4);
        check(&[1, 2, 3], 3);
        check(&[1, 2, 3], 1);
        check(&[1, 5, 37, 69, 102, 200], 201);
        check(&(1..=100).collect::<Vec<_>>(), 90);
    }
}
