//! `doctor`: checks the real directories and the system, and lists which programs each view supports.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use genstore::verify::Foreign;
use genstore::view::{View, ViewKind, ViewState};
use genstore::{Error, Store};
use serde::Serialize;

use crate::command::advice;
use crate::command::context::Context;
use crate::exit;
use crate::probe;
use crate::project::tools::{Advice, Fix, Tools};
use crate::render::json::PathField;
use crate::text::escape::show;
use crate::text::human;
use crate::text::style::{BAD, CARE, GOOD};

#[derive(Args)]
pub(crate) struct Doctor {
    /// Test the filesystem by writing to a temporary directory beside the store
    #[arg(long)]
    probe: bool,
    /// Add the lines that keep tools out of the store where that is safe; as root, give what belongs to other
    /// users back to the store's owner
    #[arg(long)]
    fix: bool,
}

/// The result of a check.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum Standing {
    Good,
    /// It works, with a difference that users should know.
    Care,
    /// A store does not work here.
    Bad,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct Check {
    /// The name of the check.
    name: &'static str,
    standing: Standing,
    /// The result, for people.
    text: String,
    /// The file of a tool that is must change, and the line to add.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// The line to add.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct ViewDoc {
    #[serde(flatten)]
    path: PathField,
    /// `link` or `mirror`.
    #[serde(rename = "as")]
    kind: &'static str,
    /// Whether all is well.
    ok: bool,
    suits: &'static str,
    not: &'static str,
}

/// The document `genstore.doctor/1`.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct DoctorDoc {
    schema: &'static str,
    #[serde(flatten)]
    path: PathField,
    /// Whether all is well.
    ok: bool,
    /// The checks.
    checks: Vec<Check>,
    /// The views.
    views: Vec<ViewDoc>,
}

/// The programs that a view supports, as measured with three publications in a row.
struct Suits {
    what: &'static str,
    good: &'static str,
    not: &'static str,
}

const LINK: Suits = Suits {
    what: "a link",
    good: "programs that resolve it once or open files by path: servers (nginx, Caddy), `genstore exec`, \
           webpack 5's watch, next dev with Turbopack",
    not: "watchers that do not see a link retargeted (node --watch, tsx, nodemon, chokidar, tsc --watch, \
          next dev with webpack): let them watch the store's file `notice`, or use a mirror",
};
const MIRROR: Suits = Suits {
    what: "a mirror",
    good: "watchers of files (tsx watch, nodemon, chokidar, webpack, next dev with webpack and with \
           Turbopack; tsc --watch with --copy), and programs that refuse links",
    not: "readers that open several files and must not see a mixture, which there is for a moment; \
          node --watch, and tsc --watch without --copy, which notice only the first change of each path",
};

fn suits(view: &View) -> &'static Suits {
    match view.kind {
        ViewKind::Mirror => &MIRROR,
        _ => &LINK,
    }
}

/// Returns whether a view is in place and shows the current generation.
fn is_ok(view: &View) -> bool {
    matches!(view.state, ViewState::Ok | ViewState::Strangers(_))
}

