//! Trims a message's headers so that they fit into a frame together with those that a worker adds to a copy.

use std::ops::Range;

use super::repair::{BEFORE_FLAGS, FrameCursor, HEAD, HEADER};

/// Flags of the properties before the headers, and of the headers.
const BEFORE_HEADERS: [usize; 2] = [0x8000, 0x4000];
const HEADERS: usize = 0x2000;
/// Bytes of a frame kept free for a worker's own headers (5 KB at most), and for those that the broker adds to a copy.
const SPARE: usize = 16 * 1024;
/// Longest list of names, in bytes.
const LONGEST_LIST: usize = 1024;
/// Name of the header that lists the others, with its length, and the type of its value: text.
const LEFT_OUT: &[u8] = b"\x13x-handoffd-left-outS";

/// Returns a content header without its largest headers, which a header of its own lists. `None` if the frame is short
/// enough or no content header.
///
/// A publisher may fill a content header to the last byte of a frame. The broker adds its own headers to it
/// (`x-delivery-count`, `x-death`) regardless of the negotiated limit (measured, RabbitMQ 3.10), over which lapin ends
/// the connection. With a worker's headers added, the broker ends it (FRAME_ERROR), for this copy and for each further
/// one when the source is redelivered.
pub(in crate::rabbit) fn trim(frame: &[u8], frame_max: usize) -> Option<Vec<u8>> {
    let limit = frame_max - SPARE.min(frame_max / 2);
    if frame.len() <= limit || frame[0] != HEADER {
        return None;
    }
    let (table, mut entries) = headers(frame)?;
    entries.sort_by_key(ExactSizeIterator::len);
    let mut length = frame.len() + LONGEST_LIST;
    let mut left_out = Vec::new();
    while length > limit
        && let Some(largest) = entries.pop()
    {
        length -= largest.len();
        left_out.push(largest);
    }
    if left_out.is_empty() {
        return None;
    }
    entries.sort_by_key(|entry| entry.start);
    let mut trimmed = frame[..table.start].to_vec();
    for entry in entries {
        trimmed.extend_from_slice(&frame[entry]);
    }
    push_list(&mut trimmed, left_out.iter().map(|entry| name(&frame[entry.clone()])));
    let headers = trimmed.len() - table.start;
    trimmed.extend_from_slice(&frame[table.end..]);
    let size = trimmed.len() - HEAD - 1;
    put(&mut trimmed[table.start - 4..table.start], headers);
    put(&mut trimmed[HEAD - 4..HEAD], size);
    Some(trimmed)
}

/// Appends the header that lists names, as far as there is space.
fn push_list<'a>(to: &mut Vec<u8>, names: impl Iterator<Item = &'a [u8]>) {
    let room = LONGEST_LIST - LEFT_OUT.len() - 8;
    let mut list = Vec::new();
    for name in names {
        if list.len() + name.len() + 2 > room {
            list.extend_from_slice("…".as_bytes());
            break;
        }
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(name);
    }
    to.extend_from_slice(LEFT_OUT);
    to.extend_from_slice(&length(list.len()));
    to.extend_from_slice(&list);
}

/// Returns the name of a header.
fn name(entry: &[u8]) -> &[u8] {
    &entry[1..=usize::from(entry[0])]
}

/// Returns the range of the header table, and of each header.
fn headers(frame: &[u8]) -> Option<(Range<usize>, Vec<Range<usize>>)> {
    let mut scratch = frame.to_vec();
    let end = scratch.len().checked_sub(1)?;
    let mut cursor = FrameCursor::new(scratch.get_mut(..end)?, HEAD);
    cursor.skip(BEFORE_FLAGS)?;
    let flags = cursor.number(2)?;
    if flags & HEADERS == 0 {
        return None;
    }
    for before in BEFORE_HEADERS {
        if flags & before != 0 {
            cursor.short()?;
        }
    }
    let end = cursor.end()?;
    let table = cursor.at()..end;
    let mut entries = Vec::new();
    while cursor.at() < end {
        let start = cursor.at();
        cursor.entry()?;
        entries.push(start..cursor.at());
    }
    // The last header must not extend beyond the table.
    (cursor.at() == end).then_some((table, entries))
}

