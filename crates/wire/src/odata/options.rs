//! Query options of a collection: `$filter`, `$select`, `$orderby`, `$top`, `$skip`, `$count`.
//!
//! [`QueryOptions::parse`] reads the query of a URL, [`QueryOptions::query`] makes the syntax tree
//! of it. Options without `$` are nobody's business and ignored; options with `$` that are not
//! offered are refused by name.
//!
//! Source: OData 4.01 URL conventions, 5.1.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![warn(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

use percent_encoding::percent_decode_str;
use restock_cim::Name;
use restock_cim::query::{
    Column, Condition, Order, Query, QueryError, QueryErrorKind, Select, Selected, limits,
};

use super::address::shortened;
use super::filter::{parse_filter, parse_order};

/// The options of one request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QueryOptions {
    /// `$filter`.
    pub filter: Option<Condition>,
    /// `$select`; `None` means all properties.
    pub select: Option<Vec<Name>>,
    /// `$orderby`.
    pub order: Vec<Order>,
    /// `$top`.
    pub top: Option<u64>,
    /// `$skip`.
    pub skip: u64,
    /// `$count=true`: the number of all rows beside them.
    pub is_counted: bool,
    /// `$skiptoken`, as it was sent.
    pub skip_token: Option<String>,
}

impl QueryOptions {
    /// Reads the query of a request target, the text after `?`, still percent-encoded. A `+` is a
    /// space, as HTML forms write it.
    ///
    /// Errors: bad expressions, numbers outside their limits, an option given twice, options that
    /// are not offered, bytes that are no UTF-8.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let mut options = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name)?.to_ascii_lowercase();
            if !name.starts_with('$') {
                continue;
            }
            if seen.contains(&name) {
                return Err(refused(
                    QueryErrorKind::FilterSyntax,
                    format!("{} is given twice", shortened(&name)),
                ));
            }
            options.read(&name, &decoded(value)?)?;
            seen.push(name);
        }
        Ok(options)
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), QueryError> {
        match name {
            "$filter" => self.filter = Some(parse_filter(value)?),
            "$orderby" => self.order = parse_order(value)?,
            "$select" => self.select = selected(value)?,
            "$top" => self.top = Some(number(name, value)?),
            "$skip" => self.skip = number(name, value)?,
            "$count" => {
                self.is_counted = match value.trim() {
                    "true" => true,
                    "false" => false,
                    _ => return Err(refused(QueryErrorKind::FilterSyntax, "$count is true or false")),
                }
            }
            "$skiptoken" => self.skip_token = Some(value.to_owned()),
            "$format" if value.to_ascii_lowercase().contains("json") => {}
            "$format" => {
                return Err(refused(QueryErrorKind::Unsupported, "$format is json and nothing else"));
            }
            _ => {
                let what = format!("the option {} is not supported", shortened(name));
                return Err(refused(QueryErrorKind::Unsupported, what));
            }
        }
        Ok(())
    }

    /// The query of these options over a class.
    pub fn query(&self, class: Name) -> Query {
        let select = match &self.select {
            None => Select::All,
            Some(names) => Select::Columns(
                names
                    .iter()
                    .map(|name| Selected::Column(Column { alias: None, property: name.clone() }))
                    .collect(),
            ),
        };
        Query {
            select,
            filter: self.filter.clone(),
            order: self.order.clone(),
            limit: self.top,
            offset: self.skip,
            ..Query::all_of(class)
        }
    }

    /// The query of the number that `$count` and `/$count` answer: the filter without `$top`
    /// and `$skip`.
    pub fn count_query(&self, class: Name) -> Query {
        Query { select: Select::Count(None), filter: self.filter.clone(), ..Query::all_of(class) }
    }
}

fn refused(kind: QueryErrorKind, message: impl Into<String>) -> QueryError {
    QueryError::new(kind, message)
}

fn decoded(text: &str) -> Result<String, QueryError> {
    let spaced = text.replace('+', " ");
    match percent_decode_str(&spaced).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(refused(QueryErrorKind::FilterSyntax, "the query of the address is no UTF-8")),
    }
}

fn number(name: &str, value: &str) -> Result<u64, QueryError> {
    let is_plain = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    match value.parse::<u64>() {
        Ok(number) if is_plain && number <= limits::TOP_MAX => Ok(number),
        _ => {
            let (most, value) = (limits::TOP_MAX, shortened(value));
            let what = format!("{name} must be a whole number from 0 to {most}, not {value}");
            Err(refused(QueryErrorKind::Limit, what))
        }
    }
}

