//! The project's own tools: which of them walk into the store, the line that keeps each out, and views that
//! Node resolves to where its packages are not found.

#![allow(
    clippy::disallowed_methods,
    reason = "the files of tools are the project's and no part of a store"
)]

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde_json::Value;

use crate::text::escape::show;

/// A file of a tool is no longer than this.
const LONGEST: u64 = 1 << 20;

/// A tool that walks into the store, or reads what was published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) tool: &'static str,
    /// The file to change, below the project's root.
    pub(crate) file: PathBuf,
    /// Why.
    pub(crate) why: String,
    /// The exact line to add.
    pub(crate) line: String,
    pub(crate) fix: Fix,
}

/// The way in which this program can add the line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fix {
    /// By a person: the file is a program, or what is meant is not known.
    ByHand,
    /// To the end of a list of patterns, which may be missing.
    Append,
    /// To `exclude` of a tsconfig.
    Exclude,
    /// An empty file.
    Create,
}

/// A project, and its store.
pub(crate) struct Tools<'a> {
    root: &'a Path,
    /// The store below the root.
    store: String,
    names: Vec<String>,
}

impl<'a> Tools<'a> {
    /// Lists the files of a project; `None` where its store lies elsewhere, or is hidden from all tools.
    pub(crate) fn of(root: &'a Path, store: &Path) -> Option<Tools<'a>> {
        let store = store.strip_prefix(root).ok()?.to_str()?.to_owned();
        let entries = std::fs::read_dir(root).ok()?;
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        (!store.is_empty()).then_some(Tools { root, store, names })
    }

    fn read(&self, name: &str) -> Option<String> {
        let path = self.root.join(name);
        let meta = std::fs::metadata(&path).ok()?;
        (meta.is_file() && meta.len() <= LONGEST).then(|| std::fs::read_to_string(path).ok())?
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|found| found == name)
    }

    /// Returns the first file whose name begins so, and what is in it.
    fn beginning(&self, starts: &[&str]) -> Option<(&str, String)> {
        let begins = |name: &&String| starts.iter().any(|start| name.starts_with(start));
        self.names.iter().filter(begins).find_map(|name| Some((name.as_str(), self.read(name)?)))
    }

    /// Returns whether any of these lists of patterns names the store.
    fn is_ignored_by(&self, lists: &[&str]) -> bool {
        let top = self.store.split('/').next().unwrap_or(&self.store);
        let names_it = |line: &str| {
            let bare = line.trim().trim_start_matches("**/").trim_matches('/').trim_end_matches("/**");
            bare == self.store || bare == top
        };
        lists.iter().filter_map(|list| self.read(list)).any(|text| text.lines().any(names_it))
    }

    /// Returns whether a text names files below `current` or below a generation.
    pub(crate) fn is_named_by(&self, text: &str) -> bool {
        ["current", "generations"].iter().any(|name| text.contains(&format!("{}/{name}/", self.store)))
    }

