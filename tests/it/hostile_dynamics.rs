//! A Dynamics and an Entra ID with invalid responses: for any response an event ends as the contract specifies, and
//! nothing leaks.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::hostile::unharmed;
use crate::support::bus::header;
use crate::support::event::{handoff, resolved};
use crate::support::rig::rig;
use crate::support::simulator::SECRET;

/// Malformed token responses; each is followed by a valid one.
fn tokens() -> Vec<String> {
    let lifetime = |value: &str| format!(r#"{{"access_token":"t","expires_in":{value}}}"#);
    let mut answers: Vec<String> = ["18446744073709551615", "\"9e99\"", "-1", "null", "[]"].map(lifetime).to_vec();
    for body in [
        "",
        "<html>",
        "{",
        "[]",
        r#"{"access_token":5}"#,
        r#"{"access_token":"a\nb","expires_in":3600}"#,
        r#"{"access_token":"\u0000é😀","expires_in":3600}"#,
        r#"{"expires_in":3600}"#,
    ] {
        answers.push(body.to_owned());
    }
    answers.push(format!(r#"{{"access_token":{},"expires_in":3600}}"#, "[".repeat(100_000)));
    answers
}

#[tokio::test]
async fn no_response_of_entra_id_prevents_the_result_of_an_event() {
    let rig = rig().start().await;
    for body in tokens() {
        rig.crm.environment().revoke_tokens();
        rig.crm.fault(&json!({ "operation": "token", "fault": { "status": 200, "body": body } }));
        let outcome = rig.process(&handoff("web")).await;
        assert_eq!(outcome.routing_key, "dynamics365.handoff.succeeded", "{body:.60}: {}", outcome.body);
    }
    unharmed(&rig).await;
}

/// The rig searches all logs for the secret when it ends.
#[tokio::test]
async fn an_entra_id_that_quotes_the_request_leaks_no_secret() {
    let rig = rig().start().await;
    for body in [
        json!({ "error": "invalid_request", "error_description": format!("bad form: client_secret={SECRET}&x=1") }),
        json!({ "error": SECRET, "error_description": "AADSTS90002: none" }),
    ] {
        rig.crm.environment().revoke_tokens();
        let answer = json!({ "status": 503, "body": body.to_string() });
        rig.crm.fault(&json!({ "operation": "token", "fault": answer }));
        rig.hand_off(&handoff("web")).await;
    }
    unharmed(&rig).await;
}

/// The customer's words, in every part of a response and in every spelling.
#[tokio::test]
async fn a_dynamics_that_quotes_the_customer_leaks_nothing() {
    let rig = rig().start().await;
    let event = handoff("email");
    let customer = &event.0["data"]["customer"];
    let [name, email, phone] = ["name", "email", "phone"].map(|field| customer[field].as_str().unwrap());
    let word = name.split(' ').next().unwrap();
    let encoded = email.replace('+', "%2B").replace('\'', "%27").replace('@', "%40");
    let page = name.replace('\'', "&#39;");
    for (code, message) in [
        (name, format!("'{email}' of {name} ({phone}) is refused")),
        (email, format!("GET contacts?$filter=emailaddress1 eq '{encoded}' by <b>{page}</b> is refused")),
        ("0x0\nlevel=ERROR", format!("{{\"name\":{}}} is refused", json!(name))),
        ("0x80040265", format!("{} is refused", email.to_uppercase())),
        (word, format!("\\u0027{}\\u0027, ({}) is refused", name.replace('\'', "\\u0027"), &name[1..])),
        ("0x80040265", format!("Authorization: Bearer {} is refused", "simulated-access-token")),
    ] {
        rig.crm.refuse("incidents.create", 1, 400, code, &message);
        let event = event.next();
        let outcome = rig.process(&event).await;
        assert_eq!(outcome.routing_key, "dynamics365.handoff.failed");
        let error = header(&rig.bus.dead_letter().await.properties, "x-handoffd-error").unwrap();
        let text = format!("{error} {}", outcome.body["data"]["error"]);
        assert!(text.contains("is refused"), "{text}");
        let text = text.to_lowercase();
        for secret in [word, &name[1..], email, phone, &encoded, &page, "simulated-access-token"] {
            assert!(!text.contains(&secret.to_lowercase()), "{secret} in {text}");
        }
        let shown = rig.worker().command(&["outcomes", "show", event.id(), "--json"]).await;
        let shown = String::from_utf8(shown.stdout).unwrap().to_lowercase();
        assert!(shown.contains("rejected_by_dynamics"), "{shown}");
        for secret in [word, &name[1..], email, phone, &encoded, &page] {
            assert!(!shown.contains(&secret.to_lowercase()), "{secret} in {shown}");
        }
    }
    unharmed(&rig).await;
}

/// A resolution holds none of the texts of the case that it closes.
#[tokio::test]
async fn a_refused_resolution_names_no_customer() {
    let rig = rig().start().await;
    let event = handoff("email");
    rig.hand_off(&event).await;
    let name = event.0["data"]["customer"]["name"].as_str().unwrap();
    let message = format!("The case of {name} can not be closed: \u{738b}\u{82b3}");
    rig.crm.refuse("incidents.update", 1, 400, "0x80040265", &message);
    let outcome = rig.process(&resolved(event.session())).await;
    assert_eq!(outcome.routing_key, "dynamics365.resolution.failed");
    let error = header(&rig.bus.dead_letter().await.properties, "x-handoffd-error").unwrap();
    for text in [error.as_str(), outcome.body["data"]["error"]["message"].as_str().unwrap()] {
        assert!(text.contains("The case of *** can not be closed: ***"), "{text}");
    }
    unharmed(&rig).await;
}

/// Invalid bytes in place of a response.
fn lies() -> Vec<(&'static str, Vec<u8>)> {
    let answer = |head: &str, body: &[u8]| {
        let length = body.len();
        [format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n").as_bytes(), body].concat()
    };
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("nothing", Vec::new()),
        ("another protocol", text("SSH-2.0-OpenSSH_9.2\r\n")),
        ("a status that is none", text("HTTP/1.1 99999 What\r\n\r\n")),
        ("more promised than sent", text("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{}")),
        ("half a chunk", text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffff\r\n{")),
        ("a chunk of no size", text("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n")),
        ("too many headers", [text("HTTP/1.1 200 OK\r\n"), b"X: y\r\n".repeat(20_000), text("\r\n{}")].concat()),
        ("no UTF-8", answer("200 OK", b"{\"a\":\"\xff\xfe\"}")),
        ("a page", answer("200 OK\r\nContent-Type: text/html", b"<html>Sign in</html>")),
        ("compressed, with its header", answer("200 OK\r\nContent-Encoding: gzip", b"\x1f\x8b\x08\x00\x00\x00")),
        ("very deep", answer("200 OK", "[".repeat(200_000).as_bytes())),
        ("a deep object", answer("200 OK", "{\"value\":".repeat(50_000).as_bytes())),
        ("an array", answer("200 OK", b"[{}]")),
        ("very long", answer("200 OK", &vec![b'x'; 3 << 20])),
        ("an unforeseen success", answer("299 Fine", b"{}")),
        ("elsewhere", answer("302 Found\r\nLocation: http://127.0.0.1:1/x", b"")),
        ("a teapot", answer("418 I'm a teapot", b"{\"error\":{\"code\":[],\"message\":{}}}")),
    ]
}

/// Server that responds invalidly once for each event, then validly.
struct FaultyServer {
    address: String,
    next: Arc<Mutex<Option<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
}

impl FaultyServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (next, stop) = (Arc::<Mutex<Option<Vec<u8>>>>::default(), Arc::new(AtomicBool::new(false)));
        let (lies, stopped) = (Arc::clone(&next), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let lies = Arc::clone(&lies);
                std::thread::spawn(move || answer(stream.unwrap(), &lies));
            }
        });
        Self { address, next, stop }
    }
}

impl Drop for FaultyServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener once more.
        _ = TcpStream::connect(&self.address);
    }
}

