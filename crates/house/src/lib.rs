//! Reads the sources of a crate: its files, what each imports, its functions, and where types have
//! methods. The rules that the sources keep stand in `tests/house.rs`.
//!
//! Dev only. Names are read as text: nothing is compiled, so a crate that does not build is read, too.

mod arrows;
mod items;
mod paths;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

pub use arrows::{circles, reached};
pub use items::Function;
pub use words::{Finding, findings};

use items::Items;

/// A file of Rust.
#[derive(Debug)]
pub struct SourceFile {
    /// Its path below the folder that was read.
    pub path: PathBuf,
    /// The number of its lines.
    pub lines: usize,
    /// Its functions, methods among them, also those of its tests.
    pub functions: Vec<Function>,
}

/// A module, by its path: `["fs", "dir"]`; the crate's root is the empty path.
pub type Module = Vec<String>;

/// The sources of a crate.
#[derive(Debug)]
pub struct Crate {
    /// Pairs of modules: the first imports the second. Tests are left out.
    pub arrows: BTreeSet<(Module, Module)>,
    /// The modules in which a type has methods: by the module that defines it, and its name.
    pub methods: BTreeMap<(Module, String), BTreeSet<Module>>,
    /// The modules, tests aside.
    pub modules: BTreeSet<Module>,
}

/// Reads the files below a folder, without those that are built or made up (`target`, `node_modules`).
///
/// # Panics
/// If a file cannot be read or parsed.
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
/// If a folder cannot be read.
pub fn sources(folder: &Path) -> Vec<PathBuf> {
    files(folder, |path| path.extension().is_some_and(|ending| ending == "rs"))
}

/// Lists the files below the workspace's folder that people read: Rust, Markdown, and the scripts. The
/// pages of the example site are data.
///
/// # Panics
/// If a folder cannot be read.
pub fn texts(workspace: &Path) -> Vec<PathBuf> {
    files(workspace, |path| {
        let is_text = path.extension().is_some_and(|ending| ending == "rs" || ending == "md");
        let is_script = path.parent() == Some(Path::new("scripts"));
        (is_text || is_script) && !path.starts_with("examples/site_compiler/site")
    })
}

/// Lists the files below a folder that are wanted, by their paths there, in order.
fn files(folder: &Path, is_wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let is_foreign =
        |name: &std::ffi::OsStr| ["target", "node_modules", ".git"].iter().any(|other| name == *other);
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    // The README's first command makes a store in the checkout, with a copy of the sources.
    let is_store = |path: &Path| path.join("format").symlink_metadata().is_ok();
    let entries = entries.filter_entry(|entry| !is_foreign(entry.file_name()) && !is_store(entry.path()));
    let entries = entries.map(|entry| entry.expect("a folder that can be read"));
    let files = entries.filter(|entry| !entry.file_type().is_dir());
    let paths = files.map(|file| file.path().strip_prefix(folder).expect("it is below").to_owned());
    paths.filter(|path| is_wanted(path)).collect()
}

fn parse(path: &Path, text: &str) -> syn::File {
    syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads a crate whose root is `lib.rs` of a folder. `programs` are files there that are roots of their
/// own and no modules.
///
/// # Panics
/// If a file cannot be read or parsed.
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