/// Writes a length of four bytes.
fn put(to: &mut [u8], value: usize) {
    to.copy_from_slice(&length(value));
}

/// Encodes a length, which is shorter than one that fitted into four bytes.
fn length(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use lapin::protocol::basic::parse_properties;
    use lapin::types::{AMQPValue, FieldTable};
    use proptest::prelude::*;

    use super::*;

    fn long(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
    }

    /// Content header with a content type, headers of these lengths, and a message id.
    fn frame(lengths: &[usize]) -> Vec<u8> {
        let entries = lengths.iter().enumerate().map(|(index, length)| {
            let name = format!("h{index:04}");
            [&[5], name.as_bytes(), b"S", &long(&vec![b'x'; *length])].concat()
        });
        let headers = long(&entries.collect::<Vec<_>>().concat());
        let payload = [&[0; 12][..], &[0xA0, 0x80, 4], b"text", &headers, &[2], b"id"].concat();
        [&[2, 0, 1][..], &long(&payload), &[0xCE]].concat()
    }

    fn headers_of(frame: &[u8]) -> FieldTable {
        let (rest, read) = parse_properties(&frame[HEAD + BEFORE_FLAGS..frame.len() - 1]).unwrap();
        assert!(rest.is_empty());
        assert_eq!(read.message_id().as_ref().unwrap().as_str(), "id");
        read.headers().clone().unwrap()
    }

    fn names(frame: &[u8]) -> Vec<String> {
        headers_of(frame).inner().keys().map(ToString::to_string).collect()
    }

    fn list(frame: &[u8]) -> String {
        let headers = headers_of(frame);
        let AMQPValue::LongString(list) = &headers.inner()["x-handoffd-left-out"] else { panic!("{headers:?}") };
        list.to_string()
    }

    #[test]
    fn headers_that_fit_are_unchanged() {
        for frame in [frame(&[]), frame(&[10, 900]), frame(&[113_000])] {
            assert_eq!(trim(&frame, 131_072), None);
        }
    }

    #[test]
    fn the_largest_headers_are_left_out_and_listed() {
        let trimmed = trim(&frame(&[10, 113_000, 900, 800]), 131_072).unwrap();
        assert_eq!(names(&trimmed), ["h0000", "h0002", "h0003", "x-handoffd-left-out"]);
        assert_eq!(list(&trimmed), "h0001");
        let trimmed = trim(&frame(&[10, 2000, 900, 700]), 4096).unwrap();
        assert_eq!(names(&trimmed), ["h0000", "h0003", "x-handoffd-left-out"]);
        assert_eq!(list(&trimmed), "h0001, h0002");
    }

    #[test]
    fn a_long_list_is_cut() {
        let trimmed = trim(&frame(&vec![400; 400]), 4096).unwrap();
        assert!(list(&trimmed).starts_with("h0399, h0398, ") && list(&trimmed).ends_with('…'));
        assert!(trimmed.len() <= 2048);
    }

    #[test]
    fn headers_that_extend_beyond_the_table_are_unchanged() {
        let mut broken = frame(&[2000, 2000]);
        let length = HEAD + BEFORE_FLAGS + 2 + 5 + 3;
        broken[length] -= 5;
        assert_eq!(trim(&broken, 4096), None);
    }

    #[test]
    fn frames_without_headers_are_unchanged() {
        let body = [&[3, 0, 1][..], &long(&[0; 5000]), &[0xCE]].concat();
        for frame in [&body[..], &[2, 0, 1, 0, 0, 0, 0, 0xCE], &[], &[2]] {
            assert_eq!(trim(frame, 4096), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_headers_fit(lengths in prop::collection::vec(0usize..4000, 0..40), frame_max in 4096usize..70_000) {
            let frame = frame(&lengths);
            let limit = frame_max - SPARE.min(frame_max / 2);
            match trim(&frame, frame_max) {
                None => prop_assert!(frame.len() <= limit),
                Some(trimmed) => prop_assert!(trimmed.len() <= limit && names(&trimmed).len() <= lengths.len()),
            }
        }

        #[test]
        fn arbitrary_bytes_are_accepted(rest in prop::collection::vec(any::<u8>(), 0..200), frame_max in 0usize..200) {
            let _ = trim(&[&[HEADER], &rest[..]].concat(), frame_max);
        }
    }
}
