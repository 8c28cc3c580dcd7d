//! Requests that are refused: bodies of another form, and searches beyond the line.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::rig::{FakeStore, Rig, problem};
use crate::support::broker::eventually;

/// Searches that search or wait.
const SEARCHES: usize = 18;

#[tokio::test]
async fn a_body_that_is_framed_wrongly_is_a_bad_request() {
    let rig = Rig::start(Vec::new()).await;
    for broken in ["Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n", "Content-Length: 100\r\n\r\n{"] {
        let mut stream = tokio::net::TcpStream::connect(rig.running.address).await.expect("a connection");
        let head = format!("POST /api/v1/dead-letters/replay HTTP/1.1\r\nHost: localhost\r\n{broken}");
        stream.write_all(head.as_bytes()).await.expect("it is taken");
        stream.shutdown().await.expect("an end");
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 400"), "{broken}: {}", String::from_utf8_lossy(&answer));
        assert!(String::from_utf8_lossy(&answer).contains("application/problem+json"), "{broken}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn reports_of_commands_are_objects() {
    let rig = Rig::start(Vec::new()).await;
    for (path, body) in [
        ("/api/v1/audit", json!(["pause", "org_acme", 1])),
        ("/api/v1/events/discarded", json!([[]])),
        ("/api/v1/events/discarded", json!({ "events": [["org_acme", "evt_1"]] })),
    ] {
        let sent = rig.client.post(rig.url(path)).header("content-type", "application/json").body(body.to_string());
        assert!(problem(sent.send().await.expect("an answer"), 400).await.contains("expected a JSON object"), "{path}");
    }
    rig.stop().await;
}

/// A store that hangs keeps the first searches busy, and the next ones waiting.
#[tokio::test]
async fn more_searches_than_wait_in_line_are_refused_at_once() {
    let rig = Rig::with(FakeStore { hangs: true, ..FakeStore::default() }, None).await;
    let ask = |path| rig.client.get(rig.url(path)).header("accept", "text/html");
    // One that is refused comes again, soon enough to leave no room.
    let again = Duration::from_millis(50);
    let crowd = (0..SEARCHES).map(|_| async {
        while ask("/api/v1/outcomes").send().await.is_ok() {
            sleep(again).await;
        }
    });
    let refused = async |path| {
        let answer = ask(path).timeout(Duration::from_secs(20)).send().await.expect(path);
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (503, &"5".parse().unwrap()),
            "{path}"
        );
        answer
    };
    let beyond = async {
        // Until the crowd has arrived, a search waits itself.
        let soon = Duration::from_millis(500);
        let is_full =
            async || ask("/api/v1/outcomes").timeout(soon).send().await.is_ok_and(|answer| answer.status() == 503);
        eventually("a full line", is_full).await;
        for path in ["/api/v1/why/x", "/api/v1/events", "/api/v1/outcomes?ticket_number=x"] {
            let detail = problem(refused(path).await, 503).await;
            assert_eq!(detail, "too many searches at once; try again in 5 s", "{path}");
        }
        for path in ["/find?q=x", "/event?organization=x&id=y", "/events"] {
            let page = refused(path).await.text().await.expect("a page");
            assert!(page.contains("Temporarily unavailable") && page.contains("too many searches at once"), "{page}");
        }
        for (path, status) in [("/", 200), ("/api/v1/outcomes/org/evt", 404)] {
            let answer = ask(path).timeout(Duration::from_secs(20)).send().await.expect(path);
            assert_eq!(answer.status(), status, "{path} is no search");
        }
    };
    tokio::select! {
        _ = join_all(crowd) => panic!("the server has ended"),
        () = beyond => {}
    }
}
