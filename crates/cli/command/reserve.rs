//! The refusal of a publication because of `[store] min_free`: says what gc would free.

use anyhow::{Error, Result};
use genstore::error::RefusedKind;

use crate::command::context::Context;
use crate::errors::Fail;
use crate::text::escape::show;
use crate::text::human;

/// Explains a refusal by the reserve. Returns other errors unchanged.
pub(crate) fn explain(context: &Context<'_>, error: Error) -> Error {
    match error.downcast_ref() {
        Some(genstore::Error::Refused { kind: RefusedKind::Reserve, .. }) => {}
        _ => return error,
    }
    explained(context).map_or(error, Error::from)
}

fn explained(context: &Context<'_>) -> Result<Fail> {
    let store = context.open()?;
    let reserve = context.own_project()?.and_then(|project| project.config.store.min_free).unwrap_or(0);
    let message = format!(
        "the filesystem of {} has {} free, less than the reserve of {}",
        show(store.path()),
        human::bytes(store.free_bytes()?),
        human::bytes(reserve),
    );
    let hint = match store.plan_gc(&context.retention()?)?.freed_bytes {
        0 => "`genstore gc` would free nothing: keep fewer generations (--keep-last), or free other space"
            .to_owned(),
        bytes => format!("`genstore gc` would free {}", human::bytes(bytes)),
    };
    Ok(Fail::new("reserve", message, hint))
}
