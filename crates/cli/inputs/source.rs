//! The files and folders of inputs.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Result;
use genstore::Error;

use crate::text::escape::show;

/// Returns whether a store created at `place` would lie in `source`.
pub(crate) fn would_hold(source: &Path, place: &Path) -> bool {
    let find = |path: &Path| std::fs::canonicalize(path).ok();
    // A missing path is reported where it is used.
    let (Some(real), Ok(absolute)) = (find(source), std::path::absolute(place)) else { return false };
    absolute.ancestors().any(|above| find(above).as_ref() == Some(&real))
}

pub(crate) fn name_of(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { show(file) }
}

pub(crate) fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Opens a file, or stdin for `-`. Also returns its name.
pub(crate) fn open(file: &Path) -> Result<(String, Box<dyn Read>)> {
    if is_stdin(file) {
        return Ok((name_of(file), Box::new(std::io::stdin().lock())));
    }
    let opened =
        File::open(file).map_err(|source| Error::Io { op: "open", path: file.to_owned(), source })?;
    Ok((name_of(file), Box::new(opened)))
}

/// Creates the error of a failed read of an input.
pub(crate) fn cannot_read(input: &str, source: std::io::Error) -> Error {
    Error::Io { op: "read", path: input.into(), source }
}
