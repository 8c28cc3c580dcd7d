//! Record of what commands change or show without the worker.

use handoffd_engine::dead_letters::Operation;
use jiff::Timestamp;
use serde_json::json;

use super::remote::{Remote, user};
use crate::admin::audit::dead_letters::audited;
use crate::admin::audit::{AuditAction, AuditEntry, Identity, log};
use crate::config::Config;

/// Reports an operation on dead letters that covered so many.
pub(super) async fn report_operation(config: &Config, operation: &Operation, count: u64) {
    if let Some((action, subject)) = audited(operation) {
        report(config, action, &subject, count).await;
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

async fn reported(config: &Config, action: AuditAction, subject: &str, count: u64) -> bool {
    let action = json!({ "action": action, "subject": subject, "count": count });
    match Remote::find(config).await {
        Ok(Some(remote)) => remote.report("/api/v1/audit", &action).await.is_ok(),
        _ => false,
    }
}
