//! Connections: a limit on their number, time limits for slow clients, graceful shutdown.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::connections::{ConnectionPlace, Connections};

/// Time limit for the head of a request and for silence between requests.
const HEAD: Duration = Duration::from_secs(15);
/// Longest head of a request, in bytes.
const HEAD_BYTES: usize = 32 * 1024;
/// Longest time that a client may read nothing of its response.
const WRITE: Duration = Duration::from_secs(10);
/// Time that a stopping server leaves requests to finish.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after the system refused to accept a connection (too many open files).
const REST: Duration = Duration::from_millis(100);

/// Address of the client, without its port: an extension of every request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Serves requests until stopped; requests in progress then get a few seconds to finish.
pub(super) async fn listen(listener: TcpListener, app: Router, stop: CancellationToken) {
    let (connections, ending) = (Connections::default(), GracefulShutdown::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let peer = Peer(peer.ip().to_canonical());
        let place = Arc::new(connections.admit(peer.0));
        let connection = ending.watch(connection(stream, app.clone(), peer, place.clone()));
        tokio::spawn(async move {
            tokio::select! {
                // A client that disconnects is not an error of the server.
                _ = connection => {}
                () = place.revoked() => {}
            }
        });
    }
    drop(listener);
    _ = tokio::time::timeout(DRAIN, ending.shutdown()).await;
}

type ClientStream = TokioIo<Pin<Box<TimeoutStream<TcpStream>>>>;

fn connection(
    stream: TcpStream,
    app: Router,
    peer: Peer,
    place: Arc<ConnectionPlace>,
) -> http1::Connection<
    ClientStream,
    impl hyper::service::Service<
        hyper::Request<hyper::body::Incoming>,
        Response = axum::response::Response,
        Error = Infallible,
        Future: Send,
    >,
> {
    // Small responses are sent without delay.
    _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE));
    let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
        place.touch();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        app.clone().oneshot(request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), answer)
}
