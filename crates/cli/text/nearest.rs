//! Suggestions: the known name that is most similar to an unknown one.

/// Returns the known name that is most similar to an unknown one, or `None` if none is similar.
pub(crate) fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let score = |name: &str| strsim::jaro_winkler(unknown, name);
    let best = known.iter().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) > 0.75).then_some(best)
}
