//! Entry points of the fuzz targets: what people and other programs write. See `scripts/fuzz`.
//!
//! A target never panics on an input that is wrong. A message about it has no control characters.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::SystemTime;

use ::tar::Header;
use anyhow::{Error, Result};
use genstore::Plan;
use genstore::fuzz::Target;
use genstore::publish::Expect;
use genstore::tree::Digest;

use crate::command::refs;
use crate::errors::{BadInput, Fail};
use crate::inputs::pax::Pax;
use crate::inputs::spool::{Kept, Memory, Spool};
use crate::inputs::{ndjson, tar};
use crate::project::config::{self, Config};
use crate::project::trust::UserConfig;
use crate::text::escape::is_unsafe;

/// The targets by name.
pub const TARGETS: [(&str, Target); 5] =
    [("plan", plan), ("archive", archive), ("pax", pax), ("refs", refs), ("config", config)];

/// The most bytes that an archive may hold.
const LIMIT: u64 = 1 << 16;
/// The size of a block of an archive.
const BLOCK: usize = 512;

/// Fails if a message, a problem or a hint is not plain text.
fn check_message(error: &Error) {
    let mut texts = vec![error.to_string()];
    texts.extend(error.downcast_ref::<Fail>().map(|fail| fail.hint.clone()));
    if let Some(bad) = error.downcast_ref::<BadInput>() {
        assert!(!bad.problems.is_empty(), "an input is refused for no reason");
        texts.extend(bad.problems.iter().map(ToString::to_string));
    }
    for text in texts {
        assert!(!text.contains(is_unsafe), "a message has control characters: {text:?}");
    }
}

/// Reads a plan. One that announces its end is refused without its last line.
fn plan(bytes: &[u8]) {
    let read = |bytes: &[u8]| ndjson::read(&mut &*bytes, "plan", Plan::builder());
    if let Err(error) = read(bytes) {
        return check_message(&error);
    }
    let is_blank = |line: &&[u8]| line.iter().all(u8::is_ascii_whitespace);
    let lines: Vec<&[u8]> =
        bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_blank(line)).collect();
    let is_begin = |line: &&[u8]| {
        let line: Result<serde_json::Value, _> = serde_json::from_slice(line);
        line.is_ok_and(|line| line["begin"] == true)
    };
    if lines.first().is_some_and(is_begin) {
        let cut = lines[..lines.len() - 1].concat();
        assert!(lines.len() == 1 || read(&cut).is_err(), "a plan that was cut off is accepted");
    }
}

/// The content of an archive: the number of its files, and the bytes that were kept.
#[derive(PartialEq, Eq, Debug, Default)]
struct Archived {
    files: usize,
    kept: Vec<Digest>,
}

impl Spool for Archived {
    fn keep(&mut self, bytes: &mut dyn Read, mtime: SystemTime) -> Result<Kept> {
        let mut all = Vec::new();
        bytes.read_to_end(&mut all)?;
        self.kept.push(Digest::of(&all));
        Memory.keep(&mut &*all, mtime)
    }
}

fn read_archive(bytes: &[u8]) -> Option<Archived> {
    let mut archived = Archived::default();
    let read = tar::read(
        &mut &*bytes,
        "archive",
        Plan::builder(),
        (Some(LIMIT), &tar::Part::default()),
        &mut archived,
    );
    match read {
        Ok(plan) => Some(Archived { files: plan.files(), ..archived }),
        Err(error) => {
            check_message(&error);
            None
        }
    }
}

/// Writes the right checksums into the headers: a fuzzer does not find them.
fn with_right_sums(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (bytes.to_vec(), 0_usize);
    while let Some(block) = at.checked_add(BLOCK).and_then(|end| out.get_mut(at..end)) {
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let size = header.entry_size().ok().and_then(|size| usize::try_from(size).ok());
        let size = size.and_then(|size| size.checked_next_multiple_of(BLOCK));
        let next = size.and_then(|size| at.checked_add(BLOCK)?.checked_add(size));
        let Some(next) = next else { break };
        at = next;
    }
    out
}

/// Reads an archive as it is and with right checksums. A part of an archive is refused, or holds the same.
fn archive(bytes: &[u8]) {
    for bytes in [bytes.to_vec(), with_right_sums(bytes)] {
        let Some(whole) = read_archive(&bytes) else { continue };
        for quarters in 1..4 {
            if let Some(part) = read_archive(&bytes[..bytes.len() * quarters / 4]) {
                assert_eq!(part, whole, "an archive that was cut is accepted");
            }
        }
    }
}

/// Parses an extended header. Records of its names alone have the same names.
fn pax(bytes: &[u8]) {
    let Some(parsed) = Pax::parse(bytes) else { return };
    let fields = [(&b"path"[..], &parsed.path), (b"linkpath", &parsed.link)];
    let records = fields.into_iter().filter_map(|(key, value)| Some(record(key, value.as_ref()?)));
    let again = Pax::parse(&records.collect::<Vec<_>>().concat()).expect("records that were written");
    assert_eq!((again.path, again.link), (parsed.path, parsed.link));
}

/// Writes a record, whose length counts its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = [b" ", key, b"=", value, b"\n"].concat();
    let digits = (1..).find(|digits| (digits + rest.len()).to_string().len() == *digits);
    let length = digits.expect("a number of digits") + rest.len();
    [length.to_string().as_bytes(), &rest].concat()
}

/// Parses a REF, what `--expect` takes, and a path in a tree.
fn refs(bytes: &[u8]) {
    let path = OsString::from_vec(bytes.to_vec());
    match refs::path_in_tree(&path) {
        Ok(path) => {
            let again = refs::path_in_tree(&OsString::from_vec(path.as_bytes().to_vec()));
            assert_eq!(again.ok(), Some(path), "a path is read otherwise once it was read");
        }
        Err(error) => check_message(&error),
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let rev = refs::rev(text);
    assert_eq!(refs::rev(&rev.to_string()), rev, "a REF is read otherwise once it was printed");
    match refs::expected(None, Some(text)) {
        Ok(Expect::Unborn) => assert_eq!(text, "none"),
        Ok(Expect::Current(id)) => assert_eq!(id.to_string(), text),
        Ok(other) => panic!("{text:?} is expected as {other:?}"),
        Err(error) => check_message(&error),
    }
}

/// Parses the file of a project, and that of a user. A comment at the end changes nothing.
fn config(bytes: &[u8]) {
    match config::parse::<Config>(Path::new("/p/genstore.toml"), bytes) {
        Ok(config) => {
            let text = [bytes, b"\n# the end\n"].concat();
            let again = config::parse::<Config>(Path::new("/p/genstore.toml"), &text);
            let again = again.expect("a comment at the end is no error");
            assert_eq!(again.commands(), config.commands());
            assert_eq!(again.store_sections(), config.store_sections());
            assert_eq!(again.retain.retention(), config.retain.retention());
        }
        Err(error) => check_message(&error),
    }
    if let Err(error) = config::parse::<UserConfig>(Path::new("/u/config.toml"), bytes) {
        check_message(&error);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_target_holds_for_its_corpus_and_for_what_is_made_of_it() {
        genstore_testkit::replay(&super::TARGETS, 3_000);
    }
}
