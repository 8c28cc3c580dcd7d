//! Limits of notes and of live work items.

use serde_json::json;

use super::{Client, ONE};
use crate::profile::Profile;

#[test]
fn attachments_are_refused_by_type_and_size() {
    let client = Client::start(Profile::OpenCx);
    let note = |name: &str| json!({"filename": name, "documentbody": "aGVsbG8=", "isdocument": true});
    assert_eq!(client.post("annotations", note("a.txt")).status, 204);
    let refused = "not a valid type or is too large";
    for (changes, name) in [
        (json!({"blocked_attachments": ["exe", "txt"]}), "a.TXT"),
        (json!({"blocked_attachments": ["*"]}), "a"),
        (json!({"blocked_attachments": [], "attachment_limit": 4}), "a.txt"),
    ] {
        client.configure(&changes);
        client.post("annotations", note(name)).refused(400, "0x80043e09", refused);
    }
    let text = "x".repeat(100_000);
    assert_eq!(client.post("annotations", json!({"notetext": text})).status, 204, "a text is no attachment");
    let long = client.post("annotations", json!({"notetext": format!("{text}x")}));
    long.refused(400, "0x80044331", "'100000'");
    client.configure(&json!({"attachment_limit": 5}));
    assert_eq!(client.post("annotations", note("a.txt")).status, 204, "exactly the limit");
}

#[test]
fn a_file_name_is_checked() {
    let client = Client::start(Profile::OpenCx);
    for letter in ["\\", "/", ":", "*", "?", "\"", "<", ">", "|", "\u{7}"] {
        let note = json!({"filename": format!("a{letter}b.txt"), "documentbody": "aGVsbG8="});
        client.post("annotations", note).refused(400, "0x80044a08", "invalid characters");
    }
}

#[test]
fn the_stock_table_of_live_work_items_takes_200_characters() {
    let item = |length| json!({"oc_liveworkitemid": ONE, "subject": "x".repeat(length)});
    let client = Client::start(Profile::Stock);
    let message = "The length of the 'subject' attribute of the 'oc_liveworkitem' entity exceeded the maximum allowed length \
                   of '200'.";
    client.post("oc_liveworkitems", item(201)).refused(400, "0x80044331", message);
    assert_eq!(client.post("oc_liveworkitems", item(200)).status, 204);
    let client = Client::start(Profile::OpenCx);
    assert_eq!(client.post("oc_liveworkitems", item(2000)).status, 204);
    client.configure(&json!({"live_work_item_subject_limit": 50}));
    client.post("oc_liveworkitems", item(51)).refused(400, "0x80044331", "'50'");
}
