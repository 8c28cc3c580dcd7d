//! Permissions over HTTP: operators, readers, and anyone on this machine without a token; guessing; sessions.

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::dead_letter_commands::desk::Dead;
use crate::support::broker::eventually;
use crate::support::event::{ORGANIZATION, handoff};
use crate::support::files::TOKEN;
use crate::support::interface::{Api, answer};
use crate::support::rig::rig;
use crate::support::worker::Worker;

const READER: &str = "token-of-the-reader";

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

/// Pages as a browser asks for them.
async fn page(api: &Api, method: Method, path: &str, form: &str) -> Response {
    let request = api.request(method, path).header("accept", "text/html").body(form.to_owned());
    request.header("content-type", "application/x-www-form-urlencoded").send().await.expect("an answer")
}

/// Requests that change something or show a customer's text, with the event's ID.
fn forbidden(api: &Api, id: &str) -> Vec<RequestBuilder> {
    let post = |path: &str, body: Value| api.with(Method::POST, path, &body);
    vec![
        api.request(Method::GET, &format!("/api/v1/dead-letters/{id}")),
        post("/api/v1/dead-letters/show", json!({ "all": true })),
        post("/api/v1/dead-letters/discard", json!({ "all": true })),
        api.with(Method::PUT, &format!("/api/v1/organizations/{ORGANIZATION}"), &json!({})),
    ]
}

#[tokio::test]
async fn a_reader_looks_at_everything_but_customers_text_and_changes_nothing() {
    let rig = rig().set("http", "reader_token", READER).start().await;
    let dead = Dead::new().bury(&rig).await;
    let reader = Api::with_token(&rig.worker(), Some(READER));
    for path in ["/api/v1/organizations", "/api/v1/outcomes", "/api/v1/dead-letters", "/api/v1/queues", "/api/v1/audit"]
    {
        assert!(!reader.get(path).await.to_string().contains(dead.email()), "{path}");
    }
    let post = |path: &str, body: Value| reader.with(Method::POST, path, &body);
    let mut requests = forbidden(&reader, dead.id());
    requests.extend([
        post("/api/v1/dead-letters/replay", json!({ "all": true })),
        post("/api/v1/organizations/org_acme/pause", json!({})),
        post("/api/v1/organizations/org_acme/resume", json!({})),
        post("/api/v1/organizations/org_acme/test", json!({})),
        post("/api/v1/store/accept", json!({})),
        post("/api/v1/audit", json!({ "action": "pause", "subject": "", "count": 1 })),
        reader.request(Method::DELETE, "/api/v1/organizations/org_acme"),
    ]);
    for request in requests {
        let problem = answer(request, 403).await;
        assert!(problem["detail"].as_str().unwrap().contains("http.token"), "{problem}");
    }
    for path in ["/", "/find", "/dead-letters", "/organizations", "/activity"] {
        let shown = page(&reader, Method::GET, path, "").await;
        assert_eq!(shown.status(), 200, "{path}");
        assert!(shown.text().await.unwrap().contains("Signed in as reader"), "{path}");
    }
    let text = format!("/dead-letters/show?id={}&content=shown", dead.id());
    let shown = page(&reader, Method::GET, &text, "").await;
    assert_eq!(shown.status(), 403);
    assert!(!shown.text().await.unwrap().contains(dead.email()));
    for (path, form) in [
        ("/dead-letters/act", "act=discard&id=x"),
        ("/dead-letters/act", "act=replay&id=x"),
        ("/organizations/pause", "organization=org_acme"),
    ] {
        assert_eq!(page(&reader, Method::POST, path, form).await.status(), 403, "{path} {form}");
    }
    assert_eq!(rig.bus.dead_letters().await, 1);
    assert_eq!(rig.worker().stands(ORGANIZATION).await["state"], "open");
    assert_eq!(status(Api::of(&rig).request(Method::GET, &format!("/api/v1/dead-letters/{}", dead.id()))).await, 200);
}

