//! The single event thread stays responsive while requests and reloads do what would block other programs.
//!
//! The worker runs in this process, on a single-threaded runtime, beside a heartbeat. Only the heartbeat is timed: a
//! thread that has not answered for ten seconds is blocked permanently.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use handoffd::config::EnvironmentVariables;
use handoffd::organizations::load_to_run;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::broker::{eventually, signal};
use crate::support::event::{ANOTHER_ORGANIZATION, ORGANIZATION, handoff};
use crate::support::files::TOKEN;
use crate::support::rig::{Plan, Rig, rig};
use crate::support::simulator::SECRET;
use crate::support::worker::http_anew;

/// Longest response time of a thread that is not blocked.
const HELD: Duration = Duration::from_secs(10);
/// Interval of the heartbeat.
const BEAT: Duration = Duration::from_millis(5);
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Worker on one thread.
struct Worker {
    base: String,
    client: reqwest::Client,
    /// Longest interval between two heartbeats so far, in microseconds.
    longest: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Worker {
    async fn start(plan: Plan) -> (Rig, Self) {
        let mut rig = plan.set("organizations", "encryption_key", KEY).lay_out().await;
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        rig.files.set("http", "listen", address.to_string());
        let config = rig.files.write(rig.folder.path(), "worker");
        let (longest, stop) = (Arc::default(), CancellationToken::new());
        let worker = Self {
            base: format!("http://{address}"),

            client: http_anew(),
            longest: Arc::clone(&longest),
            stop: stop.clone(),
        };
        std::thread::spawn(move || run(&config, longest, &stop));
        eventually("a worker that is ready", async || worker.answers("/readyz").await == Some(200)).await;
        // The start itself delays no event.
        worker.longest.store(0, Ordering::Relaxed);
        (rig, worker)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).bearer_auth(TOKEN).timeout(HELD)
    }

    fn put(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::PUT, path).header("content-type", "application/json").body(body.to_string())
    }

    async fn answers(&self, path: &str) -> Option<u16> {
        let answer = self.request(Method::GET, path).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Asserts that the worker responds and processes an event.
    async fn goes_on(&self, rig: &Rig, after: &str) {
        assert_eq!(self.answers("/livez").await, Some(200), "the event thread is held: {after}");
        rig.hand_off(&handoff("email")).await;
        println!("{after}: longest gap {} ms", self.longest.load(Ordering::Relaxed) / 1000);
    }

    async fn organizations(&self) -> Vec<Value> {
        let answer = self.request(Method::GET, "/api/v1/organizations").send().await.expect("the event thread is held");
        let listed: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        listed["organizations"].as_array().unwrap().iter().map(|one| one["organization_id"].clone()).collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn run(config: &Path, longest: Arc<AtomicU64>, stop: &CancellationToken) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let env = EnvironmentVariables::default();
    let (config, organizations) = load_to_run(config, &env).unwrap();
    runtime.spawn(beat(longest));
    runtime.block_on(async {
        tokio::select! {
            ended = handoffd::app::run(config, organizations, env) => panic!("the worker ended: {ended:?}"),
            () = stop.cancelled() => {}
        }
    });
    runtime.shutdown_background();
}

async fn beat(longest: Arc<AtomicU64>) {
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(BEAT).await;
        let gap = u64::try_from(last.elapsed().as_micros()).unwrap();
        longest.fetch_max(gap, Ordering::Relaxed);
        last = Instant::now();
    }
}

