//! The events of `watch`: a line of JSON for each, or a line for people.

use std::path::{Path, PathBuf};
use std::time::Duration;

use genstore::audit::Finding;
use genstore::{GenerationId, Publication};
use genstore_run::Ended;
use genstore_watch::{ChildNews, News};
use serde::Serialize;

use crate::command::running;
use crate::render::diff as list;
use crate::render::failure::Failure;
use crate::render::json::{FindingDoc, PathField, text_or_base64};
use crate::text::human;
use crate::text::style::{BAD, CARE, DIM, GOOD};

/// The most paths in an event; `count` is the total.
const NAMED: usize = 100;

/// An event, and its time.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct Timed<'a> {
    #[serde(flatten)]
    pub(crate) event: &'a Event,
    /// RFC 3339, UTC.
    pub(crate) time: String,
}

/// An event.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The sources are watched from here on; the first build follows.
    Ready {
        schema: &'static str,
        pid: u32,
        files: usize,
        /// The number of watched directories.
        watched: usize,
        /// Whether the sources are polled, because there are no events.
        polling: bool,
        generation: Option<GenerationId>,
        /// Whether a rollback holds the current generation.
        held: bool,
    },
    /// The result is served by HTTP.
    Serving {
        url: String,
    },
    /// Sources have changed.
    Change {
        #[serde(flatten)]
        paths: Paths,
        /// Whether a build is running, so that another one follows it.
        queued: bool,
    },
    /// A program restarts, because its own sources changed, or because a build after a change had the same
    /// result.
    Restart {
        name: String,
        /// Whether it waits for a build, which may belong to the same change.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        after_build: bool,
        #[serde(flatten)]
        paths: Paths,
    },
    /// Sources changed while the build ran that may have read them; another build follows.
    InputsChanged {
        #[serde(flatten)]
        paths: Paths,
        build: u64,
    },
    /// Sources changed while the build ran, and are now as before it; no build follows.
    InputsRestored {
        build: u64,
    },
    /// Git is changing the sources, which are checked when it is done. The path is git's lock file.
    Waiting {
        #[serde(flatten)]
        paths: Paths,
    },
    BuildStart {
        build: u64,
    },
    BuildEnd {
        build: u64,
        ok: bool,
        /// The exit code; `None` if it was stopped, or killed by a signal.
        exit: Option<i32>,
        /// Whether it was stopped because sources changed.
        restarted: bool,
        ms: u64,
    },
    /// Files of the kept output that the build, a full run, did not write.
    Stale {
        build: u64,
        /// Whether they were removed before the publication.
        removed: bool,
        #[serde(flatten)]
        paths: Paths,
        #[serde(skip)]
        line: String,
    },
    /// The build is current now.
    Published {
        generation: GenerationId,
        tree: String,
        previous: Option<GenerationId>,
        added: u64,
        modified: u64,
        removed: u64,
        renamed: u64,
        files: u64,
        durable: bool,
        #[serde(flatten)]
        path: PathField,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        findings: Vec<FindingDoc>,
        ms: u64,
        #[serde(skip)]
        line: String,
    },
    /// The build equals the current generation, or the one that was kept last.
    Unchanged {
        generation: GenerationId,
        tree: String,
    },
    /// The build is kept and not activated.
    Kept {
        generation: GenerationId,
        tree: String,
        durable: bool,
        current: Option<GenerationId>,
        /// `held`: a rollback holds the current generation. `inputs-changed`: sources changed during the
        /// build.
        why: &'static str,
    },
    /// The store was removed: it is created again, and the watch starts over with it.
    StoreGone {
        #[serde(flatten)]
        path: PathField,
    },
    /// Another program made another generation current.
    Activated {
        generation: Option<GenerationId>,
        previous: Option<GenerationId>,
        held: bool,
    },
    Child {
        name: String,
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        exit: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        again_after_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        killed_after_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        after_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        #[serde(skip)]
        line: String,
    },
    /// Generations that retention gave up were removed.
    Collected {
        generations: Vec<GenerationId>,
        objects: u64,
        bytes: u64,
    },
    Warning {
        message: String,
    },
    /// A build failed, was refused, or could not be published. The current generation stays.
    Error {
        #[serde(flatten)]
        failure: Box<Failure>,
    },
    /// The watch ends.
    End {
        signal: Option<i32>,
    },
}

/// The first paths of a list.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct Paths {
    count: usize,
    paths: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths_b64: Vec<String>,
    /// The line to add, or a number of a line.
    #[serde(skip)]
    line: String,
}

