//! Resolver of host names.
//!
//! A look-up is a blocking call that can't be cancelled. If a name server hangs, each look-up occupies a thread for as long as
//! the system waits. A host is therefore looked up once for any number of waiting connections, and the number of concurrent
//! look-ups is limited, which leaves threads for the store and for files.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::{Semaphore, oneshot};

/// Most concurrent look-ups: a quarter of tokio's threads for blocking calls.
const MOST: usize = 128;

type Addresses = Result<Vec<SocketAddr>, String>;
type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Resolver that uses the system's own.
#[derive(Clone)]
pub(super) struct Resolver {
    look_up: LookUp,
    under_way: Arc<Mutex<HashMap<String, Shared<BoxFuture<'static, Addresses>>>>>,
    places: Arc<Semaphore>,
}

impl Resolver {
    /// Creates a resolver that asks the system.
    pub(super) fn new() -> Self {
        Self::with(Arc::new(|host| {
            // The URL supplies the port.
            async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) }.boxed()
        }))
    }

    fn with(look_up: LookUp) -> Self {
        Self { look_up, under_way: Arc::default(), places: Arc::new(Semaphore::new(MOST)) }
    }

    /// Returns the look-up of this host that is under way, else starts one. It continues even if no task waits for it.
    fn find(&self, host: &str) -> Shared<BoxFuture<'static, Addresses>> {
        let mut under_way = self.under_way();
        if let Some(found) = under_way.get(host) {
            return found.clone();
        }
        let (done, wait) = oneshot::channel();
        let (resolver, name) = (self.clone(), host.to_owned());
        tokio::spawn(async move {
            // The semaphore is never closed.
            let place = resolver.places.acquire().await;
            let found = (resolver.look_up)(name.clone()).await;
            drop(place);
            resolver.under_way().remove(&name);
            // No task may be waiting any more.
            _ = done.send(found.map_err(|error| error.to_string()));
        });
        let found = wait.map(|found| found.unwrap_or_else(|_| Err("the look-up was cancelled".to_owned())));
        let found = found.boxed().shared();
        under_way.insert(host.to_owned(), found.clone());
        found
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, Shared<BoxFuture<'static, Addresses>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.find(name.as_str());
        Box::pin(async move {
            let addresses = found.await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const HERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    /// Returns a resolver that answers at once, except for hosts that hang until released, and a counter of look-ups begun.
    fn hanging() -> (Resolver, Arc<Semaphore>, Arc<AtomicUsize>) {
        let (let_go, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (limiter, counter) = (let_go.clone(), begun.clone());
        let look_up = move |host: String| {
            let limiter = limiter.clone();
            counter.fetch_add(1, Ordering::SeqCst);
            async move {
                if host.starts_with("hangs") {
                    limiter.acquire().await.unwrap().forget();
                }
                Ok(vec![HERE])
            }
            .boxed()
        };
        (Resolver::with(Arc::new(look_up)), let_go, begun)
    }

    #[tokio::test]
    async fn a_host_is_looked_up_once_for_all_who_wait_and_again_afterwards() {
        let (resolver, let_go, begun) = hanging();
        let waiting: Vec<_> = (0..100).map(|_| resolver.find("hangs.example")).collect();
        assert_eq!(resolver.find("other.example").await.unwrap()[..], [HERE]);
        assert_eq!(begun.load(Ordering::SeqCst), 2);
        let_go.add_permits(1);
        for found in waiting {
            assert_eq!(found.await.unwrap()[..], [HERE]);
        }
        let_go.add_permits(1);
        resolver.find("hangs.example").await.unwrap();
        assert_eq!(begun.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn hanging_hosts_occupy_a_limited_number_of_threads() {
        let (resolver, let_go, begun) = hanging();
        let waiting: Vec<_> = (0..MOST + 10).map(|n| resolver.find(&format!("hangs-{n}.example"))).collect();
        while begun.load(Ordering::SeqCst) < MOST {
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.load(Ordering::SeqCst), MOST);
        let_go.add_permits(MOST + 10);
        for found in waiting {
            assert_eq!(found.await.unwrap()[..], [HERE]);
        }
    }

    #[tokio::test]
    async fn the_system_is_asked_and_its_error_is_returned() {
        let resolver = Resolver::new();
        assert!(resolver.find("localhost").await.unwrap().iter().all(|address| address.ip().is_loopback()));
        assert!(resolver.find("no-such-host.invalid").await.is_err());
    }
}
