//! Texts of the page for reasons, warnings, statuses and steps, with advice for each reason. Pure.
//!
//! The texts for reasons shorten those of docs/OPERATIONS.md.

use handoffd_engine::workflow::{Reason, Status, StepName, Warning};

use crate::admin::events::EventState;

/// Explanation of a reason, with advice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meaning {
    /// Title in a few words.
    pub title: &'static str,
    /// Cause of the outcome.
    pub means: &'static str,
    /// Recommended action.
    pub advice: &'static str,
}

/// Explanation of a dead letter without one of the worker's reasons: another application published it.
pub(super) const NO_REASON: Meaning = Meaning {
    title: "No reason",
    means: "Another application put this message into the dead-letter queue; it has no reason header.",
    advice: "Open it to find its origin, then replay or discard it.",
};

/// Returns the explanation of a reason, given its name in headers and lists.
pub(super) fn by_name(reason: Option<&str>) -> Meaning {
    let known = Reason::DEAD.into_iter().find(|known| Some(known.as_str()) == reason);
    known.map_or(NO_REASON, meaning)
}

/// Returns the explanation of a reason.
pub(super) fn meaning(reason: Reason) -> Meaning {
    let (title, means, advice) = match reason {
        Reason::NotResolved => (
            "Not resolved",
            "The conversation ended without being resolved, so its case stays open.",
            "No action needed.",
        ),
        Reason::LiveWorkItem => (
            "Live work item",
            "The session was handed off to a live work item, which its agent closes in Dynamics.",
            "No action needed.",
        ),
        Reason::NoIncident => (
            "No case to close",
            "No handoff of this session arrived within worker.resolution_wait, so there is no case to close.",
            "If a case was expected, find the session and check whether its handoff is a dead letter.",
        ),
        Reason::AlreadyClosed => (
            "Already closed",
            "The worker already closed all cases of this session. A case that a rep has reopened since stays open.",
            "No action needed.",
        ),
        Reason::IncidentNotFound => (
            "Case not found",
            "The case to close no longer exists in Dynamics.",
            "If it should exist, it was deleted or merged with another case.",
        ),
        reason => return dead(reason),
    };
    Meaning { title, means, advice }
}

fn dead(reason: Reason) -> Meaning {
    let (title, means, advice) = match reason {
        Reason::UnsupportedEvent => (
            "Unsupported event",
            "This worker does not support the event. Its routing key matches a binding of the inbox, or the worker is older \
             than the publisher.",
            "Compare the name in the error with broker.bindings. Bind the queue more narrowly and discard these events, or \
             deploy a worker that supports the event and replay.",
        ),
        Reason::UnknownOrganization => (
            "Unknown organization",
            "No organization with this ID is configured: it was not added yet, was removed, or its file is invalid.",
            "Add its file (`handoffd config check` reports invalid ones); the worker loads it within seconds. Then \
             replay. If the publisher sent a wrong ID, discard it.",
        ),
        Reason::RejectedByDynamics => (
            "Rejected by Dynamics",
            "Dynamics permanently rejects the record: a plug-in refuses it, a value is out of range, or a configured record \
             does not exist.",
            "Open the event to see Dynamics' response and the advice for it. Fix the environment or the organization's \
             file, then replay. Completed steps are not repeated.",
        ),
        Reason::RetriesExhausted => (
            "Retries exhausted",
            "Attempts kept failing until retry.max_age. The error shown is the last one.",
            "Open the event to see every attempt, and check whether its organization was blocked or throttled. Fix the \
             cause, then replay.",
        ),
        Reason::DeliveryLimit => (
            "Delivery limit",
            "The broker redelivered the event up to its delivery limit without an acknowledgement: each worker that took it \
             ended or lost its connection.",
            "Find out why workers ended (killed, out of memory, the last lines of their logs). If the broker or the machine \
             was the cause, replay. If the event is the cause, keep it and report it.",
        ),
        Reason::Expired => (
            "Expired",
            "The event expired in the broker before a worker consumed it: its publisher set an expiration, or a policy of the \
             broker sets message-ttl.",
            "Check how long workers were down and whether the publisher or a policy (`rabbitmqctl list_policies`) limits how \
             long events may wait. Remove that limit, then replay: replayed events do not expire.",
        ),
        _ => (
            "Invalid event",
            "The message is invalid: it is not JSON, is too large, or has a missing field or one of the wrong type. The \
             error names the field.",
            "Fix the publisher and publish the event again. To fix a single event, edit and replay it on its page (signed in with \
             http.token), or run `handoffd dead-letters replay --letter ID --patch FILE`. Replayed unchanged, it fails again.",
        ),
    };
    Meaning { title, means, advice }
}

