//! Row security: an answer equals the answer over a database without the hidden objects.
//!
//! Two sites are made by the same steps; in the second the objects that the account cannot see are
//! deleted from the database. Whatever is asked, the account is answered in the first as everybody
//! is in the second.

use proptest::prelude::*;
use restock_cim::Instance;
use restock_provider::admin::AdminOperation;
use restock_provider::{Answer, Caller, Operation};
use sqlx::{AnyConnection, Connection};

use super::{GROUP, PACKAGE, POINT};
use crate::objects::{Objects, text, texts};
use crate::site::dp;

/// What is asked: rows, counters, joins, sub-selects, order, messages.
const QUERIES: [&str; 30] = [
    "SELECT * FROM SMS_Package",
    "SELECT COUNT(*) FROM SMS_Package",
    "SELECT * FROM SMS_Package WHERE Name LIKE 'P%' ORDER BY Name DESC",
    "SELECT * FROM SMS_PackageBaseclass",
    "SELECT * FROM SMS_DistributionPoint",
    "SELECT * FROM SMS_DistributionPointInfo",
    "SELECT * FROM SMS_DistributionPointGroup",
    "SELECT * FROM SMS_DPGroupMembers",
    "SELECT * FROM SMS_DPGroupPackages",
    "SELECT * FROM SMS_PackageStatus",
    "SELECT * FROM SMS_PackageStatusRootSummarizer",
    "SELECT * FROM SMS_PackageStatusDetailSummarizer",
    "SELECT * FROM SMS_PackageStatusDistPointsSummarizer",
    "SELECT * FROM SMS_DistributionStatus",
    "SELECT * FROM SMS_DistributionDPStatus",
    "SELECT * FROM SMS_ObjectContentExtraInfo",
    "SELECT * FROM SMS_DPGroupDistributionStatus",
    "SELECT * FROM SMS_SystemResourceList",
    "SELECT * FROM SMS_DPStatusInfo",
    "SELECT * FROM SMS_DPStatusDetails",
    "SELECT * FROM SMS_DPContentInfo",
    "SELECT * FROM SMS_DPGroupInfo",
    "SELECT * FROM SMS_DPGroupContentInfo",
    "SELECT * FROM SMS_DPGroupDistributionStatusDetails",
    "SELECT * FROM SMS_SecuredCategoryMembership",
    "SELECT * FROM SMS_StatMsgInsStrings WHERE InsStrIndex = 0",
    "SELECT * FROM SMS_StatMsgAttributes WHERE AttributeID = 400",
    "SELECT p.Name, d.ServerNALPath FROM SMS_Package AS p JOIN SMS_DistributionPoint AS d ON p.PackageID = d.PackageID",
    "SELECT * FROM SMS_Package WHERE PackageID IN (SELECT PackageID FROM SMS_DistributionPoint)",
    "SELECT * FROM SMS_Package WHERE PackageID NOT IN (SELECT PkgID FROM SMS_DPGroupPackages)",
];

/// Those of them that ask for nothing but packages, points and groups.
const OF_OBJECTS: [&str; 8] = [
    "SELECT * FROM SMS_Package",
    "SELECT COUNT(*) FROM SMS_Package",
    "SELECT * FROM SMS_DistributionPoint",
    "SELECT * FROM SMS_DistributionPointInfo",
    "SELECT * FROM SMS_DistributionPointGroup",
    "SELECT * FROM SMS_DPGroupMembers",
    "SELECT * FROM SMS_PackageStatusRootSummarizer",
    "SELECT * FROM SMS_Package WHERE PackageID NOT IN (SELECT PkgID FROM SMS_DPGroupPackages)",
];

/// Where objects are and what the account holds.
#[derive(Debug, Clone)]
struct Layout {
    /// For each of four packages, three points and two groups: 0 Default, 1 North, 2 both.
    packages: Vec<u8>,
    points: Vec<u8>,
    groups: Vec<u8>,
    /// Roles within scopes: role number and scope number.
    permissions: Vec<(usize, usize)>,
    /// Which package is at which point.
    targets: Vec<(usize, usize)>,
    /// For each of two roles of the site: which of [`TYPES`] it reads.
    reads: Vec<Vec<bool>>,
    /// Further questions: form and two of [`CLASSES`].
    asked: Vec<(usize, usize, usize)>,
}

/// Object types of random roles.
const TYPES: [u32; 7] = [2, 6, 27, 28, 29, 42, 43];

/// Classes with a property that names a package.
const CLASSES: [(&str, &str); 9] = [
    ("SMS_Package", "PackageID"),
    ("SMS_PackageStatusRootSummarizer", "PackageID"),
    ("SMS_PackageStatusDetailSummarizer", "PackageID"),
    ("SMS_PackageStatusDistPointsSummarizer", "PackageID"),
    ("SMS_DistributionPoint", "PackageID"),
    ("SMS_DistributionDPStatus", "PackageID"),
    ("SMS_DPGroupPackages", "PkgID"),
    ("SMS_ObjectContentExtraInfo", "PackageID"),
    ("SMS_PackageStatus", "PackageID"),
];

