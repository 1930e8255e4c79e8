//! Losses: parts that a store had and has no more, as after a copy that dropped empty folders, links or
//! single files. Finds them and changes nothing; [`crate::repair::rebuild`] makes them anew. Floor 3.
//!
//! Absence alone is no loss: a store that was just made has neither `current` nor `sequence` nor `log`. What is
//! left of the store decides: a log that has a line about an activation, a generation that is there.

use std::path::PathBuf;

use crate::error::{Damaged, Error, Result};
use crate::fs::Kind;
use crate::model::ids::GenerationId;
use crate::parts::current::NOTICE_LEN;
use crate::parts::layout::{
    BUILD_LOG, CURRENT, DELTA, GENERATIONS, Home, INDEX, LOG, NOTICE, ROTATIONS, SEALED, SEQUENCE, VIEWS,
};
use crate::parts::records::{Intent, Sequence};
use crate::repair::rebuild::too_low;

impl Home {
    /// Returns the generation that is current, which is there.
    ///
    /// # Errors
    /// [`Error::Damaged`] if `current` names a generation that is not there, or if `current` is missing
    /// although a generation was current.
    pub(crate) fn checked_current(&self) -> Result<Option<GenerationId>> {
        loop {
            let Some(id) = self.current()? else {
                return self.lost_current().map_or(Ok(None), Err);
            };
            if self.dir.stat(&[GENERATIONS, b"/", id.to_string().as_bytes()].concat())?.is_some() {
                return Ok(Some(id));
            }
            // Another process may have moved `current`, and a third one collected what it left.
            if self.current()? == Some(id) {
                let cause = format!("it names generation {id}, which is not there");
                return Err(Error::damaged_file(&self.dir.join(CURRENT), cause));
            }
        }
    }

    /// Returns the generation that is current.
    ///
    /// # Errors
    /// As [`Home::checked_current`]; codes `no-current` if nothing was published, `not-activated` if what was
    /// published is only kept.
    pub(crate) fn required_current(&self) -> Result<GenerationId> {
        if let Some(id) = self.checked_current()? {
            return Ok(id);
        }
        Err(match self.generation_ids()?.len() {
            0 => Error::refused("no-current", "nothing has been published to this store yet"),
            1 => Error::refused(
                "not-activated",
                "no generation is current: the only one was kept, not activated",
            ),
            n => Error::refused(
                "not-activated",
                format!("no generation is current: all {n} were kept, not activated"),
            ),
        })
    }

    /// Explains why `current` must not be missing; `None` if nothing was current yet.
    fn lost_current(&self) -> Option<Error> {
        let lost = |cause: String| Some(Error::damaged_file(&self.dir.join(CURRENT), cause));
        let (history, ids) = match (self.history(), self.settled_ids()) {
            (Ok(history), Ok(ids)) => (history, ids),
            (Err(e), _) | (_, Err(e)) => return Some(e),
        };
        match history.last_activation().map(|line| line.generation) {
            Some(id) => lost(format!("it is missing, and generation {id} was current last")),
            None if ids.is_empty() || !history.lines.is_empty() => None,
            None => lost("it is missing, and so is the log that names what was current".to_owned()),
        }
    }

    /// Lists the generations without the one that is on its way, and that recovery may take back.
    fn settled_ids(&self) -> Result<Vec<GenerationId>> {
        let mut ids = self.generation_ids()?;
        // What cannot be read is reported elsewhere.
        if let Ok(Some(sequence)) = self.read_record::<Sequence>(SEQUENCE)
            && let Some(Intent::Publish { generation, .. }) = sequence.intent
        {
            ids.retain(|id| *id != generation);
        }
        Ok(ids)
    }

    /// Lists the parts of the layout, and the files at the top, that are missing or replaced. A store that
    /// nothing was published to has lost nothing.
    pub(crate) fn lost_parts(&self) -> Result<Vec<(PathBuf, String)>> {
        let state = self.layout_state()?;
        let mut lost: Vec<(PathBuf, String)> =
            state.replaced.iter().map(|(name, why)| (self.dir.join(name), (*why).to_owned())).collect();
        let ids = if state.replaced.is_empty() { self.settled_ids()? } else { vec![] };
        let is_used = |name| Ok::<bool, Error>(self.dir.stat(name)?.is_some());
        if ids.is_empty() && !is_used(SEQUENCE)? && !is_used(LOG)? && !is_used(CURRENT)? {
            return Ok(lost);
        }
        let mut missing = |name: &[u8]| lost.push((self.dir.join(name), "it is missing".to_owned()));
        // The first programs of this format made no `views`.
        state.missing.iter().filter(|name| **name != VIEWS).for_each(|name| missing(name));
        for name in [SEQUENCE, LOG] {
            if !ids.is_empty() && !is_used(name)? {
                missing(name);
            }
        }
        if let Ok(Some(sequence)) = self.read_record::<Sequence>(SEQUENCE)
            && let known = ids.last().map_or(0, |id| id.get())
            && known > sequence.high
        {
            lost.push((self.dir.join(SEQUENCE), too_low(sequence.high, known)));
        }
        if let Some(stat) = self.dir.stat(NOTICE)?
            && stat.kind == Kind::File
            && stat.size > NOTICE_LEN
        {
            lost.push((self.dir.join(NOTICE), format!("it is longer than {NOTICE_LEN} bytes")));
        }
        Ok(lost)
    }

    /// Lists the records that are damaged, or something else than a record, each by itself.
    pub(crate) fn damaged_records(&self) -> Result<Vec<(PathBuf, String)>> {
        let mut found = Vec::new();
        let mut note = |result: Result<()>| match result {
            Err(Error::Damaged { what: Damaged::File(path), cause, .. }) => {
                found.push((path, cause));
                Ok(())
            }
            other => other,
        };
        let sequence = self.read_record::<Sequence>(SEQUENCE);
        note(sequence.map(drop))?;
        for damage in self.readable_pins()?.damage.into_iter().chain(self.readable_marks()?.damage) {
            note(Err(damage))?;
        }
        note(self.hold().map(drop))?;
        note(self.history().map(drop))?;
        for view in self.view_records()? {
            note(view.map(drop))?;
        }
        for key in self.pending_views()? {
            note(self.pending_view(&key).map(drop))?;
        }
        for key in self.mirrors()? {
            note(self.inventory(&key).map(drop))?;
            note(self.next_inventory(&key).map(drop))?;
        }
        if self.dir.stat(ROTATIONS)?.is_some_and(|stat| stat.kind != Kind::File) {
            found.push((self.dir.join(ROTATIONS), "it is not a regular file".to_owned()));
        }
        for id in self.generation_ids()? {
            for name in [INDEX, DELTA, SEALED, BUILD_LOG] {
                let path = [GENERATIONS, b"/", id.to_string().as_bytes(), b"/", name].concat();
                if self.dir.stat(&path)?.is_some_and(|stat| stat.kind != Kind::File) {
                    found.push((self.dir.join(&path), "it is not a regular file".to_owned()));
                }
            }
        }
        Ok(found)
    }
}