impl Paths {
    /// Lists paths relative to the project's root, if they are in it.
    pub(crate) fn new(changed: &[PathBuf], root: &Path) -> Paths {
        let short = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_owned();
        let (mut paths, mut paths_b64) = (Vec::new(), Vec::new());
        for path in changed.iter().take(NAMED) {
            let (text, encoded) =
                text_or_base64(std::os::unix::ffi::OsStrExt::as_bytes(short(path).as_os_str()));
            paths.extend(text);
            paths_b64.extend(encoded);
        }
        let first = changed.first().map(|path| crate::text::escape::show(&short(path))).unwrap_or_default();
        let line = match changed.len() {
            0 | 1 => first,
            more => format!("{first} and {} more", more - 1),
        };
        Paths { count: changed.len(), paths, paths_b64, line }
    }

    /// Returns the first path, and the number of the others.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }
}

impl Event {
    pub(crate) fn published(
        done: &Publication,
        path: &Path,
        findings: &[Finding],
        took: Duration,
    ) -> Event {
        Event::Published {
            generation: done.generation,
            tree: done.tree.to_string(),
            previous: done.previous,
            added: done.diff.added,
            modified: done.diff.modified,
            removed: done.diff.removed,
            renamed: done.diff.renamed,
            files: done.files,
            durable: done.durable,
            path: PathField::of_path(path),
            findings: findings.iter().map(FindingDoc::of).collect(),
            ms: millis(took),
            line: {
                let was = done.previous.map_or("the first".to_owned(), |id| format!("was {id}"));
                let (id, tree, secs) = (done.generation, done.tree.short(), took.as_secs_f64());
                let summary = list::brief(&done.diff);
                let text = format!("generation {id} {DIM}{tree}{DIM:#} ({was}): {summary} in {secs:.2} s");
                verb(GOOD, "Published", &text)
            },
        }
    }

    pub(crate) fn child(news: ChildNews) -> Event {
        let name = news.name;
        let (mut pid, mut again, mut message, mut end) = (None, None, None, None);
        let (mut killed_after_ms, mut after_ms) = (None, None);
        let (state, line) = match news.news {
            News::Started { pid: number } => {
                pid = Some(number);
                ("started", verb(GOOD, "Started", &format!("{name} {DIM}(process {number}){DIM:#}")))
            }
            News::Ready { after } => {
                after_ms = Some(millis(after));
                let text = format!("{name} {DIM}after {:.2} s{DIM:#}", after.as_secs_f64());
                ("ready", verb(GOOD, "Ready", &text))
            }
            News::NotReady { after, ended, kept } => {
                (end, after_ms) = (ended, Some(millis(after)));
                let how = match ended {
                    Some(ended) => format!("{} before it was ready", running::ending(&name, ended)),
                    None => format!("{name} is not ready after {:.0} s", after.as_secs_f64()),
                };
                let then = if kept { "; the old one is kept" } else { "" };
                message = Some(format!("{how}{then}"));
                ("not-ready", verb(BAD, "Not ready", &format!("{how}{then}")))
            }
            News::Stopping { killed_after } => {
                killed_after_ms = killed_after.map(millis);
                let then = match killed_after {
                    Some(after) => format!("; it is killed in {} s", after.as_secs_f64().ceil()),
                    None => String::new(),
                };
                message = Some("it is slow to stop".to_owned());
                ("stopping", verb(CARE, "Stopping", &format!("{name}, which is slow to stop{then}")))
            }
            News::Stopped { ended, killed } => {
                end = Some(ended);
                let how = if killed { "it did not stop in time, and was killed" } else { "" };
                message = killed.then(|| how.to_owned());
                let beside = if killed { format!(": {how}") } else { String::new() };
                ("stopped", verb(DIM, "Stopped", &format!("{name}{beside}")))
            }
            News::Done => {
                end = Some(Ended::Exited(0));
                ("done", verb(DIM, "Done", &format!("{name}; the next commit restarts it")))
            }
            News::Crashed { ended, again_after } => {
                end = Some(ended);
                again = Some(millis(again_after));
                let how = running::ending(&name, ended);
                let after = crate::text::time::duration(again_after);
                ("crashed", verb(BAD, "Crashed", &format!("{how}; it restarts in {after}")))
            }
            News::CannotRun { why } => {
                let line =
                    verb(BAD, "Failed", &format!("{name} cannot run: {why}; the next commit retries"));
                message = Some(why);
                ("failed", line)
            }
        };
        let (exit, signal) = match end {
            Some(Ended::Exited(code)) => (Some(code), None),
            Some(Ended::Signaled(signal)) => (None, Some(signal)),
            _ => (None, None),
        };
        Event::Child {
            name,
            state,
            pid,
            exit,
            signal,
            again_after_ms: again,
            killed_after_ms,
            after_ms,
            message,
            line,
        }
    }

