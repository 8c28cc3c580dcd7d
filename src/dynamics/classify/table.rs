//! The classification table. The first matching row decides, so special rows precede general ones.

use std::ops::RangeInclusive;
use std::time::Duration;

use handoffd_engine::workflow::StepName;

use super::assertions;
use super::refusal::{DUPLICATE_RULE, NO_SEGMENT, NO_TABLE};
use super::words::{
    CRASHED, NO_CASES, NO_CHATS, NOT_ENTRA, PAGE_FOR_TOKEN, PLUGIN_CRASHED, PLUGIN_REFUSED, REFUSED_BY_PLUGIN, ROW,
};

/// Properties of a failed answer that the table matches on.
pub(super) struct SeenAnswer<'a> {
    pub(super) step: StepName,
    pub(super) status: u16,
    /// Dynamics' `error.code` or Entra ID's `error`, lower-cased.
    pub(super) code: &'a str,
    /// Message in lower case.
    pub(super) text: &'a str,
    /// Wait requested by `Retry-After`, if the header is readable.
    pub(super) wait: Option<Duration>,
}

/// Row of the table: conditions on an answer, and its classification.
pub(super) struct ClassifyRow {
    of: Of,
    status: &'static [RangeInclusive<u16>],
    code: Code,
    text: MessagePattern,
    pub(super) means: Means,
    pub(super) advice: Advice,
}

/// Condition on the operation.
#[derive(Clone, Copy)]
enum Of {
    Any,
    Token,
    Only(StepName),
}

/// Condition on the error code.
enum Code {
    Any,
    Some,
    None,
    In(&'static [&'static str]),
    /// Any code, if `Retry-After` is readable.
    WithRetryAfter,
}

/// Condition on the message, in lower case.
enum MessagePattern {
    Any,
    None,
    Says(&'static [&'static str]),
}

/// Consequence of an answer for its event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Means {
    /// Throttling: the whole organization waits for the time in `Retry-After`.
    Wait,
    /// The organization's setup is at fault; its events wait.
    Hold,
    /// The failure is transient.
    Retry,
    /// The event can't succeed without a change.
    GiveUp,
}

/// Kind of advice for operators.
#[derive(Clone, Copy)]
pub(super) enum Advice {
    None,
    Words(&'static str),
    /// Names the missing privilege and the user that lacks it, both taken from the message.
    Privilege,
    /// Names the user without a security role, taken from the message.
    Role,
}

impl ClassifyRow {
    pub(super) fn fits(&self, seen: &SeenAnswer<'_>) -> bool {
        let of = match self.of {
            Of::Any => true,
            Of::Token => seen.step == StepName::Token,
            Of::Only(step) => seen.step == step,
        };
        let code = match self.code {
            Code::Any => true,
            Code::Some => !seen.code.is_empty(),
            Code::None => seen.code.is_empty(),
            Code::In(codes) => codes.contains(&seen.code),
            Code::WithRetryAfter => seen.wait.is_some(),
        };
        let text = match self.text {
            MessagePattern::Any => true,
            MessagePattern::None => seen.text.is_empty(),
            MessagePattern::Says(parts) => parts.iter().any(|part| seen.text.contains(part)),
        };
        of && code && text && (self.status.is_empty() || self.status.iter().any(|range| range.contains(&seen.status)))
    }
}

use Advice::Words;
use Code::In;
use Means::{GiveUp, Hold, Retry, Wait};
use MessagePattern::Says;

const ANY: &[RangeInclusive<u16>] = &[];
const REFUSED: &[RangeInclusive<u16>] = &[400..=499];
const TROUBLE: &[RangeInclusive<u16>] = &[408..=408, 500..=599];

const fn row(
    of: Of,
    status: &'static [RangeInclusive<u16>],
    code: Code,
    text: MessagePattern,
    means: Means,
    advice: Advice,
) -> ClassifyRow {
    ClassifyRow { of, status, code, text, means, advice }
}

/// Row for AADSTS numbers of Entra ID. The number selects the advice; status and `error` identify the refusal of a token.
const fn aadsts(numbers: &'static [&'static str], advice: &'static str) -> ClassifyRow {
    row(Of::Token, REFUSED, Code::Some, Says(numbers), Hold, Words(advice))
}

