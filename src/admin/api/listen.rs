//! Connections: a limit on their number, time limits for slow clients, graceful shutdown.

use std::convert::Infallible;
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
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Limit of concurrent connections; further ones wait to be accepted.
const MOST: usize = 512;
/// Time limit for the head of a request and for silence between requests.
const HEAD: Duration = Duration::from_secs(15);
/// Longest head of a request, in bytes.
const HEAD_BYTES: usize = 32 * 1024;
/// Time that a stopping server leaves requests to finish.
const DRAIN: Duration = Duration::from_secs(5);
/// Pause after the system refused to accept a connection (too many open files).
const REST: Duration = Duration::from_millis(100);

/// Serves requests until stopped; requests in progress then get a few seconds to finish.
pub(super) async fn listen(listener: TcpListener, app: Router, stop: CancellationToken) {
    let (places, ending) = (Arc::new(Semaphore::new(MOST)), GracefulShutdown::new());
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            both = accepted => both,
            () = stop.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let connection = ending.watch(connection(stream, app.clone()));
        tokio::spawn(async move {
            // A client that disconnects is not an error of the server.
            _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    _ = tokio::time::timeout(DRAIN, ending.shutdown()).await;
}

type Connection<S> = http1::Connection<TokioIo<TcpStream>, S>;

fn connection(
    stream: TcpStream,
    app: Router,
) -> Connection<
    impl hyper::service::Service<
        hyper::Request<hyper::body::Incoming>,
        Response = axum::response::Response,
        Error = Infallible,
        Future: Send,
    >,
> {
    // Small responses are sent without delay.
    _ = stream.set_nodelay(true);
    let answer = service_fn(move |request: Request<hyper::body::Incoming>| app.clone().oneshot(request.map(Body::new)));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), answer)
}
