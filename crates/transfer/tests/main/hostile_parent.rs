//! A site above, or a site, that means harm while it serves content: each of its ways is refused with
//! the reason said and logged, what is held stays whole, and an honest one finishes what was begun.

use std::future::Future;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use restock_content::library::Library;
use restock_content::manifest::ManifestRoot;
use restock_content::transfer::{AcceptedStatement, FrameHeader};
use restock_transfer::{PullError, PullOptions, PullProgress, PullSource, SiteUpstream, SiteUrl, pull};

use crate::hierarchy::Below;
use crate::hostile::{item, serve};
use crate::hostile_sites::sign;
use crate::log;
use crate::peer::{Listener, Peer};
use crate::world::{NoProgress, World, content, files, in_runtime, options, read_back};

/// What it does instead of serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    OtherBytes,
    OtherVersion,
    Longer,
    Endless,
    Flood,
    Replay,
    OutOfOrder,
    Cut,
    Silent,
    Drip,
    OtherSite,
    AsPoint,
    Expired,
    NotYetValid,
}

/// The certificate that it shows, when it is not the site's own.
fn shown(world: &World, mode: Mode) -> PathBuf {
    let (uri, years) = match mode {
        Mode::OtherSite => ("restock://ABC/site", (2001, 2099)),
        Mode::AsPoint => ("restock://XYZ/dp/DP01", (2001, 2099)),
        Mode::Expired => ("restock://XYZ/site", (2001, 2002)),
        Mode::NotYetValid => ("restock://XYZ/site", (2090, 2099)),
        _ => return world.path("trust/link.pem"),
    };
    let path = world.path(&format!("{mode:?}.pem"));
    sign(&world.path("trust"), uri, &world.path("trust/link-key.pem"), years, &path);
    path
}

/// Answers one request in its way; `None` ends the connection.
async fn answer(mode: Mode, mut peer: Peer, honest: Vec<(FrameHeader, Vec<u8>)>) -> Option<Peer> {
    let last = honest.len() - 1;
    for (at, (header, mut stored)) in honest.iter().cloned().enumerate() {
        match mode {
            Mode::OtherBytes if at == last => {
                let end = stored.len() - 1;
                stored[end] ^= 1;
            }
            Mode::Longer if at == last => {
                let mut longer = header;
                longer.encoding = restock_content::pack::Encoding::Raw;
                longer.raw_length += 1;
                stored.resize(longer.raw_length as usize, 0);
                return peer.send(3, &item(&longer, &stored)).await.then_some(peer);
            }
            Mode::Endless => {
                let mut is_open = peer.raw(&[0xff, 0xff, 0xff, 0xff, 3]).await;
                while is_open {
                    is_open = peer.raw(&[7; 64 << 10]).await;
                }
                return None;
            }
            Mode::Flood => {
                while peer.send(3, &item(&header, &stored)).await {}
                return None;
            }
            Mode::Replay if at == last => {
                peer.send(3, &item(&header, &stored)).await;
            }
            Mode::OutOfOrder => {
                let mut other = header;
                other.item.ordinal += 1_000_000;
                return peer.send(3, &item(&other, &stored)).await.then_some(peer);
            }
            Mode::Cut => {
                peer.close().await;
                return None;
            }
            Mode::Silent => {
                while peer.frame().await.is_some() {}
                return None;
            }
            Mode::Drip => {
                let whole = item(&header, &stored);
                let mut bytes = (1 + whole.len() as u32).to_le_bytes().to_vec();
                bytes.push(3);
                bytes.extend(whole);
                for byte in &bytes {
                    tokio::time::sleep(Duration::from_millis(4)).await;
                    if !peer.raw(&[*byte]).await {
                        return None;
                    }
                }
                continue;
            }
            _ => {}
        }
        if !peer.send(3, &item(&header, &stored)).await {
            return None;
        }
    }
    Some(peer)
}

async fn fetch(
    library: &Arc<Library>,
    source: PullSource,
    statement: &AcceptedStatement,
    options: &PullOptions,
    below: &Below,
) -> Result<(), PullError> {
    let progress: Arc<dyn PullProgress> = Arc::new(NoProgress);
    pull(source, library, statement, options, &progress, &below.run).await?;
    library.store_statement(statement).unwrap();
    library.activate(&statement.version).unwrap();
    Ok(())
}

