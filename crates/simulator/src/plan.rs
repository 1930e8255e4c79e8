//! Plans: steps that are chosen by a seed, taken one after the other, and made fewer where they fail.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use genstore::faults::FaultKind;

use crate::step::{Act, Damage, Edit, Expected, Fault, Keep, Moves, Publish, Step, Way, What};
use crate::world::World;
use genstore_testkit::Chance;

/// The kinds of faults.
const FAULTS: [FaultKind; 4] = [FaultKind::Eio, FaultKind::EioFromHere, FaultKind::Full, FaultKind::Kill];

/// Chooses the steps of a plan.
pub fn plan(seed: u64) -> Vec<Step> {
    let mut chance = Chance::new(seed);
    let count = 6 + chance.below(20);
    // Some plans are about faults, some about damage, and some about neither.
    let (faults, damage) = (chance.below(2) == 0, chance.below(3) == 0);
    let mut steps = Vec::new();
    for nth in 0..count {
        let step = step(&mut chance, nth, faults, damage);
        let is_damage = matches!(step.act, Act::Damage(..));
        steps.push(step);
        // Damage that a later step covers up shows nothing, so most of it is met at once.
        if is_damage && !chance.once_in(4) {
            steps.push(beside_damage(&mut chance).into());
        }
    }
    steps
}

/// Chooses a step that must notice damage, or leave it as it is.
fn beside_damage(chance: &mut Chance) -> Act {
    match chance.below(10) {
        0..=3 => Act::Publish(Publish { way: way(chance, true), ..Publish::plain(vec![]) }),
        4..=6 => Act::Collect { keep: keep(chance), meanwhile: vec![] },
        7 => Act::Rollback { steps: 1, keep_good: chance.once_in(2) },
        8 => Act::Verify,
        _ => Act::AddView(chance.below(3) as u8),
    }
}

fn step(chance: &mut Chance, nth: u64, faults: bool, damage: bool) -> Step {
    let kind = if nth < 2 { 0 } else { chance.below(if damage { 40 } else { 32 }) };
    let n = chance.below(12) as u8;
    let act = match kind {
        0..=12 => Act::Publish(publish(chance, true)),
        13..=15 => Act::Rollback { steps: 1 + u64::from(chance.once_in(4)), keep_good: chance.once_in(3) },
        16..=18 => Act::Switch(n),
        19 => Act::EndHold,
        20..=22 => {
            let others = if chance.once_in(3) { 1 + chance.below(2) } else { 0 };
            Act::Collect { keep: keep(chance), meanwhile: (0..others).map(|_| other(chance)).collect() }
        }
        23 | 24 => {
            let secs = if chance.once_in(2) { None } else { Some(chance.below(20) as u16) };
            Act::Pin { generation: n, name: chance.below(3) as u8, secs }
        }
        25 => Act::Unpin(n % 3),
        26 | 27 => Act::Mark(n, chance.once_in(3)),
        28 | 29 => Act::AddView(n % 3),
        30 => Act::RemoveView(n % 3),
        31 => Act::Clock(*chance.choose(&[
            10,
            1_000,
            -1_000,
            100_000,
            -100_000,
            4_200_000_000,
            -4_200_000_000,
        ])),
        32..=35 => Act::Damage(*chance.choose(&Damage::ALL), chance.below(200) as u8),
        36 | 37 => Act::Verify,
        _ => Act::Repair,
    };
    let has_others = match &act {
        Act::Publish(publish) => publish.meanwhile.is_some(),
        Act::Collect { meanwhile, .. } => !meanwhile.is_empty(),
        _ => false,
    };
    let fault = (faults && !has_others && chance.once_in(3))
        .then(|| Fault { kind: *chance.choose(&FAULTS), at: 1 + chance.below(60) });
    Step { act, fault }
}

fn keep(chance: &mut Chance) -> Keep {
    Keep {
        last: *chance.choose(&[0, 1, 1, 2, 3]),
        within: *chance.choose(&[None, None, Some(5), Some(50)]),
        grace: *chance.choose(&[0, 0, 5, 50]),
    }
}

/// Chooses an action of another process.
fn other(chance: &mut Chance) -> Act {
    let n = chance.below(12) as u8;
    match chance.below(6) {
        0 => Act::Rollback { steps: 1, keep_good: false },
        1 => Act::Switch(n),
        2 => Act::Pin { generation: n, name: n % 3, secs: None },
        3 => Act::Mark(n, false),
        _ => Act::Publish(publish(chance, false)),
    }
}

fn publish(chance: &mut Chance, may_meet: bool) -> Publish {
    let edits = (0..chance.below(5)).map(|_| edit(chance)).collect();
    let meanwhile = (may_meet && chance.once_in(8)).then(|| Box::new(other(chance)));
    Publish {
        edits,
        way: way(chance, may_meet),
        recycle: chance.once_in(3).then(|| keep(chance)),
        always: chance.once_in(8),
        rehash: chance.once_in(6),
        moves: match chance.below(8) {
            0 => Moves::Never,
            1 | 2 => Moves::UnlessHeld,
            _ => Moves::Always,
        },
        expect: match chance.below(12) {
            // Another process may make either of them the other.
            0 if meanwhile.is_none() => Expected::Wrong,
            1 | 2 if meanwhile.is_none() => Expected::Right,
            _ => Expected::Any,
        },
        meanwhile,
    }
}

