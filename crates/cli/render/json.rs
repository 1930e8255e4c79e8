//! Parts of the JSON documents. The file of each verb defines its document, whose first field is `schema`.
//! Within `/1`, fields are only added.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genstore::audit::{Finding, Severity};
use genstore::diff::{Change, DiffSummary};
use genstore::error::ObjectUse;
use genstore::generation::{Mark, Pin};
use genstore::tree::{Entry, Node};
use genstore::verify::DamagedGeneration;
use genstore::{GenerationId, Warning};
use serde::Serialize;

use crate::render::output::Out;
use crate::text::time;

/// A path: as text if it is UTF-8 without control characters, otherwise as base64.
#[derive(Serialize, Default)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct PathField {
    /// The path, if it is UTF-8 without control characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The path in base64, otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_b64: Option<String>,
}

impl PathField {
    pub(crate) fn of(path: &[u8]) -> PathField {
        let (path, path_b64) = text_or_base64(path);
        PathField { path, path_b64 }
    }

    pub(crate) fn of_path(path: &Path) -> PathField {
        PathField::of(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
    }
}

/// The former path of a file.
#[derive(Serialize, Default)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct FromPathField {
    /// The former path, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_path: Option<String>,
    /// The former path in base64, otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_path_b64: Option<String>,
}

impl FromPathField {
    fn of(path: &[u8]) -> FromPathField {
        let (from_path, from_path_b64) = text_or_base64(path);
        FromPathField { from_path, from_path_b64 }
    }
}

/// Returns bytes as text, or else as base64.
pub(crate) fn text_or_base64(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => (Some(text.to_owned()), None),
        _ => (None, Some(base64(bytes))),
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A finding of an audit.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct FindingDoc {
    /// The rule that was broken.
    rule: String,
    /// `error` or `warning`.
    severity: &'static str,
    #[serde(flatten)]
    path: PathField,
    /// A sentence for people.
    message: String,
}

impl FindingDoc {
    pub(crate) fn of(finding: &Finding) -> FindingDoc {
        FindingDoc {
            rule: finding.rule.clone(),
            severity: match finding.severity {
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            path: finding.path.as_deref().map(PathField::of).unwrap_or_default(),
            message: finding.message.clone(),
        }
    }
}

/// The content of a path.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum NodeDoc {
    File {
        digest: String,
        size: u64,
        executable: bool,
    },
    Symlink {
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        target_b64: Option<String>,
    },
    Directory,
}

impl NodeDoc {
    pub(crate) fn of(node: Node<'_>) -> NodeDoc {
        match node {
            Node::File(file) => NodeDoc::File {
                digest: file.digest.to_string(),
                size: file.size,
                executable: file.executable,
            },
            Node::Symlink(target) => {
                let (target, target_b64) = text_or_base64(target);
                NodeDoc::Symlink { target, target_b64 }
            }
            Node::EmptyDir => NodeDoc::Directory,
        }
    }
}

/// One entry of a tree.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct EntryDoc {
    #[serde(flatten)]
    path: PathField,
    #[serde(flatten)]
    node: NodeDoc,
}

impl EntryDoc {
    pub(crate) fn of(entry: Entry<'_>) -> EntryDoc {
        EntryDoc { path: PathField::of(entry.path), node: NodeDoc::of(entry.node) }
    }
}

/// One path of a difference.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ChangeDoc {
    /// `added`, `removed`, `modified` or `renamed`.
    op: &'static str,
    #[serde(flatten)]
    path: PathField,
    #[serde(flatten)]
    from_path: FromPathField,
    /// The former content.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<NodeDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<NodeDoc>,
    /// The number of added lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lines_added: Option<u64>,
    /// The number of removed lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lines_removed: Option<u64>,
    /// The lines that differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) patch: Option<String>,
    /// The patch in base64, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) patch_b64: Option<String>,
}

impl ChangeDoc {
    pub(crate) fn of(change: &Change<'_>) -> ChangeDoc {
        let (op, from_path) = match change {
            Change::Added(_) => ("added", FromPathField::default()),
            Change::Removed(_) => ("removed", FromPathField::default()),
            Change::Modified(..) => ("modified", FromPathField::default()),
            Change::Renamed(from, _) => ("renamed", FromPathField::of(from.path)),
        };
        ChangeDoc {
            op,
            path: PathField::of(change.path()),
            from_path,
            from: change.from().map(|entry| NodeDoc::of(entry.node)),
            to: change.to().map(|entry| NodeDoc::of(entry.node)),
            lines_added: None,
            lines_removed: None,
            patch: None,
            patch_b64: None,
        }
    }

    pub(crate) fn set_patch(&mut self, patch: &[u8]) {
        match std::str::from_utf8(patch) {
            Ok(text) => self.patch = Some(text.to_owned()),
            Err(_) => self.patch_b64 = Some(base64(patch)),
        }
    }
}

/// The counts of a difference.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct SummaryDoc {
    /// The number of added paths.
    added: u64,
    /// The number of removed paths.
    removed: u64,
    /// The number of changed paths.
    modified: u64,
    /// The number of renamed paths.
    renamed: u64,
    /// The size of the second side, less that of the first.
    bytes: i64,
}

impl SummaryDoc {
    pub(crate) fn of(summary: DiffSummary) -> SummaryDoc {
        let DiffSummary { added, removed, modified, renamed, bytes, .. } = summary;
        SummaryDoc { added, removed, modified, renamed, bytes }
    }
}

/// A path that uses an object.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct UseDoc {
    generation: GenerationId,
    #[serde(flatten)]
    path: PathField,
}

impl UseDoc {
    pub(crate) fn of(found: &ObjectUse) -> UseDoc {
        UseDoc { generation: found.generation, path: PathField::of(&found.path) }
    }
}

/// A pin.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct PinDoc {
    /// Its name.
    name: String,
    /// The time of creation.
    made: String,
    /// The reason, for people.
    why: Option<String>,
    /// The time at which the pin ends.
    until: Option<String>,
}

impl PinDoc {
    pub(crate) fn of(pin: &Pin) -> PinDoc {
        PinDoc {
            name: pin.name.clone(),
            made: time::rfc3339(pin.made),
            why: pin.why.clone(),
            until: pin.until.map(time::rfc3339),
        }
    }
}

/// A generation that cannot be read.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct DamagedDoc {
    pub(crate) generation: GenerationId,
    /// The cause, for people.
    pub(crate) cause: String,
}

impl DamagedDoc {
    pub(crate) fn of(damaged: &DamagedGeneration) -> DamagedDoc {
        DamagedDoc { generation: damaged.id, cause: damaged.cause.clone() }
    }
}

/// A failure after a commit.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct WarningDoc {
    /// A sentence for people.
    message: String,
    /// Whether a power loss may undo the step that failed.
    not_durable: bool,
}

impl WarningDoc {
    pub(crate) fn all(warnings: &[Warning]) -> Vec<WarningDoc> {
        let doc = |w: &Warning| WarningDoc { message: w.message.clone(), not_durable: w.not_durable };
        warnings.iter().map(doc).collect()
    }

    /// Takes the warnings that the program itself has recorded.
    pub(crate) fn take(out: &Out) -> Vec<WarningDoc> {
        let doc = |message| WarningDoc { message, not_durable: false };
        out.take_warnings().into_iter().map(doc).collect()
    }
}

pub(crate) fn mark(mark: Mark) -> &'static str {
    match mark {
        Mark::Good => "good",
        Mark::Bad => "bad",
    }
}