    /// Formats the event for people.
    pub(crate) fn line(&self) -> String {
        match self {
            Event::Ready { files, watched, polling, held, generation, .. } => {
                let how = match polling {
                    true => "polling".to_owned(),
                    false => human::count(*watched as u64, "directory"),
                };
                let mut text =
                    verb(GOOD, "Watching", &format!("{} ({how})", human::count(*files as u64, "file")));
                if let (true, Some(id)) = (held, generation) {
                    text.push_str(&held_line(*id));
                }
                text
            }
            Event::Change { paths, queued } => {
                let then = if *queued { "; another build comes after this one" } else { "" };
                verb(DIM, "Changed", &format!("{}{then}", paths.line))
            }
            Event::Restart { name, paths, after_build } => {
                let why = if paths.count == 0 { "sources" } else { &paths.line };
                let when = if *after_build { " after the build" } else { "" };
                verb(DIM, "Changed", &format!("{why}: {name} restarts{when}"))
            }
            Event::InputsChanged { paths, build } => verb(
                CARE,
                "Changed",
                &format!("{} while build {build} ran, which may have read it", paths.line),
            ),
            Event::InputsRestored { build } => {
                let text = format!("sources are as before build {build}: no build follows");
                verb(DIM, "Unchanged", &text)
            }
            Event::Waiting { paths } => verb(DIM, "Waiting", &format!("for git ({})", paths.line)),
            Event::BuildStart { build } => verb(GOOD, "Building", &format!("{DIM}(build {build}){DIM:#}")),
            Event::BuildEnd { restarted: true, .. } => verb(CARE, "Stopped", "the build: it restarts"),
            Event::BuildEnd { ok, ms, .. } => {
                let (style, text) = if *ok { (DIM, "Built") } else { (BAD, "Failed") };
                verb(style, text, &format!("in {:.2} s", Duration::from_millis(*ms).as_secs_f64()))
            }
            Event::Stale { line, removed, .. } => verb(if *removed { DIM } else { CARE }, "Stale", line),
            Event::Unchanged { generation, .. } => {
                verb(DIM, "Unchanged", &format!("generation {generation} already has this content"))
            }
            Event::Kept { generation, why: "inputs-changed", .. } => {
                let text =
                    format!("generation {generation}, not activated: sources changed during the build");
                verb(CARE, "Kept", &text)
            }
            Event::StoreGone { .. } => verb(CARE, "Removed", "the store is gone; it is created again"),
            Event::Kept { generation, current, .. } => {
                let text = verb(CARE, "Kept", &format!("generation {generation}, not activated"));
                format!("{text}{}", current.map(held_line).unwrap_or_default())
            }
            Event::Activated { generation, held, .. } => match generation {
                Some(id) if *held => held_line(*id),
                Some(id) => verb(GOOD, "Current", &format!("is now generation {id}")),
                None => verb(CARE, "Current", "is now nothing"),
            },
            Event::Child { line, .. } | Event::Published { line, .. } => line.clone(),
            Event::Collected { generations, bytes, .. } => {
                let what = human::count(generations.len() as u64, "generation");
                verb(DIM, "Collected", &format!("{what}, {}", human::bytes(*bytes)))
            }
            Event::Warning { message } => format!("{CARE}warning:{CARE:#} {message}\n"),
            // The error is printed on stderr, with its hint.
            Event::Serving { url } => verb(GOOD, "Serving", url),
            Event::Error { .. } => String::new(),
            Event::End { .. } => verb(DIM, "Ended", ""),
        }
    }
}

fn held_line(id: GenerationId) -> String {
    let text = format!("generation {id} after a rollback; `genstore resume` activates builds again");
    verb(CARE, "Held", &text)
}

/// Formats a line, with the verb aligned to the right of its column.
fn verb(style: anstyle::Style, verb: &str, text: &str) -> String {
    format!("{style}{verb:>10}{style:#} {text}").trim_end().to_owned() + "\n"
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
