//! Requests to the Web API, one for each step of the workflow.

mod json_body;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use handoffd_engine::event::{Body, ContactId, Customer, Event, Handoff, IncidentId};
use handoffd_engine::text::{cut, fit_for_dynamics};
use handoffd_engine::workflow::{Closing, FallbackCustomer, LinkedCustomer, NoteForm, QueueBinding, Settings, Step};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub use self::json_body::JsonBody;
use super::description::{describe, whole};
use super::keys;

/// Characters to percent-encode in a `$filter` literal: all but RFC 3986's unreserved characters.
pub(super) const LITERAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Dataverse's default length of an incident's title, in UTF-16 units.
const TITLE_LIMIT: usize = 200;
/// Dataverse's default length of a contact's names and phone, in UTF-16 units.
const NAME_LIMIT: usize = 50;
/// Dataverse's default length of an attachment's file name, in UTF-16 units.
const FILENAME_LIMIT: usize = 255;
/// Dataverse's default length of a note's text, in UTF-16 units.
const NOTE_TEXT_LIMIT: usize = 100_000;

/// Headers of a request, by name.
pub(super) type RequestHeaders = Vec<(&'static str, Cow<'static, str>)>;

/// One request to the Web API.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
    /// HTTP method.
    pub method: Method,
    /// Path and query below `<environment_url>/api/data/v9.2/`.
    pub path: String,
    /// Headers in addition to those of every request.
    pub headers: RequestHeaders,
    /// Body, if it has one.
    pub body: Option<JsonBody>,
}

/// HTTP method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Reads records.
    Get,
    /// Creates a record or calls an action.
    Post,
    /// Changes an existing record.
    Patch,
}

impl Method {
    /// Returns the name of the method in HTTP.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
        }
    }
}

