//! Effect of hostile clients of the HTTP interface on the processing of events. Run manually: `make flood`.
//!
//! Two organizations' handoffs are processed, alternately without and with 512 connections that never read, 64 sign-ins whose
//! body never ends, and clients that request the metrics without a pause. The clients share the machine with the worker.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::CONCURRENCY;
use super::events::{ORGANIZATION, TROUBLED, mixed};
use super::machine::Machine;
use super::report::{Scenario, median_of};

/// Connections that never read.
const SILENT: usize = 512;
/// Sign-ins whose body does not arrive.
const SLOW: usize = 64;
/// Clients that request the metrics.
const SCRAPERS: usize = 8;
/// Lowest ratio to the rate without them, and slowest answer of `/livez` (the project's own targets).
const AIM: (f64, Duration) = (0.9, Duration::from_secs(1));

/// Measures and prints.
pub async fn main(events: u64, runs: u64, latency: Duration) {
    println!("{events} handoffs of each of two organizations, latency {latency:?}, {runs} runs");
    let mut rates = [Vec::new(), Vec::new()];
    for run in 1..=runs {
        for (flooded, rates) in rates.iter_mut().enumerate() {
            let (rate, flood) = measure(events, latency, flooded == 1).await;
            println!("  run {run}  {rate:>6.0} events/s  {}", flood.unwrap_or_else(|| "undisturbed".to_owned()));
            rates.push(rate);
        }
    }
    let [calm, flooded] = rates.map(|rates| median_of(&rates));
    println!("  median {calm:.0} and {flooded:.0} events/s: ratio {:.2} (limit {})", flooded / calm, AIM.0);
}

async fn measure(events: u64, latency: Duration, is_flooded: bool) -> (f64, Option<String>) {
    let machine = Machine::set_up(&Scenario { events: 2 * events, latency, concurrency: CONCURRENCY }).await;
    let both = (0..events).flat_map(|n| [mixed(ORGANIZATION, n), mixed(TROUBLED, n)]);
    machine.publish(both).await;
    let mut worker = machine.start("log");
    let flood = if is_flooded { Some(HttpFlood::start(&machine.address("log", &mut worker).await)) } else { None };
    let elapsed = machine.time_of(&mut worker, &[ORGANIZATION, TROUBLED], 2 * events).await;
    let flood = match flood {
        Some(flood) => Some(flood.stop().await),
        None => None,
    };
    drop(worker);
    machine.clean_up().await;
    #[expect(clippy::cast_precision_loss, reason = "event counts are far below 2^52")]
    let rate = 2.0 * events as f64 / elapsed.as_secs_f64();
    (rate, flood)
}

/// Hostile clients, and a probe among them.
struct HttpFlood {
    ends: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    clients: Vec<tokio::task::JoinHandle<()>>,
    probe: tokio::task::JoinHandle<Duration>,
    held: Vec<TcpStream>,
}

impl HttpFlood {
    fn start(address: &str) -> Self {
        let connect = |text: &str| {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.set_nonblocking(true).expect("a socket");
            // Bytes that do not fit are not sent: nobody reads the answers.
            _ = stream.write(text.as_bytes());
            stream
        };
        let requests = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(200);
        let mut held: Vec<TcpStream> = (0..SILENT).map(|_| connect(&requests)).collect();
        let form = "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\ntoken=";
        held.extend((0..SLOW).map(|_| connect(form)));
        let (ends, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |_| tokio::spawn(scrape(format!("http://{address}/metrics"), ends.clone(), answers.clone()));
        let clients = (0..SCRAPERS).map(client).collect();
        let probe = tokio::spawn(slowest_probe(format!("http://{address}/livez"), ends.clone()));
        Self { ends, answers, clients, probe, held }
    }

    async fn stop(self) -> String {
        self.ends.store(true, Ordering::Relaxed);
        let slowest = self.probe.await.expect("the probe");
        for client in self.clients {
            client.await.expect("a client");
        }
        drop(self.held);
        let answers = self.answers.load(Ordering::Relaxed);
        format!("{answers} answers of /metrics, slowest of /livez {slowest:?} (limit {:?})", AIM.1)
    }
}

async fn scrape(url: String, ends: Arc<AtomicBool>, answers: Arc<AtomicU64>) {
    let requests = reqwest::Client::new();
    while !ends.load(Ordering::Relaxed) {
        let answer = requests.get(&url).timeout(Duration::from_secs(30)).send().await;
        answers.fetch_add(u64::from(answer.is_ok()), Ordering::Relaxed);
    }
}

/// Requests `/livez` on a connection of its own each time, as probes do, and returns the slowest answer.
async fn slowest_probe(url: String, ends: Arc<AtomicBool>) -> Duration {
    let mut slowest = Duration::ZERO;
    while !ends.load(Ordering::Relaxed) {
        let started = Instant::now();
        let client = reqwest::Client::new();
        let answer = client.get(&url).timeout(Duration::from_secs(30)).send().await;
        assert!(answer.is_ok_and(|answer| answer.status().is_success()), "/livez does not answer");
        slowest = slowest.max(started.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    slowest
}
