//! Spans of time in which an organization is unavailable, and the part of them that a process has discovered.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::destination::Unavailable;
use tokio::sync::watch;
use tokio::time::sleep;

use super::scene::{RunContext, TROUBLE_ENDS};

/// Span of time in which an organization can't take requests.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub from: Duration,
    pub until: Duration,
    pub why: Unavailable,
}

/// Spans of all organizations. They outlive the workers.
pub struct Spans {
    scene: Arc<RunContext>,
    of: Mutex<BTreeMap<OrganizationId, Vec<Span>>>,
}

/// Spans that a process has discovered, by number.
pub struct KnownSpans {
    met: watch::Sender<BTreeSet<(OrganizationId, usize)>>,
}

impl Spans {
    pub fn new(scene: &Arc<RunContext>, organizations: &[OrganizationId]) -> Self {
        let of = organizations.iter().map(|id| (id.clone(), spans(scene))).collect();
        Self { scene: scene.clone(), of: Mutex::new(of) }
    }

    /// Returns the current spans of an organization.
    pub fn now(&self, organization: &OrganizationId) -> Vec<(usize, Span)> {
        let now = self.scene.elapsed();
        let all = self.of.lock().unwrap();
        let of = all.get(organization).into_iter().flatten().copied().enumerate();
        of.filter(|(_, span)| (span.from..span.until).contains(&now)).collect()
    }

    /// Starts a span of this length now.
    pub fn begin(&self, organization: &OrganizationId, length: Duration, why: Unavailable) {
        let from = self.scene.elapsed();
        let span = Span { from, until: from + length, why };
        self.scene.log(|| format!("{organization} is unavailable: {span:?}"));
        self.of.lock().unwrap().entry(organization.clone()).or_default().push(span);
    }

    /// Returns the part of this time that counts toward an event's age: time outside of the spans, and time in a retry queue.
    pub fn aged(&self, organization: &OrganizationId, time: Range<Duration>, delayed: &[Range<Duration>]) -> Duration {
        let all = self.of.lock().unwrap();
        let spans: Vec<_> = all.get(organization).into_iter().flatten().map(|span| span.from..span.until).collect();
        let mut edges: Vec<Duration> = spans.iter().chain(delayed).flat_map(|it| [it.start, it.end]).collect();
        edges.extend([time.start, time.end]);
        edges.retain(|edge| (time.start..=time.end).contains(edge));
        edges.sort();
        let pieces = edges.windows(2).map(|edges| edges[0]..edges[1]);
        let within = |piece: &Range<Duration>, of: &[Range<Duration>]| of.iter().any(|it| it.contains(&piece.start));
        pieces
            .filter(|piece| !within(piece, &spans) || within(piece, delayed))
            .map(|piece| piece.end.checked_sub(piece.start).unwrap())
            .sum()
    }

    /// Returns the end of an organization's last span.
    pub fn end(&self, organization: &OrganizationId) -> Duration {
        let all = self.of.lock().unwrap();
        all.get(organization).into_iter().flatten().map(|span| span.until).max().unwrap_or_default()
    }
}

impl Default for KnownSpans {
    fn default() -> Self {
        Self { met: watch::Sender::new(BTreeSet::new()) }
    }
}

impl KnownSpans {
    /// Records that a request has discovered a span.
    pub fn meet(&self, organization: &OrganizationId, number: usize) {
        self.met.send_if_modified(|met| met.insert((organization.clone(), number)));
    }

    /// Returns a current span that is known. An operator's pause is known without a request.
    pub fn of(&self, spans: &Spans, organization: &OrganizationId) -> Option<Span> {
        let met = self.met.borrow();
        let known = |(number, span): &(usize, Span)| {
            span.why == Unavailable::Paused || met.contains(&(organization.clone(), *number))
        };
        spans.now(organization).into_iter().find(known).map(|(_, span)| span)
    }

    /// Waits until no known span is current.
    pub async fn end(&self, spans: &Spans, organization: &OrganizationId) {
        while let Some(span) = self.of(spans, organization) {
            sleep(span.until.saturating_sub(spans.scene.elapsed())).await;
        }
    }
}

fn spans(scene: &RunContext) -> Vec<Span> {
    let count = scene.pick(&[0, 0, 1, 1, 2, 3]);
    (0..count).map(|_| span(scene)).collect()
}

fn span(scene: &RunContext) -> Span {
    let from = TROUBLE_ENDS.mul_f64(scene.random());
    let length = Duration::from_secs(scene.pick(&[2, 30, 200, 400, 1200, 3600, 4 * 3600]));
    let why = scene.pick(&[Unavailable::Throttled, Unavailable::Blocked, Unavailable::Paused]);
    Span { from, until: from + length, why }
}
