//! Acts on a form: checks who sends it, runs the verb, and leads to a page that offers to undo it.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::action::{Action, Before};
use super::layout::{Live, page};
use super::plan::{FORM, refusal};
use super::respond;
use crate::answers::{self, escape};
use crate::api;
use crate::asker::{self, Asker};
use crate::body::Body;
use crate::desk::{Checked, Done, Failed};
use crate::form::Fields;
use crate::live::Live as Events;
use crate::site::Site;

/// The time for an action, with the project's hooks.
const LIMIT: Duration = Duration::from_secs(600);

/// The action of a form that takes an action back.
const UNDO: &str = "undo";

/// Acts on a form for `verb`, which a person at this machine sends.
pub(super) async fn act(
    site: &Arc<Site>,
    verb: &str,
    headers: &HeaderMap,
    host: &str,
    sent: (Asker, Incoming),
) -> Response<Body> {
    let (asker, body) = sent;
    let forbidden = |why| answers::plain(StatusCode::FORBIDDEN, headers, why);
    if !asker::is_own_form(headers, host) {
        return forbidden("forms of other pages are not accepted");
    }
    let Some(fields) = Fields::receive(body, site.options.limits.head).await else {
        return answers::plain(StatusCode::BAD_REQUEST, headers, "the form is incomplete, or too large");
    };
    if !fields.get("token").is_some_and(|token| site.desk.knows(token)) {
        return forbidden("the form is of another run of the server: load its page again");
    }
    if !tokio::task::block_in_place(|| asker.is_own_user()) {
        return forbidden("actions are for the user who runs the server");
    }
    let done = match verb {
        UNDO => undo(site, &fields).await,
        _ => first(site, verb, &fields).await,
    };
    match done {
        Ok(done) => {
            let number = site.desk.remember(done);
            // Other pages see it at once, and not only when the server looks at the store again.
            tokio::task::block_in_place(|| site.generations.refresh());
            Events::changed(&site.live);
            answers::redirect(StatusCode::SEE_OTHER, &format!("/@genstore/done/{number}"))
        }
        Err(Refused::Unknown) => {
            answers::plain(StatusCode::BAD_REQUEST, headers, "there is no such action")
        }
        Err(Refused::Unreadable(error)) => respond::unreadable(site, &error, headers),
        Err(Refused::Failed(failed)) => {
            let why = match failed.code.as_str() {
                "lost-compare-and-set" => {
                    "Another generation is current by now. Nothing was changed.".to_owned()
                }
                _ => failed.message(),
            };
            refusal(api::status(&failed), "Nothing was changed", &why)
        }
    }
}

/// The reason why an action was not done.
enum Refused {
    Unknown,
    Unreadable(genstore::Error),
    Failed(Failed),
}

async fn first(site: &Arc<Site>, verb: &str, fields: &Fields) -> Result<Done, Refused> {
    let action = Action::read(verb, fields).ok_or(Refused::Unknown)?;
    let mut words = action.words().ok_or(Refused::Unknown)?;
    if action.moves() {
        let expected = fields.get("expect").ok_or(Refused::Unknown)?;
        words.insert(1, format!("--expect={expected}"));
    }
    let before = tokio::task::block_in_place(|| Before::of(&site.generations.store()));
    let before = before.map_err(Refused::Unreadable)?;
    let document = site.desk.run(&site.generations.store(), words, LIMIT).await.map_err(Refused::Failed)?;
    let undo = action.undo(&before, &document);
    if action == Action::Verify {
        let (at, document) = ((site.options.clock)(), document.clone());
        site.desk.keep_check(Checked { at, document });
    }
    Ok(Done { what: action.past(&document), warnings: warnings(&document), undo })
}

async fn undo(site: &Arc<Site>, fields: &Fields) -> Result<Done, Refused> {
    let number = fields.get("number").and_then(|number| number.parse().ok()).ok_or(Refused::Unknown)?;
    let done = site.desk.done(number).ok_or(Refused::Unknown)?;
    let mut all = vec![];
    for (nth, words) in done.undo.into_iter().enumerate() {
        match site.desk.run(&site.generations.store(), words, LIMIT).await {
            Ok(document) => all.extend(warnings(&document)),
            Err(failed) if nth == 0 => return Err(Refused::Failed(failed)),
            Err(failed) => all.push(failed.message()),
        }
    }
    Ok(Done { what: format!("Undone: {}", done.what), warnings: all, undo: vec![] })
}

fn warnings(document: &Value) -> Vec<String> {
    let text = |value: &Value| value["message"].as_str().map(str::to_owned);
    document["warnings"].as_array().map_or(vec![], |all| all.iter().filter_map(text).collect())
}

/// Creates the page after an action. Returns `None` if the server does not remember it.
pub(super) fn done(site: &Site, number: &str) -> Option<String> {
    let number = number.parse().ok()?;
    let done = site.desk.done(number)?;
    let warnings: String =
        done.warnings.iter().map(|text| format!("<p class=\"card warn\">{}</p>", escape(text))).collect();
    let undo = match done.undo.is_empty() {
        true => String::new(),
        false => format!(
            "<form {FORM} action=\"/@genstore/act/{UNDO}\"><input type=\"hidden\" name=\"token\" value=\"{}\">\
             <input type=\"hidden\" name=\"number\" value=\"{number}\"><button class=\"button\">Undo</button></form>",
            site.desk.token()
        ),
    };
    let body = format!(
        "<div class=\"card plan\"><p class=\"done\">{}.</p><div class=\"row\">\
         <a class=\"button main\" href=\"/@genstore/\">To the timeline</a>\
         <a class=\"button\" href=\"/@genstore/health\">Health</a>{undo}</div></div>{warnings}",
        escape(&done.what)
    );
    Some(page("Done", Live::Still, &body))
}