    fn package(&self) -> Value {
        self.read("package.json").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    fn advice(&self, tool: &'static str, file: &str, line: String, fix: Fix) -> Advice {
        let why = format!("it walks into the store, {}/", self.store);
        Advice { tool, file: file.into(), why, line, fix }
    }

    /// Finds the tools that walk into the store.
    pub(crate) fn find(&self) -> Vec<Advice> {
        let package = self.package();
        let uses = |name: &str| {
            ["dependencies", "devDependencies"].iter().any(|section| package[section][name].is_string())
        };
        let store = &self.store;
        let mut all: Vec<Advice> = self.typescript();
        let (jest, vitest) =
            (self.beginning(&["jest.config."]), self.beginning(&["vitest.config.", "vite.config."]));
        if (jest.is_some() || package["jest"].is_object() || uses("jest"))
            && !jest.as_ref().is_some_and(|(_, text)| text.contains(store.as_str()))
            && !package["jest"].to_string().contains(store.as_str())
        {
            let line = format!("modulePathIgnorePatterns: [\"<rootDir>/{store}/\"]");
            all.push(self.advice("jest", jest.map_or("package.json", |(file, _)| file), line, Fix::ByHand));
        }
        if uses("vitest") && !vitest.as_ref().is_some_and(|(_, text)| text.contains(store.as_str())) {
            let line = format!(
                "test: {{ exclude: [...configDefaults.exclude, \"{store}/**\"] }}, server: {{ watch: {{ ignored: \
                 [\"**/{store}/**\"] }} }}"
            );
            let file = vitest.map_or("vitest.config.ts", |(file, _)| file);
            all.push(self.advice("vitest", file, line, Fix::ByHand));
        }
        if let Some((file, text)) = self.beginning(&["eslint.config."])
            && !text.contains(store.as_str())
        {
            all.push(self.advice("eslint", file, format!("{{ ignores: [\"{store}/\"] }}"), Fix::ByHand));
        } else if self.beginning(&[".eslintrc"]).is_some() && !self.is_ignored_by(&[".eslintignore"]) {
            all.push(self.advice("eslint", ".eslintignore", format!("/{store}/"), Fix::Append));
        }
        let has_prettier = self.beginning(&[".prettierrc", "prettier.config."]).is_some();
        // Of all files named .gitignore it reads that of the root alone.
        if (has_prettier || uses("prettier")) && !self.is_ignored_by(&[".prettierignore", ".gitignore"]) {
            all.push(self.advice("prettier", ".prettierignore", format!("/{store}/"), Fix::Append));
        }
        if let Some((file, text)) = self.beginning(&["next.config."])
            && !text.contains(store.as_str())
        {
            let line = format!("outputFileTracingExcludes: {{ \"*\": [\"./{store}/**\"] }}");
            all.push(self.advice("next", file, line, Fix::ByHand));
        }
        let dockerfile = self.read("Dockerfile");
        // One that copies from the store means it.
        if dockerfile.is_some_and(|text| !text.contains(store.as_str()))
            && !self.is_ignored_by(&[".dockerignore"])
        {
            let advice = self.advice("docker", ".dockerignore", store.clone(), Fix::Append);
            all.push(Advice { why: format!("the build context has the store, {store}/"), ..advice });
        }
        let (module, is_hidden) = (format!("{store}/go.mod"), self.is_hidden());
        if self.has("go.mod") && !is_hidden && self.root.join(&module).symlink_metadata().is_err() {
            let advice = self.advice("go", &module, "an empty file".to_owned(), Fix::Create);
            all.push(Advice { why: "`go vet ./...` walks into the store".to_owned(), ..advice });
        }
        all
    }

    /// Returns whether the patterns of many tools pass the store over, since its name begins with a dot.
    fn is_hidden(&self) -> bool {
        self.store.split('/').any(|part| part.starts_with('.'))
    }

    fn typescript(&self) -> Vec<Advice> {
        let is_config = |name: &&String| name.starts_with("tsconfig") && name.ends_with(".json");
        let mut all = Vec::new();
        for name in self.names.iter().filter(is_config) {
            let Some(config) = self.read(name).and_then(|text| parse(&text)) else { continue };
            // A base that others extend names no files itself, as a rule.
            let is_main = name == "tsconfig.json" || config["include"].is_array();
            if is_main && !self.is_hidden() && self.takes_in(&config) {
                let line = format!("\"exclude\": [{}]", self.excluded(&config));
                all.push(self.advice("typescript", name, line, Fix::Exclude));
            }
        }
        all
    }

    /// Returns whether the patterns of a tsconfig match files in the store.
    fn takes_in(&self, config: &Value) -> bool {
        if config["files"].is_array() && !config["include"].is_array() {
            return false;
        }
        let texts = |key: &str| -> Vec<String> {
            let texts = config[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            texts.map(|text| text.trim_start_matches("./").trim_end_matches('/').to_owned()).collect()
        };
        let top = self.store.split('/').next().unwrap_or(&self.store);
        let covers = |pattern: &String| {
            let first = pattern.split('/').next().unwrap_or(pattern);
            // `*` alone is of files at the top.
            first == top
                || first == "**"
                || pattern == "."
                || pattern.is_empty()
                || pattern.starts_with("*/")
        };
        let included = !config["include"].is_array() || texts("include").iter().any(covers);
        let bare = |pattern: &String| {
            let bare = pattern.trim_start_matches("**/").trim_end_matches("/**/*").trim_end_matches("/**");
            bare == self.store || bare == top
        };
        included && !texts("exclude").iter().any(bare)
    }

    /// Lists what a tsconfig is to exclude: what it excludes now, and the store.
    fn excluded(&self, config: &Value) -> String {
        let mut all: Vec<Value> = match config["exclude"].as_array() {
            Some(known) => known.clone(),
            None => {
                let out = config["compilerOptions"]["outDir"].as_str().map(Value::from);
                [Value::from("node_modules")].into_iter().chain(out).collect()
            }
        };
        all.push(self.store.clone().into());
        all.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Finds tsconfigs whose `paths` lead a compiler to what was published before, unless another tsconfig leads the
    /// same names elsewhere: that one is for builds.
    pub(crate) fn loops(&self, views: &[PathBuf], output: Option<&Path>) -> Vec<Advice> {
        let is_config = |name: &&String| name.starts_with("tsconfig") && name.ends_with(".json");
        let read = |name: &String| Some((name.clone(), parse(&self.read(name)?)?));
        let configs: Vec<(String, Value)> = self.names.iter().filter(is_config).filter_map(read).collect();
        // The first target of a name that lies in a view, or none.
        let target_of = |config: &Value, alias: &str| {
            let base = config["compilerOptions"]["baseUrl"].as_str().unwrap_or(".");
            let targets = config["compilerOptions"]["paths"][alias].as_array()?;
            let mut targets = targets.iter().filter_map(Value::as_str);
            targets.find_map(|target| Some((target.to_owned(), self.view_of(base, target, views)?)))
        };
        let is_elsewhere = |alias: &str| {
            let mut known = configs.iter().filter(|(_, c)| c["compilerOptions"]["paths"][alias].is_array());
            known.any(|(_, config)| target_of(config, alias).is_none())
        };
        let mut all = Vec::new();
        for (name, config) in &configs {
            let Some(paths) = config["compilerOptions"]["paths"].as_object() else { continue };
            let first = paths
                .keys()
                .filter(|alias| !is_elsewhere(alias))
                .find_map(|alias| target_of(config, alias).map(|(target, view)| (alias, target, view)));
            let Some((alias, target, view)) = first else { continue };
            let place = output.and_then(|output| output.strip_prefix(self.root).ok()).map(show);
            let below = target.split_once(&*show(view)).map_or("", |(_, below)| below);
            let place = place.unwrap_or_else(|| "WHERE-IT-BUILDS".to_owned());
            let why = format!(
                "a plain `tsc` finds {alias} in the view {}, which shows the last publication: when an interface \
                 changes, no build succeeds",
                show(view)
            );
            let line =
                format!("\"paths\": {{ \"{alias}\": [\"./{place}{below}\"] }} in a tsconfig for builds");
            all.push(Advice { tool: "typescript", file: name.into(), why, line, fix: Fix::ByHand });
        }
        all
    }

    /// Returns the view, below the root, that a target of `paths` lies in.
    fn view_of<'v>(&self, base: &str, target: &str, views: &'v [PathBuf]) -> Option<&'v Path> {
        let plain = |path: &str| path.trim_start_matches("./").trim_end_matches('/').to_owned();
        let (base, target) = (plain(base), plain(target));
        let path = if base.is_empty() || base == "." { target } else { format!("{base}/{target}") };
        let below = views.iter().filter_map(|view| view.strip_prefix(self.root).ok());
        below.into_iter().find(|view| Path::new(&path).starts_with(view))
    }

    /// Adds the line of an advice, where that is safe. Returns whether it was added. A symlink is left alone: it
    /// may lead to a file of somebody else.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub(crate) fn fix(&self, advice: &Advice) -> std::io::Result<bool> {
        let path = self.root.join(&advice.file);
        let name = advice.file.to_string_lossy();
        if path.symlink_metadata().is_ok_and(|meta| !meta.is_file()) {
            return Ok(false);
        }
        match advice.fix {
            Fix::ByHand => Ok(false),
            Fix::Create => {
                let made = std::fs::File::create_new(path);
                made.map(|_| true)
            }
            Fix::Append => {
                let known = self.read(&name).unwrap_or_default();
                let end = if known.is_empty() || known.ends_with('\n') { "" } else { "\n" };
                let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
                let mut options = std::fs::File::options();
                let mut file = options.append(true).create(true).custom_flags(nofollow).open(path)?;
                file.write_all(format!("{end}{}\n", advice.line).as_bytes())?;
                Ok(true)
            }
            Fix::Exclude => {
                let Some(text) = self.read(&name) else { return Ok(false) };
                let Some(text) = self.with_exclude(&text) else { return Ok(false) };
                replace(&path, &text)?;
                Ok(true)
            }
        }
    }

