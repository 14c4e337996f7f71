//! Tasks through the AdminService, and how many at once it bears.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::adminservice::door::{Door, read_answer, wmi};

#[test]
fn a_package_is_distributed_refreshed_and_removed() {
    let mut door = Door::new(&[]);
    door.world.add_point("DP01");
    let source = door.world.source("editor", &[("setup.exe", b"first")]);
    let made = door.post(
        "SMS_Package",
        &json!({ "Name": "Editor", "PkgSourceFlag": 2, "PkgSourcePath": source.to_str().unwrap() })
            .to_string(),
    );
    assert_eq!((made.status, &made.json()["SourceVersion"]), (201, &json!(1)), "{made:?}");
    let id = made.json()["PackageID"].as_str().unwrap().to_owned();
    let found = door.get("SMS_SystemResourceList?$filter=RoleName eq 'SMS Distribution Point'").json();
    let nal = found["value"][0]["NALPath"].as_str().unwrap_or_else(|| panic!("{found}")).to_owned();
    let row = json!({ "PackageID": id, "ServerNALPath": nal, "SiteCode": "XYZ" });
    let put = door.post("SMS_DistributionPoint", &row.to_string());
    assert_eq!(put.status, 201, "{put:?}");
    let address = put.header("location").unwrap().split_once("/wmi/").unwrap().1.to_owned();
    assert_eq!(door.get(&address).json()["value"][0]["ServerNALPath"], *nal, "{address}");

    let poll = |path: &str, property: &str, wanted: i64| {
        door.poll(path, |row| row[property] == wanted);
    };
    let summarizer = format!("SMS_PackageStatusDistPointsSummarizer?$filter=PackageID eq '{id}'");
    poll(&summarizer, "State", 0);
    std::fs::write(source.join("setup.exe"), b"second").unwrap();
    let call = door.post(&format!("SMS_Package('{id}')/AdminService.RefreshPkgSource"), "");
    assert_eq!((call.status, &call.json()["ReturnValue"]), (201, &json!(0)));
    poll(&summarizer, "SourceVersion", 2);

    let again = json!({ "RefreshNow": true }).to_string();
    assert_eq!(door.request("PATCH", &wmi(&address), &[], &again).status, 200);
    let unknown = address.replace("DP01", "DP77");
    assert_eq!(door.request("PATCH", &wmi(&unknown), &[], &again).status, 404, "PATCH makes nothing");
    assert_eq!(door.request("DELETE", &wmi(&address), &[], "").status, 204);
    assert_eq!(door.request("DELETE", &wmi(&format!("SMS_Package('{id}')")), &[], "").status, 204);
}

#[test]
fn a_thousand_refreshes_of_one_package_at_once_are_accepted_and_leave_no_gap() {
    const CONNECTIONS: usize = 50;
    const CALLS: usize = 20;
    let door = Door::new(&[]);
    let source = door.world.source("editor", &[("setup.exe", b"first")]);
    let body = json!({ "Name": "E", "PkgSourceFlag": 2, "PkgSourcePath": source.to_str().unwrap() });
    let id = door.post("SMS_Package", &body.to_string()).json()["PackageID"].as_str().unwrap().to_owned();
    let call = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\n{}Content-Length: 0\r\n\r\n",
        wmi(&format!("SMS_Package('{id}')/AdminService.RefreshPkgSource")),
        door.http,
        door.authorization()
    );
    let (accepted, later) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut stream = door.connect();
                for _ in 0..CALLS {
                    stream.write_all(call.as_bytes()).unwrap();
                    let got = read_answer(&mut stream);
                    match got.status {
                        201 => accepted.fetch_add(1, Ordering::Relaxed),
                        429 => later.fetch_add(1, Ordering::Relaxed),
                        _ => panic!("{got:?}"),
                    };
                }
            });
        }
    });
    assert_eq!(accepted.load(Ordering::Relaxed) + later.load(Ordering::Relaxed), CONNECTIONS * CALLS);
    assert!(accepted.load(Ordering::Relaxed) > 0);
    let package = door.poll(&format!("SMS_Package('{id}')"), |package| package["ActionInProgress"] == 0);
    let last = package["SourceVersion"].as_u64().unwrap();
    assert!((2..(CONNECTIONS * CALLS) as u64).contains(&last), "calls are taken together: {last} runs");
    assert_eq!(package["StoredPkgVersion"].as_u64(), Some(last));
}