impl Doctor {
    /// Looks at the project's own tools, and keeps those out of the store that are to be.
    fn tools(&self, context: &Context<'_>, store: &Path, views: &[View]) -> Result<Vec<Check>> {
        let project = context.project()?;
        let root = &*advice::root(context, store)?;
        let mut checks = Vec::new();
        let output = project.and_then(|project| project.config.build.output.as_ref());
        let output = output.map(|output| root.join(output));
        if let Some(tools) = Tools::of(root, store) {
            if self.fix {
                advice::add_lines(context, root, &tools)?;
            }
            checks.extend(tools.find().iter().map(advised));
            let paths: Vec<PathBuf> = views.iter().map(|view| view.path.clone()).collect();
            checks.extend(tools.loops(&paths, output.as_deref()).iter().map(advised));
        }
        for (text, line) in views.iter().filter_map(|view| advice::mirror_instead(view, store)) {
            let standing = Standing::Care;
            checks.push(Check { name: "packages", standing, text, file: None, line: Some(line) });
        }
        Ok(checks)
    }

    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let found = context.find_store()?;
        let store = match context.open_found(&found, None) {
            Ok(store) => Some(store),
            Err(error) => match error.downcast_ref::<Error>() {
                Some(Error::NotAStore { .. }) => None,
                _ => return Err(error),
            },
        };
        if let (true, Some(store)) = (self.fix, &store)
            && store.give_back()?.before.count > 0
        {
            context.out.has_changed("owners were corrected");
        }
        let place = store.as_ref().map_or(&*found.path, Store::path);
        // The place beside the store, or where it would be.
        let parent = place.parent().unwrap_or(Path::new("/"));
        let mut checks = checks(parent, store.as_ref(), context, self.probe)?;
        let views = store.as_ref().map_or(Ok(vec![]), Store::views)?;
        checks.extend(self.tools(context, place, &views)?);
        if let Some(strays) = store.as_ref().map_or(Ok(None), Store::strays)? {
            let text = format!("{}; keep such paths with [shared]", strays.text());
            checks.push(Check { name: "shared", standing: Standing::Care, text, file: None, line: None });
        }
        let ok = checks.iter().all(|check| check.standing != Standing::Bad);
        let document = DoctorDoc {
            schema: "genstore.doctor/1",
            path: PathField::of_path(place),
            ok,
            views: views.iter().map(view_doc).collect(),
            checks,
        };
        context.out.emit(&document, || text(&document, place, store.is_some(), &views));
        Ok(if ok { exit::DONE } else { exit::FAILED })
    }
}

/// Makes the check of an advice about a tool.
fn advised(advice: &Advice) -> Check {
    let file = show(&advice.file);
    let then = if advice.fix == Fix::ByHand { "" } else { " (`genstore doctor --fix` does)" };
    let text = format!("{}: add to {file}: {}{then}", advice.why, advice.line);
    let (file, line) = (Some(file), Some(advice.line.clone()));
    Check { name: advice.tool, standing: Standing::Care, text, file, line }
}

/// Describes the files that do not belong to the store's owner.
pub(crate) fn owners_text(foreign: &Foreign) -> String {
    let first = foreign.first.as_deref().map(show).unwrap_or_default();
    let what = human::count(foreign.count, "name");
    format!("{what} in the store not owned by the store's owner; the first is {first}")
}

fn owners(foreign: &Foreign) -> (Standing, String) {
    match foreign.count {
        0 => (Standing::Good, "the whole store belongs to its owner".to_owned()),
        _ => (
            Standing::Care,
            format!("{}; `sudo genstore doctor --fix` gives them back", owners_text(foreign)),
        ),
    }
}

/// Judges a feature: good if it is present or unknown.
fn unless(has: Option<bool>, otherwise: Standing) -> Standing {
    if has == Some(false) { otherwise } else { Standing::Good }
}

/// Describes what the filesystem can do: the name of each ability, its standing and a text.
fn ability_texts(can: &probe::KnownAbilities) -> [(&'static str, Standing, &'static str); 5] {
    let unknown = "unknown for this filesystem; `genstore doctor --probe` tests it";
    let file_locks = match can.flock {
        Some(true) => "work",
        Some(false) => "do not work: a store here is read-only",
        None => unknown,
    };
    let hard_links = match can.hard_links {
        Some(true) => "work",
        Some(false) => "do not work: a store cannot be created here",
        None => unknown,
    };
    let rename_exchange = match can.exchange {
        Some(true) => "works: `view add --replace` is atomic",
        Some(false) => "does not work: `view add --replace` is refused; move the directory away first",
        None => unknown,
    };
    let reflink = match can.reflink {
        Some(true) => "yes: copies share their blocks",
        Some(false) => "none: copies take their own blocks (`build` and --consume move files instead)",
        None => unknown,
    };
    let case = match can.folds_case {
        Some(true) => "README and readme are the same name: trees with both cannot be published",
        Some(false) => "README and readme are different names",
        None => unknown,
    };
    [
        ("file locks", unless(can.flock, Standing::Bad), file_locks),
        ("hard links", unless(can.hard_links, Standing::Bad), hard_links),
        ("rename exchange", unless(can.exchange, Standing::Care), rename_exchange),
        ("reflink", Standing::Good, reflink),
        ("case", unless(can.folds_case.map(|folds| !folds), Standing::Care), case),
    ]
}

