//! Damage of a store is reported and repaired.

use genstore::error::ObjectUse;

use super::*;

/// Flips one bit of a file. The mtime stays, as with bit rot.
fn flip(path: &Path, at: u64) {
    let meta = path.metadata().unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
    fs::set_permissions(path, meta.permissions()).unwrap();
}

#[test]
fn every_damaged_byte_is_named_and_healed_by_the_next_publish() {
    for way in Way::ALL {
        let (dir, store, _outside) = guarded();
        drop(publish_in(way, &store, dir.path(), &things(900, &[("x/a", "=old"), ("gone", "!tool")])));
        let content = things(1_000, &[("x/a", "=hello"), ("y", "=hello"), ("e", "="), ("t", "!tool")]);
        drop(publish_in(way, &store, dir.path(), &content));
        let mut damaged = objects(store.path());
        damaged.push(store.path().join("generations/1/manifest"));
        damaged.push(store.path().join("generations/2/manifest"));
        // One way is enough to try all bytes: the position of the byte does not depend on the way.
        let stride = if way == Way::PLAIN { 1 } else { 9 };
        for path in damaged {
            let old = path.ends_with("manifest") || !content_of(&path).starts_with(b"old");
            if !old {
                continue; // The right bytes are in no source any more.
            }
            for byte in (0..path.metadata().unwrap().len()).step_by(stride) {
                let what = format!("{way}, {} byte {byte}", path.display());
                flip(&path, byte);
                let report = store.verify(None, Depth::Full).unwrap();
                assert!(!report.is_clean(), "{what}");
                if path.ends_with("manifest") {
                    assert_eq!(report.generations.len(), 1, "{what}: {report:?}");
                } else {
                    assert_eq!(report.objects.len(), 1, "{what}: {report:?}");
                    assert!(!report.objects[0].uses.is_empty(), "{what}");
                }
                let healed = publish_in(way, &store, dir.path(), &content);
                assert_eq!((healed.changed, healed.healed), (false, 1), "{what}");
                assert_clean_for(&store, &what);
            }
        }
    }
}

fn content_of(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn a_write_through_a_link_is_noticed_by_the_next_publish_alone() {
    for way in Way::ALL {
        let (dir, store, _outside) = guarded();
        let content = things(1_000, &[("a", "=hello"), ("b", "=hello")]);
        drop(publish_in(way, &store, dir.path(), &content));
        // By root, or after chmod, through the path that readers use. The mtime changes.
        let path = store.path().join("current/a");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, "HELLO").unwrap();
        let healed = publish_in(way, &store, dir.path(), &content);
        assert_eq!((healed.changed, healed.healed), (false, 1), "{way}");
        let shown = read_tree(&store.path().join("current")).unwrap();
        assert!(same_content(&shown, &content));
        assert_clean(&store);
        assert_eq!(fs::read_dir(store.path().join("quarantine")).unwrap().count(), 1, "the bytes are kept");
    }
}

#[test]
fn what_has_no_intact_copy_is_put_aside_and_named_until_it_is_published_again() {
    for way in Way::ALL {
        let (dir, store, _outside) = guarded();
        let content = things(1_000, &[("a", "=precious"), ("b", "=other")]);
        drop(publish_in(way, &store, dir.path(), &content));
        let object = genstore::tree::ObjectId { digest: Digest::of(b"precious"), executable: false };
        let hex = object.digest.to_string();
        flip(&store.path().join("objects").join(&hex[..2]).join(&hex[2..]), 0);
        let Repaired { before, after, .. } = store.repair().unwrap();
        assert_eq!(before.objects[0].cause, "its hash differs");
        assert_eq!(after.objects[0].cause, "it is missing");
        assert_eq!(after.objects[0].uses, [ObjectUse::new(id(1), "a")]);
        let error =
            store.open_generation(&"@".parse().unwrap()).unwrap().cat(b"a", &mut Vec::new()).unwrap_err();
        assert!(matches!(error, Error::Damaged { what: Damaged::Object(found), .. } if found == object));
        assert_eq!(publish_in(way, &store, dir.path(), &content).healed, 1, "{way}");
        assert_clean(&store);
    }
}

