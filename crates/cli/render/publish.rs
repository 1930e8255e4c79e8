//! The output of `publish`: its document, and its lines for people.

use std::time::Duration;

use genstore::audit::Finding;
use genstore::diff::Diff;
use genstore::tree::{Tree, TreeId};
use genstore::{GenerationId, Plan, Publication, Store};
use serde::Serialize;

use super::diff as list;
use super::json::{ChangeDoc, FindingDoc, PathField, WarningDoc};
use crate::render::output::Out;
use crate::text::human;
use crate::text::style::{DIM, GOOD};

/// The input of a publication, after the scan.
pub(crate) struct Scanned {
    pub(crate) plan: Plan,
    pub(crate) time: Duration,
    /// The duration of the build, if there was one.
    pub(crate) build: Option<Duration>,
}

impl Scanned {
    pub(crate) fn line(&self, bytes: u64) -> String {
        let files = human::count(self.plan.files() as u64, "file");
        let built = self.build.map(|time| format!("     Built in {}\n", seconds(time))).unwrap_or_default();
        format!("{built}   Scanned {files}, {} in {}\n", human::bytes(bytes), seconds(self.time))
    }
}

#[derive(Serialize, Default)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct Millis {
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<u64>,
    /// Reading the source folders.
    scan: u64,
    /// Taking in the files.
    store: u64,
    /// Linking the tree.
    assemble: u64,
    audit: u64,
    /// Flushing.
    sync: u64,
    /// Moving `current`.
    commit: u64,
}

/// The push that followed.
#[derive(Serialize, Clone)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct PushedPart {
    pub(crate) remote: String,
    pub(crate) channel: String,
    /// The record of the channel's head.
    pub(crate) record: u64,
    /// The number of objects that the remote did not have.
    pub(crate) objects: u64,
    /// The sum of their sizes in bytes.
    pub(crate) bytes: u64,
}

/// The document `genstore.publish/1`, also of a dry run.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct PublishDoc {
    schema: &'static str,
    /// Whether nothing was changed.
    dry_run: bool,
    generation: Option<GenerationId>,
    /// The tree id: 64 hexadecimal digits.
    tree: String,
    previous: Option<GenerationId>,
    /// Whether anything changed.
    changed: bool,
    /// Whether it is current at the end.
    current: bool,
    /// Whether the change survives a power loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    durable: Option<bool>,
    /// The number of files.
    files: u64,
    /// A number of bytes.
    bytes: u64,
    /// The number of files that were written.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<u64>,
    /// The number of files that were unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    unchanged: Option<u64>,
    /// The number of new objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_objects: Option<u64>,
    /// The bytes of new objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_bytes: Option<u64>,
    /// The number of added paths.
    added: u64,
    /// The number of changed paths.
    modified: u64,
    /// The number of removed paths.
    removed: u64,
    /// The number of renamed paths.
    renamed: u64,
    /// The number of files that got an inode of their own, with a newer mtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    refreshed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recycled: Option<GenerationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pushed: Option<PushedPart>,
    /// Whether the store is new.
    store_created: bool,
    #[serde(flatten)]
    path: PathField,
    /// Durations in milliseconds.
    ms: Millis,
    /// The entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<ChangeDoc>>,
    /// The findings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<FindingDoc>,
    /// Failures after the commit.
    warnings: Vec<WarningDoc>,
}

impl PublishDoc {
    /// Creates the document of a publication.
    pub(crate) fn done(
        out: &Out,
        store: &Store,
        scanned: &Scanned,
        done: &Publication,
        store_created: bool,
        findings: &[Finding],
    ) -> PublishDoc {
        PublishDoc {
            schema: "genstore.publish/1",
            dry_run: false,
            generation: Some(done.generation),
            tree: done.tree.to_string(),
            previous: done.previous,
            changed: done.changed,
            current: done.current,
            durable: Some(done.durable),
            files: done.files,
            bytes: done.bytes,
            written: Some(done.written),
            unchanged: Some(done.unchanged),
            new_objects: Some(done.new_objects),
            new_bytes: Some(done.new_bytes),
            added: done.diff.added,
            modified: done.diff.modified,
            removed: done.diff.removed,
            renamed: done.diff.renamed,
            refreshed: Some(done.refreshed),
            healed: Some(done.healed),
            recycled: done.recycled,
            pushed: None,
            store_created,
            path: PathField::of_path(&store.tree_path(done.generation)),
            ms: Millis {
                build: scanned.build.map(millis),
                scan: millis(scanned.time),
                store: millis(done.times.store),
                assemble: millis(done.times.assemble),
                audit: millis(done.times.audit),
                sync: millis(done.times.sync),
                commit: millis(done.times.commit),
            },
            entries: None,
            findings: findings.iter().map(FindingDoc::of).collect(),
            warnings: WarningDoc::all(&done.warnings).into_iter().chain(WarningDoc::take(out)).collect(),
        }
    }

