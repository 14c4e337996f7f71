//! Whole collections, and pages for those who ask for them.

use serde_json::{Value, json};

use crate::adminservice::door::{Door, Got, basic, wmi};

fn ids(got: &Got) -> Vec<String> {
    assert_eq!(got.status, 200, "{got:?}");
    let rows = got.json()["value"].as_array().unwrap().clone();
    rows.iter().map(|row| row["PackageID"].as_str().unwrap().to_owned()).collect()
}

/// The path of the link to the next page.
fn next(door: &Door, got: &Got) -> Option<String> {
    let link = got.json()["@odata.nextLink"].as_str()?.to_owned();
    let path = link.strip_prefix(&format!("http://{}", door.http)).unwrap_or_else(|| panic!("{link}"));
    Some(path.to_owned())
}

/// All pages of a query, and how many rows each has.
fn walk(door: &Door, path: &str, headers: &[&str]) -> (Vec<String>, Vec<usize>) {
    let (mut all, mut pages) = (Vec::new(), Vec::new());
    let mut path = Some(wmi(path));
    while let Some(at) = path {
        let got = door.request("GET", &at, headers, "");
        let page = ids(&got);
        pages.push(page.len());
        all.extend(page);
        path = next(door, &got);
        assert!(pages.len() < 50, "{at}");
    }
    (all, pages)
}

#[test]
fn a_collection_is_whole_unless_pages_are_asked_for() {
    let door = Door::new(&[("page_rows", "3")]);
    // Names repeat, so that an order by them alone is not total.
    let made: Vec<String> = ["b", "a", "b", "c", "a", "b", "a"].map(|name| door.package(name)).to_vec();
    let whole = door.get("SMS_Package");
    assert_eq!((ids(&whole), next(&door, &whole)), (made.clone(), None));

    let two = &["Prefer: odata.maxpagesize=2"][..];
    assert_eq!(walk(&door, "SMS_Package", two), (made.clone(), vec![2, 2, 2, 1]));
    for header in ["OData-Version: 4.0", "OData-MaxVersion: 4.0"] {
        assert_eq!(walk(&door, "SMS_Package", &[header]), (made.clone(), vec![3, 3, 1]), "{header}");
    }
    for (query, pages) in [
        ("$orderby=Name", vec![2, 2, 2, 1]),
        ("$orderby=Name desc,PackageID desc", vec![2, 2, 2, 1]),
        ("$orderby=TransformAnalysisDate,Name&$select=PackageID", vec![2, 2, 2, 1]),
        ("$orderby=TransformAnalysisDate desc,Name", vec![2, 2, 2, 1]),
        ("$filter=Name ge 'b'&$orderby=Name", vec![2, 2]),
        ("$top=5&$skip=1", vec![2, 2, 1]),
        ("$top=4", vec![2, 2]),
        ("$top=0", vec![0]),
    ] {
        let path = format!("SMS_Package?{query}");
        let (all, found) = walk(&door, &path, two);
        let mut wanted = ids(&door.get(&path));
        let mut seen = all.clone();
        if query.contains("Name") && !query.contains("PackageID desc") {
            // Rows that are equal in the order may stand in any; the pages still hold each once.
            wanted.sort();
            seen.sort();
        }
        assert_eq!((seen, found), (wanted, pages), "{query}");
    }
    let first = door.request("GET", &wmi("SMS_Package?$count=true&$top=3"), two, "");
    assert_eq!(first.json()["@odata.count"], 7);
    assert_eq!(first.header("preference-applied"), Some("odata.maxpagesize=2"));
    let row = &door.request("GET", &wmi("SMS_Package?$select=Name"), two, "").json()["value"][0];
    assert_eq!(
        row.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["Name"],
        "what seeking needs is not shown"
    );
}

