//! Execution of one step: the token, the requests, and the result of each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handoffd_engine::event::Event;
use handoffd_engine::ports::destination::Exchange;
use handoffd_engine::ports::metrics::RequestOutcome;
use handoffd_engine::workflow::{Fault, Receipt, Remedy, StepName, elapsed};
use jiff::Timestamp;

use super::answer::{Answer, ShownError};
use super::client::Unanswered;
use super::environment::OrganizationEnvironment;
use super::limiter::RequestResult;
use super::mask::{Masking, brief, is_code};
use super::notice;
use super::reply::{ReplyMeaning, StepContext, read, read_back};
use super::request::{Request, request};
use super::request_tally::{Exchanged, RequestTally};
use super::token::Token;
use super::wire::DynamicsWire;

/// A step in progress and the requests sent for it so far.
pub(super) struct StepCall<'a> {
    wire: &'a DynamicsWire,
    step: StepName,
    /// Event whose customer texts are masked in Dynamics' messages.
    event: Option<&'a Event>,
    pub(super) exchanges: Vec<Exchange>,
    /// Outcome of the last request that received no answer.
    transport_result: Option<RequestResult>,
    /// Account of the requests for their organization's metrics; `None` for those of an operator's test.
    tally: Option<RequestTally>,
}

impl<'a> StepCall<'a> {
    pub(super) fn new(wire: &'a DynamicsWire, step: StepName, event: Option<&'a Event>) -> Self {
        Self { wire, step, event, exchanges: Vec::new(), transport_result: None, tally: None }
    }

    /// Counts the requests of this step as the organization's.
    pub(super) fn counted(mut self, environment: &OrganizationEnvironment) -> Self {
        let organization = environment.access.settings.organization_id.clone();
        self.tally = Some(RequestTally::new(self.wire.metrics.clone(), organization));
        self
    }

    /// Records the results of the requests, given that of the step.
    pub(super) fn finish<T>(&mut self, result: &Result<T, Fault>) {
        if let Some(tally) = &mut self.tally {
            tally.finish(result);
        }
    }

    /// Performs the step.
    pub(super) async fn perform(
        &mut self,
        environment: &OrganizationEnvironment,
        sent: StepContext<'_>,
    ) -> Result<Receipt, Fault> {
        let asked = request(sent.step, sent.event, sent.settings);
        let first = self.ask(environment, &asked).await?;
        let mut reading = read(sent, &first, Timestamp::now());
        let mut earlier = 0;
        loop {
            match reading {
                ReplyMeaning::Receipt(receipt) => return Ok(receipt),
                ReplyMeaning::Fault(fault) => {
                    self.apply_throttling(environment, &fault);
                    return Err(fault);
                }
                ReplyMeaning::LookBack(again) => {
                    let answer = self.ask(environment, &again).await?;
                    reading = read_back(sent, &first, earlier, &answer, Timestamp::now());
                    earlier += 1;
                }
            }
        }
    }

    /// Obtains a token and sends no other request.
    pub(super) async fn sign_in(&mut self, environment: &OrganizationEnvironment) -> Result<(), Fault> {
        self.token(environment).await.map(|_| ())
    }

    /// Sends a request, and once more with a new token if the first answer is 401.
    pub(super) async fn ask(
        &mut self,
        environment: &OrganizationEnvironment,
        asked: &Request,
    ) -> Result<Answer, Fault> {
        // Before the wait for a token, which all of the organization's requests share.
        self.may_act(environment)?;
        let token = self.token(environment).await?;
        let answer = self.send(environment, asked, &token).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        environment.token.refuse(&token);
        let token = self.token(environment).await?;
        self.send(environment, asked, &token).await
    }

    /// Pauses the organization's limiter at once if the fault is throttling, rather than at the end of the step.
    pub(super) fn apply_throttling(&self, environment: &OrganizationEnvironment, fault: &Fault) {
        if let Remedy::NotBefore(until) = fault.remedy {
            let wait = elapsed(Timestamp::now(), until);
            let began = environment.limiter.throttle(wait, Instant::now());
            environment.fleet.state_changed(&environment.access.settings.organization_id);
            notice::throttled(&*self.wire.metrics, environment, fault, began.then_some(wait));
        }
    }

    /// Converts the result of the step to the limiter's view of it.
    pub(super) fn limiter_result<T>(&self, result: &Result<T, Fault>) -> RequestResult {
        match result {
            Ok(_) => RequestResult::Answered,
            Err(fault) => match (self.transport_result, fault.remedy) {
                (Some(lost), _) => lost,
                (None, Remedy::NotBefore(_)) => RequestResult::Throttled,
                (None, Remedy::GiveUp) => RequestResult::Answered,
                (None, Remedy::Retry | Remedy::Hold | Remedy::HoldStep(_)) => RequestResult::Failed,
            },
        }
    }

    async fn token(&mut self, environment: &OrganizationEnvironment) -> Result<Arc<Token>, Fault> {
        if let Some(token) = environment.token.cached() {
            return Ok(token);
        }
        if let Some(fault) = environment.token.withheld() {
            return Err(fault.clone());
        }
        let mut turn = environment.token.lock_fetch().await;
        match turn.shared_result() {
            Some(Ok(token)) => return Ok(token),
            Some(Err((fault, lost))) => {
                self.transport_result = lost;
                return Err(fault);
            }
            None => {}
        }
        self.may_act(environment)?;
        let result = self.fetch_token(environment).await;
        if let Err(fault) = &result {
            self.apply_throttling(environment, fault);
            turn.failed(fault, self.transport_result);
        }
        result
    }

