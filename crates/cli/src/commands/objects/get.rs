//! An object, as `restock get PATH` shows it.

use serde_json::Value;

use super::As;
use super::show;
use crate::commands::Session;
use crate::commands::get::is_package;
use crate::control::ObjectVerb;
use crate::failure::Failure;
use crate::output::Done;

/// Shows one object with all its properties.
pub(crate) fn show_one(session: &Session, r#as: As, path: String) -> Result<Done, Failure> {
    let looks_like_package = is_package(&path);
    let object = r#as.one(session, "restock get", ObjectVerb::Get { path });
    let object: Value = match object {
        Err(failure) if looks_like_package => {
            return Err(failure.hint("restock get PKG DEST, to bring its files into a folder"));
        }
        object => object?,
    };
    let text = show::object(&object, session.output.style);
    Ok(Done::with(&object, text))
}
