//! The message of a failed build for open pages.

use crate::errors::{BuildFailed, Refused};
use crate::render::publish::finding_line;

/// Returns the message: the error, and the end of the build's log or the findings of the audit.
pub(super) fn text(error: &anyhow::Error) -> String {
    let mut text = format!("{error:#}");
    if let Some(log) = error.downcast_ref::<BuildFailed>().and_then(BuildFailed::log_end) {
        text = format!("{text}\n\n{log}");
    }
    if let Some(refused) = error.downcast_ref::<Refused>() {
        for finding in &refused.findings {
            text = format!("{text}\n{}", finding_line(finding));
        }
    }
    anstream::adapter::strip_str(&text).to_string()
}
