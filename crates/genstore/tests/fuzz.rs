//! The fuzz targets, as a test of some seconds. `scripts/fuzz` runs them with coverage.

#[test]
fn each_target_holds_for_its_corpus_and_for_what_is_made_of_it() {
    genstore_testkit::replay(&genstore::fuzz::TARGETS, 5_000);
}
