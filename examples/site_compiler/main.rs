//! A small site compiler that publishes all of its outputs as one generation.
//!
//! A folder of pages, a style sheet and assets becomes `site/`, an application with the assets in it
//! (`app/`), a server (`bin/server`), `manifest.json` and `report.txt`. All of it is planned, written,
//! formatted and compiled where readers do not see it, audited as a whole, and committed atomically. Each
//! of these phases, and each stage of the store, can be made to fail:
//!
//! ```sh
//! cargo run --release --example site_compiler -- --store /tmp/x/genstore examples/site_compiler/site
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a compiler reads the clock, writes files and talks"
)]

mod app;
mod audit;
mod compile;
mod fail;
mod format;
mod phases;
mod plan;
mod render;
mod target;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use clap::Parser;
use genstore::audit::{Judged, KeepFailed};
use genstore::plan::ScanRules;
use genstore::publish::Staged;
use genstore::{CommitOptions, Options, Publication, StageOptions, Store};

use fail::Fault;
use phases::Phases;
use target::{Disk, Memory, Target};

/// Compile a site and publish all outputs in one commit.
#[derive(Parser)]
struct Args {
    /// The folder with the pages (`*.md`), the style sheet (`style.css`) and `assets/`.
    source: PathBuf,
    /// The store; it is created if it does not exist.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Build in memory.
    #[arg(long, conflicts_with = "disk")]
    memory: bool,
    /// Build in a private folder of the store (the default).
    #[arg(long)]
    disk: bool,
    /// A number that appears in every part of the build.
    #[arg(long, value_name = "N")]
    build: Option<u64>,
    /// A command that creates the server: it writes an executable file to $OUT. Without it the server is a
    /// copy of this program.
    #[arg(long, value_name = "CMD")]
    compiler: Option<String>,
    /// A command that checks the deployment of the staged tree in $STAGED, without changing it.
    #[arg(long, value_name = "CMD")]
    deploy_recipe: Option<String>,
    /// Fail at this place: plan, write, format, compile, audit, deploy-recipe, store-plan, store-write,
    /// store-audit, flush, number, pointer or view; `:kill` or `:enospc` selects the kind.
    #[arg(long, value_name = "WHERE[:HOW]", value_parser = Fault::parse_place)]
    fail_at: Option<Fault>,
    /// Fail at the Nth call that changes the store; `:kill` or `:enospc` selects the kind.
    #[arg(long, value_name = "N[:HOW]", value_parser = Fault::parse_step, conflicts_with = "fail_at")]
    fail_step: Option<Fault>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let fault = args.fail_at.or(args.fail_step);
    let mut phases = Phases::new(fault);
    match build(&args, fault, &mut phases) {
        Ok(published) => {
            phases.tell(&published);
            // The commit is done, but some work after it failed.
            ExitCode::from(if published.warnings.is_empty() { 0 } else { 3 })
        }
        Err(error) => {
            eprintln!("error: the phase {} failed: {error:#}", phases.now());
            eprintln!("hint: {}", served(&args.store));
            ExitCode::FAILURE
        }
    }
}

/// Runs everything from the source to the commit. A failure leaves the published site unchanged.
fn build(args: &Args, fault: Option<Fault>, phases: &mut Phases) -> Result<Publication> {
    let mut options = Options::new(Arc::new(SystemTime::now));
    options.faults = Fault::of_the_store(fault);
    args.store.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    let store = Store::init(&args.store, options)?.store;
    let outputs = phases.run("plan", || plan::plan(&args.source, args.build))?;
    // A fault needs a publication in which it can occur.
    let mut stage_options = StageOptions::default();
    stage_options.always = fault.is_some();
    let staged = if args.memory {
        let mut memory = Memory::default();
        make(args, phases, outputs, &mut memory)?;
        phases.run("stage", || Ok(store.stage(&memory.into_plan()?, stage_options)?))?
    } else {
        let stage = phases.run("stage", || Ok(store.begin()?))?;
        make(args, phases, outputs, &mut Disk(stage.path()))?;
        phases.run("stage", || Ok(stage.seal(&ScanRules::default(), stage_options)?))?
    };
    let audited = judge(args, phases, staged)?;
    let options =
        CommitOptions::default().facts(args.build.map(|build| ("build".to_owned(), build.to_string())));
    phases.run("commit", || Ok(audited.commit(&options)?))
}

/// Writes, formats and compiles the outputs, in the same way in memory and on the disk.
fn make(args: &Args, phases: &mut Phases, outputs: plan::Outputs, to: &mut impl Target) -> Result<()> {
    phases.run("write", || outputs.files.iter().try_for_each(|(path, output)| to.write(path, output)))?;
    phases.run("format", || {
        outputs.files.keys().try_for_each(|path| {
            let output = to.read(path)?;
            let bytes = format::format(path, &output.bytes)?;
            to.write(path, &plan::Output { bytes, ..output })
        })
    })?;
    phases.run("compile", || {
        to.compile("bin/server", |out| compile::server(out, args.compiler.as_deref(), args.build))?;
        let mut built = Vec::new();
        for path in outputs.files.keys().map(String::as_str).chain(["bin/server"]) {
            built.push((path.to_owned(), to.read(path)?));
        }
        plan::describe(&outputs, &built)?.iter().try_for_each(|(path, output)| to.write(path, output))
    })
}

/// Runs the rules, the link checker and the deployment recipe on the staged tree.
fn judge<'s>(args: &Args, phases: &mut Phases, staged: Staged<'s>) -> Result<genstore::audit::Audited<'s>> {
    phases.enter("audit");
    let judged = staged.audit_with(&audit::rules()?, |tree| {
        let findings = phases.run("audit", || audit::look(tree))?;
        phases.run("deploy-recipe", || try_out(args.deploy_recipe.as_deref(), tree))?;
        phases.enter("audit");
        Ok::<_, anyhow::Error>(findings)
    })?;
    match judged {
        Judged::Accepted(audited) => Ok(audited),
        Judged::Rejected(rejected) => {
            let lines: Vec<String> = rejected.findings().iter().map(audit::line).collect();
            let kept = rejected.keep(KeepFailed::default())?;
            bail!("{} (kept for a look in {})", lines.join("; "), kept.path.display())
        }
    }
}

fn try_out(recipe: Option<&str>, tree: &Path) -> Result<()> {
    let Some(recipe) = recipe else { return Ok(()) };
    let mut command = compile::shell(recipe);
    compile::run(command.env("STAGED", tree)).context("the deployment recipe")
}

fn served(store: &Path) -> String {
    match std::fs::read_link(store.join("current")) {
        Ok(target) => format!("{} is served, as before", target.display()),
        Err(_) => "nothing was published yet".to_owned(),
    }
}
