//! The command line: the global flags, the verbs, and the errors for arguments that cannot be parsed.
//!
//! The file of each verb defines its own arguments.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::command::context::Context;
use crate::globals::{Globals, When};
use crate::render::failure::{Failure, settle};
use crate::render::output::Out;
use crate::text::escape::is_unsafe;
use crate::{exit, verbs};

const AFTER_HELP: &str = "\
REF names a generation: 42 (its number), @ (current), @- and @-3 (older ones), a pin's name, or
six or more hex digits of its tree's id.

The store is looked up in this order: --store, GENSTORE_STORE, then the nearest store.path of a
genstore.toml or genstore folder, in this directory or above, up to the project's root.

Exit status: 0 success; 1 failure, differences found by `diff --exit-code`, or a broken promise
found by `torture`; 2 usage error; 3 partly done; 4 damage found; 5 output refused by an audit;
6 another generation was current than --expect names; 10 no store here; 11 lock timeout; 12 the
store or the remote needs a newer genstore; 13 the remote cannot be trusted. exec and build: 124 timeout, 125 could not start, 126 not executable,
127 not found, otherwise the command's own status; 130 and 143 interrupted.";

/// Publish build outputs as generations: readers see the whole old one or the whole new one
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
        /// The verb to run.
        #[derive(Subcommand)]
        pub(crate) enum Verb {
            $($(#[$attribute])* #[command(name = $name)] $verb(verbs::$module::$verb),)*
        }

        impl Verb {
            /// Returns its name, for the log.
            pub(crate) fn name(&self) -> &'static str {
                match self {
                    $(Verb::$verb(_) => $name,)*
                }
            }

            /// Runs the verb and returns the exit status.
            pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
                match self {
                    $(Verb::$verb(args) => args.run(context),)*
                }
            }
        }
    };
}

