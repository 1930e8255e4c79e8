//! Takes the paths of this machine out of documents and messages, before they leave it.

use std::path::Path;

use serde_json::Value;

/// The place of a path that was taken out.
const GONE: char = '…';

/// Takes the paths of this machine out of a document. Paths in the store stay, relative to it.
///
/// Only messages and fields of paths are changed: a note that looks like a path was written by a person.
pub(crate) fn document(value: &mut Value, store: &Path) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| document(value, store)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("path" | "directory" | "target", Value::String(text)) => *text = path(text, store),
                    ("path_b64", value) => *value = Value::Null,
                    ("message" | "cause" | "hint", Value::String(text)) => *text = words(text),
                    ("causes" | "warnings" | "records", Value::Array(values)) => {
                        for value in values {
                            match value {
                                Value::String(text) => *text = words(text),
                                value => document(value, store),
                            }
                        }
                    }
                    (_, value) => document(value, store),
                }
            }
        }
        _ => {}
    }
}

/// Returns a path relative to the store. Of another absolute path only the name stays.
fn path(text: &str, store: &Path) -> String {
    let path = Path::new(text);
    if path.is_relative() {
        return text.to_owned();
    }
    match path.strip_prefix(store) {
        Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        Ok(inside) => inside.to_string_lossy().into_owned(),
        Err(_) => {
            path.file_name().map_or(GONE.to_string(), |name| format!("{GONE}/{}", name.to_string_lossy()))
        }
    }
}

/// Replaces absolute paths in a sentence.
pub(crate) fn words(text: &str) -> String {
    let (mut out, mut rest, mut before) = (String::with_capacity(text.len()), text, ' ');
    while let Some(c) = rest.chars().next() {
        let begins =
            c == '/' && !before.is_alphanumeric() && !matches!(before, '.' | '-' | '_' | '/' | ')');
        if !begins {
            out.push(c);
            (rest, before) = (&rest[c.len_utf8()..], c);
            continue;
        }
        // A path in quotes may have blanks.
        let end = match before {
            '\'' | '"' | '`' => rest.find(before),
            _ => rest.find([' ', '\n', ',', ';', ')', '\'', '"', '`']),
        };
        out.push(GONE);
        (rest, before) = (&rest[end.unwrap_or(rest.len())..], GONE);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_lose_paths() {
        let check = |text: &str, expected: &str| assert_eq!(words(text), expected);
        check("cannot read /srv/site/genstore: denied", "cannot read … denied");
        check("'/srv/my site/x' is no folder", "'…' is no folder");
        check("3 of 4, text/html and a/b stay", "3 of 4, text/html and a/b stay");
        check("(/a/b), `/c d`", "(…), `…`");
        check("/", "…");
        check("é/x=/y", "é/x=…");
    }

    #[test]
    fn documents_lose_paths() {
        let mut value = serde_json::json!({
            "path": "/s/store/generations/1/tree", "note": "/no path", "message": "see /etc/x",
            "views": [{"path": "/srv/www"}, {"path": "a/b"}], "warnings": ["/x fails", {"message": "/y"}],
        });
        document(&mut value, Path::new("/s/store"));
        let expected = serde_json::json!({
            "path": "generations/1/tree", "note": "/no path", "message": "see …",
            "views": [{"path": "…/www"}, {"path": "a/b"}], "warnings": ["… fails", {"message": "…"}],
        });
        assert_eq!(value, expected);
    }
}
