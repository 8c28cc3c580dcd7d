use dynamics_simulator::Profile;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::client::{Client, ONE, QUEUE, SUBJECT, TWO};

#[tokio::test]
async fn prefer_controls_the_answer_to_a_create() {
    let client = Client::start(Profile::OpenCx).await;
    let subject = format!("/subjects({SUBJECT})");
    let body = json!({"incidentid": ONE, "title": "Billing", "prioritycode": 4, "subjectid@odata.bind": subject});
    let prefer = [("prefer", "return=representation")];
    let reply = client.send_with("POST", "incidents?$select=incidentid,ticketnumber", body, &prefer).await;
    assert_eq!((reply.status, &reply.body["incidentid"]), (201, &json!(ONE)));
    assert!(reply.header("odata-entityid").is_none(), "a representation comes without the header");
    let ticket = reply.body["ticketnumber"].as_str().expect("a number");
    assert!(ticket.starts_with("CAS-") && ticket.len() == 16, "{ticket}");
    assert_eq!(reply.body.as_object().map(serde_json::Map::len), Some(4), "{:?}", reply.body);

    let reply = client.post("incidents", json!({"incidentid": TWO, "title": "Other"})).await;
    assert_eq!((reply.status, &reply.body), (204, &json!("")));
    let address = format!("{}/api/data/v9.2/incidents({TWO})", client.environment().url());
    assert_eq!(reply.header("odata-entityid"), Some(address.as_str()));

    let rows = client.environment().records("incidents");
    assert_ne!(rows[0]["ticketnumber"], rows[1]["ticketnumber"]);
    assert_eq!((&rows[0]["prioritycode"], &rows[1]["prioritycode"]), (&json!(4), &json!(2)));
    assert_eq!((&rows[0]["_subjectid_value"], &rows[0]["statecode"]), (&json!(SUBJECT), &json!(0)));
    let me = client.get("WhoAmI").await.body["UserId"].clone();
    assert_eq!(rows[0]["_ownerid_value"], me, "the creator owns the row");
}

#[tokio::test]
async fn a_duplicate_key_is_refused() {
    let mut client = Client::start(Profile::OpenCx).await;
    let known = "A record with matching key values already exists.";
    for (variant, status, code, message) in [
        ("precondition_failed", 412, "0x80040237", known),
        ("empty_code", 412, "", known),
        ("conflict", 409, "0x80040237", "Cannot insert duplicate key."),
        ("message_only", 400, "", known),
    ] {
        client.again(&json!({"duplicate_key": variant})).await;
        client.contact(ONE, "ann@example.com").await;
        let again = client.post("contacts", json!({"contactid": ONE, "lastname": "Other"})).await;
        again.refused(status, code, message);
        assert_eq!(client.environment().records("contacts").len(), 1);
    }
}

#[tokio::test]
async fn one_of_concurrent_creates_wins() {
    let client = Client::start(Profile::OpenCx).await;
    client.configure(&json!({"latency_ms": 20}));
    let body = json!({"contactid": ONE, "lastname": "Ann"});
    let all = join_all((0..20).map(|_| client.post("contacts", body.clone()))).await;
    let with = |status| all.iter().filter(|reply| reply.status == status).count();
    assert_eq!((with(204), with(412)), (1, 19));
}

#[tokio::test]
async fn a_patch_creates_unless_if_match_forbids_it() {
    let client = Client::start(Profile::OpenCx).await;
    let path = format!("contacts({ONE})");
    let body = json!({"lastname": "Ann"});
    let refused = client.send_with("PATCH", &path, body.clone(), &[("if-match", "*")]).await;
    refused.refused(404, "0x80040217", ONE);
    let created = client.send("PATCH", &path, body.clone()).await;
    assert_eq!(created.status, 204);
    assert!(created.header("odata-entityid").is_some_and(|address| address.ends_with(&path)));
    assert_eq!(client.environment().records("contacts").len(), 1);

    let changed = client.send_with("PATCH", &path, json!({"jobtitle": "Clerk"}), &[("if-match", "*")]).await;
    assert_eq!(changed.status, 204);
    let row = client.get(&path).await.body;
    assert_eq!((&row["lastname"], &row["jobtitle"]), (&json!("Ann"), &json!("Clerk")));
    assert_eq!(row["@odata.etag"], "W/\"2\"");
    let stale = client.send_with("PATCH", &path, body.clone(), &[("if-match", "W/\"1\"")]).await;
    stale.refused(412, "0x80060882", "RowVersion");
    let exists = client.send_with("PATCH", &path, body, &[("if-none-match", "*")]).await;
    exists.refused(412, "0x80040237", "already exists");
}

#[tokio::test]
async fn rows_can_be_deleted() {
    let client = Client::start(Profile::OpenCx).await;
    client.contact(ONE, "ann@example.com").await;
    let path = format!("contacts({ONE})");
    assert_eq!(client.send("DELETE", &path, Value::Null).await.status, 204);
    client.send("DELETE", &path, Value::Null).await.refused(404, "0x80040217", ONE);
    assert!(client.environment().records("contacts").is_empty());
}

#[tokio::test]
async fn notes_and_live_work_items_are_stored_completely() {
    let client = Client::start(Profile::OpenCx).await;
    assert_eq!(client.post("incidents", json!({"incidentid": ONE})).await.status, 204);
    let note = json!({
        "annotationid": TWO, "objectid_incident@odata.bind": format!("/incidents({ONE})"), "isdocument": true,
        "subject": "Transcript", "filename": "transcript.txt", "mimetype": "text/plain", "documentbody": "aGVsbG8=",
    });
    assert_eq!(client.post("annotations", note).await.status, 204);
    let kept = &client.environment().records("annotations")[0];
    assert_eq!((&kept["filesize"], &kept["_objectid_value"]), (&json!(5), &json!(ONE)));
    assert_eq!(kept["objecttypecode"], "incident");

    let item = json!({
        "oc_liveworkitemid": ONE, "name": "Ann", "customerInfo": {"name": "Ann"}, "workstreamId": QUEUE,
        "contextVariables": {"sessionId": "ses_1", "channel": "web"},
    });
    let prefer = [("prefer", "return=representation")];
    let reply = client.send_with("POST", "oc_liveworkitems", item, &prefer).await;
    assert_eq!((reply.status, &reply.body["oc_liveworkitemid"]), (201, &json!(ONE)));
    let kept = &client.environment().records("oc_liveworkitems")[0];
    assert_eq!(kept["contextVariables"]["channel"], "web");
}
