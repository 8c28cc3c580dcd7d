//! Resolution of cases in unusual states.

use serde_json::{Value, json};

use super::{ACCOUNT, Client, ONE, TWO, closing, resolved};
use crate::profile::Profile;

const ALREADY: &str = "This case has already been resolved. Close and reopen the case record to see the updates.";

/// Closes the case in the way of the profile.
fn close(client: &Client, profile: Profile) -> super::Reply {
    match profile {
        Profile::OpenCx => client.patch(&format!("incidents({ONE})"), resolved()),
        Profile::Stock => client.post("CloseIncident", closing(ONE)),
    }
}

fn with_a_case(profile: Profile) -> Client {
    let client = Client::start(profile);
    client.case(ONE);
    client
}

#[test]
fn a_resolved_case_is_not_resolved_again() {
    for profile in [Profile::OpenCx, Profile::Stock] {
        let client = with_a_case(profile);
        assert_eq!(close(&client, profile).status, 204);
        close(&client, profile).refused(400, "0x800404cf", ALREADY);
        client.configure(&json!({"already_resolved": "0x80044411"}));
        close(&client, profile).refused(400, "0x80044411", ALREADY);
        assert_eq!(client.rows("incidentresolutions").len(), 1);
    }
    let client = with_a_case(Profile::OpenCx);
    client.configure(&json!({"already_resolved": null}));
    let statuses = [1, 2].map(|_| close(&client, Profile::OpenCx).status);
    assert_eq!((statuses, client.rows("incidentresolutions").len()), ([204, 204], 1));
}

#[test]
fn a_cancelled_case_is_inactive() {
    for profile in [Profile::OpenCx, Profile::Stock] {
        let client = with_a_case(profile);
        client.edit("incidents", &json!({"incidentid": ONE, "statecode": 2, "statuscode": 2000}));
        close(&client, profile).refused(400, "0x80040230", "because it is inactive");
    }
}

#[test]
fn open_children_and_activities_prevent_resolution() {
    for profile in [Profile::OpenCx, Profile::Stock] {
        let client = with_a_case(profile);
        client.edit("incidents", &json!({"incidentid": TWO, "_parentcaseid_value": ONE}));
        close(&client, profile).refused(400, "0x8004440a", "open child cases");
        client.edit("incidents", &json!({"incidentid": TWO, "statecode": 1}));
        client.configure(&json!({"open_activities": [ONE]}));
        close(&client, profile).refused(400, "0x8004440a", "open activities");
        client.configure(&json!({"open_activities": []}));
        assert_eq!(close(&client, profile).status, 204);
    }
}

#[test]
fn a_resolution_is_found_by_its_case_and_its_time() {
    for profile in [Profile::OpenCx, Profile::Stock] {
        let client = with_a_case(profile);
        assert_eq!(close(&client, profile).status, 204);
        let found = |since: &str| {
            let filter = format!("_incidentid_value eq {ONE} and createdon ge {since}");
            let path = format!("incidentresolutions?$select=activityid,subject,createdon&$filter={filter}");
            client.get(&path).found().to_vec()
        };
        let row = &found("2026-01-01T00:00:00Z")[0];
        assert!(row["activityid"].is_string() && row["subject"].is_string(), "{row}");
        assert_eq!(found(row["createdon"].as_str().unwrap()).len(), 1, "the same second counts");
        assert!(found("2999-01-01T00:00:00Z").is_empty());
        let stored = client.rows("incidentresolutions")[0].clone();
        assert_eq!((&stored["_incidentid_value"], &stored["statecode"]), (&json!(ONE), &json!(1)));
    }
}

#[test]
fn other_changes_resolve_nothing() {
    let client = with_a_case(Profile::OpenCx);
    let account = format!("/accounts({ACCOUNT})");
    let body = json!({"title": "y", "customerid_account@odata.bind": account});
    assert_eq!(client.patch(&format!("incidents({ONE})"), body).status, 204);
    assert_eq!(client.patch(&format!("incidents({ONE})"), json!({"statecode": 2})).status, 204);
    assert_eq!(client.rows("incidentresolutions"), Vec::<Value>::new());
}
