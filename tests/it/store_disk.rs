//! sled's use of its folder: durability, locks, damage, versions.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoffd::sled::{CorruptionPolicy, Disk, SledOptions, open, open_with};
use handoffd_engine::ports::metrics::{Measurement, Metrics, NoMetrics};
use handoffd_engine::ports::store::{Change, OutcomeFilter, Store, StoreError};

use crate::store_samples::{all, at, change, finished, ids, in_hand, key, opened, options};

/// Disk whose every sync waits to be released.
struct Gate {
    inner: Box<dyn Disk>,
    asked: Sender<()>,
    let_through: Receiver<Verdict>,
    syncs: Arc<AtomicU64>,
}

#[derive(Clone, Copy)]
enum Verdict {
    Works,
    Fails,
}

impl Disk for Gate {
    fn sync(&self) -> Result<(), StoreError> {
        self.asked.send(()).unwrap();
        // A test that has ended releases all syncs.
        let verdict = self.let_through.recv().unwrap_or(Verdict::Works);
        self.inner.sync()?;
        self.syncs.fetch_add(1, Ordering::SeqCst);
        match verdict {
            Verdict::Works => Ok(()),
            Verdict::Fails => Err(StoreError::Write { source: Arc::new(std::io::Error::other("no space left")) }),
        }
    }
}

struct Gated {
    store: Arc<dyn Store>,
    health: tokio::sync::watch::Receiver<Option<StoreError>>,
    asked: Mutex<Receiver<()>>,
    let_through: Sender<Verdict>,
    syncs: Arc<AtomicU64>,
}

impl Gated {
    fn open(path: &Path) -> Self {
        let (asked, was_asked) = channel();
        let (let_through, gate) = channel();
        let syncs = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&syncs);
        let opened = open_with(&options(path), Arc::new(NoMetrics), |inner| {
            Box::new(Gate { inner, asked, let_through: gate, syncs: counter })
        });
        let store = opened.unwrap().store;
        Self { health: store.health(), store: Arc::new(store), asked: Mutex::new(was_asked), let_through, syncs }
    }

    /// Waits, off the runtime, until a sync is requested.
    fn wait_until_asked(&self) {
        let asked = self.asked.lock().unwrap();
        asked.recv_timeout(Duration::from_secs(20)).expect("the disk was never asked");
    }

    async fn close(self) {
        drop(self.let_through);
        self.store.close().await.unwrap();
    }
}

