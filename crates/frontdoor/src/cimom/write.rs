//! Writing: objects and method calls.

use restock_cim::{Name, ObjectPath, Value};
use restock_provider::{MethodCall, Put, PutForm};
use restock_wire::cimxml::{self, CimCode, Intrinsic, RawInstance, Reply, ValueError};

use super::fault::Fault;
use super::{LOCATOR_NAMESPACE, Operation, Space, is_first_version, reading, shown};
use crate::content::Content;
use crate::handler::{Asked, Handler};

impl Operation<'_> {
    pub(super) async fn create_instance(&self, call: &Intrinsic) -> Result<Content, Fault> {
        call.only(&["NewInstance"])?;
        let (_, sent) = call.instance("NewInstance")?;
        let class = self.class(&sent.class)?;
        self.writable()?;
        let values = self
            .reading()
            .properties(&class, &sent.properties)
            .map_err(|error| Fault::of_value(&error, "PutInstance", class.name.as_str()))?;
        let put = Put { class: class.name.clone(), path: None, values, form: PutForm::Create };
        let instance = self.handler.provider.put(self.caller, put).await?;
        let path = restock_provider::relative_path_of(&instance);
        let path = path.unwrap_or_else(|| ObjectPath::of_class(class.name.clone()));
        let mut reply = self.reply();
        reply.begin_values();
        self.shown().instance_name(reply.writer(), &path);
        Ok(Content::Text(reply.finish().into()))
    }

    pub(super) async fn modify_instance(&self, call: &Intrinsic) -> Result<Content, Fault> {
        call.only(&["ModifiedInstance", "IncludeQualifiers", "PropertyList"])?;
        let (path, sent) = call.instance("ModifiedInstance")?;
        let Some(path) = path else {
            let text = "ModifiedInstance wants the name of the instance";
            return Err(Fault::new(CimCode::InvalidParameter, "INVALID_PARAMETER", text));
        };
        let class = self.class(&path.class)?;
        self.writable()?;
        let shown = ObjectPath { class: class.name.clone(), ..path.relative() }.to_string();
        let refused = |error: &ValueError| Fault::of_value(error, "PutInstance", &shown);
        let (sent, form) = match call.names("PropertyList")? {
            None => (sent.properties.clone(), PutForm::Whole),
            Some(names) => {
                (listed(sent, &names, class.name.as_str()).map_err(|e| refused(&e))?, PutForm::Partial)
            }
        };
        let mut values = self.reading().properties(&class, &sent).map_err(|error| refused(&error))?;
        if form == PutForm::Partial {
            values.iter_mut().for_each(|value| clear_list(&class, value));
        }
        let path = Some(ObjectPath { class: class.name.clone(), ..self.within(path) });
        let put = Put { class: class.name.clone(), path, values, form };
        self.handler.provider.put(self.caller, put).await?;
        Ok(Content::Text(self.reply().finish().into()))
    }

    pub(super) async fn delete_instance(&self, call: &Intrinsic) -> Result<Content, Fault> {
        call.only(&["InstanceName"])?;
        let path = call.path("InstanceName")?;
        let class = self.class(&path.class)?;
        self.writable()?;
        let path = ObjectPath { class: class.name.clone(), ..self.within(path) };
        self.handler.provider.delete(self.caller, &path).await?;
        Ok(Content::Text(self.reply().finish().into()))
    }

    fn writable(&self) -> Result<(), Fault> {
        match self.space {
            Space::Site | Space::Locator => Ok(()),
            Space::Interop => {
                Err(Fault::new(CimCode::NotSupported, "NOT_SUPPORTED", "namespaces are not written"))
            }
        }
    }
}

/// The properties that a list names, in the order sent.
///
/// Errors: one that is listed and was not sent; nothing is dropped without a word.
fn listed(sent: &RawInstance, names: &[Name], class: &str) -> Result<Vec<cimxml::RawValue>, ValueError> {
    for name in names {
        if !sent.properties.iter().any(|property| property.name == *name) {
            return Err(ValueError::Property {
                class: format!("the {class} that was sent"),
                property: name.to_string(),
            });
        }
    }
    Ok(sent.properties.iter().filter(|property| names.contains(&property.name)).cloned().collect())
}

/// A list that is named and NULL is to be cleared, which a Put says by an empty one: its NULL says
/// that nothing was read.
fn clear_list(class: &restock_cim::Class, (name, value): &mut (Name, Value)) {
    let is_list = class.property(name.as_str()).is_some_and(|property| property.data_type.is_array);
    if is_list && *value == Value::Null {
        *value = Value::Array(Vec::new());
    }
}

/// Calls a method.
pub(super) async fn method(handler: &Handler, asked: &Asked, id: &str, call: &cimxml::MethodCall) -> Content {
    let text = match called(handler, asked, id, call).await {
        Ok(text) => text,
        Err(fault) => fault.write(
            Reply::method(id, &call.name),
            &shown(handler, Space::Site, is_first_version(&asked.parts.headers)),
        ),
    };
    Content::Text(text.into())
}

async fn called(
    handler: &Handler,
    asked: &Asked,
    id: &str,
    call: &cimxml::MethodCall,
) -> Result<String, Fault> {
    let space = Space::of(handler, call.path.namespace.as_deref().unwrap_or_default())?;
    let namespace = match space {
        Space::Site => handler.namespace.clone(),
        Space::Locator => LOCATOR_NAMESPACE.to_owned(),
        Space::Interop => {
            return Err(Fault::new(CimCode::MethodNotFound, "INVALID_METHOD", "no class here has methods"));
        }
    };
    let path = ObjectPath { server: None, namespace: Some(namespace), ..call.path.clone() };
    let shown_path = path.relative().to_string();
    let class = handler.provider.schema().class(path.class.as_str());
    let method = class.and_then(|class| class.method(&call.name));
    let arguments = match method {
        Some(method) => reading(handler)
            .arguments(method, &call.parameters)
            .map_err(|error| Fault::of_value(&error, "ExecMethod", &shown_path))?,
        // The provider refuses the call by the name that is not known.
        None => Vec::new(),
    };
    let invoked = MethodCall { path, method: call.name.as_str().into(), arguments };
    let answer = handler
        .invoke(&asked.caller, invoked, &asked.qualifiers)
        .await
        .map_err(|refusal| Fault::of(&refusal, true))?;
    let mut reply = Reply::method(id, &call.name);
    let shown = shown(handler, space, is_first_version(&asked.parts.headers));
    if let Some(method) = method {
        shown.return_value(reply.writer(), &method.returns, &answer.return_value);
        for (name, value) in &answer.out {
            if let Some(parameter) = method.parameters.iter().find(|parameter| parameter.name == *name) {
                shown.parameter(reply.writer(), parameter.name.as_str(), &parameter.data_type, value);
            }
        }
    }
    Ok(reply.finish())
}
