//! Objects of the classes through `query`, `get`, `put`, `delete` and `invoke`: the tasks of a first
//! hour, and what is refused.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Ran, World, restock};

/// Longest time for what the loops do by themselves.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again until the answer is as wanted, as a client polls.
#[track_caller]
fn poll(world: &World, arguments: &[&str], is_wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let answer = world.ask(arguments).done();
        if is_wanted(&answer) {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{arguments:?}: {answer}");
    }
}

fn package_path(id: &str) -> String {
    format!("SMS_Package.PackageID=\"{id}\"")
}

/// Code, error code and text of a refusal.
#[track_caller]
fn refusal(ran: &Ran) -> (i32, String, String) {
    let error = ran.document()["error"].clone();
    assert!(!ran.stderr.is_empty(), "{ran:?}");
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (ran.code, text("code"), text("message"))
}

#[test]
fn the_tasks_of_a_first_hour_are_done_with_objects() {
    let mut world = World::new();
    for name in ["DP01", "DP02"] {
        world.add_point(name);
    }
    let source = world.source("editor", &[("setup.exe", b"first")]);
    let source_path = format!("PkgSourcePath={}", source.to_str().unwrap());

    // Where is the provider, and for which site?
    let found = world.ask(&["query", "SELECT * FROM SMS_ProviderLocation WHERE ProviderForLocalSite = TRUE"]);
    assert_eq!(found.done()[0]["SiteCode"], "XYZ");

    // A package with a source has its first snapshot without any distribution point.
    let made = world.ask(&["put", "SMS_Package", "Name=Editor", "PkgSourceFlag=2", &source_path]).done();
    assert_eq!((made["PackageID"].as_str(), made["SourceVersion"].as_u64()), (Some("XYZ00001"), Some(1)));
    let id = made["PackageID"].as_str().unwrap();
    let path = package_path(id);
    poll(&world, &["get", &path], |package| package["StoredPkgVersion"] == 1);

    // Distribution points are found among the resources, and given the package both ways.
    let found = world.ask(&[
        "query",
        "SELECT NALPath, SiteCode FROM SMS_SystemResourceList WHERE RoleName = 'SMS Distribution Point'",
    ]);
    let points: Vec<String> = found
        .done()
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["NALPath"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(points.len(), 2);
    let package = format!("PackageID={id}");
    let nal = format!("ServerNALPath={}", points[0]);
    let target = world.ask(&["put", "SMS_DistributionPoint", &package, &nal, "SiteCode=XYZ"]).done();
    let nal = format!("NALPath={}", points[1]);
    let added = world.ask(&["invoke", &path, "AddDistributionPoints", "SiteCode=XYZ", &nal]).done();
    assert_eq!(added["ReturnValue"], 0);

    // The summarizer says when both serve it.
    let counters = format!(
        "SELECT Targeted, Installed, SourceVersion FROM SMS_PackageStatusRootSummarizer WHERE PackageID = '{id}'"
    );
    let are_installed = |version: u64| {
        move |rows: &Value| {
            let row = &rows[0];
            row["Targeted"] == 2 && row["Installed"] == 2 && row["SourceVersion"] == version
        }
    };
    poll(&world, &["query", &counters], are_installed(1));

    let per_point = format!(
        "SELECT PackageID, Name, MessageState, MessageID FROM SMS_DistributionDPStatus WHERE PackageID = '{id}'"
    );
    let rows = world.ask(&["query", &per_point]).done();
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert!(rows.as_array().unwrap().iter().all(|row| row["MessageState"] == 1), "both succeeded: {rows}");

    // A refresh is visible before the call returns.
    world.source("editor", &[("setup.exe", b"second")]);
    let refreshed = world.ask(&["invoke", &path, "RefreshPkgSource"]).done();
    assert_eq!(refreshed["ReturnValue"], 0);
    poll(&world, &["query", &counters], are_installed(2));

    // What has failed is sent again: nothing has; one that works may be asked for all the same.
    let failed = "SELECT PackageID, ServerNALPath FROM SMS_PackageStatusDistPointsSummarizer WHERE State = 2 OR State = 3";
    assert_eq!(world.ask(&["query", failed]).done(), serde_json::json!([]));
    let target = target["__RELPATH"].as_str().unwrap();
    let again = world.ask(&["put", target, "RefreshNow=true"]).done();
    assert_eq!(again["RefreshNow"], false, "it is an order, not a state");
    poll(&world, &["query", &counters], are_installed(2));

    // Taken away from one, then from everywhere.
    assert_eq!(world.ask(&["delete", target]).done()["deleted"], target);
    let served = format!("SELECT ServerNALPath FROM SMS_DistributionPoint WHERE PackageID = '{id}'");
    let left = poll(&world, &["query", &served], |rows| rows.as_array().unwrap().len() == 1);
    assert_eq!(left[0]["ServerNALPath"], points[1].as_str());
    world.ask(&["delete", &path]).done();
    let (exit, code, _) = refusal(&world.ask(&["get", &path]));
    assert_eq!((exit, code.as_str()), (4, "NOT_FOUND"));
    let rows = world.ask(&["query", "SELECT * FROM SMS_Package"]).done();
    assert_eq!(rows, serde_json::json!([]));
}

#[test]
fn text_that_is_no_query_is_refused_with_the_column() {
    let world = World::new();
    for (text, column) in [
        ("SELECT * FROM SMS_Package WHERE Name = '' OR 1=1 --", 50),
        ("SELECT * FROM SMS_Package;DROP TABLE packages", 26),
        ("SELECT * FROM SMS_Package SELECT * FROM SMS_Site", 27),
        ("' OR 1=1 --", 1),
    ] {
        let (exit, code, message) = refusal(&world.ask(&["query", text]));
        assert_eq!((exit, code.as_str()), (2, "WQL_SYNTAX"), "{text}");
        assert!(message.ends_with(&format!("at column {column}")), "{text}: {message}");
    }
    let (exit, code, _) = refusal(&world.ask(&["query", "SELECT * FROM SMS_Nonsense"]));
    assert_eq!((exit, code.as_str()), (2, "INVALID_CLASS"));
}

#[test]
fn objects_that_do_not_exist_are_refused_in_full_and_never_made() {
    let world = World::new();
    let made = world.ask(&["put", "SMS_Package", "Name=Editor"]).done();
    for id in ["AB'1", "XYZ000011", "XYZ00002", ""] {
        for arguments in [
            &["get", &package_path(id)][..],
            &["put", &package_path(id), "Name=x"],
            &["delete", &package_path(id)],
            &["invoke", &package_path(id), "RefreshPkgSource"],
        ] {
            let ran = world.ask(arguments);
            let (exit, code, message) = refusal(&ran);
            assert_eq!((exit, code.as_str()), (4, "NOT_FOUND"), "{arguments:?}");
            let error = &ran.document()["error"];
            assert!(error["error_code"].as_u64().unwrap() > 0, "{ran:?}");
            let correlation = error["correlation"].as_str().unwrap();
            assert_eq!(correlation.len(), 36, "{ran:?}");
            assert!(message.contains(correlation), "{message}");
        }
    }
    let rows = world.ask(&["query", "SELECT PackageID FROM SMS_Package"]).done();
    assert_eq!(rows.as_array().unwrap().len(), 1);
    // Letter case is never an error, and answers have the stored case.
    let shown = world.ask(&["get", "sms_package.packageid=\"xyz00001\""]).done();
    assert_eq!((&shown["PackageID"], &shown["__RELPATH"]), (&made["PackageID"], &made["__RELPATH"]));
    world.ask(&["delete", &package_path("xyz00001")]).done();
    let (exit, code, _) = refusal(&world.ask(&["invoke", &package_path("XYZ00001"), "RefreshPkgSource"]));
    assert_eq!((exit, code.as_str()), (4, "NOT_FOUND"), "a deleted package");
}

#[test]
fn an_account_sees_and_does_what_its_roles_say() {
    let world = World::new();
    let source = world.source("app", &[("a", b"1")]);
    let source_path = format!("PkgSourcePath={}", source.to_str().unwrap());
    for name in ["Seen", "Hidden"] {
        world.ask(&["put", "SMS_Package", &format!("Name={name}"), "PkgSourceFlag=2", &source_path]).done();
    }
    world.ask(&["admin", "scope", "add", "North"]).done();
    world.ask(&["admin", "account", "add", "reader", "--no-password", "--role", "SMS0002R@SMS00UNA"]).done();
    world.ask(&["admin", "account", "add", "north", "--no-password", "--role", "SMS0009R@North"]).done();
    let packages = "SELECT Name FROM SMS_Package";

    let seen = world.ask(&["query", packages, "--as", "reader"]).done();
    assert_eq!(seen.as_array().unwrap().len(), 2);
    let path = package_path("XYZ00001");
    let refused = world.ask(&["invoke", &path, "RefreshPkgSource", "--as", "reader"]);
    let (exit, code, message) = refusal(&refused);
    assert_eq!((exit, code.as_str()), (6, "SCOPE"), "readable: {message}");

    assert_eq!(world.ask(&["query", packages, "--as", "north"]).done(), serde_json::json!([]));
    let hidden = world.ask(&["invoke", &path, "RefreshPkgSource", "--as", "north"]);
    let (exit, code, _) = refusal(&hidden);
    assert_eq!((exit, code.as_str()), (4, "NOT_FOUND"), "not readable, so unknown");
    let unknown = world.ask(&["invoke", &package_path("XYZ00009"), "RefreshPkgSource", "--as", "north"]);
    let without_names = |ran: &Ran| {
        let (_, _, message) = refusal(ran);
        let correlation = ran.document()["error"]["correlation"].as_str().unwrap().to_owned();
        message.replace(&correlation, "").replace("XYZ00009", "XYZ00001")
    };
    assert_eq!(without_names(&hidden), without_names(&unknown), "nothing tells the two apart");

    // Both refusals stand in the audit trail, under the accounts and with what the callers were told.
    let trail = world.ask(&["audit", "export"]).done();
    for (ran, account) in [(&refused, "reader"), (&hidden, "north")] {
        let error = &ran.document()["error"];
        let is_it = |record: &&Value| record["correlation"] == error["correlation"];
        let record = trail["records"].as_array().unwrap().iter().find(is_it).expect("it is audited");
        assert_eq!((&record["account"], &record["result"]), (&Value::from(account), &error["error_code"]));
        assert_eq!((&record["door"], &record["method"]), (&"control".into(), &"RefreshPkgSource".into()));
    }

    // What is put into its scope, an account sees and may refresh.
    let north =
        world.ask(&["query", "SELECT CategoryID FROM SMS_SecuredCategory WHERE CategoryName = 'North'"]);
    let north = format!("CategoryIDs={}", north.done()[0]["CategoryID"].as_str().unwrap());
    let memberships = ["ObjectIDs=XYZ00001", "ObjectTypeIDs=2", &north];
    let added = ["invoke", "SMS_SecuredCategoryMembership", "AddMemberships"];
    world.ask(&[&added[..], &memberships].concat()).done();
    assert_eq!(world.ask(&["query", packages, "--as", "north"]).done()[0]["Name"], "Seen");
    let refreshed = world.ask(&["invoke", &path, "RefreshPkgSource", "--as", "north"]).done();
    assert_eq!(refreshed["ReturnValue"], 0);
    let removed = ["invoke", "SMS_SecuredCategoryMembership", "RemoveMemberships"];
    world.ask(&[&removed[..], &memberships].concat()).done();
    assert_eq!(world.ask(&["query", packages, "--as", "north"]).done(), serde_json::json!([]));

    let (exit, code, _) = refusal(&world.ask(&["query", packages, "--as", "nobody"]));
    assert_eq!((exit, code.as_str()), (4, "NOT_FOUND"), "no such account");
    world.ask(&["admin", "account", "disable", "reader"]).done();
    let (exit, code, _) = refusal(&world.ask(&["query", packages, "--as", "reader"]));
    assert_eq!((exit, code.as_str()), (6, "ACCOUNT_DISABLED"));
}

#[test]
fn a_source_beneath_no_root_is_stored_and_only_its_refresh_fails() {
    let world = World::new();
    for (number, path) in [
        r"\\attacker\x",
        "http://169.254.169.254/",
        "file:///etc",
        "/etc",
        r"\\localhost\c$",
        r"\\127.0.0.1\x",
    ]
    .into_iter()
    .enumerate()
    {
        let source = format!("PkgSourcePath={path}");
        let made = world.ask(&["put", "SMS_Package", "Name=n", "PkgSourceFlag=2", &source]);
        let id = made.done()["PackageID"].as_str().unwrap().to_owned();
        let shown =
            poll(&world, &["package", "show", &id], |package| package["refresh"]["state"] == "retrying");
        let why = &shown["refresh"]["why"];
        assert_eq!(why["rule"], "SOURCE_ROOT_MISSING", "{path} ({number})");
        assert!(
            why["text"].as_str().unwrap().contains(path.trim_start_matches('\\').split('\\').next().unwrap())
        );
    }
}

#[test]
fn a_source_beneath_a_root_is_set_and_kept_by_those_within_its_scopes() {
    let world = World::new();
    let source = world.source("north/app", &[("a", b"1")]);
    world.ask(&["admin", "scope", "add", "North"]).done();
    let folder = world.root().join("north");
    let added = world.ask(&["source", "add", "north", folder.to_str().unwrap(), "--scope", "North"]).done();
    assert_eq!(added["scopes"].as_array().unwrap().len(), 1);
    let listed = world.ask(&["source", "list"]).done();
    assert_eq!((&listed[0]["scopes"], &listed[1]["scopes"][0]), (&added["scopes"], &"SMS00UNA".into()));
    for (name, role) in [("north", "SMS0009R@North"), ("south", "SMS0009R@SMS00UNA")] {
        world.ask(&["admin", "account", "add", name, "--no-password", "--role", role]).done();
    }
    let source_path = format!("PkgSourcePath={}", source.to_str().unwrap());
    let put = |name: &str, account: &str| {
        let name = format!("Name={name}");
        world.ask(&["put", "SMS_Package", &name, "PkgSourceFlag=2", &source_path, "--as", account])
    };
    let (exit, code, message) = refusal(&put("south", "south"));
    assert_eq!((exit, code.as_str()), (6, "SOURCE_SCOPE"));
    assert!(!message.contains(folder.to_str().unwrap()), "{message}");
    let made = put("app", "north").done();
    let id = made["PackageID"].as_str().unwrap();
    poll(&world, &["get", &package_path(id)], |package| package["StoredPkgVersion"] == 1);

    // What an account set is read as long as the account may set it.
    for (change, undo) in [
        (vec!["admin", "account", "disable", "north"], vec!["admin", "account", "enable", "north"]),
        (
            vec!["admin", "revoke", "north", "SMS0009R", "--scope", "North"],
            vec!["admin", "grant", "north", "SMS0009R", "--scope", "North"],
        ),
    ] {
        world.ask(&change).done();
        world.ask(&["refresh", id]).done();
        let shown =
            poll(&world, &["package", "show", id], |package| package["refresh"]["state"] == "retrying");
        assert_eq!(shown["refresh"]["why"]["rule"], "SOURCE_SCOPE", "{change:?}");
        world.ask(&undo).done();
        world.ask(&["refresh", id, "--wait", "--timeout", "60s"]).done();
    }
    let failed = "SELECT RecordID FROM SMS_StatusMessage WHERE MessageID = 2306";
    assert_eq!(world.ask(&["query", failed]).done().as_array().unwrap().len(), 2);

    // An account that is gone is not asked for; the site's own administrator takes the path over.
    world.ask(&["admin", "account", "remove", "north"]).done();
    world.ask(&["refresh", id]).done();
    poll(&world, &["package", "show", id], |package| package["refresh"]["why"]["rule"] == "SOURCE_SCOPE");
    world.ask(&["package", "set", id, "--source", source.to_str().unwrap()]).done();
    let ran = world.ask(&["refresh", id, "--wait", "--timeout", "60s"]).done();
    assert_eq!(ran["packages"][0]["package"]["source_version"], 4);
}

#[test]
fn a_name_is_stored_as_it_is_and_shown_escaped() {
    let world = World::new();
    for name in ["=cmd()", "<script>alert(1)</script>", "a\u{202e}b"] {
        let made = world.ask(&["put", "SMS_Package", &format!("Name={name}")]).done();
        assert_eq!(made["Name"], name);
    }
    let (exit, code, _) = refusal(&world.ask(&["put", "SMS_Package", "Name=\u{1b}[31mred"]));
    assert_eq!((exit, code.as_str()), (2, "NAME_INVALID"));
    let table =
        restock(&world.site_data(), &["query", "SELECT PackageID, Name FROM SMS_Package ORDER BY PackageID"]);
    assert_eq!(
        table.stdout,
        "Name                       PackageID\n\
         =cmd()                     XYZ00001\n\
         <script>alert(1)</script>  XYZ00002\n\
         a\\u{202e}b                 XYZ00003\n"
    );
}

#[test]
fn values_of_a_wrong_type_or_name_change_nothing() {
    let world = World::new();
    world.ask(&["put", "SMS_Package", "Name=Editor"]).done();
    let path = package_path("XYZ00001");
    for (value, code) in [
        ("Priority=high", "TYPE"),
        ("Nonsense=1", "UNKNOWN_PROPERTY"),
        ("Priority=7", "PRIORITY_INVALID"),
        ("RefreshSchedule=[{\"@odata.type\":\"#SMS_ST_RecurInterval\"}]", "SCHEDULE_INVALID"),
    ] {
        let (exit, found, message) = refusal(&world.ask(&["put", &path, "Name=Changed", value]));
        assert_eq!((exit, found.as_str()), (2, code), "{value}: {message}");
    }
    let daily = "RefreshSchedule=[{\"@odata.type\":\"#SMS_ST_RecurInterval\",\"DaySpan\":1}]";
    let (exit, code, _) = refusal(&world.ask(&["put", &path, daily]));
    assert_eq!((exit, code.as_str()), (6, "INVALID_OPERATION"), "a package without source has no schedule");
    let (exit, code, _) = refusal(&world.ask(&["invoke", &path, "Explode"]));
    assert_eq!((exit, code.as_str()), (2, "INVALID_METHOD"));
    let (exit, code, _) = refusal(&world.ask(&["get", "SMS_Package.PackageID="]));
    assert_eq!((exit, code.as_str()), (2, "INVALID_PATH"));
    assert_eq!(world.ask(&["get", &path]).done()["Name"], "Editor");
}

#[test]
fn without_a_running_site_objects_are_read_and_written_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |arguments: &[&str]| crate::support::json(folder.path(), arguments);
    ask(&["site", "init", "--listen", "127.0.0.1:0"]).done();
    let made =
        ask(&["put", "SMS_Package", "Name=Editor", "PkgSourceFlag=2", "PkgSourcePath=/srv/editor"]).done();
    assert_eq!(made["ActionInProgress"], 2);
    let refreshed = ask(&["invoke", &package_path("XYZ00001"), "RefreshPkgSource"]).done();
    assert_eq!(refreshed["ReturnValue"], 0, "the site will read the source when it runs");
    let rows = ask(&["query", "SELECT Name FROM SMS_Package WHERE SourceVersion = 1"]).done();
    assert_eq!(rows[0]["Name"], "Editor");
    let site = crate::support::Running::start(folder.path(), "site");
    assert_eq!(ask(&["query", "SELECT Name FROM SMS_Package WHERE SourceVersion = 1"]).done(), rows);
    assert_eq!(site.stop(), 0);
    ask(&["delete", &package_path("XYZ00001")]).done();
    assert_eq!(refusal(&ask(&["get", &package_path("XYZ00001")])).0, 4);
}

