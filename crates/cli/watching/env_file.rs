//! Files of variables (`.env`), in the format of Node, Docker and the dotenv packages.

use std::path::Path;

use crate::text::escape::show;

/// The largest file of variables.
const LONGEST: u64 = 1 << 20;

/// Reads a file of variables. A missing file has none.
///
/// # Errors
/// A sentence with the reason why it cannot be read.
pub(super) fn read(file: &Path) -> Result<Vec<(String, String)>, String> {
    let fail = |why: &dyn std::fmt::Display| Err(format!("{}: {why}", show(file)));
    match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return fail(&error),
        Ok(meta) if !meta.is_file() => return fail(&"not a regular file"),
        Ok(meta) if meta.len() > LONGEST => return fail(&"longer than 1 MiB"),
        Ok(_) => {}
    }
    match std::fs::read_to_string(file) {
        Ok(text) => parse(&text).or_else(|line| fail(&format!("line {line} is not NAME=VALUE"))),
        Err(error) => fail(&error),
    }
}

/// Parses `NAME=VALUE` lines. `export` before the name and comments are ignored. A value in double quotes
/// may contain escapes such as `\n`. A quoted value (double quotes, single quotes, backticks) may span
/// several lines.
///
/// # Errors
/// The number of the first invalid line.
fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let mut variables = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let number = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            rest = after;
            continue;
        }
        let bare = line.strip_prefix("export ").unwrap_or(line);
        let (name, _) = bare.split_once('=').ok_or(number)?;
        let name = name.trim();
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '\0') {
            return Err(number);
        }
        // The value is taken from the rest, not from the line, because a quoted value may span lines.
        let begin = rest.find('=').ok_or(number)? + 1;
        let (value, then) = value(&rest[begin..]).ok_or(number)?;
        variables.push((name.to_owned(), value));
        rest = then;
    }
    Ok(variables)
}

/// Reads a value, and returns the text after its line. Returns `None` if a quote is not closed.
fn value(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let (quote, bare) = match text.chars().next() {
        Some(quote @ ('"' | '\'' | '`')) => (quote, &text[1..]),
        _ => {
            let (line, after) = text.split_once('\n').unwrap_or((text, ""));
            let end = line.find(" #").unwrap_or(line.len());
            return Some((line[..end].trim().to_owned(), after));
        }
    };
    let mut value = String::new();
    let mut chars = bare.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => {
                let after = &bare[at + 1..];
                return Some((value, after.split_once('\n').map_or("", |(_, after)| after)));
            }
            '\\' if quote == '"' => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                c @ ('"' | '\\' | '$') => value.push(c),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bare_or_in_quotes() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let expected = expected.iter().map(|(name, value)| (name.to_string(), value.to_string()));
            assert_eq!(parse(text), Ok(expected.collect()), "{text}");
        };
        check("", &[]);
        check(
            "\u{feff}A=1\r\nB = two words # why\n\n# C=3\nexport D=",
            &[("A", "1"), ("B", "two words"), ("D", "")],
        );
        check("URL=http://x/#a?b=c", &[("URL", "http://x/#a?b=c")]);
        check(
            "A=\"x # \\\"y\\\"\\n\\z\" # z\nB='a\\n\"'\nC=`'`",
            &[("A", "x # \"y\"\n\\z"), ("B", "a\\n\""), ("C", "'")],
        );
        check("KEY=\"-----\nabc\n-----\"\nB=2", &[("KEY", "-----\nabc\n-----"), ("B", "2")]);
    }

    #[test]
    fn the_line_that_is_none_is_named() {
        for (text, line) in [("A", 1), ("A=1\n\nB C\n", 3), ("=1", 1), ("A=1\nB=\"x\nC=2", 2), ("a b=1", 1)]
        {
            assert_eq!(parse(text), Err(line), "{text}");
        }
    }
}
