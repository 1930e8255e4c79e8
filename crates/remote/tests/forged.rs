//! RMT-11: a record changes what it names, and nothing else.

use genstore_remote::codec::record::{Change, Head, Record};
use genstore_remote::{Error, PullOptions, Wanted};

use crate::place::Place;

/// Appends a record that a writer of this project would not write.
fn forge(place: &Place, change: impl FnOnce(&mut Record)) {
    let path = |number: u64| place.path(&format!("remote/log/{number:020}"));
    let number = (1..).find(|number| std::fs::read(path(number + 1)).is_err()).unwrap();
    let bytes = std::fs::read(path(number)).unwrap();
    let mut record = Record::decode(&bytes).unwrap();
    record.number += 1;
    record.previous = Some(genstore::tree::Digest::of(&bytes));
    change(&mut record);
    std::fs::write(path(number + 1), record.encode().unwrap()).unwrap();
}

#[test]
fn a_record_that_changes_more_than_it_names_is_refused() {
    type Forgery = fn(&mut Record);
    let forgeries: [(&str, Forgery); 8] = [
        ("another head", |record| {
            record.change = Change::Unpin { name: "none".to_owned() };
            let stable = record.heads["stable"];
            record.heads.insert("main".to_owned(), stable);
        }),
        ("a head goes back", |record| {
            record.expected = record.heads["main"].number;
            let first = record.heads["stable"];
            record.heads.insert("main".to_owned(), first);
        }),
        ("a head is removed", |record| {
            record.change = Change::Unpin { name: "none".to_owned() };
            record.heads.remove("stable");
        }),
        ("a pin appears", |record| {
            record.change = Change::Unpin { name: "none".to_owned() };
            record.pins.insert("v1".to_owned(), record.heads["main"]);
        }),
        ("a barrier that is none", |record| {
            record.change = Change::Unpin { name: "none".to_owned() };
            record.epoch += 1;
        }),
        ("a forgotten content comes back", |record| {
            record.change = Change::Unpin { name: "none".to_owned() };
            record.forgotten = Some(record.heads["main"].bundle);
        }),
        ("a head moves beside a list", |record| {
            record.change = Change::Forget;
            record.forgotten = Some(record.heads["main"].bundle);
            record.heads.remove("stable");
        }),
        ("a promotion of what is no head", |record| {
            let Some(mut of) = record.change.generation().cloned() else { return };
            of.bundle = of.tree;
            record.expected = record.heads["main"].number;
            let head = Head { number: record.number, bundle: of.bundle };
            record.heads.insert("main".to_owned(), head);
            record.change = Change::Promote { channel: "main".to_owned(), of };
        }),
    ];
    for (what, forgery) in forgeries {
        let place = Place::new();
        place.publish("a", &[("a", "=one")]);
        place.push("a", "stable");
        place.publish("a", &[("a", "=two")]);
        place.push("a", "main");
        place.pull("b", "main");
        forge(&place, forgery);
        let options = PullOptions::default();
        let refused = place.remote("b").pull(&place.store("b"), &Wanted("main".to_owned()), &options);
        let Err(Error::Distrusted { check, .. }) = &refused else { panic!("{what}: {refused:?}") };
        assert_eq!(check.name(), "heads", "{what}: {refused:?}");
    }
}
