use serde_json::{Value, json};

use super::{LIMITS, envelope, event, event_in, rejection, rejection_in, with};
use crate::event::{Body, Decoded, Envelope, Event, EventId, Kind, Piece, Rejection, SessionId, Verdict, decode};

fn closed(data: &Value) -> Value {
    json!({
        "event": "conversation.closed",
        "organization_id": "org_acme",
        "timestamp": "2026-11-22T11:00:00Z",
        "data": data,
    })
}

fn verdict_of(event: &Event) -> Verdict {
    match &event.body {
        Body::Resolution(resolution) => resolution.verdict,
        Body::Handoff(_) => panic!("a handoff"),
    }
}

fn pieces_in(envelope: &Envelope, body: &Value) -> Vec<Piece> {
    match decode(envelope, &body.to_string().into(), &LIMITS) {
        Ok(Decoded::Split(pieces)) => pieces,
        other => panic!("expected pieces of {body}, got {other:?}"),
    }
}

fn again(piece: &Piece) -> Result<Decoded, Box<Rejection>> {
    decode(&envelope(Some(&piece.message_id)), &piece.body, &LIMITS)
}

#[test]
fn a_lone_surrogate_in_an_array_leaves_the_pieces_their_ids() {
    let body = closed(&json!([
        { "conversation_id": "c1", "ai_resolution_status": "resolved", "channel": "HALF" },
        { "conversation_id": "c2", "ai_resolution_status": "resolved" },
    ]));
    let body = body.to_string().replace("HALF", "x\\ud83d");
    let Ok(Decoded::Split(pieces)) = decode(&envelope(Some("m1")), &body.into(), &LIMITS) else {
        panic!("expected pieces");
    };
    assert_eq!(pieces.iter().map(|piece| piece.message_id.as_str()).collect::<Vec<_>>(), ["m1:c1", "m1:c2"]);
    assert_eq!(event_of(&pieces[0]).channel().expect("a channel").as_str(), "x\u{fffd}");
}

fn event_of(piece: &Piece) -> Event {
    match again(piece) {
        Ok(Decoded::Event(event)) => event,
        other => panic!("expected an event, got {other:?}"),
    }
}

#[test]
fn a_persons_status_takes_precedence_over_the_ai_status() {
    use Verdict::{NotResolved, Resolved};
    let (r, u, n) = (json!("resolved"), json!("unresolved"), json!(null));
    for (human, either, ai, verdict) in [
        (&r, &n, &n, Resolved),
        (&n, &r, &n, Resolved),
        (&n, &n, &r, Resolved),
        (&u, &r, &n, Resolved),
        (&r, &u, &u, Resolved),
        (&u, &n, &r, NotResolved),
        (&n, &u, &r, NotResolved),
        (&u, &u, &r, NotResolved),
        (&n, &n, &u, NotResolved),
        (&n, &n, &n, NotResolved),
        (&json!(" "), &json!(""), &r, Resolved),
    ] {
        let data = json!({
            "conversation_id": "c1",
            "human_resolution_status": human,
            "resolution_status": either,
            "ai_resolution_status": ai,
        });
        let event = event(&closed(&data));
        assert_eq!(verdict_of(&event), verdict, "{data}");
        assert_eq!(event.kind(), Kind::Resolution);
    }
}

#[test]
fn an_array_of_one_is_a_single_event() {
    let data = json!({ "conversation_id": "c1", "ai_resolution_status": "resolved" });
    assert_eq!(event(&closed(&json!([data]))), event(&closed(&data)));
}

#[test]
fn the_time_is_read_from_the_conversation_or_else_the_envelope() {
    let time = |body: &Value| event(body).timestamp.map(|at| at.to_string());
    let own = json!({ "conversation_id": "c1", "timestamp": "2026-11-22T10:59:00Z" });
    assert_eq!(time(&closed(&own)).as_deref(), Some("2026-11-22T10:59:00Z"));
    let bare = closed(&json!({ "conversation_id": "c1" }));
    assert_eq!(time(&bare).as_deref(), Some("2026-11-22T11:00:00Z"));
    assert_eq!(time(&with(bare.clone(), "/timestamp", None)), None);
    let wrong = rejection(&closed(&json!([{ "conversation_id": "c1", "timestamp": "x" }])));
    assert_eq!(wrong.path.as_deref(), Some("data[0].timestamp"));
    let wrong = rejection(&with(bare, "/timestamp", Some(json!("x"))));
    assert_eq!(wrong.path.as_deref(), Some("timestamp"));
}

