//! Queries: names of generations, lists, and disk usage. Nothing here changes the disk.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use crate::check::lost;
use crate::check::report::DamagedGeneration;
use crate::error::{Error, Result, chain};
use crate::fs::errno::is_refused;
use crate::model::codec::Head;
use crate::model::ids::{GenerationId, PinName, Rev};
use crate::model::nearest::nearest_names;
use crate::model::records::{Mark, MarkRecord, PinRecord};
use crate::model::tree::ObjectId;
use crate::parts::current::Current;
use crate::parts::generations::{Generation, Generations};
use crate::parts::layout::StoreDir;
use crate::parts::log::{Event, History, Line, Log};
use crate::parts::older::Older;
use crate::parts::records::Records;

/// A pin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pin {
    /// Its name.
    pub name: String,
    /// The pinned generation.
    pub generation: GenerationId,
    /// The time of its creation.
    pub made: SystemTime,
    /// The reason.
    pub why: Option<String>,
    /// The time of its end.
    pub until: Option<SystemTime>,
}

/// The mark of a generation, with the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Marking {
    /// Good or bad.
    pub mark: Mark,
    /// The reason.
    pub why: Option<String>,
}

/// One generation of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Its number.
    pub id: GenerationId,
    /// Note, facts and counts.
    pub head: Head,
    /// Whether it is current.
    pub current: bool,
    /// Its mark.
    pub mark: Marking,
    /// Unexpired pins on it.
    pub pins: Vec<Pin>,
    /// Bytes of objects that it added to the store.
    pub added_bytes: u64,
    /// The publisher, and the last time at which it became current, if the log has them.
    pub history: Told,
}

/// The events of a generation in the log.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Told {
    /// The name that the publisher gave itself.
    pub by: Option<String>,
    /// The last time at which it became current.
    pub activated: Option<SystemTime>,
}

impl Told {
    /// Takes over what an older line of the log says about the generation.
    fn read(&mut self, id: GenerationId, line: &Line) {
        match &line.event {
            _ if line.generation != id => {}
            Event::Publish { .. } => self.by = self.by.take().or_else(|| Some(line.by.clone())),
            Event::Activate { .. } => self.activated = self.activated.or(Some(line.time.into())),
        }
    }
}

/// All generations.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Listing {
    /// The readable ones, newest first.
    pub generations: Vec<Listed>,
    /// The others, with the cause.
    pub damaged: Vec<DamagedGeneration>,
    /// Pins, marks and other records that are unreadable, each as an [`Error::Damaged`].
    pub records: Vec<Error>,
}

/// Finds the generation of a reference.
pub(crate) fn resolve(store: &StoreDir, rev: &Rev) -> Result<GenerationId> {
    // A reference by number is resolved without a look at the others.
    let direct = match rev {
        Rev::Number(id) => Some(*id),
        Rev::Current { older: 0 } => Current::of(store).id()?,
        _ => None,
    };
    if let Some(id) = direct
        && Generations::of(store).has(id)?
    {
        return Ok(id);
    }
    if let Rev::Current { older } = rev {
        let current = lost::required_current(store)?;
        for (nth, id) in (0..).zip(Older::than(store, current.get().saturating_add(1))) {
            let id = id?;
            if nth == *older {
                return Ok(id);
            }
        }
    }
    let ids = Generations::of(store).ids()?;
    let unknown = |near: Vec<String>| Error::UnknownRev { rev: rev.to_string(), near };
    match rev {
        Rev::Number(id) => match by_tree(store, &ids, &id.to_string())?.as_slice() {
            [only] => Ok(*only),
            _ => Err(unknown(nearest_numbers(&ids, *id))),
        },
        Rev::Current { .. } => Err(unknown(ids.first().map(ToString::to_string).into_iter().collect())),
        Rev::Name(name) => {
            let found = Records::of(store).readable_pins()?;
            if let Ok(pin) = name.parse()
                && let Some(record) = found.records.get(&pin)
            {
                return Ok(record.generation);
            }
            // The name may be that of an unreadable pin.
            let pins = found.whole()?;
            match by_tree(store, &ids, name)?.as_slice() {
                [only] => Ok(*only),
                [] => Err(unknown(nearest_names(pins.keys().map(|pin| pin.as_str()), name))),
                several => Err(unknown(several.iter().map(ToString::to_string).collect())),
            }
        }
    }
}

