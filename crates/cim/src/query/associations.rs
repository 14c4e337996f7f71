//! `ASSOCIATORS OF` and `REFERENCES OF` as ordinary queries.
//!
//! An association class says by its qualifier `EqualOn{"role.Property", "role.Property"}` which
//! properties of its two ends are equal. The partners of an object are then those whose property
//! is one that the object has: a sub-select, so that rights are put on both ends as on any query.
//! The associations themselves name the object by its relative path.

use std::sync::Arc;

use super::wql::{Associators, References, Statement};
use super::{Comparison, Condition, Literal, Operand, Query, QueryError, QueryErrorKind, Select, Selected};
use crate::{CimType, Class, KeyValue, Keys, Name, ObjectPath, Schema, Value};

impl Statement {
    /// The queries whose rows, one after the other, answer the statement.
    ///
    /// Shape: one for `SELECT`; for the others one for each association and part the object can
    /// play, possibly none.
    /// Errors: a class that is not known, a path that is not that of one object.
    pub fn queries(self, schema: &Schema) -> Result<Vec<Query>, QueryError> {
        match self {
            Self::Select(query) => Ok(vec![*query]),
            Self::Associators(associators) => partners(schema, &associators),
            Self::References(references) => associations(schema, &references),
        }
    }
}

/// One end of an association.
struct End<'s> {
    /// The reference property.
    role: &'s Name,
    /// The class it refers to.
    class: &'s Arc<Class>,
    /// Its property that equals one of the other end.
    equal: &'s str,
}

fn partners(schema: &Schema, asked: &Associators) -> Result<Vec<Query>, QueryError> {
    let class = known(schema, &asked.path.class)?;
    let keys = keys(class, &asked.path)?;
    let only_class = asked.result_class.as_ref().map(|name| known(schema, name)).transpose()?;
    let only_association = asked.association.as_ref().map(|name| known(schema, name)).transpose()?;
    let mut queries = Vec::new();
    for association in schema.classes().filter(|class| is_association(class)) {
        if only_association.is_some_and(|only| !association.is_a(only.name.as_str())) {
            continue;
        }
        let Some([a, b]) = ends(schema, association) else { continue };
        for (near, far) in [(&a, &b), (&b, &a)] {
            let is_asked = class.is_a(near.class.name.as_str())
                && asked.role.as_ref().is_none_or(|role| role == near.role)
                && asked.result_role.as_ref().is_none_or(|role| role == far.role);
            let result = match only_class {
                None => Some(far.class),
                Some(only) if far.class.is_a(only.name.as_str()) => Some(far.class),
                Some(only) if only.is_a(far.class.name.as_str()) => Some(only),
                Some(_) => None,
            };
            if let Some(result) = result.filter(|_| is_asked) {
                let of_object = Query {
                    select: Select::Columns(vec![column(near.equal)]),
                    filter: Some(keys.clone()),
                    ..Query::all_of(class.name.clone())
                };
                let is_partner = Condition::InQuery(Operand::column(far.equal), Box::new(of_object));
                queries.push(Query {
                    select: selected(result, asked.is_keys_only),
                    filter: Some(is_partner),
                    ..Query::all_of(result.name.clone())
                });
            }
        }
    }
    Ok(queries)
}

fn associations(schema: &Schema, asked: &References) -> Result<Vec<Query>, QueryError> {
    let class = known(schema, &asked.path.class)?;
    let path = relative(class, &asked.path)?;
    let only_class = asked.result_class.as_ref().map(|name| known(schema, name)).transpose()?;
    let mut queries = Vec::new();
    for association in schema.classes().filter(|class| is_association(class)) {
        if only_class.is_some_and(|only| !association.is_a(only.name.as_str())) {
            continue;
        }
        for property in &association.properties {
            let refers =
                property.data_type.class.as_ref().filter(|_| property.data_type.cim == CimType::Reference);
            let is_asked = refers.is_some_and(|refers| class.is_a(refers.as_str()))
                && asked.role.as_ref().is_none_or(|role| *role == property.name);
            if is_asked {
                let text = Operand::Literal(Literal::String(path.clone()));
                let property = Operand::column(property.name.as_str());
                queries.push(Query {
                    select: selected(association, asked.is_keys_only),
                    filter: Some(Condition::Compare(property, Comparison::Equal, text)),
                    ..Query::all_of(association.name.clone())
                });
            }
        }
    }
    Ok(queries)
}