#[test]
fn rows_that_come_and_go_between_pages_shift_nothing() {
    let door = Door::new(&[]);
    let made: Vec<String> = (0..6).map(|n| door.package(&format!("p{n}"))).collect();
    let two = &["Prefer: odata.maxpagesize=2"][..];
    let first = door.request("GET", &wmi("SMS_Package"), two, "");
    for gone in [&made[0], &made[1], &made[2]] {
        assert_eq!(door.request("DELETE", &wmi(&format!("SMS_Package('{gone}')")), &[], "").status, 204);
    }
    let second = door.request("GET", &next(&door, &first).unwrap(), &[], "");
    assert_eq!(ids(&second), made[3..5], "a link is followed without the preference too, in pages as before");
    let generic = door.request("GET", &next(&door, &first).unwrap(), &["OData-Version: 4.0"], "");
    assert_eq!(ids(&generic), made[3..5]);
    let third = door.request("GET", &next(&door, &second).unwrap(), &[], "");
    assert_eq!((ids(&third), next(&door, &third)), (made[5..].to_vec(), None));
}

#[test]
fn a_link_to_a_next_page_is_of_one_account_and_one_query() {
    let door = Door::new(&[]);
    for n in 0..4 {
        door.package(&format!("p{n}"));
    }
    let other = format!("Authorization: {}", basic("other", &door.account("other", Some("SMS0002R"))));
    let two = &["Prefer: odata.maxpagesize=2"][..];
    let first = door.request("GET", &wmi("SMS_Package?$filter=Priority eq 2"), two, "");
    let link = next(&door, &first).unwrap();
    assert!(!link.contains("XYZ0"), "{link}");
    assert_eq!(door.request("GET", &link, &[], "").status, 200);
    let forged = {
        let (head, token) = link.split_once("$skiptoken=").unwrap();
        format!("{head}$skiptoken=A{}", &token[1..])
    };
    let of_other_query = link.replace("Priority%20eq%202", "Priority%20ge%200");
    for got in [
        door.request_as(&other, "GET", &link, &[], ""),
        door.request("GET", &of_other_query, &[], ""),
        door.request("GET", &forged, &[], ""),
        door.get("SMS_Package?$skiptoken=abc"),
    ] {
        assert_eq!(got.refusal(), (400, "PAGE_TOKEN".to_owned()));
    }
    // What may be seen is asked again with each page.
    let reader = format!("Authorization: {}", basic("reader", &door.account("reader", Some("SMS0002R"))));
    let first = door.request_as(&reader, "GET", &wmi("SMS_Package"), two, "");
    let link = next(&door, &first).unwrap();
    door.world.ask(&["admin", "revoke", "reader", "SMS0002R"]).done();
    assert_eq!(ids(&door.request_as(&reader, "GET", &link, &[], "")), Vec::<String>::new());
}

#[test]
fn one_instance_is_a_collection_of_one_except_for_generic_clients() {
    let door = Door::new(&[]);
    let id = door.package("p");
    let one = wmi(&format!("SMS_Package('{id}')"));
    let scripted = door.request("GET", &one, &[], "").json();
    assert!(scripted["@odata.context"].as_str().unwrap().ends_with("$metadata#SMS_Package"));
    assert_eq!(scripted["value"][0]["RefreshSchedule"], json!([]), "lazy properties are filled");
    let generic = door.request("GET", &one, &["OData-MaxVersion: 4.0"], "").json();
    assert!(generic["@odata.context"].as_str().unwrap().ends_with("$metadata#SMS_Package/$entity"));
    assert_eq!(generic["PackageID"], *id);
    let listed = door.get("SMS_Package").json()["value"][0].clone();
    assert_eq!(listed.get("RefreshSchedule"), None, "and left out of collections");
    let chosen = door.get(&format!("SMS_Package('{id}')?$select=Name,__CLASS")).json()["value"][0].clone();
    assert_eq!(chosen, json!({ "Name": "p", "__CLASS": "SMS_Package" }));
    let method = "SMS_NAL_Methods.UnPackNALPath";
    let path = json!({ "NALPath": r#"["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\"# }).to_string();
    let call = |headers: &[&str]| door.request("POST", &wmi(method), headers, &path);
    let (scripted, generic) = (call(&[]), call(&["OData-Version: 4.0"]));
    assert_eq!((scripted.status, generic.status), (201, 201), "{scripted:?}");
    assert_eq!((&scripted.json()["ReturnValue"], scripted.json().get("value")), (&Value::from(0), None));
    assert_eq!(generic.json()["value"], 0);
}
