//! What names nothing, and what cannot be compared.

use super::refused;
use crate::query::QueryErrorKind;

#[test]
fn what_names_nothing_or_too_much_is_refused() {
    for (text, kind, message) in [
        ("SELECT * FROM SMS_Nothing", QueryErrorKind::UnknownClass, "class SMS_Nothing is not known"),
        (
            "SELECT Nothing FROM SMS_Package",
            QueryErrorKind::UnknownProperty,
            "class SMS_Package has no property Nothing",
        ),
        (
            "SELECT p.Nothing FROM SMS_Package p",
            QueryErrorKind::UnknownProperty,
            "class SMS_Package has no property Nothing",
        ),
        (
            "SELECT q.Name FROM SMS_Package p",
            QueryErrorKind::UnknownProperty,
            "no class of the query is called q",
        ),
        (
            "SELECT q.* FROM SMS_Package p",
            QueryErrorKind::UnknownProperty,
            "no class of the query is called q",
        ),
        (
            "SELECT * FROM SMS_Package WHERE Nothing = 1",
            QueryErrorKind::UnknownProperty,
            "class SMS_Package has no property Nothing",
        ),
        (
            "SELECT PackageID FROM SMS_Package p, SMS_Status s",
            QueryErrorKind::UnknownProperty,
            "several classes of the query have PackageID: write the alias before it",
        ),
        (
            "SELECT Nothing FROM SMS_Package p, SMS_Status s",
            QueryErrorKind::UnknownProperty,
            "no class of the query has a property Nothing",
        ),
        (
            "SELECT * FROM SMS_Package, SMS_Package",
            QueryErrorKind::Unsupported,
            "two classes are called SMS_Package: give them aliases",
        ),
        (
            "SELECT * FROM SMS_Token",
            QueryErrorKind::Unsupported,
            "SMS_Token exists only within other objects and cannot be queried",
        ),
        (
            "SELECT * FROM __InstanceCreationEvent",
            QueryErrorKind::Unsupported,
            "event queries (__InstanceCreationEvent) are not supported",
        ),
        (
            "SELECT * FROM SMS_Package p JOIN SMS_Status s ON x.Name = 'a'",
            QueryErrorKind::UnknownProperty,
            "no class of the query is called x",
        ),
        (
            "SELECT * FROM SMS_Package WHERE __THIS ISA 'Nothing'",
            QueryErrorKind::UnknownClass,
            "class Nothing is not known",
        ),
        (
            "SELECT * FROM SMS_Package WHERE PackageID IN (SELECT Name FROM SMS_Status)",
            QueryErrorKind::UnknownProperty,
            "class SMS_Status has no property Name",
        ),
        (
            "SELECT * FROM SMS_Package p WHERE PackageID IN (SELECT p.Name FROM SMS_Status)",
            QueryErrorKind::UnknownProperty,
            "no class of the query is called p",
        ),
        (
            "SELECT DISTINCT Name FROM SMS_Package ORDER BY Priority",
            QueryErrorKind::Unsupported,
            "ORDER BY beside DISTINCT can name only selected properties",
        ),
        (
            "SELECT * FROM SMS_Package WHERE PackageID IN (SELECT * FROM SMS_Status)",
            QueryErrorKind::Unsupported,
            "a SELECT after IN must select one property",
        ),
        (
            "SELECT * FROM SMS_Package WHERE Priority IN (SELECT COUNT(*) FROM SMS_Status)",
            QueryErrorKind::Unsupported,
            "a COUNT after IN is not supported",
        ),
        (
            "SELECT * FROM SMS_Package WHERE PackageID IN (SELECT Tags FROM SMS_Package)",
            QueryErrorKind::Unsupported,
            "a SELECT after IN must select one property with single values",
        ),
    ] {
        refused(text, kind, message);
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    for (condition, message) in [
        ("Name = 5", "Name is text and cannot be compared with 5"),
        ("Priority = 'x'", "Priority is a whole number and cannot be compared with \"x\""),
        ("Priority = TRUE", "Priority is a whole number and cannot be compared with TRUE"),
        ("IsHidden = 2", "IsHidden is TRUE or FALSE and cannot be compared with 2"),
        ("IsHidden > 0", "TRUE and FALSE can only be compared with = and <>"),
        ("Name = Priority", "Name is text and Priority is a whole number"),
        ("Name > NULL", "NULL can only be compared with = and <>"),
        ("SourceDate = 5", "5 is no time"),
        ("SourceDate = Name", "Name is no time"),
        ("SourceDate LIKE '2026%'", "SourceDate is a time; LIKE is for text"),
        ("Priority LIKE '1%'", "Priority is a whole number; LIKE is for text"),
        ("Tags > 'x'", "Tags has many values and can only be compared with ="),
        ("Tags = Name", "Tags has many values and can only be compared with a value"),
        ("Icon = 5", "Icon holds bytes and can only be tested with IS NULL"),
        ("Schedule = 'x'", "Schedule holds objects and can only be tested with IS NULL"),
        ("UPPER(Priority) = 'x'", "Priority is no text"),
        ("SUBSTRING(Name, 'a', 1) = 'x'", "\"a\" is no whole number"),
        ("SUBSTRING(Name, 1, -1) = 'x'", "the length of a SUBSTRING cannot be negative"),
        ("Priority IN ('a')", "Priority is a whole number and cannot be compared with \"a\""),
        (
            "Priority IN (SELECT Name FROM SMS_Package)",
            "Priority is a whole number and the SELECT after IN gives text",
        ),
        (
            "Tags IN (SELECT Priority FROM SMS_Package)",
            "Tags is text and the SELECT after IN gives a whole number",
        ),
        ("Runs = 'x'", "Runs holds times"),
        ("DatePart(dd, Name) = 1", "Name is no time"),
    ] {
        refused(&format!("SELECT * FROM SMS_Package WHERE {condition}"), QueryErrorKind::Type, message);
    }
    refused("SELECT * FROM SMS_Package ORDER BY Tags", QueryErrorKind::Type, "Tags has many values");
    refused(
        "SELECT * FROM SMS_Package WHERE DateAdd(mm, Priority, SourceDate) > GetDate()",
        QueryErrorKind::Unsupported,
        "DateAdd of months, quarters or years needs a constant number and a property",
    );
}
