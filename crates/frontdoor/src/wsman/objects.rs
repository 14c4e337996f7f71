//! One object: Get, Put, Create, Delete and methods.

use restock_cim::{Class, ObjectPath, Status};
use restock_provider::{MethodCall, Put, PutForm};
use restock_wire::wsman::{Fault, FaultKind, Form, Operation, arguments, created, object_values};
use restock_wire::xml::{Element, Writer};

use super::scope::Request;

impl Request<'_> {
    /// Carries out an operation on one object; gives what stands in the answer's body.
    pub(super) async fn on_object(&self, operation: &Operation) -> Result<String, Fault> {
        let class = self.class()?;
        match operation {
            Operation::Get => self.get(&class).await,
            Operation::Put(object) => self.put(&class, object).await,
            Operation::Create(object) => self.create(&class, object).await,
            Operation::Delete => {
                let path = self.object(&class)?;
                self.handler.provider.delete(self.caller, &path).await.map_err(|r| self.refused(&r))?;
                Ok(String::new())
            }
            Operation::Invoke { method, input } => self.invoke(&class, method, input.as_ref()).await,
            Operation::Enumerate(_) | Operation::Pull(_) | Operation::Release(_) => {
                let text = "an enumeration is not an operation on one object";
                Err(Fault::new(FaultKind::ActionNotSupported, "ACTION", text))
            }
        }
    }

    async fn get(&self, class: &Class) -> Result<String, Fault> {
        let path = self.object(class)?;
        let got = self.handler.provider.get(self.caller, &path).await;
        let instance = got.map_err(|refusal| self.refused(&refusal))?;
        let mut out = Writer::new();
        self.shown().instance(&mut out, &instance, Form::Whole);
        Ok(out.finish())
    }

    async fn put(&self, class: &Class, object: &Element) -> Result<String, Fault> {
        let path = self.object(class)?;
        let values = self.values(class, object)?;
        let put = Put { class: class.name.clone(), path: Some(path), values, form: PutForm::Whole };
        let put = self.handler.provider.put(self.caller, put).await;
        let instance = put.map_err(|refusal| self.refused(&refusal))?;
        let mut out = Writer::new();
        self.shown().instance(&mut out, &instance, Form::Whole);
        Ok(out.finish())
    }

    async fn create(&self, class: &Class, object: &Element) -> Result<String, Fault> {
        let values = self.values(class, object)?;
        let put = Put { class: class.name.clone(), path: None, values, form: PutForm::Create };
        let put = self.handler.provider.put(self.caller, put).await;
        let instance = put.map_err(|refusal| self.refused(&refusal))?;
        let mut out = Writer::new();
        created(&mut out, &self.shown(), &instance);
        Ok(out.finish())
    }

    fn values(
        &self,
        class: &Class,
        object: &Element,
    ) -> Result<Vec<(restock_cim::Name, restock_cim::Value)>, Fault> {
        if !class.name.is(&object.name) {
            let shown: String = object.name.chars().take(100).collect();
            let text = format!("the Body holds {shown:?}, not an instance of {}", class.name);
            let fault = Fault::new(FaultKind::InvalidRepresentation, "SCHEMA", text);
            return Err(fault.detail("InvalidNamespace"));
        }
        let zone = &self.handler.provider.config().zone;
        object_values(self.handler.provider.schema(), class, object, zone)
            .map_err(|error| self.body_refused(&error, class.name.as_str()))
    }

    async fn invoke(&self, class: &Class, name: &str, input: Option<&Element>) -> Result<String, Fault> {
        let Some(method) = class.method(name) else {
            let text = format!("{} has no method {name}", class.name);
            return Err(self.core(Status::InvalidMethod, "INVALID_METHOD", &text, class.name.as_str()));
        };
        // A static method may be called by way of an instance, which then plays no part.
        let path = match method.is_static {
            true => ObjectPath::of_class(class.name.clone()).within(".", &self.namespace),
            false => self.object(class)?,
        };
        let zone = &self.handler.provider.config().zone;
        let arguments = arguments(self.handler.provider.schema(), class, method, input, zone)
            .map_err(|error| self.body_refused(&error, &path.relative().to_string()))?;
        let call = MethodCall { path, method: method.name.clone(), arguments };
        let answer = self.handler.invoke(self.caller, call, self.qualifiers).await;
        let answer = answer.map_err(|refusal| self.refused(&refusal))?;
        let mut out = Writer::new();
        // The client looks for the method in its own spelling.
        self.shown().output(&mut out, class.name.as_str(), name, &answer.return_value, &answer.out);
        Ok(out.finish())
    }
}
