//! Reading at once: one instance, all of a class, or the rows of a query.

use std::collections::VecDeque;

use restock_cim::query::{Column, Query, Select, Selected, wql};
use restock_cim::{Class, Instance, Keys, Name};
use restock_wire::cimxml::{CimCode, Intrinsic, Shown};

use super::fault::Fault;
use super::rows::{Form, Sequence, narrow, stream_of};
use super::{Operation, Space, interop};
use crate::content::Content;

/// What a query gives, and how it is shown.
pub(super) struct Asking {
    pub(super) queries: Vec<Query>,
    /// Rows that are there without a query.
    pub(super) ready: Vec<Instance>,
    pub(super) shown: Shown,
    pub(super) form: Form,
}

impl Operation<'_> {
    pub(super) async fn get_instance(&self, call: &Intrinsic) -> Result<Content, Fault> {
        call.only(&["InstanceName", "LocalOnly", "IncludeQualifiers", "IncludeClassOrigin", "PropertyList"])?;
        let path = call.path("InstanceName")?;
        if path.keys == Keys::Class {
            return Err(Fault::new(CimCode::InvalidParameter, "INVALID_PATH", "the path names a class"));
        }
        let class = self.class(&path.class)?;
        let mut shown = self.shown_as(call)?;
        shown.only = call.names("PropertyList")?;
        let instance = match self.space {
            Space::Interop => interop::instances(self.handler)
                .into_iter()
                .find(|instance| interop::is_at(instance, path))
                .ok_or_else(|| {
                    let text = format!("{} does not exist", path.relative());
                    Fault::new(CimCode::NotFound, "NOT_FOUND", text)
                })?,
            Space::Site | Space::Locator => {
                let mut path = self.within(path);
                path.class = class.name.clone();
                self.handler.provider.get(self.caller, &path).await?
            }
        };
        let mut reply = self.reply();
        reply.begin_values();
        shown.instance(reply.writer(), &instance);
        Ok(Content::Text(reply.finish().into()))
    }

    pub(super) async fn enumerate_instances(&self, call: &Intrinsic) -> Result<Content, Fault> {
        call.only(&[
            "ClassName",
            "LocalOnly",
            "DeepInheritance",
            "IncludeQualifiers",
            "IncludeClassOrigin",
            "PropertyList",
        ])?;
        let asking = self.of_class(call, Form::Named)?;
        self.stream(asking).await
    }

    pub(super) async fn enumerate_instance_names(&self, call: &Intrinsic) -> Result<Content, Fault> {
        call.only(&["ClassName"])?;
        let asking = self.of_class(call, Form::Name)?;
        self.stream(asking).await
    }

    pub(super) async fn exec_query(&self, call: &Intrinsic) -> Result<Content, Fault> {
        call.only(&["QueryLanguage", "Query"])?;
        let asking = self.of_query(call, ["QueryLanguage", "Query"], Form::ObjectWithPath, Form::Object)?;
        self.stream(asking).await
    }

    pub(super) async fn stream(&self, asking: Asking) -> Result<Content, Fault> {
        let Asking { queries, ready, shown, form } = asking;
        let rows = Sequence {
            provider: self.handler.provider.clone(),
            caller: self.caller.clone(),
            queries: VecDeque::from(queries),
            ready: VecDeque::from(ready),
            current: None,
            left: self.rows_max,
        };
        Ok(stream_of(rows, self.reply(), shown, form).await?)
    }

    /// How instances are to be shown, by the operation's flags.
    pub(super) fn shown_as(&self, call: &Intrinsic) -> Result<Shown, Fault> {
        // Deprecated since 1.1; it is read, and all properties are shown whatever it says.
        call.flag("LocalOnly", true)?;
        Ok(Shown {
            has_origins: call.flag("IncludeClassOrigin", false)?,
            has_qualifiers: call.flag("IncludeQualifiers", false)?,
            ..self.shown()
        })
    }

    /// All instances of a class and of those that derive from it.
    pub(super) fn of_class(&self, call: &Intrinsic, form: Form) -> Result<Asking, Fault> {
        let name = required(call.class_name("ClassName")?, "ClassName")?;
        let class = self.class(&name)?;
        let mut shown = self.shown_as(call)?;
        if self.space == Space::Interop {
            shown.only = call.names("PropertyList")?;
            return Ok(Asking { queries: Vec::new(), ready: interop::instances(self.handler), shown, form });
        }
        let mut query = Query::all_of(class.name.clone());
        let is_name = matches!(form, Form::Name | Form::Path);
        let asked = if is_name { Some(Vec::new()) } else { call.names("PropertyList")? };
        shown.only = narrow(&mut query, &class, asked);
        if !call.flag("DeepInheritance", true)? {
            let own = shown.only.take().unwrap_or_else(|| names_of(&class));
            shown.only =
                Some(own.into_iter().filter(|name| class.property(name.as_str()).is_some()).collect());
        }
        Ok(Asking { queries: vec![query], ready: Vec::new(), shown, form })
    }

    /// The rows of a query: `keyed` when they have a path, else `bare`.
    pub(super) fn of_query(
        &self,
        call: &Intrinsic,
        [language, text]: [&str; 2],
        keyed: Form,
        bare: Form,
    ) -> Result<Asking, Fault> {
        let language = required(call.text(language)?, language)?;
        let text = required(call.text(text)?, text)?;
        if !["WQL", "WQL1", "WQL2"].iter().any(|known| language.trim().eq_ignore_ascii_case(known)) {
            let short: String = language.chars().take(60).collect();
            let text = format!("the query language {short} is not spoken; WQL is");
            return Err(Fault::new(CimCode::QueryLanguageNotSupported, "QUERY_LANGUAGE", text));
        }
        let schema = self.handler.provider.schema();
        let statement = wql::statement(text).map_err(|error| Fault::of_query(error, text))?;
        let mut queries = statement.queries(schema).map_err(|error| Fault::of_query(error, text))?;
        let mut shown = self.shown();
        let mut form = keyed;
        for query in &mut queries {
            let class = self.class(&query.from.first.class)?;
            for join in &query.from.joins {
                self.class(&join.right.class)?;
            }
            if !with_keys(query, &class, &mut shown) {
                form = bare;
            }
        }
        Ok(Asking { queries, ready: Vec::new(), shown, form })
    }
}

/// Makes a query of one class read its keys too, for the paths of its rows. False: they have none.
fn with_keys(query: &mut Query, class: &Class, shown: &mut Shown) -> bool {
    let has_paths =
        query.from.joins.is_empty() && !query.is_distinct && !matches!(query.select, Select::Count(_));
    if !has_paths || class.keys().next().is_none() {
        return false;
    }
    let Select::Columns(columns) = &mut query.select else { return true };
    let mut only = Vec::new();
    for selected in columns.iter() {
        match selected {
            // `a.*` of the only class is all there is.
            Selected::AllOf(_) => return true,
            Selected::Column(column) => only.push(column.property.clone()),
        }
    }
    for key in class.keys().filter(|key| !only.contains(&key.name)) {
        columns.push(Selected::Column(Column { alias: None, property: key.name.clone() }));
    }
    shown.only = Some(only);
    true
}

fn names_of(class: &Class) -> Vec<Name> {
    class.properties.iter().map(|property| property.name.clone()).collect()
}

/// A parameter that must be there.
pub(super) fn required<T>(found: Option<T>, name: &str) -> Result<T, Fault> {
    found.ok_or_else(|| {
        let text = format!("parameter {name} is missing");
        Fault::new(CimCode::InvalidParameter, "INVALID_PARAMETER", text)
    })
}