fn known<'s>(schema: &'s Schema, name: &Name) -> Result<&'s Arc<Class>, QueryError> {
    schema
        .class(name.as_str())
        .ok_or_else(|| QueryError::new(QueryErrorKind::UnknownClass, format!("class {name} is not known")))
}

fn is_association(class: &Class) -> bool {
    class.has("Association") && !class.has("Abstract")
}

fn column(property: &str) -> Selected {
    Selected::Column(super::Column { alias: None, property: property.into() })
}

fn selected(class: &Class, is_keys_only: bool) -> Select {
    if !is_keys_only {
        return Select::All;
    }
    Select::Columns(class.keys().map(|key| column(key.name.as_str())).collect())
}

/// The two ends that `EqualOn` names; `None` when the class does not say them.
fn ends<'s>(schema: &'s Schema, association: &'s Class) -> Option<[End<'s>; 2]> {
    let Some(Value::Array(equal)) = association.qualifier("EqualOn") else { return None };
    let [Value::String(a), Value::String(b)] = equal.as_slice() else { return None };
    let end = |text: &'s str| {
        let (role, equal) = text.split_once('.')?;
        let property = association.property(role)?;
        let class = schema.class(property.data_type.class.as_ref()?.as_str())?;
        Some(End { role: &property.name, class, equal })
    };
    Some([end(a)?, end(b)?])
}

/// The keys of a path, each with its value.
fn named<'p>(class: &'p Class, path: &'p ObjectPath) -> Result<Vec<(&'p Name, &'p KeyValue)>, QueryError> {
    let wanted: Vec<&Name> = class.keys().map(|key| &key.name).collect();
    let found = match (&path.keys, wanted.as_slice()) {
        (Keys::Single(value), [only]) => Some(vec![(*only, value)]),
        (Keys::Named(keys), _) if keys.len() == wanted.len() => {
            let value = |name: &&'p Name| path.key(name.as_str()).map(|value| (*name, value));
            wanted.iter().map(value).collect()
        }
        _ => None,
    };
    found.ok_or_else(|| {
        let what = format!("{path} does not name one object of {}", class.name);
        QueryError::new(QueryErrorKind::WqlSyntax, what)
    })
}

fn keys(class: &Class, path: &ObjectPath) -> Result<Condition, QueryError> {
    let equals = named(class, path)?.into_iter().map(|(name, value)| {
        let literal = match value {
            KeyValue::String(text) => Literal::String(text.clone()),
            KeyValue::Integer(number) => Literal::Integer(*number),
            KeyValue::Boolean(value) => Literal::Boolean(*value),
            KeyValue::Reference(path) => Literal::String(path.relative().to_string()),
        };
        Condition::Compare(Operand::column(name.as_str()), Comparison::Equal, Operand::Literal(literal))
    });
    Ok(Condition::and(equals.collect()))
}

/// The path as a reference shows it: keys by name, in the spelling of the class.
fn relative(class: &Class, path: &ObjectPath) -> Result<String, QueryError> {
    let mut keys = named(class, path)?;
    keys.sort_by_key(|(name, _)| *name);
    let keys = keys.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(ObjectPath::of_instance(class.name.clone(), keys).to_string())
}

#[cfg(test)]
mod tests {
    use crate::Schema;
    use crate::query::wql;

    const MOF: &str = r#"
        class SMS_Package { [Key] string PackageID; string SourceSite; };
        class SMS_DistributionPoint { [Key] string PackageID; [Key] string ServerNALPath; };
        class SMS_Site { [Key] string SiteCode; string ReportingSiteCode; };
        [Abstract, Association] class SMS_BaseAssociation {};
        [Association, EqualOn{"package.PackageID", "pkgServer.PackageID"}]
        class SMS_PkgToPkgServer_a : SMS_BaseAssociation {
            [Key] SMS_Package REF package;
            [Key] SMS_DistributionPoint REF pkgServer;
        };
        [Association, EqualOn{"ownedPackage.SourceSite", "pkgSourcesite.SiteCode"}]
        class SMS_PackageToSourceSite_a : SMS_BaseAssociation {
            [Key] SMS_Package REF ownedPackage;
            [Key] SMS_Site REF pkgSourcesite;
        };
        [Association, EqualOn{"childSite.ReportingSiteCode", "parentSite.SiteCode"}]
        class SMS_SiteToSubSite_a : SMS_BaseAssociation {
            [Key] SMS_Site REF childSite;
            [Key] SMS_Site REF parentSite;
        };
    "#;

