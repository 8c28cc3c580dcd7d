//! ETags, times and states of rows.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Client, NOBODY, ONE, QUEUE, TWO, closing, target};
use crate::profile::Profile;

#[test]
fn an_etag_guards_a_change_and_a_delete() {
    let client = Client::start(Profile::OpenCx);
    client.case(ONE);
    let path = format!("incidents({ONE})");
    let read = client.get(&format!("{path}?$select=statecode,modifiedon"));
    let etag = read.header("etag").expect("an ETag").to_owned();
    assert_eq!((&read.body["@odata.etag"], &read.body["statecode"]), (&json!(etag), &json!(0)));

    client.edit("incidents", &json!({"incidentid": ONE, "title": "a rep's"}));
    let stale = [("if-match", etag.as_str())];
    client.send("PATCH", &path, json!({"statecode": 1}), &stale).refused(412, "0x80060882", "RowVersion");
    client.send("DELETE", &path, Value::Null, &stale).refused(412, "0x80060882", "RowVersion");
    let etag = client.get(&path).header("etag").expect("an ETag").to_owned();
    let fresh = [("if-match", etag.as_str())];
    assert_eq!(client.send("PATCH", &path, json!({"title": "y"}), &fresh).status, 204);
    client.patch(&format!("incidents({NOBODY})"), json!({"title": "y"})).refused(404, "0x80040217", NOBODY);
}

#[test]
fn times_follow_the_environments_clock() {
    let client = Client::start(Profile::OpenCx);
    client.case(ONE);
    let created = client.rows("incidents")[0].clone();
    assert_eq!(created["createdon"], created["modifiedon"]);
    assert!(created["createdon"].as_str().is_some_and(|time| time.len() == "2026-11-22T10:15:00Z".len()));
    client.configure(&json!({"clock_offset_s": 3600}));
    client.edit("incidents", &json!({"incidentid": ONE, "title": "y"}));
    let changed = &client.rows("incidents")[0];
    let time = |row: &Value, column: &str| row[column].as_str().unwrap().parse::<Timestamp>().unwrap().as_second();
    assert!(time(changed, "modifiedon") >= time(&created, "modifiedon") + 3600);
    assert_eq!(changed["createdon"], created["createdon"]);
    client.configure(&json!({"clock_offset_s": 7200}));
    assert_eq!(client.patch(&format!("incidents({ONE})"), json!({"title": "z"})).status, 204);
    assert!(time(&client.rows("incidents")[0], "modifiedon") >= time(&created, "modifiedon") + 7200);
}

#[test]
fn rows_created_by_people_are_active() {
    let client = Client::start(Profile::OpenCx);
    client.edit("contacts", &json!({"contactid": ONE, "lastname": "Ann"}));
    client.edit("contacts", &json!({"contactid": TWO, "statecode": 1, "merged": true, "_masterid_value": ONE}));
    let found = client.get("contacts?$select=contactid,statecode,_masterid_value&$orderby=createdon asc");
    let found: Vec<_> = found.found().iter().map(|row| (&row["statecode"], &row["_masterid_value"])).collect();
    assert_eq!(found, [(&json!(0), &Value::Null), (&json!(1), &json!(ONE))]);
    assert_eq!(client.rows("contacts")[0]["merged"], false);
}

#[test]
fn records_of_the_worker_are_readable_by_key() {
    let client = Client::start(Profile::OpenCx);
    client.case(ONE);
    let note = json!({"annotationid": TWO, "notetext": "x"});
    assert_eq!(client.post("annotations", note).status, 204);
    assert_eq!(client.post("oc_liveworkitems", json!({"oc_liveworkitemid": TWO})).status, 204);
    client.post(&super::add_to(QUEUE), target(ONE));
    client.post("CloseIncident", closing(ONE));
    for (table, key) in [
        ("annotations", "annotationid"),
        ("oc_liveworkitems", "oc_liveworkitemid"),
        ("queueitems", "queueitemid"),
        ("incidentresolutions", "activityid"),
    ] {
        let row = client.rows(table)[0][key].clone();
        let read = client.get(&format!("{table}({})?$select={key}", row.as_str().unwrap()));
        assert_eq!((read.status, &read.body[key]), (200, &row), "{table}");
        client.get(&format!("{table}({NOBODY})")).refused(404, "0x80040217", NOBODY);
    }
}
