use dynamics_simulator::Profile;
use serde_json::{Value, json};

use crate::client::{Client, NOBODY, ONE, QUEUE, TWO};

async fn three_contacts() -> Client {
    let client = Client::start(Profile::OpenCx).await;
    for (key, lastname, email) in [
        (ONE, "O'Brien", json!("ann.o'brien+vip@example.com")),
        (TWO, "Zöe & 50%", json!("ZOE@example.com")),
        (QUEUE, "Li", Value::Null),
    ] {
        let name = json!({"contactid": key, "firstname": "Some", "lastname": lastname});
        let more = json!({"emailaddress1": email, "gendercode": 2});
        let all: serde_json::Map<_, _> =
            [name, more].iter().filter_map(|part| part.as_object().cloned()).flatten().collect();
        assert_eq!(client.post("contacts", all.into()).await.status, 204);
    }
    client
}

#[tokio::test]
async fn filters_find_matching_rows() {
    let client = three_contacts().await;
    for (filter, expected) in [
        ("emailaddress1 eq 'ann.o''brien%2Bvip@example.com'", vec!["O'Brien"]),
        ("emailaddress1 eq 'ANN.O''BRIEN%2BVIP@EXAMPLE.COM'", vec!["O'Brien"]),
        ("emailaddress1 eq 'ann.o''brien+vip@example.com'", vec![]),
        ("lastname eq 'zÖE %26 50%25'", vec!["Zöe & 50%"]),
        ("emailaddress1 eq null", vec!["Li"]),
        ("emailaddress1 ne null", vec!["O'Brien", "Zöe & 50%"]),
        ("not (emailaddress1 ne null)", vec!["Li"]),
        ("contains(emailaddress1,'EXAMPLE')", vec!["O'Brien", "Zöe & 50%"]),
        ("startswith(emailaddress1,'zoe') or endswith(lastname,'i')", vec!["Zöe & 50%", "Li"]),
        ("gendercode eq 2 and emailaddress1 eq 'zoe@example.com'", vec!["Zöe & 50%"]),
        ("gendercode gt 2", vec![]),
        ("contactid eq 00000000-0000-0000-0000-000000000002", vec!["Zöe & 50%"]),
        ("createdon lt 2020-01-01", vec![]),
        ("createdon gt 2020-01-01T00:00:00Z and statecode eq 0", vec!["O'Brien", "Zöe & 50%", "Li"]),
    ] {
        let reply = client.get(&format!("contacts?$filter={filter}")).await;
        assert_eq!(reply.status, 200, "{filter}: {reply:?}");
        assert_eq!(reply.column("lastname"), expected, "{filter}");
    }
}

#[tokio::test]
async fn an_index_follows_its_rows() {
    let client = three_contacts().await;
    let find = async |email: &str| {
        let reply = client.get(&format!("contacts?$select=contactid&$filter=emailaddress1 eq '{email}'")).await;
        reply.column("contactid").join(" ")
    };
    let path = format!("contacts({TWO})");
    client.send("PATCH", &path, json!({"emailaddress1": "new@example.com"})).await;
    assert_eq!((find("zoe@example.com").await.as_str(), find("NEW@example.com").await.as_str()), ("", TWO));
    client.send("PATCH", &format!("contacts({ONE})"), json!({"emailaddress1": "New@example.com"})).await;
    assert_eq!(find("new@example.com").await, format!("{ONE} {TWO}"), "in the order of creation");
    client.send("DELETE", &path, Value::Null).await;
    assert_eq!(find("new@example.com").await, ONE);
}

#[tokio::test]
async fn select_order_top_count_and_pages() {
    let client = three_contacts().await;
    let reply = client.get("contacts?$select=lastname&$orderby=lastname desc&$top=2&$count=true").await;
    assert_eq!(reply.column("lastname"), ["Zöe & 50%", "O'Brien"]);
    assert_eq!(reply.body["@odata.count"], 3);
    let names: Vec<&String> = reply.body["value"][0].as_object().expect("a row").keys().collect();
    assert_eq!(names, ["@odata.etag", "contactid", "lastname"], "the key is always included");

    let headers = [("prefer", "odata.maxpagesize=2")];
    let reply = client.send_with("GET", "contacts?$select=lastname", Value::Null, &headers).await;
    assert_eq!(reply.column("lastname"), ["O'Brien", "Zöe & 50%"]);
    let next = reply.body["@odata.nextLink"].as_str().expect("another page");
    let (_, next) = next.split_once("/api/data/v9.2/").expect("of this table");
    let reply = client.send_with("GET", next, Value::Null, &headers).await;
    assert_eq!(reply.column("lastname"), ["Li"]);
    assert!(reply.body.get("@odata.nextLink").is_none());
}

