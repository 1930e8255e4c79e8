//! The log: one line of JSON per commit and activation, appended under the commit lock.
//!
//! It records the actor and time of each move of `current`, the bytes that a publication added, and the
//! data from which a damaged manifest can be rebuilt. It is not authoritative: no missing line causes a
//! deletion, and a torn last line is skipped.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fs::{Kind, Stat};
use crate::model::ids::{GenerationId, StageId};
use crate::model::records::{Moment, Moving};
use crate::model::retention::bounded;
use crate::parts::deeds::{Deed, DeedLine};
use crate::parts::layout::{LOG, StoreDir};
use crate::parts::locks::CommitLock;
use crate::parts::record;

/// Above this number of bytes gc drops the lines of removed generations.
const MAX_LOG_LEN: u64 = 1 << 20;

/// Number of lines about no single generation that gc keeps then: collections.
const MAX_OF_ALL: usize = 200;

/// Number of bytes of the log that are read at a time from its end.
const READ_BACK: u64 = 1 << 16;

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
    /// The generation was created.
    Publish {
        /// BLAKE3 of the manifest file, with which a rebuilt manifest is checked.
        manifest: String,
        created: Moment,
        note: String,
        facts: BTreeMap<String, String>,
        /// The stage that was begun separately from its commit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<StageId>,
        /// The bytes that it added to the store. Missing if the publisher died before it could record
        /// them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new_bytes: Option<u64>,
    },
    /// The generation became current.
    Activate {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<GenerationId>,
        #[serde(flatten)]
        moving: Moving,
    },
}

impl Event {
    /// Creates the event of a generation that became current by its publication, or by a repair.
    pub(crate) fn activated(previous: Option<GenerationId>) -> Event {
        Event::Activate { previous, moving: Moving::default() }
    }
}

/// A line of either kind.
pub(crate) enum AnyLine {
    Line(Line),
    Deed(DeedLine),
}

impl AnyLine {
    fn parse(line: &[u8]) -> Option<AnyLine> {
        // A line that a crash cut short is neither.
        let event = serde_json::from_slice(line).map(AnyLine::Line);
        event.or_else(|_| serde_json::from_slice(line).map(AnyLine::Deed)).ok()
    }
}

/// The lines of the log.
#[derive(Default, Debug)]
pub(crate) struct History {
    pub(crate) lines: Vec<Line>,
}

impl History {
    /// Returns the time at which each generation ceased to be current.
    ///
    /// The time of a line from a clock that ran ahead is replaced by the time of the line after it.
    pub(crate) fn last_current(
        &self,
        current: Option<GenerationId>,
        since: Option<SystemTime>,
        now: SystemTime,
    ) -> BTreeMap<GenerationId, SystemTime> {
        let times: Vec<SystemTime> = self.lines.iter().rev().map(|line| line.time.into()).collect();
        let times = bounded(&times, now);
        let mut last = BTreeMap::new();
        let mut active: Option<GenerationId> = None;
        let lines = self.lines.iter().zip(times.iter().rev());
        for (line, time) in lines.filter(|(line, _)| matches!(line.event, Event::Activate { .. })) {
            if let Some(before) = active.replace(line.generation) {
                last.insert(before, *time);
            }
        }
        // A crash may have cut off the line of the last move. The symlink itself has the time.
        if let (Some(before), Some(since)) = (active, since)
            && Some(before) != current
        {
            last.insert(before, since);
        }
        last
    }

    /// Bounds the time of a generation's creation: a time in the future is replaced by the time of the
    /// first later line that is not in the future.
    pub(crate) fn made(&self, id: GenerationId, created: SystemTime, now: SystemTime) -> SystemTime {
        let past = |line: &&Line| SystemTime::from(line.time) <= now;
        let made = |line: &Line| line.generation == id && matches!(line.event, Event::Publish { .. });
        match self.lines.iter().position(made) {
            Some(at) if created > now => {
                self.lines[at..].iter().find(past).map_or(created, |line| line.time.into())
            }
            _ => created,
        }
    }

