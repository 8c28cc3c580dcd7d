//! `store export` and `store import`: between the kinds of store, again, damaged, and what a worker makes of it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use handoffd::postgres::PostgresTransfer;
use handoffd::sled::open;
use handoffd_engine::event::Kind;
use handoffd_engine::memory_store::MemoryStore;
use handoffd_engine::ports::metrics::NoMetrics;
use handoffd_engine::ports::store::portable::{PortableEntry, PortableStore};
use handoffd_engine::ports::store::queued::QueuedNote;
use handoffd_engine::ports::store::{Change, OutcomeFilter, SavedOrganization, Store};
use handoffd_engine::workflow::{Learned, LearnedChange, Phase, SessionState};
use proptest::prelude::*;
use tokio::sync::mpsc;

use crate::store_model::changes;
use crate::store_samples::{
    all, at, change, chat, contact, contact_change, dead, finished, in_hand, incident, key, opened, options,
    session_change,
};
use crate::support::event::{handoff, resolved};
use crate::support::postgres::{self, Postgres, new_schema};
use crate::support::rig::rig;

/// Returns all entries of a store, in a fixed order.
async fn entries(store: &dyn PortableStore) -> Vec<String> {
    let (sender, mut pages) = mpsc::channel(1);
    let received = async {
        let mut all = Vec::new();
        while let Some(page) = pages.recv().await {
            all.extend(page);
        }
        all
    };
    let (sent, all) = tokio::join!(store.export(sender), received);
    sent.unwrap();
    let mut all: Vec<String> = all.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
    all.sort();
    all
}

fn parsed(entries: &[String]) -> Vec<PortableEntry> {
    entries.iter().map(|entry| serde_json::from_str(entry).unwrap()).collect()
}

async fn import(store: &dyn PortableStore, entries: &[String]) -> usize {
    let mut written = 0;
    for some in parsed(entries).chunks(7) {
        written += store.import(some).await.unwrap().into_iter().filter(|written| *written).count();
    }
    written
}

fn embedded(path: &Path) -> Box<dyn PortableStore> {
    Box::new(open(&options(path), Arc::new(NoMetrics)).unwrap().store)
}

async fn shared(schema: &str) -> Box<dyn PortableStore> {
    Box::new(PostgresTransfer::open(&postgres::options(schema)).await.unwrap())
}

/// One entry of each kind, some of them with names that need care.
fn everything() -> Vec<Change> {
    let note = QueuedNote { kind: Kind::Handoff, session_id: "ses".into(), received: at(1), moved: Some(at(2)) };
    let learned = Learned { placeholder: Some(contact(3)), ..Learned::default() };
    let mut waiting = in_hand("ses\0", at(3));
    waiting.phase = Phase::Waiting;
    vec![
        change(&key("org", "evt"), &finished("ses", 1, at(0))),
        change(&key("org", "chat"), &chat("ses", 2, at(1))),
        change(&key("o\0", "\u{e9}\""), &dead("ses", at(2))),
        change(&key("org", "waiting"), &waiting),
        Change::Queued(key("org", "queued"), note),
        session_change("org", "ses", "evt", SessionState::Opening, at(0)),
        session_change(
            "org",
            "ses",
            "evt",
            SessionState::Open { incident: incident(1), ticket_number: Some("CAS-1".to_owned()) },
            at(5),
        ),
        session_change("org", "s\0\u{1}", "evt", SessionState::Dead, at(5)),
        contact_change("org", "ann@example.com", 7, at(4)),
        Change::Learned("org".into(), LearnedChange::between(Learned::default(), learned)),
        Change::Organization(SavedOrganization { id: "saved".into(), document: "{\"secret\":\"sealed\"}".to_owned() }),
        Change::Pause("org".into(), at(6)),
        Change::OrganizationQueue("org".into(), at(7)),
    ]
}

