//! `bisect`: searches for the first bad generation, by tests of the one in the middle. `current` stays as it is.

mod state;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use genstore::{GenerationId, Rev, Store};
use genstore_run::{Ended, Limits, Output};
use serde::Serialize;

use crate::command::context::Context;
use crate::command::running;
use crate::errors::Fail;
use crate::exit;
use crate::render::json::PathField;
use crate::render::output;
use crate::text::escape::show;
use crate::text::human;
use state::{Search, Verdict};

/// The exit status of a command that cannot test a generation, as for `git bisect run`.
const CANNOT_TEST: i32 = 125;

#[derive(Args)]
pub(crate) struct Bisect {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Begin a search between a good generation and a newer, bad one
    ///
    /// All kept generations between the two are kept for seven days (as pins named bisect-...), or until `reset`. A
    /// search that is under way ends.
    Start(Start),
    /// Say that a generation is good
    Good(About),
    /// Say that a generation is bad
    Bad(About),
    /// Say that a generation cannot be tested
    Skip(About),
    /// Test with a command until the first bad generation is found
    ///
    /// GENSTORE_ROOT is the directory of the generation to test, GENSTORE_GENERATION its number, and each argument
    /// {} becomes the directory. Exit status 0 means good, 125 that it cannot be tested, 1 to 124 bad. Any other
    /// status, or a signal, stops the search there.
    Run(Run),
    /// Show the generation to test, or the result
    Status,
    /// End the search, and give up its pins
    Reset,
}

#[derive(Args)]
struct Start {
    /// A good generation
    #[arg(value_name = "REF")]
    good: Rev,
    /// A bad generation, which is newer
    #[arg(value_name = "REF", default_value = "@")]
    bad: Rev,
}

#[derive(Args)]
struct About {
    /// The generation [default: the one to test]
    #[arg(value_name = "REF")]
    generation: Option<Rev>,
}

#[derive(Args)]
struct Run {
    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

const SCHEMA: &str = "genstore.bisect/1";

/// The document `genstore.bisect/1`.
#[derive(Serialize, Default)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct BisectDoc {
    schema: &'static str,
    /// The newest generation that is known to be good; absent without a search.
    #[serde(skip_serializing_if = "Option::is_none")]
    good: Option<GenerationId>,
    /// The oldest generation that is known to be bad; absent without a search.
    #[serde(skip_serializing_if = "Option::is_none")]
    bad: Option<GenerationId>,
    /// The number of generations between the two that were not tested.
    open: usize,
    /// The number of tests that remain at most, if none is skipped.
    steps: u32,
    /// The generations between the two that cannot be tested.
    skipped: Vec<GenerationId>,
    /// The generation to test.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<GenerationId>,
    /// The directory of the generation to test.
    #[serde(flatten)]
    path: Option<PathField>,
    /// The first bad generation, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_bad: Option<GenerationId>,
}

impl Bisect {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        match &self.verb {
            Verb::Start(args) => args.run(context, &store),
            Verb::Good(args) => args.note(context, &store, Verdict::Good),
            Verb::Bad(args) => args.note(context, &store, Verdict::Bad),
            Verb::Skip(args) => args.note(context, &store, Verdict::Skipped),
            Verb::Run(args) => args.run(context, &store),
            Verb::Status => report(context, &store),
            Verb::Reset => reset(context, &store),
        }
    }
}

impl Start {
    fn run(&self, context: &Context<'_>, store: &Store) -> Result<u8> {
        let (good, bad) = (store.resolve(&self.good)?, store.resolve(&self.bad)?);
        if good >= bad {
            let hint = "name a good generation first, and then a newer one that is bad".to_owned();
            let message = format!("generation {good} is not older than generation {bad}");
            return Err(Fail { hint, ..Fail::usage("bad-range", message) }.into());
        }
        Search::begin(store, (good, bad), context.now())?;
        report(context, store)
    }
}

impl About {
    fn note(&self, context: &Context<'_>, store: &Store, verdict: Verdict) -> Result<u8> {
        let search = Search::of(store)?;
        let id = match &self.generation {
            Some(rev) => store.resolve(rev)?,
            None => search.next().ok_or_else(|| {
                let message = "the search is over: there is no generation to test";
                Fail::new("search-over", message, "`genstore bisect status` shows the result")
            })?,
        };
        search.note(store, verdict, id)?;
        report(context, store)
    }
}

