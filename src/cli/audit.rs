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
use crate::admin::audit::{AuditAction, AuditEntry, Identity, log, operator};
use crate::config::Config;

/// Reports an operation on dead letters.
pub(super) async fn report_operation(config: &Config, operation: &Operation, tally: &OperationTally) {
    if let Some((action, subject)) = tally.audited(operation) {
        report(config, action, &subject, tally.count).await;
    }
}

/// Has the running worker record an action, which then lists it. Without one, logs it to standard error.
pub(super) async fn report(config: &Config, action: AuditAction, subject: &str, count: u64) {
    if count == 0 || reported(config, action, subject, count).await {
        return;
    }
    // An error means that this process logs already.
    _ = crate::telemetry::logs::init(&config.log, None);
    log(&AuditEntry {
        at: Timestamp::now(),
        who: Identity::Local,
        from: None,
        user: Some(user()),
        action,
        subject: subject.to_owned(),
        count,
    });
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

async fn reported(config: &Config, action: AuditAction, subject: &str, count: u64) -> bool {
    let action = json!({ "action": action, "subject": subject, "count": count });
    match Remote::find(config).await {
        Ok(Some(remote)) => remote.report("/api/v1/audit", &action).await.is_ok(),
        _ => false,
    }
}
