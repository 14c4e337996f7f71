//! Context qualifiers: what a call says beside its object and its parameters.
//!
//! Clients of WMI set them as name and value on a call. Here they come in the request header
//! `SMS-Context`, whatever the door: `ApplicationName=Tool; InstanceCount=10`; at WS-Management also
//! as options.
//! `SMS_ContextMethods.GetContextHandle` keeps those of its call under a handle, and a later call
//! names the handle instead; what it says itself goes before.
//!
//! What it does not do: it limits no query to a collection, translates nothing, and holds no
//! session or lock: qualifiers for those are refused by name. Source: docs/provider.md, "Context".

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::HeaderMap;
use restock_cim::{Keys, Name, Status, Value};
use restock_names::Escaped;
use restock_provider::{Caller, CoreStatus, MethodAnswer, MethodCall, Refusal};

use crate::handler::Handler;

/// The header that carries them.
pub(crate) const HEADER: &str = "sms-context";
/// The class whose methods keep them.
const CLASS: &str = "SMS_ContextMethods";
/// Handles of one account, and of all; further ones are refused.
const HANDLES_PER_ACCOUNT_MAX: usize = 64;
const HANDLES_MAX: usize = 4_096;
/// A handle that was not used for so long is forgotten.
const IDLE_MAX: Duration = Duration::from_secs(3_600);
/// Characters of a value that are kept.
const VALUE_MAX: usize = 200;
/// Qualifiers of one call.
const COUNT_MAX: usize = 16;

/// What a call said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Qualifiers {
    application: Option<String>,
    machine: Option<String>,
    locale: Option<String>,
    /// `InstanceCount`: rows of a query or enumeration at most.
    pub(crate) rows_max: Option<u64>,
}

impl Qualifiers {
    fn or(self, other: Self) -> Self {
        Self {
            application: self.application.or(other.application),
            machine: self.machine.or(other.machine),
            locale: self.locale.or(other.locale),
            rows_max: self.rows_max.or(other.rows_max),
        }
    }
}

/// Why a call's qualifiers are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QualifierError {
    #[error(
        "the header SMS-Context holds Name=value pairs parted by semicolons, at most {COUNT_MAX}, each name once"
    )]
    Form,
    #[error("the context qualifier {} is not known", Escaped(.0.as_bytes()))]
    Unknown(String),
    #[error("the context qualifier {0} is known and not supported at this site")]
    Unsupported(&'static str),
    #[error("the context qualifier {0} wants {1}")]
    Value(&'static str, &'static str),
    #[error(
        "the context handle is not known: it was cleared, was not used for long, or is of another account"
    )]
    Handle,
}

/// The handles of this process.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    kept: Mutex<HashMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    account: String,
    qualifiers: Qualifiers,
    used_at: Instant,
}

const UNSUPPORTED: [&str; 4] =
    ["LimitToCollectionIDs", "QueryQualifiers", "SessionHandle", "ObjectLockContext"];

/// What a call says itself, pair by pair.
#[derive(Debug, Default)]
pub(crate) struct Said {
    qualifiers: Qualifiers,
    handle: Option<String>,
    seen: Vec<String>,
}

