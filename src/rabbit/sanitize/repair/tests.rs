use lapin::protocol::basic::parse_properties;
use lapin::types::{AMQPValue, FieldTable};
use proptest::prelude::*;

use super::*;

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn value(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind], content].concat()
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, 0, 1][..], &long(payload), &[0xCE]].concat()
}

/// Content header with these properties.
fn header(flags: u16, properties: &[u8]) -> Vec<u8> {
    frame(HEADER, &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &flags.to_be_bytes(), properties].concat())
}

/// Properties as lapin reads them.
fn read(frame: &[u8]) -> Option<lapin::BasicProperties> {
    let properties = &frame[HEAD + BEFORE_FLAGS..frame.len() - 1];
    parse_properties(properties).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, read)| read)
}

fn mended(mut frame: Vec<u8>) -> (usize, Vec<u8>) {
    let length = frame.len();
    let places = mend(&mut frame);
    assert_eq!(frame.len(), length);
    (places, frame)
}

/// Value nested in this number of arrays or tables.
fn nested(depth: usize, kind: u8) -> Vec<u8> {
    (0..depth).fold(vec![b'V'], |inner, _| match kind {
        b'A' => value(b'A', &long(&inner)),
        _ => value(b'F', &long(&[short(b"k"), inner].concat())),
    })
}

