//! Pages in a small language become HTML: `# heading`, `- list`, `[text](target)`, `![text](asset)`,
//! and paragraphs. Targets are paths from the top of the source, or addresses.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};

/// The published names of assets.
#[derive(Default)]
pub(crate) struct Names {
    /// The name by path in the source. It contains a part of the digest, so each name has one content.
    pub(crate) assets: BTreeMap<String, String>,
}

pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) html: String,
}

/// Renders a page; `stem` is its path without the ending.
pub(crate) fn page(stem: &str, text: &str, names: &Names, build: Option<u64>) -> Result<Page> {
    let context = || format!("{stem}.md");
    let title = text.lines().find_map(|line| line.strip_prefix("# "));
    let title = title.with_context(|| format!("{stem}.md has no heading"))?.to_owned();
    let top = "../".repeat(stem.matches('/').count());
    let mut body = String::new();
    let mut open = "";
    for line in text.lines() {
        let (block, tag, rest) = match line.trim() {
            "" => ("", "", ""),
            line if line.starts_with("# ") => ("", "h1", &line[2..]),
            line if line.starts_with("## ") => ("", "h2", &line[3..]),
            line if line.starts_with("- ") => ("ul", "li", &line[2..]),
            line => ("p", "", line),
        };
        if block != open {
            body.push_str(&if open.is_empty() { String::new() } else { format!("</{open}>\n") });
            body.push_str(&if block.is_empty() { String::new() } else { format!("<{block}>\n") });
            open = block;
        }
        let rest = inline(rest, &top, names).with_context(context)?;
        match (tag, rest.is_empty()) {
            (_, true) => {}
            ("", _) => writeln!(body, "{rest}")?,
            _ => writeln!(body, "<{tag}>{rest}</{tag}>")?,
        }
    }
    if !open.is_empty() {
        writeln!(body, "</{open}>")?;
    }
    let footer = build.map_or(String::new(), |build| format!("<footer>build {build}</footer>\n"));
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{}</title>\n\
         <link rel=\"stylesheet\" href=\"{top}style.css\">\n</head>\n<body>\n{body}{footer}</body>\n</html>\n\n",
        escape(&title),
    );
    Ok(Page { title, html })
}

/// Puts the published names of assets into a style sheet.
pub(crate) fn style(path: &str, text: &str, names: &Names) -> Result<String> {
    let top = "../".repeat(path.matches('/').count());
    let mut parts = text.split("url(");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (target, rest) = part.split_once(')').with_context(|| format!("{path}: url( has no end"))?;
        write!(out, "url({}){rest}", published(target, &top, names).with_context(|| path.to_owned())?)?;
    }
    Ok(out)
}

fn inline(text: &str, top: &str, names: &Names) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((label, (target, after))) =
            after.split_once("](").and_then(|(label, after)| Some((label, after.split_once(')')?)))
        else {
            break;
        };
        let (label, to) = (escape(label), escape(&published(target, top, names)?));
        match before.strip_suffix('!') {
            Some(before) => write!(out, "{}<img src=\"{to}\" alt=\"{label}\">", escape(before))?,
            None => write!(out, "{}<a href=\"{to}\">{label}</a>", escape(before))?,
        }
        rest = after;
    }
    out.push_str(&escape(rest));
    Ok(out)
}

/// Returns the published name of a target.
fn published(target: &str, top: &str, names: &Names) -> Result<String> {
    if target.contains("://") {
        return Ok(target.to_owned());
    }
    if target.starts_with("assets/") {
        let name = names.assets.get(target).with_context(|| format!("there is no {target}"))?;
        return Ok(format!("{top}{name}"));
    }
    // The audit checks whether the page exists.
    Ok(match target.strip_suffix(".md") {
        Some(stem) => format!("{top}{stem}.html"),
        None => format!("{top}{target}"),
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
