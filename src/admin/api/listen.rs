//! Connections: so many at once, none that keeps its request to itself, an end in good order.

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

/// Connections at once; more wait to be accepted.
const MOST: usize = 512;
/// How long a client may take for the head of a request, and be silent between two.
const HEAD: Duration = Duration::from_secs(15);
/// Longest head of a request, in bytes.
const HEAD_BYTES: usize = 32 * 1024;
/// How long a stopping server lets requests come to their end.
const DRAIN: Duration = Duration::from_secs(5);
/// Before the next try when the system gives no connection (too many open files).
const REST: Duration = Duration::from_millis(100);

/// Answers until stopped; what is being answered then has a few seconds to come to its end.
pub(super) async fn listen(listener: TcpListener, app: Router, stop: CancellationToken) {
    let (places, ending) = (Arc::new(Semaphore::new(MOST)), GracefulShutdown::new());
    loop {
        let accepted = async {
            // Its semaphore is never closed.
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
            // A client that breaks off is no error of ours.
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
    // Small answers go out at once.
    _ = stream.set_nodelay(true);
    let answer = service_fn(move |request: Request<hyper::body::Incoming>| app.clone().oneshot(request.map(Body::new)));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), answer)
}