/// The names of a select list; `*` among them means all.
fn selected(value: &str) -> Result<Option<Vec<Name>>, QueryError> {
    let mut names: Vec<Name> = Vec::new();
    let mut is_all = false;
    for item in value.split(',').map(str::trim) {
        if item == "*" {
            is_all = true;
            continue;
        }
        if item.contains(['/', '(', '.', '@']) {
            let what = format!("{} in $select is not supported", shortened(item));
            return Err(refused(QueryErrorKind::Unsupported, what));
        }
        let is_name = item.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && item.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            let what = format!("{:?} in $select is no property", shortened(item));
            return Err(refused(QueryErrorKind::FilterSyntax, what));
        }
        names.push(item.into());
        if names.len() > limits::COLUMNS_MAX {
            let what = format!("more than {} properties in $select", limits::COLUMNS_MAX);
            return Err(refused(QueryErrorKind::Limit, what));
        }
    }
    Ok(if is_all { None } else { Some(names) })
}

#[cfg(test)]
mod tests {
    use restock_cim::Name;
    use restock_cim::query::{Query, QueryErrorKind, wql};

    use super::QueryOptions;

    #[track_caller]
    fn check(options: &str, wql: &str) -> Query {
        let mut query = QueryOptions::parse(options).expect(options).query(Name::from("SMS_Package"));
        let whole = query.clone();
        (query.limit, query.offset) = (None, 0);
        assert_eq!(Ok(query), wql::parse(wql), "{options}");
        whole
    }

    #[test]
    fn options_and_wql_make_the_same_query() {
        check("", "SELECT * FROM SMS_Package");
        check(
            "$filter=startswith(Name,'7')&$select=PackageID,Name",
            "SELECT PackageID, Name FROM SMS_Package WHERE Name LIKE '7%'",
        );
        check(
            "%24filter=PackageID+eq+%27ABC00001%27&$orderby=Name%20desc&api-version=1",
            "SELECT * FROM SMS_Package WHERE PackageID = 'ABC00001' ORDER BY Name DESC",
        );
        check("$select=*,Name&$format=json", "SELECT * FROM SMS_Package");
        let page =
            check("$TOP=5000&$skip=10000&$orderby=PackageID", "SELECT * FROM SMS_Package ORDER BY PackageID");
        assert_eq!((page.limit, page.offset), (Some(5_000), 10_000));
    }

    #[test]
    fn a_count_leaves_paging_out() {
        let options = QueryOptions::parse("$count=true&$top=0&$filter=Priority%20eq%202&$skiptoken=a%2Bb")
            .expect("options");
        assert!(options.is_counted);
        assert_eq!((options.top, options.skip_token.as_deref()), (Some(0), Some("a+b")));
        assert_eq!(
            Ok(options.count_query(Name::from("SMS_Package"))),
            wql::parse("SELECT COUNT(*) FROM SMS_Package WHERE Priority = 2")
        );
    }

    #[test]
    fn what_is_beyond_limits_or_not_offered_is_refused_by_name() {
        for (options, kind, message) in [
            ("$top=-1", QueryErrorKind::Limit, "$top must be a whole number from 0 to 1000000000, not -1"),
            (
                "$top=1000000000000",
                QueryErrorKind::Limit,
                "$top must be a whole number from 0 to 1000000000, not 1000000000000",
            ),
            (
                "$skip=%2B1",
                QueryErrorKind::Limit,
                "$skip must be a whole number from 0 to 1000000000, not +1",
            ),
            ("$top=", QueryErrorKind::Limit, "$top must be a whole number from 0 to 1000000000, not "),
            ("$expand=Programs", QueryErrorKind::Unsupported, "the option $expand is not supported"),
            ("$apply=x", QueryErrorKind::Unsupported, "the option $apply is not supported"),
            ("$search=x", QueryErrorKind::Unsupported, "the option $search is not supported"),
            ("$format=atom", QueryErrorKind::Unsupported, "$format is json and nothing else"),
            ("$select=a/b", QueryErrorKind::Unsupported, "a/b in $select is not supported"),
            ("$select=", QueryErrorKind::FilterSyntax, "\"\" in $select is no property"),
            ("$count=yes", QueryErrorKind::FilterSyntax, "$count is true or false"),
            ("$top=1&%24top=2", QueryErrorKind::FilterSyntax, "$top is given twice"),
            ("$filter=%ff", QueryErrorKind::FilterSyntax, "the query of the address is no UTF-8"),
        ] {
            let error = QueryOptions::parse(options).expect_err(options);
            assert_eq!((error.kind, error.to_string().as_str()), (kind, message), "{options}");
        }
    }
}
