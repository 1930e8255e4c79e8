//! Actions: what a form asks for, as the verb that does it and the verbs that undo it.

use genstore::generation::{Listed, Mark};
use genstore::{Error, GenerationId, Store};
use serde_json::Value;

use crate::form::Fields;

/// An action of a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Action {
    Rollback { keep_good: bool },
    Switch { to: GenerationId },
    Mark { generation: GenerationId, is_bad: bool, why: Option<String> },
    Pin { generation: GenerationId, name: Option<String>, why: Option<String>, until: Option<String> },
    Unpin { name: String },
    Verify,
}

/// The state before an action, as far as its undoing needs it.
pub(super) struct Before {
    pub(super) current: Option<GenerationId>,
    all: Vec<Listed>,
}

impl Before {
    pub(super) fn of(store: &Store) -> Result<Before, Error> {
        Ok(Before { current: store.current()?, all: store.list()?.generations })
    }

    /// Returns a generation that is kept.
    pub(super) fn generation(&self, id: GenerationId) -> Option<&Listed> {
        self.all.iter().find(|listed| listed.id == id)
    }

    /// Returns the generation that a name pins, and the verb that pins it again.
    pub(super) fn pinned(&self, name: &str) -> Option<(GenerationId, Vec<String>)> {
        let (id, pin) = self.all.iter().find_map(|listed| {
            listed.pins.iter().find(|pin| pin.name.as_str() == name).map(|pin| (listed.id, pin))
        })?;
        let until = pin.until.map(super::layout::rfc3339);
        Some((id, pin_words(id, name, pin.why.as_deref(), until.as_deref())))
    }

    /// Returns the verb that marks a generation as it is now.
    fn mark(&self, id: GenerationId) -> Option<Vec<String>> {
        let mark = &self.generation(id)?.mark;
        Some(mark_words(id, mark.mark == Mark::Bad, mark.why.as_deref()))
    }
}

impl Action {
    /// Reads the action that a form asks for.
    pub(super) fn read(verb: &str, fields: &Fields) -> Option<Action> {
        let generation = || GenerationId::parse(fields.get("generation")?);
        let text = |name: &str| fields.get(name).map(str::to_owned);
        Some(match verb {
            "rollback" => Action::Rollback { keep_good: text("keep_good").is_some() },
            "switch" => Action::Switch { to: generation()? },
            "bad" | "good" => {
                Action::Mark { generation: generation()?, is_bad: verb == "bad", why: text("why") }
            }
            "pin" => Action::Pin {
                generation: generation()?,
                name: text("name"),
                why: text("why"),
                until: text("until"),
            },
            "unpin" => Action::Unpin { name: text("name")? },
            "verify" => Action::Verify,
            _ => return None,
        })
    }