fn one_change(event: &str) -> Vec<Change> {
    vec![change(&key("org", event), &finished("ses", 1, at(0)))]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keep_returns_after_the_disk_has_synced() {
    let folder = tempfile::tempdir().unwrap();
    let gated = Gated::open(&folder.path().join("store"));
    let store = Arc::clone(&gated.store);
    let returned = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&returned);
    let keep = tokio::spawn(async move {
        store.persist(one_change("evt")).await.unwrap();
        flag.store(true, Ordering::SeqCst);
    });
    tokio::task::block_in_place(|| gated.wait_until_asked());
    assert!(!returned.load(Ordering::SeqCst), "kept before the disk was asked");
    assert_eq!(gated.syncs.load(Ordering::SeqCst), 0);
    assert!(gated.store.record(&key("org", "evt")).await.unwrap().is_some());
    gated.let_through.send(Verdict::Works).unwrap();
    keep.await.unwrap();
    assert_eq!(gated.syncs.load(Ordering::SeqCst), 1);
    gated.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_waiting_writes_share_one_sync() {
    let folder = tempfile::tempdir().unwrap();
    let gated = Gated::open(&folder.path().join("store"));
    let keep = |event: String| {
        let store = Arc::clone(&gated.store);
        tokio::spawn(async move { store.persist(one_change(&event)).await })
    };
    let first = keep("first".to_owned());
    tokio::task::block_in_place(|| gated.wait_until_asked());
    let others: Vec<_> = (0..100).map(|number| keep(format!("evt{number}"))).collect();
    for number in 0..100 {
        let key = key("org", &format!("evt{number}"));
        // Visible means written; its order to the committer follows at once.
        while gated.store.record(&key).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    }
    for _ in 0..50 {
        gated.let_through.send(Verdict::Works).unwrap();
    }
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    let syncs = gated.syncs.load(Ordering::SeqCst);
    assert!((2..=5).contains(&syncs), "{syncs} syncs for 101 events");
    gated.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_is_an_error_until_it_works_again() {
    let folder = tempfile::tempdir().unwrap();
    let gated = Gated::open(&folder.path().join("store"));
    gated.let_through.send(Verdict::Fails).unwrap();
    let error = gated.store.persist(one_change("evt")).await.unwrap_err();
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(gated.store.record(&key("", "")).await.is_err(), "what /readyz asks");
    assert!(gated.health.borrow().as_ref().is_some_and(|problem| problem.to_string().contains("no space left")));
    // The committer retries by itself, and failed writes are not lost.
    for _ in 0..100 {
        gated.let_through.send(Verdict::Works).unwrap();
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while gated.store.write(Vec::new()).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "it never worked again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Reported after the store works again, so a moment later.
    let mut health = gated.health.clone();
    tokio::time::timeout(Duration::from_secs(20), health.wait_for(Option::is_none)).await.unwrap().unwrap();
    gated.store.persist(one_change("later")).await.unwrap();
    assert!(gated.store.record(&key("org", "evt")).await.unwrap().is_some());
    gated.close().await;
    let store = opened(&folder.path().join("store"));
    assert_eq!(ids(&all(&store, &OutcomeFilter::default(), 9).await), ["later", "evt"]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn flushes_are_measured() {
    #[derive(Default)]
    struct Counter(AtomicU64);
    impl Metrics for Counter {
        fn record(&self, sighting: Measurement<'_>) {
            if let Measurement::StoreFlushed(_) = sighting {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let counter = Arc::new(Counter::default());
    let options = options(&folder.path().join("store"));
    let store = open(&options, counter.clone()).unwrap().store;
    store.persist(one_change("evt")).await.unwrap();
    assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn notes_reach_the_disk_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let gated = Gated::open(&folder.path().join("store"));
    gated.store.write(one_change("evt")).await.unwrap();
    tokio::task::spawn_blocking(move || {
        gated.wait_until_asked();
        gated
    })
    .await
    .unwrap()
    .close()
    .await;
}

#[tokio::test]
async fn a_dropped_store_releases_its_folder_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/store");
    let store = opened(&path);
    store.write(one_change("evt")).await.unwrap();
    drop(store);
    let store = opened(&path);
    assert!(store.record(&key("org", "evt")).await.unwrap().is_some());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_store_in_use_names_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = opened(&path);
    let impatient = SledOptions {
        lock_wait: Duration::from_millis(100),
        on_corruption: CorruptionPolicy::Quarantine,
        ..options(&path)
    };
    let error = open(&impatient, Arc::new(NoMetrics)).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    if cfg!(target_os = "linux") && Path::new("/proc/locks").exists() {
        let pid = format!("(pid {}", std::process::id());
        assert!(error.to_string().contains(&pid), "{error}");
    }
    assert!(path.join("db").exists(), "a store in use is not damaged");
    store.close().await.unwrap();
    open(&impatient, Arc::new(NoMetrics)).unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_created_is_not_damage() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let error = open(&SledOptions::at(file.join("store")), Arc::new(NoMetrics)).unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    opened(&path).close().await.unwrap();
    let raw = sled::open(&path).unwrap();
    raw.insert("m:schema", &3u32.to_be_bytes()).unwrap();
    raw.flush().unwrap();
    drop(raw);
    let error = open(&SledOptions::at(&path), Arc::new(NoMetrics)).unwrap_err();
    assert!(matches!(error, StoreError::Schema { found: 3, known: 2, .. }), "{error}");
}

type Damage = fn(&Path);

/// Ways to damage a store that has content.
fn damages() -> Vec<(&'static str, Damage)> {
    vec![
        ("garbled db", |path| {
            let mut bytes = fs::read(path.join("db")).unwrap();
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte ^= u8::try_from(at % 251).unwrap();
            }
            fs::write(path.join("db"), bytes).unwrap();
        }),
        ("nonsense in conf", |path| {
            fs::write(path.join("conf"), "segment_size: many\nand more nonsense").unwrap();
        }),
        ("no schema row", |path| {
            let raw = sled::open(path).unwrap();
            raw.remove("m:schema").unwrap();
            raw.flush().unwrap();
        }),
    ]
}

#[tokio::test]
async fn a_damaged_store_is_set_aside_complete() {
    for (name, damage) in damages() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = opened(&path);
        for number in 0..200 {
            store.persist(one_change(&format!("evt{number}"))).await.unwrap();
        }
        store.close().await.unwrap();
        drop(store);
        damage(&path);
        let stop = open(&options(&path), Arc::new(NoMetrics)).expect_err(name);
        assert!(matches!(stop, StoreError::Open { .. }), "{name}: {stop}");
        assert!(stop.to_string().contains("quarantine"), "{name}: {stop}");

        let opened = open(&SledOptions::at(&path), Arc::new(NoMetrics)).unwrap();
        let aside = opened.quarantined.expect(name);
        assert!(aside.path.join("db").exists(), "{name}");
        let file_name = aside.path.file_name().unwrap().to_str().unwrap();
        assert!(file_name.starts_with("store.corrupt-2"), "{name}: {file_name}");
        opened.store.persist(one_change("new")).await.unwrap();
        assert!(opened.store.record(&key("org", "evt1")).await.unwrap().is_none());
        opened.store.close().await.unwrap();
    }
}

/// sled leaves one behind when it is killed while opening a store, and on a full disk; it would not open the store
/// again.
#[tokio::test]
async fn an_unfinished_snapshot_is_not_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    for content in ["", "half of a snapshot, with no checksum"] {
        let store = opened(&path);
        store.persist(one_change("evt")).await.unwrap();
        store.close().await.unwrap();
        drop(store);
        fs::write(path.join("snap.FFFFFFFFFFFFFFFF.generating"), content).unwrap();
        let store = opened(&path);
        assert!(store.record(&key("org", "evt")).await.unwrap().is_some());
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_store_whose_creation_was_interrupted_is_created_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("conf"), "").unwrap();
    opened(&path).close().await.unwrap();
}

#[tokio::test]
async fn ids_of_maximum_length_are_stored_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder.path().join("store"));
    let long = "𝄞".repeat(255);
    for number in 0..40 {
        let event = format!("{}{number}", &long[..4 * 253]);
        let record = finished(&long, number, at(0));
        store.write(vec![change(&key(&long, &event), &in_hand(&long, at(0)))]).await.unwrap();
        store.persist(vec![change(&key(&long, &event), &record)]).await.unwrap();
    }
    let of_session = OutcomeFilter {
        session: Some(long.as_str().into()),
        organization: Some(long.as_str().into()),
        ..OutcomeFilter::default()
    };
    assert_eq!(all(&store, &of_session, 7).await.len(), 40);
    store.close().await.unwrap();
    let blobs = fs::read_dir(folder.path().join("store/blobs")).unwrap().count();
    assert_eq!(blobs, 0, "sled never syncs its blobs");
}
