//! Names of the machine's as an operator says them, and what to do about each reason. Pure.
//!
//! The words about reasons are those of docs/OPERATIONS.md, shortened.

use handoffd_engine::workflow::{Reason, Status, StepName, Warning};

/// What a reason means, and what to do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meaning {
    /// In a few words.
    pub title: &'static str,
    /// What happened.
    pub means: &'static str,
    /// What to look at and what to do.
    pub advice: &'static str,
}

/// What a dead letter without one of ours needs: somebody else put it there.
pub(super) const NO_REASON: Meaning = Meaning {
    title: "No reason given",
    means: "Somebody else has put it into the dead-letter queue: it carries no reason.",
    advice: "Show one and see where it comes from; then replay or discard it.",
};

/// What a reason means, by its name in headers and lists.
pub(super) fn by_name(reason: Option<&str>) -> Meaning {
    let known = Reason::DEAD.into_iter().find(|known| Some(known.as_str()) == reason);
    known.map_or(NO_REASON, meaning)
}

/// What a reason means.
pub(super) fn meaning(reason: Reason) -> Meaning {
    let (title, means, advice) = match reason {
        Reason::NotResolved => (
            "Not resolved",
            "The event says that the conversation ended without being resolved, so its case stays open.",
            "Nothing to do.",
        ),
        Reason::LiveWorkItem => (
            "A live work item",
            "The session went to a live work item, which its agent closes in Dynamics.",
            "Nothing to do.",
        ),
        Reason::NoIncident => (
            "No case to close",
            "No handoff of this session came in time (worker.resolution_wait), so there is no case to close.",
            "If there should be one: find the session and see whether its handoff is a dead letter.",
        ),
        Reason::AlreadyClosed => (
            "Closed before",
            "The worker has closed all cases of this session before. One that a rep has reopened since stays open.",
            "Nothing to do.",
        ),
        Reason::IncidentNotFound => (
            "The case is gone",
            "The case to close is not in Dynamics any more.",
            "If it should be there: somebody has deleted it or merged it with another.",
        ),
        reason => return dead(reason),
    };
    Meaning { title, means, advice }
}

fn dead(reason: Reason) -> Meaning {
    let (title, means, advice) = match reason {
        Reason::UnsupportedEvent => (
            "Unsupported event",
            "An event that this worker does not know. A publisher sends it under a routing key that the inbox is bound \
             with, or the worker is older than the publisher.",
            "Look at the name in the error and at broker.bindings. Bind the queue more narrowly and discard these, or run a \
             worker that knows the event and replay.",
        ),
        Reason::UnknownOrganization => (
            "Unknown organization",
            "No organization of this id is configured: not yet, not any more, or its file is broken.",
            "Put its file in place (`handoffd config check` names broken ones); the worker takes it up within seconds. Then \
             replay. An id that is a slip of the publisher's: discard.",
        ),
        Reason::RejectedByDynamics => (
            "Rejected by Dynamics",
            "Dynamics refuses the record for good: a plug-in, a value out of range, a row that a setting names and that is not \
             there.",
            "Open the event to see Dynamics' answer and what to do about it. Correct the environment or the organization's \
             file, then replay. What is done already is not done again.",
        ),
        Reason::RetriesExhausted => (
            "Retries exhausted",
            "It failed for as long as retry.max_age allows. The error is the last one.",
            "Open the event for every attempt, and see whether its organization was blocked or throttled. Put right what kept \
             it, then replay.",
        ),
        Reason::DeliveryLimit => (
            "Delivery limit",
            "The broker delivered it again and again and nobody settled it: a worker that ends each time it takes this event, \
             or that lost its connection as often.",
            "See why workers ended (killed, out of memory, the last lines of their logs). If the broker or the machine was to \
             blame, replay. If it is the event, keep it and report it.",
        ),
        Reason::Expired => (
            "Expired",
            "The event expired in the broker before a worker took it: its publisher set an expiration, or a policy of the \
             broker sets message-ttl.",
            "See how long workers were away, and whether the publisher or a policy (`rabbitmqctl list_policies`) limits how \
             long events may wait. Remove that limit, then replay: a replayed event does not expire.",
        ),
        _ => (
            "Invalid event",
            "The message breaks a rule: not JSON, too large, or a field that is missing or of a wrong kind. The error names \
             the field.",
            "Have the publisher corrected, and publish anew. One event can be corrected with `handoffd dead-letters replay --id ID \
             --patch FILE`. Replayed as it is, it fails again.",
        ),
    };
    Meaning { title, means, advice }
}

/// What a warning says.
pub(super) fn warning(warning: Warning) -> &'static str {
    match warning {
        Warning::ContactUnlinked => "The customer's contact could not be made: the case stands alone.",
        Warning::PlaceholderCustomer => "The case is linked to the fallback or placeholder customer.",
        Warning::NotQueued => "The case was closed before it came into the organization's queue.",
        Warning::SubjectCut => "The summary was too long for the live work item's subject, and was cut.",
        Warning::CloseUnconfirmed => "Somebody works on the case since it was to be closed: it was left as it is.",
    }
}

/// How an event ended.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Succeeded => "succeeded",
        Status::Skipped => "skipped",
        Status::Failed => "dead letter",
    }
}

/// What a request was for.
pub(super) fn step(step: StepName) -> &'static str {
    match step {
        StepName::Decode => "Read the message",
        StepName::Token => "Fetch a token",
        StepName::Probe => "Ask whether it works again",
        StepName::LookUpContact => "Look up the contact",
        StepName::CreateContact => "Create the contact",
        StepName::CreatePlaceholder => "Create the placeholder contact",
        StepName::PostIncident => "Create the case",
        StepName::LookForQueueItem => "Look whether the case is in a queue",
        StepName::AssignQueue => "Put the case into its queue",
        StepName::AttachTranscript => "Attach the transcript",
        StepName::PostLiveWorkItem => "Create the live work item",
        StepName::CloseIncident => "Close the case",
        StepName::LookAtIncident => "Look whether the case is open",
        StepName::LookForResolution => "Look whether the case was reopened",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_words_of_its_own() {
        let titles: std::collections::BTreeSet<&str> = Reason::DEAD.map(|reason| meaning(reason).title).into();
        assert_eq!(titles.len(), Reason::DEAD.len());
        for reason in Reason::DEAD {
            assert_eq!(by_name(Some(reason.as_str())), meaning(reason));
            assert_ne!(meaning(reason), NO_REASON);
        }
        assert_eq!((by_name(None), by_name(Some("not_resolved"))), (NO_REASON, NO_REASON));
    }

    #[test]
    fn every_reason_of_a_dead_letter_is_in_the_runbook() {
        let runbook = include_str!("../../../docs/OPERATIONS.md");
        for reason in Reason::DEAD {
            assert!(runbook.contains(&format!("### `{}`", reason.as_str())), "{}", reason.as_str());
        }
    }
}