fn depth(of: &AMQPValue) -> usize {
    match of {
        AMQPValue::FieldArray(array) => 1 + array.as_slice().iter().map(depth).max().unwrap_or(0),
        AMQPValue::FieldTable(table) => 1 + table.inner().values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[test]
fn invalid_utf8_is_repaired_byte_by_byte() {
    for (text, expected, places) in [
        (&b"plain"[..], "plain", 0),
        ("grüße 😀".as_bytes(), "grüße 😀", 0),
        (b"a\xffb", "a?b", 1),
        (b"\xff\xfe\xc3\xa9", "??é", 2),
        (b"cut off \xf0\x9f\x98", "cut off ???", 1),
        (b"\xed\xa0\x80", "???", 3),
    ] {
        let (found, frame) = mended(header(0x8000, &short(text)));
        assert_eq!(found, places);
        assert_eq!(read(&frame).unwrap().content_type().as_ref().unwrap().as_str(), expected);
    }
}

#[test]
fn every_property_is_repaired() {
    let table = long(&[short(b"\xff"), value(b'S', &long(b"\xff"))].concat());
    let parts: Vec<Vec<u8>> = PROPERTIES
        .iter()
        .map(|part| match part {
            FramePart::Short => short(b"\xff"),
            FramePart::Table => table.clone(),
            FramePart::Skip(length) => vec![0xff; *length],
        })
        .collect();
    let (places, frame) = mended(header(0xfffc, &parts.concat()));
    assert_eq!(places, 11);
    let read = read(&frame).unwrap();
    assert_eq!(read.cluster_id().as_ref().unwrap().as_str(), "?");
    assert_eq!((*read.priority(), *read.timestamp()), (Some(255), Some(u64::MAX)));
    // A long text may be any bytes.
    let value = read.headers().as_ref().unwrap().inner().get("?").unwrap().clone();
    assert_eq!(value, AMQPValue::LongString(b"\xff".to_vec().into()));
    for bit in 2..16 {
        let one = header(1 << bit, &parts[15 - bit]);
        assert!(self::read(&mended(one).1).is_some(), "{bit}");
    }
}

#[test]
fn exchange_names_and_routing_keys_are_repaired() {
    let deliver = [&[0, 60, 0, 60][..], &short(b"tag"), &[0xff; 9], &short(b"ex\xff"), &short(b"key\xff")].concat();
    let got = [&[0, 60, 0, 71][..], &[0xff; 9], &short(b""), &short(b"key\xff"), &[0, 0, 0, 1]].concat();
    let returned = [&[0, 60, 0, 50, 1, 2][..], &short(b"NO_ROUTE"), &short(b""), &short(b"\xff")].concat();
    for (payload, places) in [(deliver, 2), (got, 1), (returned, 1)] {
        let (found, frame) = mended(frame(METHOD, &payload));
        assert_eq!(found, places);
        let texts = frame.split(|byte| *byte == b'?').count() - 1;
        assert_eq!(texts, places);
    }
}

#[test]
fn a_value_nested_too_deep_becomes_bytes() {
    for kind in [b'A', b'F'] {
        for levels in [0, 1, DEEPEST - 1, DEEPEST, 1000, 12_000] {
            let table = long(&[short(b"x-deep"), nested(levels, kind), short(b"after"), vec![b't', 1]].concat());
            let sent = header(0x2000, &table);
            let (places, frame) = mended(sent.clone());
            assert_eq!(places, usize::from(levels >= DEEPEST), "{levels}");
            assert!(sent.iter().zip(&frame).filter(|(was, is)| was != is).count() <= 1);
            let read = read(&frame).unwrap();
            let headers = read.headers().as_ref().unwrap().inner();
            assert_eq!(depth(headers.get("x-deep").unwrap()), levels.min(DEEPEST - 1));
            assert_eq!(headers.get("after"), Some(&AMQPValue::Boolean(true)));
        }
    }
}

#[test]
fn valid_frames_are_unchanged() {
    for frame in [frame(3, b"\xff\xff\xff"), frame(8, b""), header(0, b""), frame(METHOD, &[0, 10, 0, 30, 0xff, 0xff])]
    {
        assert_eq!(mended(frame.clone()), (0, frame));
    }
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let scalar = prop_oneof![
        Just(vec![b'V']),
        any::<[u8; 1]>().prop_map(|it| value(b't', &it)),
        any::<[u8; 2]>().prop_map(|it| value(b's', &it)),
        any::<[u8; 4]>().prop_map(|it| value(b'I', &it)),
        any::<[u8; 5]>().prop_map(|it| value(b'D', &it)),
        any::<[u8; 8]>().prop_map(|it| value(b'T', &it)),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|it| value(b'S', &long(&it))),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|it| value(b'x', &long(&it))),
        (0..2 * DEEPEST).prop_map(|levels| nested(levels, b'A')),
    ];
    scalar.prop_recursive(4, 40, 4, |inner| {
        let entry =
            (prop::collection::vec(any::<u8>(), 0..9), inner.clone()).prop_map(|(k, v)| [short(&k), v].concat());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|it| value(b'A', &long(&it.concat()))),
            prop::collection::vec(entry, 0..4).prop_map(|it| value(b'F', &long(&it.concat()))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// lapin can read anything that a broker accepts.
    #[test]
    fn any_properties_can_be_read(
        name in prop::collection::vec(any::<u8>(), 0..255), text in prop::collection::vec(any::<u8>(), 0..255),
        values in prop::collection::vec(any_value(), 0..6),
    ) {
        let entries: Vec<Vec<u8>> = values.into_iter().map(|it| [short(&name), it].concat()).collect();
        let parts = [short(&text), long(&entries.concat()), short(&text)].concat();
        let (_, frame) = mended(header(0xA080, &parts));
        let read = read(&frame);
        prop_assert!(read.is_some());
        let headers = read.and_then(|it| it.headers().clone()).unwrap_or_default();
        prop_assert!(depth(&AMQPValue::FieldTable(headers)) <= DEEPEST);
        prop_assert_eq!(mended(frame.clone()), (0, frame), "repaired twice");
    }

    #[test]
    fn arbitrary_bytes_are_accepted(mut frame in prop::collection::vec(any::<u8>(), 0..200), kind in prop::sample::select(vec![1u8, 2, 3])) {
        if let Some(first) = frame.first_mut() {
            *first = kind;
        }
        mended(frame);
    }

    /// Bytes that begin like headers.
    #[test]
    fn arbitrary_properties_are_accepted(flags in any::<u16>(), properties in prop::collection::vec(any::<u8>(), 0..100)) {
        mended(header(flags, &properties));
    }
}

#[test]
fn an_empty_table_is_valid() {
    let (places, frame) = mended(header(0x2000, &long(b"")));
    assert_eq!(places, 0);
    assert_eq!(read(&frame).unwrap().headers(), &Some(FieldTable::default()));
}
