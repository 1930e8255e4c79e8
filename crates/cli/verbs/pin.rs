//! `pin`: keeps a generation under a name.

use std::time::SystemTime;

use anyhow::Result;
use clap::Args;
use genstore::generation::{Pin as Held, PinName, Recorded};
use genstore::{GenerationId, Rev};
use serde::Serialize;

use crate::command::context::Context;
use crate::errors::Fail;
use crate::render::json::WarningDoc;
use crate::text::{human, time};

#[derive(Args)]
pub(crate) struct Pin {
    /// The generation
    #[arg(value_name = "REF")]
    generation: Rev,
    /// The pin's name; it may be used as a REF
    #[arg(value_name = "NAME")]
    name: PinName,
    /// The reason
    #[arg(short, long, value_name = "WHY")]
    message: Option<String>,
    /// When the pin expires: 2031-05-01, '2031-05-01 18:00' (local time), or a duration from now like 7d
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct PinnedDoc<'a> {
    schema: &'static str,
    /// A name.
    name: &'a str,
    generation: GenerationId,
    /// The reason, for people.
    why: Option<&'a str>,
    /// The time at which it ends.
    until: Option<String>,
    /// Failures after the change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningDoc>,
}

impl Pin {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let until = self.until(context.now())?;
        let store = context.open()?;
        let Recorded { generation, warnings, .. } =
            store.pin(&self.generation, &self.name, self.message.clone(), until)?;
        context.out.has_changed(format!("generation {generation} was pinned"));
        let document = PinnedDoc {
            schema: "genstore.pin/1",
            name: self.name.as_str(),
            generation,
            why: self.message.as_deref(),
            until: until.map(time::rfc3339),
            warnings: WarningDoc::all(&warnings),
        };
        context.out.confirm(&document, || {
            let until = until.map_or(String::new(), |until| format!(" until {}", time::local(until)));
            format!("Pinned generation {generation} as {}{until}\n", self.name)
        });
        Ok(context.warn_of(&warnings))
    }

    fn until(&self, now: SystemTime) -> Result<Option<SystemTime>> {
        let Some(text) = &self.until else { return Ok(None) };
        let bad = |message: String| {
            let hint = "omit --until to pin without expiry".to_owned();
            Fail { hint, ..Fail::usage("bad-time", message) }
        };
        let until = time::parse_moment(text, now).map_err(bad)?;
        if until <= now {
            return Err(bad(format!("--until {} is in the past", time::local(until))).into());
        }
        Ok(Some(until))
    }
}

/// Formats a pin on one line: `stable: why (until …)`.
pub(crate) fn describe(pin: &Held) -> String {
    let why = pin.why.as_ref().map_or(String::new(), |why| format!(": {}", human::line(why, 80)));
    let until = pin.until.map_or(String::new(), |until| format!(" (until {})", time::local(until)));
    format!("{}{why}{until}", pin.name)
}
