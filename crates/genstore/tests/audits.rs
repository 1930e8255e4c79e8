//! Audits: refusals, the trees that are kept after a refusal, and the rule that an audit must not
//! change the tree.

use genstore::audit::{Audited, Rejected};
use genstore::audit::{Finding, Growth, Pattern, Severity};
use genstore::publish::Staged;

use crate::prelude::*;

struct Place(TempDir);

impl Place {
    fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn open(&self) -> Store {
        genstore_testkit::open(&self.path(), Faults::default())
    }
}

fn stage<'s>(store: &'s Store, files: &[(&str, &str)]) -> Staged<'s> {
    store.stage(&plan_of(files), StageOptions::default()).unwrap()
}

fn publish(store: &Store, files: &[(&str, &str)]) -> Publication {
    stage(store, files).unaudited().commit(&CommitOptions::default()).unwrap()
}

#[track_caller]
fn was_accepted(judged: Judged<'_>) -> Audited<'_> {
    match judged {
        Judged::Accepted(audited) => audited,
        Judged::Rejected(rejected) => panic!("it is refused: {:?}", rejected.findings()),
    }
}

#[track_caller]
fn was_refused(judged: Judged<'_>) -> Rejected<'_> {
    match judged {
        Judged::Rejected(rejected) => rejected,
        Judged::Accepted(_) => panic!("it is accepted"),
    }
}

fn lines(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .map(|f| {
            let path = String::from_utf8_lossy(f.path.as_deref().unwrap_or(b"-"));
            format!("{} {path} {}", f.rule, f.message)
        })
        .collect()
}

#[test]
fn a_refusal_changes_nothing_and_is_kept_for_a_look() {
    let place = Place(scratch());
    let store = place.open();
    let first = publish(&store, &[("a", "=12345"), ("b", "=1")]);
    let before = fs::symlink_metadata(place.path().join("current")).unwrap().mtime_nsec();
    let rules = AuditRules::default()
        .max_growth(Growth::Percent(50))
        .min_files_ratio(0.9)
        .require(vec![Pattern::new("*.html").unwrap()]);
    let staged = stage(&store, &[("a", "=1234567890")]);
    let rejected = was_refused(staged.audit(&rules).unwrap());
    let expected = [
        "max_growth - all files have 10 bytes together, more than 9; generation 1 has 6",
        "min_files_ratio - 1 files are fewer than 0.9 of the 2 of generation 1",
        "require - no file matches *.html",
    ];
    assert_eq!(lines(rejected.findings()), expected);
    let kept = rejected.keep(KeepFailed::default()).unwrap();
    assert_eq!(fs::read_to_string(kept.path.join("tree/a")).unwrap(), "1234567890");
    let report: String = fs::read_to_string(kept.path.join("report.json")).unwrap();
    for part in ["genstore.failed/1", "\"cause\": \"audit\"", "min_files_ratio", "\"bytes\": 10"] {
        assert!(report.contains(part), "{part} is not in {report}");
    }
    assert_eq!(store.current().unwrap(), Some(first.generation));
    assert_eq!(fs::symlink_metadata(place.path().join("current")).unwrap().mtime_nsec(), before);
    assert_eq!(debris(&place.path()), [""; 0]);
    // The stage can be taken back and audited by other rules, and no number was taken.
    let again = was_refused(stage(&store, &[("a", "=1234567890")]).audit(&rules).unwrap());
    let audited = was_accepted(again.into_staged().unwrap().audit(&AuditRules::default()).unwrap());
    assert_eq!(audited.commit(&CommitOptions::default()).unwrap().generation.get(), 2);
    assert_clean(&store);
}

#[test]
fn what_was_refused_is_bounded() {
    let place = Place(scratch());
    let store = place.open();
    let rules = AuditRules::default().max_file(0);
    let refuse = |content: &str, keep: KeepFailed| {
        let rejected = was_refused(stage(&store, &[("a", &format!("={content}"))]).audit(&rules).unwrap());
        rejected.keep(keep).unwrap();
        let names = fs::read_dir(place.path().join("failed")).unwrap();
        let mut names: Vec<String> =
            names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let two = KeepFailed::default().count(2).bytes(1000);
    assert_eq!(refuse("1", two), ["1"]);
    assert_eq!(refuse("12", two), ["1", "2"]);
    assert_eq!(refuse("123", two), ["2", "3"]);
    let few_bytes = KeepFailed::default().count(9).bytes(7);
    assert_eq!(refuse("1234", few_bytes), ["3", "4"], "3 and 4 bytes fit, 2 more do not");
    assert_eq!(refuse("1234567890", few_bytes), ["5"], "the newest stays whatever it takes");
    assert_eq!(debris(&place.path()), [""; 0]);
}

#[test]
fn the_last_good_generation_is_the_measure() {
    let place = Place(scratch());
    let store = place.open();
    let big = "x".repeat(100);
    drop(publish(&store, &[("a", "=x")]));
    drop(publish(&store, &[("a", &format!("={big}"))]));
    let rules = AuditRules::default().max_growth(Growth::Bytes(50));
    let new = "y".repeat(101);
    drop(was_accepted(stage(&store, &[("a", &format!("={new}"))]).audit(&rules).unwrap()));
    // A generation marked as bad is not compared with, although it is current.
    store.mark(&"2".parse().unwrap(), Mark::Bad, None).unwrap();
    let rejected = was_refused(stage(&store, &[("a", &format!("={new}"))]).audit(&rules).unwrap());
    assert!(rejected.findings()[0].message.contains("generation 1 has 1"), "{:?}", rejected.findings());
}

/// A change by a program to the stage, and the expected findings.
type Deed = (&'static str, fn(&Path), &'static [&'static str]);

fn write(path: PathBuf, text: &str) {
    // Root can write through a read-only file.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
}

const DEEDS: &[Deed] = &[
    ("looks", |tree| drop(fs::read(tree.join("d/new")).unwrap()), &[]),
    ("appends", |tree| write(tree.join("d/new"), "fresh, and more"), &["d/new was written to"]),
    (
        "writes as many bytes and sets the mtime back",
        |tree| {
            let mtime = tree.join("d/new").metadata().unwrap().modified().unwrap();
            write(tree.join("d/new"), "FRESH");
            fs::File::open(tree.join("d/new")).unwrap().set_modified(mtime).unwrap();
        },
        &["d/new was written to"],
    ),
    (
        "replaces it",
        |tree| {
            fs::remove_file(tree.join("d/new")).unwrap();
            fs::write(tree.join("d/new"), "fresh").unwrap();
        },
        &["d/new was replaced"],
    ),
    ("removes it", |tree| fs::remove_file(tree.join("d/new")).unwrap(), &["d/new was removed"]),
    ("adds another", |tree| fs::write(tree.join("d/more"), "").unwrap(), &["d/more was added"]),
    ("adds a folder", |tree| fs::create_dir(tree.join("x")).unwrap(), &["x was added"]),
    (
        "changes a mode",
        |tree| fs::set_permissions(tree.join("d/new"), fs::Permissions::from_mode(0o555)).unwrap(),
        &["d/new has another mode"],
    ),
    (
        "changes a folder's mode",
        |tree| fs::set_permissions(tree.join("d"), fs::Permissions::from_mode(0o700)).unwrap(),
        &["d has another mode"],
    ),
    (
        "puts a link in place of a folder",
        |tree| {
            fs::rename(tree.join("d"), tree.join("e")).unwrap();
            symlink("e", tree.join("d")).unwrap();
        },
        &["d/new was removed", "e was added"],
    ),
    (
        "only links to it, as another publisher does",
        |tree| fs::hard_link(tree.join("same"), tree.join("../../other")).unwrap(),
        &[],
    ),
];

#[test]
fn an_audit_that_changes_the_stage_is_caught() {
    for (name, deed, expected) in DEEDS {
        let place = Place(scratch());
        let store = place.open();
        drop(publish(&store, &[("same", "=shared")]));
        let staged = stage(&store, &[("d/new", "=fresh"), ("same", "=shared")]);
        let judged = staged
            .audit_with(&AuditRules::default(), |tree| {
                deed(tree);
                Ok::<_, Error>(vec![])
            })
            .unwrap();
        let expected: Vec<String> =
            expected.iter().map(|line| format!("unchanged-by-audit {line} by an audit")).collect();
        match judged {
            Judged::Accepted(audited) => {
                assert_eq!(expected, [""; 0], "{name}");
                assert!(audited.commit(&CommitOptions::default()).unwrap().changed, "{name}");
            }
            Judged::Rejected(rejected) => {
                assert_eq!(lines(rejected.findings()), expected, "{name}");
                assert!(rejected.into_staged().is_none(), "{name}: the stage was changed");
                assert_eq!(store.current().unwrap().unwrap().get(), 1, "{name}");
            }
        }
        assert!(store.verify(None, Depth::Full).unwrap().is_clean(), "{name}");
        assert_eq!(debris(&place.path()), [""; 0], "{name}");
    }
}

#[test]
fn an_audit_that_writes_through_a_shared_object_is_told_and_healed() {
    let place = Place(scratch());
    let store = place.open();
    drop(publish(&store, &[("same", "=shared")]));
    let files = [("new", "=fresh"), ("same", "=shared")];
    let judged = stage(&store, &files)
        .audit_with(&AuditRules::default(), |tree| {
            fs::write(tree.join("same"), "SHARED").unwrap();
            Ok::<_, Error>(vec![])
        })
        .unwrap();
    let rejected = was_refused(judged);
    assert_eq!(lines(rejected.findings()), ["unchanged-by-audit same was written to by an audit"]);
    drop(rejected);
    assert!(!store.verify(None, Depth::Full).unwrap().is_clean(), "the current generation shows it");
    let healed = publish(&store, &files);
    assert_eq!(healed.healed, 1);
    assert_clean(&store);
    assert_eq!(fs::read_to_string(place.path().join("generations/1/tree/same")).unwrap(), "shared");
}

#[test]
fn findings_of_programs_count_by_their_weight() {
    let place = Place(scratch());
    let store = place.open();
    let warning = |_: &Path| {
        Ok::<_, Error>(vec![Finding::new("spelling", Severity::Warning, Some(b"a"), "has a typo")])
    };
    let audited =
        was_accepted(stage(&store, &[("a", "=1")]).audit_with(&AuditRules::default(), warning).unwrap());
    assert_eq!(lines(audited.findings()), ["spelling a has a typo"]);
    assert!(audited.commit(&CommitOptions::default()).unwrap().times.audit.as_nanos() > 0);
    let failing =
        |_: &Path| Err(Error::Refused { kind: RefusedKind::NoSuchPin, why: "could not look".to_owned() });
    assert!(stage(&store, &[("a", "=2")]).audit_with(&AuditRules::default(), failing).is_err());
    assert_eq!(debris(&place.path()), [""; 0]);
}

#[test]
fn what_was_not_judged_is_not_published() {
    let place = Place(scratch());
    let store = place.open();
    drop(publish(&store, &[("a", "=1")]));
    let rules = AuditRules::default().max_file(0);
    // A tree that is current already is not audited again...
    let audited = was_accepted(stage(&store, &[("a", "=1")]).audit(&rules).unwrap());
    // ... so if it is not current any more, it may not become current.
    drop(publish(&store, &[("a", "=2")]));
    let error = audited.commit(&CommitOptions::default()).unwrap_err();
    assert_eq!(error.code(), "moved-meanwhile");
    assert_eq!(store.current().unwrap().unwrap().get(), 2);
}
