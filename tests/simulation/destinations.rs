//! Destinations of publishes, and windows of time in which they fail.

use std::time::Duration;

use handoffd_engine::event::OrganizationId;

use super::broker::DELAYS;
use super::scene::{RunContext, TROUBLE_ENDS};

/// Destination of a publish.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Destination {
    Inbox,
    Organization(OrganizationId),
    Retry(usize),
    DeadLetters,
    Outcomes,
}

/// Fault of a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// No leader: publishes hang and take effect at the end of the window.
    Leaderless,
    /// Every publish is refused (`basic.nack`).
    Refuses,
    /// The worker may not write to the destination (403).
    Forbidden,
}

/// Window of time in which one destination fails, or all that the worker publishes to.
#[derive(Clone, Debug)]
pub struct Window {
    /// `None` is every destination but the inbox, as while a cluster elects leaders after the death of a node.
    destination: Option<Destination>,
    pub trouble: Trouble,
    from: Duration,
    pub until: Duration,
}

/// All windows of a run.
pub struct Windows(Vec<Window>);

impl Window {
    pub fn is_leaderless(&self) -> bool {
        self.trouble == Trouble::Leaderless
    }
}

impl Windows {
    pub fn new(scene: &RunContext, organizations: &[OrganizationId]) -> Self {
        let count = scene.pick(&[0, 0, 0, 1, 1, 2]);
        let mut windows: Vec<_> = (0..count).map(|_| window(scene, organizations)).collect();
        if scene.happens(0.1) {
            windows.push(of_time(scene, Some(Destination::Outcomes), Trouble::Forbidden));
        }
        if scene.happens(0.25) {
            windows.push(of_time(scene, None, trouble(scene)));
        }
        Self(windows)
    }

    /// Returns the current window of a destination.
    pub fn of(&self, destination: &Destination, now: Duration) -> Option<&Window> {
        self.open(now).find(|window| match &window.destination {
            Some(one) => one == destination,
            None => *destination != Destination::Inbox,
        })
    }

    /// Returns the end of the current window in which the worker consumes nothing because a permission is missing.
    pub fn forbidden(&self, now: Duration) -> Option<Duration> {
        self.open(now).find(|window| window.trouble == Trouble::Forbidden).map(|window| window.until)
    }

    /// Returns the time since which no destination has failed, or `None` if one is failing now.
    pub fn calm_since(&self, now: Duration) -> Option<Duration> {
        if self.open(now).next().is_some() {
            return None;
        }
        let ended = self.0.iter().map(|window| window.until).filter(|until| *until <= now);
        Some(ended.max().unwrap_or_default())
    }

    /// Returns the start and end times of all windows, sorted.
    pub fn edges(&self) -> Vec<Duration> {
        let mut edges: Vec<_> = self.0.iter().flat_map(|window| [window.from, window.until]).collect();
        edges.sort();
        edges
    }

    fn open(&self, now: Duration) -> impl Iterator<Item = &Window> {
        self.0.iter().filter(move |window| (window.from..window.until).contains(&now))
    }
}

fn window(scene: &RunContext, organizations: &[OrganizationId]) -> Window {
    let destination = match scene.below(5) {
        0 | 1 => Destination::Organization(organizations[scene.below(organizations.len())].clone()),
        2 => Destination::Retry(scene.below(DELAYS.len().min(3))),
        3 => Destination::DeadLetters,
        _ => Destination::Outcomes,
    };
    of_time(scene, Some(destination), trouble(scene))
}

fn trouble(scene: &RunContext) -> Trouble {
    if scene.happens(0.6) { Trouble::Leaderless } else { Trouble::Refuses }
}

fn of_time(scene: &RunContext, destination: Option<Destination>, trouble: Trouble) -> Window {
    let from = TROUBLE_ENDS.mul_f64(scene.random().powi(2));
    let until = from + Duration::from_secs(scene.pick(&[5, 60, 200, 500]));
    Window { destination, trouble, from, until }
}
