//! One program for all targets: `GENSTORE_FUZZ` names the target. See `scripts/fuzz`.

#![no_main]

use std::sync::OnceLock;

use genstore::fuzz::Target;
use libfuzzer_sys::fuzz_target;

fn target() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("GENSTORE_FUZZ").unwrap_or_default();
        let targets = || genstore::fuzz::TARGETS.iter().chain(&genstore_cli::fuzz::TARGETS);
        let found = targets().find(|(known, _)| *known == name);
        let names: Vec<&str> = targets().map(|(known, _)| *known).collect();
        found.unwrap_or_else(|| panic!("GENSTORE_FUZZ names one of {names:?}, not {name:?}")).1
    })
}

fuzz_target!(|bytes: &[u8]| target()(bytes));
