//! The history of one path: the generations that brought another content.

use std::fmt::Write;
use std::time::SystemTime;

use genstore::tree::Node;
use genstore::{Error, Store};

use super::generation::open;
use super::layout::{Live, REGION, address, ago, page, size};
use crate::answers::escape;

/// Creates the page of the history of a path.
pub(super) fn history(store: &Store, wanted: &[u8], now: SystemTime) -> Result<String, Error> {
    let mut rows = vec![];
    for listed in store.list()?.generations {
        let (_, tree) = match open(store, listed.id) {
            // gc removed it meanwhile.
            Err(Error::UnknownRev { .. }) => continue,
            opened => opened?,
        };
        let file = match tree.find(wanted) {
            Some(Node::File(file)) => Some(file),
            _ => None,
        };
        rows.push((listed.id, SystemTime::from(listed.head.created), file, listed.head.note));
    }
    let mut body = format!(
        "<div {REGION} aria-label=\"History\"><table><tr><th>Generation</th><th>When</th><th class=\"n\">Size</th>\
         <th>Note</th></tr>"
    );
    for (nth, (id, created, file, note)) in rows.iter().enumerate() {
        let older = rows.get(nth + 1).map(|(_, _, file, _)| file.map(|file| file.digest));
        let digest = file.map(|file| file.digest);
        // Only the generations that brought another content are rows.
        if older == Some(digest) || (older.is_none() && digest.is_none()) {
            continue;
        }
        let shown = file.map_or("removed".to_owned(), |file| size(file.size));
        write!(
            body,
            "<tr><td><a href=\"/@gen/{id}/{}\">{id}</a></td><td>{}</td><td class=\"n\">{shown}</td><td>{}</td></tr>",
            address(wanted),
            ago(*created, now),
            escape(note)
        )
        .ok();
    }
    body.push_str("</table></div>");
    Ok(page(&format!("History of {}", genstore::tree::show_path(wanted)), Live::Still, &body))
}
