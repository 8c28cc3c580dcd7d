//! Reps of an environment: who acts upon which request, and what they have done.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::call::Call;
use super::environment::Environment;
use super::rep::{Desktop, RepActed, RepAction, RepScript};
use super::rows::Rows;
use super::trigger::{Tally, Trigger};

/// All reps of an environment.
#[derive(Default)]
pub(super) struct People {
    reps: Vec<Rep>,
    acted: Vec<RepActed>,
    next: u64,
    /// Grows with each [`People::clear`]; an errand of an earlier era is dropped.
    era: u64,
}

/// A script with how often it was met and acted upon.
#[derive(Serialize)]
pub(super) struct Rep {
    id: u64,
    #[serde(flatten)]
    script: RepScript,
    #[serde(flatten)]
    tally: Tally,
}

/// One action that is due.
#[derive(Clone)]
pub(super) struct Errand {
    table: String,
    key: Uuid,
    does: RepAction,
    after: Duration,
    era: u64,
}

impl People {
    /// All scripts, used up or not.
    pub(super) fn reps(&self) -> &[Rep] {
        &self.reps
    }

    /// What they have done, in order.
    pub(super) fn acted(&self) -> &[RepActed] {
        &self.acted
    }

    /// Sends everybody home, those who are about to act too, and forgets what was done.
    pub(super) fn clear(&mut self) {
        *self = Self { era: self.era + 1, next: self.next, ..Self::default() };
    }

    fn add(&mut self, script: RepScript) -> u64 {
        self.next += 1;
        self.reps.push(Rep { id: self.next, script, tally: Tally::default() });
        self.next
    }

    /// All that is due upon a request which had its effect on this row.
    fn due(&mut self, operation: &str, call: &Call, touched: Option<&(String, Uuid)>) -> Vec<Errand> {
        let era = self.era;
        self.reps.iter_mut().filter_map(|rep| rep.due(operation, call, touched, era)).collect()
    }
}

impl Rep {
    fn due(&mut self, operation: &str, call: &Call, touched: Option<&(String, Uuid)>, era: u64) -> Option<Errand> {
        let script = &self.script;
        if !self.tally.concerns(&script.trigger()?, operation, call) {
            return None;
        }
        let errand = script.errand(touched, era)?;
        if !self.tally.passes(script.skip) {
            return None;
        }
        self.tally.acts();
        Some(errand)
    }
}

impl RepScript {
    /// None for one who acts at once.
    fn trigger(&self) -> Option<Trigger<'_>> {
        let operation = self.operation.as_deref()?;
        Some(Trigger { operation, containing: self.containing.as_deref(), times: self.times })
    }

    fn errand(&self, touched: Option<&(String, Uuid)>, era: u64) -> Option<Errand> {
        let named = self.table.clone().zip(self.key);
        let (table, key) = named.or_else(|| touched.cloned())?;
        Some(Errand { table, key, does: self.does.clone(), after: Duration::from_millis(self.after_ms), era })
    }
}

impl Environment {
    /// A rep who acts upon requests, or at once when the script names none. Returns their id.
    pub(super) fn add_rep(&self, script: RepScript) -> u64 {
        let mut rows = self.rows();
        let mut people = self.people();
        if script.operation.is_none()
            && let Some(errand) = script.errand(None, people.era)
        {
            people.acted.push(self.run(&errand, &mut rows));
        }
        people.add(script)
    }

    /// Lets reps act upon a request that has had its effect: at once, or later.
    pub(super) fn react(
        self: &Arc<Self>,
        operation: &str,
        call: &Call,
        touched: Option<&(String, Uuid)>,
        rows: &mut Rows,
    ) {
        let mut people = self.people();
        for errand in people.due(operation, call, touched) {
            if errand.after.is_zero() {
                people.acted.push(self.run(&errand, rows));
            } else {
                tokio::spawn(self.clone().later(errand));
            }
        }
    }

    async fn later(self: Arc<Self>, errand: Errand) {
        self.pause(errand.after).await;
        let mut rows = self.rows();
        let mut people = self.people();
        if errand.era == people.era && !self.stopping.is_cancelled() {
            people.acted.push(self.run(&errand, &mut rows));
        }
    }

    fn run(&self, errand: &Errand, rows: &mut Rows) -> RepActed {
        let live = self.live();
        let mut desktop = Desktop { rows, schema: &live.schema, now: live.now() };
        desktop.act(&errand.table, errand.key, &errand.does)
    }
}
