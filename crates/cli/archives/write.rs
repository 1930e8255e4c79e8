//! Writes an archive of generations. The bytes of each file are hashed on their way, so that an archive never holds
//! damage under the name of good bytes.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use anyhow::Result;
use genstore::generation::{Generation, Listed, Manifest, Mark};
use genstore::tree::{FileNode, Mtime, Node, ObjectId};
use genstore::{GenerationId, Rev, Store};
use tar::{EntryType, Header};

use super::{INDEX, Index, Indexed, IndexedPin, SCHEMA, entry_path, manifest_path};
use crate::errors::Fail;
use crate::text::time;

const BLOCK: usize = 512;
/// The largest size that a header holds without an extended one: 8 GiB.
const SIZE_MAX: u64 = (1 << 33) - 1;

/// The number of generations that are leased before the first is written.
const LEASED: usize = 16;

/// The numbers of an archive that was written.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) generations: Vec<GenerationId>,
    pub(crate) files: u64,
    /// The bytes of files, each once.
    pub(crate) bytes: u64,
}

/// Writes these generations, the oldest first.
///
/// # Errors
/// Fails if a file of a generation has other bytes than its manifest says.
pub(crate) fn write(store: &Store, listed: &[&Listed], to: &mut dyn Write) -> Result<Written> {
    let open = |listed: &Listed| store.open_generation(&Rev::Number(listed.id));
    // Leased before the first byte, so that gc keeps them. More would need too many descriptors.
    let leased: Vec<Generation> =
        listed.iter().take(LEASED).map(|listed| open(listed)).collect::<genstore::Result<_>>()?;
    let mut writer = Writer { to, seen: HashMap::new(), done: Written::default() };
    let index = serde_json::to_vec_pretty(&index(listed))?;
    writer.bytes(INDEX.as_bytes(), listed.last().map_or(Mtime::default(), |l| l.head.created), &index)?;
    for generation in &leased {
        writer.generation(generation)?;
    }
    drop(leased);
    for listed in listed.iter().skip(LEASED) {
        writer.generation(&open(listed)?)?;
    }
    writer.to.write_all(&[0; 2 * BLOCK])?;
    writer.to.flush()?;
    Ok(writer.done)
}

fn index(listed: &[&Listed]) -> Index {
    let one = |listed: &&Listed| Indexed {
        generation: listed.id.get(),
        tree: listed.head.tree.to_string(),
        time: time::rfc3339(listed.head.created.into()),
        bad: (listed.mark.mark == Mark::Bad).then(|| listed.mark.why.clone().unwrap_or_default()),
        pins: listed
            .pins
            .iter()
            .map(|pin| IndexedPin {
                name: pin.name.clone(),
                why: pin.why.clone(),
                until: pin.until.map(time::rfc3339),
            })
            .collect(),
    };
    Index {
        schema: SCHEMA.to_owned(),
        current: listed.iter().find(|listed| listed.current).map(|listed| listed.id.get()),
        generations: listed.iter().map(one).collect(),
    }
}

struct Writer<'a> {
    to: &'a mut dyn Write,
    /// The member that has the bytes of an object.
    seen: HashMap<ObjectId, Vec<u8>>,
    done: Written,
}

