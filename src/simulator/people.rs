//! Reps of an environment: scripts that react to requests, and a log of their actions.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::call::IncomingRequest;
use super::live_settings::LiveSettings;
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
    /// Delay after the request's effect.
    pub after: Duration,
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

    /// Adds a rep and returns their id. A rep whose script names no operation acts at once.
    pub(super) fn add(&mut self, script: RepScript, live: &LiveSettings, rows: &mut Rows) -> u64 {
        if script.operation.is_none()
            && let Some(errand) = script.errand(None, self.generation)
        {
            self.perform(&errand, live, rows);
        }
        self.next += 1;
        self.reps.push(Rep { id: self.next, script, tally: TriggerTally::default() });
        self.next
    }

    /// Performs an action, unless its rep was removed in the meantime.
    pub(super) fn perform(&mut self, errand: &PendingAction, live: &LiveSettings, rows: &mut Rows) {
        if errand.era == self.generation {
            let mut desktop = RepSession { rows, schema: &live.schema, now: live.now() };
            self.acted.push(desktop.act(&errand.table, errand.key, &errand.does));
        }
    }

    /// Returns the actions due after a request that took effect on this row.
    pub(super) fn due(
        &mut self,
        operation: &str,
        call: &IncomingRequest,
        touched: Option<&(String, Uuid)>,
    ) -> Vec<PendingAction> {
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
