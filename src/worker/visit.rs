//! What an event in hand tells the reception when it is gone, whatever became of it.

use tokio::sync::mpsc::UnboundedSender;

use super::desk::Source;
use crate::bus::{Delivery, Parked};
use crate::event::OrganizationId;

/// What the reception hears.
pub(super) enum News {
    /// An event in hand is settled.
    Left(OrganizationId, Source),
    /// An event in hand sets out for its backlog.
    Parks(OrganizationId),
    /// It is there, or elsewhere.
    Parked(OrganizationId, Parked),
    /// The next event of a backlog.
    First(Stream, Delivery, tokio::sync::oneshot::Sender<()>),
    /// Nothing has come out of a backlog for a while.
    Quiet(Stream),
    /// So many are in a backlog, counted from this point.
    Counted(OrganizationId, u64, u64),
    /// Nothing comes out of it any more.
    Ended(Stream),
}

/// One backlog as long as it is taken from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stream {
    pub(super) organization: OrganizationId,
    pub(super) number: u64,
}

/// An event in hand, or on its way to its backlog.
pub(super) struct Visit {
    organization: OrganizationId,
    /// Where it came from, when it was taken up.
    source: Option<Source>,
    /// Where it was put, when it was to be parked.
    parked: Option<Parked>,
    news: UnboundedSender<News>,
}

impl Visit {
    /// An event that was taken up.
    pub(super) fn taken(organization: OrganizationId, source: Source, news: UnboundedSender<News>) -> Self {
        Self { organization, source: Some(source), parked: None, news }
    }

    /// An event that was ruled to go to the backlog.
    pub(super) fn turned_away(organization: OrganizationId, news: UnboundedSender<News>) -> Self {
        Self { organization, source: None, parked: Some(Parked::Lost), news }
    }

    /// Whether there was no room for it.
    pub(super) fn is_turned_away(&self) -> bool {
        self.source.is_none()
    }

    /// It sets out for the backlog.
    pub(super) fn parks(&mut self) {
        if self.parked.is_none() {
            self.parked = Some(Parked::Lost);
            self.tell(News::Parks(self.organization.clone()));
        }
    }

    /// It is there, or elsewhere.
    pub(super) fn is_parked(&mut self, place: Parked) {
        self.parked = Some(place);
    }

    fn tell(&self, news: News) {
        // After the end of the reception nobody wants to know.
        let _ = self.news.send(news);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(place) = self.parked {
            self.tell(News::Parked(self.organization.clone(), place));
        }
        if let Some(source) = self.source {
            self.tell(News::Left(self.organization.clone(), source));
        }
    }
}
