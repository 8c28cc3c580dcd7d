//! In: one worker over fakes, to which each message is handed by itself.
//! Out: that what goes wrong with the worker itself costs no event and no other one its time.
//! Absent: a broker, a Dynamics; the simulation and the integration tests have those.

mod broker;
mod buried;
mod destinations;
mod held_step;
mod organization_queue;
mod rig;
mod trouble;
