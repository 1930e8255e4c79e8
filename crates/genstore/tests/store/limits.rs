//! Numbers of files and depths of folders beyond the limits of a filesystem.

use super::*;

#[test]
fn seventy_thousand_equal_files_need_more_than_one_inode() {
    // The limit of 65,000 links is ext4's, so this uses the build folder, not a filesystem in memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut plan = Plan::builder();
    let names: Vec<String> = (0..70_000).map(|n| format!("{}/{n}", n % 100)).collect();
    for name in &names {
        plan = plan.file(name.as_str(), Source::Bytes(b"all the same".to_vec()));
    }
    let mut options = ticking(1_000);
    options.durability = Durability::None;
    let store = Store::init(&dir.path().join("store"), options).unwrap().store;
    drop(commit(&store, &plan.build().unwrap()).unwrap());
    let inodes: std::collections::BTreeSet<u64> = names
        .iter()
        .map(|name| store.path().join("current").join(name).metadata().unwrap().ino())
        .collect();
    println!("{} inodes", inodes.len());
    assert!(inodes.len() <= 2, "the files share as few inodes as the filesystem allows");
    assert_eq!(object_inodes(store.path()).len(), 1);
    // The next generation links to the object until that has no links left either.
    let mut plan = Plan::builder();
    for name in &names {
        plan = plan.file(format!("again/{name}"), Source::Bytes(b"all the same".to_vec()));
    }
    drop(commit(&store, &plan.build().unwrap()).unwrap());
    assert_clean(&store);
    drop(collect(&store, 0));
    assert_clean(&store);
}

#[test]
fn ten_thousand_folders_deep() {
    let dir = scratch();
    let store = open(dir.path());
    // Names of one letter: 20,000 bytes of path, five times PATH_MAX.
    let deep = "d/".repeat(10_000);
    let plan = Plan::builder()
        .file(format!("{deep}file"), Source::Bytes(b"down here".to_vec()))
        .symlink(format!("{deep}link"), "file")
        .build()
        .unwrap();
    drop(commit(&store, &plan).unwrap());
    assert_clean(&store);
    let generation = store.open_generation(&"@".parse().unwrap()).unwrap();
    let copy = dir.path().join("copy");
    let exported = store.export(&generation, &copy).unwrap();
    assert_eq!((exported.files, exported.bytes), (1, 9));
    drop(generation);
    // From the disk, too: the exported copy is scanned and found to be the same.
    let again = commit(&store, &Plan::scan(&copy, &ScanRules::default()).unwrap()).unwrap();
    assert!(!again.changed);
    drop(commit(&store, &plan_of(&[("flat", "=1")])).unwrap());
    assert_eq!(collect(&store, 1).generations, [id(1)]);
    // The standard library's removal is recursive, and this is too deep for it. rm is not recursive.
    assert!(Command::new("rm").arg("-rf").arg(&copy).status().unwrap().success());
}
