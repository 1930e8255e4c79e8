//! The English of the sources and documents, held to STYLE.md: `cargo nextest run -p genstore-house --test
//! words`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use genstore_house::{findings, texts};

/// Folders whose files have not been rewritten yet, without the folders below them. A folder that is in
/// order by now must be taken off the list.
const UNSWEPT: &[&str] = &[];

/// Files that quote bad English as examples.
const EXAMPLES: &[&str] = &["STYLE.md", "crates/house/src/words.rs"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

#[test]
fn the_words_are_plain() {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in texts(&workspace()) {
        if EXAMPLES.iter().any(|example| path == Path::new(example)) {
            continue;
        }
        let text = fs::read_to_string(workspace().join(&path)).unwrap();
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        let folder = path.parent().unwrap().display().to_string();
        for finding in findings(&ending, &text) {
            let place = format!("{}:{}: {}", path.display(), finding.line, finding.text);
            found.entry(folder.clone()).or_default().push(place);
        }
    }
    let unswept: BTreeSet<&str> = UNSWEPT.iter().copied().collect();
    let new: Vec<_> = found.iter().filter(|(folder, _)| !unswept.contains(folder.as_str())).collect();
    assert!(new.is_empty(), "see STYLE.md: {new:#?}");
    let stale: Vec<_> = unswept.iter().filter(|folder| !found.contains_key(**folder)).collect();
    assert!(stale.is_empty(), "these are in order by now, take them off the list: {stale:#?}");
}
