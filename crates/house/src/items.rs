//! The items of a source file: paths, types, methods and functions.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, FnArg, Signature, UseTree};

use crate::paths::Names;

/// A function or a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line that it begins on.
    pub line: usize,
    /// From its first line to its last, attributes and comments before it aside.
    pub lines: usize,
    /// Without `self`.
    pub parameters: usize,
}

/// The items of a file without its tests.
#[derive(Default)]
pub(crate) struct Items {
    /// Every path that is written out: of imports, types, calls, and in macros.
    pub(crate) paths: BTreeSet<Vec<String>>,
    pub(crate) names: Names,
    /// Types that are defined here.
    pub(crate) types: BTreeSet<String>,
    /// Types that have an `impl` block here.
    pub(crate) methods_of: BTreeSet<Vec<String>>,
    /// Modules in files of their own that are built for tests only.
    pub(crate) test_files: BTreeSet<String>,
    /// The number of enclosing modules within the file itself.
    depth: usize,
}

impl Items {
    pub(crate) fn read(file: &syn::File) -> Items {
        let mut items = Items::default();
        items.visit_file(file);
        items
    }

    fn import(&mut self, before: &[String], tree: &UseTree) {
        let path = |name: &syn::Ident| -> Vec<String> {
            before.iter().cloned().chain([name.to_string()]).collect()
        };
        match tree {
            UseTree::Path(tree) => self.import(&path(&tree.ident), &tree.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(before, tree)),
            UseTree::Glob(_) => self.add(before.to_vec()),
            UseTree::Name(name) if name.ident == "self" => {
                self.name(before.last().cloned().unwrap_or_default(), before.to_vec());
            }
            UseTree::Name(name) => self.name(name.ident.to_string(), path(&name.ident)),
            UseTree::Rename(name) => self.name(name.rename.to_string(), path(&name.ident)),
        }
    }

    fn name(&mut self, name: String, path: Vec<String>) {
        let path = self.seen_from_file(path);
        self.names.insert(name, path.clone());
        self.paths.insert(path);
    }

    fn add(&mut self, path: Vec<String>) {
        let path = self.seen_from_file(path);
        self.paths.insert(path);
    }

    /// A module in the file reaches the file itself by `super`.
    fn seen_from_file(&self, mut path: Vec<String>) -> Vec<String> {
        let above = path.iter().take(self.depth).take_while(|name| *name == "super").count();
        if above > 0 {
            path.drain(..above);
            if path.first().is_none_or(|name| name != "super") {
                path.insert(0, "self".to_owned());
            }
        }
        path
    }

    /// Finds paths in the tokens of a macro call.
    fn scan(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => path.push(ident.to_string()),
                TokenTree::Ident(ident) => {
                    self.end_path(&mut path);
                    path.push(ident.to_string());
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && colons < 2 => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.end_path(&mut path);
                    self.scan(group.stream());
                }
                _ => self.end_path(&mut path),
            }
            colons = 0;
        }
        self.end_path(&mut path);
    }

    fn end_path(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.add(path);
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let is_cfg_test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    };
    attributes.iter().any(is_cfg_test)
}

impl<'ast> Visit<'ast> for Items {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes: &[Attribute] = match item {
            syn::Item::Const(item) => &item.attrs,
            syn::Item::Enum(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Macro(item) => &item.attrs,
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Static(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            return visit::visit_item(self, item);
        }
        if let syn::Item::Mod(item) = item
            && item.content.is_none()
        {
            self.test_files.insert(item.ident.to_string());
        }
    }

    fn visit_impl_item_fn(&mut self, method: &'ast syn::ImplItemFn) {
        if !is_for_tests(&method.attrs) {
            visit::visit_impl_item_fn(self, method);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.depth += 1;
        visit::visit_item_mod(self, item);
        self.depth -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&[], &item.tree);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.types.insert(item.ident.to_string());
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.types.insert(item.ident.to_string());
        visit::visit_item_enum(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let (None, syn::Type::Path(of)) = (&item.trait_, &*item.self_ty) {
            self.methods_of.insert(segments(&of.path));
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(crate)` is no import.
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        // A path of one name is defined here, or imported by a `use`.
        if path.segments.len() > 1 {
            self.add(segments(path));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.scan(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        // A path in a comment is no import.
        if let (syn::Meta::List(list), false) = (&attribute.meta, attribute.path().is_ident("doc")) {
            self.scan(list.tokens.clone());
        }
    }
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// Lists the functions of a file, also those of its tests.
pub(crate) fn functions(file: &syn::File) -> Vec<Function> {
    let mut found = Functions(vec![]);
    found.visit_file(file);
    found.0
}

struct Functions(Vec<Function>);

impl Functions {
    fn add(&mut self, signature: &Signature, end: proc_macro2::Span) {
        let line = signature.span().start().line;
        let parameters = signature.inputs.iter().filter(|input| matches!(input, FnArg::Typed(_))).count();
        let lines = end.end().line - line + 1;
        self.0.push(Function { name: signature.ident.to_string(), line, lines, parameters });
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, item.block.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, item.block.span());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.add(&item.sig, item.span());
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> Items {
        Items::read(&syn::parse_file(text).unwrap())
    }

    fn paths(text: &str) -> Vec<String> {
        items(text).paths.iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn paths_are_found_wherever_they_stand() {
        let check = |text: &str, expected: &[&str]| assert_eq!(paths(text), expected, "{text}");
        check(
            "use crate::{a, b::{self, C as D}, e::*};",
            &["crate::a", "crate::b", "crate::b::C", "crate::e"],
        );
        check(
            "fn f(x: crate::A) -> b::B { c::d(x); e!(g::h, \"i::j\") }",
            &["b::B", "c::d", "crate::A", "g::h"],
        );
        check(
            "mod a { use super::B; use super::super::c; mod d { use super::super::E; } }",
            &["self::B", "self::E", "super::c"],
        );
        check("pub(crate) struct A; pub(in crate::a) struct B(pub(super) u8);", &[]);
        check("#[arg(parser = crate::a::b())] struct A;", &["crate::a::b"]);
        check("/// See [`crate::a::b`].\nstruct A;", &[]);
        check("#[cfg(test)] mod tests { use crate::a; }", &[]);
        check("#[cfg(test)] use crate::a; impl A { #[cfg(test)] fn f() { b::c(); } }", &[]);
        check("verbs! { A = a, \"a\"; x::y B }", &["x::y"]);
    }

    #[test]
    fn types_and_their_methods_are_found() {
        let items =
            items("struct A; enum B {} impl A {} impl x::C<'_> {} impl D for A {} #[cfg(test)] mod t;");
        assert_eq!(items.types.iter().collect::<Vec<_>>(), ["A", "B"]);
        let of: Vec<String> = items.methods_of.iter().map(|path| path.join("::")).collect();
        assert_eq!(of, ["A", "x::C"]);
        assert_eq!(items.test_files.iter().collect::<Vec<_>>(), ["t"]);
    }

    #[test]
    fn functions_have_lines_and_parameters() {
        let text =
            "/// Does.\nfn a(b: u8, c: u8) {\n}\nimpl D {\n  fn e(&self, f: u8) {\n  fn g() {}\n }\n}";
        let found = functions(&syn::parse_file(text).unwrap());
        let found: Vec<_> = found.iter().map(|f| (&*f.name, f.line, f.lines, f.parameters)).collect();
        assert_eq!(found, [("a", 2, 2, 2), ("e", 5, 3, 1), ("g", 6, 1, 0)]);
    }
}
