//! The broker's first words, which tell its version. The client library keeps them to itself.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};

use futures_io::{AsyncRead, AsyncWrite};
use lapin::protocol::connection::{AMQPMethod, Start};
use lapin::protocol::{AMQPClass, parse_class};
use lapin::types::AMQPValue;

use super::topology::BrokerVersion;

/// AMQP 0-9-1's protocol header.
const HEADER: &[u8] = b"AMQP\0\0\x09\x01";
/// Type (1), channel (2) and size (4) come before a frame's payload, an end mark (1) after it.
const BEFORE_PAYLOAD: usize = 7;
/// Longest greeting that is read; a broker's is about 500 bytes.
const LONGEST: usize = 64 * 1024;

/// Waits for the greeting on a fresh connection and hangs up. That it comes also shows that the broker is there
/// and not merely its port, at no cost but a connection.
pub(super) async fn version(stream: impl AsyncRead + AsyncWrite) -> io::Result<BrokerVersion> {
    let mut stream = pin!(stream);
    write(stream.as_mut(), HEADER).await?;
    let frame = read(stream.as_mut(), BEFORE_PAYLOAD).await?;
    let size = [frame[3], frame[4], frame[5], frame[6]];
    let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(LONGEST);
    if frame[0] != 1 || size > LONGEST {
        return Err(io::Error::other("whoever answers there does not speak AMQP 0-9-1"));
    }
    let payload = read(stream.as_mut(), size).await?;
    Ok(read_version(&payload).unwrap_or(BrokerVersion::OLDEST))
}

/// The version out of `connection.start`.
fn read_version(payload: &[u8]) -> Option<BrokerVersion> {
    let (_, class) = parse_class(payload).ok()?;
    let AMQPClass::Connection(AMQPMethod::Start(Start { server_properties, .. })) = class else {
        return None;
    };
    match server_properties.inner().get("version")? {
        AMQPValue::LongString(text) => BrokerVersion::parse(&text.to_string()),
        _ => None,
    }
}

async fn write(mut stream: Pin<&mut impl AsyncWrite>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = poll_fn(|cx| stream.as_mut().poll_write(cx, bytes)).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
    }
    poll_fn(|cx| stream.as_mut().poll_flush(cx)).await
}

async fn read(mut stream: Pin<&mut impl AsyncRead>, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        let got = poll_fn(|cx| stream.as_mut().poll_read(cx, &mut bytes[filled..])).await?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += got;
    }
    Ok(bytes)
}
