//! The planner: computes every output from a folder of sources, in memory. It writes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use genstore::tree::Digest;
use serde_json::json;

use crate::render::{self, Names};
use crate::{app, format};

/// One output file.
#[derive(Clone)]
pub(crate) struct Output {
    pub(crate) bytes: Vec<u8>,
    pub(crate) executable: bool,
}

impl Output {
    pub(crate) fn text(text: impl Into<String>) -> Output {
        Output { bytes: text.into().into_bytes(), executable: false }
    }
}

/// The outputs that are known before anything is compiled.
pub(crate) struct Outputs {
    pub(crate) files: BTreeMap<String, Output>,
    build: Option<u64>,
    pages: usize,
    words: usize,
}

/// Plans every output of a source.
pub(crate) fn plan(source: &Path, build: Option<u64>) -> Result<Outputs> {
    let sources = read(source)?;
    let mut names = Names::default();
    let mut files = BTreeMap::new();
    let mut assets = Vec::new();
    for (path, bytes) in sources.iter().filter(|(path, _)| path.starts_with("assets/")) {
        let (stem, ending) = path.rsplit_once('.').with_context(|| format!("{path} has no ending"))?;
        let name = format!("{stem}.{}.{ending}", Digest::of(bytes).short());
        files.insert(format!("site/{name}"), Output { bytes: bytes.clone(), executable: false });
        assets.push((path["assets/".len()..].to_owned(), bytes.clone()));
        names.assets.insert(path.clone(), name);
    }
    let mut outputs = Outputs { files, build, pages: 0, words: 0 };
    let mut index = Vec::new();
    for (path, bytes) in sources.iter().filter(|(path, _)| !path.starts_with("assets/")) {
        let text = std::str::from_utf8(bytes).with_context(|| format!("{path} is not text"))?;
        if let Some(stem) = path.strip_suffix(".md") {
            let page = render::page(stem, text, &names, build)?;
            outputs.pages += 1;
            outputs.words += text.split_whitespace().count();
            index.push(json!({ "path": format!("{stem}.html"), "title": page.title }));
            outputs.files.insert(format!("site/{stem}.html"), Output::text(page.html));
        } else if path.ends_with(".css") {
            outputs.files.insert(format!("site/{path}"), Output::text(render::style(path, text, &names)?));
        } else {
            bail!("{path} is neither a page, a style sheet nor an asset");
        }
    }
    outputs.files.insert("site/pages.json".to_owned(), Output::text(json!(index).to_string()));
    outputs.files.extend(app::files(&assets, build));
    Ok(outputs)
}

/// Creates the manifest and the statistics. The manifest also lists the statistics.
pub(crate) fn describe(outputs: &Outputs, built: &[(String, Output)]) -> Result<Vec<(String, Output)>> {
    let bytes: usize = built.iter().map(|(_, output)| output.bytes.len()).sum();
    let shown = outputs.build.map_or("none".to_owned(), |build| build.to_string());
    let report = Output::text(format!(
        "build: {shown}\npages: {}\nwords: {}\nfiles: {}\nbytes: {bytes}\n",
        outputs.pages,
        outputs.words,
        built.len(),
    ));
    let built = built.iter().map(|(path, output)| (path.as_str(), output));
    let listed: BTreeMap<&str, serde_json::Value> = built
        .chain([("report.txt", &report)])
        .map(|(path, output)| {
            let digest = Digest::of(&output.bytes).to_string();
            (path, json!({ "size": output.bytes.len(), "digest": digest }))
        })
        .collect();
    let manifest = json!({ "build": outputs.build, "outputs": listed }).to_string();
    let manifest =
        Output { bytes: format::format("manifest.json", manifest.as_bytes())?, executable: false };
    Ok(vec![("manifest.json".to_owned(), manifest), ("report.txt".to_owned(), report)])
}

/// Reads the sources by path, with `/` between the parts.
fn read(source: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let dir = source.join(&folder);
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let entry = entry?;
            let name = entry.file_name().into_string().unwrap_or_default();
            // A plain name needs no quoting in any output.
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
                bail!("{} has a name that is not plain", entry.path().display());
            }
            let below = format!("{folder}{name}");
            match entry.file_type()?.is_dir() {
                true => folders.push(below + "/"),
                false => drop(found.insert(below, fs::read(entry.path())?)),
            }
        }
    }
    Ok(found)
}
