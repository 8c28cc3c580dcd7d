//! Order of a session's events, which several workers move at the same time.

use super::bench::{pair, plan};
use crate::support::event::{handoff, resolved};

#[tokio::test]
async fn a_resolution_closes_every_case_of_its_session_whoever_moves_its_events() {
    let (rig, _a, _b) = pair(plan().await).await;
    let mut events = Vec::new();
    for _ in 0..20 {
        let first = handoff("email");
        let (second, resolution) = (first.next(), resolved(first.session()));
        events.extend([first, second, resolution]);
    }
    rig.bus.publish_all(&events).await;
    rig.bus.outcomes_of(&events).await;
    let open = rig.crm.incidents().iter().filter(|row| row["statecode"] == 0).count();
    assert_eq!((rig.crm.incidents().len(), open), (40, 0));
    rig.nothing_is_left().await;
}
