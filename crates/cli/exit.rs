//! The program's exit statuses (`genstore help` lists them).

pub(crate) const DONE: u8 = 0;
pub(crate) const FAILED: u8 = 1;
pub(crate) const DIFFERS: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const PARTLY: u8 = 3;
pub(crate) const DAMAGED: u8 = 4;
pub(crate) const REFUSED: u8 = 5;
pub(crate) const LOST: u8 = 6;
pub(crate) const NOT_A_STORE: u8 = 10;
pub(crate) const LOCKED: u8 = 11;
pub(crate) const NEWER_FORMAT: u8 = 12;
pub(crate) const DISTRUSTED: u8 = 13;
pub(crate) const EXEC_FAILED: u8 = 125;
pub(crate) const NOT_EXECUTABLE: u8 = 126;
pub(crate) const NOT_FOUND: u8 = 127;

/// Returns whether a status has a meaning of its own here, so that the same status of a command could be
/// mistaken for it.
pub(crate) fn is_own(status: u8) -> bool {
    matches!(status, USAGE..=LOST | NOT_A_STORE..=DISTRUSTED | 124..=NOT_FOUND | 130 | 143)
}