#[test]
fn a_query_of_many_rows_is_printed_as_it_comes() {
    let world = World::new();
    // More rows than one event of the control socket has.
    for number in 0..120 {
        world.ask(&["put", "SMS_Package", &format!("Name=n{number:03}")]).done();
    }
    let rows = world.ask(&["query", "SELECT PackageID, Name FROM SMS_Package ORDER BY Name DESC"]).done();
    let names: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["Name"].as_str().unwrap()).collect();
    assert_eq!((names.len(), names[0], names[119]), (120, "n119", "n000"));
    let table = restock(&world.site_data(), &["query", "SELECT Name FROM SMS_Package WHERE Name = 'none'"]);
    assert_eq!((table.code, table.stdout.as_str(), table.stderr.as_str()), (0, "", "No rows.\n"));
}

#[test]
fn schedules_are_set_shown_and_taken_away() {
    let world = World::new();
    let source = world.source("app", &[("a", b"1")]);
    let created = world.ask(&["package", "create", "app", "--source", source.to_str().unwrap()]).done();
    assert!(created["schedule"].is_null());
    // The second Tuesday of each month, and every day in UTC.
    let text = "02CD1E002023140000411E0000100009";
    let changed = world.ask(&["package", "set", "XYZ00001", "--schedule", &text.to_lowercase()]).done();
    let schedule = &changed["package"]["schedule"];
    assert_eq!(schedule["text"], text);
    assert_eq!(schedule["meanings"][1], "every day from 2026-01-01 02:00 (UTC)");
    assert!(schedule["next_at"].as_i64().unwrap() > 0);
    let object = world.ask(&["get", &package_path("XYZ00001")]).done();
    assert_eq!(object["RefreshSchedule"][0]["@odata.type"], "#AdminService.SMS_ST_RecurMonthlyByWeekday");
    assert_eq!(object["RefreshSchedule"][1]["DaySpan"], 1);
    let back = world.ask(&[
        "invoke",
        "SMS_ScheduleMethods",
        "WriteToString",
        &format!("TokenData={}", object["RefreshSchedule"]),
    ]);
    assert_eq!(back.done()["StringData"], text);

    let (exit, code, _) = refusal(&world.ask(&["package", "set", "XYZ00001", "--schedule", "123"]));
    assert_eq!((exit, code.as_str()), (2, "SCHEDULE_INVALID"));
    world.ask(&["put", &package_path("XYZ00001"), "RefreshSchedule=[]"]).done();
    assert!(world.ask(&["package", "show", "XYZ00001"]).done()["schedule"].is_null());
    world.ask(&["package", "set", "XYZ00001", "--schedule", text]).done();
    world.ask(&["package", "set", "XYZ00001", "--no-schedule"]).done();
    assert!(world.ask(&["package", "show", "XYZ00001"]).done()["schedule"].is_null());
}

#[test]
fn a_schedule_is_explained_without_a_site() {
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        ["schedule", "explain", "00411E0000100008", "--zone", "Europe/Berlin", "--from", "2026-10-24T12:00"];
    let explained = crate::support::json(folder.path(), &arguments).done();
    let runs = explained["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 10);
    // Clocks show 02:00 twice on that night; it runs once.
    assert_eq!(runs[0]["local"], "2026-10-25T02:00:00+02:00");
    assert_eq!(runs[1]["local"], "2026-10-26T02:00:00+01:00");
    assert_eq!(runs[1]["utc"], "2026-10-26T01:00:00Z");
    let (exit, code, _) = refusal(&crate::support::json(folder.path(), &["schedule", "explain", "0"]));
    assert_eq!((exit, code.as_str()), (2, "SCHEDULE_INVALID"));
}
