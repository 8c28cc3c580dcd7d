//! Damage found while the store is open, and a new store that an operator must accept.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handoffd::sled::{CorruptionPolicy, Disk, Quarantined, SledOptions, SledStore, open, open_with, unaccepted};
use handoffd_engine::event::EventKey;
use handoffd_engine::ports::metrics::NoMetrics;
use handoffd_engine::ports::store::{Change, OutcomeFilter, SavedOrganization, Store, StoreError};
use handoffd_engine::workflow::{Learned, LearnedChange};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::store_samples::{at, change, finished, key, opened, options};

/// Events in a store before it is damaged: several dozen pages, none in memory when it is opened again.
const EVENTS: u32 = 2000;

fn number(event: u32) -> EventKey {
    key("org", &format!("evt{event:05}"))
}

/// Store with events, closed.
pub async fn filled(path: &Path) {
    let store = opened(path);
    let changes = (0..EVENTS).map(|event| change(&number(event), &finished("ses", event.into(), at(event.into()))));
    store.persist(changes.collect()).await.unwrap();
    store.close().await.unwrap();
}

/// Inverts all bits of the file's content in place, so that an open store meets the damage when it reads.
pub fn garble(path: &Path) {
    let mut db = OpenOptions::new().read(true).write(true).open(path.join("db")).unwrap();
    let mut bytes = Vec::new();
    db.read_to_end(&mut bytes).unwrap();
    for byte in &mut bytes {
        *byte = !*byte;
    }
    db.seek(SeekFrom::Start(0)).unwrap();
    db.write_all(&bytes).unwrap();
    db.sync_all().unwrap();
}

/// Inverts one byte of one event, which opening does not read.
fn nick(path: &Path) {
    let mut bytes = fs::read(path.join("db")).unwrap();
    let ticket = b"CAS-01000-X1Y2Z3";
    let places: Vec<usize> = (0..bytes.len() - ticket.len()).filter(|at| bytes[*at..].starts_with(ticket)).collect();
    assert!(!places.is_empty(), "the ticket number is stored in clear");
    for at in places {
        bytes[at] = !bytes[at];
    }
    let mut db = OpenOptions::new().write(true).open(path.join("db")).unwrap();
    db.write_all(&bytes).unwrap();
}

/// Store with damage that opening does not find. The pages that sled reads on opening depend on the timing of its
/// threads: in three of four stores it does not read the pages that [`nick`] damages (measured), so one of these is
/// usable.
async fn nicked_where_opening_does_not_look() -> (TempDir, SledStore) {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        filled(&path).await;
        // sled records at the next start which pages it need not read again.
        opened(&path).close().await.unwrap();
        nick(&path);
        let reopened = open(&with(&path, CorruptionPolicy::Quarantine), Arc::new(NoMetrics)).unwrap();
        if reopened.quarantined.is_none() {
            return (folder, reopened.store);
        }
        reopened.store.close().await.unwrap();
    }
    panic!("opening finds the damage of one page each time");
}

fn with(path: &Path, on_corruption: CorruptionPolicy) -> SledOptions {
    SledOptions { on_corruption, ..options(path) }
}

fn open_as(path: &Path, on_corruption: CorruptionPolicy) -> SledStore {
    open(&with(path, on_corruption), Arc::new(NoMetrics)).unwrap().store
}

/// Reads until it meets the damage.
async fn met(store: &SledStore) -> StoreError {
    for event in 0..EVENTS {
        if let Err(problem) = store.record(&number(event)).await {
            return problem;
        }
    }
    panic!("no read has met the damage");
}

/// The store set aside, once the new store is in use.
async fn replaced(store: &SledStore) -> Quarantined {
    let (mut quarantined, mut health) = (store.quarantined(), store.health());
    let limit = Duration::from_secs(20);
    let aside =
        timeout(limit, quarantined.wait_for(Option::is_some)).await.expect("a store set aside").unwrap().clone();
    timeout(limit, health.wait_for(Option::is_none)).await.expect("a store that works").unwrap();
    aside.unwrap()
}

