//! The media type of a file, by its name.

/// Types of endings that the tables of `mime_guess` lack, or know by another name than browsers expect.
const OURS: &[(&str, &str)] = &[
    ("avif", "image/avif"),
    ("cjs", "text/javascript; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("jxl", "image/jxl"),
    ("map", "application/json"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("webmanifest", "application/manifest+json"),
    ("woff2", "font/woff2"),
];

/// Returns the media type of a path.
pub(crate) fn of(path: &[u8]) -> String {
    let Some(ending) = ending(path) else { return "application/octet-stream".to_owned() };
    if let Some((_, kind)) = OURS.iter().find(|(own, _)| *own == ending) {
        return (*kind).to_owned();
    }
    let kind = mime_guess::from_ext(&ending).first_or_octet_stream();
    let kind = kind.essence_str();
    let is_text = kind.starts_with("text/") || kind == "image/svg+xml" || kind.ends_with("/xml");
    if is_text { format!("{kind}; charset=utf-8") } else { kind.to_owned() }
}

/// Returns whether a type shrinks by compression.
pub(crate) fn shrinks(kind: &str) -> bool {
    const ALSO: [&str; 9] =
        ["javascript", "json", "xml", "wasm", "svg", "x-icon", "font/ttf", "font/otf", "vnd.ms-fontobject"];
    kind.starts_with("text/") || ALSO.iter().any(|part| kind.contains(part))
}

/// Returns whether a type is HTML.
pub(crate) fn is_html(kind: &str) -> bool {
    kind.starts_with("text/html")
}

fn ending(path: &[u8]) -> Option<String> {
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0)?;
    std::str::from_utf8(&name[dot + 1..]).ok().map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_that_browsers_want() {
        let check = |path: &str, expected: &str| assert_eq!(of(path.as_bytes()), expected, "{path}");
        check("index.html", "text/html; charset=utf-8");
        check("a/b.CSS", "text/css; charset=utf-8");
        check("app.js", "text/javascript; charset=utf-8");
        check("app.mjs", "text/javascript; charset=utf-8");
        check("a.wasm", "application/wasm");
        check("a.json", "application/json");
        check("a.js.map", "application/json");
        check("a.svg", "image/svg+xml; charset=utf-8");
        check("a.avif", "image/avif");
        check("a.webp", "image/webp");
        check("a.woff2", "font/woff2");
        check("a.webmanifest", "application/manifest+json");
        check("a.png", "image/png");
        check("a.pdf", "application/pdf");
        check("a.mp4", "video/mp4");
        check("a.txt", "text/plain; charset=utf-8");
        check("a.xml", "text/xml; charset=utf-8");
        check("LICENSE", "application/octet-stream");
        check("dir.d/LICENSE", "application/octet-stream");
        check("a.unheard-of", "application/octet-stream");
        assert!(shrinks("application/wasm") && shrinks("image/svg+xml; charset=utf-8"));
        assert!(!shrinks("image/png") && !shrinks("font/woff2") && !shrinks("video/mp4"));
    }
}