/// Creates a FIFO without a writer.
fn fifo(path: PathBuf) -> PathBuf {
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

fn document(rig: &Rig, secret: Value) -> Value {
    let mut document = json!({
        "environment_url": rig.crm.url(), "tenant_id": "11111111-1111-1111-1111-111111111111",
        "client_id": "22222222-2222-2222-2222-222222222222",
    });
    document["client_secret"] = secret;
    document
}

#[tokio::test]
async fn a_document_that_references_its_secret_is_refused_identically_for_any_target() {
    let (rig, worker) = Worker::start(rig()).await;
    let fifo = fifo(rig.folder.path().join("fifo"));
    let path = format!("/api/v1/organizations/{ANOTHER_ORGANIZATION}");
    let mut answers = Vec::new();
    for secret in [
        json!({ "file": fifo }),
        json!({ "file": rig.folder.path() }),
        json!({ "file": rig.folder.path().join("none") }),
        json!({ "file": "/etc/passwd" }),
        json!({ "file": "/dev/zero" }),
        json!({ "env": "PATH" }),
        json!({ "env": "NO_SUCH_VARIABLE" }),
        json!({ "env": "X", "file": "Y" }),
        json!([SECRET]),
    ] {
        let answer = worker.put(&path, &document(&rig, secret.clone())).send().await;
        let answer = answer.unwrap_or_else(|_| panic!("the event thread is held by {secret}"));
        assert_eq!(answer.status(), 400, "{secret}");
        answers.push(answer.text().await.unwrap());
        worker.goes_on(&rig, &format!("PUT with {secret}")).await;
    }
    assert!(answers[0].contains("the secret itself"), "{}", answers[0]);
    assert!(answers.iter().all(|other| *other == answers[0]), "{answers:#?}");
    assert!(rig.crm.environment().requests().iter().all(|request| !format!("{request:?}").contains("PATH")));
}

/// Every endpoint of the router's table, and the pages.
#[tokio::test]
async fn no_request_blocks_the_event_thread() {
    let (rig, worker) = Worker::start(rig()).await;
    let fifo = fifo(rig.folder.path().join("fifo")).display().to_string();
    let _slow = slow_clients(&worker.base);
    let long = "x".repeat(8000);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = json!({ "ids": vec!["x"; 20_000], "all": true, "client_secret": { "file": fifo } }).to_string();
    let bodies = [document(&rig, json!({ "file": fifo })).to_string(), deep, wide];
    let described = handoffd::admin::api::document(handoffd::admin::api::TokenPolicy::Open);
    for (path, operations) in described["paths"].as_object().unwrap() {
        for argument in [fifo.as_str(), "..", "\u{0}", &long] {
            let argument =
                percent_encoding::utf8_percent_encode(argument, percent_encoding::NON_ALPHANUMERIC).to_string();
            let address = format!("{}?organization={argument}&session={argument}&limit=1000", filled(path, &argument));
            for method in operations.as_object().unwrap().keys() {
                let method: Method = method.to_uppercase().parse().unwrap();
                let ask = || worker.request(method.clone(), &address).header("content-type", "application/json");
                let bare = std::iter::once(ask());
                let with_body = bodies.iter().filter(|_| method != Method::GET).map(|body| ask().body(body.clone()));
                for request in bare.chain(with_body) {
                    // It may close the connection on an unwanted body, but not stay silent.
                    let silent = request.send().await.is_err_and(|error| error.is_timeout());
                    assert!(!silent, "{method} {path} is not answered: the event thread is held");
                }
            }
        }
        worker.goes_on(&rig, path).await;
    }
    for path in ["/", "/find", "/dead-letters", "/organizations", "/login", "/nowhere", "/readyz", "/metrics"] {
        assert!(worker.answers(&format!("{path}?q={long}")).await.is_some(), "{path}");
    }
    worker.goes_on(&rig, "pages").await;
}

/// Path with its parameters replaced by this value.
fn filled(path: &str, argument: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { argument } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Clients with half a head, half a body, and an unread response.
fn slow_clients(base: &str) -> [TcpStream; 3] {
    let token = format!("Host: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n");
    let head = format!("PUT /api/v1/organizations/x HTTP/1.1\r\n{token}Content-Type: application/json\r\n");
    [
        "GET /api/v1/organiz".to_owned(),
        format!("{head}Content-Length: 1000\r\n\r\n{{"),
        format!("GET /api/v1/openapi.json HTTP/1.1\r\n{token}\r\n").repeat(200),
    ]
    .map(|text| {
        let mut stream = TcpStream::connect(base.trim_start_matches("http://")).unwrap();
        stream.set_nonblocking(true).unwrap();
        // As much as is accepted.
        _ = stream.write(text.as_bytes());
        stream
    })
}

#[tokio::test]
async fn no_reload_blocks_the_event_thread() {
    let (rig, worker) = Worker::start(rig()).await;
    let directory = rig.folder.path().join("organizations");
    let fifo = fifo(rig.folder.path().join("fifo"));
    let other = |name: &str, secret: &Path| {
        let mut files = rig.files.clone();
        let mut table = toml::Table::new();
        table.insert("file".to_owned(), secret.display().to_string().into());
        files.organize("client_secret", table);
        files.write_another_organization(rig.folder.path(), name);
    };

    reload(&rig, &worker, "an organization's file that is a FIFO", || {
        symlink(&fifo, directory.join("a.toml")).unwrap();
    })
    .await;
    reload(&rig, &worker, "a FIFO as secret", || other("org_fifo", &fifo)).await;
    reload(&rig, &worker, "a device as secret", || other("org_device", Path::new("/dev/zero"))).await;
    let socket = UnixListener::bind(directory.join("b.toml")).unwrap();
    reload(&rig, &worker, "a socket", || ()).await;
    drop(socket);
    reload(&rig, &worker, "files that point nowhere and at devices", || {
        symlink("/nowhere", directory.join("c.toml")).unwrap();
        symlink("/dev/zero", directory.join("d.toml")).unwrap();
        std::fs::write(directory.join("e.toml"), vec![b' '; 2 << 20]).unwrap();
    })
    .await;
    reload(&rig, &worker, "200 files", || {
        for n in 0..200 {
            rig.files.write_another_organization(rig.folder.path(), &format!("org_{n}"));
        }
    })
    .await;
    reload(&rig, &worker, "a file that vanishes", || std::fs::remove_file(directory.join("org_7.toml")).unwrap()).await;
    assert!(!worker.organizations().await.contains(&"org_7".into()));
    assert!(worker.organizations().await.contains(&ORGANIZATION.into()));
}

/// Makes a change and has it read twice: on SIGHUP, and in the periodic reading seconds later.
async fn reload(rig: &Rig, worker: &Worker, what: &str, change: impl FnOnce()) {
    change();
    for way in ["SIGHUP", "a glance"] {
        let marker = format!("org_marker_{}", uuid::Uuid::new_v4().simple());
        rig.files.write_another_organization(rig.folder.path(), &marker);
        if way == "SIGHUP" {
            signal("-HUP", &std::process::id().to_string());
        }
        eventually(&format!("{what} by {way}"), async || worker.organizations().await.contains(&marker.clone().into()))
            .await;
        worker.goes_on(rig, &format!("{what} by {way}")).await;
    }
}
