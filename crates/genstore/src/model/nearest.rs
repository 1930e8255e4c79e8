//! Suggestions for mistyped names.

/// Returns the names that share the most pairs of letters with `wanted`.
pub(crate) fn nearest_names<'a>(names: impl Iterator<Item = &'a str>, wanted: &str) -> Vec<String> {
    let pairs = |text: &str| -> Vec<[u8; 2]> {
        text.to_ascii_lowercase().as_bytes().windows(2).map(|w| [w[0], w[1]]).collect()
    };
    let wanted = pairs(wanted);
    let mut scored: Vec<(usize, &str)> = names
        .map(|name| (pairs(name).iter().filter(|pair| wanted.contains(pair)).count(), name))
        .filter(|(score, _)| *score > 0)
        .collect();
    scored.sort_by_key(|(score, name)| (std::cmp::Reverse(*score), *name));
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}
