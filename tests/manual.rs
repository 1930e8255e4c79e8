//! The manual pages: they are up to date, and the programs that show them find nothing wrong.

use crate::book::generated;
use crate::prelude::*;

/// The folder of the pages.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man")
}

/// Returns the names of the pages.
fn names() -> BTreeSet<String> {
    let entries = fs::read_dir(folder()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_manual_pages_are_up_to_date() {
    let pages = genstore_cli::manual::all();
    for (name, text) in &pages {
        generated(&format!("docs/man/{name}"), text);
    }
    assert_eq!(names(), pages.into_iter().map(|(name, _)| name).collect());
}

#[test]
fn the_programs_that_show_manual_pages_find_nothing_wrong() {
    needs!(has_program("mandoc") && has_program("groff"));
    let silent = |program: &str, arguments: &[&str]| {
        let done =
            Command::new(program).args(arguments).args(names()).current_dir(folder()).output().unwrap();
        let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(done.status.success() && said == ["", ""], "{program}: {said:?}");
    };
    silent("mandoc", &["-Tlint", "-Wwarning"]);
    silent("groff", &["-ww", "-b", "-z", "-man", "-Tutf8"]);
}

#[test]
fn a_page_has_what_a_reader_searches() {
    needs!(has_program("mandoc"));
    let shown =
        Command::new("mandoc").args(["-Tascii", "genstore-publish.1"]).current_dir(folder()).output();
    let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
    // A letter that is printed twice is bold.
    let mut text = String::new();
    for c in shown.chars() {
        match c {
            '\u{8}' => text.truncate(text.len() - 1),
            _ => text.push(c),
        }
    }
    for part in
        ["NAME", "SYNOPSIS", "OPTIONS", "EXAMPLES", "genstore publish dist -n", "SEE ALSO", "genstore(1)"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}