async fn either(
    holder: impl Future<Output = ()>,
    pulled: impl Future<Output = Result<(), PullError>>,
) -> PullError {
    tokio::select! {
        () = holder => unreachable!("the holder serves for ever"),
        pulled = pulled => pulled.unwrap_err(),
    }
}

/// What the library holds is whole, and it is the first version that is served.
fn assert_unharmed(library: &Library, first: ManifestRoot, mode: Mode) {
    assert_eq!(library.active(&content(1).package).unwrap().version, content(1), "{mode:?}");
    assert!(library.audit(&first, |_| ControlFlow::Continue(())).unwrap().is_clean(), "{mode:?}");
    let check = library.check(|_| ControlFlow::Continue(())).unwrap();
    assert!(check.damaged.is_empty() && check.incomplete.is_empty(), "{mode:?}: {check:?}");
}

#[test]
fn every_harm_of_a_site_above_is_refused_with_its_reason_and_harms_nothing() {
    use Mode::*;
    let rows: [(Mode, &str); 14] = [
        (OtherBytes, "CONTENT_HASH_MISMATCH"),
        (OtherVersion, "CONTENT_HASH_MISMATCH"),
        (Longer, "CONTENT_TOO_LONG"),
        (Endless, "CONTENT_TOO_LONG"),
        (Flood, "LINK_UNEXPECTED"),
        (Replay, "LINK_UNEXPECTED"),
        (OutOfOrder, "LINK_UNEXPECTED"),
        (Cut, "CONTENT_TRUNCATED"),
        (Silent, "LINK_TIMEOUT"),
        (Drip, "LINK_RATE"),
        (OtherSite, "IDENTITY"),
        (AsPoint, "IDENTITY"),
        (Expired, "CERT_TIME"),
        (NotYetValid, "CERT_TIME"),
    ];
    in_runtime(async {
        log::listen();
        let world = World::new().await;
        let below = world.below("ABC").await;
        let first = world.publish(1, &files(60, 9_000));
        fetch(&below.library, (&below.upstream).into(), &first, &options(), &below).await.unwrap();
        let tree = files(90, 40_000);
        let second = world.publish(2, &tree);
        let folder = world.path("upstream-ABC");
        let site_file = std::fs::read_to_string(folder.join("site.json")).unwrap();
        for (mode, code) in rows {
            let (trust, key) = (world.path("trust"), world.path("trust/link-key.pem"));
            let listener = Arc::new(Listener::showing(&trust, &shown(&world, mode), &key).await);
            let url = SiteUrl::of_address(listener.address()).to_string();
            std::fs::write(folder.join("site.json"), site_file.replace(&world.url().to_string(), &url))
                .unwrap();
            let upstream = Arc::new(SiteUpstream::open(&folder, &below.trust).unwrap());
            // With the other version's pages in place of its own.
            let root = if mode == OtherVersion { first.root } else { second.root };
            let holder = serve(Arc::clone(&listener), Arc::clone(&world.library), root, |peer, honest| {
                answer(mode, peer, honest)
            });
            let strict = PullOptions {
                attempts_max: 3,
                idle: Duration::from_millis(if mode == Silent { 100 } else { 5_000 }),
                rate_min: if mode == Silent { 0 } else { 2_000 },
                rate_window: Duration::from_millis(300),
                ..options()
            };
            let pulling = fetch(&below.library, (&upstream).into(), &second, &strict, &below);
            let error = Box::pin(either(holder, pulling)).await;
            assert_eq!(error.code(), code, "{mode:?}: {error}");
            if matches!(mode, OtherSite | AsPoint) {
                assert!(error.to_string().contains("restock://XYZ/site"), "{error}");
            }
            assert_unharmed(&below.library, first.root, mode);
        }
        // What may pass was tried again and each attempt logged.
        for code in ["CONTENT_TRUNCATED", "LINK_TIMEOUT", "LINK_RATE", "CERT_TIME"] {
            assert!(log::lines(&["pull connection failed", code]).len() >= 2, "{code}");
        }
        fetch(&below.library, (&below.upstream).into(), &second, &options(), &below).await.unwrap();
        assert_eq!(read_back(&below.library, second.root), tree);
    });
}
