//! Greeting of the broker, which carries its version. lapin does not expose it.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};

use futures_io::{AsyncRead, AsyncWrite};
use lapin::protocol::connection::{AMQPMethod, Start};
use lapin::protocol::{AMQPClass, parse_class};
use lapin::types::AMQPValue;

use crate::rabbit::topology::BrokerVersion;

/// Protocol header of AMQP 0-9-1.
const HEADER: &[u8] = b"AMQP\0\0\x09\x01";
/// Length of a frame's head: type (1), channel (2) and size (4). An end mark (1) follows the payload.
const BEFORE_PAYLOAD: usize = 7;
/// Longest greeting accepted, in bytes; a broker's is about 500.
const LONGEST: usize = 64 * 1024;

/// Reads the version from the greeting on a fresh connection, then hangs up. A greeting also proves that the broker
/// responds and not merely its port, at the cost of one connection.
pub(in crate::rabbit) async fn version(stream: impl AsyncRead + AsyncWrite) -> io::Result<BrokerVersion> {
    let mut stream = pin!(stream);
    write(stream.as_mut(), HEADER).await?;
    let frame = read(stream.as_mut(), BEFORE_PAYLOAD).await?;
    let size = [frame[3], frame[4], frame[5], frame[6]];
    let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(LONGEST);
    if frame[0] != 1 || size > LONGEST {
        return Err(io::Error::other("the server does not speak AMQP 0-9-1"));
    }
    let payload = read(stream.as_mut(), size).await?;
    Ok(read_version(&payload).unwrap_or(BrokerVersion::OLDEST))
}

/// Returns the version in `connection.start`.
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