    /// Returns the highest number in any line.
    pub(crate) fn highest(&self) -> u64 {
        self.lines.iter().map(|line| line.generation.get()).max().unwrap_or(0)
    }

    pub(crate) fn knows(&self, id: GenerationId) -> bool {
        self.lines.iter().any(|line| line.generation == id)
    }

    /// Returns the line of a generation's creation.
    pub(crate) fn publication(&self, id: GenerationId) -> Option<&Event> {
        let made = |line: &&Line| line.generation == id && matches!(line.event, Event::Publish { .. });
        self.lines.iter().rev().find(made).map(|line| &line.event)
    }

    /// Finds the generation that was made from a stage.
    pub(crate) fn made_of_stage(&self, id: &StageId) -> Option<GenerationId> {
        let made = |line: &&Line| match &line.event {
            Event::Publish { stage, .. } => stage.as_ref() == Some(id),
            Event::Activate { .. } => false,
        };
        self.lines.iter().rev().find(made).map(|line| line.generation)
    }

    /// Returns the number of bytes that a generation added, if its publisher lived to record it.
    pub(crate) fn new_bytes(&self, id: GenerationId) -> Option<u64> {
        match self.publication(id) {
            Some(Event::Publish { new_bytes, .. }) => *new_bytes,
            _ => None,
        }
    }

    /// Returns the last activation.
    pub(crate) fn last_activation(&self) -> Option<&Line> {
        self.lines.iter().rev().find(|line| matches!(line.event, Event::Activate { .. }))
    }
}

/// Reads the log line by line from its end. The last events are found quickly however long the log is.
pub(crate) struct Backwards {
    file: Option<File>,
    path: PathBuf,
    /// The offset at which the part that was read begins.
    at: u64,
    /// Bytes that were read and not yet returned.
    rest: Vec<u8>,
}

impl Backwards {
    /// Returns the line before the last one that was returned, or `None` at the beginning of the log.
    pub(crate) fn next(&mut self) -> Result<Option<Line>> {
        self.find(|_| true)
    }

