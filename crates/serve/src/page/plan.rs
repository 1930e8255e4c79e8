//! The page before an action: what it will do, and the form that does it.

use std::sync::Arc;
use std::time::Duration;

use genstore::diff::diff;
use genstore::generation::Mark;
use genstore::{Error, GenerationId, Rev, Store};
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::action::{Action, Before};
use super::layout::{Live, page, size};
use super::respond;
use crate::answers::escape;
use crate::body::Body;
use crate::form::Fields;
use crate::site::Site;
use crate::{answers, api};

/// The time for a plan.
const LIMIT: Duration = Duration::from_secs(30);
/// The attribute of forms.
pub(super) const FORM: &str = "class=\"act\" method=\"post\" autocomplete=\"off\"";

/// Answers with the page of an action. Returns `None` if there is no such action.
pub(super) async fn plan(
    site: &Arc<Site>,
    verb: &str,
    query: &str,
    headers: &HeaderMap,
) -> Option<Response<Body>> {
    let action = Action::read(verb, &Fields::parse(query))?;
    let mut planned = Value::Null;
    if action.moves() {
        let mut words = action.words()?;
        words.insert(1, "-n".to_owned());
        planned = match site.desk.run(&site.generations.store(), words, LIMIT).await {
            Ok(planned) => planned,
            Err(failed) => {
                return Some(refusal(api::status(&failed), "This is not possible", &failed.message()));
            }
        };
    }
    let made = tokio::task::block_in_place(|| {
        let store = site.generations.store();
        let before = Before::of(&store)?;
        show(&store, &before, &action, &planned, site.desk.token())
    });
    Some(match made {
        Ok(Some(html)) => respond::html(StatusCode::OK, html),
        Ok(None) => answers::plain(StatusCode::NOT_FOUND, headers, "this generation is not kept"),
        Err(error) => respond::unreadable(site, &error, headers),
    })
}

/// Creates the page of an action that was refused.
pub(super) fn refusal(status: StatusCode, title: &str, why: &str) -> Response<Body> {
    let body = format!(
        "<p class=\"card warn\">{}</p><p><a class=\"button\" href=\"/@genstore/\">To the timeline</a></p>",
        escape(why)
    );
    respond::html(status, page(title, Live::Still, &body))
}

fn show(
    store: &Store,
    before: &Before,
    action: &Action,
    planned: &Value,
    token: &str,
) -> Result<Option<String>, Error> {
    let next = planned["generation"].as_u64().and_then(GenerationId::new);
    let known = |id: &GenerationId| before.generation(*id).is_some();
    let (title, steps, inputs, button, is_risky) = match action {
        Action::Rollback { .. } | Action::Switch { .. } => {
            let Some(next) = next.filter(known) else { return Ok(None) };
            let is_back = matches!(action, Action::Rollback { .. });
            let (verb, title) = match is_back {
                true => ("Roll back", format!("Roll back to {next}")),
                false => ("Switch", format!("Switch to {next}")),
            };
            let inputs = match before.current.filter(|_| is_back) {
                Some(left) => format!(
                    "<label class=\"check\"><input type=\"checkbox\" name=\"keep_good\" value=\"1\"> \
                     Do not mark {left} as bad</label>"
                ),
                None => String::new(),
            };
            (title, moves(store, before, next, is_back)?, inputs, verb, is_back)
        }
        Action::Mark { generation, is_bad, .. } if known(generation) => {
            let (word, what) = match is_bad {
                true => ("bad", "Rollbacks skip it, and gc does not count it among the last to keep."),
                false => ("good", "A rollback may go to it again."),
            };
            let steps = vec![format!("Generation {} is marked {word}. {what}", named(before, *generation))];
            let input = input("why", "Why", "wrong prices", false);
            (format!("Mark {generation} as {word}"), steps, input, "Mark it", *is_bad)
        }
        Action::Pin { generation, .. } if known(generation) => {
            let steps =
                vec![format!("Generation {} gets a name, and gc keeps it.", named(before, *generation))];
            let inputs = [
                input("name", "Name", "stable", true),
                input("why", "Why", "shown to the customer", false),
                input("until", "Until", "14d, or 2031-05-01", false),
            ];
            (format!("Pin {generation}"), steps, inputs.concat(), "Pin it", false)
        }
        Action::Unpin { name } => {
            let Some((id, _)) = before.pinned(name) else { return Ok(None) };
            let steps = vec![
                format!("The pin <b>{}</b> of generation {} is removed.", escape(name), named(before, id)),
                "gc may remove the generation then, if nothing else keeps it.".to_owned(),
            ];
            (format!("Unpin {name}"), steps, String::new(), "Remove the pin", true)
        }
        Action::Verify => {
            let steps = vec![
                format!(
                    "Every file of the store is read and hashed: {} on the disk.",
                    size(store.stored_bytes()?)
                ),
                "Nothing is changed. It takes a while, and at most ten minutes.".to_owned(),
            ];
            ("Check all files".to_owned(), steps, String::new(), "Check them", false)
        }
        _ => return Ok(None),
    };
    let steps: String = steps.iter().map(|step| format!("<li>{step}</li>")).collect();
    let hidden = hidden(before, action, token);
    let command = action.words().map_or(String::new(), |words| {
        format!("<p class=\"dim\">In a terminal: <code>genstore {}</code></p>", escape(&shell(&words)))
    });
    let class = if is_risky { "button danger" } else { "button main" };
    let body = format!(
        "<div class=\"card plan\"><ul>{steps}</ul><form {FORM} action=\"/@genstore/act/{}\">{hidden}{inputs}\
         <p class=\"row\"><button class=\"{class}\">{button}</button>\
         <a class=\"button\" href=\"/@genstore/{}\">Cancel</a></p></form></div>{command}",
        action.name(),
        if *action == Action::Verify { "health" } else { "" }
    );
    Ok(Some(page(&title, Live::Tells(before.current), &body)))
}