#[tokio::test]
async fn without_a_token_there_is_no_customer_text_no_saving_and_no_discarding() {
    let rig = rig().set("http", "token", "").start().await;
    let dead = Dead::new().bury(&rig).await;
    let anyone = Api::with_token(&rig.worker(), None);
    for request in forbidden(&anyone, dead.id()) {
        let problem = answer(request, 403).await;
        assert!(problem["detail"].as_str().unwrap().contains("set http.token"), "{problem}");
    }
    let text = format!("/dead-letters/show?id={}&content=shown", dead.id());
    assert_eq!(page(&anyone, Method::GET, &text, "").await.status(), 403);
    let act = page(&anyone, Method::POST, "/dead-letters/act", &format!("act=discard&id={}", dead.id())).await;
    assert_eq!(act.status(), 403);
    assert_eq!(rig.bus.dead_letters().await, 1);
    assert_eq!(status(anyone.request(Method::POST, "/api/v1/organizations/org_acme/pause")).await, 200);
    assert_eq!(status(anyone.request(Method::POST, "/api/v1/organizations/org_acme/resume")).await, 200);
    assert!(page(&anyone, Method::GET, "/", "").await.text().await.unwrap().contains("Open: no token is set"));

    let paths = ["/", "/livez", "/readyz", "/metrics", "/page.css", "/api/v1/audit", "/nowhere"];
    // These take the lock by which operators' commands wait for each other.
    for path in paths.into_iter().chain(["/dead-letters", "/api/v1/dead-letters", "/dead-letters/show?id=x"]) {
        assert_eq!(status(anyone.request(Method::GET, path).header("host", "evil.example")).await, 403, "{path}");
        for site in ["cross-site", "same-site"] {
            let foreign = anyone.request(Method::GET, path).header("sec-fetch-site", site);
            let foreign = foreign.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document");
            assert_eq!(status(foreign).await, 403, "{path} {site}");
        }
    }
    let audit = anyone.get("/api/v1/audit").await;
    assert_eq!((&audit["entries"][0]["who"], &audit["entries"][0]["action"]), (&json!("local"), &json!("resume")));
}

#[tokio::test]
async fn guessing_is_counted_logged_and_slowed_and_sessions_go_on() {
    let rig = rig().start().await;
    let (bare, right) = (Api::with_token(&rig.worker(), None), Api::of(&rig));
    let list = |api: &Api| api.request(Method::GET, "/api/v1/organizations");
    let session = sign_in(&rig.worker(), TOKEN).await;
    for n in 0..9 {
        assert_eq!(status(list(&bare).bearer_auth(format!("guess-{n}"))).await, 401);
    }
    let form = bare.request(Method::POST, "/login").body("token=guess").send().await.unwrap();
    assert_eq!(form.status(), 303, "{form:?}");
    for request in [
        list(&right),
        list(&bare),
        list(&bare).bearer_auth("guess"),
        bare.request(Method::POST, "/login").body(format!("token={TOKEN}")),
    ] {
        let refused = request.send().await.expect("an answer");
        assert_eq!(refused.status(), 429);
        let rest: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&rest), "{rest}");
    }
    assert_eq!(status(list(&bare).header("cookie", &session)).await, 200, "a session is no guess");
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(status(bare.request(Method::GET, path)).await, 200, "{path}");
    }
    rig.worker().counts("handoffd_http_auth_failures_total", "", 10).await;
    let log = rig.worker().lines();
    let told = |line: &&Value| line.to_string().contains("authentication failed");
    let told: Vec<&Value> = log.iter().filter(told).collect();
    assert!(!told.is_empty() && told.len() < 10, "{told:?}");
    assert!(told[0].to_string().contains("127.0.0.1") && !rig.worker().log().contains("guess-"), "{}", told[0]);
}

#[tokio::test]
async fn forged_sessions_are_counted_as_guesses_and_removed_and_ended_ones_are_not() {
    let rig = rig().start().await;
    let bare = Api::with_token(&rig.worker(), None);
    let list = |cookie: &str| bare.request(Method::GET, "/api/v1/organizations").header("cookie", cookie);
    let ended = sign_in(&rig.worker(), TOKEN).await;
    let open = sign_in(&rig.worker(), TOKEN).await;
    assert_eq!(status(bare.request(Method::POST, "/logout").header("cookie", &ended)).await, 303);
    for _ in 0..12 {
        assert_eq!(status(list(&ended)).await, 401, "its user may sign in again");
    }
    let name = ended.split('=').next().unwrap();
    let forged = format!("{name}=00000000000000000000000000000000.1.1.c2VhbA");
    for _ in 0..10 {
        let refused = list(&forged).send().await.unwrap();
        assert_eq!(refused.status(), 401);
        let removal = refused.headers()["set-cookie"].to_str().unwrap();
        assert!(removal.starts_with(&format!("{name}=;")) && removal.contains("Max-Age=0"), "{removal}");
    }
    assert_eq!(status(list(&forged)).await, 429);
    assert_eq!(status(list(&open)).await, 200, "an open session goes on");
    rig.worker().counts("handoffd_http_auth_failures_total", "", 10).await;
}

