//! The lines of the log that tell who did what, and that nothing else depends on: marks, pins, collections.
//!
//! Older programs skip them, since they know no such event. They are not flushed by themselves, and a failure to
//! write one is a warning.

use serde::{Deserialize, Serialize};

use crate::model::ids::GenerationId;
use crate::model::records::{Mark, Moment};

/// A line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct DeedLine {
    pub(crate) time: Moment,
    pub(crate) by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<GenerationId>,
    #[serde(flatten)]
    pub(crate) deed: Deed,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Deed {
    /// The generation was marked.
    Mark {
        mark: Mark,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// The generation was pinned.
    Pin {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Moment>,
    },
    /// A pin was removed.
    Unpin { name: String },
    /// gc removed generations or objects.
    Gc { removed: Vec<GenerationId>, objects: u64, bytes: u64 },
    /// Contents were taken out of every generation.
    Forget { digests: Vec<String> },
    /// A hold ended, and the current generation stayed.
    Resume {},
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line as older programs know them.
    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "it is only read")]
    struct OlderLine {
        generation: GenerationId,
        #[serde(flatten)]
        event: OlderEvent,
    }

    #[derive(Debug, Deserialize)]
    #[serde(tag = "event", rename_all = "lowercase")]
    enum OlderEvent {
        Publish {},
        Activate {},
    }

    #[test]
    fn lines_read_as_the_layout_says_and_older_programs_skip_them() {
        let time = Moment { secs: 5, nanos: 0 };
        let id = |n| GenerationId::new(n).unwrap();
        let check = |generation, deed, rest: &str| {
            let line = DeedLine { time, by: "test".to_owned(), generation, deed };
            let text = serde_json::to_string(&line).unwrap();
            assert_eq!(text, format!("{{\"time\":{{\"secs\":5,\"nanos\":0}},\"by\":\"test\",{rest}}}"));
            assert_eq!(serde_json::from_str::<DeedLine>(&text).unwrap(), line);
            assert!(serde_json::from_str::<OlderLine>(&text).is_err(), "{text}");
        };
        let why = Some("w".to_owned());
        check(
            Some(id(2)),
            Deed::Mark { mark: Mark::Bad, why },
            r#""generation":2,"event":"mark","mark":"bad","why":"w""#,
        );
        let name = "stable".to_owned();
        check(
            Some(id(2)),
            Deed::Pin { name: name.clone(), why: None, until: Some(time) },
            r#""generation":2,"event":"pin","name":"stable","until":{"secs":5,"nanos":0}"#,
        );
        check(None, Deed::Unpin { name }, r#""event":"unpin","name":"stable""#);
        check(
            None,
            Deed::Gc { removed: vec![id(1), id(3)], objects: 4, bytes: 5 },
            r#""event":"gc","removed":[1,3],"objects":4,"bytes":5"#,
        );
        check(None, Deed::Forget { digests: vec!["d".to_owned()] }, r#""event":"forget","digests":["d"]"#);
        check(None, Deed::Resume {}, r#""event":"resume""#);
    }
}
