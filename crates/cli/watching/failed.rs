//! The message of a failed build for open pages.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::errors::{BuildFailed, Refused};
use crate::render::publish::finding_line;

/// The bytes of the end of a build's log that are shown.
const SHOWN: u64 = 4096;

/// Returns the message: the error, and the end of the build's log or the findings of the audit.
pub(super) fn text(error: &anyhow::Error) -> String {
    let mut text = format!("{error:#}");
    if let Some(failed) = error.downcast_ref::<BuildFailed>()
        && let Some(log) = failed.failed.as_ref().and_then(|kept| end_of(&kept.path.join("build.log")))
    {
        text = format!("{text}\n\n{log}");
    }
    if let Some(refused) = error.downcast_ref::<Refused>() {
        for finding in &refused.findings {
            text = format!("{text}\n{}", finding_line(finding));
        }
    }
    anstream::adapter::strip_str(&text).to_string()
}

/// Reads the end of a log, from the beginning of a line.
fn end_of(path: &Path) -> Option<String> {
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(SHOWN))).ok()?;
    let mut bytes = vec![];
    file.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = if length > SHOWN { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
    Some(whole.trim_end().to_owned())
}
