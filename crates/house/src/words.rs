//! The English of comments, messages and documents: extracts the sentences, and finds the worst
//! patterns of STYLE.md.

/// A first word that a sentence must not have, unless it is a question.
const FIRST: &[&str] = &[
    "gives",
    "how",
    "lets",
    "says",
    "tells",
    "those",
    "what",
    "whatever",
    "which",
    "whichever",
    "who",
    "whoever",
    "whom",
    "whose",
];

/// Words in a row, anywhere in a sentence. `_` is any word, `..` up to six words.
const ANYWHERE: &[&[&str]] = &[
    &["is", "told"],
    &["are", "told"],
    &["was", "told"],
    &["were", "told"],
    &["be", "told"],
    &["been", "told"],
    &["whoever"],
    &["whomever"],
    &["known", "of", "what"],
    &["what", "is", "known", "of"],
    &["that", "of", "what"],
    &["those", "of", "what"],
    &["is", "none", "to"],
    &["are", "none", "to"],
    &["so", "that", "..", "is", "none"],
    &["so", "that", "..", "are", "none"],
    &["nothing", "..", "that", "..", "nor"],
    &["none", "..", "that", "..", "nor"],
    &["nobody", "..", "that", "..", "nor"],
    &["nobody", "..", "who", "..", "nor"],
];

/// A sentence that breaks STYLE.md.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line where the paragraph of the sentence begins.
    pub line: usize,
    /// The beginning of the sentence.
    pub text: String,
}

/// A paragraph of a comment or a document, or a literal.
#[derive(Debug, PartialEq, Eq)]
struct Paragraph {
    line: usize,
    text: String,
    /// A literal: its first word may be in lower case, and it has no sentences that end with a period.
    is_message: bool,
}

/// Finds the sentences of a file that break STYLE.md. The ending of its name decides how it is read:
/// `rs`, `md`, or anything else as a script with `#` comments.
pub fn findings(ending: &str, text: &str) -> Vec<Finding> {
    let paragraphs = match ending {
        "rs" => of_rust(text),
        "md" => of_markdown(text),
        _ => of_script(text),
    };
    let mut found = vec![];
    for paragraph in &paragraphs {
        for sentence in sentences(&paragraph.text) {
            if is_bad(sentence, paragraph.is_message) {
                let text = sentence.chars().take(80).collect();
                found.push(Finding { line: paragraph.line, text });
            }
        }
    }
    found
}

fn is_bad(sentence: &str, is_message: bool) -> bool {
    let words: Vec<String> = sentence.split_whitespace().map(bare).collect();
    if sentence.ends_with('?') || words.len() < 3 {
        return false;
    }
    let first = sentence.split_whitespace().next().unwrap_or_default();
    // A name in code or in quotes is no word, and in a message a lower-case word may begin.
    let is_word = first.chars().all(char::is_alphabetic)
        && (is_message || first.chars().next().is_some_and(char::is_uppercase));
    let first = first.to_lowercase();
    (is_word && FIRST.contains(&&*first))
        || ANYWHERE.iter().any(|pattern| (0..words.len()).any(|at| matches(pattern, &words[at..])))
}

/// A word in lower case, without the marks around it.
fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric() && c != '`').to_lowercase()
}

/// Whether the words begin with a pattern.
fn matches(pattern: &[&str], words: &[String]) -> bool {
    match pattern.split_first() {
        None => true,
        Some((&"..", rest)) => (0..=6.min(words.len())).any(|skipped| matches(rest, &words[skipped..])),
        Some((wanted, rest)) => words
            .split_first()
            .is_some_and(|(word, words)| (*wanted == "_" || word == wanted) && matches(rest, words)),
    }
}

/// Splits at periods, question marks and exclamation marks that a space follows.
fn sentences(text: &str) -> Vec<&str> {
    let (mut found, mut start) = (vec![], 0);
    for (at, mark) in text.match_indices(['.', '?', '!']) {
        let end = at + mark.len();
        if text[end..].starts_with(' ') || end == text.len() {
            found.push(text[start..end].trim());
            start = end;
        }
    }
    found.push(text[start..].trim());
    found.retain(|sentence| !sentence.is_empty());
    found
}

/// Collects lines into paragraphs.
#[derive(Default)]
struct Lines {
    done: Vec<Paragraph>,
    open: Option<Paragraph>,
    is_code: bool,
}

impl Lines {
    fn add(&mut self, line: usize, text: &str) {
        let text = text.trim();
        if text.starts_with("```") {
            self.is_code = !self.is_code;
            return self.end();
        }
        // Headings are free.
        if self.is_code || text.is_empty() || text.starts_with('#') {
            return self.end();
        }
        let item = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let item = item.strip_prefix(['-', '*', '.', '>']).filter(|rest| rest.starts_with(' '));
        if item.is_some() {
            self.end();
        }
        let text = item.unwrap_or(text).trim();
        match &mut self.open {
            Some(open) => open.text = format!("{} {text}", open.text),
            None => self.open = Some(Paragraph { line, text: text.to_owned(), is_message: false }),
        }
    }

    /// Ends a paragraph: what follows begins a new one.
    fn end(&mut self) {
        self.done.extend(self.open.take());
    }

    fn message(&mut self, line: usize, text: &str) {
        self.done.push(Paragraph { line, text: text.to_owned(), is_message: true });
    }

    fn finish(mut self) -> Vec<Paragraph> {
        self.end();
        self.done
    }
}

