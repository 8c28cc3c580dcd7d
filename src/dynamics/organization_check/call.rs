//! Requests of a test, sent one after the other so that they do not load an environment in use.

use std::time::{Duration, Instant};

use handoffd_engine::workflow::{Fault, Remedy, Settings, StepName};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::credential;
use super::fields::{self, CaseFields};
use super::finding::{CheckProgress, Finding};
use super::privileges::{self, held, needed};
use super::reply::{self, CheckExchange, Rest};
use super::request;
use super::secured::{self, SecuredTable, SecuredUse};
use crate::dynamics::call::StepCall;
use crate::dynamics::environment::OrganizationEnvironment;
use crate::dynamics::reply::probed;
use crate::dynamics::request::Request;
use crate::dynamics::wire::DynamicsWire;

/// Checks after the probe.
const LATER: [&str; 12] = [
    "owner",
    "queue",
    "fallback_customer",
    "live_work_items",
    "workstream",
    "privileges",
    "secured_columns",
    "subject_length",
    "attachments",
    "description_limit",
    "priority",
    "ticket_properties",
];
/// Time after which a test sends no further request. Each request to an environment that hangs takes the
/// whole time-out.
const LONGEST_TEST: Duration = Duration::from_secs(90);
/// Most rows bound by `ticket_properties` that are checked, as each costs a request.
const MOST_ROWS: usize = 10;

/// Runs the "Test & Save" checks, a token and then a read of cases, followed by checks of everything that events need.
pub(in crate::dynamics) async fn inspect(
    wire: &DynamicsWire,
    environment: &OrganizationEnvironment,
    progress: &CheckProgress,
) -> Vec<Finding> {
    let mut findings = ReportedFindings { found: Vec::new(), progress };
    let bench = Bench { begun: Instant::now(), wire, environment, settings: &environment.access.settings };
    let (token, rest) = reply::token(&StepCall::new(wire, StepName::Probe, None).sign_in(environment).await);
    let known = &environment.access.credentials.credential;
    let credential = credential::judged(known.key(), known.expires_at(), Timestamp::now());
    if rest == Rest::IsSkipped {
        let mut skipped = reply::skipped(&token, &["probe"]);
        skipped.extend(reply::skipped(&token, &LATER));
        return findings.with([token, credential].into_iter().chain(skipped)).found;
    }
    findings = findings.with([token, credential].into_iter());
    let (probe, rest) = reply::probe(bench.settings, &bench.ask(request::probe()).await);
    if rest == Rest::IsSkipped {
        let skipped = reply::skipped(&probe, &LATER);
        return findings.with([probe].into_iter().chain(skipped)).found;
    }
    let fields = bench.fields().await;
    findings.push(probe);
    findings.push(bench.owner().await);
    findings.push(bench.queue(fields.as_ref().ok()).await);
    findings.push(bench.fallback_customer().await);
    let set = &bench.settings.live_work_item_entity_set;
    let (chats, table) = reply::chats(set, &bench.ask(request::table(set)).await);
    findings.push(chats);
    findings.push(bench.workstream(table.as_deref()).await);
    let me = bench.me().await;
    findings.push(bench.privileges(&me, table.as_deref()).await);
    findings.push(bench.secured_columns(&me).await);
    findings.push(bench.subject_length(table.as_deref()).await);
    findings.push(reply::attachments(&bench.ask(request::blocked_attachments()).await));
    findings.push(bench.description_limit().await);
    findings.push(reply::priority(bench.settings.default_priority, &bench.ask(request::priorities()).await));
    findings.push(bench.ticket_properties(fields).await);
    findings.found
}

/// Findings, each of which is reported when it is made.
struct ReportedFindings<'a> {
    found: Vec<Finding>,
    progress: &'a CheckProgress,
}

impl ReportedFindings<'_> {
    fn push(&mut self, finding: Finding) {
        (self.progress)(&finding);
        self.found.push(finding);
    }

    fn with(mut self, all: impl Iterator<Item = Finding>) -> Self {
        all.for_each(|finding| self.push(finding));
        self
    }
}

struct Bench<'a> {
    begun: Instant,
    wire: &'a DynamicsWire,
    environment: &'a OrganizationEnvironment,
    settings: &'a Settings,
}

