//! Fuzz targets as an ordinary test: each runs its kept corpus, and a fixed number of inputs made of it.
//!
//! Without coverage this finds less than `scripts/fuzz`. It takes seconds, and the inputs are always the same.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::chance::Chance;

/// The longest input that is made.
const LONGEST: usize = 1 << 16;
/// Bytes that parsers treat in their own ways.
const BYTES: [u8; 16] = *b"\0\x01\n\r \"\\/.-=09\x7f\x80\xff";

/// A function that takes the bytes of an input, and panics if a property does not hold.
type Target = fn(&[u8]);

/// Runs each target with the files of `fuzz/corpus/TARGET`, and with `count` inputs made of them.
///
/// # Panics
/// If a target panics, with its input. If a target has no corpus.
pub fn replay(targets: &[(&str, Target)], count: u64) {
    for (name, target) in targets {
        let corpus = corpus(name);
        let run = |bytes: &[u8]| {
            if catch_unwind(AssertUnwindSafe(|| target(bytes))).is_err() {
                panic!("the target {name} fails with b\"{}\"", bytes.escape_ascii());
            }
        };
        corpus.iter().for_each(|bytes| run(bytes));
        let mut chance = Chance::new(1);
        for _ in 0..count {
            run(&changed(&mut chance, &corpus));
        }
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&dir).unwrap_or_else(|e| panic!("the corpus of {target}: {e}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "the corpus of {target} is empty");
    paths.iter().map(|path| fs::read(path).expect("read an input")).collect()
}

/// Makes an input of one of the corpus by a few changes.
fn changed(chance: &mut Chance, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = chance.choose(corpus).clone();
    for _ in 0..1 + chance.below(4) {
        change(chance, &mut bytes, corpus);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(chance: &mut Chance, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let (start, end) = part(chance, bytes);
    match chance.below(8) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(start) {
                *byte ^= 1 << chance.below(8);
            }
        }
        2 | 3 => {
            if let Some(byte) = bytes.get_mut(start) {
                *byte = *chance.choose(&BYTES);
            }
        }
        4 => drop(bytes.drain(start..end)),
        5 => {
            let again = bytes[start..end].to_vec();
            drop(bytes.splice(start..start, again));
        }
        6 => bytes.truncate(start),
        _ => {
            let other = chance.choose(corpus);
            let (from, to) = part(chance, other);
            drop(bytes.splice(start..start, other[from..to].iter().copied()));
        }
    }
}

/// Chooses a part. Most are short.
fn part(chance: &mut Chance, bytes: &[u8]) -> (usize, usize) {
    let start = chance.below(bytes.len() as u64 + 1);
    let longest = if chance.once_in(4) { bytes.len() as u64 } else { 16 };
    let end = (start + chance.below(longest + 1)).min(bytes.len() as u64);
    (start as usize, end as usize)
}
