//! `schema`, the abilities of the program, and words of other programs.

use crate::prelude::*;

#[test]
fn a_schema_is_found_by_either_name() {
    let site = Site::new();
    let short = site.run("schema publish").ok().stdout;
    assert_eq!(site.run("schema genstore.publish/1").ok().stdout, short);
    let schema: Value = serde_json::from_str(&short).unwrap();
    assert_eq!(schema["properties"]["schema"]["const"], "genstore.publish/1");
    let listed = site.run("schema --json").is_json("genstore.schema-list/1");
    assert!(listed["schemas"].as_array().unwrap().contains(&"genstore.watch/1".into()));
    let failed = site.run("schema publsh");
    failed.fails(1, "error: there is no document publsh\nhint: did you mean publish?");
}

#[test]
fn a_client_learns_what_the_program_can_do() {
    let version = Site::new().run("--version --json").is_json("genstore.version/1");
    assert_eq!(version["store_formats"], serde_json::json!([1]));
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    for verb in ["publish", "watch", "schema"] {
        assert!(version["verbs"].as_array().unwrap().contains(&verb.into()), "{verb}");
    }
}

#[test]
fn words_of_other_programs_are_understood() {
    let site = Site::new();
    for (word, own) in
        [("undo", "rollback"), ("prune", "gc"), ("version", "--version"), ("deploy", "publish")]
    {
        let failed = site.run(word);
        assert!(
            failed.stderr.starts_with(&format!("error: unrecognized verb '{word}'")),
            "{}",
            failed.stderr
        );
        assert!(
            failed.stderr.contains(&format!("hint: did you mean `genstore {own}`?")),
            "{}",
            failed.stderr
        );
        let error = site.run_with(&[word, "--json"]).json_error();
        assert_eq!(error["hint"], format!("did you mean `genstore {own}`? see `genstore help`"));
    }
}
