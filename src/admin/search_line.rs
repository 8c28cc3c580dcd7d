//! Line of the requests that search the store.
//!
//! A search reads much of the store, on threads that share the processors with those that carry events. A crowd of
//! operators must not slow those: two requests search at a time (the embedded store takes their scans in turn, see
//! `sled/scan_turns.rs`), the next ones wait in their order, and beyond that they are refused at once, so that nobody waits
//! for an answer that can't come in time.

use std::time::Duration;

use handoffd_engine::ports::store::StoreError;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests that search at a time.
const SEARCHING: usize = 2;
/// Requests that wait.
const WAITING: usize = 16;
/// Longest wait. A request has 30 s for its answer, search included.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Time after which a refused request may be repeated.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Line of searches.
#[derive(Debug)]
pub struct SearchLine {
    /// Places of requests that wait or search.
    places: Semaphore,
    /// Places of requests that search, given in the order of arrival.
    searching: Semaphore,
}

/// Place of a request that searches. Dropping it admits the next one.
#[derive(Debug)]
pub struct SearchPlace<'a> {
    _searching: SemaphorePermit<'a>,
    _place: SemaphorePermit<'a>,
}

/// Failed search.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SearchError {
    /// The line is too long, or too slow.
    #[error("too many searches at once; try again in {} s", RETRY_AFTER.as_secs())]
    Busy,
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SearchLine {
    /// Waits for a place to search, for a limited time.
    ///
    /// # Errors
    /// [`SearchError::Busy`] if too many requests wait already, or if this one has waited too long.
    pub async fn enter(&self) -> Result<SearchPlace<'_>, SearchError> {
        self.enter_within(LONGEST_WAIT).await
    }

    /// Waits for a place to search, at most so long.
    ///
    /// # Errors
    /// As [`Self::enter`].
    pub async fn enter_within(&self, limit: Duration) -> Result<SearchPlace<'_>, SearchError> {
        let place = self.places.try_acquire().map_err(|_| SearchError::Busy)?;
        let searching = tokio::time::timeout(limit, self.searching.acquire()).await;
        // The semaphore is never closed.
        let searching = searching.ok().and_then(Result::ok).ok_or(SearchError::Busy)?;
        Ok(SearchPlace { _searching: searching, _place: place })
    }
}

impl Default for SearchLine {
    fn default() -> Self {
        Self { places: Semaphore::new(SEARCHING + WAITING), searching: Semaphore::new(SEARCHING) }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::time::{Instant, advance};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn beyond_the_line_searches_are_refused_at_once_and_within_it_they_wait_for_a_limited_time() {
        let line = SearchLine::default();
        let searching = join_all((0..SEARCHING).map(|_| line.enter())).await;
        assert!(searching.iter().all(Result::is_ok));
        let began = Instant::now();
        let waiting = join_all((0..WAITING).map(|_| line.enter()));
        let beyond = async { (line.enter().await.map(drop), began.elapsed()) };
        let (waited, (refused, after)) = tokio::join!(waiting, beyond);
        assert!(matches!(refused, Err(SearchError::Busy)) && after.is_zero(), "{refused:?} after {after:?}");
        assert!(waited.iter().all(|waited| matches!(waited, Err(SearchError::Busy))));
        assert_eq!(began.elapsed(), LONGEST_WAIT);
        drop(searching);
        line.enter().await.expect("a place");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_search_begins_when_one_ends() {
        let line = SearchLine::default();
        let (first, second) = (line.enter().await.expect("a place"), line.enter().await.expect("a place"));
        let mut third = std::pin::pin!(line.enter());
        assert!(futures_util::poll!(third.as_mut()).is_pending());
        advance(LONGEST_WAIT / 2).await;
        drop(first);
        assert!(third.await.is_ok());
        drop(second);
    }
}
