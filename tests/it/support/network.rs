//! Network between a worker and its broker, or its PostgreSQL, which can be cut and can freeze.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Network, open at first.
pub struct Network {
    address: SocketAddr,
    state: watch::Sender<NetworkState>,
    _closed_when_dropped: DropGuard,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NetworkState {
    Open,
    /// Connections stay, and nothing passes.
    Frozen,
    /// Connections end.
    Cut,
}

impl Network {
    /// Listens in front of a broker, given by its AMQP URL, or of another server whose URL has a port.
    pub async fn before(broker: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = url::Url::parse(broker).unwrap();
        let broker = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5672));
        let (state, closing) = (watch::Sender::new(NetworkState::Open), CancellationToken::new());
        tokio::spawn(closing.clone().run_until_cancelled_owned(accept(listener, broker, state.clone())));
        Self { address, state, _closed_when_dropped: closing.drop_guard() }
    }

    /// URL of the broker through the network, with a heartbeat in seconds.
    pub fn url(&self, heartbeat: u64) -> String {
        format!("amqp://guest:guest@{}/%2f?heartbeat={heartbeat}", self.address)
    }

    /// Address to connect to instead of the one behind it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns true while a connection passes through it.
    pub fn is_used(&self) -> bool {
        self.state.receiver_count() > 0
    }

    /// Ends all connections, now and until it is open again.
    pub fn cut(&self) {
        self.state.send_replace(NetworkState::Cut);
    }

    /// Lets nothing pass until it is open again.
    pub fn freeze(&self) {
        self.state.send_replace(NetworkState::Frozen);
    }

    /// Lets everything pass.
    pub fn open(&self) {
        self.state.send_replace(NetworkState::Open);
    }
}

async fn accept(listener: TcpListener, broker: String, state: watch::Sender<NetworkState>) {
    while let Ok((worker, _)) = listener.accept().await {
        let (mut cut, flows, broker) = (state.subscribe(), state.subscribe(), broker.clone());
        tokio::spawn(async move {
            tokio::select! {
                // Both ends are closed in any case.
                _ = connect(worker, &broker, flows) => {}
                _ = cut.wait_for(|state| *state == NetworkState::Cut) => {}
            }
        });
    }
}

async fn connect(mut worker: TcpStream, broker: &str, flows: watch::Receiver<NetworkState>) -> io::Result<()> {
    let mut broker = TcpStream::connect(broker).await?;
    let (from_worker, to_worker) = worker.split();
    let (from_broker, to_broker) = broker.split();
    tokio::select! {
        end = pass(from_worker, to_broker, flows.clone()) => end,
        end = pass(from_broker, to_worker, flows) => end,
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut flows: watch::Receiver<NetworkState>,
) -> io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes).await?;
        if read == 0 {
            // The end of a connection does not pass either.
            _ = flows.wait_for(|state| *state == NetworkState::Open).await;
            return Ok(());
        }
        _ = flows.wait_for(|state| *state == NetworkState::Open).await;
        to.write_all(&bytes[..read]).await?;
    }
}
