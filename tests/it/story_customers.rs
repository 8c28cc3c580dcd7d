//! One contact per customer under any race, and no handoff lost because of a contact.

use serde_json::{Value, json};

use crate::support::event::{Event, handoff};
use crate::support::rig::{Rig, rig};

/// Number of handoffs, large enough to race.
const CROWD: usize = 50;

#[tokio::test]
async fn fifty_handoffs_of_a_new_customer_at_once_make_one_contact() {
    let rig = rig().start().await;
    crowd(&rig).await;
    assert_eq!((rig.crm.count("contacts.query"), rig.crm.count("contacts.create")), (1, 1));
}

#[tokio::test]
async fn two_workers_make_one_contact() {
    let rig = rig().set("broker", "prefetch", 5).start().await;
    rig.start_worker("other").ready().await;
    let first = rig.first_worker();
    crowd(&rig).await;
    for worker in [first, rig.worker()] {
        assert!(worker.logged("event completed"), "each took part");
    }
}

#[tokio::test]
async fn a_contact_whose_email_a_rep_changed_is_left_unchanged() {
    let rig = rig().set("dynamics", "contact_cache_ttl", "0s").start().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    let taken = rig.crm.contacts()[0]["contactid"].clone();
    rig.crm.edit("contacts", &json!({ "contactid": taken, "emailaddress1": "renamed@example.com" })).await;
    let next = ["contacts.query", "contacts.create", "contacts.read", "contacts.create", "incidents.create"];
    assert_eq!(rig.requests_for(&event.next_session()).await, next);
    let contacts = rig.crm.contacts();
    assert_eq!(contacts.len(), 2);
    assert_eq!(rig.crm.incidents()[1]["_customerid_value"], contacts[1]["contactid"]);
    assert_eq!(contacts[0]["emailaddress1"], "renamed@example.com");
}

#[tokio::test]
async fn a_remembered_contact_that_is_gone_is_looked_up_again() {
    let rig = rig().start().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    let id = rig.crm.contacts()[0]["contactid"].as_str().unwrap().to_owned();
    rig.crm.delete("contacts", &id).await;
    let again = ["incidents.create", "contacts.query", "contacts.create", "incidents.create"];
    assert_eq!(rig.requests_for(&event.next_session()).await, again);
    assert_eq!(rig.crm.contacts().len(), 1);
    assert_eq!(rig.requests_for(&event.next_session()).await, ["incidents.create"], "remembered again");
}

#[tokio::test]
async fn names_are_split_and_cut_to_the_limits_of_dynamics() {
    let rig = rig().start().await;
    let long = format!("{} {}", "A".repeat(60), "B".repeat(60));
    let sent = contact(&rig, handoff("email").with("/data/customer/name", long)).await;
    assert_eq!((&sent["firstname"], &sent["lastname"]), (&json!("A".repeat(50)), &json!("B".repeat(50))));
    let sent = contact(&rig, handoff("email").with("/data/customer/phone", "7".repeat(60))).await;
    assert_eq!(sent["mobilephone"], "7".repeat(50));
    let sent = contact(&rig, handoff("email").with("/data/customer/name", "Cher")).await;
    assert_eq!((&sent["firstname"], sent.get("lastname")), (&json!("Cher"), None));
    let sent = contact(&rig, handoff("email").with("/data/customer/name", "Ann  van der Berg")).await;
    assert_eq!((&sent["firstname"], &sent["lastname"]), (&json!("Ann"), &json!("van der Berg")));
    let bare = handoff("email").without("/data/customer/name").without("/data/customer/phone");
    let bare = bare.with("/data/customer/email", format!("{}@example.com", uuid::Uuid::new_v4().simple()));
    let sent = contact(&rig, bare.clone()).await;
    assert_eq!((sent.get("firstname"), sent.get("mobilephone")), (None, None));
    assert_eq!(sent["lastname"], bare.email());
}

#[tokio::test]
async fn a_refused_contact_does_not_lose_the_handoff() {
    let rig = rig().start().await;
    rig.crm.refuse("contacts.create", 1, 400, "0x80040265", "A plug-in does not like it.");
    let event = handoff("email");
    assert_eq!(rig.requests_for(&event).await, ["contacts.query", "contacts.create", "incidents.create"]);
    unlinked(&rig, &event).await;
    assert_eq!(rig.crm.incidents()[0].get("_customerid_value").unwrap_or(&Value::Null), &Value::Null);
}

#[tokio::test]
async fn an_email_that_no_contact_can_have_goes_unlinked() {
    let rig = rig().start().await;
    let email = format!("{}@example.com", "x".repeat(95));
    let event = handoff("email").with("/data/customer/email", email.clone());
    assert_eq!(rig.requests_for(&event).await, ["incidents.create"]);
    unlinked(&rig, &event).await;
    assert!(rig.crm.incidents()[0]["description"].as_str().unwrap().contains(&email));
}

#[tokio::test]
async fn a_refused_contact_can_refuse_the_handoff() {
    let rig = rig().organize("contact_failure", "dead_letter").start().await;
    rig.crm.refuse("contacts.create", 1, 400, "0x80040265", "A plug-in does not like it.");
    let outcome = rig.process(&handoff("email")).await.body;
    assert_eq!(
        (&outcome["data"]["reason"], &outcome["data"]["error"]["step"]),
        (&json!("rejected_by_dynamics"), &json!("create_contact"))
    );
    let long = handoff("email").with("/data/customer/email", format!("{}@example.com", "y".repeat(95)));
    assert_eq!(rig.process(&long).await.body["data"]["reason"], "rejected_by_dynamics");
    assert!(rig.crm.incidents().is_empty());
}

/// Many concurrent handoffs of one new customer, in different cases: all are linked to one contact.
async fn crowd(rig: &Rig) {
    rig.crm.environment().configure(&json!({ "latency_ms": 20 })).unwrap();
    let first = handoff("email");
    let shout = |event: Event| {
        let email = event.email().to_uppercase();
        event.with("/data/customer/email", email)
    };
    let events: Vec<Event> = (0..CROWD)
        .map(|number| if number % 2 == 0 { first.next_session() } else { shout(first.next_session()) })
        .collect();
    rig.bus.publish_all(&events).await;
    rig.bus.outcomes_of(&events).await;
    let contacts = rig.crm.contacts();
    assert_eq!(contacts.len(), 1);
    let incidents = rig.crm.incidents();
    assert_eq!(incidents.len(), CROWD);
    assert!(incidents.iter().all(|incident| incident["_customerid_value"] == contacts[0]["contactid"]));
    rig.nothing_is_left().await;
}

/// Hands off and returns the body posted as the contact.
async fn contact(rig: &Rig, event: Event) -> Value {
    rig.hand_off(&event).await;
    rig.crm.sent("contacts.create")
}

async fn unlinked(rig: &Rig, event: &Event) {
    let data = &rig.bus.outcome(event.id()).await.body["data"];
    assert_eq!((&data["contact_id"], &data["warnings"]), (&Value::Null, &json!(["contact_unlinked"])));
}