/// Finds the generations whose tree's id starts with six or more hex digits. Of several with the same
/// tree, the current one is returned, or the newest.
fn by_tree(store: &StoreDir, ids: &[GenerationId], prefix: &str) -> Result<Vec<GenerationId>> {
    let is_hex = prefix.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if prefix.len() < 6 || !is_hex {
        return Ok(vec![]);
    }
    let mut found: BTreeMap<String, GenerationId> = BTreeMap::new();
    let current = Current::of(store).id()?;
    for &id in ids {
        let Some(generation) = Generations::of(store).find(id)? else {
            continue;
        };
        let tree = generation.head()?.tree.to_string();
        if tree.starts_with(prefix) && found.get(&tree).copied() != current.or(Some(id)) {
            found.insert(tree, id);
        }
    }
    Ok(found.into_values().collect())
}

pub(crate) fn open_named(store: &StoreDir, rev: &Rev) -> Result<Generation> {
    Generations::of(store).open(resolve(store, rev)?)
}

pub(crate) fn pins(store: &StoreDir) -> Result<Vec<Pin>> {
    Records::of(store).pins().map(to_pins)
}

/// Lists the generations, newest first, without reading their entries.
pub(crate) fn list_generations(store: &StoreDir) -> Result<Listing> {
    let current = readable_current(store)?;
    let (pins, marks) = (Records::of(store).readable_pins()?, Records::of(store).readable_marks()?);
    let mut all = Listing::default();
    let history = match Log::of(store).history() {
        Err(damage @ Error::Damaged { .. }) => {
            all.records.push(damage);
            History::default()
        }
        history => history?,
    };
    all.records.extend(pins.damage.into_iter().chain(marks.damage));
    let (pins, mut marks) = (unexpired(store, pins.records), marks.records);
    let mut told: HashMap<GenerationId, Told> = HashMap::new();
    for line in history.lines.iter().rev() {
        told.entry(line.generation).or_default().read(line.generation, line);
    }
    let mut ids = Generations::of(store).ids()?;
    ids.reverse();
    for (nth, &id) in ids.iter().enumerate() {
        let (generation, head) = match open_head(store, id)? {
            None => continue,
            Some(Err(cause)) => {
                all.damaged.push(DamagedGeneration { id, cause });
                continue;
            }
            Some(Ok(read)) => read,
        };
        let added_bytes = match history.new_bytes(id) {
            Some(bytes) => bytes,
            // The line was lost with its writer. The two manifests have the same information.
            None => added_since(store, &generation, ids.get(nth + 1).copied())?,
        };
        let (current, mark) = (current == Some(id), mark_of(marks.remove(&id)));
        let history = told.remove(&id).unwrap_or_default();
        let pins = pins_on(&pins, id);
        all.generations.push(Listed { id, head, current, mark, pins, added_bytes, history });
    }
    Ok(all)
}

/// Returns the list entry of one generation, or `None` if it is missing or unreadable.
///
/// No other generation is read, except the one before it if the log does not contain the added bytes.
pub(crate) fn listed(store: &StoreDir, id: GenerationId) -> Result<Option<Listed>> {
    let current = readable_current(store)? == Some(id);
    let pins = unexpired(store, Records::of(store).readable_pins()?.records);
    let mark = match Records::of(store).mark(id) {
        Err(Error::Damaged { .. }) => None,
        mark => mark?,
    };
    let Some(Ok((generation, head))) = open_head(store, id)? else { return Ok(None) };
    let added_bytes = match logged_bytes(store, id)? {
        Some(bytes) => bytes,
        None => added_since(store, &generation, Older::than(store, id.get()).next().transpose()?)?,
    };
    let (mark, pins, history) = (mark_of(mark), pins_on(&pins, id), told(store, id)?);
    Ok(Some(Listed { id, head, current, mark, pins, added_bytes, history }))
}

