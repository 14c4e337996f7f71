//! Accounts, roles, scopes, tokens and the audit trail, once on each engine.

use restock_names::{Digest, Epoch, Timestamp};
use restock_sitedb::admin::{
    Account, AdminCertificate, AdminPrincipal, ApiToken, Membership, NtlmSecret, PasswordHash, Permission,
    Role, SCOPE_ALL, SCOPE_DEFAULT, Scope, Stamp, TYPE_PACKAGE, TYPE_POINT, TYPE_SITE,
};
use restock_sitedb::audit::{AuditMessage, Record, Subject};
use restock_sitedb::message::Severity;
use restock_sitedb::site::Site;
use restock_sitedb::{DatabaseError, Tx};

use crate::server::{Cluster, Fresh, sqlite};

const NOW: Timestamp = Timestamp(1_795_000_000_000_000);

fn stamp() -> Stamp {
    Stamp { by: "root".to_owned(), at: NOW }
}

fn account(id: u32, name: &str) -> Account {
    Account {
        id,
        logon_name: name.to_owned(),
        display_name: "Anna".to_owned(),
        password: Some(PasswordHash("$argon2id$x".to_owned())),
        generation: 1,
        is_disabled: false,
        created: stamp(),
        modified: stamp(),
    }
}

fn role(id: &str, name: &str) -> Role {
    Role {
        id: id.to_owned(),
        name: name.to_owned(),
        description: "d".to_owned(),
        copied_from: "SMS0009R".to_owned(),
        is_built_in: false,
        created: stamp(),
        modified: stamp(),
        operations: [(2, 805_446_679), (31, u32::MAX)].into(),
    }
}

fn permission(role: &str, scope: &str) -> Permission {
    Permission { role: role.to_owned(), scope: scope.to_owned() }
}

async fn check(fresh: &Fresh) {
    let done: Result<(), DatabaseError> = fresh
        .database
        .transact("check", |tx| {
            Box::pin(async move {
                built_in(tx).await?;
                accounts_and_roles(tx).await?;
                scopes(tx).await?;
                tokens(tx).await?;
                secrets_and_certificates(tx).await?;
                audit(tx).await
            })
        })
        .await;
    done.unwrap();
}

async fn built_in(tx: &mut Tx) -> Result<(), DatabaseError> {
    let site = Site {
        code: "XYZ".parse().unwrap(),
        epoch: Epoch::FIRST,
        ca_fingerprint: "ca".to_owned(),
        root_public_key: "root".to_owned(),
        created_at: NOW,
    };
    tx.insert_site(&site).await?;
    let roles = tx.roles().await?;
    let ids: Vec<&str> = roles.iter().map(|role| role.id.as_str()).collect();
    assert_eq!(ids, ["SMS0001R", "SMS0002R", "SMS0008R", "SMS0009R", "SMS000BR", "SMS000ER", "SMS000FR"]);
    assert!(roles.iter().all(|role| role.is_built_in && role.created.at == NOW));
    assert_eq!(tx.role("sms0009r").await?.unwrap().operations[&42], 9);
    let scopes: Vec<String> = tx.scopes().await?.into_iter().map(|scope| scope.id).collect();
    assert_eq!(scopes, [SCOPE_ALL, SCOPE_DEFAULT]);
    assert_eq!(tx.scopes_of_object(TYPE_SITE, "xyz").await?, [SCOPE_DEFAULT]);
    Ok(())
}