    fn queries(text: &str) -> Result<Vec<String>, String> {
        let schema = Schema::parse(&[("test.mof", MOF)]).expect("the test's own MOF");
        let statement = wql::statement(text).expect(text);
        let queries = statement.queries(&schema).map_err(|error| error.to_string())?;
        Ok(queries.iter().map(|query| wql::print(query).expect("it is WQL")).collect())
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(queries(text).expect(text), expected);
    }

    #[test]
    fn partners_are_those_with_an_equal_property() {
        let of_package = "PackageID IN (SELECT PackageID FROM SMS_Package WHERE PackageID = 'XYZ00001')";
        let site = "SELECT * FROM SMS_Site WHERE SiteCode IN \
                    (SELECT SourceSite FROM SMS_Package WHERE PackageID = 'XYZ00001')";
        check(
            r#"ASSOCIATORS OF {sms_package.packageid="XYZ00001"}"#,
            &[&format!("SELECT * FROM SMS_DistributionPoint WHERE {of_package}"), site],
        );
        check("ASSOCIATORS OF {SMS_Package='XYZ00001'} WHERE ResultClass = SMS_Site", &[site]);
        check("ASSOCIATORS OF {SMS_Package='XYZ00001'} WHERE AssocClass = SMS_SiteToSubSite_a", &[]);
        check(
            "ASSOCIATORS OF {SMS_Package='XYZ00001'} WHERE Role = package KeysOnly",
            &[&format!("SELECT PackageID, ServerNALPath FROM SMS_DistributionPoint WHERE {of_package}")],
        );
        check(
            "ASSOCIATORS OF {SMS_Site.SiteCode='XYZ'} WHERE ResultRole = childSite",
            &["SELECT * FROM SMS_Site WHERE ReportingSiteCode IN \
               (SELECT SiteCode FROM SMS_Site WHERE SiteCode = 'XYZ')"],
        );
        check(
            "ASSOCIATORS OF {SMS_DistributionPoint.ServerNALPath='a',PackageID='b'}",
            &["SELECT * FROM SMS_Package WHERE PackageID IN (SELECT PackageID FROM SMS_DistributionPoint \
               WHERE PackageID = 'b' AND ServerNALPath = 'a')"],
        );
    }

    #[test]
    fn references_name_the_object_by_its_path() {
        check(
            r#"REFERENCES OF {\\HOST\root\sms\site_XYZ:sms_package='XYZ00001'}"#,
            &[
                r#"SELECT * FROM SMS_PkgToPkgServer_a WHERE package = 'SMS_Package.PackageID="XYZ00001"'"#,
                r#"SELECT * FROM SMS_PackageToSourceSite_a WHERE ownedPackage = 'SMS_Package.PackageID="XYZ00001"'"#,
            ],
        );
        check(
            r#"REFERENCES OF {SMS_DistributionPoint.ServerNALPath="a\\b",PackageID="c"} WHERE ResultClass=SMS_PkgToPkgServer_a"#,
            &[concat!(
                "SELECT * FROM SMS_PkgToPkgServer_a WHERE pkgServer = ",
                r#"'SMS_DistributionPoint.PackageID="c",ServerNALPath="a\\\\b"'"#
            )],
        );
        check(
            "REFERENCES OF {SMS_Site='XYZ'} WHERE Role = pkgSourcesite KeysOnly",
            &[
                r#"SELECT ownedPackage, pkgSourcesite FROM SMS_PackageToSourceSite_a WHERE pkgSourcesite = 'SMS_Site.SiteCode="XYZ"'"#,
            ],
        );
    }

    #[test]
    fn paths_of_no_object_are_refused() {
        for (text, message) in [
            ("ASSOCIATORS OF {SMS_Nothing='x'}", "class SMS_Nothing is not known"),
            ("REFERENCES OF {SMS_Package}", "SMS_Package does not name one object of SMS_Package"),
            (
                "ASSOCIATORS OF {SMS_DistributionPoint='x'}",
                "SMS_DistributionPoint=\"x\" does not name one object of SMS_DistributionPoint",
            ),
            (
                "ASSOCIATORS OF {SMS_Package.Name='x'}",
                "SMS_Package.Name=\"x\" does not name one object of SMS_Package",
            ),
            ("ASSOCIATORS OF {SMS_Package='x'} WHERE ResultClass = A", "class A is not known"),
        ] {
            assert_eq!(queries(text), Err(message.to_owned()), "{text}");
        }
    }
}