const RETURN: (&str, Cow<'static, str>) = ("Prefer", Cow::Borrowed("return=representation"));
/// `If-Match` value for any version of an existing row. Without it, a PATCH of a missing key creates the row.
const ANY_VERSION: &str = "*";

/// Returns the request that performs a step of this event.
pub fn request(step: &Step, event: &Event, settings: &Settings) -> Request {
    match &event.body {
        Body::Handoff(handoff) => of_handoff(step, event, handoff, settings),
        Body::Resolution(_) => of_resolution(step),
    }
}

/// Reads the contact under a derived key, to compare its email.
pub(super) fn read_contact(event: &Event, email: &str, generation: u8) -> Request {
    let id = keys::contact(&event.key.organization_id, email, generation);
    get(format!("contacts({id})?$select=contactid,emailaddress1,statecode"))
}

/// Reads the contact that others were merged into.
pub(super) fn read_survivor(contact: ContactId) -> Request {
    get(format!("contacts({contact})?$select=contactid,statecode"))
}

/// Reads the placeholder contact.
pub(super) fn read_placeholder(event: &Event) -> Request {
    get(format!("contacts({})?$select=contactid", keys::placeholder(&event.key.organization_id)))
}

/// Reads the note under an event's key.
pub(super) fn read_note(event: &Event, part: NoteForm) -> Request {
    get(format!("annotations({})?$select=annotationid", note_key(event, part)))
}

/// Reads the live work item under an event's key.
pub(super) fn read_work_item(event: &Event, settings: &Settings) -> Request {
    let table = &settings.live_work_item_entity_set;
    get(format!("{table}({})?$select=oc_liveworkitemid", keys::work_item(&event.key)))
}

/// Reads the incident under an event's key, for its number.
pub(super) fn read_incident(event: &Event) -> Request {
    get(format!("incidents({})?$select=incidentid,ticketnumber", keys::incident(&event.key)))
}

fn of_handoff(step: &Step, event: &Event, handoff: &Handoff, settings: &Settings) -> Request {
    match step {
        Step::LookUpContact => look_up_contact(handoff),
        Step::CreateContact { generation } => create_contact(event, handoff, *generation),
        Step::CreatePlaceholder => create_placeholder(event),
        Step::PostIncident { customer, queue } => post_incident(event, handoff, settings, *customer, *queue),
        Step::LookForQueueItem { incident } => look_for_queue_item(*incident),
        Step::AssignQueue { incident } => assign_queue(*incident, settings),
        Step::AttachTranscript { incident, part } => attach_transcript(event, handoff, *incident, *part),
        Step::PostLiveWorkItem { subject_limit } => post_live_work_item(event, handoff, settings, *subject_limit),
        Step::CloseIncident { .. } | Step::LookAtIncident { .. } | Step::LookForResolution { .. } => {
            of_resolution(step)
        }
    }
}

fn of_resolution(step: &Step) -> Request {
    match step {
        Step::CloseIncident { incident, how, etag } => close(*incident, *how, etag.clone()),
        Step::LookAtIncident { incident, .. } => look_at_incident(*incident),
        Step::LookForResolution { incident, since } => look_for_resolution(*incident, *since),
        // `decide` chooses no other step for a resolution; a harmless read keeps this function total.
        _ => get("WhoAmI".to_owned()),
    }
}

fn look_up_contact(handoff: &Handoff) -> Request {
    let email = handoff.customer.email.as_deref().unwrap_or_default().replace('\'', "''");
    let literal = utf8_percent_encode(&email, LITERAL);
    get(format!(
        "contacts?$select=contactid,statecode,_masterid_value&$filter=emailaddress1%20eq%20'{literal}'&$orderby=createdon%20asc&$top=50"
    ))
}

fn create_contact(event: &Event, handoff: &Handoff, generation: u8) -> Request {
    let Customer { name, email, phone } = &handoff.customer;
    let email = email.as_deref().unwrap_or_default();
    let mut body = Map::new();
    body.insert("contactid".into(), json!(keys::contact(&event.key.organization_id, email, generation)));
    match name.as_deref().map(|name| name.split_once(char::is_whitespace).unwrap_or((name, ""))) {
        Some((first, last)) => {
            body.insert("firstname".into(), json!(cut(first, NAME_LIMIT)));
            let last = last.trim_start();
            if !last.is_empty() {
                body.insert("lastname".into(), json!(cut(last, NAME_LIMIT)));
            }
        }
        None => _ = body.insert("lastname".into(), json!(cut(email, NAME_LIMIT))),
    }
    body.insert("emailaddress1".into(), json!(email));
    if let Some(phone) = phone {
        body.insert("mobilephone".into(), json!(cut(phone, NAME_LIMIT)));
    }
    body.insert("description".into(), json!(format!("Created from chat session {}", session(handoff))));
    post("contacts".to_owned(), RequestHeaders::new(), &Value::Object(body))
}

fn create_placeholder(event: &Event) -> Request {
    let body = json!({
        "contactid": keys::placeholder(&event.key.organization_id),
        "lastname": "Anonymous",
        "description": "Placeholder customer of cases that OpenCX handed over without a customer. \
            Created by handoffd once, because this environment refuses a case without a customer.",
    });
    post("contacts".to_owned(), RequestHeaders::new(), &body)
}

fn post_incident(
    event: &Event,
    handoff: &Handoff,
    settings: &Settings,
    customer: LinkedCustomer,
    queue: QueueBinding,
) -> Request {
    let mut body = Map::new();
    body.insert("incidentid".into(), json!(keys::incident(&event.key)));
    body.insert("title".into(), json!(title(handoff)));
    body.insert("description".into(), Value::String(describe(handoff, settings.description_limit).text));
    body.insert("prioritycode".into(), json!(settings.default_priority));
    if let Some((property, row)) = customer_bind(customer).filter(|_| !settings.binds_customer_itself()) {
        body.insert(property.into(), Value::String(row));
    }
    if let Some(owner) = settings.default_owner_id {
        body.insert("ownerid@odata.bind".into(), json!(format!("/systemusers({owner})")));
    }
    if let (QueueBinding::Bound, Some(queue)) = (queue, settings.default_queue_id) {
        body.insert(format!("{}@odata.bind", settings.queue_field), json!(format!("/queues({queue})")));
    }
    body.extend(settings.ticket_properties.iter().map(|(key, value)| (key.clone(), value.clone())));
    post("incidents?$select=incidentid,ticketnumber".to_owned(), vec![RETURN], &Value::Object(body))
}

/// Returns the title of the case.
pub(super) fn title(handoff: &Handoff) -> String {
    let Customer { name, email, phone } = &handoff.customer;
    let voice = handoff.channel.is_voice().then_some(phone.as_deref()).flatten();
    let who = name.as_deref().or(email.as_deref()).or(voice).unwrap_or("Anonymous");
    let topic = handoff.classification.as_deref().unwrap_or("Support");
    cut(&format!("{topic} - {who}"), TITLE_LIMIT).to_owned()
}

fn customer_bind(customer: LinkedCustomer) -> Option<(&'static str, String)> {
    const CONTACT: &str = "customerid_contact@odata.bind";
    match customer {
        LinkedCustomer::Contact(id) | LinkedCustomer::Placeholder(id) => Some((CONTACT, format!("/contacts({id})"))),
        LinkedCustomer::Fallback(FallbackCustomer::Contact(id)) => Some((CONTACT, format!("/contacts({id})"))),
        LinkedCustomer::Fallback(FallbackCustomer::Account(id)) => {
            Some(("customerid_account@odata.bind", format!("/accounts({id})")))
        }
        LinkedCustomer::Nobody => None,
    }
}

/// Adds a case to its queue. Dynamics does not find the action without its namespace and the `@odata.type`.
fn assign_queue(incident: IncidentId, settings: &Settings) -> Request {
    let queue = settings.default_queue_id.unwrap_or_default();
    let body = json!({ "Target": { "@odata.type": "Microsoft.Dynamics.CRM.incident", "incidentid": incident } });
    post(format!("queues({queue})/Microsoft.Dynamics.CRM.AddToQueue"), RequestHeaders::new(), &body)
}

/// Looks for a case in any queue. A case that is in one stays there.
fn look_for_queue_item(incident: IncidentId) -> Request {
    get(format!("queueitems?$select=queueitemid&$filter=_objectid_value%20eq%20{incident}&$top=1"))
}

fn note_key(event: &Event, part: NoteForm) -> Uuid {
    match part {
        NoteForm::Attachment => keys::annotation(&event.key),
        NoteForm::Text(part) => keys::text_note(&event.key, part),
    }
}

/// Returns true for the last of the notes with the transcript as text.
pub(super) fn is_last_part(handoff: &Handoff, part: u16) -> bool {
    usize::from(part) + 1 >= text_parts(&whole(handoff)).len()
}

/// Splits a text into parts that fit into a note.
fn text_parts(text: &str) -> Vec<&str> {
    let (mut parts, mut left) = (Vec::new(), text);
    while !left.is_empty() {
        let part = cut(left, NOTE_TEXT_LIMIT);
        parts.push(part);
        left = &left[part.len()..];
    }
    parts
}

fn attach_transcript(event: &Event, handoff: &Handoff, incident: IncidentId, form: NoteForm) -> Request {
    let name = cut(handoff.session_id.as_str(), FILENAME_LIMIT - "transcript-.txt".len());
    let session = fit_for_dynamics(Cow::Borrowed(name));
    let (id, case) = (note_key(event, form), format!("/incidents({incident})"));
    let text = whole(handoff);
    let body = match form {
        NoteForm::Attachment => json!({
            "annotationid": id,
            "objectid_incident@odata.bind": case,
            "isdocument": true,
            "subject": format!("Transcript of session {session}"),
            "filename": format!("transcript-{}.txt", in_a_file_name(name)),
            "mimetype": "text/plain",
            "documentbody": STANDARD.encode(text),
        }),
        // For an environment that refuses attachments.
        NoteForm::Text(part) => {
            let parts = text_parts(&text);
            json!({
                "annotationid": id,
                "objectid_incident@odata.bind": case,
                "subject": format!("Transcript of session {session} ({} of {})", part + 1, parts.len()),
                "notetext": parts.get(usize::from(part)).copied().unwrap_or_default(),
            })
        }
    };
    post("annotations".to_owned(), RequestHeaders::new(), &body)
}

/// Returns the session's id as a text of Dynamics.
fn session(handoff: &Handoff) -> Cow<'_, str> {
    fit_for_dynamics(Cow::Borrowed(handoff.session_id.as_str()))
}

