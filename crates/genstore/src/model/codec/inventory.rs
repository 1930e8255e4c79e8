//! Encodes the inventory of a mirror (`store-layout.md`, "Inventory").

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{FRAME_LEN, Frame, Malformed, WireTree, decode, encode, frame, malformed, unframe};
use crate::model::digest::Digest;
use crate::model::ids::GenerationId;
use crate::model::inventory::{Inventory, Shows};
use crate::model::relpath;

const MAGIC: &[u8; 8] = b"gstmirro";

#[derive(Serialize, Deserialize)]
struct WireHead<'a> {
    /// 0: no generation was current.
    generation: u64,
    /// Empty: the whole tree.
    #[serde(with = "serde_bytes")]
    from: &'a [u8],
    copies: bool,
    heals: u64,
    root: u64,
}

#[derive(Serialize, Deserialize)]
struct WireRest<'a> {
    #[serde(borrow)]
    tree: WireTree<'a>,
    inodes: Vec<u64>,
    #[serde(borrow)]
    folders: Vec<&'a serde_bytes::Bytes>,
}

impl Inventory {
    /// Encodes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let head = WireHead {
            generation: self.shows.generation.map_or(0, GenerationId::get),
            from: self.shows.from.as_deref().unwrap_or_default(),
            copies: self.shows.copies,
            heals: self.heals,
            root: self.root,
        };
        let rest = WireRest {
            tree: (&self.tree).into(),
            inodes: self.inodes.clone(),
            folders: self.folders.iter().map(|folder| serde_bytes::Bytes::new(folder)).collect(),
        };
        frame(MAGIC, &encode(&head), &rest)
    }

    /// Decodes the output of [`Inventory::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Inventory, Malformed> {
        let (head, rest) = unframe(MAGIC, bytes)?;
        let (shows, head) = shows(head)?;
        let rest: WireRest<'_> = decode(rest)?;
        let tree = rest.tree.tree(Bytes::copy_from_slice, None)?;
        let folders: BTreeSet<Vec<u8>> = rest.folders.iter().map(|folder| folder.to_vec()).collect();
        let in_order = folders.iter().eq(rest.folders.iter().map(|folder| &***folder));
        if rest.inodes.len() as u64 != tree.files() || !in_order {
            return malformed("the inventory is not in canonical form");
        }
        if rest.folders.iter().any(|path| relpath::check(path).is_err()) {
            return malformed("it names an invalid path");
        }
        Ok(Inventory { shows, heals: head.heals, root: head.root, tree, inodes: rest.inodes, folders })
    }
}

impl Shows {
    /// Decodes an inventory's head alone. The rest is not read.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Shows, Malformed> {
        let frame = Frame::parse(MAGIC, bytes)?;
        match bytes.get(FRAME_LEN..FRAME_LEN + frame.head_len) {
            Some(head) if Digest::of(head) == frame.head_digest => shows(head).map(|(shows, _)| shows),
            _ => malformed("the head's hash differs"),
        }
    }
}

fn shows(head: &[u8]) -> Result<(Shows, WireHead<'_>), Malformed> {
    let head: WireHead<'_> = decode(head)?;
    let from = match head.from {
        b"" => None,
        from if relpath::check(from).is_err() => return malformed("it names an invalid path"),
        from => Some(from.to_vec()),
    };
    Ok((Shows { generation: GenerationId::new(head.generation), from, copies: head.copies }, head))
}