    /// Adds the store to `exclude`, and leaves all else as it is written; `None` where that cannot be done so.
    fn with_exclude(&self, text: &str) -> Option<String> {
        let before = parse(text)?;
        let list = match before["exclude"].is_array() {
            true => {
                let mut places = text.match_indices("\"exclude\"");
                let (at, key) = places.next()?;
                let begin = at + key.len() + text[at + key.len()..].find('[')? + 1;
                let rest = text[begin..].trim_start();
                let comma = if rest.starts_with(']') { "" } else { ", " };
                places.next().is_none().then_some((begin, format!("\"{}\"{comma}", self.store)))?
            }
            false => {
                let begin = text.find('{')? + 1;
                let comma = if before.as_object()?.is_empty() { "" } else { "," };
                (begin, format!("\n  \"exclude\": [{}]{comma}", self.excluded(&before)))
            }
        };
        let text = format!("{}{}{}", &text[..list.0], list.1, &text[list.0..]);
        // It must say what it said before, and this.
        let mut after = parse(&text)?;
        let is_there = !self.takes_in(&after);
        let (mut before, object) = (before, after.as_object_mut()?);
        object.remove("exclude");
        before.as_object_mut()?.remove("exclude");
        (is_there && before == after).then_some(text)
    }
}

/// Replaces a file by another one with the same mode.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(std::fs::symlink_metadata(path)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Parses JSON with comments and commas before closing brackets, as TypeScript does.
fn parse(text: &str) -> Option<Value> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            let end = end?.0 + 1;
            plain.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if rest.starts_with("/*") {
            rest = &rest[rest.find("*/")? + 2..];
        } else {
            if matches!(c, '}' | ']') && plain.trim_end().ends_with(',') {
                plain.truncate(plain.trim_end().len() - 1);
            }
            plain.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    serde_json::from_str(&plain).ok()
}

