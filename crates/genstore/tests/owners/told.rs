//! `verify` counts the same foreign names as a walk over the whole store.

use super::*;

/// Returns the count of `verify`, which is the same for both depths.
fn told(store: &Store, only: Option<u64>) -> genstore::verify::Foreign {
    let only = only.map(|id| genstore::GenerationId::new(id).unwrap());
    let [full, quick] = [Depth::Full, Depth::Quick].map(|depth| store.verify(only, depth).unwrap().foreign);
    assert_eq!(full, quick);
    full
}

fn take(path: &Path) {
    lchown(path, Some(0), None).unwrap();
}

/// Every kind of name in a store.
const NAMES: [&str; 18] = [
    "log",
    "current",
    "locks/commit",
    "objects",
    "generations",
    "generations/1",
    "generations/1/manifest",
    "generations/2/tree",
    "generations/2/tree/a",
    "generations/2/tree/link",
    "generations/2/tree/hollow",
    "generations/2/tree/empty",
    "generations/2/tree/d1",
    "generations/2/tree/d1/1",
    "generations/3/tree/d1/7",
    "generations/3/shown",
    "marks/2",
    "staging",
];

#[test]
fn verify_tells_what_a_walk_over_all_names_finds() {
    needs!(is_root());
    let place = user_place();
    let store = open(place.path(), Faults::default());
    store.mark(&"2".parse().unwrap(), genstore::generation::Mark::Bad, None).unwrap();
    assert_eq!(told(&store, None), genstore::verify::Foreign::default());
    let path = |name: &str| store.path().join(name);
    for name in NAMES.into_iter().filter(|name| path(name).symlink_metadata().is_ok()) {
        take(&path(name));
        let found = told(&store, None);
        assert_eq!(found, store.foreign().unwrap(), "{name}");
        assert!(found.count > 0, "{name}");
        if path(name).symlink_metadata().unwrap().nlink() == 1 {
            assert_eq!((found.count, found.first), (1, Some(path(name))), "{name}");
        }
        give_all(place.path());
    }
    NAMES.iter().filter(|name| path(name).symlink_metadata().is_ok()).for_each(|name| take(&path(name)));
    assert_eq!(told(&store, None), store.foreign().unwrap());
}

/// Names that are in no manifest count, too.
#[test]
fn verify_tells_the_owners_of_what_is_damaged() {
    needs!(is_root());
    let place = user_place();
    let store = open(place.path(), Faults::default());
    let path = |name: &str| store.path().join(name);
    type Damage = fn(&Path);
    let damage: [(&str, Damage); 4] = [
        ("generations/2/tree/d1/strange/below", |at| fs::create_dir_all(at).unwrap()),
        ("generations/1/tree/a/instead", |at| {
            fs::remove_file(at.parent().unwrap()).unwrap();
            fs::create_dir_all(at).unwrap();
        }),
        ("generations/1/tree/hollow/inside", |at| fs::write(at, "").unwrap()),
        ("objects/00/strange", |at| {
            drop(fs::create_dir(at.parent().unwrap()));
            fs::write(at, "").unwrap();
        }),
    ];
    for (name, damage) in damage {
        damage(&path(name));
        give_all(place.path());
        take(&path(name));
        assert!(!store.verify(None, Depth::Quick).unwrap().is_clean(), "{name}");
        let found = told(&store, None);
        assert_eq!((found.count, found.first.as_deref()), (1, Some(&*path(name))), "{name}");
        assert_eq!(found, store.foreign().unwrap(), "{name}");
    }
    // An object that is a folder now.
    let object = objects(store.path()).remove(0);
    fs::remove_file(&object).unwrap();
    fs::create_dir_all(object.join("below")).unwrap();
    give_all(place.path());
    take(&object.join("below"));
    assert_eq!(told(&store, None).first, Some(object.join("below")));
}

#[test]
fn verify_of_one_generation_tells_of_that_one() {
    needs!(is_root());
    let place = user_place();
    let store = open(place.path(), Faults::default());
    let path = |name: &str| store.path().join(name);
    for name in ["log", "generations/1/manifest", "generations/1/tree/d1"] {
        take(&path(name));
    }
    assert_eq!(told(&store, Some(2)).count, 0);
    assert_eq!(told(&store, Some(1)).count, 2);
    take(&path("generations/2"));
    assert_eq!(told(&store, Some(2)).first, Some(path("generations/2")));
    // Both names of its object in what is looked at: the object's own, and the path.
    give_all(place.path());
    take(&path("generations/2/tree/d1/1"));
    assert_eq!(told(&store, Some(2)).count, 2);
    take(&path("generations/2/tree/link"));
    assert_eq!((told(&store, Some(2)).count, told(&store, Some(1)).count), (3, 2));
}
