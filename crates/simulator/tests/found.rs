//! Plans that once failed, each by the name of what was wrong.

use genstore_simulator::{Act, Edit, Publish, Step, Way, What, take};

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
