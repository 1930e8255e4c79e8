//! The state of a search: pins named `bisect-…`, and nothing else. So gc keeps the whole range, an abandoned search
//! ends with its pins, and programs that know no searches keep it, too.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use genstore::generation::PinName;
use genstore::{GenerationId, Rev, Store};

use crate::errors::Fail;

/// The time after which an abandoned search ends.
const LASTS: Duration = Duration::from_secs(7 * 24 * 3600);
const PREFIX: &str = "bisect-";

/// The known state of a generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Good,
    Bad,
    /// It cannot be tested.
    Skipped,
    /// It was not tested yet.
    Open,
}

impl Verdict {
    const ALL: [Verdict; 4] = [Verdict::Good, Verdict::Bad, Verdict::Skipped, Verdict::Open];

    fn word(self) -> &'static str {
        match self {
            Verdict::Good => "good",
            Verdict::Bad => "bad",
            Verdict::Skipped => "skip",
            Verdict::Open => "open",
        }
    }
}

/// Returns the name of a generation's pin.
fn name(verdict: Verdict, id: GenerationId) -> PinName {
    // It has the form of a name.
    format!("{PREFIX}{}-{id}", verdict.word()).parse().unwrap_or_else(|_| unreachable!())
}

fn parse(name: &str) -> Option<(Verdict, GenerationId)> {
    let (word, id) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.word() == word)?;
    GenerationId::parse(id).map(|id| (verdict, id))
}

/// A search for the first bad generation. `good` is older than `bad`.
pub(super) struct Search {
    pub(super) good: GenerationId,
    pub(super) bad: GenerationId,
    /// Between the two, oldest first.
    pub(super) skipped: Vec<GenerationId>,
    /// Between the two and not tested, oldest first.
    pub(super) open: Vec<GenerationId>,
    until: SystemTime,
}

impl Search {
    /// Reads the search of a store. If a program was killed between two pins, the narrower range counts.
    ///
    /// # Errors
    /// Code `no-search`.
    pub(super) fn of(store: &Store) -> Result<Search> {
        let (mut all, mut until) = (vec![], SystemTime::UNIX_EPOCH);
        for pin in store.pins()? {
            // `forget` replaces a generation by a newer one, which has its pins: its place in the range is lost.
            if let Some((verdict, id)) = parse(&pin.name).filter(|(_, id)| *id == pin.generation) {
                all.push((id, verdict));
                until = until.max(pin.until.unwrap_or(until));
            }
        }
        let with =
            |wanted: Verdict| all.iter().filter(move |(_, verdict)| *verdict == wanted).map(|(id, _)| *id);
        let (Some(good), Some(bad)) = (with(Verdict::Good).max(), with(Verdict::Bad).min()) else {
            let hint = "begin one: `genstore bisect start GOOD`";
            return Err(Fail::new("no-search", "no search is under way", hint).into());
        };
        let between = |verdict: Verdict| {
            let mut ids: Vec<GenerationId> = with(verdict).filter(|id| good < *id && *id < bad).collect();
            ids.sort_unstable();
            ids
        };
        let skipped = between(Verdict::Skipped);
        let mut open = between(Verdict::Open);
        open.retain(|id| !skipped.contains(id));
        Ok(Search { good, bad, skipped, open, until })
    }

    /// Begins a search, and pins all of its generations. Ends the one before.
    pub(super) fn begin(
        store: &Store,
        (good, bad): (GenerationId, GenerationId),
        now: SystemTime,
    ) -> Result<Search> {
        let listing = store.list()?;
        let mut open: Vec<GenerationId> = listing
            .generations
            .iter()
            .map(|listed| listed.id)
            .filter(|id| good < *id && *id < bad)
            .collect();
        open.sort_unstable();
        Search::end(store)?;
        let search = Search { good, bad, skipped: vec![], open, until: now + LASTS };
        for id in &search.open {
            search.pin(store, Verdict::Open, *id)?;
        }
        // With these two the search is there.
        search.pin(store, Verdict::Bad, bad)?;
        search.pin(store, Verdict::Good, good)?;
        Ok(search)
    }

    fn pin(&self, store: &Store, verdict: Verdict, id: GenerationId) -> Result<()> {
        store.pin(&Rev::Number(id), &name(verdict, id), Some("bisect".to_owned()), Some(self.until))?;
        Ok(())
    }

    /// Records a verdict, and gives up the pins that it makes useless.
    ///
    /// # Errors
    /// Code `outside-search` for a generation that the search does not have.
    pub(super) fn note(&self, store: &Store, verdict: Verdict, id: GenerationId) -> Result<()> {
        if !self.open.contains(&id) && !self.skipped.contains(&id) {
            let message =
                format!("generation {id} is not between {} (good) and {} (bad)", self.good, self.bad);
            let hint = "`genstore bisect status` names the generation to test";
            return Err(Fail::new("outside-search", message, hint).into());
        }
        self.pin(store, verdict, id)?;
        for pin in store.pins()? {
            let Some((other, at)) = parse(&pin.name) else { continue };
            let is_over = match verdict {
                Verdict::Good => at < id,
                Verdict::Bad => at > id,
                _ => false,
            };
            if is_over || (at == id && other != verdict) {
                store.unpin(&name(other, at))?;
            }
        }
        Ok(())
    }

    /// Returns the generation to test next: the middle of those that are open.
    pub(super) fn next(&self) -> Option<GenerationId> {
        self.open.get(self.open.len() / 2).copied()
    }

    /// Returns the number of tests that remain at most, if none is skipped.
    pub(super) fn steps(&self) -> u32 {
        usize::BITS - self.open.len().leading_zeros()
    }

    /// Ends a search, if there is one. Returns whether there was.
    pub(super) fn end(store: &Store) -> Result<bool> {
        let mut found = false;
        for pin in store.pins()? {
            if let Some((verdict, id)) = parse(&pin.name) {
                store.unpin(&name(verdict, id))?;
                found = true;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_meaning() {
        let id = GenerationId::parse("41").unwrap();
        for verdict in Verdict::ALL {
            assert_eq!(parse(name(verdict, id).as_str()), Some((verdict, id)));
        }
        for other in ["bisect", "bisect-good", "bisect-fine-41", "bisect-good-x", "stable"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_middle_is_tested_next() {
        let number = |text: &str| GenerationId::parse(text).unwrap();
        let search = |open: &[&str]| Search {
            good: number("1"),
            bad: number("99"),
            skipped: vec![],
            open: open.iter().map(|id| number(id)).collect(),
            until: SystemTime::UNIX_EPOCH,
        };
        let told = |open: &[&str]| (search(open).next().map(|id| id.to_string()), search(open).steps());
        assert_eq!(told(&[]), (None, 0));
        assert_eq!(told(&["7"]), (Some("7".to_owned()), 1));
        assert_eq!(told(&["7", "8", "9"]), (Some("8".to_owned()), 2));
        assert_eq!(told(&["3", "5", "7", "9"]), (Some("7".to_owned()), 3));
    }
}