/// Replaces characters that are illegal in a file name (`0x80044a08`).
fn in_a_file_name(text: &str) -> String {
    let illegal = |c: char| c.is_control() || "\\/:*?\"<>|".contains(c);
    text.chars().map(|c| if illegal(c) { '-' } else { c }).collect()
}

/// Returns the summary, cut to the limit of the table of live work items.
pub(super) fn subject(handoff: &Handoff, limit: Option<u32>) -> Option<&str> {
    let summary = handoff.summary.as_deref()?;
    Some(limit.map_or(summary, |limit| cut(summary, usize::try_from(limit).unwrap_or(usize::MAX))))
}

fn post_live_work_item(event: &Event, handoff: &Handoff, settings: &Settings, subject_limit: Option<u32>) -> Request {
    let name = handoff.customer.name.as_deref().unwrap_or("Anonymous");
    let Customer { email, phone, .. } = &handoff.customer;
    let workstream = settings.default_workstream_id.or(settings.default_queue_id);
    let mut info = Map::new();
    info.insert("name".into(), json!(name));
    let mut body = Map::new();
    body.insert("oc_liveworkitemid".into(), json!(keys::work_item(&event.key)));
    body.insert("name".into(), json!(name));
    if let Some(email) = email {
        body.insert("email".into(), json!(email));
        info.insert("email".into(), json!(email));
    }
    if let Some(subject) = subject(handoff, subject_limit) {
        body.insert("subject".into(), json!(subject));
    }
    if let Some(phone) = phone {
        info.insert("phone".into(), json!(phone));
    }
    body.insert("customerInfo".into(), Value::Object(info));
    if let Some(id) = workstream {
        body.insert("workstreamId".into(), json!(id));
    }
    body.insert("contextVariables".into(), json!({ "sessionId": session(handoff), "channel": handoff.channel }));
    post(settings.live_work_item_entity_set.clone(), vec![RETURN], &Value::Object(body))
}

