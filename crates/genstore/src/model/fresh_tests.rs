use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::model::delta::differing;
use crate::model::relpath;
use crate::model::tree::Entry;
use crate::model::tree::builder::TreeBuilder;

fn tree(files: &[(&str, u8, i64)]) -> Tree {
    let mut builder = TreeBuilder::default();
    for (path, content, secs) in files {
        let file = FileNode {
            digest: Digest::of(&[*content]),
            size: 1,
            executable: false,
            mtime: Mtime { secs: *secs, nanos: 0 },
        };
        builder.push(Entry { path: path.as_bytes(), node: Node::File(file) }).unwrap();
    }
    builder.finish()
}

fn at(secs: i64) -> Mtime {
    Mtime { secs, nanos: 0 }
}

/// The time of a clock, which has a part below the second.
fn clock(secs: i64) -> Mtime {
    Mtime { secs, nanos: 5 }
}

#[test]
fn newer_bytes_with_a_newer_mtime_need_nothing() {
    let plan = plan(
        (&tree(&[("a", 1, 10), ("b", 1, 10)]), &PublishedMtimes::default()),
        (&tree(&[("a", 2, 11), ("b", 1, 10)]), &PublishedMtimes::default()),
        at(50),
    );
    assert_eq!(plan.touches, []);
    assert!(plan.shown.is_empty());
}

#[test]
fn older_bytes_are_shown_with_a_new_mtime_and_stay_so() {
    let (old, new) = (tree(&[("a", 1, 10)]), tree(&[("a", 2, 20)]));
    let back = plan((&new, &PublishedMtimes::default()), (&old, &PublishedMtimes::default()), at(30));
    assert_eq!(back.touches, [(b"a".to_vec(), Touch::Renew(at(30), false))]);
    let forth = plan((&old, &back.shown), (&new, &PublishedMtimes::default()), at(30));
    assert_eq!(forth.touches, [(b"a".to_vec(), Touch::Renew(at(31), false))]);
    // The same bytes published again keep the inode that is shown.
    let again = plan((&new, &forth.shown), (&new, &PublishedMtimes::default()), at(99));
    assert_eq!(again.touches, [(b"a".to_vec(), Touch::Keep(at(31)))]);
}

#[test]
fn what_a_clock_that_ran_ahead_gave_is_not_ahead_once_the_clock_is_right() {
    let (old, new) = (tree(&[("a", 1, 10)]), tree(&[("a", 2, 20)]));
    let years = 1 << 32;
    let check = |ahead: i64, expected: i64| {
        let back =
            plan((&new, &PublishedMtimes::default()), (&old, &PublishedMtimes::default()), clock(ahead));
        assert_eq!(back.touches, [(b"a".to_vec(), Touch::Renew(clock(ahead), false))]);
        let forth = plan((&old, &back.shown), (&new, &PublishedMtimes::default()), at(100));
        assert_eq!(forth.touches, [(b"a".to_vec(), Touch::Renew(at(expected), false))], "{ahead}");
        // Once more, with a path that is absent in between.
        let back = plan((&new, &forth.shown), (&old, &back.shown), at(200));
        assert_eq!(back.touches, [(b"a".to_vec(), Touch::Renew(at(expected.max(199) + 1), false))]);
    };
    check(years, 101);
    // A clock that was set back by less is waited for.
    check(100 + AHEAD, 101 + AHEAD);
    let back = plan((&new, &PublishedMtimes::default()), (&old, &PublishedMtimes::default()), clock(years));
    let gone = plan((&old, &back.shown), (&Tree::empty(), &PublishedMtimes::default()), at(100));
    let again = plan((&Tree::empty(), &gone.shown), (&new, &PublishedMtimes::default()), at(200));
    assert_eq!(again.touches, [(b"a".to_vec(), Touch::Renew(at(200), false))]);
}

