//! Plans that once failed, each by the name of what was wrong.

use genstore_simulator::{Act, Damage, Edit, Keep, Publish, Step, Way, What, take};

fn edit(path: u8, what: What) -> Edit {
    Edit { path, what, time: 2 }
}

#[track_caller]
fn check(acts: impl IntoIterator<Item = Act>) {
    let steps: Vec<Step> = acts.into_iter().map(Step::from).collect();
    if let Err(wrong) = take(&steps) {
        panic!("{wrong}");
    }
}

/// Two writers that bring the same bytes at once have an inode each; what the second one shows is whole.
#[test]
fn a_file_that_another_writer_brought_meanwhile_is_not_taken_for_damaged() {
    let meanwhile = Publish { way: Way::Memory, ..Publish::plain(vec![edit(9, What::Nothing)]) };
    let publish = Publish {
        meanwhile: Some(Box::new(Act::Publish(meanwhile))),
        ..Publish::plain(vec![edit(5, What::File(4))])
    };
    check([
        Act::Publish(Publish::plain(vec![edit(9, What::Tool(0))])),
        Act::Publish(publish),
        Act::Publish(Publish::plain(vec![])),
    ]);
}

/// INV-15: an mtime that a source brought along from far ahead is followed by newer ones, each time.
#[test]
fn a_source_that_was_dated_far_ahead_is_followed_by_newer_mtimes() {
    let ahead = Edit { path: 3, what: What::Tool(0), time: 4 };
    let publish = |edits| Act::Publish(Publish::plain(edits));
    let ends = [
        Act::Switch(1),
        Act::Rollback { steps: 1, keep_good: true },
        publish(vec![edit(3, What::File(4))]),
    ];
    for end in ends {
        check([
            publish(vec![ahead]),
            publish(vec![edit(3, What::File(0))]),
            publish(vec![edit(3, What::File(1))]),
            end,
        ]);
    }
}

/// A missing entry of the current generation is damage, and no failure of the system.
#[test]
fn a_view_of_a_tree_that_lost_an_entry_is_refused_as_damaged() {
    for view in 0..3 {
        check([
            Act::Publish(Publish::plain(vec![edit(5, What::File(3)), edit(9, What::File(2))])),
            Act::Damage(Damage::NoName, 1),
            Act::AddView(view),
        ]);
    }
}

/// The files of the second of two writers have inodes of their own. Once the generation of the first is gone,
/// no object shares its inode: the store is whole all the same.
#[test]
fn a_generation_that_two_writers_brought_is_not_taken_for_a_copy_without_links() {
    let meanwhile = Publish::plain(vec![edit(9, What::File(4))]);
    let publish = Publish {
        meanwhile: Some(Box::new(Act::Publish(meanwhile))),
        ..Publish::plain(vec![edit(5, What::File(3)), edit(6, What::File(2))])
    };
    let keep = Keep { last: 1, within: None, grace: 0 };
    check([Act::Publish(publish), Act::Collect { keep, meanwhile: vec![] }]);
}

/// The object of a file is damaged, and found to be so because `current` is lost. The inode that was shown last
/// is the object's, and is not linked for its mtime.
#[test]
fn a_damaged_object_is_not_kept_for_the_mtime_that_was_shown() {
    let dated = |time| Act::Publish(Publish::plain(vec![Edit { path: 6, what: What::File(3), time }]));
    check([
        dated(3),
        dated(2),
        Act::Damage(Damage::ObjectBitKeepingTime, 0),
        Act::Damage(Damage::NoCurrent, 0),
        Act::Publish(Publish::plain(vec![])),
        Act::Verify,
        Act::Publish(Publish::plain(vec![edit(4, What::File(4))])),
    ]);
}

/// Two generations record different mtimes for one object. A repair gives the second one a file of its own.
#[test]
fn a_repair_ends_where_two_writers_brought_a_file_with_different_mtimes() {
    for object in [0, 2, 4] {
        let dated = |path, time| Edit { path, what: What::File(1), time };
        // It has a folder where the other one has a file.
        let meanwhile = Publish::plain(vec![edit(1, What::File(4))]);
        let publish = Publish {
            meanwhile: Some(Box::new(Act::Publish(meanwhile))),
            ..Publish::plain(vec![dated(0, 3), dated(2, 0), edit(9, What::File(2))])
        };
        check([Act::Publish(publish), Act::Damage(Damage::ObjectBit, object), Act::Repair]);
    }
}
