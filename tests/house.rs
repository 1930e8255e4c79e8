//! The rules of the sources: floors, sizes, and that `store-layout.md` and the tests name the same things.
//!
//! Run it alone with `cargo nextest run -p genstore-house`. That builds only this test and the library that
//! reads the sources (`crates/house`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use genstore_house::{Crate, Module, circles, reached, read_crate, read_files, sources};

/// The limits of lines per file, lines per function, and parameters per function (without `self`).
const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 80;
const PARAMETERS: usize = 6;

/// The floors of a crate.
struct House {
    folder: &'static str,
    /// Files that are roots of their own.
    programs: &'static [&'static str],
    /// Folders and files at the top, the lowest first: each imports only what stands before it. The root
    /// (`lib.rs`) imports all of them, and nothing imports the root.
    floors: &'static str,
    /// Imports that break a rule today. There is no other upward import, and no other circle of files.
    present: &'static [&'static str],
}

const HOUSES: [House; 9] = [
    House {
        folder: "crates/cli",
        programs: &["main.rs", "testing.rs"],
        floors: "exit environment system probe examples topics text globals errors render project command inputs archives watching verbs completing args fuzz manual schemas",
        present: &[],
    },
    LIBRARY,
    House { folder: "crates/remote/src", programs: &[], floors: "", present: &[] },
    House { folder: "crates/run/src", programs: &[], floors: "", present: &[] },
    House { folder: "crates/serve/src", programs: &[], floors: "", present: &[] },
    House { folder: "crates/watch/src", programs: &[], floors: "", present: &[] },
    House { folder: "crates/simulator/src", programs: &[], floors: "", present: &[] },
    House { folder: "crates/testkit/src", programs: &[], floors: "", present: &[] },
    House { folder: "crates/torture/src", programs: &[], floors: "", present: &[] },
];

const LIBRARY: House = House {
    folder: "crates/genstore/src",
    programs: &[],
    floors: "threads model progress error warning publication fs parts plan check views change repair verbs store fuzz",
    present: &[],
};

/// Files and functions that are too large today.
const LARGE: &[&str] = &[];

/// Types that have methods in more than one folder today.
const SPREAD: &[&str] = &[];

/// Invariants that no test quotes yet.
const UNQUOTED: &[&str] = &[];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Compares the violations of a rule with the known ones.
#[track_caller]
fn check(rule: &str, found: &BTreeSet<String>, present: &[&str]) {
    let present: BTreeSet<String> = present.iter().map(|text| text.to_string()).collect();
    let new: Vec<_> = found.difference(&present).collect();
    assert!(new.is_empty(), "{rule}: {new:#?}");
    let stale: Vec<_> = present.difference(found).collect();
    assert!(stale.is_empty(), "{rule}: these hold by now, take them off the list: {stale:#?}");
}

fn name(module: &Module) -> String {
    if module.is_empty() { "lib".to_owned() } else { module.join("::") }
}

impl House {
    fn floors(&self) -> impl Iterator<Item = &str> {
        self.floors.split_whitespace()
    }

    fn read(&self) -> Crate {
        read_crate(&workspace().join(self.folder), self.programs)
    }

    /// Returns whether an import leads from a folder to one that is not below it.
    fn is_upward(&self, (from, to): &(Module, Module)) -> bool {
        let floor = |module: &Module| match module.first() {
            Some(top) => self.floors().position(|floor| floor == top),
            None => Some(self.floors().count()),
        };
        let is_within = from.first() == to.first() && !from.is_empty();
        !self.floors.is_empty() && !is_within && floor(from) <= floor(to)
    }
}

fn arrow_name((from, to): &(Module, Module)) -> String {
    format!("{} -> {}", name(from), name(to))
}

#[test]
fn no_import_leads_upwards_and_none_in_a_circle() {
    for house in &HOUSES {
        let read = house.read();
        let tops: BTreeSet<&String> = read.modules.iter().filter_map(|module| module.first()).collect();
        if !house.floors.is_empty() {
            let floors: BTreeSet<String> = house.floors().map(str::to_owned).collect();
            assert_eq!(tops, floors.iter().collect(), "{}: each stands on a floor", house.folder);
        }
        let (present, arrows): (BTreeSet<_>, BTreeSet<_>) =
            read.arrows.into_iter().partition(|arrow| house.present.contains(&&*arrow_name(arrow)));
        let upward: Vec<_> = arrows.iter().filter(|arrow| house.is_upward(arrow)).map(arrow_name).collect();
        assert!(upward.is_empty(), "{}: imports that lead upwards: {upward:#?}", house.folder);
        let circles: Vec<Vec<_>> = circles(&arrows).iter().map(|c| c.iter().map(name).collect()).collect();
        assert!(circles.is_empty(), "{}: circles: {circles:#?}", house.folder);
        let is_needed = |(from, to): &&(Module, Module)| {
            house.is_upward(&(from.clone(), to.clone())) || reached(to, &arrows).contains(from)
        };
        let needed: BTreeSet<String> = present.iter().filter(is_needed).map(arrow_name).collect();
        check(house.folder, &needed, house.present);
    }
}

