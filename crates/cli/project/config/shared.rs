//! `[shared]`: the paths that every generation shows by a link, and their places in the project.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use genstore::plan::{SharedKind, SharedPath, SharedPaths};
use genstore::tree::{RelPath, show_path};
use serde::{Deserialize, Deserializer};

use super::values::not_one_of;

/// The shared paths of a project, by their paths in the tree.
#[derive(Default)]
pub(crate) struct SharedSection(Vec<(RelPath, PlaceSection)>);

/// One shared path.
#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields, default)]
struct PlaceSection {
    /// The place, relative to the file; `shared/PATH` if not given.
    #[serde(deserialize_with = "at")]
    at: Option<PathBuf>,
    #[serde(rename = "as", deserialize_with = "kind")]
    kind: SharedKind,
    #[serde(deserialize_with = "mode")]
    mode: Option<u32>,
    /// Whether the first release fills a place that is made.
    seed: bool,
}

impl SharedSection {
    /// Returns the shared paths of a project with this root.
    pub(crate) fn paths(&self, root: &Path) -> SharedPaths {
        // They were checked when the file was read.
        SharedPaths::new(self.list(root)).unwrap_or_default()
    }

    fn list(&self, root: &Path) -> Vec<SharedPath> {
        let one = |(path, place): &(RelPath, PlaceSection)| {
            let usual = || Path::new("shared").join(as_path(path));
            let mut shared =
                SharedPath::new(path.clone(), root.join(place.at.clone().unwrap_or_else(usual)));
            (shared.kind, shared.mode, shared.seed) = (place.kind, place.mode, place.seed);
            shared
        };
        self.0.iter().map(one).collect()
    }
}

fn as_path(path: &RelPath) -> &Path {
    Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path.as_bytes()))
}

impl<'de> Deserialize<'de> for SharedSection {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<SharedSection, D::Error> {
        let table = BTreeMap::<String, PlaceSection>::deserialize(from)?;
        let bad = |name: &str, why: String| {
            serde::de::Error::custom(format!(
                "not a path that can be shared: {}: {why}",
                show_path(name.as_bytes())
            ))
        };
        let path = |(name, place): (String, PlaceSection)| match RelPath::new(name.as_bytes()) {
            Ok(path) => Ok((path, place)),
            Err(why) => Err(bad(&name, why.to_string())),
        };
        let section = SharedSection(table.into_iter().map(path).collect::<Result<_, _>>()?);
        SharedPaths::new(section.list(Path::new("/"))).map_err(serde::de::Error::custom)?;
        Ok(section)
    }
}

/// Parses a path inside the project.
fn at<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(from)?;
    let shown = show_path(path.as_os_str().as_encoded_bytes());
    let bad =
        |why: &str| Err(serde::de::Error::custom(format!("not a place in the project: {shown}: {why}")));
    if path.is_absolute() {
        return bad("it is absolute");
    }
    let names = path.components().filter(|part| *part != Component::CurDir);
    match names.clone().find(|part| !matches!(part, Component::Normal(_))) {
        Some(_) => bad("it contains `..`"),
        None if names.count() == 0 => bad("it has no name"),
        None => Ok(Some(path)),
    }
}

fn kind<'de, D: Deserializer<'de>>(from: D) -> Result<SharedKind, D::Error> {
    match String::deserialize(from)?.as_str() {
        "folder" => Ok(SharedKind::Folder),
        "file" => Ok(SharedKind::File),
        other => Err(serde::de::Error::custom(not_one_of(other, "folder", "file"))),
    }
}

/// Parses an octal mode. Set-user-id bits are refused.
fn mode<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(from)?;
    let octal = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(&text, 8).ok().filter(|mode| octal && *mode <= 0o3777) {
        Some(mode) => Ok(Some(mode)),
        None => {
            let shown = show_path(text.as_bytes());
            Err(serde::de::Error::custom(format!(
                "not a mode: {shown} (write it like \"0775\" or \"2775\")"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> Result<SharedSection, String> {
        #[derive(Deserialize)]
        struct File {
            shared: SharedSection,
        }
        let file: Result<File, _> = toml::from_str(&format!("[shared]\n{text}"));
        file.map(|file| file.shared).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn reads_paths_and_their_places() {
        let text = "\"a/b\" = { at = 'data/./b', as = 'file', mode = '0640', seed = true }\n\".env\" = {}";
        let paths = section(text).unwrap().paths(Path::new("/p"));
        let first = SharedPath::new(RelPath::new(".env").unwrap(), "/p/shared/.env");
        let second = SharedPath::new(RelPath::new("a/b").unwrap(), "/p/data/b");
        let second = second.kind(SharedKind::File).mode(0o640).seed();
        assert_eq!(paths.iter().collect::<Vec<_>>(), [&first, &second]);
    }

    #[test]
    fn refuses_what_cannot_be_shared() {
        for (text, expected) in [
            ("a = { at = '/srv/a' }", "not a place in the project: /srv/a: it is absolute"),
            ("a = { at = 'x/../../a' }", "not a place in the project: x/../../a: it contains `..`"),
            ("a = { at = '.' }", "not a place in the project: .: it has no name"),
            ("a = { as = 'dir' }", "\"dir\" is neither \"folder\" nor \"file\""),
            ("a = { mode = '4755' }", "not a mode: 4755 (write it like \"0775\" or \"2775\")"),
            ("a = { mode = '+7' }", "not a mode: +7 (write it like \"0775\" or \"2775\")"),
            ("\"../a\" = {}", "not a path that can be shared: ../a: the path contains `..`"),
            ("a = {}\n\"a/b\" = {}", "the shared path a/b lies in the shared path a"),
        ] {
            assert_eq!(section(text).err().as_deref(), Some(expected), "{text}");
        }
    }
}
