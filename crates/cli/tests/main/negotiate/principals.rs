//! Principals of Kerberos: who may sign in as whom. What needs no tickets.

use crate::adminservice::door::Door;

#[test]
fn principals_are_registered_for_one_account_and_removed() {
    let door = Door::new(&[]);
    door.account("anna", Some("SMS0002R"));
    door.account("bert", Some("SMS0002R"));
    let add =
        |account: &str, principal: &str| door.world.ask(&["admin", "kerberos", "add", account, principal]);
    let made = add("anna", "anna@EXAMPLE.COM").done();
    assert_eq!(
        (&made["account"], &made["principal"]),
        (&"anna".into(), &"anna@EXAMPLE.COM".into()),
        "{made}"
    );
    for (account, principal, code) in [
        ("anna", "anna@EXAMPLE.COM", "ALREADY_EXISTS"),
        ("bert", "anna@EXAMPLE.COM", "ALREADY_EXISTS"),
        ("bert", "bert", "NAME_INVALID"),
        ("nobody", "nobody@EXAMPLE.COM", "NOT_FOUND"),
    ] {
        let refused = add(account, principal);
        assert_ne!(refused.code, 0);
        assert_eq!(refused.document()["error"]["code"], code, "{refused:?}");
    }
    add("bert", "Anna@EXAMPLE.COM").done();
    let listed = |arguments: &[&str]| {
        let rows = door.world.ask(&[&["admin", "kerberos", "list"], arguments].concat()).done();
        rows.as_array().unwrap().len()
    };
    assert_eq!((listed(&[]), listed(&["anna"]), listed(&["bert"])), (2, 1, 1));
    assert_ne!(door.world.ask(&["admin", "kerberos", "remove", "bert", "anna@EXAMPLE.COM"]).code, 0);
    door.world.ask(&["admin", "kerberos", "remove", "anna", "anna@EXAMPLE.COM"]).done();
    assert_eq!((listed(&[]), listed(&["anna"])), (1, 0));
    door.world.ask(&["admin", "account", "remove", "bert"]).done();
    assert_eq!(listed(&[]), 0, "they go with the account");
    // Nobody offers tickets without a keytab.
    let offer = door.request_as("", "GET", "/AdminService/wmi/SMS_Site", &[], "").headers;
    assert!(!offer.contains("Negotiate"), "{offer}");
}

#[cfg(not(feature = "kerberos"))]
#[test]
fn a_keytab_is_refused_by_a_program_that_was_built_without_kerberos() {
    use crate::support::json;

    let folder = tempfile::TempDir::with_prefix("restock-keytab-").unwrap();
    let data = folder.path().join("site");
    json(&data, &["site", "init", "--listen", "127.0.0.1:0"]).done();
    let file = data.join("restock.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("keytab = \"\"", "keytab = \"http.keytab\"", 1)).unwrap();
    let refused = json(&data, &["site", "run"]);
    assert_eq!(
        (refused.code, &refused.document()["error"]["code"]),
        (2, &"KERBEROS_NOT_BUILT".into()),
        "{refused:?}"
    );
}
