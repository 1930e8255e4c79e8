//! Plans of a fixed seed, in the gate; thousands of others in `scripts/soak`.
//!
//! `GENSTORE_PLANS=1000` takes so many, from `GENSTORE_SEED` on.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests read their environment, and talk"
)]

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn the_store_is_what_the_model_says() {
    let (first, count) = (number("GENSTORE_SEED").unwrap_or(1), number("GENSTORE_PLANS").unwrap_or(120));
    let (mut steps, mut faults, mut wrong) = (0, 0, 0);
    for seed in first..first + count {
        match genstore_simulator::run(seed) {
            Ok(tried) => (steps, faults) = (steps + tried.steps, faults + tried.faults),
            Err(told) => {
                wrong += 1;
                println!("{told}\n");
                if wrong == 5 {
                    break;
                }
            }
        }
    }
    println!("{count} plans from seed {first} on: {steps} steps, {faults} faults");
    assert_eq!(wrong, 0, "the plans are above");
}

/// Takes one plan, step by step.
#[test]
fn one_seed() {
    let Some(seed) = number("GENSTORE_SEED") else { return };
    for step in genstore_simulator::plan(seed) {
        println!("{step}");
    }
    if let Err(told) = genstore_simulator::run(seed) {
        panic!("{told}");
    }
}

mod kill {
    /// Takes a step of a plan in a process that is killed.
    #[test]
    fn child() {
        genstore_simulator::child();
    }
}