/// Returns the hidden fields of a form.
fn hidden(before: &Before, action: &Action, token: &str) -> String {
    let mut fields = vec![("token", token.to_owned())];
    if action.moves() {
        fields.push(("expect", before.current.map_or("none".to_owned(), |id| id.to_string())));
    }
    match action {
        Action::Switch { to: id }
        | Action::Mark { generation: id, .. }
        | Action::Pin { generation: id, .. } => {
            fields.push(("generation", id.to_string()));
        }
        Action::Unpin { name } => fields.push(("name", name.clone())),
        Action::Rollback { .. } | Action::Verify => {}
    }
    let field = |(name, value): &(&str, String)| {
        format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value))
    };
    fields.iter().map(field).collect()
}

fn input(name: &str, label: &str, example: &str, is_needed: bool) -> String {
    let (required, optional) =
        if is_needed { (" required", "") } else { ("", " <span class=\"dim\">(optional)</span>") };
    format!(
        "<label>{label}{optional}<input name=\"{name}\" placeholder=\"{example}\" maxlength=\"200\"{required}></label>"
    )
}

/// Describes a move of `current`.
fn moves(store: &Store, before: &Before, next: GenerationId, is_back: bool) -> Result<Vec<String>, Error> {
    let Some(left) = before.current.filter(|left| *left != next) else {
        return Ok(vec![format!(
            "Generation {} is current already: nothing changes.",
            named(before, next)
        )]);
    };
    let mut steps =
        vec![format!("Generation {} becomes current, in place of {left}.", named(before, next))];
    let tree = |id: GenerationId| {
        store.open_generation(&Rev::Number(id))?.manifest().map(|manifest| manifest.tree)
    };
    let (old, new) = (tree(left)?, tree(next)?);
    let counts = diff(&old, &new).summary;
    let sign = if counts.bytes < 0 { "−" } else { "+" };
    steps.push(format!(
        "<a href=\"/@genstore/diff/{left}/{next}\">{} files change, {} come, {} go, {} get another name</a> ({sign}{}).",
        counts.modified,
        counts.added,
        counts.removed,
        counts.renamed,
        size(counts.bytes.unsigned_abs())
    ));
    if is_back {
        steps.push(format!("{left} is marked bad, so that no later rollback goes to it."));
        steps.push(
            "Automatic publications are kept from now on, and do not become current until you say so."
                .to_owned(),
        );
    } else if before.generation(next).is_some_and(|listed| listed.mark.mark == Mark::Bad) {
        steps.push(format!("{next} is marked good again."));
    }
    steps.push("Open pages go on loading their files. It can be undone afterwards.".to_owned());
    Ok(steps)
}

/// Names a generation, with its note.
fn named(before: &Before, id: GenerationId) -> String {
    let note = before.generation(id).map(|listed| listed.head.note.lines().next().unwrap_or_default());
    match note.filter(|note| !note.is_empty()) {
        Some(note) => format!("<b>{id}</b> ({})", escape(note)),
        None => format!("<b>{id}</b>"),
    }
}

/// Formats the arguments of a verb for a shell.
fn shell(words: &[String]) -> String {
    let is_plain =
        |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=.@/".contains(&byte));
    let quote = |word: &String| match is_plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    words.iter().filter(|word| *word != "--").map(quote).collect::<Vec<_>>().join(" ")
}
