//! lapin connection to one address, read through a [`SanitizedStream`].

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::{DummyIO, RuntimeParts};
use async_rs::{Runtime, Tokio};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::Stream;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};

use crate::rabbit::options::Tls;
use crate::rabbit::sanitize::stream::SanitizedStream;

/// Connects to an address, by TLS if the URL's scheme requires it.
pub(in crate::rabbit) async fn connect(
    uri: AMQPUri,
    address: SocketAddr,
    tls: Tls,
    properties: ConnectionProperties,
) -> lapin::Result<Connection> {
    let tokio = Tokio::current();
    let runtime = Runtime::new(RuntimeParts::new(tokio.clone(), Sifting(tokio)));
    let through_sieve = async move |uri: AMQPUri, _: Runtime<_>| {
        let stream = dial(&uri, address, &tls).await?;
        Ok(AsyncTcpStream::Plain(SanitizedStream::new(stream, uri.query.frame_max.unwrap_or_default())))
    };
    Connection::connector(uri, runtime, through_sieve, properties).await
}

/// Opens a stream to one address of a URL's host. The certificate must name the host, whichever address is used.
pub(super) async fn dial(uri: &AMQPUri, address: SocketAddr, tls: &Tls) -> io::Result<TokioStream> {
    let stream = AsyncTcpStream::connect(&Tokio::current(), address).await?;
    match uri.scheme {
        AMQPScheme::AMQP => Ok(stream),
        AMQPScheme::AMQPS => stream.into_tls(&uri.authority.host, tls.read().await?.as_ref()).await,
    }
}

type TokioStream = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;

/// tokio's reactor with streams wrapped in a [`SanitizedStream`]: lapin takes the type of its stream from the reactor.
#[derive(Clone, Debug)]
struct Sifting(Tokio);

impl Reactor for Sifting {
    type TcpStream = SanitizedStream<TokioStream>;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// Unsupported; lapin never calls it.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<DummyIO, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, length: Duration) -> Self::Sleep {
        self.0.sleep(length)
    }

    fn interval(&self, length: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(length)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connected = self.0.tcp_connect_addr(address);
        async { connected.await.map(|stream| SanitizedStream::new(AsyncTcpStream::Plain(stream), 0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_authority::Authority;

    #[tokio::test]
    async fn roots_and_the_clients_certificate_come_from_files() {
        _ = rustls::crypto::ring::default_provider().install_default();
        let authority = Authority::new();
        // In TLS 1.2 a client learns of a refused certificate before its handshake ends.
        let server = authority.serve("-tls1_2 -CAfile root.pem -Verify 1 -verify_return_error");
        let uri: AMQPUri = format!("amqps://localhost:{}/%2f", server.port).parse().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], server.port));
        let try_with = async |tls: Tls| dial(&uri, address, &tls).await.err().map(|error| error.to_string());

        let ca_file = Some(authority.file("root.pem"));
        let client = Some((authority.file("client.pem"), authority.file("client.key")));
        let unknown_root = try_with(Tls { ca_file: None, client: client.clone() }).await.expect("an unknown root");
        assert!(unknown_root.to_lowercase().contains("unknownissuer"), "{unknown_root}");
        assert!(
            try_with(Tls { ca_file: ca_file.clone(), client: None }).await.is_some(),
            "the server requires a certificate"
        );
        assert_eq!(try_with(Tls { ca_file: ca_file.clone(), client }).await, None);

        let missing_file =
            try_with(Tls { ca_file: Some("/nowhere.pem".into()), client: None }).await.expect("no such file");
        assert!(missing_file.starts_with("broker.ca_file /nowhere.pem: "), "{missing_file}");
    }
}
