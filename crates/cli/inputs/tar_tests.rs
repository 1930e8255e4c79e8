use ::tar::{Builder, EntryType, Header};
use proptest::prelude::*;

use super::super::spool::Memory;
use super::*;

/// Returns a header with this path, type and link.
fn member(path: &[u8], kind: EntryType, link: &[u8], size: u64) -> Header {
    let mut header = Header::new_gnu();
    let old = header.as_old_mut();
    old.name[..path.len()].copy_from_slice(path);
    old.linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_mtime(1_000);
    header.set_size(size);
    header.set_cksum();
    header
}

fn archive(members: &[(Header, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (header, bytes) in members {
        builder.append(header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn file(path: &str, bytes: &'static [u8]) -> (Header, &'static [u8]) {
    (member(path.as_bytes(), EntryType::Regular, b"", bytes.len() as u64), bytes)
}

fn other(path: &str, kind: u8, link: &str) -> (Header, &'static [u8]) {
    (member(path.as_bytes(), EntryType::new(kind), link.as_bytes(), 0), b"")
}

fn read_with(bytes: &[u8], limit: Option<u64>) -> Result<Plan> {
    read(&mut &*bytes, "x.tar", Plan::builder(), (limit, &Part::default()), &mut Memory)
}

/// Returns the problems, or the single message.
fn wrong(bytes: &[u8], limit: Option<u64>) -> Vec<String> {
    match read_with(bytes, limit) {
        Ok(_) => vec![],
        Err(error) => match error.downcast_ref::<BadInput>() {
            Some(bad) => bad.problems.iter().map(ToString::to_string).collect(),
            None => vec![error.to_string()],
        },
    }
}

#[test]
fn every_hostile_member_is_named() {
    let members = [
        other("./", b'5', ""),
        file("../up", b"1"),
        file("/etc/passwd", b"2"),
        file("a/../../b", b"3"),
        file("a", b"4"),
        file("./a", b"5"),
        file("d", b"6"),
        file("d/below", b"7"),
        other("link", b'2', "d"),
        file("link/through", b"8"),
        other("out", b'2', "../../x"),
        other("abs", b'2', "/etc"),
        other("fifo", b'6', ""),
        other("char", b'3', ""),
        other("block", b'4', ""),
        other("odd", b'Z', ""),
        other("hard", b'1', "nowhere"),
        other("late", b'1', "z"),
        file("z", b"9"),
        other("fine", b'1', "./z"),
    ];
    assert_eq!(
        wrong(&archive(&members), None),
        [
            "/etc/passwd the path is absolute",
            "../up the path contains `..`",
            "a stands twice",
            "a/../../b the path contains `..`",
            "abs is an absolute symlink (to /etc)",
            "block is a device",
            "char is a device",
            "d/below lies below something that is not a directory",
            "fifo is a FIFO",
            "hard is a hard link to nowhere, which is not an earlier file",
            "late is a hard link to z, which is not an earlier file",
            "link/through lies below something that is not a directory",
            "odd is of an unknown type (Z)",
            "out is a symlink that leaves the tree (to ../../x)",
        ]
    );
}

#[test]
fn broken_archives_say_where() {
    let good = archive(&[file("first", b"1"), file("second", &[7; 2000])]);
    let check = |bytes: &[u8], expected: &str| assert_eq!(wrong(bytes, None), [expected]);
    check(&good[..0], "x.tar is cut short before its first member");
    check(&good[..1024], "x.tar is cut short after the member first");
    check(&good[..1030], "x.tar is cut short after the member first");
    check(&good[..600], "x.tar is cut short in the member first");
    check(&good[..1536 + 1999], "x.tar is cut short in the member second");
    check(&good[..good.len() - 1024], "x.tar is cut short after the member second");
    // One block of the end marker is an end, unless something follows it.
    assert_eq!(wrong(&good[..good.len() - 512], None), [""; 0]);
    let hole = [&good[..1024], &[0; 512], &good[1024..]].concat();
    check(&hole, "x.tar has a lone block of zeros after the member first");
    let mut flipped = good.clone();
    flipped[1024] ^= 1;
    check(&flipped, "x.tar has a header with a wrong checksum after the member first");
    flipped[0] ^= 1;
    check(&flipped, "x.tar is not a tar archive");
    let mut huge = member(b"huge", EntryType::Regular, b"", 0);
    huge.set_size(u64::MAX);
    huge.set_cksum();
    check(&[&good[..1024], huge.as_bytes()].concat(), "x.tar has a malformed header in the member huge");
    // A name that would exhaust the memory.
    let long = member(b"././@LongLink", EntryType::GNULongName, b"", 1 << 40);
    check(
        &[&good[..1024], long.as_bytes()].concat(),
        "x.tar has a malformed header after the member first",
    );
    for (magic, by) in [
        (&b"\x1f\x8b\x08"[..], "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\0\0", "xz"),
        (b"BZh9", "bzip2"),
    ] {
        check(magic, &format!("x.tar is compressed with {by}"));
    }
}

/// An endless stream that counts the bytes that are read.
struct Endless {
    start: Vec<u8>,
    read: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in buffer.iter_mut() {
            *byte = self.start.get(self.read).copied().unwrap_or(1);
            self.read += 1;
        }
        Ok(buffer.len())
    }
}

#[test]
fn a_bomb_is_stopped_before_it_is_read() {
    let members = [file("a", b"12345"), file("b", b"12345"), other("c", b'1', "a")];
    let bytes = archive(&members);
    assert_eq!(wrong(&bytes, Some(15)), [""; 0]);
    // A hard link is as large as its target.
    assert_eq!(wrong(&bytes, Some(14)), ["x.tar holds more than 14 B: stopped at the member c"]);
    assert_eq!(wrong(&bytes, Some(9)), ["x.tar holds more than 9 B: stopped at the member b"]);
    assert_eq!(wrong(&bytes, Some(0)), ["x.tar holds more than 0 B: stopped at the member a"]);
    // The limit applies to members of any type, with any path.
    let mut hole = member(b"../bomb", EntryType::GNUSparse, b"", 0);
    hole.as_gnu_mut().unwrap().set_real_size(1 << 50);
    hole.set_cksum();
    let kinds = [EntryType::Regular, EntryType::Directory, EntryType::Fifo];
    let large = kinds.map(|kind| member(b"../bomb", kind, b"", 1 << 50));
    for start in large.iter().chain([&hole]) {
        let start = start.as_bytes().to_vec();
        let mut endless = Endless { start, read: 0 };
        let found =
            read(&mut endless, "-", Plan::builder(), (Some(1 << 30), &Part::default()), &mut Memory);
        assert_eq!(
            found.unwrap_err().to_string(),
            "- holds more than 1.0 GiB: stopped at the member ../bomb"
        );
        assert!(endless.read < 1 << 20, "{}", endless.read);
    }
}

/// Returns a sparse file of GNU's own type, from offset and length of each part.
fn old_sparse(path: &str, size: u64, parts: &[(u64, u64)]) -> Vec<u8> {
    let stored: u64 = parts.iter().map(|(_, length)| length).sum();
    let mut header = member(path.as_bytes(), EntryType::GNUSparse, b"", stored);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(size);
    let (first, rest) = parts.split_at(parts.len().min(4));
    let set = |headers: &mut [::tar::GnuSparseHeader], parts: &[(u64, u64)]| {
        for (header, (start, length)) in headers.iter_mut().zip(parts) {
            header.set_offset(*start);
            header.set_length(*length);
        }
    };
    set(&mut gnu.sparse, first);
    gnu.set_is_extended(!rest.is_empty());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    for more in rest.chunks(21) {
        let mut block = ::tar::GnuExtSparseHeader::new();
        set(block.sparse_mut(), more);
        block.set_is_extended(!std::ptr::eq(more.as_ptr_range().end, rest.as_ptr_range().end));
        bytes.extend(block.as_bytes());
    }
    bytes.extend(vec![b'x'; stored.next_multiple_of(512) as usize]);
    bytes
}

const END: [u8; 1024] = [0; 1024];

#[test]
fn holes_count_as_bytes() {
    let sparse = |size, parts: &[_]| [old_sparse("s", size, parts), END.to_vec()].concat();
    let parts: Vec<(u64, u64)> = (0..60).map(|n| (n * 2000, 512)).collect();
    for count in [0, 1, 4, 5, 25, 26, 60] {
        let bytes = sparse(200_000, &parts[..count]);
        assert_eq!(read_with(&bytes, Some(200_000)).unwrap().files(), 1, "{count}");
        assert_eq!(
            wrong(&bytes, Some(199_999)),
            ["x.tar holds more than 195.3 KiB: stopped at the member s"],
            "{count}"
        );
    }
    let most = sparse((1 << 40) + 513, &[(0, 512)]);
    assert_eq!(wrong(&most, None), ["x.tar holds more than 1.0 TiB: stopped at the member s"]);
    for bad in [sparse(100, &[(0, 512)]), sparse(9000, &[(600, 512), (0, 512)])] {
        assert_eq!(wrong(&bad, None), ["x.tar has a malformed header in the member s"]);
    }
    let short = [(0, 512), (600, 512)];
    let bytes = sparse(2000, &short);
    let cut = bytes.len() - END.len() - 1;
    assert_eq!(wrong(&bytes[..cut], None), ["x.tar is cut short in the member s"]);
}

#[test]
fn hard_links_may_have_bytes() {
    let header = file("h", b"").0;
    let header: &[u8] = header.as_bytes();
    let link = |size| member(b"b", EntryType::Link, b"a", size);
    let lost = member(b"b", EntryType::Link, b"nowhere", 2);
    let extended = || (member(b"pax", EntryType::XHeader, b"", 11), &b"11 mtime=5\n"[..]);
    let first = || file("a", b"1234");
    let last = || file("c", b"c");
    let check = |members: &[(Header, &[u8])], files: usize| {
        let bytes = archive(members);
        assert_eq!(wrong(&bytes, None), [""; 0]);
        assert_eq!(read_with(&bytes, None).unwrap().files(), files);
    };
    check(&[first(), (link(4), b"1234"), last()], 3);
    check(&[first(), (lost, b"zz"), last()], 3);
    // A size without bytes, as in old formats: before another member, and at the end.
    check(&[first(), (link(4), b""), last()], 3);
    check(&[first(), (link(4), b"")], 2);
    // Bytes that look like a header, or like the end; only the format shows that they are neither.
    check(&[first(), extended(), (link(512), header), last()], 3);
    check(&[first(), extended(), (link(1024), &END), last()], 3);
    let bytes = archive(&[first(), (link(1024), &END), last()]);
    assert_eq!(wrong(&bytes, None), ["x.tar continues after the end marker after the member b"]);
    let bytes = archive(&[first(), (link(4), b"1234"), last()]);
    assert_eq!(wrong(&bytes, Some(7)), ["x.tar holds more than 7 B: stopped at the member b"]);
}

/// Reads all members: path, kind and bytes of each.
fn members(bytes: &[u8]) -> Vec<(String, Kind, Vec<u8>)> {
    let mut input = bytes;
    let mut archive = Archive::new(&mut input, "x.tar", None);
    let mut all = Vec::new();
    while let Some(member) = archive.next().unwrap() {
        let mut content = Vec::new();
        archive.bytes().read_to_end(&mut content).unwrap();
        all.push((String::from_utf8(member.path).unwrap(), member.kind, content));
    }
    all
}

/// Returns an extended header with one or more records.
fn records(kind: EntryType, text: &'static [u8]) -> (Header, &'static [u8]) {
    (member(b"pax", kind, b"", text.len() as u64), text)
}

fn plain(path: &str, mtime_secs: u64, bytes: &[u8]) -> (String, Kind, Vec<u8>) {
    let mtime = std::time::UNIX_EPOCH + std::time::Duration::from_secs(mtime_secs);
    (path.to_owned(), Kind::File { executable: false, mtime }, bytes.to_vec())
}

#[test]
fn a_global_header_holds_for_members_that_say_nothing_themselves() {
    let bytes = archive(&[
        file("before", b"0"),
        records(EntryType::XGlobalHeader, b"11 mtime=5\n"),
        file("a", b"1"),
        records(EntryType::XHeader, b"11 mtime=7\n"),
        file("b", b"2"),
        // Fields that the header does not name stay unchanged.
        records(EntryType::XGlobalHeader, b"17 comment=later\n"),
        file("c", b"3"),
        records(EntryType::XGlobalHeader, b"11 mtime=9\n"),
        file("d", b"4"),
    ]);
    let expected = [
        plain("before", 1_000, b"0"),
        plain("a", 5, b"1"),
        plain("b", 7, b"2"),
        plain("c", 5, b"3"),
        plain("d", 9, b"4"),
    ];
    assert_eq!(members(&bytes), expected);
}

#[test]
fn an_extended_header_beats_the_header() {
    let empty = member(b"a", EntryType::Regular, b"", 0);
    let bytes =
        archive(&[records(EntryType::XHeader, b"9 size=4\n9 path=b\n"), (empty, b"1234"), file("c", b"5")]);
    assert_eq!(members(&bytes), [plain("b", 1_000, b"1234"), plain("c", 1_000, b"5")]);
    let bytes = archive(&[records(EntryType::XHeader, b"14 linkpath=b\n"), other("a", b'2', "c")]);
    assert_eq!(members(&bytes)[0].1, Kind::Symlink(b"b".to_vec()));
}

#[test]
fn old_and_odd_members_are_what_they_stand_for() {
    let mut signed = member("\u{e9}".as_bytes(), EntryType::Regular, b"", 0);
    let summed = signed.as_bytes().iter().enumerate();
    let summed = summed.map(|(at, byte)| if (148..156).contains(&at) { b' ' as i8 } else { *byte as i8 });
    let sum: i64 = summed.map(i64::from).sum();
    signed.as_old_mut().cksum.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tool = member(b"tool", EntryType::Regular, b"", 0);
    tool.set_mode(0o101);
    tool.set_cksum();
    let mut others_tool = member(b"others", EntryType::Regular, b"", 0);
    others_tool.set_mode(0o655);
    others_tool.set_cksum();
    let bytes = archive(&[
        (member(b"tape", EntryType::new(b'V'), b"", 0), b""),
        (member(b"contiguous", EntryType::Continuous, b"", 2), b"12"),
        other("folder/", b'0', ""),
        (signed, b""),
        (tool, b""),
        (others_tool, b""),
    ]);
    let found = members(&bytes);
    let names: Vec<&str> = found.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(names, ["contiguous", "folder/", "\u{e9}", "tool", "others"]);
    assert_eq!(found[0], plain("contiguous", 1_000, b"12"));
    assert_eq!(found[1].1, Kind::Dir);
    let executable = |nth: usize| matches!(found[nth].1, Kind::File { executable: true, .. });
    assert!(executable(3) && !executable(4), "the owner's bit counts");
}

/// An endless stream of headers: names of a member that never comes.
struct Names {
    block: Vec<u8>,
    read: u64,
}

impl Read for Names {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let at = (self.read % self.block.len() as u64) as usize;
        let size = buffer.len().min(self.block.len() - at);
        buffer[..size].copy_from_slice(&self.block[at..at + size]);
        self.read += size as u64;
        Ok(size)
    }
}

#[test]
fn an_archive_of_headers_ends() {
    let start = member(b"././@LongLink", EntryType::GNULongName, b"", 1 << 20).as_bytes().to_vec();
    let mut names = Names { block: [start, vec![0; 1 << 20]].concat(), read: 0 };
    let found = read(&mut names, "-", Plan::builder(), (Some(1), &Part::default()), &mut Memory);
    assert_eq!(found.unwrap_err().to_string(), "- has too many headers before its first member");
    assert!(names.read < (1 << 30) + (1 << 20), "{}", names.read);
}

fn sample() -> Vec<u8> {
    let rest = archive(&[
        (member(b"pax_global_header", EntryType::XGlobalHeader, b"", 16), b"16 comment=1f3a\n"),
        other("./", b'5', ""),
        file("./css/site.css", b"body {}"),
        file("page", &[b'x'; 1500]),
        other("latest", b'2', "css/site.css"),
        other("same", b'1', "page"),
        (member(b"pax", EntryType::XHeader, b"", 30), b"30 mtime=1700000000.123456789\n"),
        file("timed", b"t"),
        (member(b"././@LongLink", EntryType::GNULongName, b"", 5), b"long\0"),
        file("short", b""),
        (member(b"pax", EntryType::XHeader, b"", 47), b"22 GNU.sparse.major=1\n25 GNU.sparse.realsize=9\n"),
        (member(b"map", EntryType::Regular, b"", 512 + 3), &MAP),
    ]);
    [old_sparse("holes", 3000, &[(0, 512), (1024, 3)]), rest].concat()
}

/// One part of three bytes, in the middle, before the bytes themselves.
const MAP: [u8; 515] = {
    let mut map = [0; 515];
    let text = b"1\n3\n3\n";
    let mut at = 0;
    while at < text.len() {
        map[at] = text[at];
        at += 1;
    }
    map
};

#[test]
fn the_sample_is_whole() {
    assert_eq!(wrong(&sample(), None), [""; 0]);
    assert_eq!(read_with(&sample(), None).unwrap().files(), 7);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn an_archive_that_is_cut_gives_no_plan(cut in 0usize..10_000) {
        let bytes = sample();
        let end = bytes.len() - 512;
        let cut = cut % bytes.len();
        let found = wrong(&bytes[..cut], None);
        prop_assert_eq!(found.is_empty(), cut >= end, "{} of {}: {:?}", cut, bytes.len(), found);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert!(!wrong(&bytes, None).is_empty());
    }

    #[test]
    fn no_change_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        mend in any::<bool>(),
    ) {
        let mut bytes = sample();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if mend {
                // Corrects the checksum, so that the change gets past it.
                let start = at / 512 * 512;
                let mut header = Header::new_old();
                header.as_mut_bytes().copy_from_slice(&bytes[start..start + 512]);
                header.set_cksum();
                bytes[start..start + 512].copy_from_slice(header.as_bytes());
            }
        }
        for message in wrong(&bytes, Some(1 << 20)) {
            prop_assert!(!message.contains('\n'), "{}", message);
        }
    }
}
