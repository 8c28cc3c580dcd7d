//! Nodes that are killed, and a majority that is away.

use super::bench::{SessionOrder, each_once, plan, publish_during};
use crate::support::broker::eventually;
use crate::support::cluster::{Cluster, NODES};
use crate::support::event::ORGANIZATION;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a cluster: make cluster"]
async fn the_node_of_the_worker_is_killed_under_load() {
    let cluster = Cluster::start("pause_minority");
    let rig = plan(&cluster).start().await;
    let worker = rig.worker();
    let events = publish_during(&rig, &cluster.urls(), async {
        let lost = cluster.node_of(&worker);
        cluster.kill(lost);
        eventually("another node", async || cluster.node_of(&worker) != lost).await;
        worker.ready().await;
        let done = rig.crm.incidents().len();
        eventually("more cases", async || rig.crm.incidents().len() > done + 20).await;
        cluster.restart(lost).await;
    })
    .await;
    each_once(&rig, &events, SessionOrder::Kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a cluster: make cluster"]
async fn the_leader_of_an_organizations_queue_is_killed_under_load() {
    let cluster = Cluster::start("pause_minority");
    let rig = plan(&cluster).start().await;
    let worker = rig.worker();
    let (of_worker, queue) = (cluster.node_of(&worker), rig.files.organization_queue(ORGANIZATION));
    let [leader, third] = Cluster::others(of_worker);
    cluster.lead(&queue, leader).await;
    let events = publish_during(&rig, &cluster.urls(), async {
        cluster.kill(leader);
        eventually("another leader", async || cluster.leader_of(&queue, third).await != leader).await;
        let done = rig.crm.incidents().len();
        eventually("more cases", async || rig.crm.incidents().len() > done + 20).await;
        cluster.restart(leader).await;
    })
    .await;
    assert_eq!(cluster.node_of(&worker), of_worker, "it kept its connection");
    assert!(!worker.logged("lost the connection to the broker"));
    each_once(&rig, &events, SessionOrder::Kept).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a cluster: make cluster"]
async fn a_cluster_without_a_majority_makes_the_worker_unready_and_costs_no_attempt() {
    for handling in ["pause_minority", "ignore"] {
        let cluster = Cluster::start(handling);
        let rig = plan(&cluster).start().await;
        let worker = rig.worker();
        let lost = Cluster::others(cluster.node_of(&worker));
        let events = publish_during(&rig, &cluster.urls(), async {
            for number in lost {
                cluster.kill(number);
            }
            eventually("an unready worker", async || !worker.unready().await.is_empty()).await;
            let (_, status) = worker.api("GET", "/status", None).await;
            println!("{handling}: {:?} {status}", worker.unready().await);
            assert_ne!(status["verdict"], "working", "{status}");
            tokio::join!(cluster.restart(lost[0]), cluster.restart(lost[1]));
            worker.ready().await;
        })
        .await;
        each_once(&rig, &events, SessionOrder::Kept).await;
        for outcome in rig.bus.all_outcomes().await {
            assert_eq!(outcome.body["data"]["attempts"], 1, "no attempt is spent: {}", outcome.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a cluster: make cluster"]
async fn all_nodes_are_restarted_one_after_the_other_under_load() {
    let cluster = Cluster::start("pause_minority");
    let rig = plan(&cluster).start().await;
    let events = publish_during(&rig, &cluster.urls(), async {
        for number in 0..NODES {
            cluster.stop(number).await;
            cluster.restart(number).await;
        }
    })
    .await;
    each_once(&rig, &events, SessionOrder::Kept).await;
}
