//! Publisher that writes raw AMQP frames, for messages that no library would send.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Property flags of a message: content type, headers.
pub const CONTENT_TYPE: u16 = 1 << 15;
pub const HEADERS: u16 = 1 << 13;

/// Connection with one channel in confirm mode.
pub struct Raw {
    stream: TcpStream,
    frame_max: usize,
}

impl Raw {
    /// Connects as `guest` to the broker of this URL.
    pub fn connect(url: &str) -> Self {
        let place = url.split('@').nth(1).unwrap().split('/').next().unwrap();
        let stream = TcpStream::connect(place).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut raw = Self { stream, frame_max: 4096 };
        raw.stream.write_all(b"AMQP\0\0\x09\x01").unwrap();
        raw.read();
        raw.method(0, (10, 11), &[long(b""), short(b"PLAIN"), long(b"\0guest\0guest"), short(b"en_US")].concat());
        let tune = raw.read();
        raw.frame_max = u32::from_be_bytes(tune[6..10].try_into().unwrap()).try_into().unwrap();
        raw.method(0, (10, 31), &[&tune[4..10], &[0, 0]].concat());
        raw.method(0, (10, 40), &[short(b"/"), vec![0, 0]].concat());
        raw.read();
        raw.method(1, (20, 10), &[0]);
        raw.read();
        raw.method(1, (85, 10), &[0]);
        raw.read();
        raw
    }

    /// Publishes, and waits for the confirm.
    pub fn publish(&mut self, exchange: &str, key: &[u8], body: &[u8], (flags, properties): (u16, &[u8])) {
        self.method(1, (60, 40), &[vec![0, 0], short(exchange.as_bytes()), short(key), vec![0]].concat());
        let size = u64::try_from(body.len()).unwrap().to_be_bytes();
        self.frame(2, 1, &[&[0, 60, 0, 0][..], &size, &flags.to_be_bytes(), properties].concat());
        for piece in body.chunks(self.frame_max - 8) {
            self.frame(3, 1, piece);
        }
        let answer = self.read();
        assert_eq!(answer[..4], [0, 60, 0, 80], "no basic.ack: {}", String::from_utf8_lossy(&answer));
    }

    /// Takes the first message of a queue and disconnects, so that the broker requeues it.
    pub fn take_and_vanish(mut self, queue: &str) {
        self.method(1, (60, 70), &[vec![0, 0], short(queue.as_bytes()), vec![0]].concat());
        let answer = self.read();
        assert_eq!(answer[..4], [0, 60, 0, 71], "no basic.get-ok: {}", String::from_utf8_lossy(&answer));
    }

    fn method(&mut self, channel: u16, (class, method): (u16, u16), arguments: &[u8]) {
        self.frame(1, channel, &[&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat());
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let frame = [&[kind][..], &channel.to_be_bytes(), &long(payload), &[0xCE]].concat();
        self.stream.write_all(&frame).unwrap();
    }

    /// Payload of the next frame other than a heartbeat.
    fn read(&mut self) -> Vec<u8> {
        loop {
            let mut head = [0; 7];
            self.stream.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes(head[3..].try_into().unwrap());
            let mut payload = vec![0; usize::try_from(length).unwrap() + 1];
            self.stream.read_exact(&mut payload).unwrap();
            payload.pop();
            if head[0] != 8 {
                return payload;
            }
        }
    }
}

/// Short string of at most 255 bytes, valid or not.
pub fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

/// Long string or table of any length.
pub fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// Table of one header; `value` starts with its type.
pub fn table(name: &[u8], value: &[u8]) -> Vec<u8> {
    long(&[short(name), value.to_vec()].concat())
}

/// Nested arrays.
pub fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(vec![b'V'], |inner, _| [vec![b'A'], long(&inner)].concat())
}