    /// Returns the name in addresses.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Action::Rollback { .. } => "rollback",
            Action::Switch { .. } => "switch",
            Action::Mark { is_bad: true, .. } => "bad",
            Action::Mark { .. } => "good",
            Action::Pin { .. } => "pin",
            Action::Unpin { .. } => "unpin",
            Action::Verify => "verify",
        }
    }

    /// Returns whether it moves `current`. Then it is only done if `current` is as its page showed it.
    pub(super) fn moves(&self) -> bool {
        matches!(self, Action::Rollback { .. } | Action::Switch { .. })
    }

    /// Returns the verb, with its arguments. `None` if the form is not filled in.
    pub(super) fn words(&self) -> Option<Vec<String>> {
        Some(match self {
            Action::Rollback { keep_good } => {
                let keep = keep_good.then(|| "--keep-good".to_owned());
                std::iter::once("rollback".to_owned()).chain(keep).collect()
            }
            Action::Switch { to } => switch_words(*to),
            Action::Mark { generation, is_bad, why } => mark_words(*generation, *is_bad, why.as_deref()),
            Action::Pin { generation, name, why, until } => {
                pin_words(*generation, name.as_deref()?, why.as_deref(), until.as_deref())
            }
            Action::Unpin { name } => unpin_words(name),
            Action::Verify => vec!["verify".to_owned()],
        })
    }

    /// Returns the verbs that undo it.
    pub(super) fn undo(&self, before: &Before, done: &Value) -> Vec<Vec<String>> {
        match self {
            Action::Rollback { .. } | Action::Switch { .. } => {
                let is_moved = done["changed"] == true;
                let Some(left) = before.current.filter(|_| is_moved) else { return vec![] };
                // A generation that is activated is good afterwards.
                let reached = done["generation"].as_u64().and_then(GenerationId::new);
                let marks = [Some(left), reached].into_iter().flatten().filter_map(|id| before.mark(id));
                std::iter::once(switch_words(left)).chain(marks).collect()
            }
            Action::Mark { generation, .. } => before.mark(*generation).into_iter().collect(),
            // A pin of this name on another generation was refused.
            Action::Pin { name, .. } => {
                let name = name.as_deref().unwrap_or_default();
                let again = before.pinned(name).map(|(_, words)| words);
                vec![again.unwrap_or_else(|| unpin_words(name))]
            }
            Action::Unpin { name } => before.pinned(name).map(|(_, words)| words).into_iter().collect(),
            Action::Verify => vec![],
        }
    }

    /// Describes it after it was done.
    pub(super) fn past(&self, done: &Value) -> String {
        let number = |name: &str| done[name].as_u64().map_or("?".to_owned(), |id| id.to_string());
        match self {
            Action::Rollback { .. } | Action::Switch { .. } if done["changed"] == false => {
                format!("Generation {} was current already", number("generation"))
            }
            Action::Rollback { .. } => {
                let marked = done["marked_bad"].as_u64();
                let marked = marked.map_or(String::new(), |id| format!(", and {id} is marked bad"));
                format!("Rolled back from {} to {}{marked}", number("previous"), number("generation"))
            }
            Action::Switch { .. } => {
                format!("Switched from {} to {}", number("previous"), number("generation"))
            }
            Action::Mark { generation, is_bad, .. } => {
                format!("Generation {generation} is marked {}", if *is_bad { "bad" } else { "good" })
            }
            Action::Pin { generation, name, .. } => {
                format!("Generation {generation} is pinned as {}", name.as_deref().unwrap_or_default())
            }
            Action::Unpin { name } => format!("The pin {name} is removed"),
            Action::Verify if done["ok"] == true => "All files were checked: there is no damage".to_owned(),
            Action::Verify => "All files were checked: there is damage".to_owned(),
        }
    }
}

fn words(words: &[&str], flags: &[(&str, Option<&str>)], names: &[&str]) -> Vec<String> {
    let flags = flags.iter().filter_map(|(flag, value)| Some(format!("{flag}={}", (*value)?)));
    let names = std::iter::once("--").chain(names.iter().copied()).map(str::to_owned);
    words.iter().map(ToString::to_string).chain(flags).chain(names).collect()
}

fn switch_words(to: GenerationId) -> Vec<String> {
    words(&["switch"], &[], &[&to.to_string()])
}

fn mark_words(generation: GenerationId, is_bad: bool, why: Option<&str>) -> Vec<String> {
    words(&["mark"], &[("--message", why)], &[&generation.to_string(), if is_bad { "bad" } else { "good" }])
}

fn pin_words(generation: GenerationId, name: &str, why: Option<&str>, until: Option<&str>) -> Vec<String> {
    words(&["pin"], &[("--message", why), ("--until", until)], &[&generation.to_string(), name])
}

fn unpin_words(name: &str) -> Vec<String> {
    words(&["unpin"], &[], &[name])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_become_verbs() {
        let check = |verb: &str, form: &str, expected: Option<&[&str]>| {
            let action = Action::read(verb, &Fields::parse(form));
            let words = action.and_then(|action| action.words());
            assert_eq!(
                words.as_deref().map(|words| words.iter().map(String::as_str).collect::<Vec<_>>()),
                expected.map(<[&str]>::to_vec),
                "{verb} {form}"
            );
        };
        check("rollback", "", Some(&["rollback"]));
        check("rollback", "keep_good=1", Some(&["rollback", "--keep-good"]));
        check("switch", "generation=4", Some(&["switch", "--", "4"]));
        check("switch", "generation=-n", None);
        check("bad", "generation=4&why=-x", Some(&["mark", "--message=-x", "--", "4", "bad"]));
        check("pin", "generation=4&name=--a", Some(&["pin", "--", "4", "--a"]));
        check("pin", "generation=4", None);
        check("unpin", "name=a", Some(&["unpin", "--", "a"]));
        check("verify", "", Some(&["verify"]));
        check("forget", "name=a", None);
    }
}
