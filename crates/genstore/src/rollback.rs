//! Rollback, which holds what it goes back to, and the end of the hold. Floor 3.

use crate::activate::{Activation, Expect, HoldAfter};
use crate::error::{Error, Result};
use crate::hold::Hold;
use crate::layout::Home;
use crate::records::{Mark, is_good};

impl Home {
    /// Activates the newest good generation older than current, `steps` times.
    pub(crate) fn rollback(&self, steps: u64, keep_good: bool) -> Result<Activation> {
        let current = match self.current()? {
            Some(current) => current,
            None => self.required_current()?,
        };
        let marks = self.marks()?;
        let ids = self.generation_ids()?;
        let mut older = ids.iter().rev().filter(|id| **id < current && is_good(&marks, **id));
        let steps = usize::try_from(steps.max(1)).unwrap_or(usize::MAX);
        let Some(target) = older.nth(steps - 1) else {
            let why = format!("there are not {steps} good generations older than {current}");
            let one = format!("there is no good generation older than {current}");
            return Err(Error::refused("nothing-older", if steps == 1 { one } else { why }));
        };
        let mark = |left| match left {
            Some(left) if !keep_good => {
                vec![(left, Mark::Bad, Some(format!("rolled back to {target}")))]
            }
            _ => vec![],
        };
        self.activate(*target, Expect::Current(current), mark, HoldAfter::Held)
    }

    /// Ends a hold, and activates the newest good generation, if that is newer than current.
    pub(crate) fn end_hold(&self) -> Result<(Option<Hold>, Option<Activation>)> {
        let (lock, _) = self.begin_commit()?;
        // What cannot be read is no reason to keep it.
        let hold = self.hold().unwrap_or_default();
        let current = self.current()?;
        let marks = self.marks()?;
        let newest = self.generation_ids()?.into_iter().rev().find(|id| is_good(&marks, *id));
        let next = newest.filter(|newest| current.is_some_and(|current| *newest > current));
        if let (Some(_), Some(next), Some(current)) = (&hold, next, current) {
            drop(lock);
            let activated = self.activate(next, Expect::Current(current), |_| vec![], HoldAfter::Free)?;
            return Ok((hold, Some(activated)));
        }
        self.set_hold(&lock, None)?;
        Ok((hold, None))
    }
}
