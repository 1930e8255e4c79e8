//! Follow: the moves of `current` in the order in which they happened, from the log.
//!
//! Each call reads the log from its end to the last line that was returned. gc may shorten a long log, by the lines of
//! generations that are gone: then a line is found by one of the lines before it.

use std::collections::VecDeque;
use std::time::SystemTime;

use crate::error::Result;
use crate::model::ids::GenerationId;
use crate::parts::layout::StoreDir;
use crate::parts::log::{Event, Line, Log};

/// The number of lines by which the end of the last call is found again.
const REMEMBERED: usize = 64;

/// A move of `current`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Move {
    /// The generation that became current.
    pub generation: GenerationId,
    /// The generation that was current before.
    pub previous: Option<GenerationId>,
    /// The name that the writer gave itself.
    pub by: String,
    /// The time of the move.
    pub time: SystemTime,
}

/// A reader of the moves of `current`.
#[derive(Debug)]
#[must_use]
pub struct Follower {
    /// The last lines that were read, the newest first.
    seen: VecDeque<Line>,
}

impl Follower {
    /// Starts at the end of the log, or after the last activation of a generation. If the log does not name that
    /// generation, it starts at the end.
    pub(crate) fn new(store: &StoreDir, after: Option<GenerationId>) -> Result<Follower> {
        let (mut log, mut seen) = (Log::of(store).backwards()?, VecDeque::new());
        let Some(after) = after else {
            while seen.len() < REMEMBERED
                && let Some(line) = log.next()?
            {
                seen.push_back(line);
            }
            return Ok(Follower { seen });
        };
        let is_it = |line: &Line| line.generation == after && matches!(line.event, Event::Activate { .. });
        while let Some(line) = log.next()? {
            if !is_it(&line) && seen.is_empty() {
                continue;
            }
            seen.push_back(line);
            if seen.len() == REMEMBERED {
                break;
            }
        }
        if seen.is_empty() { Follower::new(store, None) } else { Ok(Follower { seen }) }
    }

    /// Returns the moves since the last call, oldest first.
    pub(crate) fn next(&mut self, store: &StoreDir) -> Result<Vec<Move>> {
        let (mut log, mut lines) = (Log::of(store).backwards()?, Vec::new());
        while let Some(line) = log.next()? {
            if self.seen.contains(&line) {
                break;
            }
            lines.push(line);
        }
        let mut moves: Vec<Move> = lines.iter().filter_map(Move::of).collect();
        moves.reverse();
        for line in lines.into_iter().rev() {
            self.seen.push_front(line);
        }
        self.seen.truncate(REMEMBERED);
        Ok(moves)
    }
}

impl Move {
    fn of(line: &Line) -> Option<Move> {
        match line.event {
            Event::Activate { previous, .. } => Some(Move {
                generation: line.generation,
                previous,
                by: line.by.clone(),
                time: line.time.into(),
            }),
            Event::Publish { .. } => None,
        }
    }
}