/// INV-15: an mtime from a source was shown to clients as it is, and so was each one after it.
#[test]
fn what_follows_a_source_that_was_dated_far_ahead_is_newer_each_time() {
    let years = 1 << 32;
    let (ahead, old, new) = (tree(&[("a", 1, years)]), tree(&[("a", 2, 10)]), tree(&[("a", 3, 20)]));
    let second =
        plan((&ahead, &PublishedMtimes::default()), (&old, &PublishedMtimes::default()), clock(100));
    assert_eq!(second.touches, [(b"a".to_vec(), Touch::Renew(at(years + 1), false))]);
    let third = plan((&old, &second.shown), (&new, &PublishedMtimes::default()), clock(200));
    assert_eq!(third.touches, [(b"a".to_vec(), Touch::Renew(at(years + 2), false))]);
    // Once more, with a path that is absent in between.
    let gone = plan((&new, &third.shown), (&Tree::empty(), &PublishedMtimes::default()), clock(300));
    let fourth = plan((&Tree::empty(), &gone.shown), (&old, &second.shown), clock(400));
    assert_eq!(fourth.touches, [(b"a".to_vec(), Touch::Renew(at(years + 3), false))]);
}

#[test]
fn a_path_that_comes_back_is_compared_with_what_it_last_showed() {
    let (full, without) = (tree(&[("a", 1, 10), ("b", 1, 10)]), tree(&[("b", 1, 10)]));
    let gone = plan((&full, &PublishedMtimes::default()), (&without, &PublishedMtimes::default()), at(20));
    assert_eq!(gone.shown.retired.len(), 1);
    let same = plan((&without, &gone.shown), (&full, &PublishedMtimes::default()), at(30));
    assert_eq!((same.touches.len(), same.shown.retired.len()), (0, 0));
    let other = tree(&[("a", 2, 10), ("b", 1, 10)]);
    let changed = plan((&without, &gone.shown), (&other, &PublishedMtimes::default()), at(30));
    assert_eq!(changed.touches, [(b"a".to_vec(), Touch::Renew(at(30), false))]);
}

#[test]
fn the_list_of_retired_paths_is_bounded_and_still_sound() {
    let names: Vec<String> = (0..MAX_RETIRED + 1).map(|n| format!("f{n:06}")).collect();
    let files: Vec<_> = names.iter().enumerate().map(|(n, p)| (p.as_str(), 1, n as i64)).collect();
    let (all, none, other) = (tree(&files), Tree::empty(), tree(&[("other", 1, 0)]));
    let gone = plan((&all, &PublishedMtimes::default()), (&none, &PublishedMtimes::default()), at(0));
    assert_eq!(gone.shown.retired.len(), files.len(), "the larger tree has as many");
    let back = plan((&none, &gone.shown), (&all, &PublishedMtimes::default()), at(0));
    assert_eq!(
        (back.touches.len(), back.shown.is_empty()),
        (0, true),
        "the same bytes come back with the same mtime"
    );
    // The generation after the next need not pass all of them on.
    let after = plan((&none, &gone.shown), (&other, &PublishedMtimes::default()), at(0));
    assert!(after.shown.retired.len() <= MAX_RETIRED);
    let mut others = files.clone();
    others.iter_mut().for_each(|file| file.1 = 2);
    let back = plan((&other, &after.shown), (&tree(&others), &PublishedMtimes::default()), at(0));
    assert_eq!(back.touches.len(), files.len(), "every path shows different bytes");
}

proptest! {
    /// In any order of activations: if a client has cached an earlier (path, second) and gets "304 Not
    /// Modified", its bytes are right.
    #[test]
    fn no_client_is_ever_told_a_stale_304(
        trees in prop::collection::vec(
            prop::collection::btree_map("[ab]", (0u8..3, 0i64..4), 0..3), 2..5),
        walk in prop::collection::vec((0usize..5, -1i64..2), 1..12),
    ) {
        // One object per content, so one mtime per content, as in a store.
        let mut first_mtime: HashMap<u8, i64> = HashMap::new();
        let trees: Vec<Tree> = trees.iter().map(|files| {
            let files: Vec<_> = files.iter().map(|(path, (content, secs))| {
                (path.as_str(), *content, *first_mtime.entry(*content).or_insert(*secs))
            }).collect();
            tree(&files)
        }).collect();
        let mut shown = vec![PublishedMtimes::default(); trees.len()];
        let mut kept: HashMap<(Vec<u8>, i64), Digest> = HashMap::new();
        let mut current: Option<usize> = None;
        let mut clock = 2;
        for (pick, drift) in walk {
            let next = pick % trees.len();
            clock += drift;
            if let Some(current) = current && current != next {
                let plan = plan((&trees[current], &shown[current]), (&trees[next], &shown[next]), at(clock));
                shown[next] = plan.shown;
            }
            current = Some(next);
            for (path, file) in trees[next].iter_files() {
                let secs = shown[next].mtime(path, &file).secs;
                let known = *kept.entry((path.to_vec(), secs)).or_insert(file.digest);
                prop_assert_eq!(known, file.digest, "same path and second, other bytes");
                let stale = kept.iter().any(|((p, s), d)| p == path && *s > secs && *d != file.digest);
                prop_assert!(!stale, "a later second was shown with other bytes");
            }
        }
    }
}

