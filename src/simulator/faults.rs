//! Scripted faults.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::answer::SimulatedAnswer;
use super::call::IncomingRequest;
use super::refusal::Refusal;
use super::trigger::{Trigger, TriggerTally};

/// Fault, the requests it applies to, and the number of times it fires.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Operation: `incidents.create`, `contacts.query`, `token`, `CloseIncident`, `AddToQueue`; `*` matches any part.
    pub operation: String,
    /// Text that the request's URL or body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containing: Option<String>,
    /// Number of times the script fires; 1 by default, null for no limit.
    #[serde(default = "once")]
    pub times: Option<u64>,
    /// Number of matching requests that succeed first.
    #[serde(default)]
    pub skip: u64,
    /// Share of the matching requests that fail.
    #[serde(default = "always")]
    pub probability: f64,
    /// Seed of the random numbers for `probability`.
    #[serde(default)]
    pub seed: u64,
    /// Effect on the request.
    pub fault: Effect,
}

/// Effect of a fault on a request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Effect {
    /// Fault selected by name.
    Named(Named),
    /// The request takes effect and is answered later.
    Delay {
        /// Delay in milliseconds.
        delay_ms: u64,
    },
    /// The request is answered with this.
    Answer(Scripted),
}

/// Fault without parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// The connection is reset before the request takes effect.
    ResetBefore,
    /// The request takes effect, then the connection is reset.
    ResetAfterCommit,
    /// The request has no effect and is never answered.
    Hang,
    /// The request takes effect and is never answered.
    HangAfterCommit,
    /// The request takes effect; the body of the answer is not JSON.
    Garbage,
    /// The request takes effect; the connection ends in the middle of the answer's body.
    Truncate,
}

/// Scripted answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scripted {
    /// HTTP status.
    pub status: u16,
    /// `error.code`
    #[serde(default)]
    pub code: String,
    /// `error.message`
    #[serde(default)]
    pub message: String,
    /// `Retry-After`: seconds or a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<RetryAfter>,
    /// Raw body, instead of code and message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Additional headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Point at which the request fails.
    #[serde(default)]
    pub when: Moment,
}

/// Value of a `Retry-After` header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RetryAfter {
    /// Number of seconds.
    Seconds(u64),
    /// HTTP date, or any other text.
    Text(String),
}

/// Point at which a request fails, relative to its effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// The request has no effect.
    #[default]
    Before,
    /// The request takes effect first.
    AfterCommit,
}

/// All fault scripts of an environment.
#[derive(Default)]
pub(super) struct FaultScripts {
    scripts: Vec<RunningScript>,
    next: u64,
}

/// Script with its counters.
#[derive(Serialize)]
pub(super) struct RunningScript {
    id: u64,
    #[serde(flatten)]
    script: Script,
    #[serde(flatten)]
    tally: TriggerTally,
    #[serde(skip)]
    dice: SmallRng,
}

impl FaultScripts {
    /// Adds a script and returns its id. Scripts are tried in the order they were added; at most one fires per request.
    pub(super) fn add(&mut self, script: Script) -> u64 {
        self.next += 1;
        self.scripts.push(RunningScript {
            id: self.next,
            dice: SmallRng::seed_from_u64(script.seed),
            script,
            tally: TriggerTally::default(),
        });
        self.next
    }

    /// Removes all scripts.
    pub(super) fn clear(&mut self) {
        self.scripts.clear();
    }

    /// Returns all scripts, exhausted ones included.
    pub(super) fn all(&self) -> &[RunningScript] {
        &self.scripts
    }

    /// Returns the effect of the first script that fires for this request.
    pub(super) fn draw(&mut self, operation: &str, call: &IncomingRequest) -> Option<Effect> {
        self.scripts.iter_mut().find_map(|running| running.draw(operation, call))
    }
}

impl Script {
    fn trigger(&self) -> Trigger<'_> {
        Trigger { operation: &self.operation, containing: self.containing.as_deref(), times: self.times }
    }
}

impl RunningScript {
    fn draw(&mut self, operation: &str, call: &IncomingRequest) -> Option<Effect> {
        let script = &self.script;
        if !self.tally.concerns(&script.trigger(), operation, call) {
            return None;
        }
        let passes = self.tally.passes(script.skip);
        let certain = script.probability >= 1.0;
        if !passes || !(certain || self.dice.random::<f64>() < script.probability) {
            return None;
        }
        self.tally.acts();
        Some(script.fault.clone())
    }
}

impl Effect {
    /// Returns the name used in the journal.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Named(named) => {
                let text = serde_json::to_value(named).unwrap_or_default();
                text.as_str().unwrap_or_default().to_owned()
            }
            Self::Delay { .. } => "delay".into(),
            Self::Answer(scripted) => scripted.status.to_string(),
        }
    }
}

impl Scripted {
    /// Returns the answer.
    pub(super) fn answer(&self) -> SimulatedAnswer {
        let mut answer = match &self.body {
            Some(body) => SimulatedAnswer::typed(self.status, "text/html", body.as_str()),
            None => Refusal::new(self.status, &self.code, self.message.as_str()).into(),
        };
        match &self.retry_after {
            Some(RetryAfter::Seconds(seconds)) => answer = answer.with("retry-after", seconds.to_string()),
            Some(RetryAfter::Text(text)) => answer = answer.with("retry-after", text),
            None => {}
        }
        self.headers.iter().fold(answer, |answer, (name, value)| answer.with(name, value))
    }
}

#[expect(clippy::unnecessary_wraps, reason = "serde requires the field's type")]
pub(super) fn once() -> Option<u64> {
    Some(1)
}

fn always() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_with_its_defaults() {
        let script: Script =
            serde_json::from_str(r#"{"operation": "token", "fault": "reset_before"}"#).expect("a script");
        assert_eq!((script.times, script.skip, script.fault), (Some(1), 0, Effect::Named(Named::ResetBefore)));
        let script: Script = serde_json::from_str(
            r#"{"operation": "*", "times": null, "fault": {"status": 429, "code": "0x80072322", "retry_after": 7}}"#,
        )
        .expect("a script");
        assert_eq!(script.times, None);
        let Effect::Answer(scripted) = script.fault else { panic!("an answer") };
        let answer = scripted.answer();
        assert_eq!(answer.status, 429);
        assert!(answer.headers.contains(&("retry-after".into(), "7".into())));
    }
}
