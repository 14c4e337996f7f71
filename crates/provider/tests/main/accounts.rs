//! Signing in: passwords, back-off, tokens, and how soon a change is in force.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use restock_names::{Clock, ManualClock, SystemClock};
use restock_provider::account::{Accounts, BackOffLimits, Secret, SignInRefusal, SignedIn};
use restock_provider::admin::{AdminAnswer, AdminOperation, PermissionRow};
use restock_provider::rights::{object_types, operations};

use crate::objects::Objects;
use crate::site::NOW;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const RIGHT: &str = "correct horse battery";

struct Door {
    site: Objects,
    accounts: Accounts,
    clock: Arc<ManualClock>,
}

impl Door {
    /// A site where anna is Full Administrator.
    async fn new() -> Self {
        let site = Objects::new().await;
        let clock = Arc::new(ManualClock::new(NOW));
        let limits = BackOffLimits::default();
        let accounts = Accounts::new(site.site.database.clone(), clock.clone(), limits).unwrap();
        let door = Self { site, accounts, clock };
        door.add("anna", Some(RIGHT)).await;
        door
    }

    async fn add(&self, name: &str, password: Option<&str>) {
        let operation = AdminOperation::AddAccount {
            name: name.to_owned(),
            display_name: String::new(),
            password: password.map(Secret::new),
            permissions: vec![PermissionRow { role: "SMS0001R".to_owned(), scope: "SMS00ALL".to_owned() }],
        };
        self.site.admin(operation).await;
    }

    async fn try_sign_in(
        &self,
        name: &str,
        password: &str,
        address: IpAddr,
    ) -> Result<SignedIn, SignInRefusal> {
        self.accounts.sign_in(name, &Secret::new(password), address).await
    }

    /// What a door answers: 200, 401, 429 or 503.
    async fn status(&self, name: &str, password: &str, address: IpAddr) -> u32 {
        status(self.try_sign_in(name, password, address).await)
    }

