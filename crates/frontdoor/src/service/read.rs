//! Reading: collections, counts and single instances.

use std::sync::Arc;

use http::StatusCode;
use restock_cim::query::{Query, QueryError, QueryErrorKind, Select, Selected};
use restock_cim::{Class, Instance, Name, ObjectPath, Status, Value};
use restock_provider::Refusal;
use restock_wire::odata::{QueryOptions, Selection};

use super::JSON;
use super::write::{version_of, with_version};
use crate::collection::{Collection, Page};
use crate::content::Content;
use crate::handler::{Answer, Asked, Handler};
use crate::page::{Paged, Place};
use crate::prefer::Preferences;
use crate::refused::Refused;

/// The option of a link to a next page.
const SKIP_TOKEN: &str = "$skiptoken";

impl Handler {
    /// `GET Class`
    pub(super) async fn collection(&self, asked: Asked, class: Arc<Class>) -> Result<Answer, Refused> {
        let sent = asked.parts.uri.query().unwrap_or_default();
        let options = self.options(sent)?;
        let raw = without_token(sent);
        let mut query = options.query(class.name.clone());
        let counting = options.count_query(class.name.clone());
        query.limit = least(query.limit, asked.qualifiers.rows_max);
        let selection = system_members(&mut query, &class);
        let preferences = Preferences::of(&asked.parts.headers);
        let bound_to = format!("{}\0{}\0{raw}", asked.caller.account, class.name);
        let place = match options.skip_token {
            None => None,
            Some(token) => {
                let place = self.seal.open(&token, &bound_to);
                Some(place.ok_or_else(|| self.token_refused(&class))?)
            }
        };
        let count = match options.is_counted && place.is_none() {
            true => Some(self.counted(&asked, counting).await?),
            false => None,
        };
        let wants_pages = place.is_some() || preferences.is_generic || preferences.page_rows.is_some();
        let page = match wants_pages {
            true => self.page(&asked, &mut query, &class, &preferences, place, &raw, bound_to),
            false => None,
        };
        let is_paged = page.is_some();
        let rows = self.provider.query(&asked.caller, query).await.map_err(|r| self.mapping.refusal(&r))?;
        let collection = Collection {
            rows,
            shown: self.shown(),
            selection,
            context: format!("{}$metadata#{}", asked.base(), class.name),
            count,
            page,
            correlation: asked.caller.correlation.clone(),
        };
        let pieces = collection.start().await.map_err(|r| self.mapping.refusal(&r))?;
        let answer = Answer::new(StatusCode::OK, JSON, Content::Pieces(pieces));
        Ok(match preferences.page_rows.filter(|_| is_paged) {
            Some(rows) => answer.with(
                http::HeaderName::from_static("preference-applied"),
                &format!("odata.maxpagesize={}", rows.min(self.limits.page_rows_max)),
            ),
            None => answer,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "a page is all of these")]
    fn page(
        &self,
        asked: &Asked,
        query: &mut Query,
        class: &Class,
        preferences: &Preferences,
        place: Option<Place>,
        raw: &str,
        bound_to: String,
    ) -> Option<Page> {
        let before = place.as_ref().map(|place| place.page_rows);
        let rows = preferences.page_rows.or(before).unwrap_or(self.limits.page_rows);
        let paged = Paged::cut(query, class, rows.min(self.limits.page_rows_max), place)?;
        let mut address = format!("{}{}?", asked.base(), class.name);
        if !raw.is_empty() {
            address.push_str(raw);
            address.push('&');
        }
        let seal = Arc::clone(&self.seal);
        let next = Box::new(move |place: &Place| {
            Some(format!("{address}{SKIP_TOKEN}={}", seal.seal(place, &bound_to)?))
        });
        Some(Page { paged, next })
    }

    /// `GET Class/$count`
    pub(super) async fn count(&self, asked: &Asked, class: &Class) -> Result<u64, Refused> {
        let raw = asked.parts.uri.query().unwrap_or_default();
        let options = self.options(raw)?;
        self.counted(asked, options.count_query(class.name.clone())).await
    }

    async fn counted(&self, asked: &Asked, query: Query) -> Result<u64, Refused> {
        let counted = async {
            let mut rows = self.provider.query(&asked.caller, query).await?;
            let row = rows.next().await.transpose()?;
            let count = row.as_ref().and_then(|row| row.get("Count")).and_then(Value::as_integer);
            Ok::<_, Refusal>(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
        };
        counted.await.map_err(|refusal| self.mapping.refusal(&refusal))
    }

    /// `GET Class(key)`: a collection of one, or for a generic client the bare entity.
    pub(super) async fn entity(
        &self,
        asked: &Asked,
        class: &Class,
        path: ObjectPath,
    ) -> Result<Answer, Refused> {
        let raw = asked.parts.uri.query().unwrap_or_default();
        let mut query = self.options(raw)?.query(class.name.clone());
        if query.filter.is_some() || !query.order.is_empty() || query.limit.is_some() || query.offset > 0 {
            let text = "of one instance only $select is understood; filter the class instead";
            let path = path.to_string();
            return Err(self.mapping.core(Status::NotSupported, "NOT_SUPPORTED", text, "GetObject", &path));
        }
        let selection = system_members(&mut query, class);
        let mut instance = self
            .provider
            .get(&asked.caller, &path)
            .await
            .map_err(|refusal| self.mapping.refusal(&refusal))?;
        let version = version_of(&instance);
        keep_selected(&mut instance, &query.select);
        let is_generic = Preferences::of(&asked.parts.headers).is_generic;
        let text = self.entity_text(asked, &instance, &selection, is_generic);
        Ok(with_version(Answer::json(StatusCode::OK, text), version))
    }

    /// The text of an instance: a collection of one, or bare.
    pub(super) fn entity_text(
        &self,
        asked: &Asked,
        instance: &Instance,
        selection: &Selection,
        is_bare: bool,
    ) -> String {
        let context = format!("{}$metadata#{}", asked.base(), instance.class.name);
        let mut text = String::new();
        if is_bare {
            self.shown().write(&mut text, instance, selection, Some(&format!("{context}/$entity")));
            return text;
        }
        text.push_str("{\"@odata.context\":");
        text.push_str(&serde_json::Value::from(context).to_string());
        text.push_str(",\"value\":[");
        self.shown().write(&mut text, instance, selection, None);
        text.push_str("]}");
        text
    }

    fn options(&self, raw: &str) -> Result<QueryOptions, Refused> {
        QueryOptions::parse(raw).map_err(|error| self.query_refused(&error, raw))
    }

    fn query_refused(&self, error: &QueryError, raw: &str) -> Refused {
        let status = match error.kind {
            QueryErrorKind::UnknownClass => Status::InvalidClass,
            QueryErrorKind::UnknownProperty => Status::InvalidProperty,
            QueryErrorKind::Type => Status::TypeMismatch,
            _ => Status::InvalidQuery,
        };
        let shown: String = raw.chars().take(200).collect();
        self.mapping.core(status, error.code(), &error.to_string(), "ExecQuery", &shown)
    }

    fn token_refused(&self, class: &Class) -> Refused {
        let text =
            "the link to a next page is of another query or account, or from before a restart; begin again";
        self.mapping.core(Status::InvalidQuery, "PAGE_TOKEN", text, "ExecQuery", class.name.as_str())
    }
}

/// The smaller of two limits.
fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// The options of a link to a next page without its token: those of the first page.
fn without_token(raw: &str) -> String {
    let is_token = |option: &&str| {
        let name = option.split_once('=').map_or(*option, |(name, _)| name);
        let name = name.strip_prefix('$').or_else(|| name.strip_prefix("%24")).unwrap_or("");
        name.eq_ignore_ascii_case("skiptoken")
    };
    raw.split('&').filter(|option| !is_token(option)).collect::<Vec<_>>().join("&")
}

/// Takes system members out of a `$select`, for they are no columns; the paths among them need
/// the keys.
fn system_members(query: &mut Query, class: &Class) -> Selection {
    let Select::Columns(columns) = &mut query.select else { return Selection::Whole };
    let mut system = Vec::new();
    columns.retain(|selected| match selected {
        Selected::Column(column) if Selection::is_system_member(column.property.as_str()) => {
            system.push(column.property.clone());
            false
        }
        _ => true,
    });
    let needs_keys =
        columns.is_empty() || system.iter().any(|name: &Name| name.is("__PATH") || name.is("__RELPATH"));
    if needs_keys {
        for key in class.keys() {
            let is_there = columns.iter().any(|c| matches!(c, Selected::Column(c) if c.property == key.name));
            if !is_there {
                let column = restock_cim::query::Column { alias: None, property: key.name.clone() };
                columns.push(Selected::Column(column));
            }
        }
    }
    Selection::Named(system)
}

/// Makes what was not selected as if it had not been read.
fn keep_selected(instance: &mut Instance, select: &Select) {
    let Select::Columns(columns) = select else { return };
    let class = Arc::clone(&instance.class);
    for (property, value) in class.properties.iter().zip(&mut instance.values) {
        let is_selected =
            columns.iter().any(|c| matches!(c, Selected::Column(c) if c.property == property.name));
        if !is_selected {
            *value = None;
        }
    }
}
