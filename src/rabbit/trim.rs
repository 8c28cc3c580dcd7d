//! Trims content headers that exceed the negotiated frame size.

use std::ops::Range;

use super::repair::{BEFORE_FLAGS, FrameCursor, HEAD};

/// Flags of the properties before the headers, and of the headers.
const BEFORE_HEADERS: [usize; 2] = [0x8000, 0x4000];
const HEADERS: usize = 0x2000;

/// Returns the frame without its largest headers, no longer than `limit`, or `None` if that is impossible.
///
/// A publisher may fill a content header to the last byte, and the broker adds its own headers to it
/// (`x-delivery-count`, `x-death`) regardless of the negotiated limit (measured, RabbitMQ 3.10); lapin then ends the
/// connection.
pub(super) fn shrink(frame: &[u8], limit: usize) -> Option<Vec<u8>> {
    let (table, entries) = headers(frame)?;
    let mut largest: Vec<&Range<usize>> = entries.iter().collect();
    largest.sort_by_key(|entry| entry.len());
    let mut length = frame.len();
    let mut without = Vec::new();
    while length > limit {
        let entry = largest.pop()?;
        length -= entry.len();
        without.push(entry.start);
    }
    let mut shrunk = Vec::with_capacity(length);
    shrunk.extend_from_slice(&frame[..table.start]);
    for entry in entries.iter().filter(|entry| !without.contains(&entry.start)) {
        shrunk.extend_from_slice(&frame[entry.clone()]);
    }
    let headers = shrunk.len() - table.start;
    shrunk.extend_from_slice(&frame[table.end..]);
    let size = shrunk.len() - HEAD - 1;
    put(&mut shrunk[table.start - 4..table.start], headers);
    put(&mut shrunk[HEAD - 4..HEAD], size);
    Some(shrunk)
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
fn put(to: &mut [u8], length: usize) {
    // Shorter than a length that fitted into four bytes.
    to.copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use lapin::protocol::basic::parse_properties;
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

    fn names(frame: &[u8]) -> Vec<String> {
        let (rest, read) = parse_properties(&frame[HEAD + BEFORE_FLAGS..frame.len() - 1]).unwrap();
        assert!(rest.is_empty());
        assert_eq!(read.message_id().as_ref().unwrap().as_str(), "id");
        read.headers().as_ref().unwrap().inner().keys().map(ToString::to_string).collect()
    }

    #[test]
    fn the_largest_headers_are_removed_and_the_rest_is_kept() {
        let full = frame(&[10, 129_000, 900, 800]);
        assert_eq!(names(&shrink(&full, 131_072).unwrap()), ["h0000", "h0001", "h0002", "h0003"]);
        assert_eq!(names(&shrink(&full, 130_000).unwrap()), ["h0000", "h0002", "h0003"]);
        assert_eq!(names(&shrink(&full, 1000).unwrap()), ["h0000", "h0003"]);
        assert_eq!(names(&shrink(&full, 100).unwrap()), ["h0000"]);
        assert_eq!(shrink(&full, 10), None, "there is more than headers");
    }

    #[test]
    fn headers_that_extend_beyond_the_table_are_unchanged() {
        let mut broken = frame(&[10, 20]);
        let length = HEAD + BEFORE_FLAGS + 2 + 5 + 3;
        broken[length] -= 5;
        assert_eq!(shrink(&broken, 60), None);
    }

    #[test]
    fn frames_without_headers_are_unchanged() {
        for frame in [&[2, 0, 1, 0, 0, 0, 0, 0xCE][..], &[], &[2]] {
            assert_eq!(shrink(frame, 0), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_headers_fit(lengths in prop::collection::vec(0usize..400, 0..20), limit in 60usize..3000) {
            let shrunk = shrink(&frame(&lengths), limit).unwrap();
            prop_assert!(shrunk.len() <= limit);
            prop_assert!(names(&shrunk).len() <= lengths.len());
        }

        #[test]
        fn arbitrary_bytes_are_accepted(frame in prop::collection::vec(any::<u8>(), 0..200), limit in 0usize..200) {
            let _ = shrink(&frame, limit);
        }
    }
}
