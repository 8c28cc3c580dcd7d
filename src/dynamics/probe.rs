//! Probes of a blocked organization, sent at intervals until one succeeds.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use handoffd_engine::workflow::{Fault, Remedy, StepName};
use jiff::Timestamp;

use super::call::StepCall;
use super::environment::OrganizationEnvironment;
use super::limiter::probing::ProbeTurn;
use super::notice;
use super::reply::probed;
use super::request::{Method, Request};
use super::wire::DynamicsWire;

/// Interval at which the task checks whether a probe is due or no longer needed.
const TICK: Duration = Duration::from_millis(250);

/// Starts the probing task of a blocked organization. Does nothing if none is needed or one is running.
pub(super) fn attend(wire: &Arc<DynamicsWire>, environment: &Arc<OrganizationEnvironment>) {
    if environment.limiter.claim_probing() {
        tokio::spawn(probe_until_available(wire.clone(), Arc::downgrade(environment)));
    }
}

/// Obtains a token for an organization whose file has changed, so that a refused secret shows at once, and not with the
/// next event, which would need the token too.
pub(super) fn sign_in(wire: &Arc<DynamicsWire>, environment: &Arc<OrganizationEnvironment>) {
    let (wire, environment) = (wire.clone(), environment.clone());
    tokio::spawn(async move {
        let Ok(permit) = environment.limiter.acquire(StepName::Token).await else { return };
        let mut call = StepCall::new(&wire, StepName::Token, None).counted(&environment);
        let result = call.sign_in(&environment).await;
        call.finish(&result);
        let held = result.as_ref().err().filter(|fault| fault.remedy == Remedy::Hold);
        let change = permit.release(StepName::Token, call.limiter_result(&result), held);
        notice::report_change(&*wire.metrics, &environment, change);
        if held.is_some() {
            attend(&wire, &environment);
        }
    });
}

/// Probes until the organization is available, has another file, or was removed.
async fn probe_until_available(wire: Arc<DynamicsWire>, environment: Weak<OrganizationEnvironment>) {
    while let Some(environment) = environment.upgrade() {
        let (look, change) = environment.limiter.next_probe(Instant::now());
        notice::report_change(&*wire.metrics, &environment, change);
        match look {
            ProbeTurn::Done => return,
            ProbeTurn::Now(_permit) => {
                let found = ask(&wire, &environment).await;
                let change = environment.limiter.probed(found.as_ref(), Instant::now());
                notice::report_change(&*wire.metrics, &environment, change);
            }
            ProbeTurn::Later => {}
        }
        drop(environment);
        tokio::time::sleep(TICK).await;
    }
}

/// Requests a token, then sends the request with the fewest prerequisites: no privilege on any table, but an application user
/// that exists, is enabled and has a role, in an environment that exists and is enabled. Returns `None` if inconclusive.
async fn ask(wire: &DynamicsWire, environment: &OrganizationEnvironment) -> Option<Result<(), Fault>> {
    let asked = Request { method: Method::Get, path: "WhoAmI".to_owned(), headers: Vec::new(), body: None };
    let mut call = StepCall::new(wire, StepName::Probe, None).counted(environment);
    let answer = call.ask(environment, &asked).await;
    let result = answer.and_then(|answer| {
        probed(&answer, Timestamp::now()).inspect_err(|fault| call.apply_throttling(environment, fault))
    });
    call.finish(&result);
    match result {
        // A server that answers 501 let the request in.
        Ok(()) | Err(Fault { status: Some(501), .. }) => Some(Ok(())),
        Err(fault) => match fault.remedy {
            Remedy::Hold => Some(Err(fault)),
            Remedy::GiveUp => Some(Ok(())),
            Remedy::Retry | Remedy::NotBefore(_) | Remedy::HoldStep(_) => None,
        },
    }
}
