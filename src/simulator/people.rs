//! Reps of an environment: scripts that react to requests, and a log of their actions.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::call::IncomingRequest;
use super::environment::Environment;
use super::rep::{RepAction, RepActionRecord, RepScript, RepSession};
use super::rows::Rows;
use super::trigger::{Trigger, TriggerTally};

/// All reps of an environment.
#[derive(Default)]
pub(super) struct People {
    reps: Vec<Rep>,
    acted: Vec<RepActionRecord>,
    next: u64,
    /// Incremented by [`People::clear`]; errands of an earlier era are dropped.
    generation: u64,
}

/// Script with its counters.
#[derive(Serialize)]
pub(super) struct Rep {
    id: u64,
    #[serde(flatten)]
    script: RepScript,
    #[serde(flatten)]
    tally: TriggerTally,
}

/// Action that is due.
#[derive(Clone)]
pub(super) struct PendingAction {
    table: String,
    key: Uuid,
    does: RepAction,
    after: Duration,
    era: u64,
}

impl People {
    /// Returns all scripts, exhausted ones included.
    pub(super) fn reps(&self) -> &[Rep] {
        &self.reps
    }

    /// Returns all actions in order.
    pub(super) fn acted(&self) -> &[RepActionRecord] {
        &self.acted
    }

    /// Removes all reps, cancels their pending actions and empties the log.
    pub(super) fn clear(&mut self) {
        *self = Self { generation: self.generation + 1, next: self.next, ..Self::default() };
    }

    fn add(&mut self, script: RepScript) -> u64 {
        self.next += 1;
        self.reps.push(Rep { id: self.next, script, tally: TriggerTally::default() });
        self.next
    }

    /// Returns the actions due after a request that took effect on this row.
    fn due(&mut self, operation: &str, call: &IncomingRequest, touched: Option<&(String, Uuid)>) -> Vec<PendingAction> {
        let era = self.generation;
        self.reps.iter_mut().filter_map(|rep| rep.due(operation, call, touched, era)).collect()
    }
}

impl Rep {
    fn due(
        &mut self,
        operation: &str,
        call: &IncomingRequest,
        touched: Option<&(String, Uuid)>,
        era: u64,
    ) -> Option<PendingAction> {
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
    /// Returns the trigger, or `None` if the rep acts at once.
    fn trigger(&self) -> Option<Trigger<'_>> {
        let operation = self.operation.as_deref()?;
        Some(Trigger { operation, containing: self.containing.as_deref(), times: self.times })
    }

    fn errand(&self, touched: Option<&(String, Uuid)>, era: u64) -> Option<PendingAction> {
        let named = self.table.clone().zip(self.key);
        let (table, key) = named.or_else(|| touched.cloned())?;
        Some(PendingAction { table, key, does: self.does.clone(), after: Duration::from_millis(self.after_ms), era })
    }
}

impl Environment {
    /// Adds a rep and returns their id. A rep whose script names no operation acts at once.
    pub(super) fn add_rep(&self, script: RepScript) -> u64 {
        let mut rows = self.rows();
        let mut people = self.people();
        if script.operation.is_none()
            && let Some(errand) = script.errand(None, people.generation)
        {
            people.acted.push(self.run(&errand, &mut rows));
        }
        people.add(script)
    }

    /// Lets reps react to a request that took effect, at once or with their delay.
    pub(super) fn react(
        self: &Arc<Self>,
        operation: &str,
        call: &IncomingRequest,
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

    async fn later(self: Arc<Self>, errand: PendingAction) {
        self.pause(errand.after).await;
        let mut rows = self.rows();
        let mut people = self.people();
        if errand.era == people.generation && !self.stopping.is_cancelled() {
            people.acted.push(self.run(&errand, &mut rows));
        }
    }

    fn run(&self, errand: &PendingAction, rows: &mut Rows) -> RepActionRecord {
        let live = self.live();
        let mut desktop = RepSession { rows, schema: &live.schema, now: live.now() };
        desktop.act(&errand.table, errand.key, &errand.does)
    }
}
