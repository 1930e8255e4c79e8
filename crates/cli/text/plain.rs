//! Rewords the type errors of the TOML and JSON parsers so that they do not name Rust types.

/// Rewords a message such as `invalid type: string "x", expected usize`.
pub(crate) fn plain(message: &str) -> String {
    let lead = ["invalid type: ", "invalid value: "];
    if message.contains("untagged enum") {
        return "it is neither text nor a list or table of text".to_owned();
    }
    if let Some(rest) = lead.iter().find_map(|lead| message.strip_prefix(lead))
        && let Some((found, expected)) = rest.rsplit_once(", expected ")
    {
        return format!("it is {}, and must be {}", found_in_words(found), wanted_in_words(expected));
    }
    if let Some(rest) = message.strip_prefix("unknown variant ")
        && let Some((found, known)) = rest.split_once(", expected ")
    {
        return format!("it is {found}, and must be {}", known.trim_start_matches("one of "));
    }
    if let Some(key) = message.strip_prefix("missing field ") {
        return format!("the key {key} is missing");
    }
    if let Some(key) = message.strip_prefix("duplicate field ") {
        return format!("the key {key} is given twice");
    }
    message.to_owned()
}

fn found_in_words(found: &str) -> String {
    let (kind, value) = match found.split_once([' ', '`']) {
        Some((kind, _)) => (kind, found[kind.len()..].trim().trim_matches('`')),
        None => (found, ""),
    };
    let (word, value) = match kind {
        "string" | "character" => ("the text", value),
        "integer" | "floating" => {
            ("the number", value.trim_start_matches("point").trim().trim_matches('`'))
        }
        "boolean" => ("", value),
        "sequence" => ("a list", ""),
        "map" => ("a table", ""),
        "null" | "unit" | "Option" => ("nothing", ""),
        _ => return found.to_owned(),
    };
    format!("{word} {value}").trim().to_owned()
}

fn wanted_in_words(expected: &str) -> String {
    let word = match expected.trim_matches('`') {
        "usize" | "u8" | "u16" | "u32" | "u64" => "a whole number from 0",
        "isize" | "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "a borrowed string" | "path string" | "str" | "string" => "text, in quotes",
        "a boolean" | "bool" => "true or false",
        "a sequence" => "a list, in [ ]",
        "a map" => "a table",
        other if other.starts_with("struct ") || other.starts_with("internally tagged") => "a table",
        other => other,
    };
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn no_word_of_rust_is_left() {
        let check = |message: &str, expected: &str| assert_eq!(plain(message), expected);
        check(
            "invalid type: string \"five\", expected usize",
            "it is the text \"five\", and must be a whole number from 0",
        );
        check(
            "invalid value: integer `-1`, expected usize",
            "it is the number -1, and must be a whole number from 0",
        );
        check(
            "invalid type: integer `5`, expected a string",
            "it is the number 5, and must be text, in quotes",
        );
        check(
            "invalid type: floating point `1.5`, expected u64",
            "it is the number 1.5, and must be a whole number from 0",
        );
        check("invalid type: boolean `true`, expected f64", "it is true, and must be a number");
        check("invalid type: map, expected a sequence", "it is a table, and must be a list, in [ ]");
        check("invalid type: sequence, expected path string", "it is a list, and must be text, in quotes");
        check(
            "invalid type: string \"x\", expected struct StoreSection",
            "it is the text \"x\", and must be a table",
        );
        check("invalid type: null, expected a string", "it is nothing, and must be text, in quotes");
        check("unknown variant `x`, expected `a` or `b`", "it is `x`, and must be `a` or `b`");
        check("missing field `path`", "the key `path` is missing");
        check("something else", "something else");
    }
}
