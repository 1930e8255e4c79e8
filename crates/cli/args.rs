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
use crate::text::style;
use crate::topics::{self, Topic};
use crate::{examples, exit, verbs};

pub(crate) const AFTER_HELP: &str = "\
REF names a generation: 42 (its number), @ (current), @- and @-3 (older ones), a pin's name, or
six or more hex digits of its tree's id: `genstore help refs`. `genstore help config` prints every
setting of genstore.toml.

The store is looked up in this order: --store, GENSTORE_STORE, then the nearest store.path of a
genstore.toml or genstore folder, in this directory or above, up to the project's root.

Exit status: 0 success; 1 failure, differences found by `diff --exit-code`, or a broken promise
found by `torture`; 2 usage error; 3 partly done; 4 damage found; 5 output refused by an audit;
6 another generation was current than --expect names; 10 no store here; 11 lock timeout; 12 the
store or the remote needs a newer genstore; 13 the remote cannot be trusted. exec and build:
124 timeout, 125 could not start, 126 not executable, 127 not found, otherwise the command's
own status; 130 and 143 interrupted.";

/// The styles of the help and of errors in the arguments.
const STYLES: clap::builder::Styles =
    clap::builder::Styles::styled().error(style::BAD).valid(style::GOOD).invalid(style::CARE);

/// Publish build outputs as generations: readers see the whole old one or the whole new one
#[derive(Parser)]
#[command(name = "genstore", bin_name = "genstore", version, after_help = AFTER_HELP)]
#[command(styles = STYLES, max_term_width = 100, subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
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
    /// Put directories and files into a stage that was begun with --batch
    ///
    /// Each is copied as a root of the generation, so its source may change afterwards. Several writers may put
    /// roots at once. A root that was put before under the same name is replaced. `commit` finds all of a root
    /// or nothing.
    Put = put, "put";
    /// Publish a stage as a new generation
    Commit = commit, "commit";
    /// Abort a stage, and remove its files
    Abort = abort, "abort";
    /// List the generations, newest first
    #[command(visible_alias = "ls")]
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
    /// Show what each generation changed, of all paths or of some
    ///
    /// With a PATH, only generations that changed it, or something below it: added (A), changed (M), removed (D) or
    /// renamed (R), with sizes and digest. Each generation is compared with the next older one that is kept. `^`
    /// marks the oldest one: older ones that gc removed may have had the same.
    Log = log, "log";
    /// Show which generations brought a file, its lines, or the entries of a folder
    ///
    /// Renames are followed. `^` marks the oldest generation that is kept: an older one that gc removed may have
    /// brought it.
    Blame = blame, "blame";
    /// Show who did what and when
    ///
    /// Publications, activations, rollbacks, marks, pins and collections, newest first, by the store's log. gc
    /// shortens a long log by the lines of generations that are gone.
    History = history, "history";
    /// Search for the first bad generation, by tests of the one in the middle
    Bisect = bisect, "bisect";
    /// Print the bytes of one file
    Cat = cat, "cat";
    /// Copy a generation to a directory, as independent plain files
    ///
    /// With --archive, write whole generations to a tar archive instead.
    Export = export, "export";
    /// Take in the generations of an archive that `export --archive` wrote
    ///
    /// Each generation gets a new number and keeps its tree id, note, facts, mark and pins. All bytes are checked
    /// before any generation is made. None becomes current, unless --activate is given.
    Import = import, "import";
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
    /// Take a leaked file out of every generation
    ///
    /// Each generation that has the content is replaced by a new one without it, with the same note, facts, mark and
    /// pins, and the old one is removed at once. No publish, pull or import brings the content back. Remotes,
    /// mirrors elsewhere, exports and backups are not touched.
    Forget = forget, "forget";
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
    /// Serve the current generation by HTTP
    ///
    /// Each request is answered from one generation, the one that is current at that moment. An ETag is the
    /// content's digest. http://g42.localhost:8080/ is generation 42, and http://NAME.localhost:8080/ the
    /// one that is pinned as NAME. Files that the current generation lacks are answered from the newest one
    /// of the last 24 hours that has them, so open pages go on loading. Sockets from systemd (LISTEN_FDS)
    /// take precedence over --addr.
    ///
    /// With --stdio it serves a remote to a client that ssh connects. A line like this in authorized_keys
    /// limits a key to pulls from one remote:
    /// command="genstore serve --stdio --allow pull /srv/remote",restrict ssh-ed25519 AAAA...
    Serve = serve, "serve";
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
        // Errors about arguments quote them, so the arguments are escaped first. The help gets its examples
        // only where it is printed: each start would take longer with them.
        let shown: Vec<OsString> = args.iter().map(shown).collect();
        let error = command_line().try_get_matches_from(&shown).err().unwrap_or(error);
        Stopped::new(error, args)
    })
}

