//! From a path in a source to the module that it leads to.

use std::collections::{BTreeMap, BTreeSet};

use crate::Module;

/// Names that a file has imported, and the paths that they stand for.
pub(crate) type Names = BTreeMap<String, Vec<String>>;

/// Finds the module of this crate that holds what a path names; `None` for another crate's.
pub(crate) fn resolve(
    from: &Module,
    path: &[String],
    names: &Names,
    modules: &BTreeSet<Module>,
) -> Option<Module> {
    let absolute = absolute(from, path, names, modules)?;
    // The longest beginning that is a module; what follows are items of it.
    (0..=absolute.len()).rev().map(|end| absolute[..end].to_vec()).find(|path| modules.contains(path))
}

fn absolute(
    from: &Module,
    path: &[String],
    names: &Names,
    modules: &BTreeSet<Module>,
) -> Option<Vec<String>> {
    let (first, rest) = path.split_first()?;
    let below = |base: &[String], rest: &[String]| base.iter().chain(rest).cloned().collect::<Vec<_>>();
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some(below(from, rest)),
        "super" => {
            let mut base = from.clone();
            base.pop()?;
            match rest.first().is_some_and(|next| next == "super") {
                true => absolute(&base, rest, names, modules),
                false => Some(below(&base, rest)),
            }
        }
        name => {
            if modules.contains(&below(from, &[name.to_owned()])) {
                return Some(below(from, path));
            }
            let imported = names.get(name).filter(|imported| imported.first() != Some(first))?;
            absolute(from, &below(imported, rest), names, modules)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(path: &str) -> Vec<String> {
        path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn paths_lead_to_modules() {
        let modules: BTreeSet<Module> = ["", "fs", "fs::dir", "fs::dir::deep", "gc"].map(split).into();
        let names = Names::from([("dir".to_owned(), split("crate::fs::dir"))]);
        let check = |from: &str, path: &str, expected: Option<&str>| {
            let found = resolve(&split(from), &split(path), &names, &modules);
            assert_eq!(found, expected.map(split), "{from}: {path}");
        };
        check("gc", "crate::fs::dir::Dir", Some("fs::dir"));
        check("gc", "crate::Error", Some(""));
        check("gc", "std::fs::File", None);
        check("gc", "dir::Dir", Some("fs::dir"));
        check("fs", "dir::Dir::open", Some("fs::dir"));
        check("fs::dir", "super::Kind", Some("fs"));
        check("fs::dir::deep", "super::super::Kind", Some("fs"));
        check("fs::dir", "self::deep::x", Some("fs::dir::deep"));
        check("gc", "super::fs::Kind", Some("fs"));
    }
}