#[test]
fn repair_mends_what_people_do_to_a_generation() {
    for way in Way::ALL {
        let (dir, store, _outside) = guarded();
        let content = things(
            1_000,
            &[("a", "=1"), ("d/b", "=2"), ("d/c", "!3"), ("e", "="), ("l", ">a"), ("v", "/")],
        );
        drop(publish_in(way, &store, dir.path(), &content));
        let tree = store.path().join("generations/1/tree");
        fs::remove_file(tree.join("a")).unwrap();
        fs::remove_dir_all(tree.join("d")).unwrap();
        fs::write(tree.join("d"), "in the way").unwrap();
        fs::write(tree.join("stranger"), "?").unwrap();
        fs::write(tree.join("v/stranger"), "?").unwrap();
        fs::remove_file(tree.join("l")).unwrap();
        symlink("b", tree.join("l")).unwrap();
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o700)).unwrap();
        let Repaired { before, after, .. } = store.repair().unwrap();
        assert!(before.faults.len() >= 7, "{before:#?}");
        assert!(after.is_clean(), "{after:#?}");
        let shown = read_tree(&store.path().join("current")).unwrap();
        assert!(same_content(&shown, &content), "{shown:#?}");
    }
}

#[test]
fn healing_does_not_take_a_fresh_inode_for_the_object() {
    for way in Way::ALL {
        let (dir, store, _outside) = guarded();
        let object = |content: &str| {
            let hex = Digest::of(content.as_bytes()).to_string();
            store.path().join("objects").join(&hex[..2]).join(&hex[2..])
        };
        drop(publish_in(way, &store, dir.path(), &things(1_000, &[("a", "=old"), ("b", "=b")])));
        drop(publish_in(way, &store, dir.path(), &things(2_000, &[("a", "=new"), ("b", "=b")])));
        flip(&object("old"), 0);
        assert!(!store.verify(None, Depth::Full).unwrap().is_clean());
        // The older bytes are published again: they are healed, and shown with a newer mtime.
        let back = publish_in(way, &store, dir.path(), &things(1_000, &[("a", "=old"), ("b", "=b")]));
        assert_eq!((back.healed, back.refreshed), (1, 1));
        assert_eq!(object("old").metadata().unwrap().mtime(), 1_000);
        assert!(store.path().join("current/a").metadata().unwrap().mtime() > 2_000);
        assert_clean(&store);
    }
}

#[test]
fn a_damaged_current_generation_does_not_bar_the_way_back() {
    for way in Way::ALL {
        let (dir, store, _outside) = guarded();
        drop(publish_in(way, &store, dir.path(), &things(1_000, &[("a", "=old")])));
        drop(publish_in(way, &store, dir.path(), &things(2_000, &[("a", "=new")])));
        // It cannot be rebuilt: the log is missing, too.
        fs::remove_file(store.path().join("log")).unwrap();
        flip(&store.path().join("generations/2/manifest"), 100);
        assert_eq!(store.rollback(1, MarkLeft::Bad).unwrap().generation, id(1));
        let meta = store.path().join("current/a").metadata().unwrap();
        assert!(meta.mtime() > 2_000, "the published mtimes are read from the files");
        let Repaired { before, after, .. } = store.repair().unwrap();
        assert_eq!(before.generations.len(), 1);
        assert!(after.is_clean(), "put aside: {after:?}");
    }
}

#[test]
fn an_unfinished_activation_of_a_damaged_generation_keeps_nobody_out() {
    let (_dir, store, _outside) = guarded();
    drop(commit(&store, &plan_of(&[("a", "=1")])).unwrap());
    drop(commit(&store, &plan_of(&[("a", "=2")])).unwrap());
    // As if a rollback had been interrupted after its intent, and the disk had then damaged the
    // manifest.
    let intent =
        "{\"high\":2,\"heals\":0,\"intent\":{\"kind\":\"activate\",\"generation\":1,\"marks\":[]}}";
    let record = format!("{intent}\n{}\n", Digest::of(intent.as_bytes()));
    fs::write(store.path().join("sequence"), record).unwrap();
    flip(&store.path().join("generations/1/manifest"), 100);
    assert_eq!(commit(&store, &plan_of(&[("a", "=3")])).unwrap().generation, id(3));
    let report = store.verify(None, Depth::Full).unwrap();
    assert!(report.is_clean(), "the publish healed it: {report:?}");
}