impl Said {
    /// Takes one pair; each name stands once.
    pub(crate) fn pair(&mut self, name: &str, value: &str) -> Result<(), QualifierError> {
        let folded = name.to_ascii_lowercase();
        if self.seen.len() >= COUNT_MAX || self.seen.contains(&folded) {
            return Err(QualifierError::Form);
        }
        let value: String = value.chars().take(VALUE_MAX).collect();
        let qualifiers = &mut self.qualifiers;
        match folded.as_str() {
            "applicationname" => qualifiers.application = Some(value),
            "machinename" => qualifiers.machine = Some(value),
            "localeid" => {
                let is_locale = value.get(..3).is_some_and(|head| head.eq_ignore_ascii_case(r"MS\"));
                if !is_locale {
                    return Err(QualifierError::Value("LocaleID", r"a locale such as MS\1033"));
                }
                qualifiers.locale = Some(value);
            }
            "instancecount" => {
                let rows = value.trim().parse().ok().filter(|rows| *rows > 0);
                qualifiers.rows_max =
                    Some(rows.ok_or(QualifierError::Value("InstanceCount", "a whole number, at least 1"))?);
            }
            "contexthandle" => self.handle = Some(value),
            // What WMI itself says of a call.
            system if system.starts_with("__") => {}
            other => {
                let known = UNSUPPORTED.into_iter().find(|known| known.eq_ignore_ascii_case(other));
                return Err(match known {
                    Some(known) => QualifierError::Unsupported(known),
                    None => QualifierError::Unknown(name.chars().take(60).collect()),
                });
            }
        }
        self.seen.push(folded);
        Ok(())
    }
}

/// The pairs of the header.
fn parse(text: &str) -> Result<Said, QualifierError> {
    let mut said = Said::default();
    for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(QualifierError::Form)?;
        said.pair(name.trim(), value.trim().trim_matches('"'))?;
    }
    Ok(said)
}

impl Handles {
    /// What a request's header says of its context, and gives the caller the name of its program.
    pub(crate) fn read(
        &self,
        headers: &HeaderMap,
        caller: &mut Caller,
        now: Instant,
    ) -> Result<Qualifiers, QualifierError> {
        let mut values = headers.get_all(HEADER).iter();
        let Some(value) = values.next() else { return Ok(Qualifiers::default()) };
        if values.next().is_some() {
            return Err(QualifierError::Form);
        }
        let said = parse(value.to_str().map_err(|_unreadable| QualifierError::Form)?)?;
        self.resolve(said, Qualifiers::default(), caller, now)
    }

    /// What a call says, then what its handle stands for, then `otherwise`; and gives the caller
    /// the name of its program.
    pub(crate) fn resolve(
        &self,
        said: Said,
        otherwise: Qualifiers,
        caller: &mut Caller,
        now: Instant,
    ) -> Result<Qualifiers, QualifierError> {
        let kept = match said.handle {
            None => Qualifiers::default(),
            Some(handle) => {
                let mut all = self.lock();
                let kept = all.get_mut(&handle.to_ascii_lowercase());
                let kept = kept.filter(|kept| {
                    kept.account == caller.account && now.saturating_duration_since(kept.used_at) < IDLE_MAX
                });
                let kept = kept.ok_or(QualifierError::Handle)?;
                kept.used_at = now;
                kept.qualifiers.clone()
            }
        };
        let qualifiers = said.qualifiers.or(kept).or(otherwise);
        if let Some(application) = &qualifiers.application {
            caller.application.clone_from(application);
        }
        Ok(qualifiers)
    }

    fn keep(&self, account: &str, qualifiers: &Qualifiers, now: Instant) -> Option<String> {
        let mut all = self.lock();
        all.retain(|_, kept| now.saturating_duration_since(kept.used_at) < IDLE_MAX);
        let own = all.values().filter(|kept| kept.account == account).count();
        if own >= HANDLES_PER_ACCOUNT_MAX || all.len() >= HANDLES_MAX {
            return None;
        }
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).ok()?;
        let handle: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let kept = Kept { account: account.to_owned(), qualifiers: qualifiers.clone(), used_at: now };
        all.insert(handle.clone(), kept);
        Some(handle)
    }

    fn clear(&self, account: &str, handle: &str) -> bool {
        let mut all = self.lock();
        let handle = handle.to_ascii_lowercase();
        let is_own = all.get(&handle).is_some_and(|kept| kept.account == account);
        is_own && all.remove(&handle).is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().expect("no code panics while holding this lock")
    }
}

impl Handler {
    /// Calls a method: those of the context here, every other by the provider.
    ///
    /// `qualifiers`: what the call says of its context.
    pub(crate) async fn invoke(
        &self,
        caller: &Caller,
        call: MethodCall,
        qualifiers: &Qualifiers,
    ) -> Result<MethodAnswer, Refusal> {
        let is_context = call.path.class.is(CLASS) && call.path.keys == Keys::Class;
        let answered = if is_context { self.context_method(caller, &call, qualifiers) } else { None };
        match answered {
            Some(answered) => answered,
            None => self.provider.invoke(caller, call).await,
        }
    }

