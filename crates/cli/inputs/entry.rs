//! One line of a plan: a JSON object, checked separately.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use genstore::Source;
use genstore::tree::RelPath;
use rustix::fs::{Access, AtFlags, CWD};
use serde::Deserialize;

use crate::errors::is_absence;
use crate::text::escape::show;
use crate::text::human;
use crate::text::nearest::nearest;
use crate::text::plain::plain;

/// The fields of a line. Values that are not UTF-8 are given as base64, as in the documents of `--json`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Line {
    path: Option<String>,
    path_b64: Option<String>,
    mode: Option<String>,
    source: Option<String>,
    source_b64: Option<String>,
    bytes: Option<String>,
    text: Option<String>,
    symlink: Option<String>,
    symlink_b64: Option<String>,
    dir: bool,
    begin: bool,
    end: bool,
}

/// A parsed line.
pub(crate) enum Read {
    /// A path and its content.
    Entry(Vec<u8>, What),
    /// The first line of a plan that announces a last one.
    Begin,
    /// The last line.
    End,
}

/// The content of a path.
pub(crate) enum What {
    File { executable: bool, source: Source },
    Symlink(Vec<u8>),
    Dir,
}

/// An invalid line.
pub(crate) struct Refused {
    /// Its path, if it could be parsed.
    pub(crate) path: Option<Vec<u8>>,
    /// Never empty.
    pub(crate) problems: Vec<String>,
}

/// Parses a line: a valid path and its content, or the begin or end of the plan.
///
/// # Errors
/// All problems of the line.
pub(crate) fn read(bytes: &[u8]) -> Result<Read, Refused> {
    // serde would also accept a list.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refused { path: None, problems: vec!["is not a JSON object".to_owned()] });
    }
    let mut line: Line = match serde_json::from_slice(bytes) {
        Ok(line) => line,
        Err(error) => return Err(Refused { path: None, problems: vec![explain(&error)] }),
    };
    if line.begin || line.end {
        return line.frame();
    }
    let mut problems = Vec::new();
    let path = match one_of("path", line.path.take(), line.path_b64.take()) {
        Ok(Some(path)) => {
            problems.extend(RelPath::new(path.clone()).err().map(|why| why.to_string()));
            Some(path)
        }
        Ok(None) => {
            problems.push("has no `path`".to_owned());
            None
        }
        Err(why) => {
            problems.push(why);
            None
        }
    };
    let mut mode = None;
    match line.mode.take().map(|text| parse_mode(&text)).transpose() {
        Ok(given) => mode = given,
        Err(why) => problems.push(why),
    }
    let what = match line.what(mode, &mut problems) {
        Ok(what) => Some(what),
        Err(why) => {
            problems.push(why);
            None
        }
    };
    match (path, what) {
        (Some(path), Some(what)) if problems.is_empty() => Ok(Read::Entry(path, what)),
        (path, _) => Err(Refused { path, problems }),
    }
}

impl Line {
    /// Parses a line that marks the begin or the end of the plan, and nothing else.
    fn frame(self) -> Result<Read, Refused> {
        let begins = self.begin;
        match self {
            Line {
                path: None,
                path_b64: None,
                mode: None,
                source: None,
                source_b64: None,
                bytes: None,
                text: None,
                symlink: None,
                symlink_b64: None,
                dir: false,
                begin,
                end,
            } if begin != end => Ok(if begins { Read::Begin } else { Read::End }),
            _ => Err(Refused {
                path: None,
                problems: vec!["has more than one of `begin`, `end` and an entry".to_owned()],
            }),
        }
    }

