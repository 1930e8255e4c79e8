//! One line of a plan: a JSON object, checked by itself.

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

/// An entry as a line gives it. What is not UTF-8 is given as base64, as in the documents of
/// `--json`.
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

/// What a line is.
pub(crate) enum Read {
    /// A path, and what is to stand there.
    Entry(Vec<u8>, What),
    /// The first line of a plan that has a last one.
    Begin,
    /// The last line.
    End,
}

/// What is to stand at a path.
pub(crate) enum What {
    File { executable: bool, source: Source },
    Symlink(Vec<u8>),
    Dir,
}

/// Why a line is no entry.
pub(crate) struct Refused {
    /// Its path, if that could be read.
    pub(crate) path: Option<Vec<u8>>,
    /// Never empty.
    pub(crate) problems: Vec<String>,
}

/// Reads a line: a path that can be in a tree, and what is to stand there; or where the plan begins or
/// ends.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn read(bytes: &[u8]) -> Result<Read, Refused> {
    // The parser would take a list as well.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refused { path: None, problems: vec!["is no JSON object".to_owned()] });
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
    /// Reads a line that says where the plan begins or ends, and nothing else.
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

    /// Gives the one thing that the line says. A mode is for files; another has none.
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
            problems.push("has a `mode`, which only files have".to_owned());
        }
        match one_of("symlink", self.symlink, self.symlink_b64)? {
            Some(target) => Ok(What::Symlink(target)),
            None => Ok(What::Dir),
        }
    }
}

/// Takes a value that is given as text or as base64.
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

/// Reads an octal mode, and tells whether the owner may execute.
fn parse_mode(text: &str) -> Result<bool, String> {
    let shown = one_line(text);
    let octal = text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    match u32::from_str_radix(text, 8).ok().filter(|_| octal) {
        Some(mode) if mode <= 0o777 => Ok(mode & 0o100 != 0),
        Some(_) => Err(format!("the mode `{shown}` holds more than permissions, which cannot be kept")),
        None => Err(format!("the mode `{shown}` is not octal, like 0644")),
    }
}

/// Finds a source file, through symlinks, and tells whether its owner may execute it.
fn find_source(path: &Path) -> Result<(PathBuf, bool), String> {
    let bad = |why: &str| format!("cannot come from {}: {why}", show(path));
    let find = || -> std::io::Result<(PathBuf, std::fs::Metadata)> {
        let real = std::fs::canonicalize(path)?;
        let meta = std::fs::metadata(&real)?;
        Ok((real, meta))
    };
    let (real, meta) = match find() {
        Ok(found) => found,
        Err(e) if is_absence(&e) => return Err(bad("there is no such file")),
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

/// Makes of the parser's error a sentence, with a suggestion.
fn explain(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "ends in the middle of an entry".to_owned();
    }
    let text = error.to_string();
    // All that the parser sees is this line: its own line number means nothing.
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
            None => format!("unknown key `{shown}`, known are {}", known.join(", ")),
        };
    }
    format!("is no entry: {} (column {})", one_line(&plain(text)), error.column())
}

/// What others wrote, on one line and not too long.
fn one_line(text: &str) -> String {
    human::line(text, 100)
}
