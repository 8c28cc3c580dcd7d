//! The command is killed in the middle: nothing is lost or duplicated.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::desk::{Dead, command, entries, ids, run};
use crate::support::broker::{eventually, signal};
use crate::support::event::{Event, handoff};
use crate::support::rig::{Rig, rig};

const COUNT: usize = 600;

async fn many(rig: &Rig) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..COUNT {
        events.push(Dead::of(handoff("web")).bury(rig).await);
    }
    events
}

/// Starts a replay and sends it a signal after it has reported the first event.
async fn replay_and(rig: &Rig, name: &str) {
    let mut command = command(rig, &["replay", "--all"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = stdout.lines();
    // Opening bracket, and the first result.
    assert!(lines.next().is_some() && lines.next().is_some());
    signal(name, &child.id().to_string());
    tokio::task::spawn_blocking(move || {
        lines.for_each(drop);
        child.wait().unwrap()
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_replay_that_is_killed_loses_and_duplicates_nothing() {
    let rig = rig().start().await;
    let events = many(&rig).await;
    replay_and(&rig, "-KILL").await;
    // Its letters return when the broker notices; the next run waits for that.
    let output = run(&rig, &["replay", "--all"]).await;
    assert!(matches!(output.status.code(), Some(0 | 3)), "{:?}", output.status);
    rig.bus.outcomes_of(&events).await;
    eventually("every event carried", async || rig.bus.unfinished().await == 0).await;
    assert_eq!(rig.bus.dead_letters().await, 0);
    let mut keys: Vec<_> =
        rig.crm.rows("oc_liveworkitems").iter().map(|row| row["contextVariables"]["sessionId"].to_string()).collect();
    keys.sort();
    let once: BTreeSet<_> = keys.iter().cloned().collect();
    assert_eq!((keys.len(), once.len()), (COUNT, COUNT));
}

#[tokio::test]
async fn an_interrupted_replay_leaves_the_rest_in_order() {
    let rig = rig().start().await;
    rig.stop_workers().await;
    let events = many(&rig).await;
    replay_and(&rig, "-INT").await;
    let left = entries(&rig, &["list"]).await;
    let left = ids(&left);
    let all: Vec<&str> = events.iter().map(Event::id).collect();
    assert_eq!(left, all[COUNT - left.len()..], "what was not replayed, as it lay");
    rig.bus.waiting(&rig.files.work_queue(), u32::try_from(COUNT - left.len()).unwrap()).await;
}
