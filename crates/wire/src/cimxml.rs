//! CIM-XML: the language of WBEM clients, as DSP0200 and DSP0201 write it down.
//!
//! A request: [`Message::read`] takes it apart into an [`Intrinsic`] operation or a [`MethodCall`];
//! [`Reading`] gives what was sent the types of the declarations. An answer: [`Reply`] writes the
//! envelope, [`Shown`] instances and their paths, [`ClassForm`] declarations; [`status_code`] is
//! the table of errors.
//!
//! What it does not do: several operations in one message, indications, and the writing of classes
//! and qualifiers. It knows declarations, never rows.
//! Source: docs/formats/cimxml.md; DSP0200 1.4, DSP0201 2.4.

mod answer;
mod class;
mod path;
mod request;
mod show;
mod status;
#[cfg(test)]
mod tests;
mod typed;

pub use answer::Reply;
pub use class::ClassForm;
pub use request::{
    Call, Intrinsic, Message, MethodCall, ParameterError, ProtocolError, Raw, RawInstance, RawValue, fuzz_one,
};
pub use show::Shown;
pub use status::{CimCode, status_code};
pub use typed::{Reading, ValueError};

use restock_cim::{Class, Property};

/// Which clock the digits of a time are those of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// A moment.
    Utc,
    /// A moment that the property keeps in the site's zone.
    Site,
    /// Digits whose zone another property states.
    Digits,
}

/// The class whose `StartTime` are digits of a clock.
const TOKEN: &str = "SMS_ScheduleToken";

fn clock_of(class: &Class, property: &Property) -> Clock {
    if class.is_a(TOKEN) && property.name.is("StartTime") {
        Clock::Digits
    } else if property.is_local_time() {
        Clock::Site
    } else {
        Clock::Utc
    }
}
