//! Where a symlink leads, told from names alone, as the kernel would follow it.

use crate::model::relpath;

/// As many links as Linux follows before it says ELOOP.
const MAX_LINKS: usize = 40;

/// What stands at a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At<'a> {
    Nothing,
    File,
    Dir,
    Link(&'a [u8]),
}

/// Where a link leads in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leads {
    /// To something that is there.
    Inside,
    /// To nothing: a name on the way is missing, or is no directory.
    Nowhere,
    /// Above the top, on the way at least.
    Outside,
    /// To a path of the system.
    Absolute,
    /// Round and round.
    InCircles,
}

/// Follows the link that stands at `link`. Only what stands at a name decides what `..` behind it
/// means: `a/..` is not the folder of `a` when `a` is a link. Where nothing stands, names are taken
/// as they read, so that a link that leads outside is found whatever is missing.
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
        // Lexically this is `dir`; the link makes it `dir/sub/..`.
        check("l", "deep/../file", Leads::Inside);
        check("l", "deep/../../dir", Leads::Inside);
        check("l", "deep/../../../dir", Leads::Outside);
        // `here` is the top, so `here/..` leaves it, although it reads as if it stayed.
        check("l", "here/../z", Leads::Outside);
        check("l", "none/../../z", Leads::Outside);
        check("l", "..", Leads::Outside);
        check("l", "/x", Leads::Absolute);
        check("l", "root/x", Leads::Absolute);
        check("l", "loop", Leads::InCircles);
    }
}
