//! The formatter: every text ends with one newline, and JSON is valid and laid out.

use anyhow::{Context, Result};

/// Returns an output in its published form.
pub(crate) fn format(path: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html" | "css") => {
            let text = std::str::from_utf8(bytes).with_context(|| format!("{path} is not text"))?;
            Ok(format!("{}\n", text.trim_end()).into_bytes())
        }
        Some("json") => {
            let value: serde_json::Value =
                serde_json::from_slice(bytes).with_context(|| format!("{path} is not JSON"))?;
            Ok(format!("{value:#}\n").into_bytes())
        }
        _ => Ok(bytes.to_vec()),
    }
}
