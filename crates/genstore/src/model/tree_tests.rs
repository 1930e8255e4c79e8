use proptest::prelude::*;

use super::*;
use crate::model::tree::builder::TreeBuilder;

fn file(content: &[u8], executable: bool, secs: i64) -> Node<'static> {
    let mtime = Mtime { secs, nanos: 7 };
    Node::File(FileNode { digest: Digest::of(content), size: content.len() as u64, executable, mtime })
}

fn build(entries: &[(&str, Node<'_>)]) -> Result<Tree, TreeProblem> {
    let mut builder = TreeBuilder::default();
    for (path, node) in entries {
        builder.push(Entry { path: path.as_bytes(), node: *node })?;
    }
    Ok(builder.finish())
}

fn sample() -> Tree {
    build(&[
        ("a", Node::EmptyDir),
        ("b/c", file(b"hello", false, 1)),
        ("b/d", Node::Symlink(b"c")),
        ("b-c", file(b"run", true, -5)),
    ])
    .unwrap()
}

#[test]
fn a_part_is_what_these_entries_alone_would_make() {
    let tree = sample();
    for chosen in 0..1u32 << tree.len() {
        let is_in = |index: usize| chosen >> index & 1 == 1;
        let mut alone = TreeBuilder::default();
        for index in (0..tree.len()).filter(|index| is_in(*index)) {
            alone.push(tree.get(index)).unwrap();
        }
        let (part, alone) = (tree.part(is_in), alone.finish());
        assert_eq!((part.id(), &part), (alone.id(), &alone), "{chosen:b}");
    }
}

#[test]
fn gives_back_what_was_put_in() {
    let tree = sample();
    assert_eq!(tree.len(), 4);
    assert_eq!((tree.files(), tree.bytes()), (2, 8));
    assert_eq!(tree.find(b"b/c"), Some(file(b"hello", false, 1)));
    assert_eq!(tree.find(b"b/d"), Some(Node::Symlink(b"c")));
    assert_eq!(tree.find(b"b-c"), Some(file(b"run", true, -5)));
    assert_eq!(tree.find(b"a"), Some(Node::EmptyDir));
    assert_eq!(tree.find(b"b"), None);
    let below: Vec<_> = tree.below(b"b").map(|e| e.path.to_vec()).collect();
    assert_eq!(below, [b"b/c".to_vec(), b"b/d".to_vec()]);
}

#[test]
fn the_id_leaves_out_mtimes_and_nothing_else() {
    let base = sample().id();
    let with = |entries: &[(&str, Node<'_>)]| build(entries).unwrap().id();
    let same = [
        ("a", Node::EmptyDir),
        ("b/c", file(b"hello", false, 99)),
        ("b/d", Node::Symlink(b"c")),
        ("b-c", file(b"run", true, 99)),
    ];
    assert_eq!(with(&same), base);
    for (index, other) in [
        ("aa", Node::EmptyDir),
        ("b/c", file(b"hello", true, 1)),
        ("b/d", Node::Symlink(b"d")),
        ("b-c", file(b"Run", true, -5)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut changed = same;
        changed[index] = other;
        assert_ne!(with(&changed), base, "entry {index}");
    }
    assert_ne!(with(&same[..3]), base);
}

#[test]
fn refuses_what_is_misplaced() {
    let f = file(b"", false, 0);
    for wrong in [
        vec![("a", f), ("a", f)],
        vec![("b", f), ("a", f)],
        vec![("a", f), ("a/b", f)],
        vec![("a", Node::EmptyDir), ("a/b", f)],
    ] {
        let last = wrong[1].0.as_bytes().to_vec();
        assert_eq!(build(&wrong), Err(TreeProblem::Misplaced(last)), "{wrong:?}");
    }
}

#[test]
fn refuses_columns_that_do_not_fit() {
    let spoil = |change: fn(&mut Columns<Vec<u8>>)| {
        let Columns { paths, kinds, sizes, digests, targets, mtimes } = sample().columns().clone();
        let mut columns = Columns {
            paths: paths.into(),
            kinds: kinds.into(),
            sizes: sizes.into(),
            digests: digests.into(),
            targets: targets.into(),
            mtimes: mtimes.into(),
        };
        change(&mut columns);
        Tree::from_columns(columns.freeze(), None).unwrap_err()
    };
    spoil(|c| c.kinds[0] = 9);
    spoil(|c| c.kinds[0] = KIND_FILE);
    spoil(|c| c.paths.truncate(c.paths.len() - 1));
    spoil(|c| c.paths[2] = b'.');
    spoil(|c| c.sizes.truncate(8));
    spoil(|c| c.sizes.fill(0xff));
    spoil(|c| c.digests.extend([0; 32]));
    spoil(|c| c.targets.clear());
    spoil(|c| c.mtimes.fill(0xff));
    assert!(Tree::from_columns(sample().columns().clone(), None).is_ok());
}

#[test]
fn times_survive_the_way_there_and_back() {
    for secs in [-2, -1, 0, 1, 1_700_000_000] {
        for nanos in [0, 1, 999_999_999] {
            let time = Mtime { secs, nanos };
            assert_eq!(Mtime::from(SystemTime::from(time)), time);
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_sorted_is_found(paths in prop::collection::btree_set("[a-c]{1,2}(/[a-c]{1,2}){0,2}", 0..20)) {
        let mut paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        paths.sort_by(|a, b| relpath::compare(a.as_bytes(), b.as_bytes()));
        paths.dedup_by(|next, before| relpath::is_within(next.as_bytes(), before.as_bytes()));
        let entries: Vec<_> = paths.iter().map(|p| (*p, file(p.as_bytes(), false, 0))).collect();
        let tree = build(&entries).unwrap();
        prop_assert_eq!(tree.len(), paths.len());
        for (path, node) in entries {
            prop_assert_eq!(tree.find(path.as_bytes()), Some(node));
        }
        prop_assert_eq!(Tree::from_columns(tree.columns().clone(), None).unwrap().id(), tree.id());
    }
}
