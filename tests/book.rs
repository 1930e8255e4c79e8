//! The README and the book: their sessions run as they stand, their links lead somewhere, their tables
//! list what the program knows, and their generated pages are up to date (`scripts/docs` writes them).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::Site;

/// The README may be no longer: it is read in three minutes.
const README_MAX: usize = 8 << 10;

const TOP: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(TOP).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Returns the pages of the book in its order.
fn pages() -> Vec<String> {
    let summary = read("docs/SUMMARY.md");
    links(&summary).into_iter().map(|link| format!("docs/{link}")).collect()
}

/// Returns the targets of the links in a page, without its code.
fn links(page: &str) -> Vec<String> {
    let mut inside = false;
    let text = page.lines().filter(|line| {
        inside ^= line.starts_with("```");
        !inside
    });
    let mut links = Vec::new();
    for line in text {
        for part in line.split("](").skip(1) {
            links.push(part.split(')').next().unwrap().to_owned());
        }
    }
    links
}

/// Parses the sessions of a page: each command with its output.
fn sessions(page: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match line.strip_prefix("$ ") {
                Some(command) => commands.push((command.to_owned(), String::new())),
                None => {
                    let (_, output) = commands.last_mut().expect("a command comes first");
                    output.push_str(line);
                    output.push('\n');
                }
            },
        }
    }
    commands
}

/// Runs sessions one after the other in a new folder.
fn every_session_is_true(commands: Vec<(String, String)>) {
    let site = Site::new();
    site.tree(
        "dist",
        &[("index.html", "=<h1>hello</h1>\n"), ("app.js", "=let a = 1;\n"), ("img/logo.svg", "=<svg/>\n")],
    );
    let program = Path::new(env!("CARGO_BIN_EXE_genstore"));
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    assert!(commands.len() > 5, "{commands:?}");
    for (command, expected) in commands {
        let output = Command::new("sh")
            .args(["-c", &command])
            .env_clear()
            .env("PATH", &path)
            .current_dir(site.path(""))
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let stdout = site.replace(&String::from_utf8_lossy(&output.stdout));
        let expected = site.replace(
            &expected.replace("/srv/site", site.path("").display().to_string().trim_end_matches('/')),
        );
        assert_eq!(stdout, expected, "{command}");
    }
}

#[test]
fn the_sessions_of_the_readme_are_true() {
    every_session_is_true(sessions(&read("README.md")));
}

#[test]
fn the_sessions_of_the_book_are_true_in_its_order() {
    every_session_is_true(pages().iter().flat_map(|page| sessions(&read(page))).collect());
}

#[test]
fn the_first_two_commands_are_what_the_gate_runs() {
    let readme = read("README.md");
    let blocks: Vec<&str> =
        readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().trim()).collect();
    assert_eq!(blocks[0], "cargo run --release -- publish crates -m \"hello\"");
    assert_eq!(blocks[1], "scripts/check");
    assert!(read(".ci/run").contains("scripts/check"));
    assert!(readme.len() <= README_MAX, "{} bytes", readme.len());
}

