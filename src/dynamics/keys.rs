//! Primary keys derived from the event.
//!
//! A create whose answer was lost can be sent again, because the record has the same key each time. Not even a lost store leads
//! to a second record.

use handoffd_engine::event::{ContactId, EventKey, IncidentId, OrganizationId, WorkItemId};
use uuid::Uuid;

/// Namespace of all derived keys. It must never change: with another one, events replayed after an upgrade would create second
/// records.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f0d_3a52_9c1e_5b7a_8e44_70c1_d2f9_4b36);

/// Returns the key of the contact for an email, ignoring case. `generation` is incremented when a rep has given the record of the
/// previous generation another email.
pub(super) fn contact(organization: &OrganizationId, email: &str, generation: u8) -> ContactId {
    let email = email.to_lowercase();
    match generation {
        0 => ContactId(derive(organization, "contact", &[&email])),
        n => ContactId(derive(organization, "contact", &[&email, &n.to_string()])),
    }
}

/// Returns the key of the organization's placeholder contact.
pub(super) fn placeholder(organization: &OrganizationId) -> ContactId {
    ContactId(derive(organization, "placeholder", &[]))
}

/// Returns the key of a handoff's incident.
pub(super) fn incident(key: &EventKey) -> IncidentId {
    IncidentId(derive(&key.organization_id, "incident", &[key.event_id.as_str()]))
}

/// Returns the key of the note with a handoff's uncut transcript.
pub(super) fn annotation(key: &EventKey) -> Uuid {
    derive(&key.organization_id, "annotation", &[key.event_id.as_str()])
}

/// Returns the key of a note with one part of the transcript as text.
pub(super) fn text_note(key: &EventKey, part: u16) -> Uuid {
    derive(&key.organization_id, "annotation", &[key.event_id.as_str(), &part.to_string()])
}

/// Returns the key of a handoff's live work item.
pub(super) fn work_item(key: &EventKey) -> WorkItemId {
    WorkItemId(derive(&key.organization_id, "live_work_item", &[key.event_id.as_str()]))
}

/// Derives a key. NUL separates the parts, as decoding refuses it in ids.
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
        let organization = &key.organization_id;
        for (key, expected) in [
            (incident(&key).0, "b0d890ee-9cf2-52cc-b06b-a4fc7e409573"),
            (work_item(&key).0, "3cfbff27-1a72-5b1f-abb2-f387ee5023c6"),
            (annotation(&key), "93c52f6c-6475-57a0-81c4-6264777f7c7a"),
            (contact(organization, "ann@example.com", 0).0, "b78ebdb8-0901-5eb6-b018-40d49b5770ba"),
            (contact(organization, "ann@example.com", 1).0, "54be2ab0-f06a-5ffc-85f4-af991f639b61"),
            (placeholder(organization).0, "113dff03-d609-5978-ae84-ae53d3850797"),
        ] {
            assert_eq!(key.to_string(), expected);
        }
    }

    #[test]
    fn keys_of_different_kinds_events_and_organizations_differ() {
        let of =
            |organization: &str, event: &str| EventKey { organization_id: organization.into(), event_id: event.into() };
        let (one, other) = (of("org_acme", "evt_1"), of("org_acme", "evt_2"));
        let keys = [
            incident(&one).0,
            incident(&other).0,
            incident(&of("org_b", "evt_1")).0,
            // The parts are separated, so an organization's keys can't collide with another's.
            incident(&of("org_acme\u{1}", "evt_1")).0,
            work_item(&one).0,
            annotation(&one),
            contact(&one.organization_id, "evt_1", 0).0,
            placeholder(&one.organization_id).0,
        ];
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
    }
}