async fn accounts_and_roles(tx: &mut Tx) -> Result<(), DatabaseError> {
    let number = tx.next_account_number().await?;
    assert!(number > 0x0100_0000);
    let anna = account(number, "CORP\\anna");
    assert!(tx.insert_account(&anna).await?);
    assert!(!tx.insert_account(&account(number + 1, "corp\\ANNA")).await?, "names have no letter case");
    assert_eq!(tx.account_named("corp\\Anna").await?, Some(anna.clone()));
    let team = role("XYZ00001", "Team");
    assert!(tx.insert_role(&team).await?);
    assert!(!tx.insert_role(&role("XYZ00002", "TEAM")).await?);
    assert_eq!(tx.role_named("team").await?, Some(team.clone()));
    tx.set_permissions(number, &[permission("XYZ00001", SCOPE_ALL)], "root", NOW).await?;
    assert_eq!(tx.account(number).await?.unwrap().generation, 2);
    let grants = tx.grants(number).await?;
    assert_eq!(grants.len(), 2);
    assert_eq!(grants[1].operations, Some((31, u32::MAX)));
    assert_eq!(tx.scopes_of_role("xyz00001").await?, [SCOPE_ALL]);
    assert!(tx.is_role_in_use("XYZ00001").await? && !tx.is_role_in_use("SMS0001R").await?);
    let before = tx.state_of(&Subject::Role("XYZ00001".to_owned())).await?.unwrap();
    tx.update_role(&Role { operations: [(2, 1)].into(), ..team }).await?;
    assert_ne!(tx.state_of(&Subject::Role("XYZ00001".to_owned())).await?.unwrap(), before);
    assert_eq!(tx.account(number).await?.unwrap().generation, 3, "a changed role is a changed account");
    assert_eq!(tx.role_operations("XYZ00001").await?, [(2, 1)].into());
    tx.update_account(&Account { password: None, is_disabled: true, ..anna }).await?;
    let after = tx.account(number).await?.unwrap();
    assert_eq!((after.password, after.is_disabled, after.generation), (None, true, 4));
    assert!(tx.delete_account(number).await?);
    assert_eq!(tx.permissions(number).await?, []);
    assert!(tx.delete_role("XYZ00001").await?);
    Ok(())
}

async fn scopes(tx: &mut Tx) -> Result<(), DatabaseError> {
    let north = Scope {
        id: "XYZ00001".to_owned(),
        name: "North".to_owned(),
        description: String::new(),
        is_built_in: false,
        created: stamp(),
        modified: stamp(),
    };
    assert!(tx.insert_scope(&north).await?);
    assert_eq!(tx.scope_named("NORTH").await?, Some(north));
    tx.enrol_point(&"DP01".parse().unwrap(), "f", NOW, NOW).await?;
    tx.enrol_point(&"DP01".parse().unwrap(), "g", NOW, NOW).await?;
    assert_eq!(tx.scopes_of_object(TYPE_POINT, "dp01").await?, [SCOPE_DEFAULT]);
    let member =
        Membership { scope: "XYZ00001".to_owned(), object_type: TYPE_PACKAGE, object: "XYZ00001".to_owned() };
    assert!(tx.add_to_scope(&member).await? && !tx.add_to_scope(&member).await?);
    assert!(tx.is_scope_in_use("XYZ00001").await?);
    assert_eq!(tx.members_of_scope("xyz00001", 10).await?, std::slice::from_ref(&member));
    assert!(tx.remove_from_scope(&member).await? && !tx.remove_from_scope(&member).await?);
    assert!(tx.delete_scope("XYZ00001").await?);
    Ok(())
}

async fn tokens(tx: &mut Tx) -> Result<(), DatabaseError> {
    tx.insert_account(&account(7, "robot")).await?;
    let token = ApiToken {
        hash: Digest([7; 32]),
        account: 7,
        name: "nightly".to_owned(),
        role: Some("SMS0002R".to_owned()),
        created_at: NOW,
        expires_at: Timestamp(NOW.0 + 1),
        last_used_at: None,
        revoked_at: None,
    };
    assert!(tx.insert_api_token(&token).await?);
    assert!(!tx.insert_api_token(&ApiToken { hash: Digest([8; 32]), ..token.clone() }).await?);
    assert_eq!(tx.api_token(Digest([7; 32])).await?, Some(token));
    tx.api_token_used(Digest([7; 32]), NOW).await?;
    tx.api_token_used(Digest([7; 32]), Timestamp(NOW.0 + 1_000_000)).await?;
    assert_eq!(tx.api_token(Digest([7; 32])).await?.unwrap().last_used_at, Some(NOW), "to the minute");
    assert!(tx.revoke_api_token(7, "NIGHTLY", NOW).await? && !tx.revoke_api_token(7, "nightly", NOW).await?);
    assert_eq!(tx.api_tokens(Some(7)).await?, tx.api_tokens(None).await?);
    tx.delete_account(7).await?;
    assert_eq!(tx.api_token(Digest([7; 32])).await?, None);
    Ok(())
}

