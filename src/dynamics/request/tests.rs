use handoffd_engine::event::samples::{email, handoff, resolution};
use handoffd_engine::event::{Channel, SessionId};
use handoffd_engine::text::units;
use handoffd_engine::workflow::samples::{FALLBACK, OWNER, QUEUE, contact, incident, settings, settings_with};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::keys;
use super::*;

const WORKSTREAM: Uuid = Uuid::from_u128(0x6666_6666_6666_6666_6666_6666_6666_6666);

fn post_with(event: &Event, settings: &Settings, customer: LinkedCustomer, queue: QueueBinding) -> Value {
    let asked = request(&Step::PostIncident { customer, queue }, event, settings);
    assert_eq!((asked.method, &*asked.path), (Method::Post, "incidents?$select=incidentid,ticketnumber"));
    assert_eq!(asked.headers, [("Prefer", "return=representation".into())]);
    asked.body.expect("a POST has a body").value()
}

fn posted(event: &Event, settings: &Settings) -> Value {
    post_with(event, settings, LinkedCustomer::Nobody, QueueBinding::NoQueue)
}

fn body_of(step: &Step, event: &Event) -> Value {
    request(step, event, &settings()).body.expect("a body").value()
}

fn key_order(body: &Value) -> Vec<&str> {
    body.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn looking_up_a_contact_asks_for_the_oldest_one_with_this_email() {
    let asked = request(&Step::LookUpContact, &email(), &settings());
    assert_eq!((asked.method, asked.headers, asked.body), (Method::Get, RequestHeaders::new(), None));
    assert_eq!(
        asked.path,
        "contacts?$select=contactid,statecode,_masterid_value&$filter=emailaddress1%20eq%20'ann.o%27%27brien%2Bvip%40example.com'\
         &$orderby=createdon%20asc&$top=50"
    );
}

#[test]
fn the_email_in_a_filter_has_its_quotes_doubled_and_is_percent_encoded() {
    for (email, expected) in [
        ("a@b.example", "a%40b.example"),
        ("a+b@c.d", "a%2Bb%40c.d"),
        ("o'brien@c.d", "o%27%27brien%40c.d"),
        ("a&b@c.d", "a%26b%40c.d"),
        ("100%@c.d", "100%25%40c.d"),
        ("a%27b@c.d", "a%2527b%40c.d"),
        ("a#b/c?d=e@f.g", "a%23b%2Fc%3Fd%3De%40f.g"),
        ("zoë@例え.jp", "zo%C3%AB%40%E4%BE%8B%E3%81%88.jp"),
        ("a b@c.d", "a%20b%40c.d"),
        ("a-b_c.d~e@f.g", "a-b_c.d~e%40f.g"),
        ("' or 1 eq 1 or '", "%27%27%20or%201%20eq%201%20or%20%27%27"),
    ] {
        let event = handoff(|it| it.customer.email = Some(email.into()));
        let path = request(&Step::LookUpContact, &event, &settings()).path;
        let literal = path.split('\'').nth(1).expect("a literal between plain quotes");
        assert_eq!(literal, expected, "{email}");
        assert_eq!(path.matches('\'').count(), 2, "{path}");
    }
}

#[test]
fn a_new_contact_is_as_in_the_contract() {
    let asked = request(&Step::CreateContact { generation: 0 }, &email(), &settings());
    assert_eq!((asked.method, asked.path.as_str(), asked.headers), (Method::Post, "contacts", RequestHeaders::new()));
    let expected = json!({
        "contactid": keys::contact(&"org_acme".into(), "ann.o'brien+vip@example.com", 0),
        "firstname": "Ann",
        "lastname": "O'Brien",
        "emailaddress1": "ann.o'brien+vip@example.com",
        "mobilephone": "+14155550100",
        "description": "Created from chat session ses_9f2c",
    });
    assert_eq!(asked.body, Some(JsonBody::of(&expected)));
}

#[test]
fn each_generation_of_a_contact_has_a_key_of_its_own() {
    let key = |generation| body_of(&Step::CreateContact { generation }, &email())["contactid"].clone();
    assert_ne!(key(0), key(1));
    assert_ne!(key(1), key(2));
}

#[test]
fn a_name_is_split_at_the_first_white_space() {
    for (name, first, last) in [
        (Some("Ann"), Some("Ann"), None),
        (Some("Ann O'Brien"), Some("Ann"), Some("O'Brien")),
        (Some("Ann Maria de la Cruz"), Some("Ann"), Some("Maria de la Cruz")),
        (Some("Ann\u{a0} \tO'Brien"), Some("Ann"), Some("O'Brien")),
        (None, None, Some("ann@example.com")),
    ] {
        let event = handoff(|it| {
            it.customer.name = name.map(Into::into);
            it.customer.email = Some("ann@example.com".into());
        });
        let body = body_of(&Step::CreateContact { generation: 0 }, &event);
        assert_eq!(body.get("firstname").and_then(Value::as_str), first, "{name:?}");
        assert_eq!(body.get("lastname").and_then(Value::as_str), last, "{name:?}");
    }
}

#[test]
fn names_and_phone_of_a_contact_are_cut_to_50_and_its_email_never() {
    let email = format!("{}@example.com", "e".repeat(80));
    let event = handoff(|it| {
        it.customer.name = Some(format!("{} {}", "😀".repeat(26), "b".repeat(51)).into());
        it.customer.phone = Some("1".repeat(51).into());
        it.customer.email = Some(email.clone().into());
    });
    let body = body_of(&Step::CreateContact { generation: 0 }, &event);
    assert_eq!(body["firstname"], "😀".repeat(25));
    assert_eq!(body["lastname"], "b".repeat(50));
    assert_eq!(body["mobilephone"], "1".repeat(50));
    assert_eq!(body["emailaddress1"], email);
    let nameless = handoff(|it| (it.customer.name, it.customer.email) = (None, Some(email.clone().into())));
    assert_eq!(body_of(&Step::CreateContact { generation: 0 }, &nameless)["lastname"], email[..50]);
}

#[test]
fn a_contact_without_a_phone_has_no_mobilephone() {
    let event = handoff(|it| it.customer.phone = None);
    let body = body_of(&Step::CreateContact { generation: 0 }, &event);
    assert_eq!(key_order(&body), ["contactid", "firstname", "lastname", "emailaddress1", "description"]);
}

#[test]
fn the_placeholder_contact_describes_itself() {
    let asked = request(&Step::CreatePlaceholder, &email(), &settings());
    let body = asked.body.expect("a body").value();
    assert_eq!((asked.method, asked.path.as_str()), (Method::Post, "contacts"));
    assert_eq!(key_order(&body), ["contactid", "lastname", "description"]);
    assert_eq!(body["contactid"], json!(keys::placeholder(&"org_acme".into())));
    assert_eq!(body["lastname"], "Anonymous");
    assert!(body["description"].as_str().is_some_and(|text| text.contains("laceholder")));
}

#[test]
fn an_incident_is_as_in_the_contract() {
    let settings = settings_with(|it| {
        (it.default_owner_id, it.default_queue_id) = (Some(OWNER), Some(QUEUE));
        it.ticket_properties.insert("casetypecode".into(), json!(1));
    });
    let body = post_with(&email(), &settings, LinkedCustomer::Contact(contact(1)), QueueBinding::Bound);
    let expected = json!({
        "incidentid": keys::incident(&email().key),
        "title": "Billing - Ann O'Brien",
        "description": body["description"],
        "prioritycode": 2,
        "customerid_contact@odata.bind": format!("/contacts({})", contact(1)),
        "ownerid@odata.bind": format!("/systemusers({OWNER})"),
        "queueid@odata.bind": format!("/queues({QUEUE})"),
        "casetypecode": 1,
    });
    assert_eq!(body, expected);
    assert_eq!(key_order(&body), key_order(&expected), "ticket_properties come last");
    assert!(body["description"].as_str().is_some_and(|text| text.starts_with("Channel: email\nSummary: ")));
}

#[test]
fn an_incident_without_contact_owner_and_queue_leaves_their_keys_out() {
    let body = posted(&email(), &settings());
    assert_eq!(key_order(&body), ["incidentid", "title", "description", "prioritycode"]);
}

#[test]
fn a_title_is_the_topic_and_the_customer() {
    let all = (Some("Ann"), Some("a@b.c"), Some("+1"));
    for (topic, (name, email, phone), channel, expected) in [
        (Some("Billing"), all, "email", "Billing - Ann"),
        (None, all, "email", "Support - Ann"),
        (None, (None, Some("a@b.c"), Some("+1")), "email", "Support - a@b.c"),
        (None, (None, Some("a@b.c"), Some("+1")), "phone", "Support - a@b.c"),
        (None, (None, None, Some("+1")), "email", "Support - Anonymous"),
        (None, (None, None, Some("+1")), "phone", "Support - +1"),
        (None, (None, None, Some("+1")), "phone_voice", "Support - +1"),
        (None, (None, None, Some("+1")), "web_voice", "Support - +1"),
        (None, (None, None, Some("+1")), "slack", "Support - Anonymous"),
        (Some("Billing"), (None, None, None), "phone", "Billing - Anonymous"),
    ] {
        let event = handoff(|it| {
            it.classification = topic.map(Into::into);
            it.channel = Channel::new(channel);
            it.customer.name = name.map(Into::into);
            it.customer.email = email.map(Into::into);
            it.customer.phone = phone.map(Into::into);
        });
        assert_eq!(posted(&event, &settings())["title"], expected, "{channel}");
    }
}

#[test]
fn a_title_is_cut_to_200_utf16_units_on_a_character_boundary() {
    for (name, units) in [
        ("a".repeat(300), 200),
        ("é".repeat(300), 200),
        ("😀".repeat(300), 200),
        (format!("a{}", "😀".repeat(300)), 199),
    ] {
        let event = handoff(|it| (it.classification, it.customer.name) = (None, Some(name.clone().into())));
        let title = posted(&event, &settings())["title"].as_str().map(str::to_owned).unwrap_or_default();
        assert_eq!(title.encode_utf16().count(), units, "{title}");
        assert!(format!("Support - {name}").starts_with(&title));
    }
}

#[test]
fn an_incident_is_linked_to_its_customer() {
    let contact_of = |id: String| json!({ "customerid_contact@odata.bind": format!("/contacts({id})") });
    for (customer, expected) in [
        (LinkedCustomer::Contact(contact(1)), contact_of(contact(1).to_string())),
        (LinkedCustomer::Placeholder(contact(3)), contact_of(contact(3).to_string())),
        (LinkedCustomer::Fallback(FallbackCustomer::Contact(FALLBACK)), contact_of(FALLBACK.to_string())),
        (
            LinkedCustomer::Fallback(FallbackCustomer::Account(FALLBACK)),
            json!({ "customerid_account@odata.bind": format!("/accounts({FALLBACK})") }),
        ),
        (LinkedCustomer::Nobody, json!({})),
    ] {
        let mut body = post_with(&email(), &settings(), customer, QueueBinding::NoQueue);
        let members = body.as_object_mut().expect("an object");
        members.retain(|key, _| key.starts_with("customerid"));
        assert_eq!(body, expected, "{customer:?}");
    }
}

#[test]
fn ticket_properties_that_name_a_customer_take_the_place_of_the_contact() {
    let settings = settings_with(|it| {
        it.ticket_properties.insert("customerid_account@odata.bind".into(), json!("/accounts(1)"));
    });
    let body = post_with(&email(), &settings, LinkedCustomer::Contact(contact(1)), QueueBinding::NoQueue);
    assert_eq!(body["customerid_account@odata.bind"], "/accounts(1)");
    assert_eq!(body.get("customerid_contact@odata.bind"), None);
}

#[test]
fn ticket_properties_of_every_type_are_sent_unchanged_and_replace() {
    let own = json!({
        "text": "t", "number": 1, "float": 2.5, "yes": true, "nothing": null, "list": [1, "a"],
        "object": { "z": 1, "a": { "deep": [] } }, "title": "Fixed", "prioritycode": 1,
        "ownerid@odata.bind": "/teams(1)", "queueid@odata.bind": "/queues(9)",
    });
    let settings = settings_with(|it| {
        (it.default_owner_id, it.default_queue_id) = (Some(OWNER), Some(QUEUE));
        it.ticket_properties = own.as_object().cloned().expect("an object");
    });
    let body = post_with(&email(), &settings, LinkedCustomer::Nobody, QueueBinding::Bound);
    for (key, value) in own.as_object().expect("an object") {
        assert_eq!(&body[key], value, "{key}");
    }
    assert_eq!(key_order(&body["object"]), ["z", "a"]);
}

#[test]
fn the_queue_goes_with_the_incident_only_when_bound_and_under_its_field() {
    let settings = settings_with(|it| {
        it.default_queue_id = Some(QUEUE);
        it.queue_field = "new_queue".to_owned();
    });
    let bound = post_with(&email(), &settings, LinkedCustomer::Nobody, QueueBinding::Bound);
    assert_eq!(bound["new_queue@odata.bind"], format!("/queues({QUEUE})"));
    for queue in [QueueBinding::Unbound, QueueBinding::NoQueue] {
        let body = post_with(&email(), &settings, LinkedCustomer::Nobody, queue);
        assert!(!key_order(&body).iter().any(|key| key.contains("queue")), "{queue:?}");
    }
}

#[test]
fn add_to_queue_names_the_queue_the_namespace_and_the_type() {
    let settings = settings_with(|it| it.default_queue_id = Some(QUEUE));
    let asked = request(&Step::AssignQueue { incident: incident(1) }, &email(), &settings);
    assert_eq!(asked.method, Method::Post);
    assert_eq!(asked.path, format!("queues({QUEUE})/Microsoft.Dynamics.CRM.AddToQueue"));
    let target = json!({ "@odata.type": "Microsoft.Dynamics.CRM.incident", "incidentid": incident(1) });
    assert_eq!(asked.body, Some(JsonBody::of(&json!({ "Target": target }))));
}

#[test]
fn the_note_holds_the_uncut_description_in_base64() {
    let event = handoff(|it| it.summary = Some("é😀".repeat(3000).into()));
    let asked =
        request(&Step::AttachTranscript { incident: incident(1), part: NoteForm::Attachment }, &event, &settings());
    let body = asked.body.expect("a body").value();
    assert_eq!((asked.method, asked.path.as_str()), (Method::Post, "annotations"));
    assert_eq!(
        key_order(&body),
        [
            "annotationid",
            "objectid_incident@odata.bind",
            "isdocument",
            "subject",
            "filename",
            "mimetype",
            "documentbody"
        ]
    );
    assert_eq!(body["annotationid"], json!(keys::annotation(&event.key)));
    assert_eq!(body["objectid_incident@odata.bind"], format!("/incidents({})", incident(1)));
    assert_eq!(body["isdocument"], true);
    assert_eq!((&body["filename"], &body["mimetype"]), (&json!("transcript-ses_9f2c.txt"), &json!("text/plain")));
    let bytes = STANDARD.decode(body["documentbody"].as_str().expect("text")).expect("base64");
    let Body::Handoff(handoff) = &event.body else { panic!("a handoff") };
    assert_eq!(String::from_utf8(bytes).expect("UTF-8"), whole(handoff));
}

#[test]
fn a_session_id_with_control_characters_harms_no_record() {
    let event = handoff(|it| (it.session_id, it.channel) = ("a\tb\u{1}c/d".into(), Channel::new("web")));
    let note = body_of(&Step::AttachTranscript { incident: incident(1), part: NoteForm::Attachment }, &event);
    assert_eq!(note["filename"], "transcript-a-b-c-d.txt");
    assert_eq!(note["subject"], "Transcript of session a\tb�c/d");
    let chat = body_of(&Step::PostLiveWorkItem { subject_limit: None }, &event);
    assert_eq!(chat["contextVariables"]["sessionId"], "a\tb�c/d");
    let event = handoff(|it| it.session_id = SessionId::from("é".repeat(255)));
    let note = body_of(&Step::AttachTranscript { incident: incident(1), part: NoteForm::Attachment }, &event);
    let name = note["filename"].as_str().unwrap();
    assert!(name.starts_with("transcript-é") && name.ends_with("é.txt") && units(name) == 255);
}

#[test]
fn a_live_work_item_is_as_in_the_contract_key_by_key() {
    let event = handoff(|it| {
        it.channel = Channel::new(" WEB ");
        it.customer.name = Some("Ann".into());
        it.customer.email = Some("ann@example.com".into());
    });
    let settings = settings_with(|it| it.default_queue_id = Some(QUEUE));
    let asked = request(&Step::PostLiveWorkItem { subject_limit: None }, &event, &settings);
    assert_eq!((asked.method, asked.path.as_str()), (Method::Post, "oc_liveworkitems"));
    assert_eq!(asked.headers, [("Prefer", "return=representation".into())]);
    let text = asked.body.expect("a body").value().to_string();
    let expected = format!(
        r#"{{"oc_liveworkitemid":"{}","name":"Ann","email":"ann@example.com","subject":"Customer was charged twice for order 1182.","customerInfo":{{"name":"Ann","email":"ann@example.com","phone":"+14155550100"}},"workstreamId":"{QUEUE}","contextVariables":{{"sessionId":"ses_9f2c","channel":"web"}}}}"#,
        keys::work_item(&event.key)
    );
    assert_eq!(text, expected);
}

#[test]
fn a_live_work_item_leaves_out_what_is_absent_and_is_anonymous_without_a_name() {
    let event = handoff(|it| {
        (it.channel, it.summary, it.customer) = (Channel::new("sms"), None, Customer::default());
    });
    let body = body_of(&Step::PostLiveWorkItem { subject_limit: None }, &event);
    assert_eq!(key_order(&body), ["oc_liveworkitemid", "name", "customerInfo", "contextVariables"]);
    assert_eq!((&body["name"], &body["customerInfo"]), (&json!("Anonymous"), &json!({ "name": "Anonymous" })));
}

#[test]
fn a_live_work_items_workstream_is_its_own_setting_before_the_queue_and_its_set_is_configurable() {
    let settings = settings_with(|it| {
        (it.default_queue_id, it.default_workstream_id) = (Some(QUEUE), Some(WORKSTREAM));
        it.live_work_item_entity_set = "msdyn_ocliveworkitems".to_owned();
    });
    let asked = request(&Step::PostLiveWorkItem { subject_limit: None }, &email(), &settings);
    assert_eq!(asked.path, "msdyn_ocliveworkitems");
    assert_eq!(asked.body.expect("a body").value()["workstreamId"], json!(WORKSTREAM));
}

#[test]
fn an_incident_is_closed_by_a_patch_that_never_creates() {
    let step = Step::CloseIncident { incident: incident(1), how: Closing::Patch, etag: None };
    let asked = request(&step, &resolution(|_| {}), &settings());
    assert_eq!((asked.method, asked.path), (Method::Patch, format!("incidents({})", incident(1))));
    assert_eq!(asked.headers, [("If-Match", "*".into())]);
    assert_eq!(asked.body.map(|body| body.value().to_string()), Some(r#"{"statecode":1,"statuscode":5}"#.to_owned()));
}

#[test]
fn an_incident_is_closed_by_the_action_where_the_environment_requires_it() {
    let step = Step::CloseIncident { incident: incident(1), how: Closing::Action, etag: None };
    let asked = request(&step, &resolution(|_| {}), &settings());
    assert_eq!((asked.method, asked.path.as_str()), (Method::Post, "CloseIncident"));
    let body = asked.body.expect("a body").value();
    assert_eq!(body["IncidentResolution"]["incidentid@odata.bind"], format!("/incidents({})", incident(1)));
    assert_eq!(body["Status"], 5);
    assert!(body["IncidentResolution"]["subject"].is_string());
}

#[test]
fn a_read_back_reads_the_record_under_its_derived_key() {
    let event = email();
    let contact = keys::contact(&event.key.organization_id, "ann.o'brien+vip@example.com", 1);
    let asked = read_contact(&event, "ann.o'brien+vip@example.com", 1);
    assert_eq!(
        (asked.method, asked.path),
        (Method::Get, format!("contacts({contact})?$select=contactid,emailaddress1,statecode"))
    );
    let asked = read_incident(&event);
    let incident = keys::incident(&event.key);
    assert_eq!(
        (asked.method, asked.path),
        (Method::Get, format!("incidents({incident})?$select=incidentid,ticketnumber"))
    );
}
