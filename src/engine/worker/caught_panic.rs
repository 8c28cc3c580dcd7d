//! Catches panics. A panic is reported by its location, never by its message, which may quote a customer.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;
use tracing::error;

use crate::workflow::{Fault, Remedy, StepName};

thread_local! {
    /// Location of this thread's last panic.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Caught panic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CaughtPanic {
    /// File and line, if known.
    place: String,
}

/// Installs the panic hook, which logs one line with the location and drops the message.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        error!(place, thread = std::thread::current().name(), "the worker panicked");
        PLACE.set(Some(place));
    }));
}

/// Runs a future and catches its panic.
pub(super) fn caught<T>(work: impl Future<Output = T>) -> impl Future<Output = Result<T, CaughtPanic>> {
    // Not an `async fn`, which would hold the future twice: 5 KB more for every event in progress.
    AssertUnwindSafe(work).catch_unwind().map(|result| result.map_err(CaughtPanic::of))
}

/// Runs a function and catches its panic.
pub(super) fn caught_at_once<T>(work: impl FnOnce() -> T) -> Result<T, CaughtPanic> {
    catch_unwind(AssertUnwindSafe(work)).map_err(CaughtPanic::of)
}

impl CaughtPanic {
    /// Takes the location from this thread, which is the one that panicked.
    fn of(_words: Box<dyn Any + Send>) -> Self {
        Self { place: PLACE.take().unwrap_or_else(|| "an unknown location".to_owned()) }
    }

    /// Returns the fault of the event, which counts as an attempt like any other.
    pub(super) fn fault(&self, step: StepName) -> Fault {
        let message = format!("the worker panicked while processing this event, at {}", self.place);
        Fault {
            advice: "Report the panic with this location, then replay the event with a version that fixes it."
                .to_owned(),
            ..Fault::unanswered(step, Remedy::Retry, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_and_its_message_is_dropped() {
        let customer = "ann@example.com";
        let now = caught_at_once(|| panic!("{customer}")).map(|(): ()| ()).expect_err("caught");
        let later = caught(async { panic!("{customer}") }).await.map(|(): ()| ()).expect_err("caught");
        for defect in [now, later] {
            let fault = defect.fault(StepName::PostIncident);
            assert_eq!((fault.remedy, fault.step), (Remedy::Retry, StepName::PostIncident));
            assert!(
                fault.message.contains("the worker panicked") && !fault.message.contains(customer),
                "{}",
                fault.message
            );
        }
    }

    #[tokio::test]
    async fn results_pass_through_without_a_panic() {
        assert_eq!(caught_at_once(|| 1), Ok(1));
        assert_eq!(caught(async { 2 }).await, Ok(2));
    }
}
