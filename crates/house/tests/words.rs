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
#[allow(clippy::disallowed_methods, reason = "tests make files")]
fn texts_of_a_store_are_not_the_projects() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("with-a-store");
    let tree = folder.join("genstore/generations/1/tree");
    fs::create_dir_all(&tree).unwrap();
    for path in [folder.join("README.md"), tree.join("README.md"), folder.join("genstore/format")] {
        fs::write(path, "text").unwrap();
    }
    assert_eq!(texts(&folder), [Path::new("README.md")]);
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
