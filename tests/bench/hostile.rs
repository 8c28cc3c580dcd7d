//! Cost of an environment's refusal of an enormous event, in time of the thread that processes events. Run manually:
//! `make hostile`.
//!
//! Handoffs of 1 MiB with 50,000 distinct words go to an environment that refuses everything, with messages that quote them. Masking
//! compares a message with all words of its event. The figure includes all that the event costs: decoding, the request, the dead
//! letter.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::CONCURRENCY;
use super::events::{TROUBLED, mixed};
use super::machine::Machine;
use super::process::cpu_of_event_thread;
use super::report::Scenario;

/// Distinct words of an event.
const WORDS: usize = 50_000;
/// Size of an event in bytes.
const SIZE: usize = 1_000_000;
/// Limit of the time for an answer (the project's own target).
const AIM: Duration = Duration::from_millis(20);

/// Measures and prints.
pub async fn main(events: u64) {
    let scenario = Scenario { events, latency: Duration::ZERO, concurrency: CONCURRENCY };
    let machine = Machine::set_up(&scenario).await;
    let message = quoting();
    machine.trouble(&json!({ "status": 400, "code": "0x80040265", "message": message })).await;
    // The first event pays for the start and for the first connection.
    machine.publish(std::iter::once(mixed(TROUBLED, events))).await;
    let mut worker = machine.start("log");
    machine.time_of(&mut worker, &[TROUBLED], 1).await;
    let before = cpu_of_event_thread(worker.pid());
    machine.publish((0..events).map(enormous)).await;
    machine.time_of(&mut worker, &[TROUBLED], events).await;
    let spent = cpu_of_event_thread(worker.pid()).saturating_sub(before);
    drop(worker);
    machine.clean_up().await;
    let each = spent / u32::try_from(events).expect("few events");
    println!("{events} refused events of {SIZE} bytes, {WORDS} words, message of {} bytes", message.len());
    println!("  {each:?} of the event thread for an event and its answer (limit {AIM:?} for the answer)");
}

fn word(number: usize) -> String {
    format!("w{number}x{:011}", number * 7919)
}

/// Refusal that quotes words of the event, from its beginning, its end and between.
fn quoting() -> String {
    let mut text = "The plug-in refuses:".to_owned();
    for number in (0..WORDS).step_by(WORDS / 190) {
        write!(text, " {}", word(number)).expect("a text");
    }
    text
}

/// Body without an email, so that the only answer is the one about the case.
fn enormous(n: u64) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(&mixed(TROUBLED, n)).expect("an event");
    let mut text = String::with_capacity(SIZE);
    for number in 0..WORDS {
        write!(text, "{} ", word(number)).expect("a text");
    }
    // Its end is cut off, its words are not.
    while text.len() < SIZE {
        text.push('.');
    }
    body["data"]["channel"] = json!("phone");
    body["data"]["customer"] = json!({});
    body["data"]["transcript"] = json!([{ "sender": "customer", "text": text }]);
    body.to_string().into_bytes()
}