verbs! {
    /// Create an empty store
    Init = init, "init";
    /// Publish a directory as a new generation
    ///
    /// The input may also be several directories and files (--root), a tar archive (--from-tar), or a plan
    /// (--plan). A plan has one line of JSON per entry, like
    /// {"path":"css/site.css","source":"build/site.css"}. Instead of source, an entry may have text, bytes
    /// (in base64), symlink, or "dir":true. Files may have a mode, like "0755". Names that are not UTF-8 go
    /// into path_b64, source_b64 and symlink_b64.
    Publish = publish, "publish";
    /// Run a command that writes to a stage, and publish its output
    ///
    /// The command writes to the directory GENSTORE_OUT, which is empty at first. GENSTORE_PREV is the
    /// directory of the current generation (read only), and GENSTORE_GENERATION its number. stdin is empty.
    /// The command's messages are printed, and kept as build.log beside the generation, or under failed/ in
    /// the store. All processes that the command started are stopped when it ends. A failed build is not
    /// published.
    Build = build, "build";
    /// Build and publish when sources change, and run programs on the result
    ///
    /// The sources are the files of the given paths that git would not ignore, without node_modules. The
    /// build runs as with `build`: once at the start, and again after each change, when no source has
    /// changed for a while. If a build fails or an audit refuses it, the error is reported and the current
    /// generation stays. A build that changes nothing triggers nothing. After a rollback, new builds are
    /// kept but not made current, until `resume`.
    ///
    /// Programs (--run) start on the current generation: GENSTORE_ROOT is its directory,
    /// GENSTORE_GENERATION its number, and gc keeps it while they run. After a commit they are stopped,
    /// with all processes that they started, and restarted. With --json each event is one line.
    Watch = watch, "watch";
    /// Make a running `watch` build now, even if no source changed
    Rebuild = rebuild, "rebuild";
    /// Make a running `watch` restart one of its programs
    Restart = restart, "restart";
    /// Begin a stage: print its id and a directory to write to
    ///
    /// Any program may write to the directory. Readers see nothing of it until `commit` makes it a
    /// generation. The stage belongs to a process, or lasts for a limited time, and is protected until
    /// then. After that, the next command that writes to the store removes it.
    Begin = begin, "begin";
    /// Publish a stage as a new generation
    Commit = commit, "commit";
    /// Abort a stage, and remove its files
    Abort = abort, "abort";
    /// List the generations, newest first
    #[command(visible_aliases = ["log", "ls"])]
    List = list, "list";
    /// Show what is current, and what goes on in the store
    Status = status, "status";
    /// Show one generation, and why gc keeps it
    Show = show, "show";
    /// Print the number of the current generation
    Current = current, "current";
    /// Print the directory of a generation
    Path = path, "path";
    /// Compare two generations, or a generation and a directory
    Diff = diff, "diff";
    /// Print the bytes of one file
    Cat = cat, "cat";
    /// Copy a generation to a directory, as independent plain files
    Export = export, "export";
    /// Go back to the newest good generation that was current before
    Rollback = rollback, "rollback";
    /// End the hold of a rollback, and let `watch` activate its builds again
    ///
    /// A rollback holds the generation that it activates: from then on, `watch` keeps its builds but does
    /// not make them current. This command ends the hold, and activates the newest good generation built
    /// since. `switch` and `publish` also end the hold, with the generation that they activate.
    Resume = resume, "resume";
    /// Make any kept generation current
    Switch = switch, "switch";
    /// Mark a generation as good or bad
    Mark = mark, "mark";
    /// Keep a generation under a name
    Pin = pin, "pin";
    /// Remove a pin
    Unpin = unpin, "unpin";
    /// Remove unreferenced generations and objects
    Gc = gc, "gc";
    /// Check every byte of the store
    Verify = verify, "verify";
    /// Run a command that keeps a generation in use
    ///
    /// GENSTORE_ROOT is the generation's directory, GENSTORE_GENERATION its number. gc keeps the generation
    /// while the command, or any process that it started, is running. A command that closes inherited
    /// descriptors (sudo, su, some daemons) releases it. The working directory does not change.
    Exec = exec, "exec";
    /// Show the current generation at paths outside the store
    View = view, "view";
    /// Show the disk usage of each generation
    Du = du, "du";
    /// Check the system and the filesystem, and list which programs each view supports
    Doctor = doctor, "doctor";
    /// Wait until another generation is current, and print its number
    Wait = wait, "wait";
    /// Test on a real filesystem whether the store survives crashes and disk errors
    ///
    /// The program runs against temporary stores in a folder that it creates in DIR. It is killed, or gets
    /// an error, once at each call that changes the disk and in each way (--kinds). After each, readers
    /// must see the complete old or the complete new tree, and the next command must succeed without help.
    /// Power loss is not tested. The default is a sample; `--steps all` takes minutes. Exit status 1: a
    /// promise did not hold; the folder of that trial is kept.
    Torture = torture, "torture";
    /// Trust a project's file in its present form, until it changes
    ///
    /// A genstore.toml that you own is trusted by default. With `require_trust = true` in your
    /// configuration (config.toml in ~/.config/genstore), its commands run only after this command. A file
    /// that other users own or may write to is refused, unless you allow it by this command, by --trust, or
    /// by the list `trusted` in your configuration.
    Trust = trust, "trust";
    /// Send a generation to a remote
    ///
    /// Only objects that the heads of the remote do not have are sent. If the head of the channel has this
    /// tree already, nothing is. If another machine moves the channel meanwhile, the push fails with exit
    /// status 6.
    Push = push, "push";
    /// Fetch a generation from a remote
    ///
    /// Every object is checked before it is used. A pull that was interrupted continues where it stopped.
    /// The generation is only kept, unless --activate is given.
    Pull = pull, "pull";
    /// Make the head of one channel of a remote the head of another; nothing is sent
    Promote = promote, "promote";
    /// Manage remotes: places outside this machine that hold generations
    Remote = remote, "remote";
    /// Print the JSON Schema of a document, or list the documents
    Schema = schema, "schema";
    /// Print shell completions
    Completions = completions, "completions";
}

