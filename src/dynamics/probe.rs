//! Looks after a blocked organization: asks from time to time whether it works again, until it does.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use handoffd_engine::workflow::{Fault, Remedy, StepName};
use jiff::Timestamp;

use super::call::Call;
use super::environment::Environment;
use super::gate::Look;
use super::notice;
use super::reply::probed;
use super::request::{Method, Request};
use super::wire::Wire;

/// How often the task looks whether a probe is due, or no longer needed.
const TICK: Duration = Duration::from_millis(250);

/// Sees to it that a blocked organization is looked after; cheap when it is not blocked, or somebody does already.
pub(super) fn attend(wire: &Arc<Wire>, environment: &Arc<Environment>) {
    if environment.gate.attend() {
        tokio::spawn(look_after(wire.clone(), Arc::downgrade(environment)));
    }
}

/// Ends when the organization is open, has another file, or is gone.
async fn look_after(wire: Arc<Wire>, environment: Weak<Environment>) {
    while let Some(environment) = environment.upgrade() {
        let (look, change) = environment.gate.look(Instant::now());
        notice::tell(&*wire.watch, &environment, change);
        match look {
            Look::Done => return,
            Look::Now => {
                let found = ask(&wire, &environment).await;
                let change = environment.gate.probed(found.as_ref(), Instant::now());
                notice::tell(&*wire.watch, &environment, change);
            }
            Look::Later => {}
        }
        drop(environment);
        tokio::time::sleep(TICK).await;
    }
}

/// A token, then the request that needs the least of privileges: none of a table, but an application user that is
/// known, enabled and has a role, in an environment that is there and enabled. Nothing when no answer tells.
async fn ask(wire: &Wire, environment: &Environment) -> Option<Result<(), Fault>> {
    let asked = Request { method: Method::Get, path: "WhoAmI".to_owned(), headers: Vec::new(), body: None };
    let mut call = Call::new(wire, StepName::Probe, None);
    let answer = call.ask(environment, &asked).await;
    let result =
        answer.and_then(|answer| probed(&answer, Timestamp::now()).inspect_err(|fault| call.heed(environment, fault)));
    match result {
        Ok(()) => Some(Ok(())),
        Err(fault) => match fault.remedy {
            Remedy::Hold => Some(Err(fault)),
            Remedy::GiveUp => Some(Ok(())),
            Remedy::Retry | Remedy::NotBefore(_) | Remedy::HoldStep(_) => None,
        },
    }
}
