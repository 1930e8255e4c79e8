//! `verify`: checks the store, and repairs it.

mod warnings;

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use genstore::tree::ObjectId;
use genstore::verify::{
    DamagedFile, DamagedGeneration, DamagedObject, Depth, GenerationFault, Relinked, Repaired, SharedAgain,
    SharedFault, TreeFaultKind, Unshared, VerifyReport,
};
use genstore::{GenerationId, Rev, Store};
use serde::Serialize;

use crate::command::context::Context;
use crate::exit;
use crate::render::json::{PathField, UseDoc};
use crate::text::escape::show;
use crate::text::human;
use crate::text::style::{BAD, GOOD};
use warnings::{print_unshared, warn_of_forgotten, warn_of_owners, warn_of_shared};

#[derive(Args)]
pub(crate) struct Verify {
    /// Check only this generation
    #[arg(value_name = "REF")]
    generation: Option<Rev>,
    /// Compare sizes, times, modes and links, without hashing
    #[arg(long)]
    quick: bool,
    /// Repair damage from intact copies, and move what cannot be repaired to quarantine
    #[arg(long, conflicts_with_all = ["generation", "quick"])]
    repair: bool,
    /// Restore hard links after a copy without them, and touch nothing else
    #[arg(long, conflicts_with_all = ["generation", "quick", "repair"])]
    relink: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct VerifyDoc {
    schema: &'static str,
    /// Whether there is no damage.
    ok: bool,
    #[serde(flatten)]
    found: FoundDoc,
    /// The numbers of checked generations, objects and bytes.
    checked: CheckedDoc,
    /// Paths that could share an inode and do not. This is no damage; `--relink` links them.
    #[serde(skip_serializing_if = "Option::is_none")]
    unshared: Option<UnsharedDoc>,
    /// Shared paths that lead to nothing. This is no damage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shared: Vec<SharedDoc>,
    /// After `--relink`: the changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    relinked: Option<RelinkedDoc>,
    /// After a repair: what could not be repaired.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<FoundDoc>,
    /// After a repair: generations and records that were moved away, because nothing can repair them.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantined: Option<Vec<String>>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct FoundDoc {
    /// The damage.
    damaged: Vec<ObjectDoc>,
    /// The findings.
    findings: Vec<FaultDoc>,
    /// The generations.
    generations: Vec<GenerationDoc>,
    /// The number of files.
    files: Vec<FileDoc>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct ObjectDoc {
    /// BLAKE3 of the bytes: 64 hexadecimal digits.
    digest: String,
    /// Whether the owner may execute it.
    executable: bool,
    /// The size in bytes.
    size: u64,
    /// The paths that have the object.
    uses: Vec<UseDoc>,
    /// The cause, for people.
    cause: &'static str,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct FaultDoc {
    generation: GenerationId,
    #[serde(flatten)]
    path: PathField,
    /// The rule that was broken.
    rule: &'static str,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct GenerationDoc {
    generation: GenerationId,
    /// The cause, for people.
    cause: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct FileDoc {
    #[serde(flatten)]
    path: PathField,
    /// The cause, for people.
    cause: String,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct CheckedDoc {
    /// The generations.
    generations: u64,
    /// The number of objects.
    objects: u64,
    /// A number of bytes.
    bytes: u64,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct UnsharedDoc {
    /// The number of files.
    files: u64,
    /// A number of bytes.
    bytes: u64,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct RelinkedDoc {
    /// The number of missing objects that got their names back.
    adopted: u64,
    /// The number of objects whose mode or mtime was restored.
    restored: u64,
    /// The number of paths that are links again, or have their own mode and mtime again.
    files: u64,
    /// The number of bytes that are free now.
    freed_bytes: u64,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct SharedDoc {
    #[serde(flatten)]
    path: PathField,
    cause: String,
    generations: Vec<GenerationId>,
}

impl SharedDoc {
    fn all(report: &VerifyReport) -> Vec<SharedDoc> {
        let doc = |fault: &SharedFault| SharedDoc {
            path: PathField::of(&fault.path),
            cause: fault.cause.clone(),
            generations: fault.generations.clone(),
        };
        report.shared.iter().map(doc).collect()
    }
}

impl UnsharedDoc {
    fn of(report: &VerifyReport) -> Option<UnsharedDoc> {
        let Unshared { files, bytes, .. } = report.unshared;
        (files > 0).then_some(UnsharedDoc { files, bytes })
    }
}

impl FoundDoc {
    fn of(report: &VerifyReport) -> FoundDoc {
        let object = |object: &DamagedObject| ObjectDoc {
            digest: object.id.digest.to_string(),
            executable: object.id.executable,
            size: object.size,
            uses: object.uses.iter().map(UseDoc::of).collect(),
            cause: object.cause,
        };
        let fault = |found: &GenerationFault| FaultDoc {
            generation: found.generation,
            path: PathField::of(&found.fault.path),
            rule: rule(found.fault.kind).0,
        };
        let generation = |damaged: &DamagedGeneration| GenerationDoc {
            generation: damaged.id,
            cause: damaged.cause.clone(),
        };
        let file = |damaged: &DamagedFile| FileDoc {
            path: PathField::of(damaged.path.as_os_str().as_bytes()),
            cause: damaged.cause.clone(),
        };
        FoundDoc {
            damaged: report.objects.iter().map(object).collect(),
            findings: report.faults.iter().map(fault).collect(),
            generations: report.generations.iter().map(generation).collect(),
            files: report.files.iter().map(file).collect(),
        }
    }
}

/// Returns the name of a fault for programs, and for people.
fn rule(kind: TreeFaultKind) -> (&'static str, &'static str) {
    match kind {
        TreeFaultKind::Missing => ("missing", "is missing"),
        TreeFaultKind::Replaced => ("replaced", "is something else"),
        TreeFaultKind::Content => ("content", "has other bytes"),
        TreeFaultKind::Mode => ("mode", "has another mode"),
        TreeFaultKind::Mtime => ("mtime", "has another mtime"),
        TreeFaultKind::Stranger => ("stranger", "is in no manifest"),
        TreeFaultKind::Mounted => ("mounted", "is hidden by a mount"),
        _ => ("other", "is not as it was published"),
    }
}

/// One finding.
struct Item {
    key: Key,
    /// The damaged thing: `object …`, `generation 41: assets/app.js`.
    what: String,
    /// The fault; it follows `what` in the sentence.
    cause: String,
    /// The same in a few words, as a sentence.
    short: String,
    /// The paths that use it.
    places: Vec<String>,
}

/// The identity of a finding.
#[derive(PartialEq)]
enum Key {
    Object(ObjectId),
    Generation(GenerationId),
    Fault(GenerationId, Vec<u8>),
    File(PathBuf),
}

/// Lists the findings for people. If a path is wrong because its object is damaged, only the object is
/// listed.
fn items(report: &VerifyReport) -> Vec<Item> {
    let item = |key, what: String, cause: String| {
        let short = format!("it {cause}");
        Item { key, what, cause, short, places: vec![] }
    };
    let mut items = Vec::new();
    let mut explained: HashSet<(GenerationId, &[u8])> = HashSet::new();
    for object in &report.objects {
        let twin = if object.id.executable { " (executable)" } else { "" };
        let what = format!("object {}{twin}", object.id.digest);
        let cause = format!("is damaged: {} recorded, {}", human::count(object.size, "byte"), object.cause);
        let places = human::uses(&object.uses);
        let short = object.cause.to_owned();
        items.push(Item { places, short, ..item(Key::Object(object.id), what, cause) });
        explained.extend(object.uses.iter().map(|found| (found.generation, found.path.as_slice())));
    }
    for DamagedGeneration { id, cause, .. } in &report.generations {
        items.push(item(Key::Generation(*id), format!("generation {id}"), format!("is damaged: {cause}")));
    }
    for GenerationFault { generation: id, fault, .. } in &report.faults {
        if explained.contains(&(*id, &fault.path)) {
            continue;
        }
        let path =
            if fault.path.is_empty() { ".".to_owned() } else { genstore::tree::show_path(&fault.path) };
        let what = format!("generation {id}: {path}");
        items.push(item(Key::Fault(*id, fault.path.clone()), what, rule(fault.kind).1.to_owned()));
    }
    for DamagedFile { path, cause, .. } in &report.files {
        items.push(item(Key::File(path.clone()), show(path), format!("is damaged: {cause}")));
    }
    items
}

impl Verify {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        if self.repair {
            return repair(context, &store);
        }
        if self.relink {
            return relink(context, &store);
        }
        let only = self.generation.as_ref().map(|rev| store.resolve(rev)).transpose()?;
        let depth = if self.quick { Depth::Quick } else { Depth::Full };
        let report = store.verify(only, depth)?;
        warn_of_owners(context, &report.foreign);
        warn_of_shared(context, &report);
        warn_of_forgotten(context, &store)?;
        context.progress.finish();
        context.out.emit(&VerifyDoc::of(&report), || {
            let items = items(&report);
            let text: String = items.iter().map(|item| lines(item, None)).collect();
            let result = match items.len() {
                0 => format!("{GOOD}no damage{GOOD:#}"),
                found => format!("{BAD}{}{BAD:#}", human::count(found as u64, "fault")),
            };
            format!("{text}{}: {result}\n", looked_at("Verified", &report))
        });
        if report.is_clean() {
            print_unshared(context, &report);
            return Ok(exit::DONE);
        }
        context.out.hint("run `genstore verify --repair`, or publish the right bytes again");
        Ok(exit::DAMAGED)
    }
}

fn repair(context: &Context<'_>, store: &Store) -> Result<u8> {
    let Repaired { before, after, .. } = store.repair()?;
    match rustix::process::geteuid().is_root() {
        true => warn_of_owners(context, &store.give_back()?.after),
        false => warn_of_owners(context, &after.foreign),
    }
    warn_of_shared(context, &after);
    context.progress.finish();
    if before != after {
        context.out.has_changed("the store was repaired");
    }
    let (found, left) = (items(&before), items(&after));
    let gone = |key: &Key| is_gone(store, key);
    let quarantined: Vec<String> =
        found.iter().filter(|item| gone(&item.key)).map(|i| i.what.clone()).collect();
    let document =
        VerifyDoc { quarantined: Some(quarantined.clone()), ..VerifyDoc::of_change(&before, &after) };
    context.out.emit(&document, || {
        let fate = |item: &Item| match left.iter().find(|other| other.key == item.key) {
            Some(other) => format!("{BAD}not repaired:{BAD:#} {}", other.short),
            None if gone(&item.key) => format!("{BAD}not repaired:{BAD:#} moved to quarantine"),
            None => format!("{GOOD}mended{GOOD:#}"),
        };
        let mut text: String = found.iter().map(|item| lines(item, Some(&fate(item)))).collect();
        // A repair may reveal further damage, for instance damage that a bad manifest had hidden.
        for item in left.iter().filter(|item| !found.iter().any(|other| other.key == item.key)) {
            text.push_str(&lines(item, Some("found by the repair")));
        }
        let kept = found.iter().filter(|item| left.iter().any(|other| other.key == item.key)).count();
        let mended = found.len() - kept - quarantined.len();
        let result = match found.len() {
            0 => format!("{GOOD}no damage{GOOD:#}"),
            all => format!("{mended} of {} repaired", human::count(all as u64, "fault")),
        };
        format!("{text}{}: {result}\n", looked_at("Repaired", &before))
    });
    if !after.is_clean() {
        context.out.hint("publish the right bytes again to repair their objects");
        return Ok(exit::DAMAGED);
    }
    if !quarantined.is_empty() {
        context
            .out
            .hint("the store no longer uses files in quarantine: publish, pin, mark or view them again");
        return Ok(exit::PARTLY);
    }
    Ok(exit::DONE)
}

/// Restores hard links. Other damage is reported as by a check.
fn relink(context: &Context<'_>, store: &Store) -> Result<u8> {
    let Relinked { done, before, after, .. } = store.relink()?;
    warn_of_owners(context, &after.foreign);
    warn_of_shared(context, &after);
    context.progress.finish();
    if done.any() {
        context.out.has_changed("hard links were restored");
    }
    let SharedAgain { adopted, restored, relinked, freed_bytes, .. } = done;
    let document = VerifyDoc {
        relinked: Some(RelinkedDoc { adopted, restored, files: relinked, freed_bytes }),
        ..VerifyDoc::of_change(&before, &after)
    };
    context.out.emit(&document, || {
        let text: String = items(&after).iter().map(|item| lines(item, None)).collect();
        let result = match done.any() {
            false => "nothing to link".to_owned(),
            true => format!(
                "{} linked, {} restored, {} freed",
                human::count(relinked, "file"),
                human::count(adopted + restored, "object"),
                human::bytes(freed_bytes)
            ),
        };
        format!("{text}{}: {result}\n", looked_at("Relinked", &after))
    });
    if after.is_clean() {
        return Ok(exit::DONE);
    }
    context.out.hint("this damage is something else: run `genstore verify --repair`");
    Ok(exit::DAMAGED)
}

/// Returns whether a repair moved the finding away because it could not repair it.
fn is_gone(store: &Store, key: &Key) -> bool {
    match key {
        Key::Generation(id) => store.resolve(&Rev::Number(*id)).is_err(),
        // Pins, marks and views hold information that exists nowhere else in the store.
        Key::File(path) => {
            let lost = path
                .strip_prefix(store.path())
                .is_ok_and(|p| ["pins", "marks", "views", "hold"].iter().any(|lost| p.starts_with(lost)));
            lost && std::fs::symlink_metadata(path).is_err()
        }
        _ => false,
    }
}

fn lines(item: &Item, fate: Option<&str>) -> String {
    let mut text = format!("{BAD}error:{BAD:#} {} {}\n", item.what, item.cause);
    for line in item.places.iter().map(String::as_str).chain(fate) {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

impl VerifyDoc {
    /// Describes a check.
    fn of(report: &VerifyReport) -> VerifyDoc {
        VerifyDoc {
            schema: "genstore.verify/1",
            ok: report.is_clean(),
            found: FoundDoc::of(report),
            checked: checked(report),
            unshared: UnsharedDoc::of(report),
            shared: SharedDoc::all(report),
            relinked: None,
            left: None,
            quarantined: None,
        }
    }

    /// Describes a check, and the check after a change.
    fn of_change(before: &VerifyReport, after: &VerifyReport) -> VerifyDoc {
        VerifyDoc { found: FoundDoc::of(before), left: Some(FoundDoc::of(after)), ..VerifyDoc::of(after) }
    }
}

fn checked(report: &VerifyReport) -> CheckedDoc {
    CheckedDoc {
        generations: report.checked_generations,
        objects: report.checked_objects,
        bytes: report.checked_bytes,
    }
}

fn looked_at(did: &str, report: &VerifyReport) -> String {
    format!(
        "{did} {}, {}, {}",
        human::count(report.checked_generations, "generation"),
        human::count(report.checked_objects, "object"),
        human::bytes(report.checked_bytes),
    )
}
