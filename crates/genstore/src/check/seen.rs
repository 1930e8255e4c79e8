//! The stats of objects that a check has taken. Each object is checked once, and then compared with all paths
//! that show it.

use std::collections::HashMap;

use crate::error::Result;
use crate::fs::errno::is_absence;
use crate::fs::{Kind, Stat};
use crate::model::object_name::parse_name;
use crate::model::tree::ObjectId;
use crate::parts::layout::OBJECTS;
use crate::parts::objects::Objects;

/// An object that generations need.
pub(crate) struct SeenObject {
    /// The number of paths of generations that show it.
    pub(crate) paths: u64,
    /// The stat of its name. If objects are hashed: that of the inode that was hashed.
    pub(crate) stat: Option<Stat>,
}

/// The objects that generations need.
pub(crate) struct SeenObjects(HashMap<ObjectId, SeenObject>);

impl SeenObjects {
    pub(crate) fn of(all: impl Iterator<Item = (ObjectId, SeenObject)>) -> SeenObjects {
        SeenObjects(all.collect())
    }

    /// Returns whether a generation needs the object.
    pub(crate) fn is_used(&self, id: ObjectId) -> bool {
        self.0.contains_key(&id)
    }

    /// Returns the stat of an object that is a regular file.
    pub(crate) fn file(&self, id: ObjectId) -> Option<&Stat> {
        self.0.get(&id)?.stat.as_ref().filter(|stat| stat.kind == Kind::File)
    }

    /// Returns every object that is a regular file, with the number of paths that show it.
    pub(crate) fn files(&self) -> impl Iterator<Item = (ObjectId, u64, &Stat)> {
        let files = self.0.iter().filter_map(|(id, seen)| Some((*id, seen.paths, seen.stat.as_ref()?)));
        files.filter(|(.., stat)| stat.kind == Kind::File)
    }

    /// Returns whether a name in a folder of the store is the name of an object that is a regular file.
    pub(crate) fn is_name(&self, folder: &[u8], name: &[u8]) -> bool {
        let folder = folder.strip_prefix(OBJECTS).and_then(|rest| rest.strip_prefix(b"/"));
        let id = folder.and_then(|folder| parse_name(folder, name));
        id.is_some_and(|id| self.file(id).is_some())
    }
}

/// The way to find the inode of an object.
#[derive(Clone, Copy)]
pub(crate) enum Inodes<'a> {
    /// None: no file counts as an object.
    Unknown,
    /// A stat of the object.
    Named(&'a Objects<'a>),
    /// The stats that a check of the objects has taken.
    Seen(&'a SeenObjects),
}

impl<'a> Inodes<'a> {
    pub(crate) fn of(objects: Option<&'a Objects<'a>>) -> Inodes<'a> {
        objects.map_or(Inodes::Unknown, Inodes::Named)
    }

    /// Returns whether an inode is that of an object.
    pub(crate) fn is_object(self, id: ObjectId, stat: &Stat) -> Result<bool> {
        match self {
            Inodes::Unknown => Ok(false),
            Inodes::Named(objects) => match objects.stat(id) {
                Err(e) if is_absence(&e) => Ok(false),
                object => object.map(|object| object.is_some_and(|one| one.same_inode(stat))),
            },
            Inodes::Seen(seen) => Ok(seen.file(id).is_some_and(|one| one.same_inode(stat))),
        }
    }
}
