//! Rules of administrators: alternate keys, column security, row access, the IP firewall, plug-ins.

use serde_json::{Value, json};

use super::{Client, ONE, TWO, closing};
use crate::profile::Profile;

const FOUND: &str = "contacts?$select=contactid,emailaddress1&$filter=emailaddress1 eq 'ann@example.com'";

fn with_a_contact() -> Client {
    let client = Client::start(Profile::OpenCx);
    client.contact(ONE);
    client
}

#[test]
fn an_alternate_key_is_unique() {
    let client = with_a_contact();
    client.edit("contacts", &json!({"contactid": ONE, "mobilephone": "+1415A"}));
    client.configure(&json!({"alternate_keys": {"contacts": ["mobilephone"]}}));
    let other = json!({"contactid": TWO, "lastname": "Bo", "mobilephone": "+1415a"});
    let refused = client.post("contacts", other);
    refused.refused(
        412,
        "0x80060892",
        "Entity Key mobilephone violated. A record with the same value for mobilephone already",
    );
    assert_eq!(
        client.post("contacts", json!({"contactid": TWO, "lastname": "Bo"})).status,
        204,
        "null values never conflict"
    );
    let path = format!("contacts({TWO})");
    client.patch(&path, json!({"mobilephone": "+1415A"})).refused(412, "0x80060892", "already exists");
    let same = client.patch(&format!("contacts({ONE})"), json!({"mobilephone": "+1415A"}));
    assert_eq!(same.status, 204, "a row keeps its own value");
}

#[test]
fn a_secured_column_can_be_refused_or_hidden() {
    let client = with_a_contact();
    let created = json!({"contactid": TWO, "lastname": "Bo", "emailaddress1": "bo@example.com"});
    client.configure(&json!({"secured_columns": {"contacts.emailaddress1": "refused"}}));
    client.get(FOUND).refused(403, "0x8004f506", "emailaddress1");
    client.post("contacts", created.clone()).refused(403, "0x8004f502", "emailaddress1");
    let read = client.get(&format!("contacts({ONE})"));
    assert_eq!((&read.body["emailaddress1"], &read.body["lastname"]), (&Value::Null, &json!("Ann")));

    client.configure(&json!({"secured_columns": {"contacts.emailaddress1": "hidden"}}));
    let found = client.get(FOUND);
    assert_eq!((&found.found()[0]["contactid"], &found.found()[0]["emailaddress1"]), (&json!(ONE), &Value::Null));
    assert_eq!(client.post("contacts", created).status, 204);
    assert_eq!(client.rows("contacts")[1]["emailaddress1"], "bo@example.com", "hidden columns are still written");
}

#[test]
fn a_row_of_another_business_unit_is_inaccessible() {
    let client = with_a_contact();
    client.configure(&json!({"no_access": [{"table": "contacts", "key": ONE}]}));
    let message = format!("does not have ReadAccess right(s) for record with id {ONE} of entity contact");
    let path = format!("contacts({ONE})");
    client.get(&path).refused(403, "0x80048306", &message);
    client.get(&path).refused(403, "0x80048306", "type=8, roleCount=2, privilegeCount=590, accessMode='4 ");
    assert!(client.get(FOUND).found().is_empty(), "queries omit the row");
    let bound = json!({"incidentid": TWO, "customerid_contact@odata.bind": format!("/contacts({ONE})")});
    client.post("incidents", bound.clone()).refused(403, "0x80048306", &message);
    client.patch(&path, json!({"lastname": "Bo"})).refused(403, "0x80048306", "WriteAccess");

    client.configure(&json!({"no_access": [{"table": "contacts", "rights": ["append_to"]}]}));
    assert_eq!(client.get(FOUND).found().len(), 1);
    client.post("incidents", bound).refused(403, "0x80048306", "AppendToAccess");
}

#[test]
fn the_firewall_blocks_every_request() {
    let client = with_a_contact();
    client.configure(&json!({"ip_firewall": "blocking"}));
    for path in ["WhoAmI", "contacts", "EntityDefinitions"] {
        client.get(path).refused(403, "0x80095ffe", "access to your IP is blocked");
    }
}

#[test]
fn a_plug_in_refuses_or_crashes() {
    let client = with_a_contact();
    let message = "A contact with this phone already exists.";
    client.configure(&json!({"plugins": [
        {"table": "contacts", "on": "create", "does": {"refuse": message}},
        {"table": "annotations", "does": {"crash": "Object reference not set"}},
        {"table": "incidents", "on": "update", "does": {"refuse": "Not on Sundays"}},
    ]}));
    client.post("contacts", json!({"contactid": TWO, "lastname": "Bo"})).refused(400, "0x80040265", message);
    assert_eq!(client.patch(&format!("contacts({ONE})"), json!({"lastname": "Bo"})).status, 204);
    client.post("annotations", json!({"notetext": "x"})).refused(500, "0x80040224", "Object reference not set");
    client.case(TWO);
    client.post("CloseIncident", closing(TWO)).refused(400, "0x80040265", "Not on Sundays");
    assert!(client.rows("incidentresolutions").is_empty() && client.rows("annotations").is_empty());
}