fn corrupt(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_str().unwrap().contains(".corrupt-")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_found_by_a_read_sets_the_store_aside_and_clears_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    filled(&path).await;
    let store = open_as(&path, CorruptionPolicy::Quarantine);
    let learned = Learned { customer_required: true, ..Learned::default() };
    store
        .persist(vec![Change::Learned("org".into(), LearnedChange::between(Learned::default(), learned))])
        .await
        .unwrap();
    assert_eq!(store.learned(&"org".into()).await.unwrap(), learned);
    garble(&path);
    let problem = met(&store).await;
    assert!(!matches!(problem, StoreError::Closed), "{problem}");
    let aside = replaced(&store).await;
    assert_eq!(corrupt(folder.path()), [aside.path.as_path()]);
    assert!(aside.path.join("db").exists());

    assert_eq!(store.learned(&"org".into()).await.unwrap(), Learned::default());
    for event in 0..EVENTS {
        assert_eq!(store.record(&number(event)).await.unwrap(), None);
    }
    assert_eq!(store.outcomes(&OutcomeFilter::default(), None, 9).await.unwrap().found, []);
    let record = finished("ses", 1, at(1));
    store.persist(vec![change(&number(1), &record)]).await.unwrap();
    store.close().await.unwrap();
    let store = open_as(&path, CorruptionPolicy::Stop);
    assert_eq!(store.record(&number(1)).await.unwrap(), Some(record));
    assert_eq!(store.learned(&"org".into()).await.unwrap(), Learned::default());
    store.close().await.unwrap();
    assert!(unaccepted(&path).unwrap().is_none(), "no acceptance is required");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_of_one_page_missed_on_opening_is_damage() {
    let (_folder, store) = nicked_where_opening_does_not_look().await;
    assert!(store.record(&number(0)).await.unwrap().is_some(), "nor does who reads elsewhere");
    met(&store).await;
    replaced(&store).await;
    assert_eq!(store.record(&number(1000)).await.unwrap(), None);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_found_by_an_iteration_sets_the_store_aside_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    filled(&path).await;
    let store = open_as(&path, CorruptionPolicy::Quarantine);
    garble(&path);
    // Opening has read some pages, which ones depends on the timing of sled's threads.
    let mut cursor = None;
    while let Ok(page) = store.outcomes(&OutcomeFilter::default(), cursor.as_ref(), 100).await {
        cursor = page.next;
        assert!(cursor.is_some(), "the damage was not found");
    }
    replaced(&store).await;
    assert_eq!(store.outcomes(&OutcomeFilter::default(), None, 9).await.unwrap().found, []);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_configured_to_stop_on_damage_stays_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    filled(&path).await;
    let store = open_as(&path, CorruptionPolicy::Stop);
    garble(&path);
    met(&store).await;
    let mut health = store.health();
    let damaged = |problem: &Option<StoreError>| matches!(problem, Some(StoreError::Damaged { .. }));
    timeout(Duration::from_secs(20), health.wait_for(damaged)).await.expect("damage").unwrap();
    assert!(matches!(store.record(&number(1)).await, Err(StoreError::Damaged { .. })));
    assert!(matches!(store.persist(Vec::new()).await, Err(StoreError::Damaged { .. })));
    assert!(corrupt(folder.path()).is_empty());
    assert!(store.quarantined().borrow().is_none());
}

/// Disk that reports a bug of sled on request.
struct Liar(Box<dyn Disk>, Arc<AtomicBool>);

impl Disk for Liar {
    fn sync(&self) -> Result<(), StoreError> {
        if self.1.swap(false, Ordering::SeqCst) {
            let source = Arc::new(sled::Error::ReportableBug("a false alarm".to_owned()));
            return Err(StoreError::Write { source });
        }
        self.0.sync()
    }
}

fn with_liar(path: &Path) -> (SledStore, Arc<AtomicBool>) {
    let lies = Arc::new(AtomicBool::new(false));
    let liar = Arc::clone(&lies);
    let opened =
        open_with(&with(path, CorruptionPolicy::Quarantine), Arc::new(NoMetrics), |disk| Box::new(Liar(disk, liar)));
    (opened.unwrap().store, lies)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_only_seems_damaged_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    filled(&path).await;
    let (store, lies) = with_liar(&path);
    lies.store(true, Ordering::SeqCst);
    let record = finished("ses", 1, at(1));
    let new = key("org", "new");
    store.persist(vec![change(&new, &record)]).await.unwrap_err();
    assert!(matches!(store.record(&new).await, Err(StoreError::Suspect { .. })), "it is examined");
    let mut health = store.health();
    timeout(Duration::from_secs(20), health.wait_for(Option::is_none)).await.expect("a store that works").unwrap();
    assert_eq!(store.record(&new).await.unwrap(), Some(record), "what could not be written is not lost");
    assert!(store.record(&number(EVENTS - 1)).await.unwrap().is_some());
    assert!(corrupt(folder.path()).is_empty());
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_writes_to_a_damaged_store_are_not_in_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    filled(&path).await;
    let (store, lies) = with_liar(&path);
    garble(&path);
    lies.store(true, Ordering::SeqCst);
    let record = finished("ses", 1, at(1));
    let new = key("org", "new");
    let (kept, _noted) =
        tokio::join!(store.persist(vec![change(&new, &record)]), store.write(vec![change(&number(3), &record)]));
    kept.unwrap_err();
    replaced(&store).await;
    assert_eq!(store.record(&new).await.unwrap(), None);
    assert_eq!(store.record(&number(3)).await.unwrap(), None);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_store_begins_no_event_before_acceptance_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    filled(&path).await;
    let store = open_as(&path, CorruptionPolicy::QuarantineUntilAccepted);
    assert_eq!(store.accept().await.unwrap(), None, "there is nothing to accept");
    garble(&path);
    met(&store).await;
    let aside = replaced(&store).await.path;
    let refuses = async |store: &SledStore| {
        let problem = store.record(&number(1)).await.unwrap_err();
        assert!(matches!(problem, StoreError::Unaccepted), "{problem}");
        assert!(problem.to_string().contains("handoffd store accept"), "{problem}");
        assert!(store.unaccepted().borrow().is_some());
    };
    refuses(&store).await;
    let saved = SavedOrganization { id: "org".into(), document: "{}".to_owned() };
    store.persist(vec![Change::Organization(saved.clone())]).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    // On any way of opening, whether or not it requires acceptance by now.
    for on_corruption in
        [CorruptionPolicy::Stop, CorruptionPolicy::QuarantineUntilAccepted, CorruptionPolicy::Quarantine]
    {
        let store = open_as(&path, on_corruption);
        refuses(&store).await;
        assert_eq!(store.organizations().await.unwrap(), std::slice::from_ref(&saved), "it can be saved again before");
        store.close().await.unwrap();
    }
    let store = open_as(&path, CorruptionPolicy::Quarantine);
    assert_eq!(store.accept().await.unwrap().expect("something to accept").set_aside, aside);
    assert_eq!(store.record(&number(1)).await.unwrap(), None);
    assert_eq!(store.accept().await.unwrap(), None);
    store.close().await.unwrap();
    drop(store);
    let store = open_as(&path, CorruptionPolicy::Quarantine);
    assert_eq!(store.record(&number(1)).await.unwrap(), None);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_set_aside_at_start_requires_acceptance_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    filled(&path).await;
    garble(&path);
    let opened = open(&with(&path, CorruptionPolicy::QuarantineUntilAccepted), Arc::new(NoMetrics)).unwrap();
    let (store, aside) = (opened.store, opened.quarantined.expect("a store set aside").path);
    assert_eq!(unaccepted(&path).unwrap().expect("a marker").set_aside, aside);
    assert!(matches!(store.record(&number(1)).await, Err(StoreError::Unaccepted)));
    assert!(store.quarantined().borrow().is_none(), "that is for damage met later");
    store.accept().await.unwrap().unwrap();
    assert_eq!(store.record(&number(1)).await.unwrap(), None);
    store.close().await.unwrap();
}