    /// Returns the content that the line gives. Only files may have a mode.
    fn what(self, mode: Option<bool>, problems: &mut Vec<String>) -> Result<What, String> {
        let given = [
            self.source.is_some() || self.source_b64.is_some(),
            self.bytes.is_some(),
            self.text.is_some(),
            self.symlink.is_some() || self.symlink_b64.is_some(),
            self.dir,
        ];
        match given.iter().filter(|is| **is).count() {
            0 => return Err("has none of `source`, `bytes`, `text`, `symlink`, `dir`".to_owned()),
            1 => {}
            _ => {
                return Err("has more than one of `source`, `bytes`, `text`, `symlink`, `dir`".to_owned());
            }
        }
        let in_memory =
            |bytes| What::File { executable: mode.unwrap_or(false), source: Source::Bytes(bytes) };
        if let Some(text) = self.text {
            return Ok(in_memory(text.into_bytes()));
        }
        if let Some(text) = self.bytes {
            return base64("bytes", &text).map(in_memory);
        }
        if let Some(source) = one_of("source", self.source, self.source_b64)? {
            let (real, own) = find_source(Path::new(&OsString::from_vec(source)))?;
            return Ok(What::File { executable: mode.unwrap_or(own), source: Source::File(real) });
        }
        if mode.is_some() {
            problems.push("has a `mode`, which is for files only".to_owned());
        }
        match one_of("symlink", self.symlink, self.symlink_b64)? {
            Some(target) => Ok(What::Symlink(target)),
            None => Ok(What::Dir),
        }
    }
}

/// Returns a value that is given as text or as base64.
fn one_of(key: &str, text: Option<String>, b64: Option<String>) -> Result<Option<Vec<u8>>, String> {
    match (text, b64) {
        (Some(_), Some(_)) => Err(format!("has both `{key}` and `{key}_b64`")),
        (Some(text), None) => Ok(Some(text.into())),
        (None, Some(text)) => base64(&format!("{key}_b64"), &text).map(Some),
        (None, None) => Ok(None),
    }
}

fn base64(key: &str, text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|_| format!("`{key}` is not base64"))
}

/// Parses an octal mode. Returns whether the owner may execute.
fn parse_mode(text: &str) -> Result<bool, String> {
    let shown = one_line(text);
    let octal = text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    match u32::from_str_radix(text, 8).ok().filter(|_| octal) {
        Some(mode) if mode <= 0o777 => Ok(mode & 0o100 != 0),
        Some(_) => Err(format!("the mode `{shown}` has bits other than permissions, which cannot be kept")),
        None => Err(format!("the mode `{shown}` is not octal, like 0644")),
    }
}

/// Finds a source file, through symlinks. Also returns whether its owner may execute it.
fn find_source(path: &Path) -> Result<(PathBuf, bool), String> {
    let bad = |why: &str| format!("cannot come from {}: {why}", show(path));
    let find = || -> std::io::Result<(PathBuf, std::fs::Metadata)> {
        let real = std::fs::canonicalize(path)?;
        let meta = std::fs::metadata(&real)?;
        Ok((real, meta))
    };
    let (real, meta) = match find() {
        Ok(found) => found,
        Err(e) if is_absence(&e) => return Err(bad("it does not exist")),
        Err(e) => return Err(bad(&e.to_string())),
    };
    if !meta.is_file() {
        return Err(bad("it is not a file"));
    }
    match rustix::fs::accessat(CWD, &real, Access::READ_OK, AtFlags::EACCESS) {
        Ok(()) => Ok((real, meta.permissions().mode() & 0o100 != 0)),
        Err(why) => Err(bad(&std::io::Error::from(why).to_string())),
    }
}

/// Converts the parser's error to a sentence, with a suggestion.
fn explain(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "ends in the middle of an entry".to_owned();
    }
    let text = error.to_string();
    // The parser sees only this line, so its own line number is useless.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    // The parser quotes names: unknown field `x`, expected one of `a`, `b`.
    let mut quoted = text.split('`').skip(1).step_by(2);
    if text.starts_with("unknown field")
        && let Some(unknown) = quoted.next()
    {
        let known: Vec<&str> = quoted.collect();
        let shown = one_line(unknown);
        return match nearest(unknown, &known) {
            Some(near) => format!("unknown key `{shown}`, did you mean `{near}`?"),
            None => format!("unknown key `{shown}`, expected one of {}", known.join(", ")),
        };
    }
    format!("is not an entry: {} (column {})", one_line(&plain(text)), error.column())
}

/// Returns foreign text on one line, shortened.
fn one_line(text: &str) -> String {
    human::line(text, 100)
}
