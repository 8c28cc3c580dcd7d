//! Customers that can't be linked.

use serde_json::json;

use super::{ACCOUNT, Client, ONE, TWO};
use crate::profile::Profile;

#[test]
fn an_inactive_customer_is_refused() {
    let client = Client::start(Profile::OpenCx);
    client.contact(ONE);
    let to_contact = json!({"incidentid": TWO, "customerid_contact@odata.bind": format!("/contacts({ONE})")});
    let to_account = json!({"incidentid": TWO, "customerid_account@odata.bind": format!("/accounts({ACCOUNT})")});
    client.edit("contacts", &json!({"contactid": ONE, "statecode": 1}));
    client.edit("accounts", &json!({"accountid": ACCOUNT, "statecode": 1}));
    for body in [&to_contact, &to_account] {
        let refused = client.post("incidents", body.clone());
        refused.refused(400, "0x80040517", "An inactive customer cannot be set as the parent of an object.");
    }
    assert!(client.rows("incidents").is_empty());
    client.edit("contacts", &json!({"contactid": ONE, "statecode": 0}));
    assert_eq!(client.post("incidents", to_contact).status, 204);
}
