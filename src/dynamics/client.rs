//! The one who talks to Dynamics: request out, answer in, and nothing decided here.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use uuid::Uuid;

use super::answer::Answer;
use super::environment::{Access, Environment};
use super::mask::one_line;
use super::reply::{Reading, Sent, read, read_back};
use super::request::{Method, Request, request};
use super::token::Token;
use crate::crm::{Crm, Exchange, Performed, Shut, Standing};
use crate::event::{Event, OrganizationId};
use crate::machine::{Fault, Receipt, Remedy, Settings, Step, StepName};
use crate::watch::{Sighting, Watch};

/// The longest answer that is read: what the worker asks for is a few hundred bytes, an error page a few thousand.
const LONGEST_ANSWER: usize = 1 << 20;

/// What all organizations share (contract 7, `[dynamics]`).
#[derive(Clone, Debug)]
pub struct Options {
    /// Where tokens come from: `https://login.microsoftonline.com`.
    pub authority: String,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// Most requests of one organization under way.
    pub max_concurrency: usize,
}

/// Dynamics 365, for every organization.
pub struct Dynamics {
    client: reqwest::Client,
    options: Options,
    environments: RwLock<HashMap<OrganizationId, Arc<Environment>>>,
    watch: Arc<dyn Watch>,
}

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the HTTP client: {0}")]
pub struct ClientError(#[from] reqwest::Error);

impl Dynamics {
    /// A client that knows no organization yet.
    ///
    /// # Errors
    /// When the system's TLS roots can't be read.
    pub fn new(options: Options, watch: Arc<dyn Watch>) -> Result<Self, ClientError> {
        // A process has one TLS provider; a second installation is refused, and that is fine.
        _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(options.request_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(standing_headers())
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { client, options, environments: RwLock::default(), watch })
    }

    /// Replaces what is known of the organizations. Tokens and gates of unchanged ones stay.
    pub fn set_organizations(&self, all: Vec<Access>) {
        let mut environments = self.environments.write().unwrap_or_else(PoisonError::into_inner);
        let known = std::mem::take(&mut *environments);
        for access in all {
            let organization = access.settings.organization_id.clone();
            let kept = known.get(&organization).filter(|environment| environment.access.same_as(&access)).cloned();
            environments.insert(organization, kept.unwrap_or_else(|| self.open(access)));
        }
    }

    fn open(&self, access: Access) -> Arc<Environment> {
        Arc::new(Environment::new(access, &self.options.authority, self.options.max_concurrency))
    }

    fn environment(&self, organization: &OrganizationId) -> Option<Arc<Environment>> {
        self.environments.read().unwrap_or_else(PoisonError::into_inner).get(organization).cloned()
    }
}

#[async_trait]
impl Crm for Dynamics {
    async fn perform(&self, step: &Step, event: &Event, settings: &Settings) -> Performed {
        let mut call = Call { dynamics: self, step: step.name(), exchanges: Vec::new() };
        let result = match self.environment(&event.key.organization_id) {
            Some(environment) => call.perform(&environment, Sent { step, event, settings }).await,
            None => Err(unreachable(step.name(), "the organization was removed meanwhile".to_owned())),
        };
        Performed { result, exchanges: call.exchanges }
    }

    fn settings(&self, organization: &OrganizationId) -> Option<Arc<Settings>> {
        self.environment(organization).map(|environment| environment.access.settings.clone())
    }

    fn standing(&self, organization: &OrganizationId) -> Standing {
        let shut = self.environment(organization).and_then(|environment| environment.gate.shut_until(Timestamp::now()));
        match shut {
            Some(until) => Standing::Shut { until, why: Shut::Throttled },
            None => Standing::Open { room: self.options.max_concurrency },
        }
    }
}

/// One step being performed, and the requests it has taken so far.
struct Call<'a> {
    dynamics: &'a Dynamics,
    step: StepName,
    exchanges: Vec<Exchange>,
}

