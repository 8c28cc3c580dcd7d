//! Panics: told by their place, never by their words, which may quote a customer.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;
use tracing::error;

use crate::workflow::{Fault, Remedy, StepName};

thread_local! {
    /// Where this thread panicked last.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Defect {
    /// File and line, where it is known.
    place: String,
}

/// From now on a panic is one line in the log, with its place. The words of a panic go nowhere.
pub fn watch_for_defects() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
        error!(place, thread = std::thread::current().name(), "a defect in the worker: it panicked");
        PLACE.set(Some(place));
    }));
}

/// Does this, and survives its panic.
pub(super) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Defect> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(Defect::of)
}

/// Does this at once, and survives its panic.
pub(super) fn caught_at_once<T>(work: impl FnOnce() -> T) -> Result<T, Defect> {
    catch_unwind(AssertUnwindSafe(work)).map_err(Defect::of)
}

impl Defect {
    /// The thread that caught it is the one that panicked.
    fn of(_words: Box<dyn Any + Send>) -> Self {
        Self { place: PLACE.take().unwrap_or_else(|| "a place unknown".to_owned()) }
    }

    /// What it means for the event: an attempt like any other.
    pub(super) fn fault(&self, step: StepName) -> Fault {
        let message = format!("the worker failed on this event: a defect (it panicked at {})", self.place);
        Fault {
            advice: "Report it with this place; replay the event with a version that mends it.".to_owned(),
            ..Fault::unanswered(step, Remedy::Retry, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_and_its_words_are_not_told() {
        let customer = "ann@example.com";
        let now = caught_at_once(|| panic!("{customer}")).map(|(): ()| ()).expect_err("caught");
        let later = caught(async { panic!("{customer}") }).await.map(|(): ()| ()).expect_err("caught");
        for defect in [now, later] {
            let fault = defect.fault(StepName::PostIncident);
            assert_eq!((fault.remedy, fault.step), (Remedy::Retry, StepName::PostIncident));
            assert!(fault.message.contains("a defect") && !fault.message.contains(customer), "{}", fault.message);
        }
    }

    #[tokio::test]
    async fn what_does_not_panic_is_handed_on() {
        assert_eq!(caught_at_once(|| 1), Ok(1));
        assert_eq!(caught(async { 2 }).await, Ok(2));
    }
}
