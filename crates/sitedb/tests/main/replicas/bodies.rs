//! What travels of groups, programs, distribution points, accounts and messages, which way, and what is
//! refused.

use restock_names::SiteCode;
use restock_sitedb::admin::{
    Account, Membership, PasswordHash, Permission, Role, SCOPE_DEFAULT, Scope, Stamp, TYPE_POINT,
};
use restock_sitedb::group::Group;
use restock_sitedb::program::Program;
use restock_sitedb::replica::AppliedChanges;
use restock_sitedb::{DatabaseError, Tx, message};
use serde_json::{Value, json};

use super::line::Line;
use super::net::{Batch, Node, deliver};
use crate::change;
use crate::samples::{NOW, dp};
use crate::server::Cluster;

fn group(id: &str, name: &str, by: &str) -> Group {
    Group {
        id: id.to_owned(),
        name: name.to_owned(),
        description: "d".to_owned(),
        source_site: by.parse().unwrap(),
        created_by: "ann".to_owned(),
        created_at: NOW,
        modified_by: "bob".to_owned(),
        modified_at: NOW,
    }
}

fn stamp() -> Stamp {
    Stamp { by: "ann".to_owned(), at: NOW }
}

fn scope(id: &str, name: &str) -> Scope {
    Scope {
        id: id.to_owned(),
        name: name.to_owned(),
        description: "d".to_owned(),
        is_built_in: false,
        created: stamp(),
        modified: stamp(),
    }
}

fn role(id: &str, name: &str) -> Role {
    Role {
        id: id.to_owned(),
        name: name.to_owned(),
        description: "d".to_owned(),
        copied_from: "SMS0001R".to_owned(),
        is_built_in: false,
        created: stamp(),
        modified: stamp(),
        operations: [(2, 805_446_679), (42, 9)].into(),
    }
}

