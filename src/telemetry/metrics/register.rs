//! Creation of metric families with labels.

use prometheus::{IntCounterVec, IntGaugeVec, Opts};

pub(super) fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(Opts::new(name, help), labels))
}

pub(super) fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(IntGaugeVec::new(Opts::new(name, help), labels))
}

pub(super) fn registered<T>(result: prometheus::Result<T>) -> T {
    result.expect("names, labels and buckets are constants, legal and different; a test makes them all")
}
