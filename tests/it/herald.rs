//! Notifications to the service manager, and the health check of a container.

use std::collections::VecDeque;

use tokio::net::UnixDatagram;

use crate::support::broker::DEADLINE;
use crate::support::event::handoff;
use crate::support::rig::rig;

/// Socket of a service manager.
struct NotifySocket {
    socket: UnixDatagram,
    heard: VecDeque<String>,
}

impl NotifySocket {
    /// Waits for a message with this line and returns the lines before it.
    async fn hears(&mut self, line: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            while let Some(next) = self.heard.pop_front() {
                let found = next == line;
                before.push(next);
                if found {
                    return before;
                }
            }
            let mut message = vec![0; 4096];
            let received = tokio::time::timeout(DEADLINE, self.socket.recv(&mut message)).await;
            let length = received.unwrap_or_else(|_| panic!("{line} was not heard, but {before:?}")).unwrap();
            let text = String::from_utf8(message[..length].to_vec()).unwrap();
            self.heard.extend(text.lines().map(str::to_owned));
        }
    }
}

#[tokio::test]
async fn the_service_manager_is_notified_of_readiness_watchdog_reload_and_stop() {
    let rig = rig().lay_out().await;
    let path = rig.folder.path().join("notify");
    let mut ear = NotifySocket { socket: UnixDatagram::bind(&path).unwrap(), heard: VecDeque::new() };
    let socket = format!("NOTIFY_SOCKET={}", path.display());
    let worker = rig.start_worker_under("worker", &["env", &socket, "WATCHDOG_USEC=400000"]);

    let before = ear.hears("READY=1").await;
    assert!(!before.contains(&"STATUS=processing events".to_owned()), "{before:?}");
    assert_eq!(worker.try_unready().await, Some(Vec::new()), "it is ready when it says so");
    ear.hears("STATUS=processing events").await;
    ear.hears("WATCHDOG=1").await;
    ear.hears("WATCHDOG=1").await;

    worker.hang_up();
    ear.hears("RELOADING=1").await;
    let until_ready = ear.hears("READY=1").await;
    assert!(until_ready[0].starts_with("MONOTONIC_USEC="), "{until_ready:?}");

    worker.terminate();
    ear.hears("STOPPING=1").await;
    assert!(worker.exit().await.success());
}

/// The socket's queue is full, so that a sender blocks forever.
#[tokio::test]
async fn a_service_manager_that_reads_nothing_blocks_nothing() {
    let rig = rig().lay_out().await;
    let path = rig.folder.path().join("notify");
    let _manager = UnixDatagram::bind(&path).unwrap();
    let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    while sender.send_to(b"WATCHDOG=1", &path).is_ok() {}

    let socket = format!("NOTIFY_SOCKET={}", path.display());
    let worker = rig.start_worker_under("worker", &["env", &socket, "WATCHDOG_USEC=20000"]);
    // A blocked thread never responds.
    tokio::time::timeout(DEADLINE, worker.ready()).await.expect("the event thread is held");
    rig.hand_off(&handoff("email")).await;
    worker.stop().await;
}

#[tokio::test]
async fn health_is_the_exit_status() {
    let rig = rig().start().await;
    let worker = rig.worker();
    for question in [&["health"][..], &["health", "--ready"]] {
        let output = worker.command(question).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    rig.crm.environment().configure(&serde_json::json!({ "latency_ms": 3000 })).unwrap();
    rig.bus.publish(&crate::support::event::handoff("web")).await;
    crate::support::broker::eventually("an event in progress", async || {
        worker.metric("handoffd_in_flight", "").await > 0 && worker.metrics().await.contains("handoffd_ready 1")
    })
    .await;
    worker.terminate();
    crate::support::broker::eventually("a worker that stops", async || {
        worker.try_unready().await.is_some_and(|why| !why.is_empty())
    })
    .await;
    let (alive, ready) = (worker.command(&["health"]).await, worker.command(&["health", "--ready"]).await);
    assert_eq!((alive.status.code(), ready.status.code()), (Some(0), Some(1)), "{alive:?} {ready:?}");
    assert!(String::from_utf8_lossy(&ready.stderr).contains("stopping"), "{ready:?}");
    assert!(worker.exit().await.success());
    let output = worker.command(&["health"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no worker responds"), "{output:?}");
}
