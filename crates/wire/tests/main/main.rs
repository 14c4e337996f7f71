//! The languages of the doors at their boundary: text in, values out, and back.

#![allow(clippy::unwrap_used, reason = "tests")]

mod bodies;
mod documents;
mod entities;
mod keys;
mod robust;
mod wsman;

use std::sync::LazyLock;

use restock_cim::Schema;

/// A small hierarchy with what the real one has: keys, lazy and local properties, embedded and
/// abstract classes, references, methods of both kinds.
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    Schema::parse(&[("test.mof", TEXT)]).unwrap_or_else(|error| panic!("the test's classes: {error}"))
});

const TEXT: &str = r#"
class SMS_BaseClass { };
[Abstract, Embedded]
class SMS_ScheduleToken {
    boolean IsGMT = FALSE;
    datetime StartTime;
};
[Embedded]
class SMS_ST_RecurWeekly : SMS_ScheduleToken {
    uint32 Day = 1;
};
[Secured]
class SMS_Package : SMS_BaseClass {
    [Key, Read] string PackageID;
    string Name;
    [Read] uint32 SourceVersion = 0;
    sint32 Priority = 2;
    uint64 Big;
    boolean Flag;
    real64 Ratio;
    uint8 Icon[];
    [Lazy, EmbeddedInstance("SMS_ScheduleToken")] string RefreshSchedule[];
    [Lazy] string Providers[];
    [LocalTime] datetime SourceDate;
    datetime Seen;
    sint32 RefreshPkgSource();
    sint32 AddDistributionPoints([In] string SiteCode[], [In] string NALPath[]);
    [Static] sint32 CheckDuplicateShareName([In] string ShareName, [In(false), Out] boolean IsDuplicated);
};
class SMS_DistributionPoint : SMS_BaseClass {
    [Key] string ServerNALPath;
    [Key] string PackageID;
    [Key] uint32 Number;
    boolean RefreshNow = FALSE;
};
[Abstract]
class SMS_ScheduleMethods : SMS_BaseClass {
    [Static] sint32 WriteToString([In, EmbeddedInstance("SMS_ScheduleToken")] string TokenData[],
        [In(false), Out] string StringData);
};
class __NotifyStatus { uint32 StatusCode; };
class __ExtendedStatus : __NotifyStatus { string Description; };
"#;
