//! The English of the sources and documents, held to STYLE.md: `cargo nextest run -p genstore-house --test
//! words`.

use std::fs;
use std::path::{Path, PathBuf};

use genstore_house::{findings, texts};

/// Files that quote bad English as examples.
const EXAMPLES: &[&str] = &["STYLE.md", "crates/house/src/words.rs"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

#[test]
fn the_words_are_plain() {
    let mut found: Vec<String> = vec![];
    for path in texts(&workspace()) {
        if EXAMPLES.iter().any(|example| path == Path::new(example)) {
            continue;
        }
        let text = fs::read_to_string(workspace().join(&path)).unwrap();
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        let places = findings(&ending, &text).into_iter();
        found
            .extend(places.map(|finding| format!("{}:{}: {}", path.display(), finding.line, finding.text)));
    }
    assert!(found.is_empty(), "see STYLE.md: {found:#?}");
}
