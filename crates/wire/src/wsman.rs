//! WS-Management with the CIM binding, as `/wsman` speaks it.
//!
//! A request: [`Request`] says what an envelope asks for, [`ResourceUri`] which class,
//! [`object_values`] and [`arguments`] what a body says by the declarations. An answer: [`envelope`]
//! and its parts, [`Shown`] writes instances and addresses; [`Fault`] is a refusal.
//!
//! What it does not do: it signs nobody in, keeps no enumeration, and knows declarations, never
//! rows. No events, no transfer of fragments, no shells.
//! Source: DSP0226 1.2, DSP0227 1.2, DSP0230 1.1; MS-WSMV for what Windows' clients expect.

mod answer;
mod fault;
mod header;
pub mod names;
mod read;
mod request;
mod resource;
mod time;
mod write;

pub use answer::{
    Batch, CONTENT_TYPE, ENVELOPE_BYTES, Heading, created, envelope, fault_envelope, identify_envelope,
    items, no_address, response_action, too_large,
};
pub use fault::{Fault, FaultKind};
pub use header::{Header, HeaderOption, Reference, Selector, SelectorValue};
pub use read::{arguments, object_values};
pub use request::{
    Association, ELEMENTS_MAX, Enumerate, Filter, Mode, Operation, Polymorphism, Pull, Refused, Request,
    fuzz_one,
};
pub use resource::{Family, ResourceUri};
pub use write::{Form, Shown};
