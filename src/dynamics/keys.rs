//! Primary keys of our own: a request whose answer was lost can be sent again, for the record it makes has the same
//! key each time. Not even a lost store makes a second one.

use uuid::Uuid;

use crate::event::{ContactId, EventKey, IncidentId, OrganizationId, WorkItemId};

/// The namespace of all derived keys. A number of our own, never to be changed: with another one, events replayed
/// after an upgrade would make second records.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0d_3a52_9c1e_5b7a_8e44_70c1_d2f9_4b36);

/// The key of the contact for an email, any case. `generation` rises when a rep has given the record of the one
/// before another email.
pub(super) fn contact(organization: &OrganizationId, email: &str, generation: u8) -> ContactId {
    let email = email.to_lowercase();
    match generation {
        0 => ContactId(derive(organization, "contact", &[&email])),
        n => ContactId(derive(organization, "contact", &[&email, &n.to_string()])),
    }
}

/// The key of the organization's one placeholder contact.
pub(super) fn placeholder(organization: &OrganizationId) -> ContactId {
    ContactId(derive(organization, "placeholder", &[]))
}

/// The key of a handoff's incident.
pub(super) fn incident(key: &EventKey) -> IncidentId {
    IncidentId(derive(&key.organization_id, "incident", &[key.event_id.as_str()]))
}

/// The key of the note with a handoff's uncut transcript.
pub(super) fn annotation(key: &EventKey) -> Uuid {
    derive(&key.organization_id, "annotation", &[key.event_id.as_str()])
}

/// The key of a handoff's live work item.
pub(super) fn work_item(key: &EventKey) -> WorkItemId {
    WorkItemId(derive(&key.organization_id, "live_work_item", &[key.event_id.as_str()]))
}

/// NUL keeps the parts apart: decoding lets it into no id.
fn derive(organization: &OrganizationId, kind: &str, parts: &[&str]) -> Uuid {
    let mut name = format!("{organization}\0{kind}");
    for part in parts {
        name.push('\0');
        name.push_str(part);
    }
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails_that_differ_only_in_case_have_one_key() {
        let acme = OrganizationId::from("org_acme");
        assert_eq!(contact(&acme, "Ann@Example.com", 0), contact(&acme, "ann@example.COM", 0));
        assert_ne!(contact(&acme, "ann@example.com", 0), contact(&acme, "ann@example.com", 1));
        assert_ne!(contact(&acme, "ann@example.com", 0), contact(&"org_b".into(), "ann@example.com", 0));
    }

    #[test]
    fn keys_never_change() {
        let key = EventKey { organization_id: "org_acme".into(), event_id: "evt_01JDA7".into() };
        insta::assert_snapshot!(incident(&key), @"");
        insta::assert_snapshot!(work_item(&key), @"");
        insta::assert_snapshot!(annotation(&key), @"");
        insta::assert_snapshot!(contact(&key.organization_id, "ann@example.com", 0), @"");
        insta::assert_snapshot!(placeholder(&key.organization_id), @"");
    }
}
