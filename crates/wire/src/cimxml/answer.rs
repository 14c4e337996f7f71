//! The envelope of an answer. Source: DSP0201, 5.2.5; DSP0200, 5.4.

use restock_cim::Instance;

use super::{CimCode, Shown};
use crate::xml::Writer;

/// The highest version of the protocol that is spoken.
const PROTOCOL_VERSION: &str = "1.4";

/// An answer that is being written.
#[derive(Debug)]
pub struct Reply {
    writer: Writer,
}

impl Reply {
    /// Begins the answer to the operation `name` in the message `id`, both as they were sent.
    pub fn intrinsic(id: &str, name: &str) -> Self {
        Self::begin(id, "IMETHODRESPONSE", name)
    }

    /// Begins the answer to a method call likewise.
    pub fn method(id: &str, name: &str) -> Self {
        Self::begin(id, "METHODRESPONSE", name)
    }

    fn begin(id: &str, element: &str, name: &str) -> Self {
        let mut writer = Writer::document();
        writer.open("CIM");
        writer.attribute("CIMVERSION", "2.0");
        writer.attribute("DTDVERSION", "2.0");
        writer.open("MESSAGE");
        writer.attribute("ID", id);
        writer.attribute("PROTOCOLVERSION", PROTOCOL_VERSION);
        writer.open("SIMPLERSP");
        writer.open(element);
        writer.attribute("NAME", name);
        Self { writer }
    }

    /// Begins the values of an operation.
    pub fn begin_values(&mut self) {
        self.writer.open("IRETURNVALUE");
    }

    /// Ends them.
    pub fn end_values(&mut self) {
        self.writer.close();
    }

    /// Where values are written.
    pub fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// What follows the values of one piece of an enumeration.
    pub fn end_of_piece(&mut self, context: Option<&str>) {
        let mut parameter = |name: &str, kind: &str, value: &str| {
            self.writer.open("PARAMVALUE");
            self.writer.attribute("NAME", name);
            self.writer.attribute("PARAMTYPE", kind);
            self.writer.element("VALUE", value);
            self.writer.close();
        };
        parameter("EnumerationContext", "string", context.unwrap_or(""));
        parameter("EndOfSequence", "boolean", if context.is_some() { "FALSE" } else { "TRUE" });
    }

    /// The answer is a refusal. `status`: what is known of it beside the text.
    pub fn error(mut self, code: CimCode, description: &str, status: Option<(&Shown, &Instance)>) -> String {
        self.writer.open("ERROR");
        self.writer.attribute("CODE", &code.number().to_string());
        self.writer.attribute("DESCRIPTION", description);
        // ERROR is empty in version 1.0.
        if let Some((shown, status)) = status.filter(|(shown, _)| !shown.is_first_version) {
            shown.instance(&mut self.writer, status);
        }
        self.writer.close();
        self.finish()
    }

    /// What was written since the last time.
    pub fn take(&mut self) -> String {
        self.writer.take()
    }

    /// Bytes that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.writer.len()
    }

    /// Ends the answer.
    pub fn finish(self) -> String {
        self.writer.finish()
    }
}
