//! Proxy between a worker and its broker that shuts at a chosen AMQP frame, so that the worker can be killed exactly
//! there.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Length of the protocol header: `AMQP` and the version.
const GREETING: usize = 8;
/// Length of a frame header: type, channel, size.
const HEAD: usize = 7;
const METHOD: u8 = 1;
/// Class `basic` and its methods, as numbered by AMQP 0-9-1.
const PUBLISH: (u16, u16) = (60, 40);
const ACK: (u16, u16) = (60, 80);

/// Frame at which to shut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// The worker publishes to this exchange, or (by the default exchange) to this queue.
    Publish(String),
    /// The broker confirms that message.
    Confirm(String),
    /// The worker acks a delivery, after it has last published to this exchange or queue.
    Ack(String),
}

/// Point at which to shut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// The frame is not forwarded.
    Before(Frame),
    /// The frame is forwarded, and nothing after it.
    After(Frame),
}

/// Proxy, open until it is shut.
pub struct FrameProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    closing: CancellationToken,
}

struct Shared {
    broker: String,
    stop: Mutex<Option<Stop>>,
    /// Destination of the worker's last publish on any connection.
    latest: Mutex<String>,
    shut: watch::Sender<bool>,
    /// Ends the current connections.
    flush: Mutex<CancellationToken>,
}

impl FrameProxy {
    /// Listens in front of a broker, given by its AMQP URL.
    pub async fn before(broker: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = url::Url::parse(broker).unwrap();
        let broker = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5672));
        let (shut, flush) = (watch::Sender::new(false), Mutex::default());
        let shared = Arc::new(Shared { broker, stop: Mutex::default(), latest: Mutex::default(), shut, flush });
        let closing = CancellationToken::new();
        tokio::spawn(closing.clone().run_until_cancelled_owned(accept(listener, shared.clone())));
        Self { address, shared, closing }
    }

    /// URL of the broker through the proxy.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address)
    }

    /// Shuts at the next such frame.
    pub fn stop_at(&self, stop: Stop) {
        *self.shared.lock() = Some(stop);
    }

    /// Returns true if it is shut.
    pub fn is_shut(&self) -> bool {
        *self.shared.shut.borrow()
    }

    /// Ends all connections with the frames held in them, and opens again.
    pub fn open(&self) {
        *self.shared.lock() = None;
        let mut flush = self.shared.flush.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *flush).cancel();
        self.shared.shut.send_replace(false);
    }
}

impl Drop for FrameProxy {
    fn drop(&mut self) {
        self.open();
        self.closing.cancel();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Stop>> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self) -> CancellationToken {
        self.flush.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the order to stop, if it concerns this frame.
    fn reached(&self, frame: &Frame) -> Option<Stop> {
        let is_it = |stop: &mut Stop| matches!(stop, Stop::Before(at) | Stop::After(at) if at == frame);
        self.lock().take_if(is_it)
    }

    async fn shut(&self) -> ! {
        self.shut.send_replace(true);
        std::future::pending().await
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((worker, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let flush = shared.flush();
            // Both ends are closed in any case.
            _ = flush.run_until_cancelled_owned(connect(worker, shared)).await;
        });
    }
}

async fn connect(mut worker: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let mut broker = TcpStream::connect(&shared.broker).await?;
    let mut greeting = [0; GREETING];
    worker.read_exact(&mut greeting).await?;
    broker.write_all(&greeting).await?;
    let (from_worker, to_worker) = worker.split();
    let (from_broker, to_broker) = broker.split();
    let published = Published { shared: shared.clone(), by_channel: Mutex::default() };
    tokio::select! {
        end = pass(from_worker, to_broker, &shared, |frame| published.sent(frame)) => end,
        end = pass(from_broker, to_worker, &shared, |frame| published.answered(frame)) => end,
    }
}

/// Forwards frame by frame.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
    meaning: impl Fn(&[u8]) -> Option<Frame>,
) -> io::Result<()> {
    loop {
        let mut frame = vec![0; HEAD];
        from.read_exact(&mut frame).await?;
        let size = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
        // Includes the octet that ends every frame.
        frame.resize(HEAD + size + 1, 0);
        from.read_exact(&mut frame[HEAD..]).await?;
        let reached = meaning(&frame).and_then(|meaning| shared.reached(&meaning));
        if matches!(reached, Some(Stop::Before(_))) {
            shared.shut().await;
        }
        to.write_all(&frame).await?;
        if reached.is_some() {
            shared.shut().await;
        }
    }
}

/// Destination last published to on each channel of a connection, which a confirm there refers to.
struct Published {
    shared: Arc<Shared>,
    by_channel: Mutex<HashMap<u16, String>>,
}

impl Published {
    fn sent(&self, frame: &[u8]) -> Option<Frame> {
        match method(frame)? {
            PUBLISH => {
                let (exchange, rest) = short(&frame[HEAD + 6..])?;
                let (key, _) = short(rest)?;
                let to = if exchange.is_empty() { key } else { exchange };
                self.by_channel.lock().unwrap().insert(channel(frame), to.clone());
                self.shared.latest.lock().unwrap().clone_from(&to);
                Some(Frame::Publish(to))
            }
            ACK => Some(Frame::Ack(self.shared.latest.lock().unwrap().clone())),
            _ => None,
        }
    }

    fn answered(&self, frame: &[u8]) -> Option<Frame> {
        let confirms = method(frame)? == ACK;
        confirms.then(|| self.by_channel.lock().unwrap().get(&channel(frame)).cloned().map(Frame::Confirm))?
    }
}

fn channel(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[1], frame[2]])
}

/// Class and method of a method frame.
fn method(frame: &[u8]) -> Option<(u16, u16)> {
    let is_method = frame[0] == METHOD && frame.len() > HEAD + 4;
    let number = |at: usize| u16::from_be_bytes([frame[HEAD + at], frame[HEAD + at + 1]]);
    is_method.then(|| (number(0), number(2)))
}

/// Short string and the bytes after it.
fn short(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((String::from_utf8_lossy(text).into_owned(), rest))
}