/// Row for codes of Dynamics that mean the same with any status.
const fn code(codes: &'static [&'static str], means: Means, advice: Advice) -> ClassifyRow {
    row(Of::Any, ANY, In(codes), MessagePattern::Any, means, advice)
}

/// Row for statuses, with any code and message.
const fn status(status: &'static [RangeInclusive<u16>], means: Means, advice: Advice) -> ClassifyRow {
    row(Of::Any, status, Code::Any, MessagePattern::Any, means, advice)
}

/// The table: contract 5 and the error classes of Dataverse and Entra ID.
pub(super) const ROWS: &[ClassifyRow] = &[
    // Throttling. The codes: 6,000 requests in 300 s, 1,200 s of execution in 300 s, 52 concurrent requests.
    status(&[429..=429], Wait, Advice::None),
    code(&["0x80072322", "0x80072321", "0x80072326"], Wait, Advice::None),
    row(Of::Any, &[503..=503], Code::WithRetryAfter, MessagePattern::Any, Wait, Advice::None),
    // Outages of Entra ID are transient.
    row(Of::Token, TROUBLE, Code::Any, MessagePattern::Any, Retry, Advice::None),
    row(Of::Token, ANY, In(&["temporarily_unavailable", "server_error"]), MessagePattern::Any, Retry, Advice::None),
    row(
        Of::Token,
        ANY,
        Code::Any,
        Says(&["aadsts90006:", "aadsts90012:", "aadsts90024:", "aadsts90033:", "aadsts90055:"]),
        Retry,
        Advice::None,
    ),
    // Refused tokens.
    aadsts(
        &["aadsts7000215:"],
        "The client secret is wrong. Set client_secret to the secret's Value (not its Secret ID) from Entra ID → App \
         registrations → Certificates & secrets.",
    ),
    aadsts(
        &["aadsts7000222:"],
        "The client secret has expired. Create a new one in Entra ID → App registrations → Certificates & secrets, and \
         set client_secret to its Value.",
    ),
    aadsts(&["aadsts700027:"], assertions::CERTIFICATE),
    aadsts(&["aadsts700024:"], assertions::TIMES),
    aadsts(&["aadsts700021:", "aadsts700023:"], assertions::ELSEWHERE),
    aadsts(
        &["aadsts70021:", "aadsts70025:", "aadsts700211:", "aadsts700212:", "aadsts700213:", "aadsts7002138:"],
        assertions::FEDERATED,
    ),
    aadsts(
        &["aadsts90002:", "aadsts900023:"],
        "The tenant does not exist. Correct tenant_id (Entra ID → Overview → Tenant ID).",
    ),
    aadsts(
        &["aadsts700016:"],
        "The application does not exist in the tenant. Correct client_id or tenant_id, or have the tenant's \
         administrator grant consent to it.",
    ),
    aadsts(&["aadsts7000112:"], "The application is disabled. Enable it in Entra ID → Enterprise applications."),
    aadsts(
        &["aadsts500011:", "aadsts650057:"],
        "The tenant has no such environment. Correct environment_url, or tenant_id if the environment belongs to \
         another tenant.",
    ),
    aadsts(
        &["aadsts53003:", "aadsts530035:"],
        "A conditional access policy of the tenant blocks the application. Exempt the application, or allow it to sign \
         in from the worker's address.",
    ),
    row(
        Of::Token,
        REFUSED,
        Code::Some,
        MessagePattern::Any,
        Hold,
        Words(
            "Entra ID refuses the application. Check tenant_id, client_id and client_secret, client_certificate or \
             federated_token.",
        ),
    ),
    // A refused token is no event's fault, whatever the words.
    row(Of::Token, REFUSED, Code::Any, MessagePattern::Any, Hold, Words(NOT_ENTRA)),
    row(Of::Token, ANY, Code::Any, MessagePattern::Any, Retry, Words(PAGE_FOR_TOKEN)),
    // The application user. A 401 means that it does not exist, whatever the code (which may be that of the 403 below).
    status(
        &[401..=401],
        Hold,
        Words(
            "The environment has no application user for this application. Add one in the Power Platform admin center \
             → environment → Settings → Users + permissions → Application users → New app user, with this \
             organization's client_id.",
        ),
    ),
    code(&["0x80042f09"], Hold, Advice::Role),
    code(
        &["0x80072560"],
        Hold,
        Words(
            "The application user is not a member of this environment. Add it there (Power Platform admin center → \
             environment → Settings → Users + permissions → Application users), or correct environment_url.",
        ),
    ),
    code(
        &["0x80040225"],
        Hold,
        Words(
            "A user is disabled. Activate the application user (Power Platform admin center → environment → Settings → \
             Users + permissions → Application users → Activate), or enable the user that default_owner_id names or \
             the one that a plug-in or flow of the environment runs as.",
        ),
    ),
    code(&["0x80040220"], Hold, Advice::Privilege),
    // One row or one column: the event's own failure, although the messages speak of roles and privileges.
    code(&["0x80048306"], GiveUp, Words(ROW)),
    row(Of::Any, &[403..=403], Code::Any, Says(&["right(s) for record"]), GiveUp, Words(ROW)),
    code(
        &["0x8004f502", "0x8004f506"],
        GiveUp,
        Words(
            "A column is secured. Give the application user a column security profile that allows Read and Create on \
             it, then replay.",
        ),
    ),
    code(
        &["0x80095ffe"],
        Hold,
        Words(
            "The environment's IP firewall blocks the worker's address. Allow it (Power Platform admin center → \
             environment → Settings → Privacy + Security → IP firewall).",
        ),
    ),
    // Refusals by a plug-in, whatever it says. One costs a contact, not a day of retries.
    row(
        Of::Any,
        ANY,
        In(PLUGIN_REFUSED),
        Says(&["time-out", "timeout", "timed out"]),
        Retry,
        Words("A plug-in of the environment timed out. If this persists, check the plug-in's trace log."),
    ),
    row(
        Of::Only(StepName::LookUpContact),
        ANY,
        In(PLUGIN_REFUSED),
        MessagePattern::Any,
        GiveUp,
        Words(REFUSED_BY_PLUGIN),
    ),
    row(
        Of::Only(StepName::CreateContact),
        ANY,
        In(PLUGIN_REFUSED),
        MessagePattern::Any,
        GiveUp,
        Words(REFUSED_BY_PLUGIN),
    ),
    of_the_event(PLUGIN_REFUSED, REFUSED_BY_PLUGIN),
    row(Of::Any, &[403..=403], Code::Any, Says(&["privilege", "role"]), Hold, Advice::Privilege),
    // The environment.
    code(&["0x8004a104"], Hold, Words("The environment is disabled. Enable it in the Power Platform admin center.")),
    row(Of::Only(StepName::PostLiveWorkItem), ANY, In(NO_TABLE), MessagePattern::Any, Hold, Words(NO_CHATS)),
    row(Of::Only(StepName::PostLiveWorkItem), &[404..=404], Code::Any, Says(&[NO_SEGMENT]), Hold, Words(NO_CHATS)),
    code(NO_TABLE, Hold, Words(NO_CASES)),
    row(Of::Any, &[404..=404], Code::Any, Says(&[NO_SEGMENT]), Hold, Words(NO_CASES)),
    row(
        Of::Any,
        &[404..=404],
        Code::None,
        MessagePattern::None,
        Hold,
        Words(
            "The address does not answer as Dynamics does. Check environment_url, and that the environment still \
             exists.",
        ),
    ),
    // Transient failures: time-outs and locks of the SQL behind Dataverse, time-outs of plug-ins.
    code(&["0x80044150", "0x80044151", "0x80073000", "0x80072031"], Retry, Advice::None),
    // A plug-in that crashes usually does so every time; a contact is not worth a day of retries.
    row(Of::Only(StepName::LookUpContact), ANY, In(PLUGIN_CRASHED), MessagePattern::Any, GiveUp, Words(CRASHED)),
    row(Of::Only(StepName::CreateContact), ANY, In(PLUGIN_CRASHED), MessagePattern::Any, GiveUp, Words(CRASHED)),
    row(Of::Any, ANY, In(PLUGIN_CRASHED), MessagePattern::Any, Retry, Words(CRASHED)),
    // Permanent failures of the event or of the organization's settings. A duplicate detection rule can answer with a 500.
    code(
        &[DUPLICATE_RULE],
        GiveUp,
        Words(
            "A duplicate detection rule of the environment refuses the record. Exempt the application user or \
             unpublish the rule, then replay.",
        ),
    ),
    row(
        Of::Any,
        &[400..=400],
        In(&["0x80048d19", "0x0"]),
        MessagePattern::Any,
        GiveUp,
        Words(
            "A property of the record does not exist in Dynamics. Correct ticket_properties, queue_field or the owner \
             in the organization's file, then replay.",
        ),
    ),
    of_the_event(
        &["0x80044331"],
        "A value is too long. Lower description_limit or correct ticket_properties, then replay.",
    ),
    of_the_event(
        &["0x8004431a"],
        "A value is not one of the column's choices. Correct default_priority or ticket_properties, then replay.",
    ),
    code(
        &["0x80060892"],
        GiveUp,
        Words("Another record has the same value in an alternate key of the table. Find and correct it, then replay."),
    ),
    code(
        &["0x80040517"],
        GiveUp,
        Words(
            "The customer linked to the record is deactivated. Activate it or correct fallback_customer, then replay.",
        ),
    ),
    code(
        &["0x8004440a"],
        GiveUp,
        Words(
            "The case has open activities or child cases. Have their owners finish or cancel them in Dynamics, then \
             replay.",
        ),
    ),
    of_the_event(&["0x80044410"], "The environment requires another customer. Correct fallback_customer, then replay."),
    row(
        Of::Only(StepName::AssignQueue),
        &[404..=404],
        Code::Any,
        MessagePattern::Any,
        GiveUp,
        Words("The queue does not exist. Correct default_queue_id, then replay."),
    ),
    status(
        &[404..=404],
        GiveUp,
        Words(
            "A row that the record names does not exist. Correct default_owner_id, default_queue_id, fallback_customer \
             or ticket_properties, then replay.",
        ),
    ),
    status(&[413..=413], GiveUp, Words("The record is too large for Dynamics. Shorten the transcript, then replay.")),
    status(
        &[400..=400, 405..=405, 422..=422],
        GiveUp,
        Words(
            "Dynamics refuses this record. Correct the organization's file or the event as the message describes, then \
             replay.",
        ),
    ),
    // Everything else is taken for transient.
    status(&[403..=403], Retry, Words("If this persists, check the environment's IP firewall and proxies in between.")),
    status(ANY, Retry, Advice::None),
];

/// Statuses with which codes of an event's own failures come. The sources name few, and 403 and 412 have been seen.
const OF_THE_EVENT: &[RangeInclusive<u16>] = &[400..=400, 403..=405, 409..=409, 412..=413, 422..=422];

const fn of_the_event(codes: &'static [&'static str], advice: &'static str) -> ClassifyRow {
    row(Of::Any, OF_THE_EVENT, In(codes), MessagePattern::Any, GiveUp, Words(advice))
}