fn question((form, first, second): (usize, usize, usize)) -> String {
    let ((a, key), (b, other)) = (CLASSES[first], CLASSES[second]);
    match form {
        0 => format!("SELECT COUNT(*) FROM {a}"),
        1 => format!("SELECT * FROM {a} WHERE {key} IN (SELECT {other} FROM {b})"),
        2 => format!("SELECT * FROM {a} WHERE {key} NOT IN (SELECT {other} FROM {b})"),
        3 => format!("SELECT a.{key}, b.{other} FROM {a} AS a JOIN {b} AS b ON a.{key} = b.{other}"),
        4 => format!("SELECT a.{key}, b.{other} FROM {a} AS a LEFT JOIN {b} AS b ON a.{key} = b.{other}"),
        _ => format!("SELECT * FROM {a} WHERE {key} LIKE 'XYZ0000%'"),
    }
}

const ROLES: [&str; 6] = ["SMS0002R", "SMS0008R", "SMS0009R", "SMS000BR", "Random 0", "Random 1"];
const SCOPES: [&str; 3] = ["Default", "North", "SMS00ALL"];

fn layouts() -> impl Strategy<Value = Layout> {
    let places = |count: usize| prop::collection::vec(0..3_u8, count);
    (
        places(4),
        places(3),
        places(2),
        prop::collection::vec((0..ROLES.len(), 0..SCOPES.len()), 0..4),
        prop::collection::vec((0..4_usize, 0..3_usize), 0..8),
        prop::collection::vec(prop::collection::vec(any::<bool>(), TYPES.len()), 2),
        prop::collection::vec((0..6_usize, 0..CLASSES.len(), 0..CLASSES.len()), 8),
    )
        .prop_map(|(packages, points, groups, permissions, targets, reads, asked)| Layout {
            packages,
            points,
            groups,
            permissions,
            targets,
            reads,
            asked,
        })
}

/// A site with the layout's objects; gives the keys of packages, points and groups, and the account.
async fn build(layout: &Layout) -> (Objects, [Vec<String>; 3], Caller) {
    let site = Objects::new().await;
    site.scope("North").await;
    for (n, reads) in layout.reads.iter().enumerate() {
        let operations = TYPES.iter().zip(reads).filter(|(_, reads)| **reads).map(|(object_type, _)| {
            format!("<Operation GrantedOperations=\"1\" ObjectTypeID=\"{object_type}\"/>")
        });
        let operations: String = operations.collect();
        let xml = format!(
            "<SMS_Roles><SMS_Role RoleName=\"Random {n}\"><Operations>{operations}</Operations></SMS_Role></SMS_Roles>"
        );
        site.admin(AdminOperation::ImportRole { xml, overwrite: false }).await;
    }
    let mut packages = Vec::new();
    for n in 0..4 {
        packages.push(site.package(&format!("P{n}")).await);
    }
    let mut groups = Vec::new();
    for n in 0..2 {
        let members = [("Name", text(&format!("G{n}")))];
        let group = site.create("SMS_DistributionPointGroup", &members).await;
        groups.push(super::read(&group, "GroupID"));
    }
    for (package, point) in &layout.targets {
        let name = format!("DP0{}", point + 1);
        let operation =
            Operation::AddDistributionPoints { package: packages[*package], points: vec![dp(&name)] };
        match site.site.perform(operation).await.unwrap() {
            Answer::Targets(_) => {}
            other => panic!("{other:?}"),
        }
    }
    for (n, group) in groups.iter().enumerate() {
        let object = format!("SMS_DistributionPointGroup.GroupID=\"{group}\"");
        let nal = [crate::objects::DP01, crate::objects::DP02, crate::objects::DP03];
        let pair = [nal[n], nal[n + 1]];
        site.invoke(&object, "AddDistributionPoints", &[("DPNALPath", texts(&pair))]).await;
        let id = packages[n].to_string();
        site.invoke(&object, "AddPackages", &[("PackageIDs", texts(&[&id]))]).await;
    }
    let keys = [
        packages.iter().map(ToString::to_string).collect::<Vec<String>>(),
        (1..=3).map(|n| format!("DP0{n}")).collect(),
        groups,
    ];
    let places = [&layout.packages, &layout.points, &layout.groups];
    for ((kind, keys), places) in [PACKAGE, POINT, GROUP].into_iter().zip(&keys).zip(places) {
        for (key, place) in keys.iter().zip(places) {
            match place {
                1 => site.move_to("North", kind, key).await,
                2 => {
                    let (scope, object) = ("North".to_owned(), key.clone());
                    let add = AdminOperation::AddMember { scope, object_type: kind, object };
                    site.admin(add).await;
                }
                _ => {}
            }
        }
    }
    let permissions: Vec<(&str, &str)> =
        layout.permissions.iter().map(|(role, scope)| (ROLES[*role], SCOPES[*scope])).collect();
    let who = site.account("who", &permissions).await;
    (site, keys, who)
}

