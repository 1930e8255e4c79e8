//! `init`: creates an empty store, and keeps the project's tools out of it.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use anyhow::Result;
use clap::Args;
use genstore::{Audience, Error, Initialized, Store};
use serde::Serialize;

use crate::command::advice;
use crate::command::context::Context;
use crate::exit;
use crate::project::find::{HIDDEN_STORE_FOLDER, Origin, PROJECT_FILE};
use crate::project::tools::{Advice, Tools};
use crate::render::json::PathField;
use crate::text::escape::show;
use crate::text::style::GOOD;
use crate::topics;

#[derive(Args)]
pub(crate) struct Init {
    /// Let all members of the directory's group publish, roll back and collect, whatever their umask
    #[arg(long, conflicts_with = "private")]
    shared: bool,
    /// Let only the owner enter the store; its views are then readable by the owner only
    #[arg(long)]
    private: bool,
    /// Ask nothing, and keep the project's tools out of the store where that is safe
    #[arg(short, long)]
    yes: bool,
}

/// The answer about tools that walk into the store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// The lines that keep them out are added.
    Lines,
    /// The store gets a hidden folder.
    Hidden,
    /// They are named.
    Nothing,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct AdviceDoc {
    /// The tool.
    tool: &'static str,
    /// The file.
    file: String,
    /// The line to add.
    line: String,
    /// Whether the line was added.
    added: bool,
}

impl AdviceDoc {
    fn of(advice: &Advice, added: bool) -> AdviceDoc {
        AdviceDoc { tool: advice.tool, file: show(&advice.file), line: advice.line.clone(), added }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct InitDoc {
    schema: &'static str,
    /// Whether it is new.
    created: bool,
    #[serde(flatten)]
    path: PathField,
    /// The project's file that was created beside the store, with all settings as comments.
    #[serde(skip_serializing_if = "Option::is_none")]
    project_file: Option<PathField>,
    /// Tools that walk into the store.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<AdviceDoc>,
}

impl Init {
    /// Decides about the project's tools: by the flag, or by the person at the terminal.
    fn choose(&self, context: &Context<'_>, store: &Path, may_hide: bool) -> Result<Choice> {
        if self.yes {
            return Ok(Choice::Lines);
        }
        let root = advice::root(context, store)?;
        let found = Tools::of(&root, store).map(|tools| tools.find()).unwrap_or_default();
        let asks = context.out.notes() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if found.is_empty() || store.symlink_metadata().is_ok() || !asks {
            return Ok(Choice::Nothing);
        }
        let mut text = format!("These tools of the project take in all of its folders:\n{}", lines(&found));
        text.push_str("  1  add the lines that keep them out, where that is safe\n");
        if may_hide {
            text.push_str(&format!(
                "  2  name the folder {HIDDEN_STORE_FOLDER}: compilers pass it over, some watchers do, too\n"
            ));
        }
        text.push_str("  n  change nothing\nWhich? [1] ");
        let fail = |source| Error::Io { op: "ask at", path: "/dev/tty".into(), source };
        loop {
            context.out.talk(&text);
            let mut answer = String::new();
            std::io::stderr().flush().map_err(fail)?;
            // The end of the input is no answer.
            if std::io::stdin().lock().read_line(&mut answer).map_err(fail)? == 0 {
                return Ok(Choice::Nothing);
            }
            match answer.trim() {
                "" | "1" => return Ok(Choice::Lines),
                "2" if may_hide => return Ok(Choice::Hidden),
                "n" => return Ok(Choice::Nothing),
                _ => {}
            }
        }
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let mut found = context.new_store()?;
        let may_hide = found.origin == Origin::Default && context.project()?.is_none();
        let choice = self.choose(context, &found.path, may_hide)?;
        if choice == Choice::Hidden {
            found.path.set_file_name(HIDDEN_STORE_FOLDER);
        }
        let audience = match (self.shared, self.private) {
            (true, _) => Audience::Group,
            (_, true) => Audience::Owner,
            _ => Audience::Everybody,
        };
        let Initialized { store, is_new: created, .. } =
            Store::init_for(&found.path, context.options(None)?, audience)?;
        if created {
            context.out.has_changed("the store was created");
        }
        let file = found.path.with_file_name(PROJECT_FILE);
        let writes_file = created && may_hide && !context.ignores_project();
        let file = if writes_file { write_project_file(&file, choice)?.then_some(file) } else { None };
        let root = advice::root(context, store.path())?;
        let tools = Tools::of(&root, store.path());
        let added = match &tools {
            Some(tools) if choice == Choice::Lines => advice::add_lines(context, &root, tools)?,
            _ => vec![],
        };
        let left = tools.map(|tools| tools.find()).unwrap_or_default();
        let document = InitDoc {
            schema: "genstore.init/1",
            created,
            path: PathField::of_path(store.path()),
            project_file: file.as_deref().map(PathField::of_path),
            tools: (added.iter().map(|advice| AdviceDoc::of(advice, true)))
                .chain(left.iter().map(|advice| AdviceDoc::of(advice, false)))
                .collect(),
        };
        let beside = file.as_deref().map(show).map_or_else(String::new, |file| {
            format!("{GOOD}Created{GOOD:#} {file}, with all settings as comments\n")
        });
        context.out.confirm(&document, || match created {
            true => {
                let whom = match audience {
                    Audience::Group => ", shared with its group",
                    Audience::Owner => ", readable by its owner only, also through views",
                    _ => "",
                };
                format!("{GOOD}Created{GOOD:#} the store {}{whom}\n{beside}", show(store.path()))
            }
            false => format!("The store {} already exists\n", show(store.path())),
        });
        if !left.is_empty() {
            let what = match choice {
                Choice::Lines => "Left to add by hand:",
                _ => "These tools walk into the store. To keep them out, add:",
            };
            context.out.note(&format!("{what}\n{}", lines(&left).trim_end()));
            if choice != Choice::Lines {
                context.out.hint("`genstore doctor --fix` adds lines where that is safe");
            }
        }
        Ok(exit::DONE)
    }
}

/// Lists files, and the lines to add to them.
fn lines(all: &[Advice]) -> String {
    let line = |advice: &Advice| format!("   {} ({}): {}\n", advice.tool, show(&advice.file), advice.line);
    all.iter().map(line).collect()
}

/// Creates the project's file, with all settings as comments. Returns `false` if there is one already.
fn write_project_file(file: &Path, choice: Choice) -> Result<bool> {
    let fail = |source| Error::Io { op: "create", path: file.to_owned(), source };
    #[allow(clippy::disallowed_methods, reason = "the project's file is no part of a store")]
    let mut created = match std::fs::File::create_new(file) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
        created => created.map_err(fail)?,
    };
    let hidden = format!("[store]\n# The store.\npath = \"{HIDDEN_STORE_FOLDER}\"\n");
    let text = match choice {
        Choice::Hidden => topics::PROJECT_FILE.replace(topics::STORE_PATH, &hidden),
        _ => topics::PROJECT_FILE.to_owned(),
    };
    created.write_all(text.as_bytes()).map_err(fail)?;
    Ok(true)
}
