//! The audit trail: what is in it, and what becomes visible when somebody changes it.

use std::path::Path;

use restock_cim::Value;
use restock_names::Digest;
use restock_provider::audit::{self, Head, Record, VerifyError};
use restock_provider::{Operation, PutForm};
use serde_json::Value as Json;
use sqlx::{AnyConnection, Connection, Row as _};

use crate::objects::{DP01, Objects, caller, code, package_path, path, text, texts};

impl Objects {
    async fn records(&self) -> Vec<Record> {
        audit::records(&self.site.database, 0).await.unwrap()
    }

    /// Changes the database behind the site's back.
    pub(crate) async fn tamper(&self, statement: &'static str) {
        let url = format!("sqlite://{}", self.site.file().display());
        let mut connection = AnyConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Ten records.
    async fn ten() -> (Self, Head) {
        let site = Self::new().await;
        for n in 0..10 {
            site.package(&format!("P{n}")).await;
        }
        let head = audit::head(&site.site.database).await.unwrap().unwrap();
        assert_eq!(head.sequence, 10);
        (site, head)
    }

    /// The number of the first record that is not as it was written.
    async fn first_bad(&self, known: &[Head]) -> Option<u64> {
        match audit::verify(&self.site.database, known).await {
            Ok(_) => None,
            Err(VerifyError::Broken(bad)) => Some(bad.sequence),
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn every_change_and_every_refusal_is_one_record_with_a_status_message() {
    let site = Objects::new().await;
    let id = site.package("App").await;
    let object = package_path(id);
    site.patch(&object, &[("Description", text("better"))]).await.unwrap();
    let add = [("SiteCode", texts(&["XYZ"])), ("NALPath", texts(&[DP01]))];
    site.invoke(&object, "AddDistributionPoints", &add).await;
    site.invoke(&object, "RefreshPkgSource", &[]).await;
    assert_eq!(code(site.try_invoke(&object, "NoSuchMethod", &[]).await), "INVALID_METHOD");
    let analyst = site.account("analyst", &[("Read-only Analyst", "SMS00ALL")]).await;
    assert_eq!(code(site.invoke_as(&analyst, &object, "RefreshPkgSource", &[]).await), "SCOPE");
    assert_eq!(
        code(site.put_as(&analyst, "SMS_Package", PutForm::Create, &[("Name", text("X"))]).await),
        "SCOPE"
    );
    site.site.perform(Operation::CancelRefresh { package: id }).await.unwrap();
    site.provider.delete(&caller(), &path(&object)).await.unwrap();
    // What is only read leaves nothing.
    site.query("SELECT * FROM SMS_Package").await;

    let records = site.records().await;
    let shown: Vec<(String, String, String, String, bool)> = records
        .iter()
        .map(|r| (r.account.clone(), r.operation.clone(), r.path.clone(), r.method.clone(), r.result == 0))
        .collect();
    let local = r"local\root";
    let line = |account: &str, operation: &str, path: &str, method: &str, is_done: bool| {
        (account.to_owned(), operation.to_owned(), path.to_owned(), method.to_owned(), is_done)
    };
    assert_eq!(
        shown,
        [
            line(local, "PutInstance", &object, "", true),
            line(local, "PutInstance", &object, "", true),
            line(local, "ExecMethod", &object, "AddDistributionPoints", true),
            line(local, "ExecMethod", &object, "RefreshPkgSource", true),
            line(local, "ExecMethod", &object, "NoSuchMethod", false),
            line(local, "add_account", "SMS_Admin.LogonName=\"analyst\"", "", true),
            line("analyst", "ExecMethod", &object, "RefreshPkgSource", false),
            line("analyst", "PutInstance", "SMS_Package", "", false),
            line(local, "ExecMethod", &object, "CancelRefresh", true),
            line(local, "DeleteInstance", &object, "", true),
        ]
    );
    assert_eq!(records[6].address, "192.0.2.7");
    assert_eq!(records[6].door, "adminservice");
    assert_eq!(records[1].parameters, r#"{"Description":"better"}"#);
    assert_eq!(records[3].package, Some(id.to_string()));

    // What an object was before a change is what it was after the one before.
    assert_eq!((records[0].before, records[0].after.is_some()), (None, true));
    assert_eq!(records[1].before, records[0].after);
    assert_ne!(records[1].after, records[1].before);
    assert_eq!((records[6].before, records[6].after), (None, None), "a refused call changed nothing");
    assert_eq!(records[8].before, records[3].after);
    assert_ne!(records[9].after, records[9].before);

    let messages = site.query("SELECT * FROM SMS_StatusMessage WHERE MessageType = 768").await;
    assert_eq!(messages.len(), records.len());
    let users = "SELECT * FROM SMS_StatMsgAttributes WHERE AttributeID = 403";
    let users = site.seen_by(&caller(), users, "AttributeValue").await;
    assert_eq!(users.iter().filter(|user| *user == "analyst").count(), 2);
    let refreshed = site.query("SELECT * FROM SMS_StatusMessage WHERE MessageID = 30068").await;
    assert_eq!(refreshed.len(), 1);
}

#[tokio::test]
async fn a_refused_change_and_its_record_stand_apart() {
    let site = Objects::new().await;
    let before = site.records().await.len();
    let refused = site.try_put("SMS_Package", PutForm::Create, &[("Name", text(""))]).await;
    assert_eq!(code(refused), "NAME_INVALID");
    let records = site.records().await;
    assert_eq!(records.len(), before + 1);
    assert_ne!(records[before].result, 0);
    assert_eq!(site.query("SELECT * FROM SMS_Package").await.len(), 0);
}

#[tokio::test]
async fn a_chain_that_nobody_touched_is_as_it_was_written() {
    let (site, head) = Objects::ten().await;
    let verified = audit::verify(&site.site.database, &[head]).await.unwrap();
    assert_eq!((verified.records, verified.head), (10, Some(head)));
    assert_eq!(head.to_string().parse(), Ok(head));
    assert!("10:abc".parse::<Head>().is_err());
}

#[tokio::test]
async fn an_edited_record_is_named() {
    let edits = [
        "UPDATE audit_records SET account = 'nobody' WHERE sequence = 4",
        "UPDATE audit_records SET at = at + 1 WHERE sequence = 4",
        "UPDATE audit_records SET result = 7 WHERE sequence = 4",
        "UPDATE audit_records SET package_id = NULL WHERE sequence = 4",
        "UPDATE audit_records SET after_digest = zeroblob(32) WHERE sequence = 4",
        "UPDATE audit_records SET hash = zeroblob(32) WHERE sequence = 4",
        "UPDATE audit_records SET hash = x'00' WHERE sequence = 4",
        "UPDATE audit_records SET result = -1 WHERE sequence = 4",
        // Text moved from one field to the next.
        "UPDATE audit_records SET operation = 'PutInstanceS', path = substr(path, 2) WHERE sequence = 4",
    ];
    for edit in edits {
        let (site, head) = Objects::ten().await;
        site.tamper(edit).await;
        assert_eq!(site.first_bad(&[head]).await, Some(4), "{edit}");
    }
}

#[tokio::test]
async fn a_removed_record_is_named_also_when_the_others_close_up() {
    let (site, head) = Objects::ten().await;
    site.tamper("DELETE FROM audit_records WHERE sequence = 6").await;
    assert_eq!(site.first_bad(&[head]).await, Some(6));
    site.tamper("UPDATE audit_records SET sequence = sequence - 1 WHERE sequence > 6").await;
    assert_eq!(site.first_bad(&[head]).await, Some(6));
    let (site, _) = Objects::ten().await;
    site.tamper("DELETE FROM audit_records WHERE sequence = 1").await;
    assert_eq!(site.first_bad(&[]).await, Some(1));
}

#[tokio::test]
async fn a_cut_off_end_shows_against_a_head_that_was_kept() {
    let (site, head) = Objects::ten().await;
    site.tamper("DELETE FROM audit_records WHERE sequence > 7").await;
    assert_eq!(site.first_bad(&[]).await, None, "without a head nobody can know");
    assert_eq!(site.first_bad(&[head]).await, Some(8));
    site.tamper("DELETE FROM audit_records").await;
    assert_eq!(site.first_bad(&[head]).await, Some(1));
}

#[tokio::test]
async fn a_chain_that_was_made_anew_shows_against_a_head_that_was_kept() {
    let (_site, head) = Objects::ten().await;
    let other = Objects::new().await;
    for n in 0..10 {
        other.package(&format!("Q{n}")).await;
    }
    assert_eq!(other.first_bad(&[]).await, None, "it is a whole chain of its own");
    assert_eq!(other.first_bad(&[head]).await, Some(10));
}

#[tokio::test]
async fn secrets_are_in_no_record_no_message_and_no_table() {
    const CANARY: &str = "canary-5f1d83c0";
    let site = Objects::new().await;
    let password = restock_provider::account::Secret::new(CANARY);
    let add = restock_provider::admin::AdminOperation::AddAccount {
        name: "anna".to_owned(),
        display_name: String::new(),
        password: Some(password.clone()),
        permissions: Vec::new(),
    };
    assert!(!format!("{add:?}").contains(CANARY), "{add:?}");
    site.admin(add).await;
    let set = restock_provider::admin::AdminOperation::SetPassword {
        account: "nobody".to_owned(),
        password: Some(password),
    };
    site.admin_as(&caller(), set).await.unwrap_err();
    let token = restock_provider::admin::AdminOperation::CreateToken {
        account: "anna".to_owned(),
        name: "t".to_owned(),
        role: None,
        valid_ms: 60_000,
    };
    let restock_provider::admin::AdminAnswer::TokenMade(made) = site.admin(token).await else { panic!() };
    assert!(!format!("{made:?}").contains(made.token.reveal()), "{made:?}");
    let url = format!("sqlite://{}", site.site.file().display());
    let mut connection = AnyConnection::connect(&url).await.unwrap();
    let tables = sqlx::query("SELECT name FROM sqlite_schema WHERE type = 'table'");
    for table in tables.fetch_all(&mut connection).await.unwrap() {
        let table: String = table.get(0);
        let columns = format!("SELECT name FROM pragma_table_info('{table}')");
        for column in sqlx::query(sqlx::AssertSqlSafe(columns)).fetch_all(&mut connection).await.unwrap() {
            let column: String = column.get(0);
            for secret in [CANARY, made.token.reveal()] {
                let count = format!(
                    "SELECT COUNT(*) FROM \"{table}\" WHERE instr(CAST(\"{column}\" AS TEXT), $1) > 0"
                );
                let row = sqlx::query(sqlx::AssertSqlSafe(count)).bind(secret).fetch_one(&mut connection);
                assert_eq!(row.await.unwrap().get::<i64, _>(0), 0, "{table}.{column}");
            }
        }
    }
    connection.close().await.unwrap();
    for instance in site.query("SELECT * FROM SMS_Admin").await {
        let whole = site.get(&format!("SMS_Admin.AdminID={}", number_of(&instance, "AdminID"))).await;
        assert!(!format!("{whole:?}").contains("argon2"), "{whole:?}");
    }
}

fn number_of(instance: &restock_cim::Instance, property: &str) -> u64 {
    match instance.get(property) {
        Some(Value::Unsigned(number)) => *number,
        other => panic!("{other:?}"),
    }
}

/// The committed sample: lines as `restock audit export` prints them.
fn sample() -> Vec<(Digest, Record)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/samples/audit.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let line = |line: &str| {
        let json: Json = serde_json::from_str(line).unwrap();
        let text = |name: &str| json[name].as_str().unwrap().to_owned();
        let digest = |name: &str| json[name].as_str().map(|hex| hex.parse::<Digest>().unwrap());
        let record = Record {
            sequence: json["sequence"].as_u64().unwrap(),
            at: restock_names::Timestamp(json["at"].as_i64().unwrap()),
            account: text("account"),
            address: text("address"),
            door: text("door"),
            operation: text("operation"),
            path: text("path"),
            method: text("method"),
            parameters: text("parameters"),
            package: json["package"].as_str().map(str::to_owned),
            result: u32::try_from(json["result"].as_u64().unwrap()).unwrap(),
            correlation: text("correlation"),
            before: digest("before"),
            after: digest("after"),
            hash: digest("hash").unwrap(),
        };
        (digest("previous").unwrap(), record)
    };
    text.lines().map(line).collect()
}

#[test]
fn records_that_were_written_once_verify_for_ever() {
    let records = sample();
    assert!(records.len() >= 5, "a sample worth reading");
    let mut previous = Digest::ZERO;
    for (n, (before, record)) in (1_u64..).zip(&records) {
        assert_eq!((record.sequence, *before), (n, previous));
        assert_eq!(audit::hash(*before, record), record.hash, "record {n}");
        previous = record.hash;
    }
    assert!(records.iter().any(|(_, record)| record.before.is_some() && record.package.is_some()));
}