async fn sign_in(worker: &Worker, token: &str) -> String {
    let form = Api::with_token(worker, None).request(Method::POST, "/login").body(format!("token={token}"));
    let signed_in = form.send().await.expect("an answer");
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().to_owned();
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_session_holds_for_workers_with_its_token_and_keeps_its_role() {
    let rig = rig().set("http", "reader_token", READER).start().await;
    rig.start_worker("another").ready().await;
    let (operator, reader) = (sign_in(&rig.first_worker(), TOKEN).await, sign_in(&rig.first_worker(), READER).await);
    let other = Api::with_token(&rig.worker(), None);
    for (session, pause) in [(&operator, 200), (&reader, 403)] {
        let asked = |method, path: &str| other.request(method, path).header("cookie", session);
        assert_eq!(status(asked(Method::GET, "/api/v1/organizations")).await, 200);
        assert_eq!(status(asked(Method::POST, "/api/v1/organizations/org_acme/pause")).await, pause);
    }
    assert_eq!(status(other.request(Method::POST, "/logout").header("cookie", &operator)).await, 303);
    assert_eq!(status(other.request(Method::GET, "/api/v1/audit").header("cookie", &operator)).await, 401);
}

#[tokio::test]
async fn metrics_have_a_listener_of_their_own() {
    let rig = rig().set("http", "metrics_listen", "127.0.0.1:0").start().await;
    rig.process(&handoff("email")).await;
    let worker = rig.worker();
    let line = worker.lines().into_iter().find(|line| line.to_string().contains("listening for monitors"));
    let address = crate::support::worker::field(&line.expect("its address"), "address").as_str().unwrap().to_owned();
    let get = async |base: &str, path: &str| {
        status(crate::support::worker::http().get(format!("http://{base}{path}")).bearer_auth(TOKEN)).await
    };
    for (path, expected) in [
        ("/metrics", 200),
        ("/livez", 200),
        ("/readyz", 200),
        ("/", 404),
        ("/api/v1/organizations", 404),
        ("/login", 404),
    ] {
        assert_eq!(get(&address, path).await, expected, "{path}");
    }
    let own = worker.address().unwrap();
    for (path, expected) in [("/metrics", 404), ("/livez", 200), ("/readyz", 200), ("/", 200)] {
        assert_eq!(get(&own, path).await, expected, "{path}");
    }
}

/// Host, virtual host and user of a broker that can't be reached.
const PLACES: [&str; 3] = ["mq-internal", "acme-vhost", "svc-handoffd"];

#[tokio::test]
async fn readiness_names_no_place_to_a_client_without_a_token() {
    for token in [TOKEN, ""] {
        let url = "amqps://svc-handoffd:pw@mq-internal/acme-vhost";
        let rig = rig().set("http", "token", token).set("broker", "url", url).lay_out().await;
        let worker = rig.start_worker("worker");
        eventually("a reason about the broker", async || {
            worker.unready().await.iter().any(|reason| reason.contains("can't reach the broker"))
        })
        .await;
        let ready = async |api: Api| {
            let response = api.request(Method::GET, "/readyz").send().await.expect("an answer");
            assert_eq!(response.status(), 503);
            response.text().await.expect("a body")
        };
        let bare = ready(Api::with_token(&worker, None)).await;
        assert!(PLACES.iter().all(|place| !bare.contains(place)), "{bare}");
        if !token.is_empty() {
            let full = ready(Api::with_token(&worker, Some(TOKEN))).await;
            assert!(full.contains("mq-internal") && full.contains("acme-vhost"), "{full}");
        }
    }
}
