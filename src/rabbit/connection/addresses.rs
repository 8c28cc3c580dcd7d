//! Chooses the node to connect to: tries every address of every URL in turn, from a random one on.
//!
//! lapin tries only the first address of a name. The worker connects to one address itself, so that a node that is down
//! or frozen is passed over, and workers spread over the nodes of a cluster.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::uri::AMQPUri;
use rand::Rng;
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout, timeout_at};

use super::connect::dial;
use super::greeting;
use crate::rabbit::options::{RabbitOptions, Tls, host_and_port};
use crate::rabbit::refusal::StartError;
use crate::rabbit::topology::BrokerVersion;

/// Longest wait for name resolution.
const NAME_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for one address: TCP, TLS and the greeting. A frozen node, whose kernel accepts connections that it
/// never reads, takes all of it.
const ADDRESS_LIMIT: Duration = Duration::from_secs(5);
/// Longest time for a command to connect, which does not keep its user waiting longer.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);
/// Frame size of connections that carry no messages, the smallest that every broker accepts (RabbitMQ 4.1 and later
/// refuse a smaller one). lapin keeps buffers for 64 frames of each connection.
const SMALL_FRAME_BYTES: u32 = 8 * 1024;

/// Node that has sent a greeting.
#[derive(Clone, Debug)]
pub(in crate::rabbit) struct Reached {
    /// URL of the node: user, virtual host, and the name that its certificate must bear.
    pub uri: AMQPUri,
    /// Address in use, one of those of the name.
    pub address: SocketAddr,
    /// Files for TLS.
    pub tls: Tls,
    /// Version from the greeting.
    pub version: BrokerVersion,
    /// True if there are other addresses.
    pub has_others: bool,
}

impl Reached {
    /// Returns the node with a frame size for a connection that carries no messages.
    pub(in crate::rabbit) fn with_small_frames(&self) -> Self {
        let mut small = self.clone();
        let frame_max = &mut small.uri.query.frame_max;
        // 0 means no limit.
        *frame_max = frame_max.filter(|bytes| (1..SMALL_FRAME_BYTES).contains(bytes)).or(Some(SMALL_FRAME_BYTES));
        small
    }
}

/// Address to try.
#[derive(Clone, PartialEq, Debug)]
struct Candidate {
    uri: AMQPUri,
    address: SocketAddr,
}

/// Address or name that failed, and the problem.
#[derive(PartialEq, Debug)]
struct ConnectFailure {
    place: String,
    problem: String,
}

/// Finds a node that sends a greeting; one that has fallen silent is tried last. The error lists every address tried, with
/// its problem.
pub(in crate::rabbit) async fn reach(options: &RabbitOptions, silent: Option<SocketAddr>) -> Result<Reached, String> {
    let uris = options.uris().map_err(|error| error.to_string())?;
    let (mut candidates, mut failures) = resolve(&uris).await;
    if !candidates.is_empty() {
        let start = rand::rng().random_range(0..candidates.len());
        candidates.rotate_left(start);
    }
    candidates.sort_by_key(|candidate| Some(candidate.address) == silent);
    match first_that_greets(candidates, &options.tls, ADDRESS_LIMIT).await {
        Ok(reached) => Ok(reached),
        Err(tried) => {
            failures.extend(tried);
            Err(in_words(&failures))
        }
    }
}

/// Connects for a command, which does not wait for an unreachable broker.
pub(in crate::rabbit) async fn connect_once<T>(
    options: &RabbitOptions,
    connect: impl AsyncFnOnce(Reached) -> Result<T, String>,
) -> Result<T, StartError> {
    options.uris()?;
    timeout(COMMAND_LIMIT, async { connect(reach(options, None).await?).await })
        .await
        .unwrap_or_else(|_| Err("no answer in time".to_owned()))
        .map_err(|problem| StartError::Away { place: options.place(), problem })
}

/// Resolves every URL and returns each address once. Names are resolved concurrently, on threads that may block.
async fn resolve(uris: &[AMQPUri]) -> (Vec<Candidate>, Vec<ConnectFailure>) {
    let lookups = uris.iter().map(async |uri| {
        let place = (uri.authority.host.as_str(), uri.authority.port);
        match timeout(NAME_LIMIT, lookup_host(place)).await {
            Ok(Ok(addresses)) => Ok(addresses.collect::<Vec<_>>()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("name not resolved within {} s", NAME_LIMIT.as_secs())),
        }
    });
    let (mut candidates, mut failures) = (Vec::new(), Vec::new());
    for (uri, found) in uris.iter().zip(join_all(lookups).await) {
        match found {
            Ok(addresses) => {
                for address in addresses {
                    let candidate = Candidate { uri: uri.clone(), address };
                    if !candidates.contains(&candidate) {
                        candidates.push(candidate);
                    }
                }
            }
            Err(problem) => failures.push(ConnectFailure { place: host_and_port(uri), problem }),
        }
    }
    (candidates, failures)
}

async fn first_that_greets(
    candidates: Vec<Candidate>,
    tls: &Tls,
    limit: Duration,
) -> Result<Reached, Vec<ConnectFailure>> {
    let (mut failures, has_others) = (Vec::new(), candidates.len() > 1);
    for Candidate { uri, address } in candidates {
        match greeting_of(&uri, address, tls, limit).await {
            Ok(version) => return Ok(Reached { uri, address, tls: tls.clone(), version, has_others }),
            Err(problem) => {
                let place = format!("{} ({})", host_and_port(&uri), address.ip());
                failures.push(ConnectFailure { place, problem });
            }
        }
    }
    Err(failures)
}

