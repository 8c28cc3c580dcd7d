//! What became of each kill, for a person to read.

use std::fmt::Write;

use dynamics_simulator::Profile;

use super::points::{Case, Message, Moment, Point};

/// What one kill came to.
pub struct Row {
    /// Where.
    pub point: Point,
    /// In which kind of environment.
    pub profile: Profile,
    /// What there is more of than before.
    pub counts: Counts,
    /// How many outcomes came.
    pub outcomes: usize,
    /// Requests to Dynamics, before and after the kill, tokens apart.
    pub requests: usize,
    /// What is wrong, if anything.
    pub problem: Option<String>,
}

/// How many there are.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    pub contacts: usize,
    pub incidents: usize,
    pub notes: usize,
    pub queue_items: usize,
    pub work_items: usize,
    /// Cases that are resolved now.
    pub closed: usize,
    /// Times that a case was resolved.
    pub closings: usize,
    pub dead_letters: usize,
}

impl Counts {
    /// What an event must come to, whatever happens; `was_closed` is true where the case was closed before the kill.
    pub fn of(point: &Point, was_closed: bool) -> Self {
        let nothing = Self::default();
        match point.of {
            Case::Incident => Self { contacts: 1, incidents: 1, notes: 1, queue_items: 1, ..nothing },
            Case::Retried => Self { contacts: 1, incidents: 1, queue_items: 1, ..nothing },
            Case::Chat => Self { work_items: 1, ..nothing },
            Case::Resolution => Self { closed: 1, closings: 1, ..nothing },
            // What the rep has reopened stays open; what was not closed yet is closed, once.
            Case::Reopened | Case::Looked | Case::LookedOpen => {
                Self { closed: usize::from(!was_closed), closings: 1, ..nothing }
            }
            // Nobody can ask a broker whether it has a copy. Of a letter that was there before the kill a second one
            // comes: it is the same event, and replaying both makes nothing twice.
            Case::Refused => match point.at {
                Moment::Unconfirmed(Message::DeadLetter) | Moment::Unacked(_) => {
                    Self { contacts: 1, dead_letters: 2, ..nothing }
                }
                _ => Self { contacts: 1, dead_letters: 1, ..nothing },
            },
        }
    }

    /// What came since. Dead letters are taken when they are counted.
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

/// The table.
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