impl Writer<'_> {
    fn generation(&mut self, generation: &Generation) -> Result<()> {
        let bytes = generation.manifest_bytes()?;
        let id = generation.id();
        let malformed = |_| {
            Fail::new("damaged", format!("generation {id} has a damaged manifest"), "run `genstore verify`")
        };
        let manifest = Manifest::decode(&bytes).map_err(malformed)?;
        self.bytes(&manifest_path(id.get()), manifest.head.created, &bytes)?;
        for entry in manifest.tree.iter() {
            let path = entry_path(id.get(), entry.path);
            match entry.node {
                Node::File(file) => self.file(generation, entry.path, &path, file)?,
                Node::Symlink(target) => {
                    let what = What { kind: EntryType::Symlink, mode: 0o777, size: 0, link: target };
                    self.header(&path, manifest.head.created, what)?;
                }
                Node::EmptyDir => {
                    let what = What { kind: EntryType::Directory, mode: 0o755, size: 0, link: b"" };
                    self.header(&[&path[..], b"/"].concat(), manifest.head.created, what)?;
                }
            }
        }
        self.done.generations.push(id);
        Ok(())
    }

    fn file(&mut self, generation: &Generation, name: &[u8], path: &[u8], file: FileNode) -> Result<()> {
        let mode = if file.executable { 0o755 } else { 0o644 };
        self.done.files += 1;
        if let Some(first) = self.seen.get(&file.object()).cloned().filter(|_| file.size > 0) {
            let what = What { kind: EntryType::Link, mode, size: 0, link: &first };
            return self.header(path, file.mtime, what);
        }
        self.header(path, file.mtime, What { kind: EntryType::Regular, mode, size: file.size, link: b"" })?;
        // It fails if the bytes have another digest.
        let mut counted = Counted { to: self.to, left: file.size };
        generation.copy_file(name, file, &mut counted)?;
        if counted.left > 0 {
            let message = format!(
                "generation {}: {} has another size",
                generation.id(),
                genstore::tree::show_path(name)
            );
            return Err(Fail::new("damaged", message, "run `genstore verify --repair`").into());
        }
        self.pad(file.size)?;
        self.done.bytes += file.size;
        self.seen.insert(file.object(), path.to_vec());
        Ok(())
    }

    fn bytes(&mut self, path: &[u8], mtime: Mtime, bytes: &[u8]) -> Result<()> {
        let what = What { kind: EntryType::Regular, mode: 0o644, size: bytes.len() as u64, link: b"" };
        self.header(path, mtime, what)?;
        self.to.write_all(bytes)?;
        self.pad(bytes.len() as u64)
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let rest = size.next_multiple_of(BLOCK as u64) - size;
        Ok(io::copy(&mut io::repeat(0).take(rest), self.to).map(drop)?)
    }

    /// Writes a header, and before it an extended one for the values that it cannot hold.
    fn header(&mut self, path: &[u8], mtime: Mtime, what: What<'_>) -> Result<()> {
        let mut records = Vec::new();
        let mut header = Header::new_ustar();
        header.set_entry_type(what.kind);
        header.set_mode(what.mode);
        header.set_uid(0);
        header.set_gid(0);
        if mtime.nanos != 0 || !(0..1 << 33).contains(&mtime.secs) {
            record(&mut records, b"mtime", pax_time(mtime).as_bytes());
        }
        header.set_mtime(u64::try_from(mtime.secs).unwrap_or(0).min(SIZE_MAX));
        if what.size > SIZE_MAX {
            record(&mut records, b"size", what.size.to_string().as_bytes());
        }
        header.set_size(if what.size > SIZE_MAX { 0 } else { what.size });
        let raw = header.as_ustar_mut().expect("it was made as one");
        put(&mut raw.name, path, &mut records, b"path");
        put(&mut raw.linkname, what.link, &mut records, b"linkpath");
        header.set_cksum();
        if !records.is_empty() {
            let mut extended = Header::new_ustar();
            extended.set_entry_type(EntryType::XHeader);
            extended.set_mode(0o644);
            extended.set_size(records.len() as u64);
            extended.set_mtime(0);
            let raw = extended.as_ustar_mut().expect("it was made as one");
            put(&mut raw.name, b"pax", &mut vec![], b"path");
            extended.set_cksum();
            self.to.write_all(extended.as_bytes())?;
            self.to.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        Ok(self.to.write_all(header.as_bytes())?)
    }
}

/// The rest of a member's header.
struct What<'a> {
    kind: EntryType,
    mode: u32,
    size: u64,
    link: &'a [u8],
}

/// Puts a name into its field, or the beginning of it, and then the whole name into an extended record.
fn put(field: &mut [u8; 100], name: &[u8], records: &mut Vec<u8>, key: &[u8]) {
    let fits = name.len() <= field.len() && name.is_ascii();
    let len = name.len().min(field.len());
    field[..len].copy_from_slice(&name[..len]);
    if !fits {
        record(records, key, name);
    }
}

/// Adds `LENGTH KEY=VALUE\n`. The length counts itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    for part in [len.to_string().as_bytes(), b" ", key, b"=", value, b"\n"] {
        records.extend_from_slice(part);
    }
}

/// Formats a time as seconds with a fraction. The fraction of a time before 1970 counts backwards.
fn pax_time(mtime: Mtime) -> String {
    match (mtime.secs, mtime.nanos) {
        (secs, 0) => secs.to_string(),
        (secs @ 0.., nanos) => format!("{secs}.{nanos:09}"),
        (secs, nanos) => format!("-{}.{:09}", -(secs + 1), 1_000_000_000 - nanos),
    }
}

/// Passes on as many bytes as a header announced, and fails at one more.
struct Counted<'a> {
    to: &'a mut dyn Write,
    left: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        self.to.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::pax::Pax;

    #[test]
    fn records_count_their_own_length() {
        for len in [0, 1, 80, 90, 91, 92, 93, 94, 95, 980, 990, 991, 992, 993, 5_000] {
            let mut records = Vec::new();
            record(&mut records, b"path", &vec![b'x'; len]);
            let first: usize =
                String::from_utf8_lossy(&records).split(' ').next().unwrap().parse().unwrap();
            assert_eq!(first, records.len());
            assert_eq!(Pax::parse(&records).unwrap().path.unwrap().len(), len);
        }
    }

    #[test]
    fn times_are_read_as_they_were() {
        for (secs, nanos) in [(0, 0), (5, 1), (-1, 0), (-1, 999_999_999), (-2, 1), (1 << 40, 7)] {
            let mtime = Mtime { secs, nanos };
            let mut records = Vec::new();
            record(&mut records, b"mtime", pax_time(mtime).as_bytes());
            let read = Pax::parse(&records).unwrap().mtime.unwrap();
            assert_eq!(Mtime::from(read), mtime, "{}", pax_time(mtime));
        }
    }
}