impl Call<'_> {
    async fn perform(&mut self, environment: &Environment, sent: Sent<'_>) -> Result<Receipt, Fault> {
        let _place = environment.gate.enter(Timestamp::now).await.map_err(|until| shut(self.step, until))?;
        let asked = request(sent.step, sent.event, sent.settings);
        let answer = self.ask(environment, &asked).await?;
        let mut reading = read(sent, &answer, Timestamp::now());
        if let Reading::LookBack(again) = &reading {
            let answer = self.ask(environment, again).await?;
            reading = read_back(sent, &answer, Timestamp::now());
        }
        match reading {
            Reading::Receipt(receipt) => Ok(receipt),
            Reading::Fault(fault) => {
                self.tell(environment, &fault);
                Err(fault)
            }
            Reading::LookBack(_) => Err(unreachable(self.step, "looking back leads to another look back".to_owned())),
        }
    }

    /// Asks with a token, and once more with a new one when the first is refused.
    async fn ask(&mut self, environment: &Environment, asked: &Request) -> Result<Answer, Fault> {
        let token = self.token(environment).await?;
        let answer = self.send(environment, asked, &token).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        environment.token.refuse(&token);
        let token = self.token(environment).await?;
        self.send(environment, asked, &token).await
    }

    async fn token(&mut self, environment: &Environment) -> Result<Arc<Token>, Fault> {
        if let Some(token) = environment.token.at_hand() {
            return Ok(token);
        }
        let _turn = environment.token.turn().await;
        if let Some(token) = environment.token.at_hand() {
            return Ok(token);
        }
        let builder = environment.token.request(&self.dynamics.client);
        let answer = self.exchange(StepName::Token, builder).await?;
        environment.token.accept(&answer, Timestamp::now()).inspect_err(|fault| self.tell(environment, fault))
    }

    async fn send(&mut self, environment: &Environment, asked: &Request, token: &Token) -> Result<Answer, Fault> {
        let url = format!("{}/api/data/v9.2/{}", environment.access.settings.environment_url, asked.path);
        let client = &self.dynamics.client;
        let mut builder = match asked.method {
            Method::Get => client.get(url),
            Method::Post => client.post(url),
            Method::Patch => client.patch(url),
        };
        builder = builder.header(AUTHORIZATION, token.authorization.clone());
        builder = builder.header("x-ms-client-request-id", Uuid::new_v4().to_string());
        for (name, value) in asked.headers {
            builder = builder.header(*name, *value);
        }
        if let Some(body) = &asked.body {
            builder = builder.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body.to_string());
        }
        self.exchange(self.step, builder).await
    }

    async fn exchange(&mut self, step: StepName, builder: reqwest::RequestBuilder) -> Result<Answer, Fault> {
        let started = Instant::now();
        let result = fetch(builder).await;
        let elapsed = started.elapsed();
        let status = result.as_ref().map_or(0, |answer| answer.status);
        self.dynamics.watch.saw(Sighting::Answered { step, status, elapsed });
        let result = result.map_err(|error| unreachable(step, in_words(&error)));
        self.exchanges.push(exchange(step, elapsed, &result));
        result
    }

    fn tell(&self, environment: &Environment, fault: &Fault) {
        if let Remedy::NotBefore(until) = fault.remedy {
            environment.gate.shut(until);
            self.dynamics.watch.saw(Sighting::Throttled(&environment.access.settings.organization_id));
        }
    }
}

fn exchange(step: StepName, elapsed: Duration, result: &Result<Answer, Fault>) -> Exchange {
    let (status, code, error, request_id) = match result {
        Ok(answer) if answer.is_success() => (Some(answer.status), None, None, answer.request_id.clone()),
        Ok(answer) => {
            let code = Some(answer.error().code).filter(|code| !code.is_empty());
            (Some(answer.status), code, None, answer.request_id.clone())
        }
        Err(fault) => (None, None, Some(fault.message.clone()), None),
    };
    Exchange { at: Timestamp::now(), step, elapsed, status, code, error, request_id }
}

async fn fetch(builder: reqwest::RequestBuilder) -> Result<Answer, FetchError> {
    let response = builder.send().await?;
    let text = |headers: &HeaderMap, name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let mut answer = Answer {
        status: response.status().as_u16(),
        retry_after: text(response.headers(), "retry-after"),
        request_id: text(response.headers(), "x-ms-service-request-id"),
        body: Bytes::new(),
    };
    answer.body = read_body(response).await?;
    Ok(answer)
}

async fn read_body(mut response: reqwest::Response) -> Result<Bytes, FetchError> {
    let Some(first) = response.chunk().await? else {
        return Ok(Bytes::new());
    };
    let mut body = BytesMut::from(first);
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(FetchError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("the answer is longer than {LONGEST_ANSWER} bytes")]
    TooLong,
}

/// What went wrong on the way, down to the cause, without the URL: its filter holds an email.
fn in_words(error: &FetchError) -> String {
    let FetchError::Http(error) = error else {
        return error.to_string();
    };
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    let mut cause = std::error::Error::source(error);
    let mut text = what.to_owned();
    while let Some(source) = cause {
        if source.source().is_none() {
            text = format!("{what}: {source}");
        }
        cause = source.source();
    }
    one_line(&text)
}

fn standing_headers() -> HeaderMap {
    HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static("application/json")),
        (USER_AGENT, HeaderValue::from_static(concat!("handoffd/", env!("CARGO_PKG_VERSION")))),
        (reqwest::header::HeaderName::from_static("odata-version"), HeaderValue::from_static("4.0")),
        (reqwest::header::HeaderName::from_static("odata-maxversion"), HeaderValue::from_static("4.0")),
    ])
}

fn shut(step: StepName, until: Timestamp) -> Fault {
    let message = "the organization's gate is shut until Dynamics lets it in again".to_owned();
    Fault { remedy: Remedy::NotBefore(until), ..unreachable(step, message) }
}

fn unreachable(step: StepName, message: String) -> Fault {
    Fault { remedy: Remedy::Retry, step, status: None, code: None, message, advice: String::new(), request_id: None }
}
