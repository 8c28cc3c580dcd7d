//! Events that may be what ends the process: carried one at a time, written down as alone in hand before their first
//! request. A process that finds such a record of another life knows who was there when that one ended.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::drive::Drive;
use super::verdict::Verdict;
use super::{Worker, headers};
use crate::bus::Delivery;
use crate::event::StoreGap;
use crate::machine::{
    Decision, Fault, Phase, Reason, Record, Remedy, SUSPECT, StepName, Suspicion, Traces, rung, suspicion,
};
use crate::store::StoreError;
