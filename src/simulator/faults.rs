//! Scripted trouble.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::call::Call;
use super::refusal::Refusal;
use super::trigger::{Tally, Trigger};

/// What goes wrong, for which requests, and how often.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// `incidents.create`, `contacts.query`, `token`, `CloseIncident`, `AddToQueue`; `*` stands for any part.
    pub operation: String,
    /// Only requests whose URL or body contains this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containing: Option<String>,
    /// How often, 1 when left out; null is for ever.
    #[serde(default = "once")]
    pub times: Option<u64>,
    /// So many requests that match go well first.
    #[serde(default)]
    pub skip: u64,
    /// Of the requests that match, this part fails.
    #[serde(default = "always")]
    pub probability: f64,
    /// Of the dice for `probability`.
    #[serde(default)]
    pub seed: u64,
    /// What happens.
    pub fault: Effect,
}

/// What happens to a request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Effect {
    /// By its name.
    Named(Named),
    /// It has its effect, and is answered so much later.
    Delay {
        /// In milliseconds.
        delay_ms: u64,
    },
    /// It is answered with this.
    Answer(Scripted),
}

/// Trouble that needs no details.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// The connection is reset; nothing was done.
    ResetBefore,
    /// It is done, then the connection is reset.
    ResetAfterCommit,
    /// Nothing is done, no answer ever comes.
    Hang,
    /// It is done, no answer ever comes.
    HangAfterCommit,
    /// It is done; the answer's body is no JSON.
    Garbage,
    /// It is done; the connection ends in the middle of the answer's body.
    Truncate,
}

/// An answer made up.
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
    /// `Retry-After`, seconds or a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<RetryAfter>,
    /// The body as it is, instead of code and message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// More headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Whether it is done all the same.
    #[serde(default)]
    pub when: Moment,
}

/// `Retry-After`, as it stands in the header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RetryAfter {
    /// Seconds.
    Seconds(u64),
    /// An HTTP date, or whatever one wants to send.
    Text(String),
}

/// Whether a request has its effect before it fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// It has none.
    #[default]
    Before,
    /// It has.
    AfterCommit,
}

/// All scripts of an environment.
#[derive(Default)]
pub(super) struct Faults {
    scripts: Vec<Running>,
    next: u64,
}

/// A script with what became of it.
#[derive(Serialize)]
pub(super) struct Running {
    id: u64,
    #[serde(flatten)]
    script: Script,
    #[serde(flatten)]
    tally: Tally,
    #[serde(skip)]
    dice: SmallRng,
}

impl Faults {
    /// One more; they are asked in this order, and one at most fires. Returns its id.
    pub(super) fn add(&mut self, script: Script) -> u64 {
        self.next += 1;
        self.scripts.push(Running {
            id: self.next,
            dice: SmallRng::seed_from_u64(script.seed),
            script,
            tally: Tally::default(),
        });
        self.next
    }

    /// No more trouble.
    pub(super) fn clear(&mut self) {
        self.scripts.clear();
    }

    /// All of them, used up or not.
    pub(super) fn all(&self) -> &[Running] {
        &self.scripts
    }

    /// What happens to this request, if anything.
    pub(super) fn draw(&mut self, operation: &str, call: &Call) -> Option<Effect> {
        self.scripts.iter_mut().find_map(|running| running.draw(operation, call))
    }
}

impl Script {
    fn trigger(&self) -> Trigger<'_> {
        Trigger { operation: &self.operation, containing: self.containing.as_deref(), times: self.times }
    }
}

impl Running {
    fn draw(&mut self, operation: &str, call: &Call) -> Option<Effect> {
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
    /// As the journal calls it.
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
    /// The answer.
    pub(super) fn answer(&self) -> Answer {
        let mut answer = match &self.body {
            Some(body) => Answer::typed(self.status, "text/html", body.as_str()),
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

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
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