/// The rows of an answer as texts, without what differs between two sites made alike: the IDs of
/// groups are random.
async fn answer(site: &Objects, who: &Caller, keys: &[Vec<String>; 3], query: &str) -> Vec<String> {
    let rows = site.query_as(who, query).await.unwrap_or_else(|refusal| panic!("{query}: {refusal}"));
    let mut shown: Vec<String> = rows.iter().map(row).collect();
    for (n, id) in keys[2].iter().enumerate() {
        shown.iter_mut().for_each(|row| *row = row.replace(id.as_str(), &format!("GROUP{n}")));
    }
    if !query.contains("ORDER BY") {
        shown.sort();
    }
    shown
}

fn row(instance: &Instance) -> String {
    let values = instance.class.properties.iter().zip(&instance.values);
    let kept = values.filter(|(property, value)| value.is_some() && !property.name.is("SedoObjectVersion"));
    let shown: Vec<String> = kept.map(|(property, value)| format!("{}={value:?}", property.name)).collect();
    shown.join(";")
}

async fn check(layout: &Layout) {
    let (site, keys, who) = build(layout).await;
    let (other, other_keys, _) = build(layout).await;
    let sees = |kind: u32, place: u8| {
        let scopes: Vec<String> = match place {
            0 => vec!["SMS00UNA".to_owned()],
            1 => vec!["XYZ00001".to_owned()],
            _ => vec!["SMS00UNA".to_owned(), "XYZ00001".to_owned()],
        };
        who.rights.may(kind, 1, &scopes)
    };
    let places = [&layout.packages, &layout.points, &layout.groups];
    let mut hidden: Vec<(u32, String)> = Vec::new();
    for ((kind, keys), places) in [PACKAGE, POINT, GROUP].into_iter().zip(&other_keys).zip(places) {
        for (key, place) in keys.iter().zip(places) {
            if !sees(kind, *place) {
                hidden.push((kind, key.clone()));
            }
        }
    }
    erase(&other, &hidden).await;
    let asked = layout.asked.iter().map(|asked| question(*asked));
    for query in QUERIES.into_iter().map(str::to_owned).chain(asked) {
        let query = query.as_str();
        let (limited, erased) =
            (answer(&site, &who, &keys, query).await, answer(&other, &who, &other_keys, query).await);
        assert_eq!(limited, erased, "{query}\n{layout:?}");
        // Nor is anything hidden that is not to be: who sees everything sees the same rows there.
        if OF_OBJECTS.contains(&query) {
            let whole = answer(&other, &crate::objects::caller(), &other_keys, query).await;
            let (limited, whole) = (without_scopes(limited), without_scopes(whole));
            assert_eq!(limited, whole, "{query}\n{layout:?}");
        }
    }
}

/// Rows without the names of scopes: an account is shown its own.
fn without_scopes(rows: Vec<String>) -> Vec<String> {
    let without = |row: String| {
        let kept = row.split(';').filter(|value| !value.starts_with("SecuredScopeNames=")).map(str::to_owned);
        kept.collect::<Vec<String>>().join(";")
    };
    rows.into_iter().map(without).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn an_answer_is_that_of_a_database_without_the_hidden_objects(layout in layouts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(&layout));
    }
}

/// Deletes objects with all that belongs to them, as if they had never been.
async fn erase(site: &Objects, objects: &[(u32, String)]) {
    let url = format!("sqlite://{}", site.site.file().display());
    let mut connection = AnyConnection::connect(&url).await.unwrap();
    let of_package = [
        "DELETE FROM status_messages WHERE package_id = $1",
        "DELETE FROM targets WHERE package_id = $1",
        "DELETE FROM stops WHERE package_id = $1",
        "DELETE FROM packages WHERE package_id = $1",
    ];
    let of_point = [
        r#"DELETE FROM status_messages WHERE record IN (SELECT record FROM status_message_attributes
            WHERE attribute = 404 AND value LIKE '%\\' || $1 || '\')"#,
        "DELETE FROM targets WHERE point = $1",
        "DELETE FROM stops WHERE point = $1",
        "DELETE FROM distribution_points WHERE name = $1",
    ];
    let of_group = ["DELETE FROM dp_groups WHERE group_id = $1"];
    for (kind, key) in objects {
        let statements: &[&str] = match *kind {
            PACKAGE => &of_package,
            POINT => &of_point,
            _ => &of_group,
        };
        for statement in statements {
            sqlx::query(sqlx::AssertSqlSafe(*statement)).bind(key).execute(&mut connection).await.unwrap();
        }
        let members = "DELETE FROM scope_members WHERE object_type = $1 AND object_key = $2";
        sqlx::query(members).bind(i64::from(*kind)).bind(key).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}
