//! Schedules as embedded objects.

use proptest::prelude::*;
use restock_names::Timestamp;

use super::{any_token, at};
use crate::schedule::{ScheduleError, from_values, to_values};
use crate::{DateTime, Instance, Schema, Value};

/// The classes as the provider declares them, without what is not read here.
const CLASSES: &str = r#"
[Abstract, Embedded] class SMS_ScheduleToken {
    uint32 DayDuration = 0; uint32 HourDuration = 0; uint32 MinuteDuration = 0;
    boolean IsGMT = false; datetime StartTime = "19700201000000.000000+***"; };
[Embedded] class SMS_ST_NonRecurring : SMS_ScheduleToken { };
[Embedded] class SMS_ST_RecurInterval : SMS_ScheduleToken {
    uint32 DaySpan = 0; uint32 HourSpan = 0; uint32 MinuteSpan = 0; };
[Embedded] class SMS_ST_RecurWeekly : SMS_ScheduleToken { uint32 Day = 1; uint32 ForNumberOfWeeks = 1; };
[Embedded] class SMS_ST_RecurMonthlyByWeekday : SMS_ScheduleToken {
    uint32 Day = 1; uint32 ForNumberOfMonths = 1; uint32 WeekOrder = 0; };
[Embedded] class SMS_ST_RecurMonthlyByDate : SMS_ScheduleToken {
    uint32 ForNumberOfMonths = 1; uint32 MonthDay = 0; };
"#;

fn schema() -> Schema {
    Schema::parse(&[("schedule.mof", CLASSES)]).expect("the text is right")
}

fn object(schema: &Schema, class: &str, values: &[(&str, Value)]) -> Value {
    let mut object = Instance::new(std::sync::Arc::clone(schema.class(class).expect("declared")));
    for (name, value) in values {
        assert!(object.set(name, value.clone()), "{name}");
    }
    Value::Object(Box::new(object))
}

proptest! {
    #[test]
    fn every_schedule_of_objects_is_read_as_it_was_written(tokens in prop::collection::vec(any_token(), 0..=15)) {
        prop_assert_eq!(from_values(&to_values(&schema(), &tokens)), Ok(tokens));
    }
}

#[test]
fn what_an_object_does_not_say_has_its_default() {
    let schema = schema();
    let weekly =
        object(&schema, "SMS_ST_RecurWeekly", &[("Day", Value::Unsigned(3)), ("IsGMT", Value::Null)]);
    let tokens = from_values(&[weekly]).expect("in range");
    assert_eq!(tokens[0].to_string(), "every week on Tuesday at 00:00, from 1970-02-01");
    // The digits of a start count, whatever offset stands behind them.
    let moment = DateTime::Moment(Timestamp(at("2026-01-01T01:00").0 + 59_000_000), 60);
    let once = object(&schema, "SMS_ST_NonRecurring", &[("StartTime", Value::DateTime(moment))]);
    assert_eq!(from_values(&[once]).expect("in range")[0].to_string(), "once on 2026-01-01 at 02:00");
}

#[test]
fn objects_out_of_range_or_of_other_classes_are_refused_by_number() {
    let schema = schema();
    let good = object(&schema, "SMS_ST_NonRecurring", &[]);
    let check = |value: Value, why: &str| {
        let error = from_values(&[good.clone(), value]).expect_err(why);
        assert_eq!(error.to_string(), format!("token 2 of the schedule: {why}"));
    };
    let weeks = [("ForNumberOfWeeks", Value::Unsigned(5))];
    check(object(&schema, "SMS_ST_RecurWeekly", &weeks), "ForNumberOfWeeks is 5; it goes from 1 to 4");
    let day = [("Day", Value::Unsigned(u64::MAX))];
    check(object(&schema, "SMS_ST_RecurWeekly", &day), "Day is 18446744073709551615; it goes from 1 to 7");
    check(
        object(&schema, "SMS_ST_RecurInterval", &[]),
        "exactly one of DaySpan, HourSpan and MinuteSpan is more than 0",
    );
    let start = [("StartTime", Value::DateTime(DateTime::Local(at("2034-01-01T00:00").0)))];
    check(
        object(&schema, "SMS_ST_NonRecurring", &start),
        "the year of StartTime is 2034; it goes from 1970 to 2033",
    );
    let length = [("StartTime", Value::DateTime(DateTime::Interval(0)))];
    check(object(&schema, "SMS_ST_NonRecurring", &length), "StartTime has a value of a wrong type");
    let abstracted = from_values(&[object(&schema, "SMS_ScheduleToken", &[])]).expect_err("abstract");
    assert!(abstracted.to_string().contains("SMS_ScheduleToken is not a schedule token"), "{abstracted}");
    assert_eq!(from_values(&vec![good; 16]), Err(ScheduleError::TooMany(16)));
}
