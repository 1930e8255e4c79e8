//! The kept generations, newest first, each beside the next older one.

use std::collections::VecDeque;
use std::rc::Rc;

use anyhow::Result;
use genstore::generation::Listed;
use genstore::{Error, GenerationId, Rev, Store};

use crate::command::compare::Side;
use crate::render::json::DamagedDoc;

/// A kept generation, and the next older one.
pub(crate) struct Step {
    pub(crate) listed: Rc<Listed>,
    pub(crate) new: Rc<Side>,
    /// The next older generation; `None` for the oldest one that is kept.
    pub(crate) old: Option<Rc<Side>>,
}

/// Reads the kept generations one after the other, two at a time. A generation that gc removes meanwhile is
/// left out, and so is a damaged one.
pub(crate) struct Kept<'s> {
    store: &'s Store,
    rest: VecDeque<Listed>,
    next: Option<(Rc<Listed>, Rc<Side>)>,
    /// The damaged ones so far.
    pub(crate) damaged: Vec<DamagedDoc>,
    /// Damage of pins, marks and the log.
    pub(crate) records: Vec<Error>,
}

impl<'s> Kept<'s> {
    /// Begins with the newest generation, or with `from`.
    pub(crate) fn new(store: &'s Store, from: Option<GenerationId>) -> Result<Kept<'s>> {
        let listing = store.list()?;
        let damaged = listing.damaged.iter().map(DamagedDoc::of).collect();
        let mut rest: VecDeque<Listed> = listing.generations.into();
        rest.retain(|listed| from.is_none_or(|from| listed.id <= from));
        let mut kept = Kept { store, rest, next: None, damaged, records: listing.records };
        kept.next = kept.read()?;
        Ok(kept)
    }

    /// Returns the next older generation that can be read.
    fn read(&mut self) -> Result<Option<(Rc<Listed>, Rc<Side>)>> {
        while let Some(listed) = self.rest.pop_front() {
            match Side::generation(self.store, &Rev::Number(listed.id)) {
                Ok(side) => return Ok(Some((Rc::new(listed), Rc::new(side)))),
                Err(error) => match error.downcast_ref() {
                    Some(Error::UnknownRev { .. }) => {}
                    Some(Error::Damaged { cause, .. }) => {
                        self.damaged.push(DamagedDoc { generation: listed.id, cause: cause.clone() });
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(None)
    }

    /// Returns the next older step, or `None` after the oldest.
    pub(crate) fn next(&mut self) -> Result<Option<Step>> {
        let Some((listed, new)) = self.next.take() else { return Ok(None) };
        self.next = self.read()?;
        Ok(Some(Step { listed, new, old: self.next.as_ref().map(|(_, side)| Rc::clone(side)) }))
    }
}