async fn greeting_of(uri: &AMQPUri, address: SocketAddr, tls: &Tls, limit: Duration) -> Result<BrokerVersion, String> {
    let until = Instant::now() + limit;
    let stream = timeout_at(until, dial(uri, address, tls)).await;
    let stream = stream.map_err(|_| format!("no connection within {} s", limit.as_secs()))?;
    let greeting = timeout_at(until, greeting::version(stream.map_err(|error| error.to_string())?)).await;
    greeting.map_err(|_| "port open, but no AMQP greeting".to_owned())?.map_err(|error| error.to_string())
}

/// Describes the failures. A single one is given without its place, because the caller's message names the URLs.
fn in_words(failures: &[ConnectFailure]) -> String {
    match failures {
        [one] => one.problem.clone(),
        all => {
            all.iter().map(|failure| format!("{}: {}", failure.place, failure.problem)).collect::<Vec<_>>().join("; ")
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    async fn listener() -> (TcpListener, SocketAddr) {
        listener_on("127.0.0.1:0").await
    }

    async fn listener_on(address: &str) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Starts a server that greets as a broker of this version does.
    async fn greets(version: &'static str) -> SocketAddr {
        greets_on("127.0.0.1:0", version).await
    }

    async fn greets_on(address: &str, version: &'static str) -> SocketAddr {
        let (listener, address) = listener_on(address).await;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut header = [0; 8];
                stream.read_exact(&mut header).await.unwrap();
                assert_eq!(&header, b"AMQP\0\0\x09\x01");
                stream.write_all(&start(version)).await.unwrap();
            }
        });
        address
    }

    /// Frame of `connection.start`.
    fn start(version: &str) -> Vec<u8> {
        let long = |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
        let entry = [b"\x07version", &b"S"[..], &long(version)].concat();
        let table = [&u32::try_from(entry.len()).unwrap().to_be_bytes(), &entry[..]].concat();
        let payload = [&[0, 10, 0, 10, 0, 9][..], &table, &long("PLAIN"), &long("en_US")].concat();
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[1, 0, 0][..], &length, &payload, &[0xCE]].concat()
    }

    fn candidate(address: SocketAddr) -> Candidate {
        Candidate { uri: format!("amqp://u:s3cret@{address}/").parse().unwrap(), address }
    }

    #[tokio::test]
    async fn frames_are_as_small_as_every_broker_accepts_and_never_larger_than_wanted() {
        let alive = greets("4.3.0").await;
        let mut reached = first_that_greets(vec![candidate(alive)], &Tls::default(), SHORT).await.unwrap();
        for (wanted, small) in [(None, 8192), (Some(0), 8192), (Some(65_536), 8192), (Some(4096), 4096)] {
            reached.uri.query.frame_max = wanted;
            assert_eq!(reached.with_small_frames().uri.query.frame_max, Some(small), "{wanted:?}");
        }
    }

    #[tokio::test]
    async fn nodes_that_are_down_or_frozen_are_skipped() {
        let (gone, address_of_gone) = listener().await;
        drop(gone);
        let (_frozen, address_of_frozen) = listener().await;
        let alive = greets("4.0.5").await;
        let candidates = [address_of_gone, address_of_frozen, alive].map(candidate).to_vec();
        let reached = first_that_greets(candidates.clone(), &Tls::default(), SHORT).await.unwrap();
        assert_eq!((reached.address, reached.version), (alive, BrokerVersion { major: 4, minor: 0 }));

        let failures = first_that_greets(candidates[..2].to_vec(), &Tls::default(), SHORT).await.unwrap_err();
        let words = in_words(&failures);
        assert!(words.contains(&address_of_gone.to_string()) && words.contains("refused"), "{words}");
        let frozen = format!("{address_of_frozen} (127.0.0.1): port open, but no AMQP greeting");
        assert!(words.contains(&frozen) && !words.contains("s3cret"), "{words}");
    }

    #[tokio::test]
    async fn every_url_and_every_address_is_a_candidate_once() {
        let read = |url: &str| url.parse::<AMQPUri>().unwrap();
        let uris = ["amqp://127.0.0.1:1", "amqp://name.invalid", "amqp://127.0.0.2:1", "amqp://127.0.0.1:1"].map(read);
        let (candidates, failures) = resolve(&uris).await;
        let addresses: Vec<_> = candidates.iter().map(|candidate| candidate.address.to_string()).collect();
        assert_eq!(addresses, ["127.0.0.1:1", "127.0.0.2:1"]);
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].place, "name.invalid:5672");
    }

    #[tokio::test]
    async fn an_ipv6_address_in_brackets_is_reached() {
        let alive = greets_on("[::1]:0", "4.0.5").await;
        let mut options = crate::rabbit::options::tests::options();
        options.urls = vec![format!("amqp://user:pw@{alive}/%2f").into()];
        assert_eq!(reach(&options, None).await.unwrap().address, alive);
        assert_eq!(host_and_port(&options.uris().unwrap()[0]), format!("[::1]:{}", alive.port()));
    }

    /// Workers spread over the nodes: with one start for all, none would ever connect to the second.
    #[tokio::test]
    async fn any_node_may_be_the_first() {
        let (one, other) = (greets("3.10.8").await, greets("3.10.8").await);
        let mut options = crate::rabbit::options::tests::options();
        options.urls = [one, other].map(|address| format!("amqp://{address}/").into()).to_vec();
        let (mut of_one, mut of_other) = (0, 0);
        // Fails by chance once in 2⁶³ runs.
        for _ in 0..64 {
            let reached = reach(&options, None).await.unwrap().address;
            *(if reached == one { &mut of_one } else { &mut of_other }) += 1;
        }
        assert!(of_one > 0 && of_other > 0, "{of_one} {of_other}");
        for _ in 0..64 {
            assert_eq!(reach(&options, Some(one)).await.unwrap().address, other, "a silent one is the last");
        }
    }
}
