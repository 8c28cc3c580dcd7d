//! Special handling of refusals by Dynamics.
//!
//! A refused contact costs the contact, not the handoff. A refusal without a readable error is retried, because a proxy may have sent
//! it, and becomes final after several equal ones.

use super::fault::{Fault, Remedy};
use super::receipt::Receipt;
use super::record::HistoryEntry;
use super::settings::{ContactFailure, Settings};
use super::step::{Step, StepName};

/// Consecutive equal refusals without a readable error that count as final (contract 5).
const UNREADABLE: usize = 5;

/// Turns the refusal of a contact into a receipt, unless the organization's settings dead-letter the event.
///
/// # Errors
/// The fault itself, if it does not concern a contact.
pub fn allow_unlinked(step: &Step, settings: &Settings, fault: Fault) -> Result<Receipt, Fault> {
    let of_contact = matches!(step, Step::LookUpContact | Step::CreateContact { .. });
    let unlinked = settings.contact_failure == ContactFailure::Unlinked;
    if of_contact && unlinked && fault.remedy == Remedy::GiveUp {
        return Ok(Receipt::ContactRefused);
    }
    Err(fault)
}

/// Makes an unreadable refusal final once its step has been refused in the same way too often. The event's `history` ends with
/// the refused request.
///
/// # Errors
/// The same fault, or a final one, if the refusal does not concern a contact.
pub fn finalize_unreadable(
    step: &Step,
    settings: &Settings,
    fault: Fault,
    history: &[HistoryEntry],
) -> Result<Receipt, Fault> {
    // A page with status 404 stands for a missing environment, which holds the organization. While only this step gets
    // one, the environment exists: each entry of the history was preceded by a probe that succeeded.
    let is_open = matches!(fault.remedy, Remedy::Retry | Remedy::Hold | Remedy::HoldStep(_));
    if !is_open || !is_unreadable_for_good(fault.step, fault.status, history) {
        return Err(fault);
    }
    let refused = Fault {
        remedy: Remedy::GiveUp,
        advice: format!(
            "Every attempt was refused without a readable reason ({}). Check environment_url and the proxies in between, then \
             replay the event.",
            fault.message
        ),
        ..fault
    };
    allow_unlinked(step, settings, refused)
}

fn is_unreadable_for_good(step: StepName, status: Option<u16>, history: &[HistoryEntry]) -> bool {
    // 401 is never the event's, 408 is transient, and an answer of the token service concerns no single event.
    if !matches!(status, Some(400..=499)) || matches!(status, Some(401 | 408)) || step == StepName::Token {
        return false;
    }
    let of_step = history.iter().rev().filter(|entry| entry.step == step);
    let equal = of_step.take_while(|entry| entry.status == status && entry.code.is_none() && entry.error.is_none());
    equal.count() >= UNREADABLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::samples::{at, settings, settings_with};

    fn entry(step: StepName, status: Option<u16>) -> HistoryEntry {
        HistoryEntry {
            at: at("2026-11-22T10:15:00Z"),
            attempt: 1,
            step,
            elapsed_ms: 1,
            status,
            code: None,
            error: None,
            request_id: None,
        }
    }

    fn fault(step: StepName, status: u16) -> Fault {
        Fault { status: Some(status), ..Fault::unanswered(step, Remedy::Retry, "unreadable".to_owned()) }
    }

    fn remedy_after(step: StepName, status: u16, history: &[HistoryEntry]) -> Remedy {
        insisted(fault(step, status), history).remedy
    }

    /// Applies `insist` to a step that does not concern a contact.
    fn insisted(fault: Fault, history: &[HistoryEntry]) -> Fault {
        finalize_unreadable(&Step::CreatePlaceholder, &settings(), fault, history).unwrap_err()
    }

    #[test]
    fn five_equal_unreadable_answers_are_final() {
        for status in [400, 403, 409, 418, 499] {
            let history = vec![entry(StepName::PostIncident, Some(status)); 5];
            assert_eq!(remedy_after(StepName::PostIncident, status, &history), Remedy::GiveUp, "{status}");
            assert_eq!(remedy_after(StepName::PostIncident, status, &history[1..]), Remedy::Retry, "{status}: four");
        }
    }

    #[test]
    fn a_401_without_a_body_never_becomes_the_events_own_fault() {
        let history = vec![entry(StepName::PostIncident, Some(401)); 20];
        let unknown = Fault { remedy: Remedy::Hold, ..fault(StepName::PostIncident, 401) };
        assert_eq!(insisted(unknown, &history).remedy, Remedy::Hold);
    }

    #[test]
    fn five_pages_with_status_404_are_final_for_a_step_of_an_environment_that_exists() {
        let missing = || Fault { remedy: Remedy::Hold, ..fault(StepName::PostIncident, 404) };
        let history = vec![entry(StepName::PostIncident, Some(404)); 5];
        assert_eq!(insisted(missing(), &history).remedy, Remedy::GiveUp);
        assert_eq!(insisted(missing(), &history[1..]).remedy, Remedy::Hold, "four");
        let named: Vec<_> =
            history.into_iter().map(|entry| HistoryEntry { error: Some("no such table".into()), ..entry }).collect();
        assert_eq!(insisted(missing(), &named).remedy, Remedy::Hold, "Dynamics says why");
    }

    #[test]
    fn an_unreadable_refusal_of_a_contact_costs_only_the_contact() {
        let history = vec![entry(StepName::LookUpContact, Some(403)); 5];
        let insist = |settings| {
            finalize_unreadable(&Step::LookUpContact, settings, fault(StepName::LookUpContact, 403), &history)
        };
        let (usual, strict) = (settings(), settings_with(|it| it.contact_failure = ContactFailure::DeadLetter));
        assert_eq!(insist(&usual), Ok(Receipt::ContactRefused));
        assert_eq!(insist(&strict).unwrap_err().remedy, Remedy::GiveUp);
    }

    #[test]
    fn other_steps_in_between_do_not_matter() {
        let mut history = vec![entry(StepName::Token, Some(200))];
        for _ in 0..5 {
            history.extend([entry(StepName::LookAtIncident, Some(200)), entry(StepName::CloseIncident, Some(403))]);
        }
        assert_eq!(remedy_after(StepName::CloseIncident, 403, &history), Remedy::GiveUp);
    }

    #[test]
    fn a_different_answer_restarts_the_count() {
        let step = StepName::PostIncident;
        let others = [
            entry(step, Some(503)),
            entry(step, None),
            entry(step, Some(404)),
            HistoryEntry { code: Some("0x1".to_owned()), ..entry(step, Some(403)) },
            HistoryEntry { error: Some("words".to_owned()), ..entry(step, Some(403)) },
        ];
        for other in others {
            let mut history = vec![entry(step, Some(403)); 5];
            history[2] = other;
            assert_eq!(remedy_after(step, 403, &history), Remedy::Retry, "{history:?}");
        }
    }

    #[test]
    fn transient_and_decided_faults_stay_unchanged() {
        let of = |step, status| vec![entry(step, Some(status)); 9];
        for status in [408, 500, 503, 200] {
            let step = StepName::PostIncident;
            assert_eq!(remedy_after(step, status, &of(step, status)), Remedy::Retry, "{status}");
        }
        assert_eq!(remedy_after(StepName::Token, 400, &of(StepName::Token, 400)), Remedy::Retry);
        let waits = Remedy::NotBefore(at("2026-11-22T10:15:00Z"));
        let throttled = Fault { remedy: waits, ..fault(StepName::PostIncident, 403) };
        assert_eq!(insisted(throttled, &of(StepName::PostIncident, 403)).remedy, waits);
    }
}
