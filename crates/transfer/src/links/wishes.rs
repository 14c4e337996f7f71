//! What a site wants from those who only connect outwards: sites below it and its points open a connection
//! on which they serve when they are asked to over their control connection.

use std::collections::HashMap;
use std::fmt;

use restock_names::{ContentVersion, DistributionPointName, SiteCode};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Links;
use crate::LinkError;
use crate::message::Message;
use crate::stream::{Reader, Writer};

/// Who is asked to serve.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A site below this one.
    Site(SiteCode),
    /// A distribution point of this site.
    Point(DistributionPointName),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(site) => write!(f, "site {site}"),
            Self::Point(name) => write!(f, "distribution point {name}"),
        }
    }
}

/// Wishes that were not granted yet.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    open: HashMap<(Holder, u64), (ContentVersion, oneshot::Sender<Handed>)>,
    /// Wishes there ever were.
    tickets: u64,
}

/// A connection that was opened to serve on.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// Cancelled when the holder is disconnected.
    pub(crate) cut: CancellationToken,
    /// Dropped when the connection is not used any more.
    pub(crate) held: oneshot::Sender<()>,
}

/// A wish for content; forgotten when it is dropped.
#[derive(Debug)]
pub(crate) struct Wish {
    links: Links,
    holder: Holder,
    pub(super) ticket: u64,
    pub(crate) handed: oneshot::Receiver<Handed>,
}

impl Drop for Wish {
    fn drop(&mut self) {
        self.links.lock().wishes.open.remove(&(self.holder.clone(), self.ticket));
    }
}

impl Links {
    /// Asks a holder to open a connection on which it serves `content`.
    ///
    /// Errors: [`LinkError::NotConnected`], [`LinkError::ServesNothing`].
    pub(crate) fn want(&self, holder: &Holder, content: ContentVersion) -> Result<Wish, LinkError> {
        let mut registry = self.lock();
        let down = || LinkError::NotConnected { holder: holder.clone() };
        registry.wishes.tickets += 1;
        let ticket = registry.wishes.tickets;
        let is_asked = match holder {
            Holder::Site(site) => {
                let commands = registry.sites.commands(*site).ok_or_else(down)?;
                commands.try_send(Message::PullWanted { ticket, content }).is_ok()
            }
            Holder::Point(name) => {
                let control = registry.points.get(name).and_then(|point| point.control.as_ref());
                let control = control.ok_or_else(down)?;
                if !control.serves {
                    return Err(LinkError::ServesNothing(name.clone()));
                }
                control.wants.try_send((ticket, content)).is_ok()
            }
        };
        if !is_asked {
            return Err(down());
        }
        let (sender, handed) = oneshot::channel();
        registry.wishes.open.insert((holder.clone(), ticket), (content, sender));
        Ok(Wish { links: self.clone(), holder: holder.clone(), ticket, handed })
    }

    /// Who waits for this connection of a holder, if anybody does.
    pub(crate) fn take_wish(
        &self,
        holder: Holder,
        ticket: u64,
        content: &ContentVersion,
    ) -> Option<oneshot::Sender<Handed>> {
        let (wanted, sender) = self.lock().wishes.open.remove(&(holder, ticket))?;
        (wanted == *content).then_some(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Links;
    use super::Holder;
    use crate::LinkError;

    fn content(version: u32) -> restock_names::ContentVersion {
        restock_names::ContentVersion {
            package: "XYZ00001".parse().unwrap(),
            epoch: restock_names::Epoch::FIRST,
            version: restock_names::SourceVersion(version),
        }
    }

    #[test]
    fn a_wish_is_granted_once_to_the_holder_and_version_it_names() {
        let (links, code) = (Links::new(), "ABC".parse().unwrap());
        let (site, other) = (Holder::Site(code), Holder::Site("DEF".parse().unwrap()));
        assert!(links.want(&site, content(1)).is_err(), "it is not connected");
        let _up = links.register_site(code, &links.site_token(code));
        let wish = links.want(&site, content(1)).unwrap();
        assert!(links.take_wish(other, wish.ticket, &content(1)).is_none());
        assert!(links.take_wish(Holder::Point("ABC".parse().unwrap()), wish.ticket, &content(1)).is_none());
        assert!(links.take_wish(site.clone(), wish.ticket, &content(1)).is_some());
        assert!(links.take_wish(site.clone(), wish.ticket, &content(1)).is_none());
        let wish = links.want(&site, content(1)).unwrap();
        assert!(links.take_wish(site.clone(), wish.ticket, &content(2)).is_none());
        let wish = links.want(&site, content(1)).unwrap();
        let ticket = wish.ticket;
        drop(wish);
        assert!(links.take_wish(site, ticket, &content(1)).is_none());
    }

    #[test]
    fn a_point_is_asked_only_if_it_said_that_it_serves() {
        let (links, name) = (Links::new(), "DP01".parse().unwrap());
        let point = Holder::Point("DP01".parse().unwrap());
        assert!(matches!(links.want(&point, content(1)), Err(LinkError::NotConnected { .. })));
        let mut up = links.register(&name);
        assert!(matches!(links.want(&point, content(1)), Err(LinkError::ServesNothing(_))));
        links.note_serving(&name, up.connection);
        let wish = links.want(&point, content(1)).unwrap();
        assert_eq!(up.wants.try_recv().unwrap(), (wish.ticket, content(1)));
        assert!(links.take_wish(point, wish.ticket, &content(1)).is_some());
    }
}