/// Returns the text for a warning.
pub(super) fn warning(warning: Warning) -> &'static str {
    match warning {
        Warning::ContactUnlinked => "The case was created without a link to the customer's contact.",
        Warning::PlaceholderCustomer => "The case is linked to the fallback or placeholder customer.",
        Warning::NotQueued => "The case was closed before it was added to the organization's queue.",
        Warning::SubjectCut => "The summary was too long for the live work item's subject and was truncated.",
        Warning::CloseUnconfirmed => {
            "A rep reopened or changed the case after it was to be closed; it was left unchanged."
        }
    }
}

/// Returns the word for a final status.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Succeeded => "succeeded",
        Status::Skipped => "skipped",
        Status::Failed => "dead letter",
    }
}

/// Returns the purpose of a request.
pub(super) fn step(step: StepName) -> &'static str {
    match step {
        StepName::Decode => "Read the message",
        StepName::Token => "Fetch a token",
        StepName::Probe => "Check whether Dynamics works again",
        StepName::LookUpContact => "Look up the contact",
        StepName::CreateContact => "Create the contact",
        StepName::CreatePlaceholder => "Create the placeholder contact",
        StepName::PostIncident => "Create the case",
        StepName::LookForQueueItem => "Check whether the case is in a queue",
        StepName::AssignQueue => "Add the case to its queue",
        StepName::AttachTranscript => "Attach the transcript",
        StepName::PostLiveWorkItem => "Create the live work item",
        StepName::CloseIncident => "Close the case",
        StepName::LookAtIncident => "Check whether the case is open",
        StepName::LookForResolution => "Check whether the case was reopened",
    }
}

/// Returns the title of an entry of an event's history, given its step.
pub(super) fn entry(step: &str) -> Option<&'static str> {
    const REQUESTS: [StepName; 14] = [
        StepName::Decode,
        StepName::Token,
        StepName::Probe,
        StepName::LookUpContact,
        StepName::CreateContact,
        StepName::CreatePlaceholder,
        StepName::PostIncident,
        StepName::LookForQueueItem,
        StepName::AssignQueue,
        StepName::AttachTranscript,
        StepName::PostLiveWorkItem,
        StepName::CloseIncident,
        StepName::LookAtIncident,
        StepName::LookForResolution,
    ];
    let milestone = match step {
        "received" => "Received from the broker",
        "moved" => "Moved to its organization's queue",
        "waiting" => "Waiting to retry",
        "dead" => "Failed; moved to dead letters",
        "replayed" => "Replayed by an operator",
        "discarded" => "Discarded by an operator",
        "succeeded" => "Succeeded",
        "skipped" => "Skipped",
        "left_out" => "Earlier entries not kept",
        _ => return REQUESTS.into_iter().find(|name| name.as_str() == step).map(self::step),
    };
    Some(milestone)
}

/// Returns the word for an event's state.
pub(super) fn state(state: EventState) -> &'static str {
    match state {
        EventState::Waiting => "waiting",
        EventState::InProgress => "in progress",
        EventState::Succeeded => "succeeded",
        EventState::Skipped => "skipped",
        EventState::Dead => "dead letter",
        EventState::Discarded => "discarded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_text() {
        let titles: std::collections::BTreeSet<&str> = Reason::DEAD.map(|reason| meaning(reason).title).into();
        assert_eq!(titles.len(), Reason::DEAD.len());
        for reason in Reason::DEAD {
            assert_eq!(by_name(Some(reason.as_str())), meaning(reason));
            assert_ne!(meaning(reason), NO_REASON);
        }
        assert_eq!((by_name(None), by_name(Some("not_resolved"))), (NO_REASON, NO_REASON));
    }

    #[test]
    fn requests_and_milestones_have_titles() {
        assert_eq!(entry("post_incident"), Some("Create the case"));
        assert_eq!(entry("moved"), Some("Moved to its organization's queue"));
        assert_eq!(entry("of a newer version"), None);
    }

    #[test]
    fn every_reason_of_a_dead_letter_is_in_the_runbook() {
        let runbook = include_str!("../../../docs/OPERATIONS.md");
        for reason in Reason::DEAD {
            assert!(runbook.contains(&format!("### `{}`", reason.as_str())), "{}", reason.as_str());
        }
    }
}