impl Bench<'_> {
    async fn ask(&self, asked: Request) -> CheckExchange {
        if self.begun.elapsed() >= LONGEST_TEST {
            return Err(Fault::unanswered(
                StepName::Probe,
                Remedy::Retry,
                "not checked; the test has taken too long".to_owned(),
            ));
        }
        let mut call = StepCall::new(self.wire, StepName::Probe, None);
        let answer = call.ask(self.environment, &asked).await?;
        probed(&answer, Timestamp::now())?;
        answer.object().ok_or_else(|| {
            let message = "the answer is not JSON; expected an answer of the Web API".to_owned();
            Fault::unanswered(StepName::Probe, Remedy::Retry, message)
        })
    }

    async fn fields(&self) -> Result<CaseFields, Fault> {
        let columns = self.ask(request::columns()).await?;
        let lookups = self.ask(request::lookups()).await?;
        Ok(CaseFields::read(&columns, &lookups))
    }

    async fn owner(&self) -> Finding {
        let Some(id) = self.settings.default_owner_id else {
            return Finding::skipped("owner", "default_owner_id is not set; Dynamics assigns the owner of a case");
        };
        let asked = self.ask(request::user(id)).await;
        let reads = match asked {
            Ok(_) => self.may(id, "prvReadIncident").await,
            Err(_) => None,
        };
        reply::owner(id, &asked, reads)
    }

    async fn queue(&self, fields: Option<&CaseFields>) -> Finding {
        let Some(id) = self.settings.default_queue_id else {
            return Finding::skipped("queue", "default_queue_id is not set; cases are put into no queue");
        };
        reply::queue(id, self.settings, &self.ask(request::queue(id)).await, fields)
    }

    async fn fallback_customer(&self) -> Finding {
        let Some(customer) = self.settings.fallback_customer else {
            return Finding::skipped(
                "fallback_customer",
                "fallback_customer is not set; a placeholder contact is used",
            );
        };
        reply::fallback_customer(customer, &self.ask(request::customer(&reply::customer_path(customer))).await)
    }

    async fn workstream(&self, chats: Option<&str>) -> Finding {
        match (self.settings.default_workstream_id, chats) {
            (_, None) => Finding::skipped("workstream", "no workstream is needed without live work items"),
            (None, Some(_)) => Finding::skipped(
                "workstream",
                "default_workstream_id is not set; live work items use default_queue_id if that is set",
            ),
            (Some(id), Some(_)) => reply::workstream(id, &self.ask(request::workstream(id)).await),
        }
    }

    /// Returns the application user's key, or `None` if the answer names no user.
    async fn me(&self) -> Result<Option<Uuid>, Fault> {
        let me = self.ask(request::who_am_i()).await?;
        Ok(me["UserId"].as_str().and_then(|id| id.parse().ok()))
    }

    async fn privileges(&self, me: &Result<Option<Uuid>, Fault>, chats: Option<&str>) -> Finding {
        let user = match me {
            Ok(Some(user)) => *user,
            Ok(None) => {
                return Finding::warned("privileges", "Dynamics did not identify the application user", String::new());
            }
            Err(fault) => return Finding::unknown("privileges", "the identity of the application user", fault),
        };
        let all = needed(self.settings, chats);
        let known = self.ask(request::privileges(user)).await;
        let by_roles = known.as_ref().map(held).unwrap_or_default();
        let (mut missing, mut unknown) = (Vec::new(), Vec::new());
        // Roles of its teams count too, but Dynamics reports those for one privilege at a time only. The same query serves where
        // the list is too long to be read, as an administrator's is.
        for need in all.iter().filter(|need| !need.is_met(&by_roles)) {
            match self.any(user, &need.names).await {
                Some(true) => {}
                Some(false) => missing.push(need.clone()),
                None if known.is_ok() => missing.push(need.clone()),
                None => unknown.push(need.clone()),
            }
        }
        privileges::judged(&all, &missing, &unknown)
    }

    async fn secured_columns(&self, me: &Result<Option<Uuid>, Fault>) -> Finding {
        let mut used = Vec::new();
        for table in [SecuredTable::Contact, SecuredTable::Case] {
            match self.ask(request::secured_columns(table.logical())).await {
                Ok(answer) => used.extend(SecuredUse::among(table, &answer, self.settings)),
                Err(fault) => return Finding::unknown("secured_columns", "columns under column security", &fault),
            }
        }
        let profile = match me {
            Ok(Some(me)) if !used.is_empty() => self.ask(request::column_rights(*me)).await.ok(),
            _ => None,
        };
        secured::judged(self.settings, &used, profile.as_ref().map(secured::profile).as_ref())
    }

    async fn subject_length(&self, chats: Option<&str>) -> Finding {
        let Some(table) = chats else {
            return Finding::skipped("subject_length", "no table of live work items exists");
        };
        // A table's logical name is its schema name in lower case. The subject may be a column of one line or of several.
        let table = table.to_lowercase();
        let mut asked = self.ask(request::subject_length(&table, "String")).await;
        if asked.as_ref().is_err_and(|fault| fault.status == Some(404)) {
            asked = self.ask(request::subject_length(&table, "Memo")).await;
        }
        reply::subject_length(&asked)
    }

    /// Reports whether a user has any of these privileges; `None` if Dynamics does not answer that.
    async fn any(&self, user: Uuid, names: &[String]) -> Option<bool> {
        let mut told = None;
        for name in names {
            match self.may(user, name).await {
                Some(true) => return Some(true),
                Some(false) => told = Some(false),
                None => {}
            }
        }
        told
    }

    async fn may(&self, user: Uuid, name: &str) -> Option<bool> {
        self.ask(request::privilege(user, name)).await.ok().and_then(|answer: Value| privileges::has(&answer))
    }

    async fn description_limit(&self) -> Finding {
        let asked = self.ask(request::description_length()).await;
        reply::description_limit(self.settings.description_limit, &asked)
    }

    async fn ticket_properties(&self, fields: Result<CaseFields, Fault>) -> Finding {
        let properties = &self.settings.ticket_properties;
        if properties.is_empty() {
            return Finding::skipped("ticket_properties", "ticket_properties is empty");
        }
        let mut finding = match fields {
            Ok(fields) => fields::judged(properties, &fields),
            Err(fault) => Finding::unknown("ticket_properties", "the properties of a case", &fault),
        };
        for (key, path) in fields::bound_rows(properties).into_iter().take(MOST_ROWS) {
            finding = reply::bound_row(finding, &key, &path, &self.ask(request::row(&path)).await);
        }
        finding
    }
}
