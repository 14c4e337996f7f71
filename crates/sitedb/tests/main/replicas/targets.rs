//! Targets at distribution points of other sites: what is shown there, and what becomes of wishes.

use restock_names::SourceVersion;
use restock_sitedb::state::TargetState::{
    Failed, Installed, Receiving, RemovalAsked, RemovalFailed, RemovalRetrying, Waiting,
};
use restock_sitedb::state::{Event, Report};
use restock_sitedb::{DatabaseError, Tx};

use super::line::Line;
use crate::change;
use crate::samples::{NOW, dp};
use crate::server::Cluster;

const ONE: Report = Report::Installed(SourceVersion(1));
const BROKEN: Report = Report::Failed { is_transient: true };
const GIVEN_UP: Report = Report::Failed { is_transient: false };

/// A package that `DPC` of the lowest site has, wished for at the top.
async fn installed(line: &mut Line) -> restock_names::PackageId {
    let id = line.package().await;
    line.wish(0, id, "DPC", Event::Added).await;
    line.publish().await;
    line.settle().await;
    assert!(line.fetch(2, id).await);
    assert!(line.report(2, id, "DPC", ONE).await);
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Installed); 3]);
    id
}

async fn a_wish_travels_and_states_come_back(mut line: Line) {
    let id = line.package().await;
    let applied = line.wish(0, id, "DPC", Event::Added).await;
    assert_eq!((applied.after, applied.started), (Some(Waiting), None), "no job of another site's");
    assert_eq!(line.target(0, id, "DPC").await.unwrap().why.unwrap().text, "waits for site CCC");
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Waiting); 3]);

    line.publish().await;
    line.settle().await;
    let below = line.target(2, id, "DPC").await.unwrap();
    assert_eq!(below.why.clone().unwrap().text, "waits for version 1 of site AAA");
    assert_eq!(line.target(0, id, "DPC").await.unwrap().why, below.why, "as its site tells");
    assert!(line.fetch(2, id).await);
    for (report, state) in [(Report::Receiving, Receiving), (ONE, Installed)] {
        assert!(line.report(2, id, "DPC", report).await);
        line.settle().await;
        assert_eq!(line.states(id, "DPC").await, [Some(state); 3]);
    }
    for place in [0, 1] {
        change!(line.nodes[place].database, |tx| {
            assert_eq!(tx.targets_due(NOW, 10).await?, []);
            assert_eq!(tx.targets_to_tell().await?, [], "settings are told by its own site");
            assert_eq!((tx.target_queue().await?, tx.all_stops().await?), ((0, None), vec![]));
        });
    }
    let messages = line.nodes[0].read(move |tx| Box::pin(tx.messages(Some(id), None, 100))).await;
    let about_points: Vec<(u32, Option<restock_names::SiteCode>)> = messages
        .iter()
        .filter(|message| message.attributes.iter().any(|(attribute, _)| *attribute == 404))
        .map(|message| (message.id, message.site))
        .collect();
    let ccc = Some("CCC".parse().unwrap());
    assert_eq!(about_points, [(2342, ccc), (2357, ccc), (8204, ccc)], "each raised once, by its site");
    assert_eq!(line.refused, []);
}

async fn a_refresh_takes_every_target_out_of_the_installed_state_at_once(mut line: Line) {
    let id = installed(&mut line).await;
    line.nodes[0].ask(id).await;
    assert_eq!(line.states(id, "DPC").await, [Some(Waiting), Some(Installed), Some(Installed)]);
    // What was said before its site heard of the request changes nothing.
    change!(line.nodes[2].database, |tx| {
        let mut target = tx.target(id, &dp("DPC")).await?.unwrap();
        target.bytes_received += 1;
        tx.put_target(&target).await?;
    });
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Waiting); 3]);
    line.publish().await;
    assert_eq!(line.states(id, "DPC").await[0], Some(Waiting));
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Waiting); 3], "the old version is not the one asked for");
    assert!(line.fetch(2, id).await);
    line.report(2, id, "DPC", Report::Installed(SourceVersion(2))).await;
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Installed); 3]);
}

async fn a_refresh_that_ends_without_a_version_puts_targets_back(mut line: Line) {
    let id = installed(&mut line).await;
    for is_heard_of in [false, true] {
        line.nodes[0].ask(id).await;
        if is_heard_of {
            line.settle().await;
        }
        assert_eq!(line.states(id, "DPC").await[0], Some(Waiting));
        change!(line.nodes[0].database, |tx| {
            let mut refresh = tx.refresh(id).await?.unwrap();
            assert!(refresh.cancel());
            tx.update_refresh(id, &refresh).await?;
            let context = super::line::context(tx, id).await?;
            tx.tell_targets(&context, Event::RefreshEnded, None).await?;
        });
        let shown = line.states(id, "DPC").await[0];
        assert_eq!(shown, Some(if is_heard_of { Waiting } else { Installed }), "as its site told last");
        line.settle().await;
        assert_eq!(line.states(id, "DPC").await, [Some(Installed); 3]);
    }
}