async fn secrets_and_certificates(tx: &mut Tx) -> Result<(), DatabaseError> {
    tx.insert_account(&account(8, "bert")).await?;
    assert!(!tx.has_ntlm_secrets().await?);
    let secret = NtlmSecret { account: 8, sealed: vec![1, 2], is_forced: false, created: stamp() };
    tx.set_ntlm_secret(&secret).await?;
    let other = NtlmSecret { sealed: vec![3], is_forced: true, ..secret };
    tx.set_ntlm_secret(&other).await?;
    assert!(tx.has_ntlm_secrets().await?);
    assert_eq!(tx.ntlm_secret(8).await?, Some(other));
    assert_eq!(tx.ntlm_secret(9).await?, None);
    assert!(tx.delete_ntlm_secret(8).await? && !tx.delete_ntlm_secret(8).await?);
    let certificate = AdminCertificate {
        fingerprint: Digest([5; 32]),
        account: 8,
        name: "laptop".to_owned(),
        subject: "CN=bert".to_owned(),
        not_before: NOW,
        not_after: Timestamp(NOW.0 + 1),
        created: stamp(),
    };
    assert!(tx.insert_admin_certificate(&certificate).await?);
    assert!(!tx.insert_admin_certificate(&certificate).await?, "the same certificate");
    let same_name = AdminCertificate { fingerprint: Digest([6; 32]), ..certificate.clone() };
    assert!(!tx.insert_admin_certificate(&same_name).await?);
    assert_eq!(tx.admin_certificate(Digest([5; 32])).await?.as_ref(), Some(&certificate));
    assert_eq!(tx.admin_certificates(Some(8)).await?, [certificate]);
    assert!(tx.delete_admin_certificate(8, "LAPTOP").await?);
    assert!(!tx.delete_admin_certificate(8, "laptop").await?);
    tx.insert_admin_certificate(&same_name).await?;
    let principal = AdminPrincipal { principal: "Bert@X".to_owned(), account: 8, created: stamp() };
    let lower = AdminPrincipal { principal: "bert@X".to_owned(), ..principal.clone() };
    assert!(tx.insert_admin_principal(&principal).await? && !tx.insert_admin_principal(&principal).await?);
    assert!(tx.insert_admin_principal(&lower).await?, "letter case counts");
    assert_eq!(tx.admin_principal("Bert@X").await?.as_ref(), Some(&principal));
    assert_eq!(tx.admin_principal("BERT@X").await?, None);
    let mut listed = tx.admin_principals(Some(8)).await?;
    listed.sort_by(|a, b| a.principal.cmp(&b.principal));
    assert_eq!(listed, [principal, lower]);
    assert!(!tx.delete_admin_principal(9, "bert@X").await?, "another's");
    assert!(tx.delete_admin_principal(8, "bert@X").await? && !tx.delete_admin_principal(8, "bert@X").await?);
    tx.delete_account(8).await?;
    assert_eq!(tx.admin_certificates(None).await?, []);
    assert_eq!(tx.admin_principals(None).await?, []);
    Ok(())
}

async fn audit(tx: &mut Tx) -> Result<(), DatabaseError> {
    assert_eq!(tx.audit_head().await?, None);
    let record = |sequence: u64| Record {
        sequence,
        at: NOW,
        account: "anna".to_owned(),
        address: "::1".to_owned(),
        door: "control".to_owned(),
        operation: "PutInstance".to_owned(),
        path: "SMS_Package.PackageID=\"XYZ00001\"".to_owned(),
        method: String::new(),
        parameters: "{}".to_owned(),
        package: (sequence == 2).then(|| "XYZ00001".to_owned()),
        result: u32::MAX,
        correlation: "c".to_owned(),
        before: (sequence == 2).then_some(Digest([1; 32])),
        after: None,
        hash: Digest([9; 32]),
    };
    for sequence in 1..=3 {
        tx.append_audit_record(&record(sequence)).await?;
    }
    assert_eq!(tx.audit_head().await?, Some((3, Digest([9; 32]))));
    assert_eq!(tx.audit_records(1, 1).await?, [record(2)]);
    let message = AuditMessage {
        id: 30_001,
        severity: Severity::Info,
        package: Some("XYZ00001".parse().unwrap()),
        user: "anna".to_owned(),
        strings: ["1", "2", "3", "4", "5", "6", "7", "8"].map(str::to_owned),
    };
    tx.raise_audit_message(&message, NOW).await?;
    assert_eq!(tx.messages(None, None, 10).await?, [], "the list is of the site's components");
    Ok(())
}

#[tokio::test]
async fn sqlite_keeps_accounts_roles_scopes_tokens_and_records() {
    check(&sqlite().await).await;
}

#[tokio::test]
async fn postgres_keeps_accounts_roles_scopes_tokens_and_records() {
    let Some(cluster) = Cluster::start() else { return };
    check(&cluster.database("admin").await).await;
}
