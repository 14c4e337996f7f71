//! What a request means: namespace, class and object, and refusals as faults.

use std::sync::Arc;

use restock_cim::query::QueryError;
use restock_cim::{Class, KeyValue, Keys, Name, ObjectPath, Status};
use restock_provider::{Caller, CoreStatus, Refusal};
use restock_wire::odata::{BodyError, KeyError, SegmentKey, path_of};
use restock_wire::wsman::names::NAMESPACE_SELECTOR;
use restock_wire::wsman::{Fault, FaultKind, Header, Reference, ResourceUri, Selector, SelectorValue, Shown};

use crate::handler::Handler;
use crate::qualifiers::Qualifiers;
use crate::refused::split_code;

/// The namespace that only locates the provider, and the class in it.
const LOCATOR_NAMESPACE: &str = r"root\sms";
const LOCATOR_CLASS: &str = "SMS_ProviderLocation";

/// A request on its way: who asks what of which namespace.
pub(super) struct Request<'r> {
    pub(super) handler: &'r Handler,
    pub(super) caller: &'r Caller,
    pub(super) header: &'r Header,
    /// What the call says of its context.
    pub(super) qualifiers: &'r Qualifiers,
    /// `root\sms\site_XYZ`, or the one of the locator.
    pub(super) namespace: String,
    /// What the core calls the operation.
    pub(super) operation: &'static str,
}

impl<'r> Request<'r> {
    /// Errors: a namespace that is not here.
    pub(super) fn new(
        handler: &'r Handler,
        caller: &'r Caller,
        header: &'r Header,
        qualifiers: &'r Qualifiers,
        operation: &'static str,
    ) -> Result<Self, Fault> {
        let site = handler.namespace.clone();
        let mut request = Self { handler, caller, header, qualifiers, namespace: site, operation };
        if let Some(named) = named_namespace(&header.resource, &header.selectors)? {
            request.namespace = request.known_namespace(&named)?;
        }
        Ok(request)
    }

    fn known_namespace(&self, named: &str) -> Result<String, Fault> {
        let own = [self.handler.namespace.as_str(), LOCATOR_NAMESPACE];
        let found = own.into_iter().find(|own| own.eq_ignore_ascii_case(named));
        found.map(str::to_owned).ok_or_else(|| {
            let shown: String = named.chars().take(200).collect();
            let text = format!("the namespace of this site is {}, not {shown:?}", self.handler.namespace);
            self.core(Status::InvalidNamespace, "INVALID_NAMESPACE", &text, "")
        })
    }

    /// What instances need to be shown.
    pub(super) fn shown(&self) -> Shown {
        Shown {
            resource: self.header.resource.clone(),
            namespace: self.namespace.clone(),
            zone: self.handler.provider.config().zone.clone(),
        }
    }

    /// The class that the URI names.
    ///
    /// Errors: it names all, or one that is not in the namespace.
    pub(super) fn class(&self) -> Result<Arc<Class>, Fault> {
        match &self.header.resource.class {
            Some(name) => self.class_named(name),
            None => {
                let text = "the resource URI names all classes; only a query is asked of all";
                let fault = Fault::new(FaultKind::UnsupportedFeature, "FILTER_REQUIRED", text);
                Err(fault.detail("FilteringRequired"))
            }
        }
    }

    /// A class of the namespace.
    pub(super) fn class_named(&self, name: &str) -> Result<Arc<Class>, Fault> {
        let class = self.handler.provider.schema().class(name);
        let is_locator = self.namespace == LOCATOR_NAMESPACE;
        class.filter(|class| !is_locator || class.name.is(LOCATOR_CLASS)).cloned().ok_or_else(|| {
            let text = format!("no class {name} is declared in {}", self.namespace);
            self.core(Status::InvalidClass, "INVALID_CLASS", &text, name)
        })
    }

    /// The object that the selectors name.
    pub(super) fn object(&self, class: &Class) -> Result<ObjectPath, Fault> {
        let path = self.path(class, &self.header.selectors)?;
        Ok(path.within(".", &self.namespace))
    }

    /// The object that a reference names, and its class.
    pub(super) fn referenced(&self, reference: &Reference) -> Result<ObjectPath, Fault> {
        if let Some(named) = named_namespace(&reference.resource, &reference.selectors)?
            && self.known_namespace(&named)? != self.namespace
        {
            let text = "the object lies in another namespace";
            return Err(self.core(Status::InvalidNamespace, "INVALID_NAMESPACE", text, ""));
        }
        let Some(class) = &reference.resource.class else {
            return Err(Fault::new(FaultKind::InvalidSelectors, "SELECTORS", "a reference names one class"));
        };
        let class = self.class_named(class)?;
        self.path(&class, &reference.selectors)
    }

