//! History: who did what and when, from the log, newest first.

use std::time::SystemTime;

use crate::error::Result;
use crate::model::ids::GenerationId;
use crate::model::records::{Cause, Mark, Moving};
use crate::parts::deeds::{Deed, DeedLine};
use crate::parts::layout::StoreDir;
use crate::parts::log::{AnyLine, Backwards, Event, Line, Log};

/// Something that somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryEntry {
    /// The time.
    pub time: SystemTime,
    /// The name that the actor gave itself.
    pub by: String,
    /// The generation, if it was done to one.
    pub generation: Option<GenerationId>,
    /// The event.
    pub event: HistoryEvent,
}

/// The kind of an entry of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryEvent {
    /// The generation was published.
    Published {
        /// Its note.
        note: String,
        /// Whether it became current at once.
        activated: bool,
        /// The generation that was current before, if it became current.
        previous: Option<GenerationId>,
    },
    /// The generation became current.
    Activated {
        /// The generation that was current before.
        previous: Option<GenerationId>,
        /// The reason. `None` in the log of an older program.
        cause: Option<Cause>,
        /// The marks that were written with it.
        marked: Vec<(GenerationId, Mark)>,
    },
    /// The generation was marked.
    Marked {
        /// The mark.
        mark: Mark,
        /// The reason.
        why: Option<String>,
    },
    /// The generation was pinned.
    Pinned {
        /// The name of the pin.
        name: String,
        /// The reason.
        why: Option<String>,
        /// The time of its end.
        until: Option<SystemTime>,
    },
    /// A pin of the generation was removed.
    Unpinned {
        /// The name of the pin.
        name: String,
    },
    /// gc removed something.
    Collected {
        /// The generations.
        removed: Vec<GenerationId>,
        /// The number of objects.
        objects: u64,
        /// The bytes that it freed.
        bytes: u64,
    },
    /// Contents were taken out of every generation.
    Forgot {
        /// Their digests.
        digests: Vec<String>,
    },
    /// The hold of a rollback ended, and the generation stayed current.
    HoldEnded,
}

/// Lists the events since a time, at most `limit`, newest first.
pub(crate) fn history(
    store: &StoreDir,
    limit: usize,
    since: Option<SystemTime>,
) -> Result<Vec<HistoryEntry>> {
    let mut entries = Entries { log: Log::of(store).backwards()?, ahead: None };
    let mut all = Vec::new();
    while all.len() < limit
        && let Some(entry) = entries.next()?
    {
        // The clock may have been set back, so an older entry does not end the search.
        all.extend(Some(entry).filter(|entry| since.is_none_or(|since| entry.time >= since)));
    }
    Ok(all)
}

/// The entries of the log, newest first.
struct Entries {
    log: Backwards,
    /// A line that was read too early.
    ahead: Option<AnyLine>,
}

impl Entries {
    fn next_line(&mut self) -> Result<Option<AnyLine>> {
        match self.ahead.take() {
            Some(line) => Ok(Some(line)),
            None => self.log.next_of_any_kind(),
        }
    }

    fn next(&mut self) -> Result<Option<HistoryEntry>> {
        let Line { time, by, generation, event } = match self.next_line()? {
            None => return Ok(None),
            Some(AnyLine::Deed(line)) => return Ok(Some(of_deed(line))),
            Some(AnyLine::Line(line)) => line,
        };
        let event = match event {
            Event::Publish { note, .. } => {
                HistoryEvent::Published { note, activated: false, previous: None }
            }
            Event::Activate { previous, moving: Moving { cause, marked } } => {
                // The line before it is that of its publication, if that made it current.
                match self.next_line()? {
                    Some(AnyLine::Line(Line {
                        by: publisher,
                        generation: published,
                        event: Event::Publish { note, .. },
                        ..
                    })) if cause.is_none() && published == generation && publisher == by => {
                        HistoryEvent::Published { note, activated: true, previous }
                    }
                    other => {
                        self.ahead = other;
                        HistoryEvent::Activated { previous, cause, marked }
                    }
                }
            }
        };
        Ok(Some(HistoryEntry { time: time.into(), by, generation: Some(generation), event }))
    }
}

fn of_deed(DeedLine { time, by, generation, deed }: DeedLine) -> HistoryEntry {
    let event = match deed {
        Deed::Mark { mark, why } => HistoryEvent::Marked { mark, why },
        Deed::Pin { name, why, until } => HistoryEvent::Pinned { name, why, until: until.map(Into::into) },
        Deed::Unpin { name } => HistoryEvent::Unpinned { name },
        Deed::Gc { removed, objects, bytes } => HistoryEvent::Collected { removed, objects, bytes },
        Deed::Forget { digests } => HistoryEvent::Forgot { digests },
        Deed::Resume {} => HistoryEvent::HoldEnded,
    };
    HistoryEntry { time: time.into(), by, generation, event }
}