/// Closes a case: `statecode` 1 is Resolved, `statuscode` 5 is Problem Solved (Dataverse's default values).
fn close(incident: IncidentId, how: Closing, etag: Option<String>) -> Request {
    match how {
        Closing::Patch => Request {
            method: Method::Patch,
            path: format!("incidents({incident})"),
            headers: vec![("If-Match", etag.map_or(Cow::Borrowed(ANY_VERSION), Cow::Owned))],
            body: Some(JsonBody::of(&json!({ "statecode": 1, "statuscode": 5 }))),
        },
        Closing::Action => post(
            "CloseIncident".to_owned(),
            RequestHeaders::new(),
            &json!({
                "IncidentResolution": {
                    "subject": "Resolved in OpenCX",
                    "incidentid@odata.bind": format!("/incidents({incident})"),
                },
                "Status": 5,
            }),
        ),
    }
}

/// Reads the state of a case, the time of its last change, and its version.
fn look_at_incident(incident: IncidentId) -> Request {
    get(format!("incidents({incident})?$select=statecode,modifiedon"))
}

/// Looks for a resolution since `since`. An open case that has one was reopened.
fn look_for_resolution(incident: IncidentId, since: Timestamp) -> Request {
    // Dynamics keeps whole seconds.
    let since = since.strftime("%Y-%m-%dT%H:%M:%SZ");
    get(format!(
        "incidentresolutions?$select=activityid&$filter=_incidentid_value%20eq%20{incident}%20and%20createdon%20ge%20{since}&$top=1"
    ))
}

fn get(path: String) -> Request {
    Request { method: Method::Get, path, headers: RequestHeaders::new(), body: None }
}

fn post(path: String, headers: RequestHeaders, body: &Value) -> Request {
    Request { method: Method::Post, path, headers, body: Some(JsonBody::of(body)) }
}

#[cfg(test)]
mod tests;