#[test]
fn every_page_is_in_the_summary_and_every_link_leads_somewhere() {
    let listed: BTreeSet<String> = pages().into_iter().collect();
    let found = walk(&Path::new(TOP).join("docs"));
    let found: BTreeSet<String> = found
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "md") && !path.ends_with("SUMMARY.md"))
        .map(|path| path.strip_prefix(TOP).unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, found);

    let others = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "crates/README.md"];
    let mut broken = Vec::new();
    for page in others.map(str::to_owned).iter().chain(&listed) {
        for link in links(&read(page)) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            if file.starts_with("https://") {
                continue;
            }
            let target = match file {
                "" => PathBuf::from(page),
                _ => Path::new(page).parent().unwrap().join(file),
            };
            let exists = Path::new(TOP).join(&target).exists();
            if !exists || !anchor.is_empty() && !has_heading(&read(&target), anchor) {
                broken.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Returns whether a page has a heading with this anchor.
fn has_heading(page: &str, anchor: &str) -> bool {
    let slug = |heading: &str| -> String {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
    };
    page.lines().filter_map(|line| line.split_once("# ")).any(|(_, heading)| slug(heading) == anchor)
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}

/// Returns the keys in the tables of a page, by section.
pub fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in read("docs/reference/configuration.md").lines() {
        if let Some((_, heading)) = line.split_once("# ") {
            section = heading.trim_matches(['`', '[', ']']).to_owned();
        } else if line.starts_with("| `") {
            let cell = line.trim_matches('|').split('|').next().unwrap();
            let names = cell.split(',').map(|name| name.trim().trim_matches('`').to_owned());
            keys.entry(section.clone()).or_default().extend(names);
        }
    }
    keys
}

/// Returns the keys that the program knows in a section, by its answer to an unknown one.
fn known(site: &Site, file: &str, text: &str) -> BTreeSet<String> {
    site.write(file, text);
    let failed = site.command("publish dist --json").env("XDG_CONFIG_HOME", site.path("home")).run();
    std::fs::remove_file(site.path(file)).unwrap();
    let error: serde_json::Value = serde_json::from_str(&failed.stderr).expect(&failed.stderr);
    let hint = error["hint"].as_str().unwrap();
    let known = hint.strip_prefix("known here: ").unwrap_or_else(|| panic!("{text}: {hint}"));
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_book_lists_every_key_of_the_configuration() {
    let site = Site::new();
    let mut expected = BTreeMap::new();
    let sections = known(&site, "genstore.toml", "[zzzzzz]\n");
    for section in &sections {
        let (name, text) = match section.as_str() {
            "view" => ("view".to_owned(), "[[view]]\npath = \"p\"\nzzzzzz = 1\n".to_owned()),
            "remote" => ("remote.NAME".to_owned(), "[remote.a]\nurl = \"u\"\nzzzzzz = 1\n".to_owned()),
            "shared" => ("shared".to_owned(), "[shared]\na = { zzzzzz = 1 }\n".to_owned()),
            other => (other.to_owned(), format!("[{other}]\nzzzzzz = 1\n")),
        };
        expected.insert(name, known(&site, "genstore.toml", &text));
    }
    let program = known(&site, "genstore.toml", "[watch.run.a]\ncommand = \"a\"\nzzzzzz = 1\n");
    expected.insert("watch.run.NAME".to_owned(), program);
    // The user's own file is read before commands of a project run.
    site.tree("dist", &[("a", "=a")]);
    site.write("genstore.toml", "[hooks]\npost_commit = [\"true\"]\n");
    let own = known(&site, "home/genstore/config.toml", "zzzzzz = 1\n");
    expected.insert("The user's own configuration".to_owned(), own);
    assert_eq!(documented(), expected);
}

/// Returns the text of a verb's help, as the book shows it.
fn help(site: &Site, verbs: &[&str]) -> String {
    let help = site.run_with(&[&["help"], verbs].concat()).ok().stdout;
    // The flags of all verbs stand at the beginning of the page.
    let own = if verbs.is_empty() { &help } else { help.split("\nGlobal flags:").next().unwrap() };
    own.trim_end().to_owned()
}

#[test]
fn the_page_of_the_command_line_is_up_to_date() {
    let site = Site::new();
    let top = help(&site, &[]);
    let mut page = format!("# Command line\n\n```text\n{top}\n```\n");
    let verbs = |text: &str, heading: &str| -> Vec<String> {
        let list = text.split(heading).nth(1).unwrap_or("").lines().skip(1);
        let named = list.take_while(|line| line.starts_with("  "));
        let names = named.filter(|line| !line.starts_with("   ")).filter_map(|line| {
            line.split_whitespace().next().filter(|name| *name != "help").map(str::to_owned)
        });
        names.collect()
    };
    for verb in verbs(&top, "Verbs:") {
        let text = help(&site, &[&verb]);
        page.push_str(&format!("\n## `genstore {verb}`\n\n```text\n{text}\n```\n"));
        for below in verbs(&text, "Verbs:").iter().chain(&verbs(&text, "Commands:")) {
            let text = help(&site, &[&verb, below]);
            page.push_str(&format!("\n### `genstore {verb} {below}`\n\n```text\n{text}\n```\n"));
        }
    }
    generated("docs/reference/command-line.md", &page);
}

/// Compares a generated page with the file, or writes the file for `scripts/docs`.
pub fn generated(path: &str, text: &str) {
    let file = Path::new(TOP).join(path);
    if std::env::var_os("GENSTORE_WRITE_DOCS").is_some() {
        std::fs::write(&file, text).unwrap();
        return;
    }
    let is_same = std::fs::read_to_string(&file).is_ok_and(|old| old == text);
    assert!(is_same, "{path} is out of date: run scripts/docs");
}

/// Returns the codes in the sources: the texts between `before` and the next quote.
fn codes_after(source: &str, before: &str) -> BTreeSet<String> {
    let found = source.split(before).skip(1).filter_map(|rest| {
        let rest = rest.trim_start().strip_prefix('"')?;
        rest.split_once('"').map(|(code, _)| code.to_owned())
    });
    found.filter(|code| code.chars().all(|c| c.is_ascii_lowercase() || c == '-')).collect()
}

#[test]
fn the_book_lists_every_error_code() {
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for file in walk(&Path::new(TOP).join("crates/cli")) {
        let source = read(file);
        for before in ["Fail::new(", "Fail::usage(", "code = ", "code: "] {
            expected.extend(codes_after(&source, before));
        }
    }
    for file in
        ["crates/genstore/src/error.rs", "crates/genstore/src/error/kinds.rs", "crates/remote/src/error.rs"]
    {
        expected.extend(codes_after(&read(file), " => "));
    }
    let page = read("docs/reference/errors.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), expected);
}

#[test]
fn every_document_has_a_schema() {
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for file in walk(&Path::new(TOP).join("crates/cli")) {
        let source = read(file);
        for part in source.split("\"genstore.").skip(1) {
            let name = part.split('"').next().unwrap();
            if name.ends_with("/1") && !name.contains(['{', ' ']) {
                expected.insert(format!("genstore.{name}"));
            }
        }
    }
    let all: BTreeSet<String> =
        genstore_cli::schemas::all().into_iter().map(|(name, _)| name.into()).collect();
    assert_eq!(all, expected);
    let listed = Site::new().run("schema").ok().stdout;
    assert_eq!(listed.lines().map(str::to_owned).collect::<BTreeSet<_>>(), all);
}

#[test]
fn the_schemas_are_up_to_date() {
    for (name, schema) in genstore_cli::schemas::all() {
        let short = name.trim_start_matches("genstore.").trim_end_matches("/1");
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        generated(&format!("docs/schemas/{short}.json"), &text);
    }
}

#[test]
fn the_page_of_the_documents_is_up_to_date() {
    let mut page = JSON.to_owned();
    for (name, schema) in genstore_cli::schemas::all() {
        page.push_str(&format!("\n## `{name}`\n\n"));
        let mut rows = Vec::new();
        fields(&schema, &schema, "", &mut rows);
        if rows.is_empty() {
            page.push_str("Its fields depend on the event: see [watch events](watch-events.md).\n");
            continue;
        }
        page.push_str("| field | type | meaning |\n|---|---|---|\n");
        rows.iter().for_each(|row| page.push_str(row));
    }
    generated("docs/reference/json.md", &page);
}

/// Adds a row for each field of a schema, and for those of the objects in it.
fn fields(root: &Value, schema: &Value, prefix: &str, rows: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, field) in properties {
        let inner = resolve(root, field);
        let item = resolve(root, &inner["items"]);
        let kind = match inner["type"].as_str() {
            Some("array") => format!("array of {}", kind_of(item)),
            _ => kind_of(inner),
        };
        let optional = kind_of(field).contains("null") || !is_required(schema, name);
        let kind = if optional { format!("{kind}, or absent") } else { kind };
        let meaning = field["description"].as_str().or(inner["description"].as_str()).unwrap_or("");
        let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
        rows.push(format!("| `{prefix}{name}` | {kind} | {meaning} |\n"));
        let below = if item["properties"].is_object() { (item, "[].") } else { (inner, ".") };
        fields(root, below.0, &format!("{prefix}{name}{}", below.1), rows);
    }
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == name))
}