#[test]
fn the_id_is_the_message_id_or_else_a_digest() {
    let body = closed(&json!({ "conversation_id": "c1" }));
    let by_message = event_in(&envelope(Some("m1")), &body);
    assert_eq!(by_message.key.event_id.as_str(), "m1");
    let id = |body: &Value| event(body).key.event_id;
    let digest = id(&body);
    assert_eq!(digest, EventId::from("81e68813-4810-50ba-9ee5-3a372a30a520"));
    let same = with(body.clone(), "/timestamp", Some(json!("2026-11-22T12:00:00+01:00")));
    assert_eq!(id(&same), digest);
    for (pointer, value) in [
        ("/organization_id", json!("org_b")),
        ("/data/conversation_id", json!("c2")),
        ("/timestamp", json!("2026-11-22T11:00:01Z")),
        ("/timestamp", json!(null)),
    ] {
        assert_ne!(id(&with(body.clone(), pointer, Some(value))), digest);
    }
    let given = with(body, "/event_id", Some(json!("e1")));
    assert_eq!(event_in(&envelope(Some("m1")), &given).key.event_id.as_str(), "e1");
}

#[test]
fn channel_and_meta_are_used_and_other_fields_ignored() {
    let event = event(&closed(&json!({
        "conversation_id": "c1",
        "channel": " Email ",
        "meta": { "dynamics365_incident_id": "0f8fad5b-d9cb-469f-a165-70867728950e" },
        "contact": { "name": ["x"] },
    })));
    assert_eq!(event.channel().map(ToString::to_string).as_deref(), Some("email"));
    for channel in
        [json!(5), json!(1.5), json!(-1), json!(true), json!(null), json!(""), json!([1]), json!({ "type": "web" })]
    {
        let event = super::event(&closed(&json!({ "conversation_id": "c1", "channel": channel })));
        assert_eq!(event.channel(), None);
    }
}

#[test]
fn names_the_field_at_fault() {
    for (data, path) in [
        (json!(null), "data"),
        (json!(5), "data"),
        (json!([]), "data"),
        (json!([5]), "data[0]"),
        (json!([null]), "data[0]"),
        (json!([[{ "conversation_id": "c1" }]]), "data[0]"),
        (json!({}), "data.conversation_id"),
        (json!([{}]), "data[0].conversation_id"),
        (json!({ "conversation_id": " " }), "data.conversation_id"),
        (json!([{ "conversation_id": 5 }]), "data[0].conversation_id"),
        (json!({ "conversation_id": "c1", "resolution_status": 1 }), "data.resolution_status"),
        (
            json!([{ "conversation_id": "c1", "meta": { "dynamics365_incident_id": "x" } }]),
            "data[0].meta.dynamics365_incident_id",
        ),
    ] {
        let rejection = rejection(&closed(&data));
        assert_eq!(rejection.path.as_deref(), Some(path), "{data}");
        assert_eq!(rejection.seen.kind, Some(Kind::Resolution));
    }
    let unowned = rejection(&with(closed(&json!([{}, {}])), "/organization_id", None));
    assert_eq!(unowned.path.as_deref(), Some("organization_id"));
}

#[test]
fn a_rejection_has_the_id_of_the_valid_event() {
    let good = closed(&json!([{ "conversation_id": "c1", "timestamp": "2026-11-22T10:59:00Z" }]));
    let bad = with(good.clone(), "/data/0/meta", Some(json!(5)));
    let seen = rejection(&bad).seen;
    assert_eq!(seen.event_id, Some(event(&good).key.event_id));
    assert_eq!(seen.session_id, Some(SessionId::from("c1")));
    let seen = rejection_in(&envelope(Some("m1")), &bad).seen;
    assert_eq!(seen.event_id, Some(EventId::from("m1")));
}

