//! Patterns of `.gitignore` files, and their verdict about a path.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use gix_glob::pattern::{Case, Mode};
use gix_glob::{Pattern, wildmatch};

use crate::stamp::is_gone;

/// The largest file of rules.
pub(crate) const MOST_RULES_BYTES: u64 = 1 << 20;

/// The error of opening a symlink that must not be followed.
const LOOP: i32 = rustix::io::Errno::LOOP.raw_os_error();

/// The name of the ignore file in each folder.
pub(crate) const GITIGNORE: &str = ".gitignore";

/// The patterns of one file, or of one list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rules {
    /// The folder that the patterns are relative to, without a trailing slash.
    base: Vec<u8>,
    patterns: Vec<Pattern>,
    case: Case,
}

impl Rules {
    /// Parses the text of a file whose patterns are relative to `base`.
    pub(crate) fn parse(base: &Path, text: &[u8], case: Case) -> Rules {
        let base = base.as_os_str().as_bytes();
        let base = base.strip_suffix(b"/").unwrap_or(base).to_owned();
        let patterns = gix_ignore::parse(text, false).map(|(pattern, _, _)| pattern).collect();
        Rules { base, patterns, case }
    }

    /// Reads a file of rules. Returns `None` if there is none.
    ///
    /// # Errors
    /// The reason why it cannot be read, as a sentence. Reading never blocks: a FIFO is refused.
    pub(crate) fn read(
        base: &Path,
        file: &Path,
        links: Links,
        case: Case,
    ) -> Result<Option<Rules>, String> {
        let nofollow =
            if links == Links::Refuse { rustix::fs::OFlags::NOFOLLOW } else { rustix::fs::OFlags::empty() };
        let flags = (rustix::fs::OFlags::NONBLOCK | nofollow).bits();
        let told = |error: &std::io::Error| Err(format!("{}: {error}", file.display()));
        let open = std::fs::OpenOptions::new().read(true).custom_flags(flags as i32).open(file);
        let opened = match open {
            Ok(opened) => opened,
            Err(error) if is_gone(&error) => return Ok(None),
            // Git does not follow a symlink in the worktree to its rules.
            Err(error) if error.raw_os_error() == Some(LOOP) => return Ok(None),
            Err(error) => return told(&error),
        };
        let meta = match opened.metadata() {
            // git also ignores a folder with this name.
            Ok(meta) if meta.is_dir() => return Ok(None),
            Ok(meta) if !meta.is_file() => {
                return Err(format!("{} is not a regular file", file.display()));
            }
            Ok(meta) => meta,
            Err(error) => return told(&error),
        };
        let mut text = Vec::new();
        match opened.take(MOST_RULES_BYTES + 1).read_to_end(&mut text) {
            Ok(_) if text.len() as u64 > MOST_RULES_BYTES || meta.len() > MOST_RULES_BYTES => {
                Err(format!("{} is longer than 1 MiB", file.display()))
            }
            Ok(_) => Ok(Some(Rules::parse(base, &text, case))),
            Err(error) => told(&error),
        }
    }

    /// Returns whether these rules alone ignore the path, or `None` if no pattern matches it. The last
    /// matching pattern decides.
    pub(crate) fn judge(&self, path: &OsStr, is_dir: bool) -> Option<bool> {
        let path = path.as_bytes();
        let below = path.strip_prefix(&self.base[..]).and_then(|path| path.strip_prefix(b"/"));
        // Outside the base folder only patterns of names can match.
        let relative = below.or_else(|| path.rsplit(|&byte| byte == b'/').next()).unwrap_or_default();
        let name_at = relative.iter().rposition(|&byte| byte == b'/').map(|at| at + 1);
        let matches = |pattern: &&Pattern| {
            let mode = wildmatch::Mode::NO_MATCH_SLASH_LITERAL;
            pattern.matches_repo_relative_path(relative.into(), name_at, Some(is_dir), self.case, mode)
        };
        self.patterns.iter().rev().find(matches).map(|pattern| !pattern.mode.contains(Mode::NEGATIVE))
    }
}

/// The treatment of a symlink in the place of a file of rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// It is followed.
    Follow,
    /// It counts as a missing file.
    Refuse,
}

/// The rules of a folder, the nearest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Chain(Option<Arc<Link>>);

#[derive(PartialEq, Eq, Debug)]
struct Link {
    rules: Rules,
    above: Chain,
}

impl Chain {
    /// Puts rules before the existing ones.
    pub(crate) fn with(self, rules: Option<Rules>) -> Chain {
        match rules {
            Some(rules) => Chain(Some(Arc::new(Link { rules, above: self }))),
            None => self,
        }
    }

    /// Returns how the nearest rules compare letters.
    pub(crate) fn case(&self) -> Case {
        self.0.as_ref().map_or(Case::Sensitive, |link| link.rules.case)
    }

    /// Returns whether a path is ignored, or `None` if no pattern matches it. Ignored parent folders are
    /// not considered.
    pub(crate) fn judge(&self, path: &OsStr, is_dir: bool) -> Option<bool> {
        let mut chain = self;
        while let Some(link) = &chain.0 {
            let judged = link.rules.judge(path, is_dir);
            if judged.is_some() {
                return judged;
            }
            chain = &link.above;
        }
        None
    }
}