    /// `None`: the provider refuses the call for what is wrong with it.
    fn context_method(
        &self,
        caller: &Caller,
        call: &MethodCall,
        qualifiers: &Qualifiers,
    ) -> Option<Result<MethodAnswer, Refusal>> {
        let namespace = call.path.namespace.as_deref().unwrap_or(&self.namespace).replace('/', r"\");
        if !namespace.eq_ignore_ascii_case(&self.namespace) {
            return None;
        }
        let done = |out| MethodAnswer { return_value: Value::Signed(0), out };
        let refuse = |status, code, description: &str| {
            Some(Err(Refusal::Core(CoreStatus {
                status,
                code,
                description: description.to_owned(),
                operation: "ExecMethod",
                parameter_info: call.path.relative().to_string(),
            })))
        };
        match (call.method.as_str().to_ascii_lowercase().as_str(), call.arguments.as_slice()) {
            ("getcontexthandle", []) => {
                let handle = self.handles.keep(&caller.account, qualifiers, self.clock.monotonic());
                match handle {
                    Some(handle) => {
                        Some(Ok(done(vec![(Name::from("ContextHandle"), Value::String(handle))])))
                    }
                    None => {
                        let text = "too many context handles are kept; clear one before another is made";
                        refuse(Status::QuotaViolation, "TOO_MANY_HANDLES", text)
                    }
                }
            }
            ("clearcontexthandle", [(name, Value::String(handle))]) if name.is("ContextHandle") => {
                match self.handles.clear(&caller.account, handle) {
                    true => Some(Ok(done(Vec::new()))),
                    false => refuse(Status::NotFound, "NOT_FOUND", &QualifierError::Handle.to_string()),
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use restock_names::{Clock as _, ManualClock, Timestamp};
    use restock_provider::Caller;

    use super::{HEADER, Handles, IDLE_MAX, QualifierError, Qualifiers};

    fn read(
        handles: &Handles,
        text: &str,
        clock: &ManualClock,
    ) -> Result<(Qualifiers, String), QualifierError> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(text).expect("a header"));
        let mut caller = Caller::local("c");
        let qualifiers = handles.read(&headers, &mut caller, clock.monotonic())?;
        Ok((qualifiers, caller.application))
    }

    #[test]
    fn what_a_call_says_goes_before_what_its_handle_keeps() {
        let (handles, clock) = (Handles::default(), ManualClock::new(Timestamp(0)));
        let (kept, application) =
            read(&handles, "applicationname=\"Tool\"; InstanceCount=3", &clock).expect("read");
        assert_eq!((kept.rows_max, &*application), (Some(3), "Tool"));
        let account = Caller::local("c").account;
        let handle = handles.keep(&account, &kept, clock.monotonic()).expect("kept");
        let text = format!("ContextHandle={handle};InstanceCount=9");
        let (both, application) = read(&handles, &text, &clock).expect("read");
        assert_eq!((both.rows_max, &*application), (Some(9), "Tool"));
        assert!(!handles.clear("another", &handle));
        clock.advance(IDLE_MAX);
        assert_eq!(read(&handles, &text, &clock), Err(QualifierError::Handle));
        assert!(handles.clear(&account, &handle) && !handles.clear(&account, &handle));
    }

    #[test]
    fn what_is_not_known_or_not_kept_is_refused_by_name() {
        let (handles, clock) = (Handles::default(), ManualClock::new(Timestamp(0)));
        let refused = |text: &str| read(&handles, text, &clock).expect_err(text);
        assert_eq!(
            refused("InstanceCount=0"),
            QualifierError::Value("InstanceCount", "a whole number, at least 1")
        );
        assert_eq!(refused("sessionhandle={x}"), QualifierError::Unsupported("SessionHandle"));
        assert_eq!(refused("Colour=red"), QualifierError::Unknown("Colour".to_owned()));
        assert_eq!(refused("ApplicationName"), QualifierError::Form);
        assert_eq!(refused("ApplicationName=a;applicationname=b"), QualifierError::Form);
        assert_eq!(refused("ContextHandle=00"), QualifierError::Handle);
        assert!(read(&handles, r"LocaleID=MS\1033; __Path=x", &clock).is_ok());
    }
}