#[test]
fn several_conversations_become_separate_messages() {
    let body = closed(&json!([
        { "conversation_id": "c1", "resolution_status": "resolved", "extra": [1.0, "é"] },
        { "conversation_id": "c2", "timestamp": "2026-11-22T10:59:00Z" },
    ]));
    let pieces = pieces_in(&envelope(Some("m1")), &body);
    assert_eq!(pieces, pieces_in(&envelope(Some("m1")), &body));
    let ids: Vec<_> = pieces.iter().map(|piece| piece.message_id.as_str()).collect();
    assert_eq!(ids, ["m1:c1", "m1:c2"]);
    assert_eq!(
        String::from_utf8_lossy(&pieces[0].body),
        r#"{"event":"conversation.closed","organization_id":"org_acme","timestamp":"2026-11-22T11:00:00Z","data":{"conversation_id":"c1","resolution_status":"resolved","extra":[1.0,"é"]}}"#
    );
    let (first, second) = (event_of(&pieces[0]), event_of(&pieces[1]));
    assert_eq!(first.session_id().as_str(), "c1");
    assert_eq!(first.key.event_id.as_str(), "m1:c1");
    assert_eq!(verdict_of(&first), Verdict::Resolved);
    assert_eq!(verdict_of(&second), Verdict::NotResolved);
    assert_eq!(second.timestamp.map(|at| at.to_string()).as_deref(), Some("2026-11-22T10:59:00Z"));
}

#[test]
fn an_invalid_conversation_stops_no_other() {
    let body = closed(&json!([
        5, null, [{ "conversation_id": "x" }, {}], {}, { "conversation_id": 1 },
        { "conversation_id": "c1", "meta": 5 }, { "conversation_id": "c2" },
    ]));
    for envelope in [envelope(Some("m1")), envelope(None)] {
        let pieces = pieces_in(&envelope, &body);
        let paths: Vec<_> = pieces
            .iter()
            .map(|piece| match again(piece) {
                Ok(Decoded::Event(event)) => event.session_id().to_string(),
                Ok(several) => panic!("{several:?}"),
                Err(rejection) => {
                    assert_eq!(rejection.seen.event_id.as_ref().map(EventId::as_str), Some(piece.message_id.as_str()));
                    rejection.path.unwrap_or_default()
                }
            })
            .collect();
        assert_eq!(
            paths,
            ["data", "data", "data[0]", "data.conversation_id", "data.conversation_id", "data.meta", "c2"]
        );
    }
}

#[test]
fn no_two_pieces_share_an_id() {
    let item = |id: &str| json!({ "conversation_id": id });
    let long = "c".repeat(255);
    let data = json!([
        item("c"),
        item("c"),
        item("c#1"),
        item("c#4"),
        item("c"),
        item(&long),
        item(&long),
        {},
        {},
        item("#7")
    ]);
    for envelope in [envelope(Some("m1")), envelope(None), envelope(Some(&"m".repeat(255)))] {
        let pieces = pieces_in(&envelope, &closed(&data));
        let mut ids: Vec<_> = pieces.iter().map(|piece| &piece.message_id).collect();
        assert!(ids.iter().all(|id| id.len() <= 255));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 10, "{ids:?}");
    }
}

#[test]
fn without_a_message_id_a_piece_has_the_id_it_would_have_alone() {
    let item = json!({ "conversation_id": "c1" });
    let other = json!({ "conversation_id": "c2" });
    let pieces = pieces_in(&envelope(None), &closed(&json!([item, other])));
    assert_eq!(event_of(&pieces[0]).key, event(&closed(&item)).key);
}

#[test]
fn too_many_conversations_are_rejected() {
    let many = vec![json!({ "conversation_id": "c" }); 10_001];
    let rejection = rejection(&closed(&Value::Array(many)));
    assert_eq!(rejection.path.as_deref(), Some("data"));
    assert_eq!(rejection.problem, "10001 conversations, expected at most 10000");
}