async fn redistribution_and_cancel_are_carried_out_once_by_its_site(mut line: Line) {
    let id = installed(&mut line).await;
    let applied = line.wish(0, id, "DPC", Event::RedistributeAsked).await;
    assert!(applied.is_change() && applied.started.is_none());
    assert_eq!(line.states(id, "DPC").await[0], Some(Waiting));
    line.settle().await;
    let job = line.target(2, id, "DPC").await.unwrap().facts.job.unwrap();
    line.settle().await;
    assert_eq!(line.target(2, id, "DPC").await.unwrap().facts.job, Some(job), "asked once, done once");
    assert!(line.wish(1, id, "DPC", Event::CancelAsked).await.is_change());
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Failed); 3]);
    let why = line.target(0, id, "DPC").await.unwrap().why.unwrap();
    assert_eq!(why.rule, "CANCELLED");
    assert_eq!(line.nodes[2].read(|tx| Box::pin(tx.all_stops())).await.len(), 1);
    line.wish(0, id, "DPC", Event::RedistributeAsked).await;
    line.settle().await;
    assert!(line.report(2, id, "DPC", ONE).await);
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Installed); 3]);
}

async fn a_cancel_at_its_own_site_is_shown_elsewhere_while_the_refresh_waits(mut line: Line) {
    let id = installed(&mut line).await;
    line.nodes[0].ask(id).await;
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Waiting); 3]);
    assert!(line.wish(2, id, "DPC", Event::CancelAsked).await.is_change());
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Failed); 3]);
    // What is said of the same request changes nothing.
    change!(line.nodes[0].database, |tx| {
        let mut refresh = tx.refresh(id).await?.unwrap();
        refresh.why = Some(restock_sitedb::Why::new("WAITING_FOR_RUN", "waits"));
        tx.update_refresh(id, &refresh).await?;
    });
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Failed); 3]);
    // One that is asked when it has ended is another.
    change!(line.nodes[0].database, |tx| {
        let mut refresh = tx.refresh(id).await?.unwrap();
        assert!(refresh.cancel());
        tx.update_refresh(id, &refresh).await?;
        let context = super::line::context(tx, id).await?;
        tx.tell_targets(&context, Event::RefreshEnded, None).await?;
    });
    line.settle().await;
    let states = line.states(id, "DPC").await;
    assert_eq!((states[0], states[1]), (states[2], states[2]));
    line.nodes[0].ask(id).await;
    assert_eq!(line.states(id, "DPC").await[0], Some(Waiting), "at once");
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Waiting); 3]);
    assert_eq!(line.refused, []);
}

async fn removal_ends_everywhere(mut line: Line) {
    let id = installed(&mut line).await;
    line.wish(0, id, "DPC", Event::RemoveAsked).await;
    assert_eq!(line.states(id, "DPC").await[0], Some(RemovalAsked));
    line.settle().await;
    for (report, state) in [(BROKEN, RemovalRetrying), (GIVEN_UP, RemovalFailed)] {
        assert!(line.report(2, id, "DPC", report).await);
        line.settle().await;
        assert_eq!(line.states(id, "DPC").await, [Some(state); 3]);
    }
    assert!(line.wish(0, id, "DPC", Event::RemoveAsked).await.is_change(), "asked again");
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(RemovalAsked); 3]);
    // While the removal is under way somebody wants it back.
    line.wish(1, id, "DPC", Event::Added).await;
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Waiting); 3]);
    line.wish(1, id, "DPC", Event::RemoveAsked).await;
    line.settle().await;
    assert!(line.report(2, id, "DPC", Report::Removed).await);
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [None; 3]);
    assert_eq!(line.refused, []);
}

async fn what_was_wished_and_taken_back_leaves_nothing(mut line: Line) {
    let id = line.package().await;
    line.wish(0, id, "DPC", Event::Added).await;
    let applied = line.wish(0, id, "DPC", Event::RemoveAsked).await;
    assert_eq!((applied.after, applied.is_change()), (None, true));
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [None; 3]);
    // It had begun below before the second wish came.
    line.wish(0, id, "DPC", Event::Added).await;
    line.settle().await;
    line.wish(1, id, "DPC", Event::RemoveAsked).await;
    line.wish(0, id, "DPC", Event::RedistributeAsked).await;
    line.settle().await;
    let states = line.states(id, "DPC").await;
    assert_eq!(states[0], states[2], "whichever wish stands, all sites show the same: {states:?}");
    assert_eq!(states[1], states[2]);
}