/// Handles one request.
fn answer(mut stream: TcpStream, lies: &Mutex<Option<Vec<u8>>>) {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    // The whole request is one or two small writes.
    while !is_whole(&request) {
        match stream.read(&mut piece) {
            Ok(length) if length > 0 => request.extend_from_slice(&piece[..length]),
            _ => return,
        }
    }
    let truth = if request.starts_with(b"POST /1111") {
        let token = r#"{"access_token":"t","expires_in":3600}"#;
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{token}", token.len()).into_bytes()
    } else {
        let lie = lies.lock().unwrap().take();
        lie.unwrap_or_else(|| b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_vec())
    };
    // The client may close the connection early.
    _ = stream.write_all(&truth);
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
    body.len() >= length.unwrap_or(0)
}

#[tokio::test]
async fn no_response_of_dynamics_prevents_the_result_of_an_event() {
    let liar = FaultyServer::start();
    let url = format!("http://{}", liar.address);
    let plan = rig().set("dynamics", "authority", url.clone()).organize("environment_url", url);
    let rig = plan.set("dynamics", "request_timeout", "2s").start().await;
    for (name, lie) in lies() {
        *liar.next.lock().unwrap() = Some(lie);
        let outcome = rig.process(&handoff("web")).await;
        assert_eq!(outcome.routing_key, "dynamics365.handoff.succeeded", "{name}: {}", outcome.body);
        assert_eq!(outcome.body["data"]["attempts"], 2, "{name}");
    }
    unharmed(&rig).await;
}