fn account(id: u32, name: &str) -> Account {
    Account {
        id,
        logon_name: name.to_owned(),
        display_name: "Ann".to_owned(),
        password: Some(PasswordHash("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned())),
        generation: 1,
        is_disabled: false,
        created: stamp(),
        modified: stamp(),
    }
}

async fn groups_and_programs_travel_both_ways(mut line: Line) {
    let id = line.package().await;
    change!(line.nodes[2].database, |tx| {
        tx.insert_group(&group("{0a}", "north", "CCC")).await?;
        tx.insert_group_member("{0A}", &dp("DPC")).await?;
        tx.insert_group_package("{0A}", id).await?;
        tx.insert_group_collection("{0A}", "CCC00014").await?;
        let properties = r#"{"CommandLine":"a.exe"}"#.to_owned();
        tx.put_program(&Program { package: id, name: "Set/up".to_owned(), properties }).await?;
    });
    line.settle().await;
    for node in &line.nodes {
        let code = node.code;
        change!(node.database, |tx| {
            assert_eq!(tx.group("{0A}").await?, Some(group("{0a}", "north", "CCC")), "{code}");
            assert_eq!(tx.group_members("{0A}").await?, [dp("DPC")]);
            assert_eq!(tx.group_packages("{0A}").await?, [id]);
            assert_eq!(tx.group_collections("{0A}").await?, ["CCC00014"]);
            assert_eq!(tx.scopes_of_object(43, "{0a}").await?, [SCOPE_DEFAULT]);
            let program = tx.program(id, "SET/UP").await?.unwrap();
            assert_eq!(
                (program.name.as_str(), program.properties.as_str()),
                ("Set/up", r#"{"CommandLine":"a.exe"}"#)
            );
        });
    }
    change!(line.nodes[0].database, |tx| {
        tx.update_group(&Group { name: "far north".to_owned(), ..group("{0A}", "", "CCC") }).await?;
        tx.delete_group_member("{0A}", &dp("DPC")).await?;
        tx.delete_group_package("{0A}", id).await?;
        tx.delete_group_collection("{0A}", "CCC00014").await?;
        tx.delete_program(id, "set/up").await?;
    });
    line.settle().await;
    change!(line.nodes[2].database, |tx| {
        assert_eq!(tx.group("{0A}").await?.unwrap().name, "far north");
        assert_eq!(tx.group_members("{0A}").await?, []);
        assert_eq!(tx.group_packages("{0A}").await?, []);
        assert!(tx.group_collections("{0A}").await?.is_empty());
        assert_eq!(tx.programs(id).await?, []);
        assert!(tx.delete_group("{0A}").await?);
    });
    line.settle().await;
    assert_eq!(line.nodes[0].read(|tx| Box::pin(tx.groups())).await, []);
    assert_eq!(line.refused, []);
}

async fn two_groups_of_one_name_are_told_apart_alike_everywhere(mut line: Line) {
    change!(line.nodes[0].database, |tx| tx.insert_group(&group("{0A}", "all", "AAA")).await?);
    change!(line.nodes[2].database, |tx| tx.insert_group(&group("{0C}", "All", "CCC")).await?);
    line.settle().await;
    for node in &line.nodes {
        let groups = node.read(|tx| Box::pin(tx.groups())).await;
        let names: Vec<String> = groups.into_iter().map(|group| group.name).collect();
        assert_eq!(names, ["all", "All ({0C})"], "{}", node.code);
    }
    assert_eq!(line.refused, []);
}

async fn accounts_roles_and_scopes_go_down_and_never_up(mut line: Line) {
    let permission = |role: &str| Permission { role: role.to_owned(), scope: "BBB00001".to_owned() };
    let permissions = [permission("BBB00002"), permission("SMS0001R")];
    let wanted = permissions.to_vec();
    change!(line.nodes[1].database, |tx| {
        tx.insert_scope(&scope("BBB00001", "shops")).await?;
        tx.insert_role(&role("BBB00002", "refresher")).await?;
        let number = tx.next_account_number().await?;
        tx.insert_account(&account(number, "EXAMPLE\\ann")).await?;
        tx.set_permissions(number, &wanted, "bob", NOW).await?;
    });
    // The site below has a role of that name, and accounts of its own.
    change!(line.nodes[2].database, |tx| {
        tx.insert_role(&role("CCC00001", "Refresher")).await?;
        let number = tx.next_account_number().await?;
        tx.insert_account(&account(number, "local")).await?;
    });
    line.settle().await;
    change!(line.nodes[2].database, |tx| {
        let ann = tx.account_named("example\\ANN").await?.unwrap();
        assert_eq!(ann.password, account(0, "").password);
        assert_eq!(tx.permissions(ann.id).await?, permissions);
        assert_eq!(tx.role("BBB00002").await?, Some(role("BBB00002", "refresher")));
        assert_eq!(tx.role("CCC00001").await?.unwrap().name, "Refresher (CCC00001)");
        assert_eq!(tx.scope("bbb00001").await?, Some(scope("BBB00001", "shops")));
    });
    change!(line.nodes[0].database, |tx| {
        assert_eq!(tx.accounts().await?, []);
        assert!(tx.role("BBB00002").await?.is_none() && tx.scope("BBB00001").await?.is_none());
    });
    assert_eq!(line.nodes[1].read(|tx| Box::pin(tx.accounts())).await.len(), 1, "not that of the site below");

    // However often it was changed below, what is decided above stands.
    for name in ["b", "c", "d"] {
        change!(line.nodes[2].database, |tx| {
            let ann = tx.account_named("EXAMPLE\\ann").await?.unwrap();
            tx.update_account(&Account { display_name: name.to_owned(), ..ann }).await?;
        });
        line.settle().await;
    }
    change!(line.nodes[1].database, |tx| {
        let ann = tx.account_named("EXAMPLE\\ann").await?.unwrap();
        tx.update_account(&Account { is_disabled: true, ..ann }).await?;
    });
    line.settle().await;
    let ann = line.nodes[2].read(|tx| Box::pin(tx.account_named("EXAMPLE\\ann"))).await.unwrap();
    assert!(ann.is_disabled && ann.generation > 1);

    change!(line.nodes[1].database, |tx| {
        let ann = tx.account_named("EXAMPLE\\ann").await?.unwrap();
        tx.set_permissions(ann.id, &[], "bob", NOW).await?;
        assert!(tx.delete_role("BBB00002").await? && tx.delete_scope("BBB00001").await?);
    });
    // There it is in use.
    change!(line.nodes[2].database, |tx| {
        let local = tx.account_named("local").await?.unwrap();
        let permission = Permission { role: "BBB00002".to_owned(), scope: "BBB00001".to_owned() };
        tx.set_permissions(local.id, &[permission], "bob", NOW).await?;
        let member =
            Membership { scope: "BBB00001".to_owned(), object_type: TYPE_POINT, object: "DPC".to_owned() };
        assert!(tx.add_to_scope(&member).await?);
    });
    line.settle().await;
    change!(line.nodes[2].database, |tx| {
        assert!(tx.role("BBB00002").await?.is_none() && tx.scope("BBB00001").await?.is_none());
        let local = tx.account_named("local").await?.unwrap();
        assert_eq!(tx.permissions(local.id).await?, []);
    });
    change!(line.nodes[1].database, |tx| {
        let ann = tx.account_named("EXAMPLE\\ann").await?.unwrap();
        assert!(tx.delete_account(ann.id).await?);
    });
    line.settle().await;
    let names = line.nodes[2].read(|tx| Box::pin(tx.accounts())).await;
    assert_eq!(names.iter().map(|account| account.logon_name.as_str()).collect::<Vec<_>>(), ["local"]);
    assert_eq!(line.refused, []);
}

async fn a_scope_that_is_not_known_above_is_not_lost_there(mut line: Line) {
    let member =
        Membership { scope: "CCC00001".to_owned(), object_type: TYPE_POINT, object: "DPC".to_owned() };
    let default = Membership { scope: SCOPE_DEFAULT.to_owned(), ..member.clone() };
    change!(line.nodes[2].database, |tx| {
        tx.insert_scope(&scope("CCC00001", "cellar")).await?;
        assert!(tx.add_to_scope(&member).await?);
        assert!(tx.remove_from_scope(&default).await?);
    });
    line.settle().await;
    let above = line.nodes[0].read(|tx| Box::pin(tx.scopes_of_object(TYPE_POINT, "DPC"))).await;
    assert!(above.is_empty(), "nobody sees it who does not see all: {above:?}");
    change!(line.nodes[0].database, |tx| {
        assert!(tx.update_point(&dp("DPC"), "in the cellar", true).await?);
    });
    line.settle().await;
    change!(line.nodes[2].database, |tx| {
        assert_eq!(tx.scopes_of_object(TYPE_POINT, "DPC").await?, ["CCC00001"]);
        let point = tx.point(&dp("DPC")).await?.unwrap();
        assert_eq!((point.description.as_str(), point.is_in_maintenance), ("in the cellar", true));
        assert_eq!(point.fingerprint, "key", "who may connect is not for others to say");
    });
    assert_eq!(line.refused, []);
}

async fn a_point_is_seen_from_everywhere_and_stays_its_sites(mut line: Line) {
    change!(line.nodes[2].database, |tx| {
        let urls = ["https://c:443".to_owned()];
        tx.point_connected(&dp("DPC"), "process", ("library", &urls, "restock 1"), NOW).await?;
    });
    line.settle().await;
    let ccc: SiteCode = "CCC".parse().unwrap();
    let point = line.nodes[0].read(|tx| Box::pin(async move { tx.point(&dp("DPC")).await })).await.unwrap();
    assert_eq!(point.site, Some(ccc));
    assert_eq!(point.nal_path, r#"["Display=\\DPC\"]MSWNET:["SMS_SITE=CCC"]\\DPC\"#);
    assert_eq!((point.serve_urls.len(), point.connected_to.as_deref()), (1, Some("CCC")));
    assert_eq!(point.fingerprint, "", "nobody connects here under its name");
    change!(line.nodes[2].database, |tx| tx.points_disconnected("process").await?);
    line.settle().await;
    let point = line.nodes[0].read(|tx| Box::pin(async move { tx.point(&dp("DPC")).await })).await.unwrap();
    assert_eq!(point.connected_to, None);

    let taken: Result<(), DatabaseError> = line.nodes[0]
        .database
        .transact("test", |tx| Box::pin(async move { tx.enrol_point(&dp("DPC"), "other", NOW, NOW).await }))
        .await;
    assert!(taken.is_err(), "the name is another site's");
    // Both enrolled one before they knew of each other.
    for (place, key) in [(0, "a"), (2, "c")] {
        change!(line.nodes[place].database, |tx| tx.enrol_point(&dp("DPX"), key, NOW, NOW).await?);
    }
    line.settle().await;
    for (place, key, code) in [(0, "a", "AAA"), (2, "c", "CCC")] {
        let node = &line.nodes[place];
        let point = node.read(|tx| Box::pin(async move { tx.point(&dp("DPX")).await })).await.unwrap();
        assert_eq!((point.fingerprint.as_str(), point.site), (key, Some(code.parse().unwrap())));
    }
    let rules: Vec<&str> = line.refused.iter().map(|refused| refused.why.rule.as_str()).collect();
    assert!(!rules.is_empty() && rules.iter().all(|rule| *rule == "POINT_NAME"), "{:?}", line.refused);
}

async fn messages_go_up_and_never_down(mut line: Line) {
    let id = line.package().await;
    for place in 0..3 {
        let name = ["at a", "at b", "at c"][place];
        change!(line.nodes[place].database, |tx| {
            tx.raise(&message::processing(id, name), NOW).await?;
        });
    }
    line.settle().await;
    let mut seen = Vec::new();
    for node in &line.nodes {
        let messages = node.read(move |tx| Box::pin(tx.messages(Some(id), None, 100))).await;
        let mut names: Vec<(String, SiteCode)> = messages
            .iter()
            .filter(|message| message.id == 2300)
            .map(|message| (message.strings[0].clone(), message.site.unwrap()))
            .collect();
        names.sort();
        assert!(messages.iter().all(|message| message.attributes.contains(&(400, id.to_string()))));
        seen.push(names.into_iter().map(|(name, site)| format!("{name} {site}")).collect::<Vec<_>>());
    }
    assert_eq!(seen[0], ["at a AAA", "at b BBB", "at c CCC"]);
    assert_eq!(seen[1], ["at b BBB", "at c CCC"]);
    assert_eq!(seen[2], ["at c CCC"]);
    // Each site forgets messages by itself.
    change!(line.nodes[0].database, |tx| {
        tx.delete_messages(restock_names::Timestamp(NOW.0 + 1), 1_000).await?;
    });
    line.settle().await;
    assert!(line.nodes[0].read(move |tx| Box::pin(tx.messages(Some(id), None, 100))).await.is_empty());
    assert!(!line.nodes[2].read(move |tx| Box::pin(tx.messages(Some(id), None, 100))).await.is_empty());
    assert_eq!(line.refused, []);
}

/// Gives `to` objects as if `from` had sent them next.
async fn inject(to: &Node, from: &Node, objects: Vec<Value>) -> AppliedChanges {
    let source = from.code;
    let facts = to.read(move |tx| Box::pin(tx.replica_facts(source))).await;
    let number = facts.received + 1;
    let incarnation = facts.received_incarnation;
    deliver(to, &Batch { from: source, incarnation, first: number, last: number, objects }, NOW).await
}

fn object(kind: &str, key: &str, writer: &str, body: &Value) -> Value {
    json!({
        "kind": kind, "key": key, "clock": 1_u64 << 31, "writer": writer, "at": 0,
        "deleted": body.is_null(), "body": body,
    })
}

/// `body` without or with another value of one field.
fn but(body: &Value, field: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[field] = value;
    body
}

async fn what_no_site_may_say_is_refused_and_harms_nothing(mut line: Line) {
    let id = line.package().await;
    line.wish(1, id, "DPB", restock_sitedb::state::Event::Added).await;
    line.settle().await;
    let stamp = json!({ "by": "x", "at": 0 });
    let state = json!({
        "state": "waiting", "wanted": 0, "serving": 0, "is_redistributing": false, "has_given_up": false,
        "attempts": 0, "cause": null, "damage": null, "why": null, "asked_at": 0, "last_copied_at": null,
        "bytes_received": 0, "redistributes": 0, "cancels": 0,
    });
    let copy = json!({ "epoch": 1, "version": 1, "state": 3, "why": null, "at": 0 });
    let point = json!({
        "site": "CCC", "library_id": null, "serve_urls": [], "software": null, "certificate_expires": 0,
        "enrolled_at": 0, "is_connected": false, "last_seen_at": null,
    });
    let group = json!({
        "id": "{0E}", "name": "east", "description": "", "source_site": "CCC", "created": stamp,
        "modified": stamp, "collections": [], "scopes": [],
    });
    let message = json!({
        "id": 2300, "severity": 0x4000_0000, "component": "X", "time": 0, "package": null, "point": null,
        "strings": [], "attributes": [],
    });
    let scope =
        json!({ "id": "AAA00001", "name": "s", "description": "", "created": stamp, "modified": stamp });
    let role = json!({
        "id": "AAA00001", "name": "r", "description": "", "copied_from": "", "created": stamp,
        "modified": stamp, "operations": {},
    });
    let account = json!({
        "logon_name": "eve", "display_name": "", "password": null, "is_disabled": false, "created": stamp,
        "modified": stamp, "permissions": [],
    });
    let program = json!({ "name": "p", "properties": {} });
    let wish = json!({ "wanted": true, "redistributes": 0, "cancels": 0 });
    let long = "x".repeat(2_000);
    let of = |key: &str| format!("{id}/{key}");
    let (dpb, dpc) = (of("DPB"), of("DPC"));

    let from_below = [
        ("OBJECT_WRITER", object("state", &dpb, "CCC", &state)),
        ("OBJECT_WRITER", object("state", &dpc, "AAA", &state)),
        ("OBJECT_FORM", object("state", &dpc, "CCC", &but(&state, "state", json!("fine")))),
        ("OBJECT_FORM", object("state", &dpc, "CCC", &but(&state, "state", json!("installed")))),
        ("OBJECT_FORM", object("state", &dpc, "CCC", &but(&state, "serving", json!(-1)))),
        ("OBJECT_FORM", object("state", &dpc, "CCC", &but(&state, "wanted", json!(1_u64 << 40)))),
        ("OBJECT_FORM", object("state", &dpc, "CCC", &but(&state, "cancels", Value::Null))),
        ("OBJECT_FORM", object("state", &of("dpc"), "CCC", &state)),
        ("OBJECT_FORM", object("target", &dpc.to_lowercase(), "CCC", &wish)),
        ("OBJECT_FORM", object("target", &dpc, "CCC", &but(&wish, "wanted", json!(1)))),
        ("OBJECT_WRITER", object("copy", &of("AAA"), "CCC", &copy)),
        ("OBJECT_FORM", object("copy", &of("CCC"), "CCC", &but(&copy, "state", json!(9)))),
        ("POINT_NAME", object("point", "DPB", "CCC", &point)),
        ("OBJECT_WRITER", object("point", "DPZ", "CCC", &but(&point, "site", json!("AAA")))),
        ("OBJECT_FORM", object("point", "DP Z", "CCC", &point)),
        ("OBJECT_SIZE", object("point", "DPZ", "CCC", &but(&point, "software", json!(long)))),
        ("OBJECT_FORM", object("group", "{0F}", "CCC", &group)),
        ("OBJECT_SIZE", object("group", "{0E}", "CCC", &but(&group, "name", json!(long)))),
        ("OBJECT_FORM", object("group", "{0E}", "CCC", &but(&group, "name", json!("a\u{0}b")))),
        ("OBJECT_SIZE", object("group", "{0E}", "CCC", &but(&group, "scopes", json!(vec!["a"; 10_001])))),
        ("OBJECT_FORM", object("group_member", "{0E}", "CCC", &json!({}))),
        ("OBJECT_FORM", object("program", &of("P"), "CCC", &but(&program, "properties", json!([])))),
        ("OBJECT_FORM", object("program", &of("Q"), "CCC", &program)),
        ("OBJECT_WRITER", object("message", "AAA/0/1", "CCC", &message)),
        ("OBJECT_FORM", object("message", "CCC/0/1", "CCC", &but(&message, "severity", json!(7)))),
        ("OBJECT_FORM", object("message", "CCC/0/1", "CCC", &but(&message, "strings", json!(vec!["a"; 65])))),
        (
            "OBJECT_FORM",
            object("message", "CCC/0/1", "CCC", &but(&message, "strings", json!(["x".repeat(5_000)]))),
        ),
        ("OBJECT_DIRECTION", object("account", "EVE", "CCC", &account)),
        ("OBJECT_DIRECTION", object("role", "AAA00001", "CCC", &role)),
        ("OBJECT_DIRECTION", object("scope", "AAA00001", "CCC", &scope)),
    ];
    let from_above = [
        ("OBJECT_DIRECTION", object("message", "AAA/0/1", "AAA", &message)),
        ("OBJECT_FORM", object("account", "EVE", "AAA", &but(&account, "password", json!("secret")))),
        ("OBJECT_FORM", object("account", "EVA", "AAA", &account)),
        ("OBJECT_FORM", object("account", "EVE", "AAA", &but(&account, "permissions", json!({})))),
        ("BUILT_IN", object("role", "SMS0001R", "AAA", &but(&role, "id", json!("SMS0001R")))),
        ("BUILT_IN", object("role", "SMS0001R", "AAA", &Value::Null)),
        ("BUILT_IN", object("scope", "SMS00ALL", "AAA", &Value::Null)),
        ("BUILT_IN", object("role", "AAA00001", "AAA", &but(&role, "name", json!("Full Administrator")))),
        ("OBJECT_FORM", object("role", "AAA00001", "AAA", &but(&role, "operations", json!({ "x": 1 })))),
    ];
    let below: Vec<(&str, Value)> = from_below.to_vec();
    let above: Vec<(&str, Value)> = from_above.to_vec();
    for (from, cases) in [(2, below), (0, above)] {
        for (number, (rule, mut object)) in cases.into_iter().enumerate() {
            // Above all that is known of it, or it would be ignored.
            object["clock"] = json!((1_u64 << 31) + 10 + u64::try_from(number).unwrap());
            let said = object.to_string();
            let good = self::object("group", "{0E}", line.nodes[from].code.as_str(), &group);
            let applied = inject(&line.nodes[1], &line.nodes[from], vec![object, good]).await;
            let rules: Vec<&str> = applied.refused.iter().map(|refused| refused.why.rule.as_str()).collect();
            assert_eq!(rules, [rule], "{applied:?} {said:.300}");
        }
    }
    change!(line.nodes[1].database, |tx| {
        assert_eq!(tx.groups().await?.len(), 1, "the batch went on");
        assert_eq!(tx.accounts().await?, []);
        let target = tx.target(id, &dp("DPB")).await?.unwrap();
        assert_eq!((target.facts.state.as_str(), target.facts.job.is_some()), ("waiting", false));
        assert_eq!(tx.point(&dp("DPB")).await?.unwrap().fingerprint, "key");
    });
}

/// Runs each case on both engines.
macro_rules! cases {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Line::new(None, "").await).await;
            })*
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn postgres_agrees() {
            let Some(cluster) = Cluster::start() else { return };
            $({
                let line = Line::new(Some(&cluster), stringify!($name)).await;
                Box::pin($name(line)).await;
            })*
        }
    };
}

cases! {
    groups_and_programs_travel_both_ways
    two_groups_of_one_name_are_told_apart_alike_everywhere
    accounts_roles_and_scopes_go_down_and_never_up
    a_scope_that_is_not_known_above_is_not_lost_there
    a_point_is_seen_from_everywhere_and_stays_its_sites
    messages_go_up_and_never_down
    what_no_site_may_say_is_refused_and_harms_nothing
}
