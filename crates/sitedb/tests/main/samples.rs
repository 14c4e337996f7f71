//! What tests put into a database: a site, and packages of it.

use restock_names::{DistributionPointName, Epoch, LinkPolicy, PackageId, SourceVersion, Timestamp};
use restock_sitedb::package::Package;
use restock_sitedb::site::Site;

pub(crate) const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

pub(crate) fn id(number: u32) -> PackageId {
    PackageId::new("XYZ".parse().unwrap(), number).unwrap()
}

pub(crate) fn dp(name: &str) -> DistributionPointName {
    name.parse().unwrap()
}

pub(crate) fn package(number: u32) -> Package {
    Package {
        id: id(number),
        name: "a".to_owned(),
        package_version: String::new(),
        manufacturer: String::new(),
        language: String::new(),
        description: String::new(),
        source_path: "/srv/a".to_owned(),
        source_flag: 2,
        priority: 2,
        is_public: false,
        allow_empty: false,
        link_policy: LinkPolicy::default(),
        source_site: "XYZ".parse().unwrap(),
        source_version: SourceVersion(1),
        stored_version: SourceVersion(0),
        epoch: Epoch(1),
        is_deleting: false,
        settings: 1,
        created_at: NOW,
        last_refresh_at: None,
    }
}

pub(crate) fn site() -> Site {
    Site {
        code: "XYZ".parse().unwrap(),
        epoch: Epoch(1),
        ca_fingerprint: "aa".to_owned(),
        root_public_key: "bb".to_owned(),
        created_at: NOW,
    }
}
