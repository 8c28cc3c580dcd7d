//! Who is taken up, who waits for a moment, who goes to its organization's backlog: pure; time comes in as an argument.
//!
//! One organization's events are ruled on in the order in which they came: those in its backlog first, then what the work
//! queue brought. So the order of each session is kept, whichever way its events go.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::bus::Parked;
use crate::crm::{Shut, Standing};
use crate::event::OrganizationId;

/// How long an event may wait in hand for others of its organization to be done. An organization that is quick has room
/// again within that, and its events never see a backlog; the events of one that is slow hold others up no longer.
const PATIENCE: Duration = Duration::from_millis(150);
/// The same while none of them is done: so long after the last one was, it is not quick.
const PATIENCE_WHILE_STILL: Duration = Duration::from_millis(50);
/// The same for an organization that is shut: its events are merely put off, as fast as the broker takes them.
const PATIENCE_WHILE_SHUT: Duration = Duration::from_secs(1);
/// Of a backlog this much shorter than the prefetch it is waited for that it is empty again.
const SHORT: usize = 4;

/// The events that nobody has ruled on yet, and how many of each organization are in hand.
pub(super) struct Desk<T> {
    prefetch: usize,
    /// In hand, from the work queue.
    held: usize,
    accounts: HashMap<OrganizationId, Account<T>>,
    /// Undecided.
    waiting: usize,
}

/// Where an event in hand came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// The work queue: it holds one of its prefetch slots.
    Work,
    /// Its organization's backlog.
    Backlog,
}

/// What becomes of an event.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Ruling<T> {
    /// It is taken up.
    Take(T, Source),
    /// It goes to the end of the backlog.
    Park(T),
}

struct Account<T> {
    held: usize,
    pulled: usize,
    /// From the work queue, with the time of arrival.
    waiting: VecDeque<(T, Duration)>,
    /// The first of the backlog, with the time when it has waited long enough.
    first: Option<(T, Duration)>,
    /// Others in the backlog, as far as this worker knows.
    behind: u64,
    /// On their way into the backlog.
    parking: usize,
    /// Since when nobody of it was done.
    still_since: Duration,
    /// Somebody was, since it was ruled on last.
    stirs: bool,
    /// How many ever set out for the backlog: a count of it that was asked for before is worth nothing.
    set_out: u64,
}

impl<T> Desk<T> {
    /// A desk before a work queue with this prefetch.
    pub(super) fn new(prefetch: usize) -> Self {
        Self { prefetch, held: 0, accounts: HashMap::new(), waiting: 0 }
    }

    /// An event comes from the work queue.
    pub(super) fn arrives(&mut self, organization: &OrganizationId, event: T, now: Duration) {
        self.waiting += 1;
        let account = self.account(organization);
        account.stirs |= account.waiting.is_empty() && account.held + account.pulled == 0;
        account.waiting.push_back((event, now));
    }

    /// An event comes out of the backlog; the next one comes after this one was taken. From `expires` on it is taken even
    /// while its organization is shut: to be given up.
    pub(super) fn comes_first(&mut self, organization: &OrganizationId, event: T, expires: Duration) {
        let replaced = self.account(organization).first.replace((event, expires));
        self.waiting += usize::from(replaced.is_none());
    }

    /// An event in hand is settled.
    pub(super) fn left(&mut self, organization: &OrganizationId, source: Source) {
        let account = self.account(organization);
        account.stirs = true;
        match source {
            Source::Work => {
                account.held -= 1;
                self.held -= 1;
            }
            Source::Backlog => account.pulled -= 1,
        }
        self.tidy(organization);
    }

    /// An event in hand sets out for the backlog; those that are ruled to go there are counted already.
    pub(super) fn parks(&mut self, organization: &OrganizationId) {
        self.account(organization).sets_out();
    }

    /// It has arrived, there or elsewhere.
    pub(super) fn parked(&mut self, organization: &OrganizationId, place: Parked) {
        let account = self.account(organization);
        account.parking -= 1;
        account.behind += u64::from(place == Parked::Behind);
        self.tidy(organization);
    }

    /// The backlog is there, and so many are in it.
    pub(super) fn opened(&mut self, organization: &OrganizationId, waiting: u64) {
        let account = self.account(organization);
        account.behind = account.behind.max(waiting);
        self.tidy(organization);
    }

    /// Nothing comes out of the backlog any more; if there is something in it, it comes by another one, or by the work queue.
    pub(super) fn ended(&mut self, organization: &OrganizationId) {
        let account = self.account(organization);
        account.behind = 0;
        let first = account.first.take();
        self.waiting -= usize::from(first.is_some());
        self.tidy(organization);
    }

    /// To be handed to [`Desk::counted`], when the backlog should be counted; nothing when it is known to be empty.
    pub(super) fn count_from(&self, organization: &OrganizationId) -> Option<u64> {
        self.accounts.get(organization).filter(|account| account.behind > 0).map(|account| account.set_out)
    }