#[tokio::test]
async fn a_row_shows_all_its_columns() {
    let client = three_contacts().await;
    let reply = client.get(&format!("contacts({ONE})")).await;
    assert_eq!((reply.status, &reply.body["fullname"]), (200, &json!("Some O'Brien")));
    assert_eq!(reply.body["statuscode"], 1);
    let row = reply.body.as_object().expect("a row");
    assert_eq!(row.get("jobtitle"), Some(&Value::Null), "null, not absent");
    assert!(row.contains_key("_ownerid_value"));
    assert_eq!(client.get(&format!("contacts({ONE})/lastname")).await.body["value"], "O'Brien");
}

#[tokio::test]
async fn invalid_queries_are_refused() {
    let client = three_contacts().await;
    let query = "0x80060888";
    for (path, status, code, message) in [
        ("nothings", 404, "0x8006088a", "Resource not found for the segment 'nothings'."),
        (
            "contacts?$select=nothing",
            400,
            query,
            "Could not find a property named 'nothing' on type 'Microsoft.Dynamics.CRM.contact'.",
        ),
        ("contacts?$filter=nothing eq 1", 400, query, "Could not find a property named 'nothing'"),
        ("contacts?$orderby=nothing", 400, query, "Could not find a property named 'nothing'"),
        ("contacts?$orderby=lastname up", 400, query, "Syntax error"),
        ("contacts?$top=x", 400, query, "Invalid value 'x' for $top"),
        ("contacts?$filter=lastname eq 'O'Brien'", 400, query, "unterminated string literal"),
        (
            "contacts?$filter=lastname eq 1",
            400,
            query,
            "Found operand types 'Edm.String' and 'Edm.Int32' for operator kind 'Equal'.",
        ),
        ("contacts?$filter=contactid eq '1'", 400, query, "'Edm.Guid' and 'Edm.String'"),
        ("contacts?$filter=contains(gendercode,'1')", 400, query, "'gendercode'"),
        ("contacts?$expand=x", 501, "0x80060800", "'$expand'"),
        ("contacts('x')", 400, query, "The key ''x'' of 'contacts'"),
    ] {
        client.get(path).await.refused(status, code, message);
    }
    let missing = client.get(&format!("contacts({NOBODY})")).await;
    missing.refused(404, "0x80040217", &format!("Entity 'Contact' With Id = {NOBODY} Does Not Exist"));
    client.send("PUT", "contacts", json!({})).await.refused(405, "0x0", "http method 'PUT'");
}

#[tokio::test]
async fn every_answer_carries_a_request_id() {
    let client = three_contacts().await;
    for path in ["WhoAmI", "contacts", "nothings"] {
        let reply = client.get(path).await;
        let id = reply.header("x-ms-service-request-id").expect("an id");
        assert_eq!(id.len(), 36);
        assert_eq!((reply.header("req_id"), reply.header("odata-version")), (Some(id), Some("4.0")), "{path}");
    }
}

#[tokio::test]
async fn odata_headers_are_required() {
    let client = three_contacts().await;
    let url = format!("{}/api/data/v9.2/contacts", client.environment().url());
    let all = [("odata-version", "4.0"), ("odata-maxversion", "4.0"), ("accept", "application/json")];
    for (absent, _) in all {
        let request = client.http.get(&url).bearer_auth(&client.token);
        let mut given = all.iter().filter(|(name, _)| *name != absent);
        let request = given.by_ref().fold(request, |request, (name, value)| request.header(*name, *value));
        assert_eq!(request.send().await.expect("an answer").status(), 400, "without {absent}");
    }
    client.configure(&json!({"headers": "lenient"}));
    let request = client.http.get(&url).bearer_auth(&client.token);
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    let status = client.http.get(&url).send().await.expect("an answer").status();
    assert_eq!(status, 401, "a token is always required");
}
