//! Declarations. Source: DSP0200, 5.3.2.1, 5.3.2.9 and 5.3.2.10.

use std::sync::Arc;

use restock_cim::{Class, Name};
use restock_wire::cimxml::{CimCode, ClassForm, Intrinsic};

use super::fault::Fault;
use super::read::required;
use super::{Operation, Space, interop};
use crate::content::Content;

impl Operation<'_> {
    pub(super) fn get_class(&self, call: &Intrinsic) -> Result<Content, Fault> {
        call.only(&["ClassName", "LocalOnly", "IncludeQualifiers", "IncludeClassOrigin", "PropertyList"])?;
        let name = required(call.class_name("ClassName")?, "ClassName")?;
        // The standard has a number of its own for a class that is asked for itself.
        let class = self.class(&name).map_err(|fault| match fault.code() {
            CimCode::InvalidClass => fault.with_code(CimCode::NotFound),
            _ => fault,
        })?;
        let form = ClassForm { only: call.names("PropertyList")?, ..form(call)? };
        let mut reply = self.reply();
        reply.begin_values();
        form.write(reply.writer(), &class);
        Ok(Content::Text(reply.finish().into()))
    }

    /// The classes below one, or the roots; with `DeepInheritance` all below.
    pub(super) fn enumerate_classes(&self, call: &Intrinsic, is_names: bool) -> Result<Content, Fault> {
        let mut names = vec!["ClassName", "DeepInheritance"];
        if !is_names {
            names.extend(["LocalOnly", "IncludeQualifiers", "IncludeClassOrigin"]);
        }
        call.only(&names)?;
        let above = call.class_name("ClassName")?.map(|name| self.class(&name)).transpose()?;
        let is_deep = call.flag("DeepInheritance", false)?;
        let form = form(call)?;
        let mut reply = self.reply();
        reply.begin_values();
        for class in self.classes().filter(|class| is_below(class, above.as_ref().map(|c| &c.name), is_deep))
        {
            let writer = reply.writer();
            if is_names {
                writer.open("CLASSNAME");
                writer.attribute("NAME", class.name.as_str());
                writer.close();
            } else {
                form.write(writer, class);
            }
        }
        Ok(Content::Text(reply.finish().into()))
    }

    /// The classes of the namespace; those of the object core itself are not listed.
    fn classes(&self) -> impl Iterator<Item = &'static Arc<Class>> {
        let schema = match self.space {
            Space::Interop => interop::schema(),
            Space::Site | Space::Locator => self.handler.provider.schema(),
        };
        let is_locator = self.space == Space::Locator;
        schema.classes().filter(move |class| {
            !class.name.as_str().starts_with("__") && (!is_locator || class.name.is(super::LOCATOR_CLASS))
        })
    }
}

fn is_below(class: &Class, above: Option<&Name>, is_deep: bool) -> bool {
    // A class whose superclass is not listed stands among the roots.
    let mut over = class.derivation.iter().filter(|name| !name.as_str().starts_with("__"));
    match (above, is_deep) {
        (None, true) => true,
        (None, false) => over.next().is_none(),
        (Some(above), true) => over.any(|name| name == above),
        (Some(above), false) => over.next() == Some(above),
    }
}

fn form(call: &Intrinsic) -> Result<ClassForm, Fault> {
    Ok(ClassForm {
        local_only: call.flag("LocalOnly", true)?,
        has_qualifiers: call.flag("IncludeQualifiers", true)?,
        has_origins: call.flag("IncludeClassOrigin", false)?,
        only: None,
    })
}
