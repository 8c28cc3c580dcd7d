//! Leaders that are killed between a publish of the worker's and its confirm.

use super::bench::{SessionOrder, each_once, plan, publish_during};
use crate::support::broker::eventually;
use crate::support::cluster::{Cluster, NODES};
use crate::support::event::ORGANIZATION;
use crate::support::frame_proxy::{Frame, FrameProxy, Stop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a cluster: make cluster"]
async fn a_leader_killed_between_a_publish_and_its_confirm_loses_no_outcome_and_no_copy() {
    let cluster = Cluster::start("pause_minority");
    let mut proxies = Vec::new();
    for number in 0..NODES {
        proxies.push(FrameProxy::before(cluster.url(number)).await);
    }
    let urls = proxies.iter().map(FrameProxy::url).collect::<Vec<_>>().join(",");
    let rig = plan(&cluster).set("broker", "url", urls).start().await;
    let [_, outcomes] = rig.files.exchanges();
    let copies = rig.files.organization_queue(ORGANIZATION);
    let events = publish_during(&rig, &cluster.urls(), async {
        for (published_to, led) in [(&outcomes, rig.bus.outcomes_queue()), (&copies, copies.clone())] {
            for stop in
                [Stop::After(Frame::Publish(published_to.clone())), Stop::Before(Frame::Confirm(published_to.clone()))]
            {
                let leader = cluster.leader_of(&led, 0).await;
                for proxy in &proxies {
                    proxy.stop_at(stop.clone());
                }
                eventually("a message in doubt", async || proxies.iter().any(FrameProxy::is_shut)).await;
                cluster.kill(leader);
                proxies.iter().for_each(FrameProxy::open);
                let done = rig.crm.incidents().len();
                eventually("more cases", async || rig.crm.incidents().len() > done + 10).await;
                cluster.restart(leader).await;
            }
        }
    })
    .await;
    each_once(&rig, &events, SessionOrder::Kept).await;
}
