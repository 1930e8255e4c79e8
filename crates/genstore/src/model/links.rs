//! Resolves symlinks of a tree from names alone, in the way the kernel does.

use crate::model::relpath;

/// The number of links that Linux follows before it fails with ELOOP.
const MAX_LINKS: usize = 40;

/// The kind of the entry at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At<'a> {
    Nothing,
    File,
    Dir,
    Link(&'a [u8]),
}

/// The place where a link ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leads {
    /// At an entry of the tree.
    Inside,
    /// Nowhere: a name on the way is missing, or is not a directory.
    Nowhere,
    /// Above the top of the tree, at least on the way.
    Outside,
    /// At an absolute path.
    Absolute,
    /// In a loop.
    InCircles,
}

/// Follows the link at `link`. A `..` is resolved from the entry before it: `a/..` is not the folder of
/// `a` if `a` is a link. If an entry is missing, the names are resolved as text, so a link that leads
/// outside is found even if entries are missing.
pub(crate) fn follow<'a>(link: &[u8], target: &'a [u8], at: impl Fn(&[u8]) -> At<'a>) -> Leads {
    if target.starts_with(b"/") {
        return Leads::Absolute;
    }
    let mut here: Vec<&[u8]> = names(relpath::split(link).0).collect();
    let mut todo: Vec<&[u8]> = names(target).collect();
    todo.reverse();
    let mut missing = false;
    let mut links_left = MAX_LINKS;
    while let Some(name) = todo.pop() {
        if name == b".." {
            if here.pop().is_none() {
                return Leads::Outside;
            }
            continue;
        }
        here.push(name);
        match at(&here.join(&b'/')) {
            At::Dir => {}
            At::Nothing => missing = true,
            At::File => missing |= !todo.is_empty(),
            At::Link(next) if next.starts_with(b"/") => return Leads::Absolute,
            At::Link(_) if links_left == 0 => return Leads::InCircles,
            At::Link(next) => {
                links_left -= 1;
                here.pop();
                todo.extend(names(next).collect::<Vec<_>>().into_iter().rev());
            }
        }
    }
    if missing { Leads::Nowhere } else { Leads::Inside }
}

fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&b| b == b'/').filter(|name| !name.is_empty() && *name != b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_as_the_kernel_does() {
        let at = |path: &[u8]| match path {
            b"dir" | b"dir/sub" => At::Dir,
            b"dir/file" => At::File,
            b"here" => At::Link(b"."),
            b"deep" => At::Link(b"dir/sub"),
            b"loop" => At::Link(b"loop"),
            b"root" => At::Link(b"/etc"),
            _ => At::Nothing,
        };
        let check = |link: &str, target: &'static str, expected| {
            assert_eq!(follow(link.as_bytes(), target.as_bytes(), at), expected, "{link} -> {target}");
        };
        check("l", "dir/file", Leads::Inside);
        check("dir/l", "file", Leads::Inside);
        check("dir/l", "../dir/./sub//", Leads::Inside);
        check("l", "dir/none", Leads::Nowhere);
        check("l", "dir/file/x", Leads::Nowhere);
        // As text this is `dir`. The link makes it `dir/sub/..`.
        check("l", "deep/../file", Leads::Inside);
        check("l", "deep/../../dir", Leads::Inside);
        check("l", "deep/../../../dir", Leads::Outside);
        // `here` is the top, so `here/..` leaves the tree. As text it would stay inside.
        check("l", "here/../z", Leads::Outside);
        check("l", "none/../../z", Leads::Outside);
        check("l", "..", Leads::Outside);
        check("l", "/x", Leads::Absolute);
        check("l", "root/x", Leads::Absolute);
        check("l", "loop", Leads::InCircles);
    }
}
