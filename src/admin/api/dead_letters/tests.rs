//! Lists of few and of many dead letters: which scan they show, and how they name its age.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use handoffd_engine::dead_letters::{DeadLetterEntry, LetterChange, RunMode, Selection};
use handoffd_engine::event::{Envelope, Limits};
use handoffd_engine::memory_store::MemoryStore;
use handoffd_engine::ports::bus::headers::{EVENT_ID, REASON};
use handoffd_engine::ports::bus::{DeadLetter, DeadLetterError, DeadLetterQueue, DeadLetters, Notice};
use tokio::sync::Semaphore;

use super::service::{DeadLetterService, DeadLetterSurvey};
use crate::admin::api::Problem;
use crate::admin::api::requester::Requester;
use crate::admin::audit::{AuditTrail, Identity};

/// More than are read for each list.
const MANY: usize = 6000;
const WINDOW: usize = 1000;

/// Dead-letter queue that reads a window for each permit.
struct FakeQueue {
    letters: AtomicUsize,
    opened: AtomicUsize,
    permits: Arc<Semaphore>,
}

struct FakeLetters {
    total: usize,
    read: usize,
    permits: Arc<Semaphore>,
}

#[async_trait]
impl DeadLetterQueue for FakeQueue {
    async fn open(&self, _: Notice<'_>) -> Result<Box<dyn DeadLetters>, DeadLetterError> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let total = self.letters.load(Ordering::Relaxed);
        Ok(Box::new(FakeLetters { total, read: 0, permits: Arc::clone(&self.permits) }))
    }

    async fn ready(&self) -> Result<u64, DeadLetterError> {
        Ok(self.letters.load(Ordering::Relaxed) as u64)
    }
}

#[async_trait]
impl DeadLetters for FakeLetters {
    fn total(&self) -> u64 {
        self.total as u64
    }

    async fn next(&mut self) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let Ok(permit) = self.permits.acquire().await else {
            return Err(DeadLetterError::Settings("the queue has no leader".to_owned()));
        };
        permit.forget();
        let window = self.read..self.total.min(self.read + WINDOW);
        self.read = window.end;
        Ok(window.map(letter).collect())
    }

    fn warning(&self) -> Option<String> {
        None
    }

    async fn close(&mut self) -> Result<(), DeadLetterError> {
        Ok(())
    }
}

fn letter(number: usize) -> DeadLetter {
    let header = |name: &str, value: String| (name.to_owned(), value);
    let headers = [header(REASON, "invalid_event".to_owned()), header(EVENT_ID, format!("evt_{number}"))];
    DeadLetter::sample(Envelope { headers: headers.into(), ..Envelope::default() }, Bytes::new(), None)
}

/// Service on a queue of so many dead letters, of which it may read so many windows.
fn service(letters: usize, windows: usize) -> (Arc<FakeQueue>, Arc<DeadLetterService>) {
    let permits = Arc::new(Semaphore::new(windows));
    let queue = Arc::new(FakeQueue { letters: AtomicUsize::new(letters), opened: AtomicUsize::default(), permits });
    let limits = Limits { max_event_bytes: 1 << 20 };
    let service = DeadLetterService::new(Arc::clone(&queue) as _, Arc::new(MemoryStore::new()), limits);
    (queue, Arc::new(service))
}

/// Runs as an operator's request.
async fn asking<T>(request: impl Future<Output = T>) -> T {
    let trail = Arc::new(AuditTrail::new(Arc::new(MemoryStore::new())));
    let requester = Requester { identity: Identity::Token, from: IpAddr::from([192, 0, 2, 1]), user: None, trail };
    requester.scope(request).await
}

async fn survey(service: &Arc<DeadLetterService>) -> Result<DeadLetterSurvey, Problem> {
    asking(service.survey(&Selection::default(), 0, 10)).await
}