#[tokio::test]
async fn everything_survives_a_move_to_postgres_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let (first, last) = (folder.path().join("first"), folder.path().join("last"));
    let store = opened(&first);
    store.persist(everything()).await.unwrap();
    store.close().await.unwrap();

    let before = {
        let store = embedded(&first);
        let before = entries(&*store).await;
        store.finish().await.unwrap();
        before
    };
    assert_eq!(before.len(), 12, "each kind: {before:#?}");
    for kind in PortableEntry::KINDS {
        assert!(before.iter().any(|entry| entry.starts_with(&format!("{{\"kind\":\"{kind}\""))), "{kind}");
    }
    let schema = new_schema(Postgres::shared()).await;
    let middle = shared(&schema).await;
    assert_eq!(import(&*middle, &before).await, before.len());
    assert_eq!(import(&*middle, &before).await, 0, "a second import changes nothing");
    assert_eq!(entries(&*middle).await, before);
    let store = postgres::opened(&schema).await;
    assert_eq!(store.contact(&"org".into(), "ANN@example.com", at(4)).await.unwrap(), Some(contact(7)));
    assert_eq!(store.session(&"org".into(), &"ses".into()).await.unwrap().len(), 1);
    let store: Arc<dyn Store> = store;
    assert_eq!(all(&store, &OutcomeFilter::default(), 2).await.len(), 3, "indexes are built");

    let back = embedded(&last);
    assert_eq!(import(&*back, &entries(&*middle).await).await, before.len());
    assert_eq!(import(&*back, &before).await, 0);
    assert_eq!(entries(&*back).await, before);
    back.finish().await.unwrap();
    let store = opened(&last);
    assert_eq!(all(&store, &OutcomeFilter::default(), 2).await.len(), 3);
    assert_eq!(store.contact(&"org".into(), "ann@example.com", at(4)).await.unwrap(), Some(contact(7)));
    store.close().await.unwrap();
}

#[tokio::test]
async fn pages_have_no_gaps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = opened(&path);
    let many = |kind: &'static str| (0..1_200).map(move |n| (n, format!("{kind}{n}")));
    let mut changes: Vec<Change> =
        many("evt").map(|(n, event)| change(&key("org", &event), &finished("ses", n, at(0)))).collect();
    changes.extend(many("ses").map(|(_, session)| session_change("org", &session, "evt", SessionState::Dead, at(1))));
    changes.extend(many("mail").map(|(n, email)| contact_change("org", &email, n, at(1))));
    store.persist(changes).await.unwrap();
    store.close().await.unwrap();
    let embedded = embedded(&path);
    let before = entries(&*embedded).await;
    embedded.finish().await.unwrap();
    assert_eq!(before.len(), 3_600);
    let shared = shared(&new_schema(Postgres::shared()).await).await;
    for some in parsed(&before).chunks(1_000) {
        shared.import(some).await.unwrap();
    }
    assert_eq!(entries(&*shared).await, before);
}