impl Run {
    fn run(&self, context: &Context<'_>, store: &Store) -> Result<u8> {
        loop {
            let search = Search::of(store)?;
            let Some(id) = search.next() else { return report(context, store) };
            let verdict = self.test(context, store, id)?;
            search.note(store, verdict, id)?;
            let said = match verdict {
                Verdict::Good => "good",
                Verdict::Bad => "bad",
                _ => "skipped",
            };
            context.out.note(&format!("generation {id} is {said}"));
        }
    }

    /// Runs the command for one generation, which is kept meanwhile.
    fn test(&self, context: &Context<'_>, store: &Store, id: GenerationId) -> Result<Verdict> {
        let _lease = store.open_generation(&Rev::Number(id))?;
        let root = store.tree_path(id);
        let words: Vec<OsString> = self.command.iter().map(|word| at_root(word, &root)).collect();
        let mut job = running::job(&words).ok_or_else(|| running::no_command("bisect run"))?;
        job.env = vec![
            ("GENSTORE_ROOT".into(), root.into()),
            ("GENSTORE_GENERATION".into(), id.to_string().into()),
        ];
        context.progress.finish();
        // The result of the search goes to stdout.
        let output = Output::to(|_, bytes| output::pass_to_stderr(bytes));
        let ended = running::run(context, &job, output, Limits::default())?.finished.ended;
        match ended {
            Ended::Exited(0) => Ok(Verdict::Good),
            Ended::Exited(CANNOT_TEST) => Ok(Verdict::Skipped),
            Ended::Exited(1..CANNOT_TEST) => Ok(Verdict::Bad),
            ended => {
                let name = show(Path::new(&self.command[0]));
                let message = format!("generation {id} was not tested: {}", running::ending(&name, ended));
                let hint = "mend the command and run it again: the search goes on there";
                Err(Fail::new("test-failed", message, hint).into())
            }
        }
    }
}

/// Returns a word of the command, or the directory for `{}`.
fn at_root(word: &OsString, root: &Path) -> OsString {
    if word == "{}" { root.into() } else { word.clone() }
}

/// Prints the state of the search. Returns 1 if nothing is left to test and the result is not known.
fn report(context: &Context<'_>, store: &Store) -> Result<u8> {
    let search = Search::of(store)?;
    let next = search.next();
    let is_unknown = next.is_none() && !search.skipped.is_empty();
    let path: Option<PathBuf> = next.map(|id| store.tree_path(id));
    let document = BisectDoc {
        schema: SCHEMA,
        good: Some(search.good),
        bad: Some(search.bad),
        open: search.open.len(),
        steps: search.steps(),
        skipped: search.skipped.clone(),
        next,
        path: path.as_deref().map(PathField::of_path),
        first_bad: (next.is_none() && !is_unknown).then_some(search.bad),
    };
    context.out.emit(&document, || match (next, &path) {
        (Some(id), Some(path)) => {
            let left = human::count(search.open.len() as u64, "generation");
            let steps = human::count(search.steps().into(), "test");
            format!("Test generation {id} at {}: {left} left, at most {steps}\n", show(path))
        }
        _ if is_unknown => format!(
            "The first bad generation is {}, or one of those that were skipped: {}\n",
            search.bad,
            human::generations(&search.skipped)
        ),
        _ => format!("Generation {} is the first bad one: {} is good\n", search.bad, search.good),
    });
    if next.is_none() {
        let (good, bad) = (search.good, search.bad);
        context.out.hint(&format!(
            "`genstore diff {good} {bad}` shows its changes, `genstore bisect reset` ends the search"
        ));
    }
    Ok(if is_unknown { exit::FAILED } else { exit::DONE })
}

fn reset(context: &Context<'_>, store: &Store) -> Result<u8> {
    let ended = Search::end(store)?;
    let document = BisectDoc { schema: SCHEMA, ..BisectDoc::default() };
    context.out.confirm(&document, || match ended {
        true => "Ended the search\n".to_owned(),
        false => "No search is under way\n".to_owned(),
    });
    Ok(exit::DONE)
}
