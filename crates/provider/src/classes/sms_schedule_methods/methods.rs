//! `SMS_ScheduleMethods`: schedules between their text and their objects.

use restock_cim::Value;
use restock_cim::schedule::{self, ScheduleError};
use restock_sitedb::Tx;

use crate::Refusal;
use crate::classes::declarations;
use crate::object::{MethodAnswer, MethodContext};

/// Text to objects; an empty text is an empty array.
pub(crate) async fn read_from_string(call: &MethodContext, _tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let tokens = schedule::decode(call.text("StringData")?).map_err(|error| invalid("StringData", &error))?;
    let objects = schedule::to_values(declarations::schema(), &tokens);
    Ok(MethodAnswer::with(vec![("TokenData", Value::Array(objects))]))
}

/// Objects to text.
pub(crate) async fn write_to_string(call: &MethodContext, _tx: &mut Tx) -> Result<MethodAnswer, Refusal> {
    let Value::Array(objects) = call.argument("TokenData") else {
        return Err(Refusal::provider("REQUIRED", "WriteToString: parameter TokenData must have a value"));
    };
    let tokens = schedule::from_values(objects).map_err(|error| invalid("TokenData", &error))?;
    Ok(MethodAnswer::with(vec![("StringData", Value::String(schedule::encode(&tokens)))]))
}

#[track_caller]
fn invalid(parameter: &str, error: &ScheduleError) -> Refusal {
    Refusal::provider(ScheduleError::CODE, format!("parameter {parameter}: {error}"))
}
