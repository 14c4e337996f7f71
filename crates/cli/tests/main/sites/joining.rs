//! Tokens, joining, leaving, being removed.

use std::time::Duration;

use restock_names::{Clock, SystemClock};
use sqlx::{AnyConnection, Connection};

use super::{Sites, row};
use crate::support::{Ran, json};

/// Code of the refusal and exit code.
#[track_caller]
fn refusal(ran: &Ran) -> (i32, String) {
    let error = ran.document()["error"].clone();
    assert!(error["try"][0].is_string(), "a next step: {error}");
    (ran.code, error["code"].as_str().unwrap_or_default().to_owned())
}

fn join(sites: &Sites, code: &str, parent: &str, token: &str) -> Ran {
    sites.ask(code, &["site", "join", "--parent", &sites.url(parent), "--token", token])
}

#[test]
fn a_token_lets_one_site_in_once_under_its_name_and_for_a_time() {
    let mut sites = Sites::new();
    sites.top("ABC");
    for code in ["DEF", "GHI"] {
        sites.init(code, &[]).done();
    }
    let token = sites.token("ABC", "DEF");
    assert_eq!(refusal(&join(&sites, "GHI", "ABC", &token)), (6, "TOKEN_NAME".to_owned()));
    let point = sites.ask("ABC", &["token", "create", "DEF"]).done();
    let point = point["token"].as_str().unwrap();
    assert_eq!(refusal(&join(&sites, "DEF", "ABC", point)), (6, "TOKEN_KIND".to_owned()));

    // The refused attempts did not use it up.
    assert_eq!(join(&sites, "DEF", "ABC", &token).done()["parent"], "ABC");
    // Another machine that calls itself DEF comes too late with it.
    let free = "127.0.0.1:0";
    let other = sites.path("other");
    json(&other, &["site", "init", "--code", "DEF", "--listen", free]).done();
    let again = ["site", "join", "--parent", &sites.url("ABC"), "--token", &token];
    assert_eq!(refusal(&json(&other, &again)), (6, "TOKEN_USED".to_owned()));

    let late = sites.token("ABC", "GHI");
    sites.stop("ABC");
    // Long enough for the start, which forgets tokens that are over.
    let ends = SystemClock.now().after(Duration::from_secs(4));
    execute(&sites, "ABC", &format!("UPDATE tokens SET expires_at = {} WHERE name = 'GHI'", ends.0));
    sites.start("ABC");
    assert!(SystemClock.now() < ends, "the start took too long to show anything");
    while SystemClock.now() <= ends {
        sites.ask("ABC", &["site", "tree"]).done();
    }
    assert_eq!(refusal(&join(&sites, "GHI", "ABC", &late)), (6, "TOKEN_EXPIRED".to_owned()));
    let tree = sites.ask("ABC", &["site", "tree"]).done();
    assert!(row(&tree, "GHI").is_null() && row(&tree, "DEF").is_object(), "{tree}");
    let refused = sites.ask("DEF", &again_with_new(&sites, "ABC", "DEF"));
    assert_eq!(refusal(&refused).0, 6, "a site has one site above it: {refused:?}");
}

fn again_with_new(sites: &Sites, parent: &str, code: &str) -> Vec<&'static str> {
    let words = ["site", "join", "--parent", &sites.url(parent), "--token", &sites.token(parent, code)]
        .map(str::to_owned);
    words.into_iter().map(|word| &*word.leak()).collect()
}

fn execute(sites: &Sites, code: &str, statement: &str) {
    let path = sites.path(code).join("site.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
        let done =
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{statement}");
        connection.close().await.unwrap();
    });
}

#[test]
fn a_site_that_cannot_be_reached_is_not_joined_and_can_be_joined_later() {
    let mut sites = Sites::new();
    sites.top("ABC");
    let (token, url) = (sites.token("ABC", "DEF"), sites.url("ABC"));
    sites.stop("ABC");
    let ran = sites.init("DEF", &["--parent", &url, "--token", &token]);
    assert_eq!(refusal(&ran), (3, "LINK_CONNECT".to_owned()), "the site is made, and stands alone: {ran:?}");
    let hint = ran.document()["error"]["try"].to_string();
    assert!(hint.contains("site join --parent"), "{hint}");
    sites.start("ABC");
    assert_eq!(join(&sites, "DEF", "ABC", &token).done()["parent"], "ABC");
    sites.start("DEF");
    sites.until_up("DEF", "ABC");
}

#[test]
fn a_site_leaves_stands_alone_and_joins_again() {
    let mut sites = Sites::pair();
    let left = sites.ask("DEF", &["site", "leave"]).done();
    assert_eq!((&left["parent"], &left["is_told"]), (&"ABC".into(), &true.into()), "{left}");
    let again = sites.ask("DEF", &["site", "leave"]);
    assert_eq!(refusal(&again), (6, "SITE_TOP".to_owned()));
    let tree = sites.ask("DEF", &["site", "tree"]).done();
    assert!(row(&tree, "DEF")["parent"].is_null(), "{tree}");
    sites.poll("ABC", &["site", "tree"], |tree| row(tree, "DEF")["status"] == "deleted");

    sites.stop("DEF");
    let token = sites.token("ABC", "DEF");
    assert_eq!(join(&sites, "DEF", "ABC", &token).done()["parent"], "ABC");
    sites.start("DEF");
    sites.until_up("DEF", "ABC");
    sites.poll("ABC", &["site", "tree"], |tree| row(tree, "DEF")["status"] == "active");
}

#[test]
fn a_removed_site_does_not_come_back_with_the_token_it_joined_with() {
    let mut sites = Sites::new();
    sites.top("ABC");
    sites.init("DEF", &[]).done();
    let token = sites.token("ABC", "DEF");
    join(&sites, "DEF", "ABC", &token).done();
    sites.ask("ABC", &["site", "remove", "DEF"]).done();
    sites.ask("DEF", &["site", "leave"]).done();
    assert_eq!(refusal(&join(&sites, "DEF", "ABC", &token)), (6, "TOKEN_USED".to_owned()));
    let fresh = sites.token("ABC", "DEF");
    assert_eq!(join(&sites, "DEF", "ABC", &fresh).done()["parent"], "ABC");
}

#[test]
fn a_removed_site_is_cut_off_at_once_and_shows_why() {
    let sites = Sites::pair();
    assert_eq!(refusal(&sites.ask("ABC", &["site", "remove", "GHI"])).0, 4, "no such site");
    assert_eq!(refusal(&sites.ask("ABC", &["site", "remove", "ABC"])).0, 6, "not itself");
    let removed = sites.ask("ABC", &["site", "remove", "def"]).done();
    assert_eq!(removed["site_code"], "DEF");
    // The open link is closed; the next attempt hears the reason.
    let tree = sites.poll("DEF", &["site", "tree"], |tree| row(tree, "ABC")["why"]["rule"] == "IDENTITY");
    assert_eq!(row(&tree, "ABC")["link"]["is_connected"], false, "{tree}");
    let text = crate::support::restock(&sites.path("DEF"), &["site", "tree"]).stdout;
    assert!(text.contains("IDENTITY"), "{text}");
    // What it has goes on being served and can be worked with.
    sites.ask("DEF", &["status"]).done();
    let tree = sites.ask("ABC", &["site", "tree"]).done();
    assert_eq!(row(&tree, "DEF")["status"], "deleted", "{tree}");
}