async fn a_wish_made_while_the_removal_ended_is_carried_out(mut line: Line) {
    let id = installed(&mut line).await;
    line.wish(2, id, "DPC", Event::RemoveAsked).await;
    line.settle().await;
    assert!(line.report(2, id, "DPC", Report::Removed).await);
    line.wish(0, id, "DPC", Event::Added).await;
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Waiting); 3], "nothing that was asked is lost");
}

async fn a_deleted_package_leaves_every_site(mut line: Line) {
    let id = installed(&mut line).await;
    line.wish(1, id, "DPB", Event::Added).await;
    line.settle().await;
    change!(line.nodes[1].database, |tx| {
        tx.mark_package_deleting(id).await?;
        let context = super::line::context(tx, id).await?;
        tx.tell_targets(&context, Event::RemoveAsked, None).await?;
    });
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(RemovalAsked); 3]);
    for (place, point) in [(1, "DPB"), (2, "DPC")] {
        let owner = line.nodes[0].read(|tx| Box::pin(tx.packages_to_forget())).await;
        assert_eq!(owner, [], "{point} has it still");
        line.report(place, id, point, Report::Removed).await;
        line.settle().await;
    }
    assert_eq!(line.states(id, "DPB").await, [None; 3]);
    assert_eq!(line.states(id, "DPC").await, [None; 3]);
    for place in [1, 2] {
        let other = line.nodes[place].read(|tx| Box::pin(tx.packages_to_forget())).await;
        assert_eq!(other, [], "the owner forgets it first");
    }
    change!(line.nodes[0].database, |tx| {
        assert_eq!(tx.packages_to_forget().await?, [id]);
        assert!(tx.delete_package(id).await?);
    });
    line.settle().await;
    for node in &line.nodes {
        assert_eq!(node.read(move |tx| Box::pin(tx.package(id))).await, None, "{}", node.code);
    }
    assert_eq!(line.refused, []);
}

async fn a_site_that_left_takes_its_points_along_and_brings_them_back(mut line: Line) {
    let id = installed(&mut line).await;
    change!(line.nodes[1].database, |tx| {
        let mut link = tx.link("CCC".parse().unwrap()).await?.unwrap();
        link.is_revoked = true;
        tx.put_link(&link).await?;
        assert!(tx.remove_site("CCC".parse().unwrap()).await?);
    });
    for _ in 0..3 {
        for (from, to) in [(1, 0), (0, 1)] {
            if let Some(batch) = super::net::collect(&line.nodes[from], &line.nodes[to], 1_000_000).await {
                super::net::deliver(&line.nodes[to], &batch, NOW).await;
            }
        }
    }
    for place in [0, 1] {
        assert_eq!(line.target(place, id, "DPC").await, None);
        let point = line.nodes[place].read(|tx| Box::pin(async move { tx.point(&dp("DPC")).await })).await;
        assert_eq!(point, None);
    }
    change!(line.nodes[1].database, |tx| {
        let mut link = tx.link("CCC".parse().unwrap()).await?.unwrap();
        link.is_revoked = false;
        tx.put_link(&link).await?;
        tx.put_site(&super::net::row("CCC".parse().unwrap(), Some("BBB".parse().unwrap()))).await?;
    });
    line.settle().await;
    assert_eq!(line.states(id, "DPC").await, [Some(Installed); 3]);
    assert_eq!(line.refused, []);
}

/// Runs each case on both engines.
macro_rules! cases {
    ($($name:ident)*) => {
        #[cfg(test)]
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Line::new(None, "").await).await;
            })*
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn postgres_agrees() {
            let Some(cluster) = Cluster::start() else { return };
            for (place, case) in [$(stringify!($name)),*].into_iter().enumerate() {
                let line = Line::new(Some(&cluster), &format!("case{place}")).await;
                match case {
                    $(stringify!($name) => $name(line).await,)*
                    _ => unreachable!("every name stands there twice"),
                }
            }
        }
    };
}

cases! {
    a_wish_travels_and_states_come_back
    a_refresh_takes_every_target_out_of_the_installed_state_at_once
    a_refresh_that_ends_without_a_version_puts_targets_back
    redistribution_and_cancel_are_carried_out_once_by_its_site
    a_cancel_at_its_own_site_is_shown_elsewhere_while_the_refresh_waits
    removal_ends_everywhere
    what_was_wished_and_taken_back_leaves_nothing
    a_wish_made_while_the_removal_ended_is_carried_out
    a_deleted_package_leaves_every_site
    a_site_that_left_takes_its_points_along_and_brings_them_back
}
