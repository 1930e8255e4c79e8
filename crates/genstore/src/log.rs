//! The log: one line of JSON per commit and activation, appended under the commit lock. Floor 2.
//!
//! It tells who moved `current` and when, what a publication added, and what it takes to make a
//! damaged manifest anew. It is a help and no root: nothing is deleted because a line is missing, and a torn
//! last line is passed over.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::layout::{CommitLock, Home, LOG};
use crate::model::ids::{GenerationId, StageId};
use crate::records::Moment;

/// Beyond this many bytes gc drops the lines of generations that are gone.
const MAX_LOG_LEN: u64 = 1 << 20;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) time: Moment,
    pub(crate) by: String,
    pub(crate) generation: GenerationId,
    #[serde(flatten)]
    pub(crate) event: Event,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Event {
    /// The generation was made.
    Publish {
        /// BLAKE3 of the manifest file, so that a damaged one can be made anew and checked.
        manifest: String,
        created: Moment,
        note: String,
        facts: BTreeMap<String, String>,
        /// The stage that was begun for it apart from its commit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<StageId>,
        /// What it added to the store, where the publisher lived to tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new_bytes: Option<u64>,
    },
    /// The generation became current.
    Activate {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<GenerationId>,
    },
}

/// What the log tells of all generations.
#[derive(Default, Debug)]
pub(crate) struct History {
    pub(crate) lines: Vec<Line>,
}

impl History {
    /// Tells when each generation ceased to be current.
    pub(crate) fn last_current(
        &self,
        current: Option<GenerationId>,
        since: Option<SystemTime>,
    ) -> BTreeMap<GenerationId, SystemTime> {
        let mut last = BTreeMap::new();
        let mut active: Option<GenerationId> = None;
        for line in self.lines.iter().filter(|line| matches!(line.event, Event::Activate { .. })) {
            if let Some(before) = active.replace(line.generation) {
                last.insert(before, line.time.into());
            }
        }
        // A crash may have cut off the line of the last move; the symlink itself knows when it was.
        if let (Some(before), Some(since)) = (active, since)
            && Some(before) != current
        {
            last.insert(before, since);
        }
        last
    }

    /// Gives the highest number that any line names.
    pub(crate) fn highest(&self) -> u64 {
        self.lines.iter().map(|line| line.generation.get()).max().unwrap_or(0)
    }

    pub(crate) fn knows(&self, id: GenerationId) -> bool {
        self.lines.iter().any(|line| line.generation == id)
    }

    /// Gives the line that tells of a generation's making.
    pub(crate) fn publication(&self, id: GenerationId) -> Option<&Event> {
        let made = |line: &&Line| line.generation == id && matches!(line.event, Event::Publish { .. });
        self.lines.iter().rev().find(made).map(|line| &line.event)
    }

    /// Finds the generation that a stage became.
    pub(crate) fn made_of_stage(&self, id: &StageId) -> Option<GenerationId> {
        let made = |line: &&Line| match &line.event {
            Event::Publish { stage, .. } => stage.as_ref() == Some(id),
            Event::Activate { .. } => false,
        };
        self.lines.iter().rev().find(made).map(|line| line.generation)
    }

    /// Tells how many bytes a generation added, where its publisher lived to tell.
    pub(crate) fn new_bytes(&self, id: GenerationId) -> Option<u64> {
        match self.publication(id) {
            Some(Event::Publish { new_bytes, .. }) => *new_bytes,
            _ => None,
        }
    }

    /// Gives the last activation.
    pub(crate) fn last_activation(&self) -> Option<&Line> {
        self.lines.iter().rev().find(|line| matches!(line.event, Event::Activate { .. }))
    }
}

impl Home {
    pub(crate) fn history(&self) -> Result<History> {
        let bytes = self.dir.read(LOG)?.unwrap_or_default();
        let lines = bytes.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        Ok(History { lines: lines.collect() })
    }

    /// Makes the log durable.
    pub(crate) fn sync_log(&self) -> Result<()> {
        let file = self.fs.open_or_create(&self.dir, LOG)?;
        self.fs.sync_file(&file, &self.dir.join(LOG))
    }

    /// Appends a line. Not durable by itself: the symlink is the commit, the log only tells of it.
    pub(crate) fn append_log(&self, _: &CommitLock, generation: GenerationId, event: Event) -> Result<()> {
        let line = Line { time: self.now().into(), by: self.options.actor.clone(), generation, event };
        let file = self.fs.open_or_create(&self.dir, LOG)?;
        let path = self.dir.join(LOG);
        let end = crate::fs::Stat::of(&file, &path)?.size;
        let mut last = [b'\n'];
        if end > 0 {
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut last, end - 1)
                .map_err(|e| crate::error::Error::io("read", &path, e))?;
        }
        // A line that a crash cut short is ended first, so that it spoils only itself.
        let mut text = if last == [b'\n'] { String::new() } else { "\n".to_owned() };
        text.push_str(&serde_json::to_string(&line).expect("a line is plain values"));
        text.push('\n');
        self.fs.write_at(&file, &path, text.as_bytes(), end)
    }

    /// Drops the lines of generations that are gone, once the log has grown long.
    pub(crate) fn compact_log(&self, lock: &CommitLock, kept: &[GenerationId]) -> Result<()> {
        if self.dir.stat(LOG)?.is_none_or(|stat| stat.size < MAX_LOG_LEN) {
            return Ok(());
        }
        let mut lines = self.history()?.lines;
        lines.retain(|line| kept.contains(&line.generation));
        self.write_log(lock, &lines)
    }

    /// Replaces the log, durably.
    pub(crate) fn write_log(&self, lock: &CommitLock, lines: &[Line]) -> Result<()> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&serde_json::to_string(line).expect("a line is plain values"));
            text.push('\n');
        }
        self.replace(lock, b"", LOG, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(secs: i64, generation: u64, event: Event) -> Line {
        let generation = GenerationId::new(generation).unwrap();
        Line { time: Moment { secs, nanos: 0 }, by: "test".to_owned(), generation, event }
    }

    #[test]
    fn a_line_reads_as_the_layout_says() {
        let line = line(5, 2, Event::Activate { previous: GenerationId::new(1) });
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(
            text,
            "{\"time\":{\"secs\":5,\"nanos\":0},\"by\":\"test\",\"generation\":2,\"event\":\"activate\",\"previous\":1}"
        );
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }

    #[test]
    fn tells_when_each_ceased_to_be_current() {
        let id = |n| GenerationId::new(n).unwrap();
        let at = |secs| SystemTime::from(Moment { secs, nanos: 0 });
        let activate = |secs, n| line(secs, n, Event::Activate { previous: None });
        let history =
            History { lines: vec![activate(1, 1), activate(2, 2), activate(3, 1), activate(4, 3)] };
        let last = history.last_current(Some(id(3)), Some(at(4)));
        assert_eq!(last, [(id(1), at(4)), (id(2), at(3))].into());
        // The line that made 4 current is missing.
        let last = history.last_current(Some(id(4)), Some(at(9)));
        assert_eq!(last.get(&id(3)), Some(&at(9)));
    }
}
