//! Reads the sources of a crate: its files, what each imports, its functions, and where types have
//! methods. The rules that the sources keep stand in `tests/house.rs`.
//!
//! Dev only. Names are read as text: nothing is compiled, so a crate that does not build is read, too.

mod arrows;
mod items;
mod paths;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

pub use arrows::{circles, reached};
pub use items::Function;

use items::Items;

/// A file of Rust.
#[derive(Debug)]
pub struct SourceFile {
    /// Its path below the folder that was read.
    pub path: PathBuf,
    /// How many lines it has.
    pub lines: usize,
    /// Its functions, methods among them, also those of its tests.
    pub functions: Vec<Function>,
}

/// A module, by its path: `["fs", "dir"]`; the crate's root is the empty path.
pub type Module = Vec<String>;

/// The sources of a crate.
#[derive(Debug)]
pub struct Crate {
    /// Which module imports which, tests aside.
    pub arrows: BTreeSet<(Module, Module)>,
    /// The modules in which a type has methods: by the module that defines it, and its name.
    pub methods: BTreeMap<(Module, String), BTreeSet<Module>>,
    /// The modules, tests aside.
    pub modules: BTreeSet<Module>,
}

/// Reads the files below a folder, without those that are built or made up (`target`, `node_modules`).
///
/// # Panics
/// Where a file cannot be read or parsed.
pub fn read_files(folder: &Path) -> Vec<SourceFile> {
    let file = |path: PathBuf| {
        let text = fs::read_to_string(folder.join(&path)).expect("a file of text");
        let functions = items::functions(&parse(&path, &text));
        SourceFile { lines: text.lines().count(), path, functions }
    };
    sources(folder).into_iter().map(file).collect()
}

/// Lists the files of Rust below a folder, by their paths there.
///
/// # Panics
/// Where a folder cannot be read.
pub fn sources(folder: &Path) -> Vec<PathBuf> {
    let is_built = |name: &std::ffi::OsStr| ["target", "node_modules"].iter().any(|other| name == *other);
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    let entries = entries.filter_entry(|entry| !is_built(entry.file_name()));
    let paths = entries.map(|entry| entry.expect("a folder that can be read").into_path());
    let sources = paths.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    sources.map(|path| path.strip_prefix(folder).expect("it is below").to_owned()).collect()
}

fn parse(path: &Path, text: &str) -> syn::File {
    syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads a crate whose root is `lib.rs` of a folder. `programs` are files there that are roots of their
/// own and no modules.
///
/// # Panics
/// Where a file cannot be read or parsed.
pub fn read_crate(folder: &Path, programs: &[&str]) -> Crate {
    let mut parsed: BTreeMap<Module, Items> = BTreeMap::new();
    for path in sources(folder) {
        if programs.iter().any(|program| path == Path::new(program)) {
            continue;
        }
        let text = fs::read_to_string(folder.join(&path)).expect("a file of text");
        parsed.insert(module_of(&path), Items::read(&parse(&path, &text)));
    }
    let tests: BTreeSet<Module> = parsed
        .iter()
        .flat_map(|(module, items)| items.test_files.iter().map(|name| child(module, name)))
        .collect();
    // A test is declared by a path as well, beside the file that it is about.
    let is_test = |module: &Module| {
        tests.contains(module) || module.last().is_some_and(|name| name.ends_with("_tests"))
    };
    parsed.retain(|module, _| !is_test(module));
    let modules: BTreeSet<Module> = parsed.keys().cloned().collect();
    let mut arrows = BTreeSet::new();
    for (module, items) in &parsed {
        for path in &items.paths {
            let target = paths::resolve(module, path, &items.names, &modules);
            arrows.extend(target.filter(|target| target != module).map(|target| (module.clone(), target)));
        }
    }
    Crate { arrows, methods: methods(&parsed, &modules), modules }
}

fn module_of(path: &Path) -> Module {
    let mut module: Module =
        path.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|name| ["mod", "lib"].contains(&&**name)) {
        module.pop();
    }
    module
}

fn child(module: &Module, name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// Finds the modules in which each type has methods of its own.
fn methods(
    parsed: &BTreeMap<Module, Items>,
    modules: &BTreeSet<Module>,
) -> BTreeMap<(Module, String), BTreeSet<Module>> {
    let mut methods: BTreeMap<(Module, String), BTreeSet<Module>> = BTreeMap::new();
    for (module, items) in parsed {
        for path in &items.methods_of {
            let name = path.last().cloned().unwrap_or_default();
            let owner = match path.as_slice() {
                [name] if items.types.contains(name) => Some(module.clone()),
                _ => {
                    let named = paths::resolve(module, path, &items.names, modules);
                    let defines = |module: &Module| parsed[module].types.contains(&name);
                    // A facade passes on a name of a module below it.
                    named.filter(defines).or_else(|| only(parsed, &name))
                }
            };
            methods.entry((owner.unwrap_or_default(), name)).or_default().insert(module.clone());
        }
    }
    methods
}

/// Returns the module that defines a type; `None` where several have one of this name.
fn only(parsed: &BTreeMap<Module, Items>, name: &str) -> Option<Module> {
    let mut owners = parsed.iter().filter(|(_, items)| items.types.contains(name));
    let (first, more) = (owners.next(), owners.next());
    first.filter(|_| more.is_none()).map(|(module, _)| module.clone())
}
