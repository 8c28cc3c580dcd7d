//! AMQP 1.0 bodies as RabbitMQ passes them to AMQP 0-9-1: a data section as its bytes, every other section in its encoding.

/// Returns the AMQP 1.0 section that a body is encoded as. Such a body starts with a descriptor (0x00) and the section's code, in short or
/// full form. JSON never starts with these bytes.
pub(super) fn section(body: &[u8]) -> Option<&'static str> {
    let ([0x00, 0x53, code, ..] | [0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, code, ..]) = body else { return None };
    match code {
        0x75 => Some("data"),
        0x76 => Some("sequence"),
        0x77 => Some("value"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::section;

    #[test]
    fn sections_are_recognized_by_their_first_bytes() {
        assert_eq!(section(b"\0\x53\x77\xa1\x02{}"), Some("value"));
        assert_eq!(section(b"\0\x80\0\0\0\0\0\0\0\x77\xa1\x02{}"), Some("value"));
        assert_eq!(section(b"\0\x53\x76\x45"), Some("sequence"));
        assert_eq!(section(b"\0\x53\x75\xa0\x02{}"), Some("data"));
        for other in [&b"{}"[..], b"", b"\0", b"\0\x53", b"\0\x53\x78", b"\xa1\x02{}"] {
            assert_eq!(section(other), None, "{other:?}");
        }
    }
}