fn checks(parent: &Path, store: Option<&Store>, context: &Context<'_>, tries: bool) -> Result<Vec<Check>> {
    let fail = |source| Error::Io { op: "make a directory in", path: parent.to_owned(), source };
    let filesystem = probe::filesystem_of(parent);
    let can: probe::KnownAbilities = match tries {
        true => {
            let scratch =
                tempfile::Builder::new().prefix(".genstore-doctor-").tempdir_in(parent).map_err(fail)?;
            probe::probe(scratch.path()).map_err(fail)?.into()
        }
        false => probe::look(store.map_or(parent, Store::path), filesystem.as_deref().unwrap_or_default()),
    };
    let dev = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
    let mut checks = Vec::new();
    let mut add =
        |name, standing, text| checks.push(Check { name, standing, text, file: None, line: None });
    if let Some(name) = &filesystem {
        let limit = probe::link_limit(name);
        let text = limit.map_or_else(
            || format!("{name}; names per file are not limited"),
            |limit| format!("{name}; {} names per file, then a second copy is made", human::number(limit)),
        );
        add("filesystem", Standing::Good, text);
    }
    for (name, standing, text) in ability_texts(&can) {
        add(name, standing, text.to_owned());
    }
    if let Some(foreign) = store.map(Store::foreign).transpose()? {
        let (standing, text) = owners(&foreign);
        add("owners", standing, text);
    }
    if let Some(value) = probe::number_in("/proc/sys/fs/protected_hardlinks") {
        let text = match value {
            0 => "off",
            _ => "on: only its owner can link a file, so all publishing should be done by one user",
        };
        add("protected_hardlinks", Standing::Good, text.to_owned());
    }
    if let Some((limit, used)) = probe::inotify_watches() {
        let left = limit.saturating_sub(used);
        let text = format!("{} of {} watches left", human::number(left), human::number(limit));
        let few = "; raise it with `sysctl fs.inotify.max_user_watches=524288`";
        let standing = unless(Some(left > 8192), Standing::Care);
        add("inotify", standing, if standing == Standing::Care { text + few } else { text });
    }
    let root = context.project()?.map(|project| project.root().to_owned());
    if let Some(root) = root.filter(|root| dev(root) != dev(store.map_or(parent, Store::path))) {
        let text = format!("{} is on another filesystem: files are copied, not moved", show(&root));
        add("same filesystem", Standing::Care, text);
    }
    Ok(checks)
}

fn view_doc(view: &View) -> ViewDoc {
    ViewDoc {
        path: PathField::of_path(&view.path),
        kind: super::view::kind(view.kind),
        ok: is_ok(view),
        suits: suits(view).good,
        not: suits(view).not,
    }
}

fn text(document: &DoctorDoc, place: &Path, is_store: bool, views: &[View]) -> String {
    let what = if is_store { "Store" } else { "No store yet; a new one would be" };
    let mut text = format!("{what} {}\n", show(place));
    let mark = |standing| match standing {
        Standing::Good => format!("{GOOD}ok  {GOOD:#}"),
        Standing::Care => format!("{CARE}care{CARE:#}"),
        Standing::Bad => format!("{BAD}bad {BAD:#}"),
    };
    for check in &document.checks {
        text.push_str(&format!("{}  {:<20} {}\n", mark(check.standing), check.name, check.text));
    }
    for view in views {
        let Suits { what, good, not } = suits(view);
        let (standing, more) = match is_ok(view) {
            true => (Standing::Good, ""),
            false => (Standing::Care, " that is not in place; see `genstore view ls`"),
        };
        text.push_str(&format!("{}  view {}: {what}{more}\n", mark(standing), show(&view.path)));
        text.push_str(&format!("      good for {good}\n      not for {not}\n"));
    }
    text
}
