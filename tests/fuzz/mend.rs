//! Repairs an arbitrary frame from a broker and checks that the result can be read without stack overflow and is no
//! longer.
//!
//! The input is the frame without its header and end octet; its first byte selects the kind.

#![no_main]

#[path = "../../src/rabbit/sanitize/repair/mod.rs"]
mod repair;
#[path = "../../src/rabbit/sanitize/trim.rs"]
mod trim;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((kind, payload)) = input.split_first() else { return };
    let size = u32::try_from(payload.len()).expect("a short input").to_be_bytes();
    let sent = [&[kind % 4, 0, 1][..], &size, payload, &[0xCE]].concat();
    let mut frame = sent.clone();
    let places = repair::mend(&mut frame);
    assert_eq!(frame.len(), sent.len());
    assert_eq!(places == 0, frame == sent);
    let mut again = frame.clone();
    assert_eq!(repair::mend(&mut again), 0, "repaired twice");
    for frame_max in [0, 64, frame.len()] {
        if let Some(trimmed) = trim::trim(&frame, frame_max) {
            let size = u32::from_be_bytes(trimmed[3..7].try_into().expect("four bytes"));
            assert_eq!(usize::try_from(size).expect("a short frame"), trimmed.len() - 8);
        }
    }
});