    async fn token(&self, name: &str, role: Option<&str>, valid: Duration) -> String {
        let operation = AdminOperation::CreateToken {
            account: "anna".to_owned(),
            name: name.to_owned(),
            role: role.map(str::to_owned),
            valid_ms: u64::try_from(valid.as_millis()).unwrap(),
        };
        match self.site.admin(operation).await {
            AdminAnswer::TokenMade(made) => made.token.reveal().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    async fn token_status(&self, token: &str) -> u32 {
        status(self.accounts.sign_in_token(token).await)
    }
}

fn status<T>(result: Result<T, SignInRefusal>) -> u32 {
    match result {
        Ok(_) => 200,
        Err(SignInRefusal::Unauthorized) => 401,
        Err(SignInRefusal::TooMany(wait)) => {
            assert!(!wait.is_zero());
            429
        }
        Err(SignInRefusal::Busy) => 503,
        Err(SignInRefusal::Database(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_right_password_signs_in_and_nothing_else_does() {
    let door = Door::new().await;
    door.add("robot", None).await;
    let anna = door.try_sign_in("ANNA", RIGHT, HERE).await.unwrap();
    assert_eq!(anna.account, "anna");
    assert!(anna.rights.may_all(object_types::PACKAGE, operations::READ | operations::MODIFY));
    let wrong = [
        ("anna", "Correct horse battery"),
        ("anna", ""),
        ("nobody", RIGHT),
        ("robot", ""),
        ("", ""),
        ("anna' OR 1 = 1 --", RIGHT),
        (&"x".repeat(5_000), RIGHT),
    ];
    for (name, password) in wrong {
        assert_eq!(door.status(name, password, HERE).await, 401, "{name}");
    }
}

#[tokio::test]
async fn an_unknown_name_costs_what_a_wrong_password_costs() {
    let door = Door::new().await;
    door.add("robot", None).await;
    // The first unknown name makes the decoy.
    door.status("first", RIGHT, HERE).await;
    let mut costs = Vec::new();
    for name in ["anna", "nobody", "robot"] {
        let started = SystemClock.monotonic();
        for address in 1..4 {
            assert_eq!(door.status(name, "wrong", IpAddr::from([198, 51, 100, address])).await, 401);
        }
        costs.push(started.elapsed());
    }
    let (least, most) = (costs.iter().min().unwrap(), costs.iter().max().unwrap());
    assert!(*most < *least * 4, "a wrong password, an unknown name, no password: {costs:?}");
}

#[tokio::test]
async fn ten_thousand_wrong_passwords_cost_a_few_runs_and_leave_others_alone() {
    let door = Door::new().await;
    let mut answers = std::collections::BTreeMap::new();
    let started = SystemClock.monotonic();
    let attempts = (0..10_000).map(|n| {
        let door = &door;
        async move { door.status("anna", &format!("guess {n}"), HERE).await }
    });
    for status in futures_util::future::join_all(attempts).await {
        *answers.entry(status).or_insert(0_u32) += 1;
    }
    // Five are looked at; the others are told to wait before anything is hashed.
    assert_eq!(answers.get(&401), Some(&5), "{answers:?}");
    assert_eq!(answers.get(&429), Some(&9_995), "{answers:?}");
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(30), "{elapsed:?}");
    assert_eq!(door.status("anna", RIGHT, HERE).await, 429, "also the right one, from there");
    assert_eq!(door.status("anna", RIGHT, THERE).await, 200, "and not from elsewhere");
    // It ends by itself.
    door.clock.advance(Duration::from_secs(5 * 60));
    assert_eq!(door.status("anna", RIGHT, HERE).await, 200);
}

#[tokio::test]
async fn a_flood_of_names_from_one_address_leaves_room_for_others() {
    let door = Door::new().await;
    let flood = (0..200).map(|n| {
        let door = &door;
        async move { door.status(&format!("user{n}"), "guess", HERE).await }
    });
    let (flood, anna) =
        futures_util::future::join(futures_util::future::join_all(flood), door.status("anna", RIGHT, THERE))
            .await;
    assert_eq!(anna, 200);
    let looked_at = flood.iter().filter(|status| **status == 401).count();
    assert!((1..=20).contains(&looked_at), "{looked_at}");
    assert!(flood.iter().all(|status| [401, 429].contains(status)), "{flood:?}");
}

#[tokio::test]
async fn many_connections_with_one_right_credential_are_one_attempt() {
    let door = Door::new().await;
    let same = (0..50).map(|_| door.status("anna", RIGHT, HERE));
    let answers = futures_util::future::join_all(same).await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
}

#[tokio::test]
async fn a_remembered_credential_is_forgotten_with_every_change() {
    let door = Door::new().await;
    assert_eq!(door.status("anna", RIGHT, HERE).await, 200);
    let started = SystemClock.monotonic();
    for _ in 0..50 {
        assert_eq!(door.status("anna", RIGHT, HERE).await, 200);
    }
    let remembered = started.elapsed() / 50;
    assert!(remembered < Duration::from_millis(20), "{remembered:?} each: nothing is hashed");

    let set = |password: &str| AdminOperation::SetPassword {
        account: "anna".to_owned(),
        password: Some(Secret::new(password)),
    };
    door.site.admin(set("another password")).await;
    assert_eq!(door.status("anna", RIGHT, HERE).await, 401);
    assert_eq!(door.status("anna", "another password", HERE).await, 200);

    let disable = |is_disabled| AdminOperation::SetDisabled { account: "anna".to_owned(), is_disabled };
    door.site.admin(disable(true)).await;
    assert_eq!(door.status("anna", "another password", HERE).await, 401);
    door.site.admin(disable(false)).await;
    assert_eq!(door.status("anna", "another password", HERE).await, 200);

    let revoke = AdminOperation::Revoke {
        account: "anna".to_owned(),
        role: "Full Administrator".to_owned(),
        scope: "All".to_owned(),
    };
    door.site.admin(revoke).await;
    let anna = door.try_sign_in("anna", "another password", HERE).await.unwrap();
    assert!(!anna.rights.may_type(object_types::PACKAGE, operations::READ), "rights go at once");

    door.site.admin(AdminOperation::RemoveAccount { account: "anna".to_owned() }).await;
    assert_eq!(door.status("anna", "another password", THERE).await, 401);
}

#[tokio::test]
async fn a_changed_role_is_in_force_with_the_next_request() {
    let door = Door::new().await;
    door.site.import_package_team().await;
    let add = AdminOperation::AddAccount {
        name: "team".to_owned(),
        display_name: String::new(),
        password: Some(Secret::new(RIGHT)),
        permissions: vec![PermissionRow { role: "Package team".to_owned(), scope: "Default".to_owned() }],
    };
    door.site.admin(add).await;
    let may_delete = async || {
        let team = door.try_sign_in("team", RIGHT, HERE).await.unwrap();
        team.rights.may_type(object_types::PACKAGE, operations::DELETE)
    };
    assert!(may_delete().await);
    let xml = super::rights::PACKAGE_TEAM.replace("805446679", "1");
    door.site.admin(AdminOperation::ImportRole { xml, overwrite: true }).await;
    assert!(!may_delete().await);
}

#[tokio::test]
async fn tokens_end_are_revoked_and_may_hold_less() {
    let door = Door::new().await;
    let token = door.token("t", None, Duration::from_secs(60)).await;
    let reading = door.token("reading", Some("SMS0002R"), Duration::from_secs(3_600)).await;
    let anna = door.accounts.sign_in_token(&token).await.unwrap();
    assert!(anna.rights.may_all(object_types::PACKAGE, operations::MODIFY));
    let limited = door.accounts.sign_in_token(&reading).await.unwrap();
    assert!(limited.rights.may_all(object_types::PACKAGE, operations::READ));
    assert!(!limited.rights.may_type(object_types::PACKAGE, operations::MODIFY));

    let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm5hIn0.";
    let signed = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl";
    let mut other = token.clone();
    let last = if other.pop() == Some('A') { 'E' } else { 'A' };
    other.push(last);
    for wrong in ["", "rst_", jwt, signed, &other, &token[..46], &format!("{token}=")] {
        assert_eq!(door.token_status(wrong).await, 401, "{wrong}");
    }
    let AdminAnswer::Tokens(rows) = door.site.admin(AdminOperation::ListTokens { account: None }).await
    else {
        panic!()
    };
    assert!(rows.iter().all(|row| row.last_used_at == Some(NOW)), "{rows:?}");

    let revoke = AdminOperation::RevokeToken { account: "anna".to_owned(), name: "reading".to_owned() };
    door.site.admin(revoke).await;
    assert_eq!(door.token_status(&reading).await, 401);
    door.clock.advance(Duration::from_secs(59));
    assert_eq!(door.token_status(&token).await, 200);
    door.clock.advance(Duration::from_secs(1));
    assert_eq!(door.token_status(&token).await, 401);
}

#[tokio::test]
async fn a_principal_signs_in_its_account_until_its_ticket_ends() {
    let door = Door::new().await;
    let name = || "anna@EXAMPLE.COM".to_owned();
    let until = NOW.after(Duration::from_secs(60));
    let (anna, bert) = ("anna".to_owned(), "bert".to_owned());
    door.add("bert", None).await;
    assert_eq!(status(door.accounts.sign_in_principal(&name(), until).await), 401);
    door.site.admin(AdminOperation::AddPrincipal { account: anna.clone(), principal: name() }).await;
    let (signed_in, identity) = door.accounts.sign_in_principal(&name(), until).await.unwrap();
    assert_eq!(signed_in.account, "anna");
    assert!(signed_in.rights.may_all(object_types::PACKAGE, operations::MODIFY));
    for other in ["ANNA@EXAMPLE.COM", "anna@EXAMPLE.com", "anna", "", &"a".repeat(2_000)] {
        assert_eq!(status(door.accounts.sign_in_principal(other, until).await), 401, "{other}");
    }
    let again = async || status(door.accounts.sign_in_principal_again(&identity).await);
    assert_eq!(again().await, 200);
    // Another account's from now on: whoever came as anna does not become bert.
    door.site.admin(AdminOperation::RemovePrincipal { account: anna.clone(), principal: name() }).await;
    assert_eq!(again().await, 401);
    door.site.admin(AdminOperation::AddPrincipal { account: bert.clone(), principal: name() }).await;
    assert_eq!(again().await, 401);
    door.site.admin(AdminOperation::RemovePrincipal { account: bert, principal: name() }).await;
    door.site.admin(AdminOperation::AddPrincipal { account: anna.clone(), principal: name() }).await;
    assert_eq!(again().await, 200);
    door.site.admin(AdminOperation::SetDisabled { account: anna.clone(), is_disabled: true }).await;
    assert_eq!(again().await, 401);
    assert_eq!(status(door.accounts.sign_in_principal(&name(), until).await), 401);
    door.site.admin(AdminOperation::SetDisabled { account: anna, is_disabled: false }).await;
    door.clock.advance(Duration::from_secs(59));
    assert_eq!(again().await, 200);
    door.clock.advance(Duration::from_secs(1));
    assert_eq!(again().await, 401, "the ticket is over");
}
