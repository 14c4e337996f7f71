//! Joining a site, and being let in afterwards.

use std::os::unix::fs::MetadataExt;

use restock_names::SystemClock;
use restock_transfer::{DpIdentity, EnrolError, LinkError, PullError, SiteTrust, TokenKind, enrol};

use crate::world::{World, content, eventually, files, in_runtime, options};

fn code(error: &EnrolError) -> String {
    match error {
        EnrolError::Link(LinkError::Refused(refusal)) => refusal.code.clone(),
        EnrolError::Link(error) => error.code().to_owned(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_token_enrols_one_machine_under_its_name() {
    in_runtime(async {
        let world = World::new().await;
        let token = world.token("DP01");
        let folder = world.path("dp");
        let identity = enrol(&world.url(), &token, &folder).await.unwrap();
        assert_eq!((identity.site(), identity.name().as_str()), (world.trust.site(), "DP01"));
        assert_eq!(identity.key_list(), *world.trust.key_list());
        for entry in std::fs::read_dir(&folder).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o7777, 0o600);
        }
        assert_eq!(DpIdentity::open(&folder).unwrap().fingerprint(), identity.fingerprint());
        let again = enrol(&world.url(), &token, &world.path("other")).await.unwrap_err();
        assert_eq!(code(&again), "TOKEN_USED");
        // A machine whose answer was lost comes back with the same key.
        std::fs::remove_file(folder.join("certificate.pem")).unwrap();
        assert_eq!(enrol(&world.url(), &token, &folder).await.unwrap().fingerprint(), identity.fingerprint());
        let stranger = world.trust.new_token(TokenKind::DistributionPoint, &"DP09".parse().unwrap()).unwrap();
        let refused = enrol(&world.url(), &stranger, &world.path("third")).await.unwrap_err();
        assert_eq!(code(&refused), "TOKEN_UNKNOWN");
    });
}

#[test]
fn nothing_is_sent_to_a_site_whose_authority_the_token_does_not_name() {
    in_runtime(async {
        let world = World::new().await;
        let other = SiteTrust::create(&world.path("trust2"), world.trust.site(), &SystemClock).unwrap();
        let token = other.new_token(TokenKind::DistributionPoint, &"DP01".parse().unwrap()).unwrap();
        world.side.tokens.lock().unwrap().insert(token.hash(), ("DP01".parse().unwrap(), None));
        let refused = enrol(&world.url(), &token, &world.path("dp")).await.unwrap_err();
        assert_eq!(code(&refused), "LINK_TLS");
        assert_eq!(*world.side.enrol_calls.lock().unwrap(), 0);
    });
}

#[test]
fn a_point_that_was_removed_or_re_enrolled_elsewhere_is_not_let_in() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        let statement = world.publish(1, &files(3, 100));
        // Another machine took the name: the first one's key is not the enrolled one any more.
        let name = point.identity.name().clone();
        let second = world.point("DP02").await;
        world.side.enrolled.lock().unwrap().insert(name.clone(), second.identity.fingerprint());
        let refused = point.install(&statement, &options()).await.unwrap_err();
        assert!(
            matches!(&refused, PullError::Link(LinkError::Refused(r)) if r.code == "IDENTITY"),
            "{refused}"
        );
        world.side.enrolled.lock().unwrap().remove(&name);
        let refused = point.install(&statement, &options()).await.unwrap_err();
        assert_eq!((refused.code().as_str(), refused.is_transient()), ("IDENTITY", false));
    });
}

#[test]
fn a_certificate_of_another_authority_ends_the_handshake() {
    in_runtime(async {
        let world = World::new().await;
        let stranger = World::new().await;
        let point = stranger.point_at("DP01", &world.url()).await;
        let statement = world.publish(1, &files(3, 100));
        let refused = point.install(&statement, &options()).await.unwrap_err();
        assert_eq!(refused.code(), "LINK_TLS");
    });
}

#[test]
fn a_version_the_point_has_no_right_to_is_refused() {
    in_runtime(async {
        let world = World::new().await;
        let point = world.point("DP01").await;
        let statement = world.publish(1, &files(3, 100));
        world.side.forbidden.lock().unwrap().push(content(1).package);
        let refused = point.install(&statement, &options()).await.unwrap_err();
        assert_eq!((refused.code().as_str(), refused.is_transient()), ("NOT_AUTHORISED", false));
        assert!(point.library.active(&content(1).package).is_none());
        world.side.forbidden.lock().unwrap().clear();
        point.install(&statement, &options()).await.unwrap();
        eventually("the site counted what it sent", || *world.side.sent.lock().unwrap() > 0).await;
    });
}