/// Imports two stores one after the other, in which the same events may have gone different ways.
async fn merge_as_the_model_does(one: Vec<Change>, other: Vec<Change>, stores: &[Box<dyn PortableStore>]) {
    let model = MemoryStore::new();
    let mut exports = Vec::new();
    for changes in [one, other] {
        let store = MemoryStore::new();
        store.persist(changes).await.unwrap();
        exports.push(entries(&store).await);
    }
    for export in &exports {
        let expected = import(&model, export).await;
        for store in stores {
            assert_eq!(import(&**store, export).await, expected);
            assert_eq!(import(&**store, export).await, 0, "a second import changes nothing");
        }
    }
    for store in stores {
        assert_eq!(entries(&**store).await, entries(&model).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_store_imports_as_the_model_does(one in changes(), other in changes()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let schema = new_schema(Postgres::shared()).await;
            let stores = [embedded(&folder.path().join("store")), shared(&schema).await];
            merge_as_the_model_does(one, other, &stores).await;
            stores[0].finish().await.unwrap();
        });
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn a_worker_on_the_imported_store_answers_duplicates_and_closes_the_sessions_case() {
    let mut rig = rig().queue().start().await;
    let (handed, open) = (handoff("email"), handoff("email"));
    rig.hand_off(&handed).await;
    rig.hand_off(&open).await;
    let file = rig.store("export.jsonl");
    let path = file.to_str().unwrap();
    let worker = rig.worker();
    let refused = worker.command(&["store", "export", path]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).contains("in use by a running worker (pid") && text(&refused).contains("stop the worker"));
    assert!(!file.exists());
    rig.stop_workers().await;

    let exported = worker.command(&["store", "export", path]).await;
    assert!(exported.status.success() && text(&exported).contains("record        2"), "{}", text(&exported));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(worker.command(&["store", "export", path]).await.status.code(), Some(1), "it is never overwritten");
    assert!(worker.command(&["store", "export", path, "--force"]).await.status.success());
    let printed = worker.command(&["store", "export"]).await;
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.starts_with("{\"kind\":\"handoffd_store\",\"format\":1"), "{printed}");
    assert_eq!(printed.lines().skip(1).collect::<Vec<_>>(), lines(&file)[1..]);

    let schema = new_schema(Postgres::shared()).await;
    let asked = rig.crm.operations();
    rig.files.set("store", "kind", "postgres");
    rig.files.set("store", "url", schema);
    let worker = rig.start_worker("another");
    worker.ready().await;
    let imported = worker.command(&["store", "import", path]).await;
    assert!(imported.status.success(), "{}", text(&imported));
    let again = worker.command(&["store", "import", path]).await;
    assert!(text(&again).contains("record        2     0        2"), "{}", text(&again));
    rig.bus.publish(&handed).await;
    let both = rig.bus.outcomes(handed.id(), 2).await;
    assert_eq!(both[0].bytes, both[1].bytes);
    assert_eq!(rig.crm.operations(), asked, "answered from the imported store");
    let closing = resolved(open.session());
    assert_eq!(rig.process(&closing).await.body["event"], "dynamics365.resolution.succeeded");
    rig.nothing_is_left().await;
}

fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

/// Runs a command on an embedded store in this folder.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handoffd"));
    command.args(arguments).current_dir(folder).env("HANDOFFD_STORE__PATH", folder.join("store"));
    command.env("HANDOFFD_HTTP__LISTEN", "127.0.0.1:1").output().unwrap()
}

#[tokio::test]
async fn an_unreadable_line_is_named_and_what_precedes_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder.path().join("store"));
    store.persist(everything()).await.unwrap();
    store.close().await.unwrap();
    std::fs::write(folder.path().join("handoffd.toml"), "").unwrap();
    let run = |arguments: &[&str]| run(folder.path(), &[&["--config", "handoffd.toml"], arguments].concat());
    assert!(run(&["store", "export", "good.jsonl"]).status.success());
    let good = lines(&folder.path().join("good.jsonl"));
    std::fs::rename(folder.path().join("store"), folder.path().join("old")).unwrap();

    let mut bad = good.clone();
    bad[4] = "garbage".to_owned();
    std::fs::write(folder.path().join("bad.jsonl"), bad.join("\n")).unwrap();
    let output = run(&["store", "import", "bad.jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("line 5: expected a JSON object with the field `kind`"), "{}", text(&output));
    assert!(text(&output).contains("record        3     3"), "{}", text(&output));

    std::fs::write(folder.path().join("cut.jsonl"), good[..6].join("\n")).unwrap();
    let output = run(&["store", "import", "cut.jsonl"]);
    assert!(output.status.code() == Some(1) && text(&output).contains("cut off"), "{}", text(&output));

    let output = run(&["store", "import", "good.jsonl"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(run(&["store", "export", "again.jsonl"]).status.success());
    let sorted = |name: &str| {
        let mut lines = lines(&folder.path().join(name));
        lines.remove(0);
        lines.sort();
        lines
    };
    assert_eq!(sorted("again.jsonl"), sorted("good.jsonl"));
    assert_eq!(run(&["store", "import", "missing.jsonl"]).status.code(), Some(1));
}