/// The entry at a path: content 0 is empty, 4 and 5 are symlinks, 6 is an empty directory.
fn mixed(entries: &std::collections::BTreeMap<String, (u8, bool, i64)>) -> Tree {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by(|a, b| relpath::compare(a.0.as_bytes(), b.0.as_bytes()));
    let mut builder = TreeBuilder::default();
    for (path, (content, executable, secs)) in entries {
        let bytes: &[u8] = &vec![*content; usize::from(*content)];
        let node = match content {
            4 | 5 => Node::Symlink(bytes),
            6 => Node::EmptyDir,
            _ => Node::File(FileNode {
                digest: Digest::of(bytes),
                size: bytes.len() as u64,
                executable: *executable,
                mtime: at(*secs),
            }),
        };
        // Entries below a file are left out.
        drop(builder.push(Entry { path: path.as_bytes(), node }));
    }
    builder.finish()
}

#[test]
fn the_difference_does_not_tell_of_files_that_are_the_same() {
    let (old, new) = (tree(&[("a", 1, 10), ("b", 1, 10)]), tree(&[("a", 2, 20), ("b", 1, 10)]));
    let (before, after) = differing(&old, &new).unwrap();
    assert_eq!((before.len(), after.len()), (1, 1));
    let fresh = |path: &[u8], secs| PublishedMtimes {
        fresh: [(path.to_vec(), at(secs))].into(),
        ..PublishedMtimes::default()
    };
    let by_difference = |one: &PublishedMtimes, other: &PublishedMtimes| {
        plan_by_difference((&before, one), (&after, other), 2, at(9))
    };
    assert!(by_difference(&fresh(b"a", 11), &PublishedMtimes::default()).is_some());
    assert!(by_difference(&fresh(b"b", 11), &fresh(b"b", 11)).is_some());
    assert_eq!(by_difference(&fresh(b"b", 11), &fresh(b"b", 12)), None);
    assert_eq!(by_difference(&fresh(b"b", 11), &PublishedMtimes::default()), None);
    assert_eq!(by_difference(&PublishedMtimes::default(), &fresh(b"b", 11)), None);
}

proptest! {
    /// For any earlier activations: two neighbours are compared by their delta with the same result as
    /// by their trees.
    #[test]
    fn the_difference_plans_as_the_trees_do(
        trees in prop::collection::vec(
            prop::collection::btree_map("[abc](/[ab])?", (0u8..7, any::<bool>(), 0i64..4), 0..6), 2..5),
        walk in prop::collection::vec((0usize..5, -1i64..2), 1..12),
    ) {
        let trees: Vec<Tree> = trees.iter().map(mixed).collect();
        let mut shown = vec![PublishedMtimes::default(); trees.len()];
        let (mut current, mut clock) = (0, 2);
        for (pick, drift) in walk {
            let next = pick % trees.len();
            clock += drift;
            let (from, to) = (&shown[current], &shown[next]);
            let whole = plan((&trees[current], from), (&trees[next], to), at(clock));
            // The later one keeps the delta, and it is valid in both directions.
            let (before, after) = differing(&trees[current.min(next)], &trees[current.max(next)]).unwrap();
            let (before, after) = if current < next { (before, after) } else { (after, before) };
            let files = trees[current].files().max(trees[next].files());
            let by_difference = plan_by_difference((&before, from), (&after, to), files, at(clock));
            let known = |path: &&Vec<u8>| before.find(path).is_some() || after.find(path).is_some();
            let same = from.fresh.iter().filter(|(p, _)| !known(p)).eq(to.fresh.iter().filter(|(p, _)| !known(p)));
            prop_assert_eq!(by_difference.is_some(), same);
            if let Some(by_difference) = by_difference {
                prop_assert_eq!(&by_difference, &whole);
            }
            shown[next] = whole.shown;
            current = next;
        }
    }
}
