//! Precision of mtimes: filesystems round them to a grain and clamp them to a range.
//!
//! The grain of a filesystem is derived from the ctime of the same inode. No program can set a ctime,
//! so if it has no fraction of a second, the filesystem keeps none. A filesystem that keeps nanoseconds
//! writes a ctime without a fraction once in a thousand million changes.

use super::tree::Mtime;

/// Grains in nanoseconds. SMB and NTFS have 100 ns, exFAT has 10 ms, ext4 with inodes of 128 bytes,
/// HFS+ and squashfs have one second.
const GRAINS: [i128; 8] = [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
/// FAT has two seconds, and one field for mtime and ctime.
const FAT_GRAIN: i128 = 2_000_000_000;

/// The earliest seconds that filesystems can store: NTFS, HFS, signed 32 bits, unsigned 32 bits.
const FIRST: [i64; 4] = [-11_644_473_600, -2_082_844_800, i32::MIN as i64, 0];
/// The latest seconds: signed 32 bits, HFS, unsigned 32 bits, ext4, xfs, NTFS.
const LAST: [i64; 6] =
    [i32::MAX as i64, 2_212_122_495, u32::MAX as i64, 15_032_385_535, 16_299_260_424, 910_692_730_085];

/// FAT and exFAT store 1980 to 2107, in the time zone that the system assumes.
const DOS: [i64; 2] = [315_532_800, 4_354_819_199];
const DOS_ZONE: u64 = 14 * 3600;

/// Returns whether the mtime of an inode with the times `found` and `ctime` may have been set to `set`.
pub(crate) fn is_kept_as(set: Mtime, found: Mtime, ctime: Mtime) -> bool {
    if set == found {
        return true;
    }
    let nanos = |time: Mtime| i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos);
    let is_cut_to = |grain: i128| nanos(set).div_euclid(grain) * grain == nanos(found);
    is_clamped(set.secs, found.secs)
        || GRAINS.iter().any(|grain| nanos(ctime) % grain == 0 && is_cut_to(*grain))
        || (ctime == found && is_cut_to(FAT_GRAIN))
}

fn is_clamped(set: i64, found: i64) -> bool {
    let [dos_first, dos_last] = DOS;
    let is_near = |bound: i64| found.abs_diff(bound) <= DOS_ZONE;
    let below = FIRST.contains(&found) || is_near(dos_first);
    let above = LAST.contains(&found) || is_near(dos_last);
    (set < found && below) || (set > found && above)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64, nanos: u32) -> Mtime {
        Mtime { secs, nanos }
    }

    #[test]
    fn an_mtime_is_known_again_at_the_grain_of_its_filesystem() {
        let check = |set, found, ctime, same| {
            assert_eq!(is_kept_as(set, found, ctime), same, "{set:?} {found:?} {ctime:?}");
        };
        let (fine, tenths, whole, fat) = (at(9, 123_456_789), at(9, 123_456_700), at(8, 0), at(6, 0));
        let set = at(7, 123_456_789);
        for ctime in [fine, tenths, whole, fat] {
            check(set, set, ctime, true);
            // Never another second.
            check(set, at(8, 0), ctime, false);
            check(set, at(5, 0), ctime, false);
            // FAT stores every other second.
            check(set, at(6, 0), ctime, ctime == fat);
            check(set, at(7, 1), ctime, false);
            check(set, at(7, 123_456_788), ctime, false);
        }
        for (found, coarse_enough) in [
            (at(7, 123_456_700), &[tenths, whole, fat][..]),
            (at(7, 120_000_000), &[whole, fat]),
            (at(7, 0), &[whole, fat]),
        ] {
            for ctime in [fine, tenths, whole, fat] {
                check(set, found, ctime, coarse_enough.contains(&ctime));
            }
        }
        check(at(-7, 5), at(-7, 0), whole, true);
        check(at(-7, 5), at(-6, 0), whole, false);
    }

    #[test]
    fn an_mtime_out_of_range_is_known_again_at_the_end_of_the_range() {
        let check = |set, found, same| {
            assert_eq!(is_kept_as(at(set, 5), at(found, 0), at(9, 1)), same, "{set} {found}");
        };
        check(-3_000_000_000, i64::from(i32::MIN), true);
        check(-3_000_000_000, 0, true);
        check(-1, 0, true);
        check(1, 0, false);
        check(3_000_000_000, i64::from(i32::MAX), true);
        check(2_000_000_000, i64::from(i32::MAX), false);
        check(20_000_000_000, 15_032_385_535, true);
        check(20_000_000_000, 15_032_385_536, false);
        check(1, 315_532_800 - 7200, true);
        check(5_000_000_000, 4_354_819_198 + 7200, true);
        check(i64::MAX, 0, false);
        check(i64::MIN, i64::MAX, false);
    }
}
