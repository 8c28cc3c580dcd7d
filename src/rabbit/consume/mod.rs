//! Messages from the inbox and from the organizations' queues, on their way to the worker and until they are settled.

pub(super) mod consumer;
pub(super) mod held_channel;
pub(super) mod settle;
pub(super) mod subscription;
