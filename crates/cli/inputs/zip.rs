//! `--from-tar` with a zip archive: a plan of its members.
//!
//! Names and links are checked like those of a tar archive, and count against the same limit. The sizes in the
//! archive are not trusted: no member gives more bytes than it announces, and its checksum must be right. If two members
//! have one name, the last counts.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::Path;
use std::time::{Duration, SystemTime};

use ::zip::read::ZipFile;
use ::zip::{ExtraField, ZipArchive};
use anyhow::Result;
use genstore::Plan;
use genstore::error::ProblemKind;
use genstore::plan::PlanBuilder;
use genstore::tree::RelPath;

use super::source::{cannot_read, is_stdin};
use super::spool::Spool;
use super::tar::{HOLES_MAX, Part, Room, add_file, below_top, finish};
use super::web;
use crate::errors::Fail;

/// The first bytes of an archive with members, and of an empty one.
const MAGIC: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];
/// The longest target of a symlink.
const TARGET_MAX: u64 = 4096;
/// The type of a file in a mode.
const KIND: u32 = 0o170_000;

/// Bytes that can be read in any order, as a zip archive requires.
pub(super) trait Seekable: Read + Seek {}
impl<T: Read + Seek> Seekable for T {}

/// The bytes of an archive, by its kind.
pub(super) enum Found {
    Zip(Box<dyn Seekable>),
    Other(Box<dyn Read>),
}

/// Recognises a zip archive by its first bytes. A stream is copied to a temporary file first.
pub(super) fn find(mut bytes: Box<dyn Read>, file: &Path, name: &str) -> Result<Found> {
    let mut start = Vec::new();
    bytes.by_ref().take(4).read_to_end(&mut start).map_err(|e| cannot_read(name, e))?;
    if !MAGIC.contains(&start.as_slice()) {
        return Ok(Found::Other(Box::new(Cursor::new(start).chain(bytes))));
    }
    if !is_stdin(file) && !web::is_address(file) {
        let opened = File::open(file).map_err(|e| cannot_read(name, e))?;
        return Ok(Found::Zip(Box::new(BufReader::new(opened))));
    }
    let copy = || -> io::Result<File> {
        let mut copy = tempfile::tempfile()?;
        io::copy(&mut Cursor::new(start).chain(bytes), &mut copy)?;
        copy.rewind()?;
        Ok(copy)
    };
    Ok(Found::Zip(Box::new(BufReader::new(copy().map_err(|e| cannot_read(name, e))?))))
}

/// Reads a part of an archive. `plan` has the rules. `limit` is for the sizes of all members together.
///
/// # Errors
/// [`crate::errors::BadInput`] with every problem.
pub(super) fn read(
    input: Box<dyn Seekable>,
    name: &str,
    mut plan: PlanBuilder,
    (limit, part): (Option<u64>, &Part),
    spool: &mut dyn Spool,
) -> Result<Plan> {
    let mut archive = ZipArchive::new(input).map_err(|_| broken(name, "is cut short or damaged"))?;
    // A few bytes may unpack to very many.
    let mut room = Room::new(name, Some(limit.unwrap_or(HOLES_MAX)));
    let mut is_found = part.is_all();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(|error| unreadable(name, &error))?;
        let path = below_top(member.name_raw()).to_vec();
        room.take(member.size(), &path)?;
        let Some(path) = part.path(&path).map(<[u8]>::to_vec) else { continue };
        is_found = true;
        let mode = member.unix_mode().unwrap_or(0);
        let is_dir = member.name_raw().ends_with(b"/") || mode & KIND == 0o040_000;
        if is_dir && path.is_empty() {
            continue;
        }
        if let Err(why) = RelPath::new(path.clone()) {
            plan.problem(&path, ProblemKind::Unfit, why.to_string());
            continue;
        }
        match mode & KIND {
            _ if is_dir => plan = plan.dir(path),
            0o120_000 => {
                let mut target = Vec::new();
                let read = member.by_ref().take(TARGET_MAX + 1).read_to_end(&mut target);
                read.map_err(|_| damaged(name, &path))?;
                match target.len() as u64 > TARGET_MAX {
                    true => plan.problem(&path, ProblemKind::Unfit, "has too long a target".to_owned()),
                    false => plan = plan.symlink(path, target),
                }
            }
            0 | 0o100_000 => {
                let (announced, mtime) = (member.size(), mtime(&member));
                let mut bytes = member.by_ref().take(announced.saturating_add(1));
                let kept =
                    spool.keep(&mut bytes, mtime).map_err(|error| match error.downcast::<io::Error>() {
                        Ok(_) => damaged(name, &path),
                        Err(other) => other,
                    })?;
                if kept.size_bytes != announced {
                    return Err(damaged(name, &path));
                }
                plan = add_file(plan, path, mode & 0o100 != 0, kept.source());
            }
            _ => {
                plan.problem(&path, ProblemKind::Unfit, "is neither a file, a folder nor a link".to_owned())
            }
        }
    }
    finish(plan, name, is_found)
}

/// Returns the mtime of a member: of the extended field, else the local time in the archive, as if it were UTC.
fn mtime<R: Read>(member: &ZipFile<'_, R>) -> SystemTime {
    let extended = member.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(times) => times.mod_time(),
        _ => None,
    });
    if let Some(secs) = extended {
        return SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(secs));
    }
    let date = member.last_modified().and_then(|at| {
        let date =
            jiff::civil::date(at.year().cast_signed(), at.month().cast_signed(), at.day().cast_signed());
        let time = date.at(
            at.hour().cast_signed(),
            at.minute().cast_signed(),
            at.second().min(59).cast_signed(),
            0,
        );
        time.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| SystemTime::from(zoned.timestamp()))
    });
    date.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn broken(name: &str, how: &str) -> anyhow::Error {
    Fail::new("bad-zip", format!("{name} {how}"), "make or send the archive again; nothing was written")
        .into()
}

fn damaged(name: &str, path: &[u8]) -> anyhow::Error {
    broken(name, &format!("is damaged in the member {}", genstore::tree::show_path(path)))
}

fn unreadable(name: &str, error: &::zip::result::ZipError) -> anyhow::Error {
    broken(name, &format!("cannot be read: {error}"))
}
