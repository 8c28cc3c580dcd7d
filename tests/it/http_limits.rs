//! Hostile clients of the HTTP interface delay neither events nor other clients.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::event::{ANOTHER_ORGANIZATION, handoff};
use crate::support::rig::rig;
use crate::support::worker::http_anew;

/// Connections that never read.
const SILENT: usize = 512;
/// Sign-ins whose body does not arrive.
const SLOW: usize = 64;

#[tokio::test]
async fn clients_that_hold_connections_keep_out_neither_events_nor_others() {
    let rig = rig().start().await;
    rig.files.write_another_organization(rig.folder.path(), ANOTHER_ORGANIZATION);
    rig.worker().hang_up();
    let address = rig.worker().address().unwrap();
    let connect = |text: String| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_nonblocking(true).unwrap();
        _ = stream.write(text.as_bytes());
        stream
    };
    let asks = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(200);
    let mut held: Vec<TcpStream> = (0..SILENT).map(|_| connect(asks.clone())).collect();
    let form = "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\ntoken=";
    held.extend((0..SLOW).map(|_| connect(form.to_owned())));
    let flood = Flood::start(&address);

    // As a probe: it connects anew each time, for a kept connection may be closed at any moment.
    let probe = http_anew();
    for _ in 0..10 {
        let live = probe.get(format!("http://{address}/livez")).timeout(Duration::from_secs(5)).send().await;
        assert_eq!(live.expect("an answer in time").status(), 200);
        rig.hand_off(&handoff("email")).await;
        rig.hand_off(&handoff("email").with("/organization_id", ANOTHER_ORGANIZATION)).await;
    }
    assert!(flood.stop().await > 0);
    drop(held);
    rig.nothing_is_left().await;
}

/// Clients that ask for the metrics without a pause.
struct Flood {
    ends: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<usize>>,
}

impl Flood {
    fn start(address: &str) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (ends, url) = (ends.clone(), format!("http://{address}/metrics"));
            tokio::spawn(async move {
                let (client, mut answers) = (http_anew(), 0);
                while !ends.load(Ordering::Relaxed) {
                    answers += usize::from(client.get(&url).send().await.is_ok());
                }
                answers
            })
        };
        let clients = (0..8).map(client).collect();
        Self { ends, clients }
    }

    async fn stop(self) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        let mut answers = 0;
        for client in self.clients {
            answers += client.await.unwrap();
        }
        answers
    }
}