    fn path(&self, class: &Class, selectors: &[Selector]) -> Result<ObjectPath, Fault> {
        let given = || selectors.iter().filter(|selector| !is_namespace(selector));
        let keys: Vec<&Name> = class.keys().map(|key| &key.name).collect();
        if keys.is_empty() && given().next().is_none() {
            let keys = Keys::Singleton;
            return Ok(ObjectPath { server: None, namespace: None, class: class.name.clone(), keys });
        }
        let wrong = |what: String, detail| {
            let names = keys.iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ");
            let wanted =
                if names.is_empty() { "it has no keys".to_owned() } else { format!("its keys are {names}") };
            let text = format!("{}: {what}; {wanted}", class.name);
            let mut fault = self.core(Status::InvalidObjectPath, "INVALID_PATH", &text, class.name.as_str());
            fault.detail = Some(detail);
            fault
        };
        if let Some(other) = given().find(|selector| !keys.iter().any(|key| key.is(&selector.name))) {
            let shown: String = other.name.chars().take(100).collect();
            return Err(wrong(format!("the selector {shown:?} is no key"), "UnexpectedSelectors"));
        }
        let mut named = Vec::with_capacity(keys.len());
        for key in &keys {
            let Some(selector) = given().find(|selector| key.is(&selector.name)) else {
                return Err(wrong(format!("the selector {key} is missing"), "InsufficientSelectors"));
            };
            let value = match &selector.value {
                SelectorValue::Text(text) => KeyValue::String(text.clone()),
                SelectorValue::Reference(reference) => {
                    KeyValue::Reference(Box::new(self.referenced(reference)?))
                }
            };
            named.push(((*key).clone(), value));
        }
        let zone = &self.handler.provider.config().zone;
        path_of(class, &SegmentKey::Literal(Keys::Named(named)), zone).map_err(|error| {
            let (status, code) = match &error {
                KeyError::Impossible(_) => (Status::NotFound, "NOT_FOUND"),
                KeyError::Keyless(_) | KeyError::Names { .. } => (Status::InvalidObjectPath, "INVALID_PATH"),
            };
            self.core(status, code, &error.to_string(), class.name.as_str())
        })
    }

    /// A refusal of what was read, before the provider is asked.
    pub(super) fn core(&self, status: Status, code: &'static str, text: &str, path: &str) -> Fault {
        let (_, description) = split_code(text);
        fault_of(
            self.handler,
            &Refusal::Core(CoreStatus {
                status,
                code,
                description: description.to_owned(),
                operation: self.operation,
                parameter_info: path.to_owned(),
            }),
        )
    }

    /// A refusal of the provider.
    pub(super) fn refused(&self, refusal: &Refusal) -> Fault {
        fault_of(self.handler, refusal)
    }

    /// A refusal of a query's text.
    pub(super) fn query_refused(&self, error: QueryError, text: &str) -> Fault {
        let mut refusal = Refusal::from(error);
        if let Refusal::Core(core) = &mut refusal {
            core.operation = self.operation;
            core.parameter_info = text.chars().take(200).collect();
        }
        self.refused(&refusal)
    }

    /// A refusal of what a body says.
    pub(super) fn body_refused(&self, error: &BodyError, path: &str) -> Fault {
        let status = match error {
            BodyError::Json(_) | BodyError::Shape | BodyError::Type { .. } => Status::TypeMismatch,
            BodyError::Property { .. } | BodyError::System { .. } => Status::InvalidProperty,
            BodyError::Parameter { .. } => Status::InvalidParameter,
        };
        self.core(status, error.code(), &error.to_string(), path)
    }
}

/// A refusal as a fault.
pub(super) fn fault_of(handler: &Handler, refusal: &Refusal) -> Fault {
    let instance = refusal.instance(handler.provider.schema()).map(Box::new);
    Fault::of_status(refusal.status(), refusal.code(), refusal.description(), instance)
}

fn is_namespace(selector: &Selector) -> bool {
    selector.name.eq_ignore_ascii_case(NAMESPACE_SELECTOR)
}

/// The namespace that URI and selectors name.
fn named_namespace(resource: &ResourceUri, selectors: &[Selector]) -> Result<Option<String>, Fault> {
    let selected = selectors.iter().find(|selector| is_namespace(selector)).map(|selector| &selector.value);
    let selected = match selected {
        None => None,
        Some(SelectorValue::Text(text)) => Some(text.trim().trim_matches('/').replace('/', r"\")),
        Some(SelectorValue::Reference(_)) => {
            let text = format!("{NAMESPACE_SELECTOR} is a text");
            return Err(Fault::new(FaultKind::InvalidSelectors, "SELECTORS", text).detail("TypeMismatch"));
        }
    };
    match (&resource.namespace, selected) {
        (Some(named), Some(selected)) if !named.eq_ignore_ascii_case(&selected) => {
            let text = format!("{NAMESPACE_SELECTOR} names another namespace than the resource URI");
            Err(Fault::new(FaultKind::InvalidSelectors, "SELECTORS", text).detail("InvalidValue"))
        }
        (named, selected) => Ok(selected.or_else(|| named.clone())),
    }
}
