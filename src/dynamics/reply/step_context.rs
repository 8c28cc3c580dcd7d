//! Step whose answer is interpreted.

use handoffd_engine::event::Event;
use handoffd_engine::workflow::{Settings, Step};

/// A sent step with its event and settings.
#[derive(Clone, Copy, Debug)]
pub(in crate::dynamics) struct StepContext<'a> {
    /// Step that was sent.
    pub step: &'a Step,
    /// Event that the step belongs to.
    pub event: &'a Event,
    /// Settings of the organization that owns the event.
    pub settings: &'a Settings,
}