    async fn fetch_token(&mut self, environment: &OrganizationEnvironment) -> Result<Arc<Token>, Fault> {
        let asked = environment.token.prepare().await?;
        let answer = self.exchange(StepName::Token, self.wire.client.ask_token(&asked)).await;
        let result = answer.and_then(|answer| environment.token.store(&answer, &asked, Timestamp::now()));
        result.inspect_err(|fault| self.note_error(None, &fault.message))
    }

    async fn send(
        &mut self,
        environment: &OrganizationEnvironment,
        asked: &Request,
        token: &Token,
    ) -> Result<Answer, Fault> {
        self.may_act(environment)?;
        let url = &environment.access.settings.environment_url;
        let mut answer = self.exchange(self.step, self.wire.client.ask(url, asked, token)).await?;
        if let Some(hint) = answer.dop_hint {
            environment.limiter.advise(hint);
        }
        if !answer.is_success() {
            answer.shown = shown(&answer, self.event, token).await;
            self.note_error(answer.shown.code.clone(), &answer.shown.message);
        }
        Ok(answer)
    }

    /// Fails if no request may begin, because another worker owns the organization or may take it over, or because the
    /// answer to another event throttled it after this step began. The event waits, and its organization's limit does not
    /// fall.
    fn may_act(&mut self, environment: &OrganizationEnvironment) -> Result<(), Fault> {
        // An operator's test and a probe are no events.
        let throttled = self.event.and_then(|_| environment.limiter.throttled(Instant::now()));
        let (wait, message) = match throttled {
            _ if !environment.may_act() => (Duration::ZERO, "this worker does not own the organization now"),
            Some(wait) => (wait, "Dynamics throttles the organization"),
            None => return Ok(()),
        };
        self.transport_result = Some(RequestResult::Broken);
        let until = Timestamp::now().saturating_add(wait).unwrap_or(Timestamp::MAX);
        let message = format!("{message}; no request was sent");
        Err(Fault::unanswered(self.step, Remedy::NotBefore(until), message))
    }

    async fn exchange(
        &mut self,
        step: StepName,
        asking: impl Future<Output = Result<Answer, Unanswered>>,
    ) -> Result<Answer, Fault> {
        let sent = self.tally.as_ref().map(|tally| tally.sent(step));
        let (result, elapsed) = self.wire.exchange(step, asking).await;
        if let Some((tally, sent)) = self.tally.as_mut().zip(sent) {
            tally.exchanged(step, sent.began, exchanged(&result));
        }
        self.exchanges.push(exchange(step, elapsed, &result));
        result.map_err(|unanswered| {
            let (lost, message) = match unanswered {
                Unanswered::TimedOut(message) => (RequestResult::Silent, message),
                Unanswered::Disconnected(message) => (RequestResult::Broken, message),
            };
            self.transport_result = Some(lost);
            Fault::unanswered(step, Remedy::Retry, message)
        })
    }

    /// Adds the code of the last answer and a short form of its message to the event's history. Both are masked.
    fn note_error(&mut self, code: Option<String>, message: &str) {
        if let Some(last) = self.exchanges.last_mut().filter(|last| last.error.is_none()) {
            last.code = code;
            last.error = Some(brief(message)).filter(|error| !error.is_empty());
        }
    }
}

/// Returns the error of an answer without customer text and token. A code that is no number may be a customer's name.
async fn shown(answer: &Answer, event: Option<&Event>, token: &Token) -> ShownError {
    let error = answer.error();
    let message = masked(&error.message, event, token).await;
    let is_plain = async || !error.code.is_empty() && masked(&error.code, event, token).await == error.code;
    let has_code = is_code(&error.code) || is_plain().await;
    ShownError { code: has_code.then_some(error.code), message }
}

/// Masks a message. Between two steps other events go on, so that none waits for the texts of a long one.
async fn masked(message: &str, event: Option<&Event>, token: &Token) -> String {
    let mut masking = Masking::new(message, event).hiding(token.expose());
    while masking.advance() {
        tokio::task::yield_now().await;
    }
    masking.finish()
}

fn exchanged(result: &Result<Answer, Unanswered>) -> Exchanged {
    match result {
        Ok(answer) => Exchanged::Answered(answer.status),
        Err(Unanswered::TimedOut(_)) => Exchanged::Unanswered(RequestOutcome::TimedOut),
        Err(Unanswered::Disconnected(_)) => Exchanged::Unanswered(RequestOutcome::Failed),
    }
}

fn exchange(step: StepName, elapsed: Duration, result: &Result<Answer, Unanswered>) -> Exchange {
    let (status, error, request_id) = match result {
        Ok(answer) => (Some(answer.status), None, answer.request_id.map(|id| id.to_string())),
        Err(Unanswered::TimedOut(message) | Unanswered::Disconnected(message)) => (None, Some(message.clone()), None),
    };
    Exchange { at: Timestamp::now(), step, elapsed, status, code: None, error, request_id }
}
