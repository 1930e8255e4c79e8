//! Integers in little-endian order, as all binary files of the store have them.

/// Returns the u64 at a position.
///
/// # Panics
/// If it is not within `bytes`.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..].as_chunks().0[0])
}

/// Returns the u32 at a position.
///
/// # Panics
/// If it is not within `bytes`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..].as_chunks().0[0])
}