    /// Returns the next line that may name this generation.
    pub(crate) fn next_naming(&mut self, id: GenerationId) -> Result<Option<Line>> {
        // Parsing a line as JSON costs far more than searching it for a number.
        let number = format!(":{id}");
        let ends = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_digit());
        let names = |line: &[u8]| {
            let at = |at: &usize| line[*at..].starts_with(number.as_bytes());
            let colons = (0..line.len()).filter(|at| line[*at] == b':');
            colons.filter(at).any(|at| ends(line.get(at + number.len())))
        };
        self.find(names)
    }

    /// Returns the line before the last one that was returned, of either kind.
    pub(crate) fn next_of_any_kind(&mut self) -> Result<Option<AnyLine>> {
        while let Some(line) = self.line()? {
            if let Some(line) = AnyLine::parse(&line) {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    fn find(&mut self, wanted: impl Fn(&[u8]) -> bool) -> Result<Option<Line>> {
        while let Some(line) = self.line()? {
            // A line that a crash cut short is skipped.
            if wanted(&line)
                && let Ok(line) = serde_json::from_slice(&line)
            {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
                let line = self.rest.split_off(end + 1);
                self.rest.truncate(end);
                return Ok(Some(line));
            }
            let Some(file) = self.file.as_ref().filter(|_| self.at > 0) else {
                let first = std::mem::take(&mut self.rest);
                return Ok((!first.is_empty()).then_some(first));
            };
            let len = self.at.min(READ_BACK);
            let mut read = vec![0; len as usize];
            file.read_exact_at(&mut read, self.at - len).map_err(|e| Error::io("read", &self.path, e))?;
            self.at -= len;
            read.append(&mut self.rest);
            self.rest = read;
        }
    }
}

/// The log of a store.
#[derive(Clone, Copy)]
pub(crate) struct Log<'s> {
    store: &'s StoreDir,
}

impl<'s> Log<'s> {
    pub(crate) fn of(store: &'s StoreDir) -> Log<'s> {
        Log { store }
    }

    pub(crate) fn history(&self) -> Result<History> {
        let bytes = self.store.dir.read(LOG)?.unwrap_or_default();
        let lines = bytes.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        Ok(History { lines: lines.collect() })
    }

    /// Returns whether the log's entry is not a file. Then it can be neither read nor written until
    /// `verify --repair` recreates it.
    pub(crate) fn is_replaced(&self) -> Result<bool> {
        Ok(self.store.dir.stat(LOG)?.is_some_and(|stat| stat.kind != Kind::File))
    }

    /// Opens the log to read it from its end. A missing or replaced log has no lines.
    pub(crate) fn backwards(&self) -> Result<Backwards> {
        let path = self.store.dir.join(LOG);
        if self.is_replaced()? {
            return Ok(Backwards { file: None, path, at: 0, rest: vec![] });
        }
        let file = match self.store.dir.open_file(LOG) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => return Ok(Backwards { file: None, path, at: 0, rest: vec![] }),
            Err(e) => return Err(e),
        };
        let at = Stat::of(&file, &path)?.size;
        Ok(Backwards { file: Some(file), path, at, rest: vec![] })
    }

    /// Makes the log durable.
    pub(crate) fn sync(&self) -> Result<()> {
        let file = self.store.fs.open_or_create(&self.store.dir, LOG)?;
        self.store.fs.sync_file(&file, &self.store.dir.join(LOG))
    }

    /// Appends a line. It is not durable by itself: the symlink is the commit, and the log only records
    /// it.
    pub(crate) fn append(&self, lock: &CommitLock, generation: GenerationId, event: Event) -> Result<()> {
        self.append_for(lock, &self.store.options.actor, generation, event)
    }

    /// Appends a line about the change of this actor.
    pub(crate) fn append_for(
        &self,
        lock: &CommitLock,
        by: &str,
        generation: GenerationId,
        event: Event,
    ) -> Result<()> {
        self.write_line(lock, &Line { time: self.store.now().into(), by: by.to_owned(), generation, event })
    }

    /// Appends a line about a deed, unless another entry has replaced the log.
    pub(crate) fn tell(
        &self,
        lock: &CommitLock,
        generation: Option<GenerationId>,
        deed: Deed,
    ) -> Result<()> {
        if self.is_replaced()? {
            return Ok(());
        }
        let (time, by) = (self.store.now().into(), self.store.options.actor.clone());
        self.write_line(lock, &DeedLine { time, by, generation, deed })
    }

    fn write_line(&self, _: &CommitLock, line: &impl Serialize) -> Result<()> {
        let file = self.store.fs.open_or_create(&self.store.dir, LOG)?;
        let path = self.store.dir.join(LOG);
        let end = Stat::of(&file, &path)?.size;
        let mut last = [b'\n'];
        if end > 0 {
            file.read_exact_at(&mut last, end - 1).map_err(|e| Error::io("read", &path, e))?;
        }
        // A line that a crash cut short is ended first, so that it does not damage the new one.
        let mut text = if last == [b'\n'] { String::new() } else { "\n".to_owned() };
        text.push_str(&record::to_json(line));
        text.push('\n');
        self.store.fs.write_at(&file, &path, text.as_bytes(), end)
    }

    /// Drops the lines of removed generations, once the log has grown long.
    pub(crate) fn compact(&self, lock: &CommitLock, kept: &[GenerationId]) -> Result<()> {
        if self.store.dir.stat(LOG)?.is_none_or(|stat| stat.size < MAX_LOG_LEN) {
            return Ok(());
        }
        let bytes = self.store.dir.read(LOG)?.unwrap_or_default();
        let mut of_all = 0;
        let mut lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').rev().collect();
        lines.retain(|line| match AnyLine::parse(line) {
            Some(AnyLine::Line(Line { generation, .. })) => kept.contains(&generation),
            Some(AnyLine::Deed(DeedLine { generation: Some(id), .. })) => kept.contains(&id),
            Some(AnyLine::Deed(DeedLine { generation: None, .. })) => {
                of_all += 1;
                of_all <= MAX_OF_ALL
            }
            None => false,
        });
        let text: Vec<u8> = lines.into_iter().rev().flat_map(|line| [line, b"\n"].concat()).collect();
        record::replace(self.store, lock, b"", LOG, &text)
    }

    /// Replaces the log, durably.
    pub(crate) fn write(&self, lock: &CommitLock, lines: &[Line]) -> Result<()> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&record::to_json(line));
            text.push('\n');
        }
        record::replace(self.store, lock, b"", LOG, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::locks::Locks;

    fn line(secs: i64, generation: u64, event: Event) -> Line {
        let generation = GenerationId::new(generation).unwrap();
        Line { time: Moment { secs, nanos: 0 }, by: "test".to_owned(), generation, event }
    }

    #[test]
    fn a_line_reads_as_the_layout_says() {
        let line = line(5, 2, Event::activated(GenerationId::new(1)));
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
        let activate = |secs, n| line(secs, n, Event::activated(None));
        let history =
            History { lines: vec![activate(1, 1), activate(2, 2), activate(3, 1), activate(4, 3)] };
        let last = history.last_current(Some(id(3)), Some(at(4)), at(100));
        assert_eq!(last, [(id(1), at(4)), (id(2), at(3))].into());
        // The line of the creation of 4 is missing.
        let last = history.last_current(Some(id(4)), Some(at(9)), at(100));
        assert_eq!(last.get(&id(3)), Some(&at(9)));
        // 2 and 1 were left while the clock ran ahead: no later than 3 became current.
        let history = History {
            lines: vec![activate(1, 1), activate(2, 2), activate(900, 1), activate(950, 4), activate(5, 3)],
        };
        let last = history.last_current(Some(id(3)), Some(at(5)), at(100));
        assert_eq!(last, [(id(1), at(5)), (id(2), at(5)), (id(4), at(5))].into());
    }

    #[test]
    fn reads_from_the_end_however_long_the_lines_are() {
        let dir = tempfile::tempdir().unwrap();
        let options = crate::Options::new(std::sync::Arc::new(|| SystemTime::UNIX_EPOCH));
        let store =
            StoreDir::create(&dir.path().join("store"), options, crate::Audience::Everybody).unwrap().0;
        let lock = Locks::of(&store).commit().unwrap();
        let id = |n| GenerationId::new(n).unwrap();
        assert!(Log::of(&store).backwards().unwrap().next().unwrap().is_none(), "there is no log");
        for number in 1..=200 {
            let long = if number % 50 == 0 { READ_BACK as usize * 2 } else { 10 };
            let event = Event::Publish {
                manifest: "m".repeat(long),
                created: Moment { secs: number as i64, nanos: 0 },
                note: String::new(),
                facts: BTreeMap::new(),
                stage: None,
                new_bytes: None,
            };
            Log::of(&store).append(&lock, id(number), event).unwrap();
            Log::of(&store)
                .append(&lock, id(number), Event::activated(GenerationId::new(number - 1)))
                .unwrap();
            if number == 120 {
                let log = store.fs.open_or_create(&store.dir, LOG).unwrap();
                let end = Stat::of(&log, &store.dir.join(LOG)).unwrap().size;
                store.fs.write_at(&log, &store.dir.join(LOG), b"{\"cut\":", end).unwrap();
            }
        }
        let mut log = Log::of(&store).backwards().unwrap();
        let mut lines = Vec::new();
        while let Some(line) = log.next().unwrap() {
            lines.push(line);
        }
        lines.reverse();
        assert_eq!((lines.len(), &lines), (400, &Log::of(&store).history().unwrap().lines));
        let mut log = Log::of(&store).backwards().unwrap();
        let named: Vec<_> = std::iter::from_fn(|| log.next_naming(id(12)).unwrap()).collect();
        let of: Vec<_> = named.iter().map(|line| line.generation.get()).collect();
        // 13 has this number as its predecessor, and one was created at second 12.
        assert_eq!(of, [13, 12, 12]);
    }
}
