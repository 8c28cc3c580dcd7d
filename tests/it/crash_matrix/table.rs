//! Results of the kills, as a table.

use std::fmt::Write;

use dynamics_simulator::Profile;

use super::points::{Case, Message, Moment, Point};

/// Result of one kill.
pub struct Row {
    /// Point of the kill.
    pub point: Point,
    /// Kind of environment.
    pub profile: Profile,
    /// Increase of each count.
    pub counts: Counts,
    /// Number of outcomes published.
    pub outcomes: usize,
    /// Requests to Dynamics before and after the kill, without token requests.
    pub requests: usize,
    /// Deviation, if any.
    pub problem: Option<String>,
}

/// Numbers of records.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    pub contacts: usize,
    pub incidents: usize,
    pub notes: usize,
    pub queue_items: usize,
    pub work_items: usize,
    /// Cases resolved at the end.
    pub closed: usize,
    /// Number of times a case was resolved.
    pub closings: usize,
    pub dead_letters: usize,
}

impl Counts {
    /// Required counts for an event; `was_closed` is true if the case was closed before the kill.
    pub fn of(point: &Point, was_closed: bool) -> Self {
        let nothing = Self::default();
        match point.of {
            Case::Incident => Self { contacts: 1, incidents: 1, notes: 1, queue_items: 1, ..nothing },
            Case::Retried => Self { contacts: 1, incidents: 1, queue_items: 1, ..nothing },
            Case::Chat => Self { work_items: 1, ..nothing },
            Case::Resolution => Self { closed: 1, closings: 1, ..nothing },
            // A case that the rep reopened stays open; one not closed yet is closed once.
            Case::Reopened | Case::Looked | Case::LookedOpen => {
                Self { closed: usize::from(!was_closed), closings: 1, ..nothing }
            }
            // A broker can't be asked whether it has a copy. A letter stored before the kill gets a second copy: both
            // are the same event, and replaying both creates no duplicates.
            Case::Refused => match point.at {
                Moment::Unconfirmed(Message::DeadLetter) | Moment::Unacked(_) => {
                    Self { contacts: 1, dead_letters: 2, ..nothing }
                }
                _ => Self { contacts: 1, dead_letters: 1, ..nothing },
            },
        }
    }

    /// Increase since an earlier count. Counting takes the dead letters.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            contacts: self.contacts - before.contacts,
            incidents: self.incidents - before.incidents,
            notes: self.notes - before.notes,
            queue_items: self.queue_items - before.queue_items,
            work_items: self.work_items - before.work_items,
            closed: self.closed - before.closed,
            closings: self.closings - before.closings,
            dead_letters: self.dead_letters,
        }
    }
}

/// Formats the table.
pub fn of(rows: &[Row]) -> String {
    let heads =
        ["contacts", "incidents", "notes", "queued", "chats", "closings", "closed", "dead", "outcomes", "requests"];
    let mut text = format!("{:<11}{:<46}{:<8}{}  verdict\n", "event", "killed when", "profile", heads.join("  "));
    for row in rows {
        let Counts { contacts, incidents, notes, queue_items, work_items, closings, closed, dead_letters } = row.counts;
        let made = [contacts, incidents, notes, queue_items, work_items, closings, closed, dead_letters];
        let figures = made.into_iter().chain([row.outcomes, row.requests]);
        let figures: Vec<String> =
            heads.iter().zip(figures).map(|(head, figure)| format!("{figure:>width$}", width = head.len())).collect();
        let profile = if row.profile == Profile::Stock { "stock" } else { "opencx" };
        let case = format!("{:?}", row.point.of).to_lowercase();
        let verdict = row.problem.as_deref().unwrap_or("ok");
        _ = writeln!(text, "{case:<11}{:<46}{profile:<8}{}  {verdict}", row.point.name, figures.join("  "));
    }
    let wrong = rows.iter().filter(|row| row.problem.is_some()).count();
    _ = writeln!(text, "{} kills, {wrong} wrong", rows.len());
    text
}
