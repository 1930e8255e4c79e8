//! Files in a tree that are hardly meant for readers: repositories, environment files, private keys.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use genstore::tree::{Node, Tree};

/// Endings of `.env` files that are examples.
const EXAMPLES: [&[u8]; 5] = [b".example", b".sample", b".template", b".dist", b".defaults"];
/// Files of passwords and tokens.
const PASSWORDS: [&[u8]; 5] = [b".netrc", b".npmrc", b".pypirc", b".htpasswd", b".pgpass"];
/// Names of the private keys of ssh.
const KEYS: [&[u8]; 4] = [b"id_rsa", b"id_dsa", b"id_ecdsa", b"id_ed25519"];
/// Endings of files that may be private keys, or certificates.
const MAY_BE_KEYS: [&[u8]; 3] = [b".pem", b".key", b".p8"];
/// Endings of containers of private keys.
const CONTAINERS: [&[u8]; 2] = [b".p12", b".pfx"];
/// The bytes in which the beginning of a private key is searched.
const SEARCHED: u64 = 256;

/// Lists such files: each path, and what it is. `files` is the directory that holds the files of the tree, if
/// they can be read.
pub(crate) fn find(tree: &Tree, files: Option<&Path>) -> Vec<(Vec<u8>, &'static str)> {
    let mut found = Vec::new();
    for entry in tree.iter() {
        let name = entry.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let what = match name {
            // A repository always has this file.
            b"HEAD" if entry.path == b".git/HEAD" || entry.path.ends_with(b"/.git/HEAD") => {
                "a git repository"
            }
            _ if !matches!(entry.node, Node::File(_)) => continue,
            _ => match of_name(name) {
                Some(what) => what,
                None if MAY_BE_KEYS.iter().any(|end| name.ends_with(end)) && is_key(files, entry.path) => {
                    "a private key"
                }
                None => continue,
            },
        };
        let path = entry.path.strip_suffix(b"/HEAD").filter(|_| name == b"HEAD").unwrap_or(entry.path);
        found.push((path.to_vec(), what));
    }
    found
}

/// Returns what a file is by its name alone.
fn of_name(name: &[u8]) -> Option<&'static str> {
    if name == b".git" {
        return Some("a git repository");
    }
    let is_env = name == b".env" || name.starts_with(b".env.");
    if is_env && !EXAMPLES.iter().any(|end| name.ends_with(end)) {
        return Some("a file of environment variables");
    }
    if PASSWORDS.contains(&name) {
        return Some("a file of passwords or tokens");
    }
    let is_key = KEYS.contains(&name) || CONTAINERS.iter().any(|end| name.ends_with(end));
    is_key.then_some("a private key")
}

/// Returns whether a file begins as a private key does. One that cannot be read is none.
fn is_key(files: Option<&Path>, path: &[u8]) -> bool {
    let Some(files) = files else { return false };
    let path = files.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path));
    let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let mut start = Vec::new();
    let read = File::options().read(true).custom_flags(flags).open(path);
    let read = read.and_then(|file| file.take(SEARCHED).read_to_end(&mut start));
    let text = String::from_utf8_lossy(&start);
    read.is_ok() && text.contains("-----BEGIN ") && text.contains("PRIVATE KEY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known() {
        let check =
            |name: &str, expected: Option<&str>| assert_eq!(of_name(name.as_bytes()), expected, "{name}");
        let environment = Some("a file of environment variables");
        check(".git", Some("a git repository"));
        check(".gitignore", None);
        check(".env", environment);
        check(".env.production", environment);
        check(".env.example", None);
        check(".environment", None);
        check(".netrc", Some("a file of passwords or tokens"));
        check("id_ed25519", Some("a private key"));
        check("id_ed25519.pub", None);
        check("site.pfx", Some("a private key"));
        check("site.pem", None);
        check("index.html", None);
    }
}