/// Returns the first folder beside a view whose packages Node does not find from the view: it resolves the
/// link, and looks for packages from the generation up.
pub(crate) fn packages_beside(view: &Path, store: &Path) -> Option<PathBuf> {
    let beside = view.ancestors().skip(1).take_while(|folder| !store.starts_with(folder));
    let names = ["node_modules", "package.json"];
    beside
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.symlink_metadata().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(root: &Path) -> Tools<'_> {
        Tools::of(root, &root.join("genstore")).unwrap()
    }

    #[test]
    fn json_of_typescript() {
        let text = "// a\n{ \"a\": [1, 2, ], /* b */ \"c//\": \"\\\"/*\", }";
        assert_eq!(parse(text), Some(serde_json::json!({"a": [1, 2], "c//": "\"/*"})));
        assert_eq!(parse("{ \"a"), None);
    }

    #[test]
    fn patterns_that_match_files_of_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let check = |text: &str, expected: bool| {
            assert_eq!(tools(dir.path()).takes_in(&parse(text).unwrap()), expected, "{text}");
        };
        for text in [
            "{}",
            "{\"include\": [\"**/*.ts\"], \"exclude\": [\"node_modules\"]}",
            "{\"include\": [\".\"]}",
            "{\"include\": [\"./genstore/current\"]}",
        ] {
            check(text, true);
        }
        for text in [
            "{\"include\": [\"src\", \"*.ts\"]}",
            "{\"files\": [\"a.ts\"]}",
            "{\"exclude\": [\"./genstore/**/*\"]}",
            "{\"include\": [\"**/*\"], \"exclude\": [\"**/genstore\"]}",
        ] {
            check(text, false);
        }
    }

    #[test]
    fn exclude_is_added_and_all_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let tools = tools(dir.path());
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(tools.with_exclude(text).as_deref(), expected, "{text}");
        };
        check("{}", Some("{\n  \"exclude\": [\"node_modules\", \"genstore\"]}"));
        check(
            "{ // why\n  \"compilerOptions\": { \"outDir\": \"out\" }\n}",
            Some(
                "{\n  \"exclude\": [\"node_modules\", \"out\", \"genstore\"], // why\n  \"compilerOptions\": { \"outDir\": \"out\" }\n}",
            ),
        );
        check("{\"exclude\": [ \"x\" ]}", Some("{\"exclude\": [\"genstore\",  \"x\" ]}"));
        check("{\"exclude\": []}", Some("{\"exclude\": [\"genstore\"]}"));
        check("{\"x\": {\"exclude\": 1}, \"exclude\": [\"y\"]}", None);
        check("not json", None);
    }
}