#[test]
fn files_and_functions_are_small() {
    let mut found = BTreeSet::new();
    for folder in ["crates", "tests", "examples"] {
        for file in read_files(&workspace().join(folder)) {
            let path = Path::new(folder).join(&file.path);
            let path = path.display();
            if file.lines > FILE_LINES {
                found.insert(format!("{path}"));
            }
            for function in &file.functions {
                let name = &function.name;
                if function.lines > FUNCTION_LINES {
                    found.insert(format!("{path}: {name} is long"));
                }
                if function.parameters > PARAMETERS {
                    found.insert(format!("{path}: {name} has many parameters"));
                }
            }
        }
    }
    check("too large", &found, LARGE);
}

#[test]
fn the_methods_of_a_type_stand_in_one_folder() {
    let mut found = BTreeSet::new();
    for house in &HOUSES {
        let read = house.read();
        let has_folder = |module: &Module| {
            read.modules.iter().any(|other| other.len() > module.len() && other.starts_with(module))
        };
        // A module with submodules is in their folder.
        let folder = |module: &Module| match has_folder(module) {
            true => module.clone(),
            false => module[..module.len().saturating_sub(1)].to_vec(),
        };
        for ((_, name), modules) in &read.methods {
            let all: BTreeSet<Module> = modules.iter().map(folder).collect();
            // A folder and its subfolders are one place; the crate's root is no such folder.
            let is_below = |inner: &Module, outer: &Module| {
                !outer.is_empty() && inner.len() > outer.len() && inner.starts_with(outer)
            };
            let folders: BTreeSet<&Module> =
                all.iter().filter(|inner| !all.iter().any(|outer| is_below(inner, outer))).collect();
            if folders.len() > 1 {
                let folders: Vec<String> = folders.iter().map(|folder| self::name(folder)).collect();
                found.insert(format!("{}: {name} in {}", house.folder, folders.join(", ")));
            }
        }
    }
    check("methods in several folders", &found, SPREAD);
}

fn store_layout() -> String {
    fs::read_to_string(workspace().join("store-layout.md")).unwrap()
}

/// Finds `INV-1`, `INV-2`, … in a text.
fn invariants(text: &str, kind: &str) -> BTreeSet<String> {
    let number = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    let numbers = text.split(kind).skip(1).map(number).filter(|number| !number.is_empty());
    numbers.map(|number| format!("{kind}{number}")).collect()
}

/// Returns the part of a source that is tests.
fn tests_of(path: &Path, text: &str) -> String {
    let is_whole = path.iter().any(|part| part == "tests")
        || path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("_tests"));
    match text.find("#[cfg(test)]") {
        _ if is_whole => text.to_owned(),
        Some(at) => text[at..].to_owned(),
        None => String::new(),
    }
}

#[test]
fn each_invariant_is_quoted_by_a_test() {
    for (kind, file, count) in [("INV-", "store-layout.md", 18), ("RMT-", "remote-layout.md", 11)] {
        let mut quoted = BTreeSet::new();
        for folder in ["crates", "tests"] {
            let folder = workspace().join(folder);
            for path in sources(&folder).into_iter().filter(|path| path != Path::new("house.rs")) {
                let path = folder.join(path);
                quoted.extend(invariants(&tests_of(&path, &fs::read_to_string(&path).unwrap()), kind));
            }
        }
        let named = invariants(&fs::read_to_string(workspace().join(file)).unwrap(), kind);
        assert!(named.len() >= count, "{named:?}");
        let unknown: Vec<_> = quoted.difference(&named).collect();
        assert!(unknown.is_empty(), "{file} has no {unknown:?}");
        check("no test quotes it", &named.difference(&quoted).cloned().collect(), UNQUOTED);
    }
}

/// Finds the names of files and folders among the constants of the library's layout.
fn file_names(source: &str) -> BTreeSet<String> {
    let names = source.lines().filter(|line| line.contains("const ") && line.contains(": &[u8] = b\""));
    let name =
        |line: &str| line.split("b\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    names.filter_map(name).filter(|name| !name.contains([' ', '\\'])).collect()
}

/// Lists the words of code in a text: between backticks, and in blocks.
fn code_words(text: &str) -> BTreeSet<String> {
    let code = text.split('`').skip(1).step_by(2);
    let blocks = text.split("\n    ").skip(1).filter_map(|rest| rest.lines().next());
    let is_end = |c: char| c.is_whitespace() || "/,;:()|`".contains(c);
    code.chain(blocks).flat_map(|code| code.split(is_end)).map(str::to_owned).collect()
}

#[test]
fn each_file_of_a_store_is_explained() {
    let folder = workspace().join("crates/genstore/src");
    let layout = sources(&folder).into_iter().find(|path| path.ends_with("layout.rs")).unwrap();
    let names = file_names(&fs::read_to_string(folder.join(layout)).unwrap());
    assert!(names.len() > 20 && names.contains("manifest"), "{names:?}");
    let known = code_words(&store_layout());
    let parts = names.iter().flat_map(|name| name.split('/'));
    let unknown: Vec<&str> = parts.filter(|part| !known.contains(*part)).collect();
    assert!(unknown.is_empty(), "store-layout.md does not explain {unknown:?}");
}
