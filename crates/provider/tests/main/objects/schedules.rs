//! `SMS_ScheduleMethods` through the object API.

use restock_cim::schedule;

use super::{Objects, Value, code, out, text};

#[tokio::test]
async fn sms_schedule_methods_read_from_string_and_write_to_string_are_each_others_inverse() {
    let objects = Objects::new().await;
    for token in
        ["7913788000080000", "55147880001B2000", "00011E0000100400", "000F1E00002BCC01", "025E1E0000261000"]
    {
        let given = [("StringData", text(&token.to_lowercase()))];
        let read = objects.invoke("SMS_ScheduleMethods", "ReadFromString", &given).await;
        let tokens = out(&read, "TokenData").clone();
        let expected = schedule::to_values(objects.provider.schema(), &schedule::decode(token).unwrap());
        assert_eq!(tokens, Value::Array(expected));
        let written = objects.invoke("SMS_ScheduleMethods", "WriteToString", &[("TokenData", tokens)]).await;
        assert_eq!(out(&written, "StringData"), &text(token));
    }
    let odd = objects
        .try_invoke("SMS_ScheduleMethods", "ReadFromString", &[("StringData", text("79137880"))])
        .await;
    assert_eq!(code(odd), "SCHEDULE_INVALID");
}
