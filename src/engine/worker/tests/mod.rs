//! In: one worker over fakes, which is given each message separately.
//! Out: proof that a failure of the worker itself loses no event and delays no other.
//! Absent: a broker and Dynamics; the simulation and the integration tests have those.

mod buried;
mod destinations;
mod fleet;
mod held_step;
mod organization_queue;
mod rig;
mod trouble;