/// Returns the definition of the command line.
#[cfg(feature = "testing")]
pub(crate) fn plain_command_line() -> clap::Command {
    Cli::command()
}

/// Returns the definition of the command line, with the examples.
pub(crate) fn command_line() -> clap::Command {
    examples::add(Cli::command())
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
    globals: Box<Globals>,
    /// The topic of `help TOPIC`, if it is no verb.
    topic: Option<&'static Topic>,
    /// Whether a verb is given that has verbs below it.
    is_below_verb: bool,
    /// An example of the verb.
    example: Option<&'static str>,
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
        let globals = Box::new(Globals {
            store: None,
            chdir: None,
            trust: false,
            no_project: false,
            json: own.contains(&"--json"),
            color: color.and_then(|when| When::from_str(when, false).ok()).unwrap_or(When::Auto),
            progress: When::Never,
            quiet: false,
            verbose: 0,
            actor: None,
            lock_timeout: Duration::ZERO,
        });
        let words: Vec<&&str> = own.iter().skip(1).filter(|word| !word.starts_with('-')).collect();
        let topic = match words.as_slice() {
            [help, topic] if **help == "help" => topics::find(topic),
            _ => None,
        };
        let is_below_verb = words.first().is_some_and(|word| NESTED.contains(word));
        let two = words.iter().take(2).map(|word| **word).collect::<Vec<_>>().join(" ");
        let known = [two.as_str(), words.first().map_or("", |word| **word)];
        let example =
            known.iter().filter(|verb| !verb.is_empty()).find_map(|verb| examples::of(verb).first());
        Stopped { error, globals, topic, is_below_verb, example: example.map(|(line, _)| *line) }
    }

    /// Prints the help or the error, and returns the exit status.
    pub(crate) fn report(self) -> ExitCode {
        let out = Out::new(&self.globals);
        if let Some(topic) = self.topic {
            out.text(topic.text);
            return ExitCode::from(settle(&out, exit::DONE));
        }
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
            _ if self.has_no_verb() => {
                out.talk(topics::OVERVIEW);
                exit::USAGE
            }
            // The usage and the most similar verbs would hide the hint.
            _ if self.familiar().is_some() => {
                let (bad, bold) = (style::BAD, style::BOLD);
                out.talk(&format!("{bad}error:{bad:#} {}\n", self.message()));
                out.talk(&format!("{bold}hint:{bold:#} {}\n", self.hint()));
                exit::USAGE
            }
            ErrorKind::MissingRequiredArgument => {
                out.talk(&text);
                if let Some(example) = self.example {
                    let bold = style::BOLD;
                    out.talk(&format!("{bold}hint:{bold:#} for example `genstore {example}`\n"));
                }
                exit::USAGE
            }
            _ => {
                out.talk(&text);
                exit::USAGE
            }
        };
        ExitCode::from(status)
    }

    /// Returns whether no verb is given.
    fn has_no_verb(&self) -> bool {
        let missing = [ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, ErrorKind::MissingSubcommand];
        missing.contains(&self.error.kind()) && !self.is_below_verb
    }

    /// Returns the first paragraph of clap's message.
    fn message(&self) -> String {
        if self.has_no_verb() {
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

/// The verbs that have verbs below them.
const NESTED: [&str; 3] = ["bisect", "remote", "view"];

/// Words of other programs, and the command that does the same here.
const FAMILIAR: [(&str, &str); 13] = [
    ("activate", "switch"),
    ("checkout", "switch"),
    ("clean", "gc"),
    ("config", "help config"),
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