/// Follows references, and takes the one choice of an optional field that is not null.
fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/")) {
        return resolve(root, &root["$defs"][name]);
    }
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    let mut real = choices.filter(|choice| choice["type"] != "null");
    match (real.next(), real.next()) {
        (Some(choice), None) => resolve(root, choice),
        _ => schema,
    }
}

fn kind_of(schema: &Value) -> String {
    match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let named = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
            named.collect::<Vec<_>>().join(" or ")
        }
        _ if schema["const"].is_string() => "string".to_owned(),
        _ => "object".to_owned(),
    }
}

/// The beginning of the page of the documents.
const JSON: &str = "\
# JSON

With `--json` each verb prints one document on stdout, and an error on stderr. `schema` is its first field, with a
name and a number: fields are only ever added to a document of the same number, so readers ignore fields that they
do not know. A field with a new meaning, or a removed one, changes the number. `watch` prints one
[event](watch-events.md) per line. `genstore schema NAME` prints the JSON Schema of a document, and
`genstore --version --json` lists what a program can do.

- Bytes are integers, and times are RFC 3339 in UTC.
- `generation` is a number, `tree` the 64 hexadecimal digits of a tree id.
- A path that is not UTF-8 is in base64, in a field with the suffix `_b64`, in place of the field without it.
- `warnings` lists the failures after the commit; the exit code is 3 if it is not empty.
- `durable` is `false` if a flush failed, or was not requested.
";