fn way(chance: &mut Chance, may_consume: bool) -> Way {
    let ways = [Way::Copy, Way::Copy, Way::CopySettled, Way::Consume, Way::Memory, Way::Stage];
    match *chance.choose(&ways) {
        // There is one folder to be consumed.
        Way::Consume if !may_consume => Way::Copy,
        way => way,
    }
}

fn edit(chance: &mut Chance) -> Edit {
    let content = chance.below(5) as u8;
    let what = match chance.below(10) {
        0 | 1 => What::Nothing,
        2 => What::Tool(content),
        3 => What::Link(content),
        4 => What::Folder,
        _ => What::File(content),
    };
    let time = if chance.once_in(30) { 4 } else { chance.below(4) as u8 };
    Edit { path: chance.below(10) as u8, what, time }
}

/// Counts of steps and faults.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tried {
    /// Steps that were taken.
    pub steps: u64,
    /// Faults that were met.
    pub faults: u64,
}

/// Takes the steps in a new store and in the model.
///
/// # Errors
/// The step at which the two differ, and how.
pub fn take(steps: &[Step]) -> Result<Tried, String> {
    let mut world = World::new();
    for (nth, step) in steps.iter().enumerate() {
        let taken = catch_unwind(AssertUnwindSafe(|| world.step(step)));
        let wrong = match taken {
            Ok(Ok(())) => continue,
            Ok(Err(wrong)) => wrong,
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| words.to_string()));
                format!("panic: {}", words.unwrap_or_default())
            }
        };
        // Somebody cleaned up the folder for temporary files.
        let outside = if world.place().exists() { "" } else { "another process removed the store: " };
        return Err(format!("step {}, {step}: {outside}{wrong}", nth + 1));
    }
    Ok(Tried { steps: steps.len() as u64, faults: world.met })
}

/// Makes a plan that fails shorter, as long as it fails.
pub fn shrink(steps: Vec<Step>) -> Vec<Step> {
    let mut steps = steps;
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(start..(start + size).min(steps.len()));
            if take(&fewer).is_err() { steps = fewer } else { start += size }
        }
        size /= 2;
    }
    for nth in 0..steps.len() {
        while let Some(simpler) = simpler(&steps[nth]).into_iter().find_map(|step| {
            let mut fewer = steps.clone();
            fewer[nth] = step;
            take(&fewer).is_err().then_some(fewer)
        }) {
            steps = simpler;
        }
    }
    steps
}

/// Lists simpler steps in the place of one.
fn simpler(step: &Step) -> Vec<Step> {
    let mut all = Vec::new();
    if step.fault.is_some() {
        all.push(Step { fault: None, ..step.clone() });
    }
    if let Act::Collect { keep, meanwhile } = &step.act {
        for nth in 0..meanwhile.len() {
            let mut fewer = meanwhile.clone();
            fewer.remove(nth);
            let act = Act::Collect { keep: *keep, meanwhile: fewer };
            all.push(Step { act, fault: step.fault });
        }
    }
    if let Act::Publish(publish) = &step.act {
        let mut add = |publish: Publish| all.push(Step { act: Act::Publish(publish), fault: step.fault });
        for nth in 0..publish.edits.len() {
            let mut fewer = publish.clone();
            fewer.edits.remove(nth);
            add(fewer);
        }
        let plain = Publish::plain(vec![]);
        let same = publish.clone();
        add(Publish { meanwhile: None, ..same.clone() });
        add(Publish { recycle: None, ..same.clone() });
        add(Publish { always: false, rehash: false, ..same.clone() });
        add(Publish { moves: plain.moves, ..same.clone() });
        add(Publish { expect: plain.expect, ..same.clone() });
        add(Publish { way: plain.way, ..same });
    }
    all.retain(|other| other != step);
    all
}

/// Takes the plan of a seed. Where it fails, tells the shortest plan that fails, and how to take it again.
///
/// # Errors
/// Where the store differs from the model.
pub fn run(seed: u64) -> Result<Tried, String> {
    let steps = plan(seed);
    let first = match take(&steps) {
        Ok(tried) => return Ok(tried),
        Err(first) => first,
    };
    let fewest = shrink(steps);
    let wrong = take(&fewest).err().unwrap_or(first);
    let mut told = format!("{wrong}\nThe plan of seed {seed}, shortened:\n");
    for (nth, step) in fewest.iter().enumerate() {
        let _ = writeln!(told, "{:3}  {step}", nth + 1);
    }
    let _ =
        write!(told, "GENSTORE_SEED={seed} cargo nextest run -p genstore-simulator --no-capture one_seed");
    Err(told)
}