/// Waits until all are read, however slow the machine is, and returns the list that shows them.
async fn whole(service: &Arc<DeadLetterService>) -> DeadLetterSurvey {
    loop {
        let found = survey(service).await.unwrap();
        if found.age.is_none_or(|age| age.took.is_some()) {
            return found;
        }
    }
}

/// Number of entries of the list for programs.
async fn listed(service: &Arc<DeadLetterService>) -> usize {
    asking(async {
        let mut pass = service.list(Selection::default(), None).await.unwrap();
        let mut listed = 0;
        while let Some(window) = pass.next().await {
            listed += window.len();
        }
        pass.end().await.unwrap();
        listed
    })
    .await
}

#[tokio::test]
async fn a_list_of_few_is_as_of_its_request() {
    let (queue, service) = service(3, 1000);
    for letters in [3, 4, 2] {
        queue.letters.store(letters, Ordering::Relaxed);
        let found = survey(&service).await.unwrap();
        assert_eq!((found.found.total, found.age), (letters as u64, None));
    }
    assert_eq!(queue.opened.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn many_are_not_read_again_for_each_list_and_the_list_shows_its_age() {
    let (queue, service) = service(MANY, 1000);
    assert_eq!(whole(&service).await.found.total, MANY as u64);
    queue.letters.store(MANY + 1, Ordering::Relaxed);
    let second = survey(&service).await.unwrap();
    let age = second.age.expect("it is older than its request");
    assert_eq!((second.found.total, age.read, age.took.is_some()), (MANY as u64, MANY as u64, true));
    let (found, age) = asking(service.find("EVT_5999", 50)).await.unwrap();
    assert_eq!((found.len(), age.is_some()), (1, true));
    assert_eq!(queue.opened.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_list_of_many_shows_how_much_has_been_read() {
    let (queue, service) = service(MANY, 2);
    let partial = loop {
        let found = survey(&service).await.unwrap();
        if found.found.total >= 2000 {
            break found;
        }
    };
    let age = partial.age.expect("it is incomplete");
    assert_eq!((partial.found.total, age.read, age.total, age.took), (2000, 2000, MANY as u64, None));
    queue.permits.add_permits(1000);
    assert_eq!(whole(&service).await.found.total, MANY as u64);
    assert_eq!(queue.opened.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_is_replayed_is_in_no_list() {
    let (queue, service) = service(MANY, 1000);
    whole(&service).await;
    let one = Selection { ids: ["evt_7".to_owned()].into(), ..Selection::default() };
    asking(async { service.change(one, LetterChange::Replay, RunMode::Apply).unwrap().end().await }).await.unwrap();
    queue.letters.store(MANY - 1, Ordering::Relaxed);
    assert_eq!(survey(&service).await.unwrap().found.total, MANY as u64 - 1);
    let (found, _) = asking(service.find("evt_7", 50)).await.unwrap();
    assert!(found.iter().all(|entry: &DeadLetterEntry| entry.event_id.as_deref() != Some("evt_7")));
    assert_eq!(listed(&service).await, MANY - 1);
    assert_eq!(queue.opened.load(Ordering::Relaxed), 2, "for the scan and for the replay");
}

#[tokio::test]
async fn a_list_for_programs_is_never_older_than_the_queue() {
    let (queue, service) = service(MANY, 1000);
    whole(&service).await;
    assert_eq!((listed(&service).await, queue.opened.load(Ordering::Relaxed)), (MANY, 1));
    queue.letters.store(MANY + 5, Ordering::Relaxed);
    assert_eq!((listed(&service).await, queue.opened.load(Ordering::Relaxed)), (MANY + 5, 2));
}

#[tokio::test]
async fn a_scan_that_fails_is_a_problem_and_no_empty_list() {
    let (queue, service) = service(3, 0);
    queue.permits.close();
    let problem = survey(&service).await.unwrap_err();
    assert!(problem.to_string().contains("no leader"), "{problem}");
}