impl Verb {
    /// Returns the exit status for the program's own failures, if other statuses would look like those of
    /// the command that it runs.
    pub(crate) fn failure_exit(&self) -> Option<u8> {
        matches!(self, Verb::Exec(_)).then_some(exit::EXEC_FAILED)
    }
}

/// Parses the arguments.
pub(crate) fn parse(args: &[OsString]) -> Result<Cli, Stopped> {
    Cli::try_parse_from(args).map_err(|error| {
        // Errors about arguments quote them, so the arguments are escaped first.
        let shown: Vec<OsString> = args.iter().map(shown).collect();
        let error = Cli::try_parse_from(&shown).err().filter(|_| shown != args).unwrap_or(error);
        Stopped::new(error, args)
    })
}

/// Returns an argument with control characters and invisible characters escaped.
fn shown(arg: &OsString) -> OsString {
    match arg.to_str() {
        Some(text) if !text.chars().any(is_unsafe) => arg.clone(),
        _ => genstore::tree::show_path(arg.as_bytes()).into(),
    }
}

/// The abilities of this program, for clients that check them before they use it.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct VersionDoc {
    schema: &'static str,
    /// The version of the program.
    version: &'static str,
    /// The formats of stores that it reads and writes.
    store_formats: &'static [u32],
    /// The documents that it prints.
    schemas: Vec<&'static str>,
    /// The verbs.
    verbs: Vec<String>,
}

impl VersionDoc {
    fn new() -> VersionDoc {
        let verbs = Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        VersionDoc {
            schema: "genstore.version/1",
            version: env!("CARGO_PKG_VERSION"),
            store_formats: genstore::STORE_FORMATS,
            schemas: verbs::schema::names(),
            verbs,
        }
    }
}

/// A command line that asks for help or is invalid.
pub(crate) struct Stopped {
    error: clap::Error,
    globals: Globals,
}

impl Stopped {
    /// Picks out the global flags one by one, because the command line as a whole cannot be parsed.
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

    /// Prints the help or the error, and returns the exit status.
    pub(crate) fn report(self) -> ExitCode {
        let out = Out::new(&self.globals);
        let text = in_our_words(&self.error.render().ansi().to_string());
        let status = match self.error.kind() {
            ErrorKind::DisplayVersion if out.json() => {
                out.emit(&VersionDoc::new(), String::new);
                settle(&out, exit::DONE)
            }
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                out.text(&text);
                settle(&out, exit::DONE)
            }
            _ if out.json() => Failure::usage(&self.message(), self.hint()).report(&out, None),
            _ => {
                out.talk(&text);
                if self.familiar().is_some() {
                    out.talk(&format!("hint: {}\n", self.hint()));
                }
                exit::USAGE
            }
        };
        ExitCode::from(status)
    }

    /// Returns the first paragraph of clap's message.
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
        match (near, self.familiar()) {
            (_, Some(own)) => format!("did you mean `genstore {own}`? see `genstore help`"),
            (Some(near), None) => format!("did you mean {near}? see `genstore help`"),
            (None, None) => "see `genstore help`".to_owned(),
        }
    }

    /// Returns the command for a word that other programs use for it.
    fn familiar(&self) -> Option<&'static str> {
        let ContextValue::String(word) = self.error.get(ContextKind::InvalidSubcommand)? else {
            return None;
        };
        FAMILIAR.iter().find(|(other, _)| other == word).map(|(_, own)| *own)
    }
}

/// Words of other programs, and the command that does the same here.
const FAMILIAR: [(&str, &str); 12] = [
    ("activate", "switch"),
    ("checkout", "switch"),
    ("clean", "gc"),
    ("delete", "gc"),
    ("deploy", "publish"),
    ("fsck", "verify"),
    ("prune", "gc"),
    ("remove", "gc"),
    ("revert", "rollback"),
    ("rm", "gc"),
    ("undo", "rollback"),
    ("version", "--version"),
];

/// Replaces clap's "subcommand" by "verb".
fn in_our_words(text: &str) -> String {
    text.replace("subcommand", "verb")
}