    /// Adds the findings of an audit.
    pub(crate) fn add_findings(&mut self, findings: &[Finding]) {
        self.findings = findings.iter().map(FindingDoc::of).collect();
    }

    /// Creates the document of a dry run.
    pub(crate) fn preview(
        scanned: &Scanned,
        hashed: Duration,
        current: Option<GenerationId>,
        tree: &Tree,
        found: &Diff<'_>,
        changed: bool,
    ) -> PublishDoc {
        PublishDoc {
            schema: "genstore.publish/1",
            dry_run: true,
            generation: current.filter(|_| !changed),
            tree: tree.id().to_string(),
            previous: current,
            changed,
            current: !changed,
            durable: None,
            files: tree.files(),
            bytes: tree.bytes(),
            written: None,
            unchanged: None,
            new_objects: None,
            new_bytes: None,
            added: found.summary.added,
            modified: found.summary.modified,
            removed: found.summary.removed,
            renamed: found.summary.renamed,
            refreshed: None,
            healed: None,
            recycled: None,
            pushed: None,
            store_created: false,
            path: PathField::default(),
            ms: Millis { scan: millis(scanned.time), store: millis(hashed), ..Millis::default() },
            entries: Some(found.changes.iter().map(ChangeDoc::of).collect()),
            findings: vec![],
            warnings: vec![],
        }
    }
}

/// The last line of a successful dry run.
pub(crate) const WOULD_PUBLISH: &str = "Would publish it; nothing was written\n";

/// Formats the result of a dry run.
pub(crate) fn preview(base: &str, title: &str, tree: &Tree, found: &Diff<'_>) -> String {
    let head = format!("{} -> {title} {}\n", base, tree.id().short());
    let totals = list::totals(found);
    format!("{head}{}{totals}", list::list(found))
}

/// Formats the result of a publication.
pub(crate) fn report(scanned: &Scanned, done: &Publication, total: Duration) -> String {
    let mut text = scanned.line(done.bytes);
    if done.changed || done.new_objects > 0 {
        let shared = done.files.saturating_sub(done.new_objects);
        text.push_str(&format!(
            "    Stored {}, {} ({} shared)\n",
            human::count(done.new_objects, "new object"),
            human::bytes(done.new_bytes),
            human::number(shared),
        ));
    }
    if done.healed > 0 {
        let what = human::count(done.healed, "damaged object or generation");
        text.push_str(&format!("  Repaired {what}\n"));
    }
    if !done.changed {
        text.push_str(&unchanged(done.generation, done.tree));
        return text;
    }
    let beside = match (done.previous, done.current) {
        (None, true) => " (the first)".to_owned(),
        (Some(previous), true) => format!(" (was {previous})"),
        (None, false) => " (kept, nothing is current)".to_owned(),
        (Some(previous), false) => format!(" (kept, current is {previous})"),
    };
    text.push_str(&format!(
        "{GOOD} Published{GOOD:#} generation {} {DIM}{}{DIM:#}{beside}: {} in {}\n",
        done.generation,
        done.tree.short(),
        list::brief(&done.diff),
        seconds(total),
    ));
    text
}

/// Formats the result of an unchanged publication.
pub(crate) fn unchanged(id: GenerationId, tree: TreeId) -> String {
    format!("Unchanged: generation {id} {DIM}{}{DIM:#} is already current\n", tree.short())
}

/// Formats a finding of an audit: rule, path, message.
pub(crate) fn finding_line(finding: &Finding) -> String {
    let path = finding.path.as_deref().map(|path| format!("{} ", genstore::tree::show_path(path)));
    format!("{}: {}{}", finding.rule, path.unwrap_or_default(), finding.message)
}

/// Prints the details for `-v`.
pub(crate) fn print_details(out: &Out, done: &Publication) {
    if done.refreshed > 0 {
        out.detail(&format!("{} got a newer mtime", human::count(done.refreshed, "file")));
    }
    if let Some(id) = done.recycled {
        out.detail(&format!("generation {id} was no longer kept; its tree was recycled for the new one"));
    }
    let times = done.times;
    out.detail(&format!(
        "store {}, assemble {}, audit {}, sync {}, commit {}",
        seconds(times.store),
        seconds(times.assemble),
        seconds(times.audit),
        seconds(times.sync),
        seconds(times.commit)
    ));
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
