//! A site whose neighbour above has not vouched for what it tells says since when.

use std::os::unix::fs::PermissionsExt as _;

use restock_content::statement::Head;
use restock_names::{Clock as _, SystemClock, Timestamp};

use crate::world::{Running, code};

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_says_since_when_the_site_above_vouches_for_nothing() {
    let top = Running::top("TOP").await;
    let low = top.below("LOW").await;
    assert!(low.tree_row("TOP").await.why.is_none_or(|why| !why.text.contains("stale since")));
    let trust = top.site.shared_trust();
    let (config, folder) = low.stop().await;
    top.stop().await;
    // The last that was heard of it has expired an hour ago.
    let now = SystemClock.now();
    let since = Timestamp(now.0 - 3_600_000_000);
    let made = Timestamp(since.0 - 86_400_000_000);
    let head = Head::sign(code("TOP"), (made, since), 1, trust.signing_key());
    let path = config.data.join("join/head");
    std::fs::write(&path, head.encode()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let low = Running::start(config, folder).await;
    // Beside why the link is down, once that is known.
    let text = low.tree_row("TOP").await.why.unwrap().text;
    assert!(text.ends_with(&format!("stale since {since}")), "{text}");
}
