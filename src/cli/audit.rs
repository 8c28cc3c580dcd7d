//! Record of what commands change or show without the worker.

use anyhow::Result;
use handoffd_engine::dead_letters::Operation;
use handoffd_engine::event::EventKey;
use handoffd_engine::workflow::Milestone;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::remote::{Remote, user};
use super::shell::print_status;
use crate::admin::api::events::MOST_DISCARDED;
use crate::admin::audit::dead_letters::OperationTally;
use crate::admin::audit::{AuditAction, AuditEntry, AuditTrail, Identity, log, operator};
use crate::app::operators_beside_workers;
use crate::config::Config;

/// Reports an operation on dead letters.
pub(super) async fn report_operation(config: &Config, operation: &Operation, tally: &OperationTally) {
    if let Some((action, subject)) = tally.audited(operation) {
        report(config, action, &subject, tally.count).await;
    }
}

/// Has the running worker record an action, which then lists it. Without one, adds it to the list in the store, and logs it
/// to standard error.
pub(super) async fn report(config: &Config, action: AuditAction, subject: &str, count: u64) {
    if count == 0 {
        return;
    }
    let remote = Remote::find(config).await;
    let reported = json!({ "action": action, "subject": subject, "count": count });
    if let Ok(Some(remote)) = &remote
        && remote.report("/api/v1/audit", &reported).await.is_ok()
    {
        return;
    }
    let is_alone = matches!(remote, Ok(None));
    // An error means that this process logs already.
    _ = crate::telemetry::logs::init(&config.log, None);
    let (at, subject) = (Timestamp::now(), subject.to_owned());
    let entry = AuditEntry { at, who: Identity::Local, from: None, user: Some(user()), action, subject, count };
    if let Err(problem) = keep(config, entry, is_alone).await {
        print_status(format_args!("warning: could not add this to the list of operators' actions: {problem:#}"));
    }
}

/// Logs an action, and adds it to the list in the store. With the embedded store, a worker that refuses it owns that.
async fn keep(config: &Config, entry: AuditEntry, is_alone: bool) -> Result<()> {
    let store = if is_alone { operators_beside_workers(config).await } else { Ok(None) };
    let Ok(Some(store)) = store else {
        log(&entry);
        return store.map(drop);
    };
    let trail = AuditTrail::new(store);
    trail.record(entry);
    Ok(trail.save_all().await?)
}

/// Records discards in the histories of their events: by the running worker, or in the store. Without either they are
/// still shown as dead.
pub(super) async fn report_discards(config: &Config, events: &[EventKey]) {
    if events.is_empty() {
        return;
    }
    let recorded = match Remote::find(config).await {
        Ok(Some(remote)) => by_worker(&remote, events).await,
        Ok(None) => in_store(config, events).await,
        Err(problem) => Err(problem),
    };
    if let Err(problem) = recorded {
        print_status(format_args!(
            "warning: could not record the discards in the events' histories, which still show them as dead: {problem:#}"
        ));
    }
}

async fn by_worker(remote: &Remote, events: &[EventKey]) -> Result<()> {
    for some in events.chunks(MOST_DISCARDED) {
        let event = |key: &EventKey| json!({ "organization_id": key.organization_id.as_str(), "event_id": key.event_id.as_str() });
        let events: Vec<Value> = some.iter().map(event).collect();
        remote.report("/api/v1/events/discarded", &json!({ "events": events })).await?;
    }
    Ok(())
}

async fn in_store(config: &Config, events: &[EventKey]) -> Result<()> {
    let Some(store) = crate::app::store_beside_workers(config).await? else { return Ok(()) };
    let discard = Milestone::discarded(Timestamp::now(), &operator(Identity::Local, Some(&user())));
    let recorded = store.record_discards(events, &discard).await;
    _ = store.close().await;
    recorded.map(drop).map_err(Into::into)
}