    /// So many are in the backlog: others may have taken from it, and what waits for too long goes back to work.
    pub(super) fn counted(&mut self, organization: &OrganizationId, from: u64, waiting: u64) {
        let account = self.account(organization);
        if account.set_out == from && account.parking == 0 {
            account.behind = waiting;
        }
        self.tidy(organization);
    }

    /// Whether anybody waits to be ruled on.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Whose events wait to be ruled on.
    pub(super) fn undecided(&self) -> Vec<OrganizationId> {
        let waits = |account: &Account<T>| account.first.is_some() || !account.waiting.is_empty();
        self.accounts.iter().filter(|(_, account)| waits(account)).map(|(id, _)| id.clone()).collect()
    }

    /// Whether any event of this organization waits to be ruled on.
    pub(super) fn is_undecided(&self, organization: &OrganizationId) -> bool {
        self.accounts.get(organization).is_some_and(|account| account.first.is_some() || !account.waiting.is_empty())
    }

    /// Rules on an organization's next event, if the time for it has come.
    pub(super) fn rule(
        &mut self,
        organization: &OrganizationId,
        standing: Standing,
        now: Duration,
    ) -> Option<Ruling<T>> {
        let left = self.prefetch.saturating_sub(self.held + 1);
        let prefetch = self.prefetch;
        let account = self.accounts.get_mut(organization)?;
        let ruling = account.next(standing, now, left, prefetch)?;
        self.waiting -= 1;
        self.held += usize::from(matches!(ruling, Ruling::Take(_, Source::Work)));
        Some(ruling)
    }

    fn account(&mut self, organization: &OrganizationId) -> &mut Account<T> {
        if !self.accounts.contains_key(organization) {
            self.accounts.insert(organization.clone(), Account::new());
        }
        self.accounts.get_mut(organization).expect("it was just put there")
    }

    fn tidy(&mut self, organization: &OrganizationId) {
        if self.accounts.get(organization).is_some_and(Account::is_idle) {
            self.accounts.remove(organization);
        }
    }
}

impl<T> Account<T> {
    fn new() -> Self {
        Self {
            held: 0,
            pulled: 0,
            waiting: VecDeque::new(),
            first: None,
            behind: 0,
            parking: 0,
            still_since: Duration::ZERO,
            stirs: true,
            set_out: 0,
        }
    }

    /// `left`: of the prefetch, should one more be taken from the work queue.
    fn next(&mut self, standing: Standing, now: Duration, left: usize, prefetch: usize) -> Option<Ruling<T>> {
        let room = match standing {
            Standing::Open { room } => Some(room),
            Standing::Shut { .. } => None,
        };
        // Nobody is given up for a pause.
        let paused = matches!(standing, Standing::Shut { why: Shut::Paused, .. });
        let in_hand = self.held + self.pulled;
        if std::mem::take(&mut self.stirs) {
            self.still_since = now;
        }
        let expired = |(_, expires): &mut (T, Duration)| now >= *expires;
        if let Some((first, _)) = match room {
            Some(room) => self.first.take_if(|_| in_hand < room),
            None if paused => None,
            None => self.first.take_if(expired),
        } {
            self.pulled += 1;
            self.behind = self.behind.saturating_sub(1);
            return Some(Ruling::Take(first, Source::Backlog));
        }
        let since = self.waiting.front()?.1;
        // No organization takes more of the prefetch than it leaves free: however many are slow, something is left. What
        // is shut needs no room: it is only looked at, and put off.
        let has_room = room.is_none_or(|room| in_hand < room) && self.held < left;
        if has_room && !self.has_backlog() {
            let (event, _) = self.waiting.pop_front()?;
            self.held += 1;
            return Some(Ruling::Take(event, Source::Work));
        }
        if now.saturating_sub(since) < self.patience(room, prefetch, now) {
            return None;
        }
        let (event, _) = self.waiting.pop_front()?;
        self.sets_out();
        Some(Ruling::Park(event))
    }

    /// How long it is worth to wait for room.
    fn patience(&self, room: Option<usize>, prefetch: usize, now: Duration) -> Duration {
        let in_backlog = usize::try_from(self.behind).unwrap_or(usize::MAX).saturating_add(self.parking);
        match room {
            None if self.has_backlog() => Duration::ZERO,
            None => PATIENCE_WHILE_SHUT,
            Some(_) if in_backlog > prefetch / SHORT => Duration::ZERO,
            // Nothing will be done that makes room.
            Some(_) if self.held + self.pulled == 0 && !self.has_backlog() => Duration::ZERO,
            Some(_) if now.saturating_sub(self.still_since) >= PATIENCE_WHILE_STILL => PATIENCE_WHILE_STILL,
            Some(_) => PATIENCE,
        }
    }

    /// Whether anybody would be overtaken.
    fn has_backlog(&self) -> bool {
        self.first.is_some() || self.behind > 0 || self.parking > 0
    }

    fn sets_out(&mut self) {
        self.parking += 1;
        self.set_out += 1;
    }

    fn is_idle(&self) -> bool {
        self.held + self.pulled + self.parking == 0 && !self.has_backlog() && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests;
