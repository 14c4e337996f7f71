//! Status messages under all their names.

use restock_sitedb::audit::AuditMessage;
use restock_sitedb::message;

use crate::views::world::{NOW, World};

const NAL: &str = r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"#;

/// The message that a package was distributed to DP01.
async fn raise(world: &World) {
    let id = "XYZ00001".parse().unwrap();
    let nal = restock_names::NalPath::new("XYZ".parse().unwrap(), &"DP01".parse().unwrap());
    world
        .change(move |tx| {
            let message = message::distributed(id, &nal);
            Box::pin(async move { tx.raise(&message, NOW).await.map(|_| ()) })
        })
        .await;
}

async fn follow(class: &str) {
    let world = World::new().await;
    let query = format!("SELECT * FROM {class} WHERE MessageID = 2330");
    assert!(world.rows(&query).await.is_empty());
    raise(&world).await;
    let row = world.row(&query).await;
    assert_eq!(
        (row.text("Component"), row.text("MachineName")),
        ("SMS_DISTRIBUTION_MANAGER", "prov.example")
    );
    assert_eq!((row.number("Severity"), row.number("MessageType")), (0x4000_0000, 256));
    assert_eq!((row.text("ModuleName"), row.text("SiteCode"), row.time("Time")), ("SMS Server", "XYZ", NOW));
}

#[tokio::test]
async fn sms_status_message_is_live_as_messages_are_raised() {
    follow("SMS_StatusMessage").await;
}

#[tokio::test]
async fn sms_stat_msg_is_live_as_messages_are_raised() {
    follow("SMS_StatMsg").await;
}

#[tokio::test]
async fn sms_stat_msg_with_ins_strings_is_live_as_messages_are_raised() {
    follow("SMS_StatMsgWithInsStrings").await;
    let world = World::new().await;
    raise(&world).await;
    let row = world.row("SELECT * FROM SMS_StatMsgWithInsStrings WHERE InsString1 = 'xyz00001'").await;
    assert_eq!(row.text("InsString2"), NAL);
    assert_eq!(*row.value("InsString3"), restock_cim::Value::Null);
}

async fn follow_strings(class: &str) {
    let world = World::new().await;
    let query = format!("SELECT * FROM {class} WHERE InsStrIndex = 2");
    assert!(world.rows(&query).await.is_empty());
    raise(&world).await;
    let row = world.row(&query).await;
    assert_eq!((row.text("InsStrValue"), row.number("RecordID")), (NAL, 1));
}

#[tokio::test]
async fn sms_stat_msg_ins_strings_is_live_as_messages_are_raised() {
    follow_strings("SMS_StatMsgInsStrings").await;
}

#[tokio::test]
async fn sms_stat_ins_str_is_live_as_messages_are_raised() {
    follow_strings("SMS_StatInsStr").await;
}

async fn follow_attributes(class: &str) {
    let world = World::new().await;
    let query = format!("SELECT * FROM {class} WHERE AttributeID = 404");
    assert!(world.rows(&query).await.is_empty());
    raise(&world).await;
    let row = world.row(&query).await;
    assert_eq!((row.text("AttributeValue"), row.time("AttributeTime")), (NAL, NOW));
    let package = world.row(&format!("SELECT * FROM {class} WHERE AttributeID = 400")).await;
    assert_eq!((package.text("AttributeValue"), package.number("RecordID")), ("XYZ00001", 1));
}

#[tokio::test]
async fn sms_stat_msg_attributes_is_live_as_messages_are_raised() {
    follow_attributes("SMS_StatMsgAttributes").await;
}

#[tokio::test]
async fn sms_stat_attr_is_live_as_messages_are_raised() {
    follow_attributes("SMS_StatAttr").await;
}

#[tokio::test]
async fn sms_stat_msg_module_names_is_live_as_messages_of_a_module_are_raised() {
    let world = World::new().await;
    let names = async || -> Vec<String> {
        let rows = world.rows("SELECT * FROM SMS_StatMsgModuleNames ORDER BY ModuleName").await;
        rows.iter().map(|row| row.text("ModuleName").to_owned()).collect()
    };
    assert!(names().await.is_empty());
    raise(&world).await;
    assert_eq!(names().await, ["SMS Server"]);
    let audit = AuditMessage {
        id: 30_001,
        severity: restock_provider::Severity::Info,
        package: None,
        user: "ann".to_owned(),
        strings: std::array::from_fn(|_| String::new()),
    };
    world.change(move |tx| Box::pin(async move { tx.raise_audit_message(&audit, NOW).await })).await;
    assert_eq!(names().await, ["SMS Provider", "SMS Server"]);
}

#[tokio::test]
async fn messages_join_their_strings_and_attributes_as_scripts_ask() {
    let world = World::new().await;
    raise(&world).await;
    let rows = world
        .rows(
            "select stat.*, ins.*, att1.*, stat.Time from SMS_StatusMessage as stat
             left join SMS_StatMsgInsStrings as ins on stat.RecordID = ins.RecordID
             left join SMS_StatMsgAttributes as att1 on stat.RecordID = att1.RecordID
             where stat.Time >= '2020/11/22 10:00:00.000' order by stat.Time desc",
        )
        .await;
    assert_eq!(rows.len(), 4, "two strings with two attributes each");
}
