//! The command line: global flags, the verbs, and what is said when it cannot be understood.
//!
//! Each verb's own arguments stand in its file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::error::{ContextKind, ErrorKind};
use clap::{Parser, Subcommand, ValueEnum};

use crate::command::context::Context;
use crate::globals::{Globals, When};
use crate::render::failure::{Failure, settle};
use crate::render::output::Out;
use crate::text::escape::is_unsafe;
use crate::{exit, verbs};

const AFTER_HELP: &str = "\
REF names a generation: 42 (its number), @ (current), @- and @-3 (older ones), a pin's name, or
six or more hex digits of its tree's id.

The store is, in this order: --store, GENSTORE_STORE, and the nearest of store.path of a
genstore.toml and a genstore folder, here or above, up to the project's root.

Exit status: 0 done; 1 failed, `diff --exit-code` found differences, or `torture` a promise that
did not hold; 2 usage; 3 partly done; 4 damage found; 5 an audit refused the output; 6 something
else was current than --expect says; 10 no store here; 11 the wait for a lock ran out; 12 the store
needs a newer genstore; exec and build: 124 took too long, 125 could not start, 126 not executable,
127 not found, else the command's own; 130 and 143 interrupted.";

/// Publishes build outputs as generations: readers see the whole old one or the whole new one.
#[derive(Parser)]
#[command(name = "genstore", bin_name = "genstore", version, after_help = AFTER_HELP)]
#[command(max_term_width = 100, subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(disable_help_subcommand = false, infer_subcommands = false)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Calls a macro with every verb: variant, module, name.
macro_rules! verbs {
    ($($(#[$attribute:meta])* $verb:ident = $module:ident, $name:literal;)*) => {
        /// What to do.
        #[derive(Subcommand)]
        pub(crate) enum Verb {
            $($(#[$attribute])* #[command(name = $name)] $verb(verbs::$module::$verb),)*
        }

        impl Verb {
            /// Gives its name, for the log.
            pub(crate) fn name(&self) -> &'static str {
                match self {
                    $(Verb::$verb(_) => $name,)*
                }
            }

            /// Does it, and gives the exit status.
            pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
                match self {
                    $(Verb::$verb(args) => args.run(context),)*
                }
            }
        }
    };
}

verbs! {
    /// Make an empty store
    Init = init, "init";
    /// Publish a directory as a new generation
    ///
    /// Or several directories and files (--root), a tar archive (--from-tar), or a plan (--plan): a
    /// line for each entry, like {"path":"css/site.css","source":"build/site.css"}. Instead of
    /// source stands one of text, bytes (in base64), symlink, or "dir":true; files may have a mode,
    /// like "0755". For names that are not UTF-8 there are path_b64, source_b64 and symlink_b64.
    Publish = publish, "publish";
    /// Run a command that writes to a stage, and publish what it wrote
    ///
    /// The command writes to the directory GENSTORE_OUT, which is empty at first. GENSTORE_PREV is the
    /// current generation's directory, to be read only, and GENSTORE_GENERATION its number. stdin is
    /// empty; the output is passed on and kept as build.log beside the generation, or under failed/
    /// in the store. Nothing that the command started outlives it. What fails is not published.
    Build = build, "build";
    /// Build when sources change, publish what was built, and run programs on it
    ///
    /// Sources are files of the given paths that git would not ignore, without node_modules. The build
    /// is run as by `build`, once at first, and then whenever they changed and it has been quiet for a
    /// while. A build that fails, or is refused by an audit, is told of, and what is current goes on
    /// being served; one that changes nothing wakes nobody. After a rollback what is built is kept, and
    /// not made current, until `resume`.
    ///
    /// Programs (--run) are started on the generation that is current: GENSTORE_ROOT is its directory,
    /// GENSTORE_GENERATION its number, and gc leaves it alone as long as they run. After a commit they
    /// are told to stop, with all that they started, and started anew. With --json each event is a line.
    Watch = watch, "watch";
    /// Have a running `watch` build, though no source changed
    Rebuild = rebuild, "rebuild";
    /// Have a running `watch` start one of its programs anew
    Restart = restart, "restart";
    /// Begin a stage: print its id, and a directory to write to
    ///
    /// Any program may write to the directory; nothing of it is seen until `commit` makes it a
    /// generation. The stage belongs to a process or lasts for a time: nobody else touches it until
    /// then, and afterwards the next command that writes to the store removes it.
    Begin = begin, "begin";
    /// Make a stage that was begun a new generation
    Commit = commit, "commit";
    /// End a stage that was begun, and remove what was written to it
    Abort = abort, "abort";
    /// List the generations, newest first
    #[command(visible_aliases = ["log", "ls"])]
    List = list, "list";
    /// Show one generation, and what keeps it
    Show = show, "show";
    /// Print the number of the current generation
    Current = current, "current";
    /// Print the directory of a generation
    Path = path, "path";
    /// Compare two generations, or a generation and a directory
    Diff = diff, "diff";
    /// Print the bytes of one file
    Cat = cat, "cat";
    /// Copy a generation to a directory, as plain private files
    Export = export, "export";
    /// Go back to the newest good generation that was current before
    Rollback = rollback, "rollback";
    /// After a rollback: let `watch` show what it builds again
    ///
    /// A rollback holds what it went back to: what `watch` builds from then on is kept, but not made
    /// current. This ends the hold, and makes the newest good generation since current. So do
    /// `switch` and `publish`, with the generation of their own.
    Resume = resume, "resume";
    /// Make any kept generation current
    Switch = switch, "switch";
    /// Say of a generation that it is good or bad
    Mark = mark, "mark";
    /// Keep a generation under a name
    Pin = pin, "pin";
    /// Remove a pin
    Unpin = unpin, "unpin";
    /// Remove generations that nothing keeps, and objects that none of the others has
    Gc = gc, "gc";
    /// Check every byte of the store
    Verify = verify, "verify";
    /// Run a command that holds a generation
    ///
    /// GENSTORE_ROOT is the generation's directory, GENSTORE_GENERATION its number. gc leaves the
    /// generation alone as long as the command lives, or any process it started. A command that
    /// closes the descriptors it inherits (sudo, su, some daemons) gives the hold up. The working
    /// directory stays as it is.
    Exec = exec, "exec";
    /// Show what is current at paths outside the store
    View = view, "view";
    /// Tell how much space each generation uses
    Du = du, "du";
    /// Tell what the system and the filesystem can do for the store, and whom each view suits
    Doctor = doctor, "doctor";
    /// Wait until another generation is current, and print its number
    Wait = wait, "wait";
    /// Break stores on a filesystem of yours in every way, and see that its promises hold there
    ///
    /// The program runs against scratch stores in a folder of its own in DIR. At each call that
    /// changes the disk, and in each way (--kinds), it is killed or failed once; then readers must
    /// see the complete old or the complete new tree, and the next command must need no help. A
    /// loss of power is not tried. The default is a sample; `--steps all` takes minutes. Exit
    /// status 1: a promise did not hold; the folder of such a trial is kept.
    Torture = torture, "torture";
    /// Obey a project's file as it is now, until it changes
    ///
    /// A genstore.toml of your own is obeyed as it is, unless `require_trust = true` stands in your
    /// configuration (config.toml in ~/.config/genstore): then its commands run only after this. One
    /// that others own or may write to is refused, unless this, --trust, or the list `trusted` in your
    /// configuration says otherwise.
    Trust = trust, "trust";
    /// Print a shell's completions
    Completions = completions, "completions";
}

impl Verb {
    /// Gives the exit status of failures that are the program's own, where others would be taken
    /// for those of the command that it runs.
    pub(crate) fn failure_exit(&self) -> Option<u8> {
        matches!(self, Verb::Exec(_)).then_some(exit::EXEC_FAILED)
    }
}

/// Understands the arguments.
pub(crate) fn parse(args: &[OsString]) -> Result<Cli, Stopped> {
    Cli::try_parse_from(args).map_err(|error| {
        // Errors about arguments quote them, so the arguments are escaped first.
        let shown: Vec<OsString> = args.iter().map(shown).collect();
        let error = Cli::try_parse_from(&shown).err().filter(|_| shown != args).unwrap_or(error);
        Stopped::new(error, args)
    })
}

/// An argument without what a terminal would obey or hide.
fn shown(arg: &OsString) -> OsString {
    match arg.to_str() {
        Some(text) if !text.chars().any(is_unsafe) => arg.clone(),
        _ => genstore::tree::show_path(arg.as_bytes()).into(),
    }
}

/// A command line that asks for help, or that makes no sense.
pub(crate) struct Stopped {
    error: clap::Error,
    globals: Globals,
}

impl Stopped {
    /// The global flags could not be read with the rest, so they are picked out one by one.
    fn new(error: clap::Error, args: &[OsString]) -> Stopped {
        let own: Vec<&str> =
            args.iter().take_while(|arg| *arg != "--").filter_map(|arg| arg.to_str()).collect();
        let color = own.iter().enumerate().rev().find_map(|(at, arg)| match arg.strip_prefix("--color") {
            Some("") => own.get(at + 1).copied(),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        });
        let globals = Globals {
            store: None,
            chdir: None,
            trust: false,
            no_project: false,
            json: own.contains(&"--json"),
            color: color.and_then(|when| When::from_str(when, false).ok()).unwrap_or(When::Auto),
            progress: When::Never,
            quiet: false,
            verbose: 0,
            lock_timeout: Duration::ZERO,
        };
        Stopped { error, globals }
    }

    /// Says so.
    pub(crate) fn tell(self) -> ExitCode {
        let out = Out::new(&self.globals);
        let text = in_our_words(&self.error.render().ansi().to_string());
        let status = match self.error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                out.text(&text);
                settle(&out, exit::DONE)
            }
            _ if out.json() => Failure::usage(&self.message(), self.hint()).tell(&out, None),
            _ => {
                out.talk(&text);
                exit::USAGE
            }
        };
        ExitCode::from(status)
    }

    /// The first paragraph of what clap says.
    fn message(&self) -> String {
        let missing = [ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, ErrorKind::MissingSubcommand];
        if missing.contains(&self.error.kind()) {
            return "no verb is given".to_owned();
        }
        let text = in_our_words(&self.error.render().to_string());
        let paragraph = text.split("\n\n").next().unwrap_or_default();
        paragraph.trim_start_matches("error: ").to_owned()
    }

    fn hint(&self) -> String {
        let suggested =
            [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
        let near = suggested.into_iter().find_map(|kind| self.error.get(kind));
        match near {
            Some(near) => format!("did you mean {near}? see `genstore help`"),
            None => "see `genstore help`".to_owned(),
        }
    }
}

/// clap says "subcommand"; we say "verb".
fn in_our_words(text: &str) -> String {
    text.replace("subcommand", "verb")
}
