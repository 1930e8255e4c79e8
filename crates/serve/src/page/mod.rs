//! The server's own pages, under `/@genstore/`: for people who look at generations. They work without scripts.

mod act;
mod action;
mod compare;
mod generation;
mod health;
mod history;
mod layout;
mod lines;
mod plan;
mod respond;
mod timeline;
mod treemap;

use std::sync::Arc;

use genstore::GenerationId;
use genstore::tree::RelPath;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use crate::answers;
use crate::asker::{self, Asker};
use crate::body::Body;
use crate::form::Fields;
use crate::site::Site;
use crate::target::OWN;
use compare::Comparison;
use lines::Sides;
use respond::{asset, html, unreadable};

/// The prefix of actions.
pub(crate) const ACT: &str = "/@genstore/act/";
/// Answers a path below `/@genstore/`. Returns `None` if no page has it.
pub(crate) async fn answer(
    site: &Arc<Site>,
    request: &Request<()>,
    host: &str,
    asker: Asker,
) -> Option<Response<Body>> {
    let (rest, headers) = (request.uri().path().strip_prefix(OWN)?, request.headers());
    match rest {
        "page.css" => return Some(asset("text/css; charset=utf-8", include_str!("page.css"))),
        "page.js" => return Some(asset("text/javascript; charset=utf-8", include_str!("page.js"))),
        "icon.svg" => return Some(asset("image/svg+xml", include_str!("icon.svg"))),
        _ => {}
    }
    let (kind, name) = rest.split_once('/').unwrap_or((rest, ""));
    match kind {
        "health" if name.is_empty() => return Some(health::health(site, headers).await),
        "g" => return Some(generation::generation(site, GenerationId::parse(name)?, headers).await),
        "act" | "done" => {}
        _ => return tokio::task::block_in_place(|| shown(site, rest, request, host)),
    }
    // These pages have the token.
    if !site.desk.is_open() {
        return None;
    }
    if !asker::is_visit(headers) || !tokio::task::block_in_place(|| asker.is_own_user()) {
        let why = "this page is for the user who runs the server, and not for scripts and other pages";
        return Some(answers::plain(StatusCode::FORBIDDEN, headers, why));
    }
    match kind {
        "act" => plan::plan(site, name, request.uri().query().unwrap_or_default(), headers).await,
        _ => act::done(site, name).map(|page| html(StatusCode::OK, page)),
    }
}

/// Acts on a form. Returns `None` if no page has its address.
pub(crate) async fn act(
    site: &Arc<Site>,
    request: &Request<()>,
    host: &str,
    sent: (Asker, Incoming),
) -> Option<Response<Body>> {
    let verb = request.uri().path().strip_prefix(ACT)?;
    match site.desk.is_open() {
        true => Some(act::act(site, verb, request.headers(), host, sent).await),
        false => None,
    }
}

/// Creates a page that only shows. Reading the store blocks.
fn shown(site: &Site, rest: &str, request: &Request<()>, host: &str) -> Option<Response<Body>> {
    let (store, now) = (site.generations.store(), (site.options.clock)());
    let port = host.rsplit_once(':').map_or(String::new(), |(_, port)| format!(":{port}"));
    let made = match rest.split_once('/') {
        None if rest.is_empty() => timeline::timeline(&store, now, &port, site.desk.is_open()),
        Some(("diff", both)) => {
            let (from, to) = both.split_once('/')?;
            let (from, to) = (GenerationId::parse(from)?, GenerationId::parse(to)?);
            let sides = match Fields::parse(request.uri().query().unwrap_or_default()).get("sides") {
                Some("2") => Sides::Two,
                _ => Sides::One,
            };
            Comparison { from, to, sides, port: &port }.page(&store)
        }
        Some(("path", wanted)) => {
            let wanted: Vec<u8> = percent_decode_str(wanted).collect();
            RelPath::new(wanted.clone()).ok()?;
            history::history(&store, &wanted, now)
        }
        _ => return None,
    };
    Some(match made {
        Ok(page) => html(StatusCode::OK, page),
        Err(error) => unreadable(site, &error, request.headers()),
    })
}