/// Reads what the log says about one generation, from its end to the line of its creation.
fn told(store: &StoreDir, id: GenerationId) -> Result<Told> {
    let (mut log, mut told) = (Log::of(store).backwards()?, Told::default());
    while told.by.is_none()
        && let Some(line) = log.next_naming(id)?
    {
        told.read(id, &line);
    }
    Ok(told)
}

/// Returns the current generation. A damaged `current` hides no generation.
fn readable_current(store: &StoreDir) -> Result<Option<GenerationId>> {
    match Current::of(store).id() {
        Err(Error::Damaged { .. }) => Ok(None),
        current => current,
    }
}

/// Opens a generation and reads its head. Returns `None` if it is missing, and the cause if it is
/// damaged or may not be read: it does not hide the others.
fn open_head(
    store: &StoreDir,
    id: GenerationId,
) -> Result<Option<std::result::Result<(Generation, Head), String>>> {
    let read = Generations::of(store).find(id).and_then(|generation| match generation {
        Some(generation) => generation.head().map(|head| Some((generation, head))),
        None => Ok(None),
    });
    match read {
        Ok(found) => Ok(found.map(Ok)),
        Err(Error::Damaged { cause, .. }) => Ok(Some(Err(cause))),
        Err(e) if is_refused(&e) => Ok(Some(Err(chain(&e)))),
        Err(e) => Err(e),
    }
}

/// Finds the bytes that a generation added, in the log.
fn logged_bytes(store: &StoreDir, id: GenerationId) -> Result<Option<u64>> {
    let mut log = Log::of(store).backwards()?;
    while let Some(line) = log.next_naming(id)? {
        if let Event::Publish { new_bytes, .. } = line.event
            && line.generation == id
        {
            return Ok(new_bytes);
        }
    }
    Ok(None)
}

fn mark_of(record: Option<MarkRecord>) -> Marking {
    let unmarked = Marking { mark: Mark::Good, why: None };
    record.map_or(unmarked, |record| Marking { mark: record.mark, why: record.why })
}

fn pins_on(pins: &[Pin], id: GenerationId) -> Vec<Pin> {
    pins.iter().filter(|pin| pin.generation == id).cloned().collect()
}

fn unexpired(store: &StoreDir, records: BTreeMap<PinName, PinRecord>) -> Vec<Pin> {
    let now = store.now();
    let mut pins = to_pins(records);
    pins.retain(|pin| pin.until.is_none_or(|until| until > now));
    pins
}

fn added_since(store: &StoreDir, generation: &Generation, older: Option<GenerationId>) -> Result<u64> {
    let mut objects = object_sizes(generation)?;
    let older = match older.map_or(Ok(None), |older| Generations::of(store).find(older)) {
        Err(e) if is_refused(&e) => None,
        older => older?,
    };
    if let Some(older) = older {
        for id in object_sizes(&older)?.keys() {
            objects.remove(id);
        }
    }
    Ok(objects.values().sum())
}

fn to_pins(pins: BTreeMap<PinName, PinRecord>) -> Vec<Pin> {
    pins.into_iter()
        .map(|(name, record)| Pin {
            name: name.to_string(),
            generation: record.generation,
            made: record.made.into(),
            why: record.why,
            until: record.until.map(SystemTime::from),
        })
        .collect()
}

fn object_sizes(generation: &Generation) -> Result<HashMap<ObjectId, u64>> {
    Ok(generation.objects()?.into_iter().collect())
}

fn nearest_numbers(ids: &[GenerationId], wanted: GenerationId) -> Vec<String> {
    let mut ids: Vec<GenerationId> = ids.to_vec();
    ids.sort_by_key(|id| id.get().abs_diff(wanted.get()));
    ids.into_iter().take(3).map(|id| id.to_string()).collect()
}