fn of_markdown(text: &str) -> Vec<Paragraph> {
    let mut lines = Lines::default();
    for (at, line) in text.lines().enumerate() {
        if line.starts_with("    ") && lines.open.is_none() {
            continue;
        }
        match line.trim().strip_prefix('|') {
            Some(row) => {
                lines.end();
                for cell in row.split('|').map(str::trim).filter(|cell| !cell.is_empty()) {
                    lines.add(at + 1, cell);
                    lines.end();
                }
            }
            None => lines.add(at + 1, line),
        }
    }
    lines.finish()
}

fn of_script(text: &str) -> Vec<Paragraph> {
    let mut lines = Lines::default();
    for (at, line) in text.lines().enumerate() {
        match line.trim().strip_prefix('#').filter(|comment| comment.starts_with(' ')) {
            Some(comment) => lines.add(at + 1, comment),
            None => {
                lines.end();
                for text in line.split('"').skip(1).step_by(2) {
                    lines.message(at + 1, text);
                }
            }
        }
    }
    lines.finish()
}

/// Reads comments and literals. Only the marks that begin and end them are understood.
fn of_rust(text: &str) -> Vec<Paragraph> {
    let mut lines = Lines::default();
    let mut rest = text;
    let mut number = 1;
    // Where the last line comment ended: a comment on the next line continues it.
    let mut comment_line = 0;
    while let Some(mark) = rest.find(['"', '/', '\'', 'r']) {
        number += newlines(&rest[..mark]);
        let is_within_name = rest[..mark].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        rest = &rest[mark..];
        let length = if rest.starts_with("//") {
            let length = rest.find('\n').unwrap_or(rest.len());
            if comment_line + 1 != number {
                lines.end();
                lines.is_code = false;
            }
            comment_line = number;
            lines.add(number, rest[..length].trim_start_matches(['/', '!']));
            length
        } else if let Some(length) = raw_literal(rest).filter(|_| !is_within_name) {
            length
        } else if rest.starts_with('"') {
            let length = literal(rest);
            lines.end();
            lines.message(number, &unescaped(&rest[1..length - 1]));
            length
        } else if rest.starts_with("'\"'") || rest.starts_with("'/'") {
            3
        } else if rest.starts_with("'\\") {
            3 + rest[3..].find('\'').map_or(0, |end| end + 1)
        } else {
            1
        };
        number += newlines(&rest[..length]);
        rest = &rest[length..];
    }
    lines.finish()
}

fn newlines(text: &str) -> usize {
    text.matches('\n').count()
}

/// Returns the length of a literal with its quotes.
fn literal(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len().max(2)
}

/// Returns the length of a raw literal (`r"…"`, `r#"…"#`). These are data of tests and no messages.
fn raw_literal(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let marks = after.len() - after.trim_start_matches('#').len();
    let body = after[marks..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks));
    Some(1 + marks + 1 + body.find(&end)? + end.len())
}

/// The text of a literal, with a space for what is escaped.
fn unescaped(text: &str) -> String {
    let pieces = text.split('\\').enumerate();
    let piece = |(at, piece): (usize, &str)| match at {
        0 => piece.to_owned(),
        _ => format!(" {}", piece.get(1..).unwrap_or_default().trim_start()),
    };
    pieces.map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ending: &str, text: &str, expected: &[(usize, &str)]) {
        let found = findings(ending, text);
        let found: Vec<_> = found.iter().map(|finding| (finding.line, &*finding.text)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn sentences_that_begin_with_a_clause_are_found() {
        check("rs", "/// What is left of it.\nfn f() {}", &[(1, "What is left of it.")]);
        check("rs", "// All is well. Those of\n// the store stay.", &[(1, "Those of the store stay.")]);
        check("rs", "//! Ends here.\n\n/// Gives the size.", &[(3, "Gives the size.")]);
        check("rs", "/// Returns what is left: how it went.", &[]);
        check("rs", "/// Which of them is it?", &[]);
        check("rs", "/// `what` is a word.", &[]);
        check("rs", "/// ```\n/// // What is this thing\n/// ```\n/// How it is.", &[(4, "How it is.")]);
        check(
            "md",
            "# How it works\n\nIt works\nwell. How else could it be done.\n",
            &[(3, "How else could it be done.")],
        );
        check(
            "md",
            "- Is one.\n- Those are two.\n\n| name | What it is for |\n",
            &[(2, "Those are two."), (4, "What it is for")],
        );
        check("md", "```\nWhat is this code\n```\n\n    What is this code\n", &[]);
        check(
            "sh",
            "#!/bin/sh\n# Says what it does.\necho \"what it did\"\n",
            &[(2, "Says what it does."), (3, "what it did")],
        );
    }

    #[test]
    fn clauses_are_found_within_a_sentence() {
        check("rs", "// The user is told of it.", &[(1, "The user is told of it.")]);
        check(
            "rs",
            "// It goes, so that the tree is none to go on with.",
            &[(1, "It goes, so that the tree is none to go on with.")],
        );
        check(
            "rs",
            "// Nothing is here that it reads nor writes.",
            &[(1, "Nothing is here that it reads nor writes.")],
        );
        check("rs", "// Neither a file nor a folder.", &[]);
    }

    #[test]
    fn literals_are_messages() {
        check(
            "rs",
            "f(\"what is left of \\\"it\\\" here\"); g('\"', \"how it went on\")",
            &[(1, "what is left of  it here"), (1, "how it went on")],
        );
        check("rs", "f(\"how\", r#\"what is \"this\" data\"#, \"what now\")", &[]);
        check(
            "rs",
            "let a = b'\\''; let c: &'a str = \"a\\\n  what is it\";\n// How is it so.",
            &[(3, "How is it so.")],
        );
    }
}
