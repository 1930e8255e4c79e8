//! `--include` and `--exclude`: the parts of a directory that are published or compared.

use anyhow::Result;
use clap::Args;
use genstore::audit::Patterns;
use genstore::plan::ScanRules;

#[derive(Args, Clone, Default)]
pub(crate) struct Choice {
    /// Take in only what matches this pattern, as in a .gitignore file; may be repeated
    #[arg(long, value_name = "PATTERN", value_parser = parse)]
    include: Vec<String>,
    /// Leave out what matches this pattern, as in a .gitignore file; may be repeated
    #[arg(long, value_name = "PATTERN", value_parser = parse)]
    exclude: Vec<String>,
}

/// Checks one pattern.
fn parse(text: &str) -> Result<String, String> {
    Patterns::new([text]).map(|_| text.to_owned()).map_err(|why| why.to_string())
}

impl Choice {
    /// Returns whether nothing was chosen.
    pub(crate) fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Adds the patterns to those of the project.
    pub(crate) fn add_to(&self, rules: &mut ScanRules) -> Result<()> {
        for (own, more) in [(&mut rules.include, &self.include), (&mut rules.exclude, &self.exclude)] {
            if !more.is_empty() {
                let before = own.take().map_or_else(|| Patterns::new([""; 0]), Ok);
                *own = Some(before.and_then(|before| before.and(more)).map_err(anyhow::Error::from)?);
            }
        }
        Ok(())
    }
}
