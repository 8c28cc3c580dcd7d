//! Private RabbitMQ cluster of three nodes on this machine.

use std::sync::Arc;

use serde_json::Value;

use super::broker::{Broker, eventually};
use super::worker::{Worker, field};

/// Number of nodes.
pub const NODES: usize = 3;

/// Cluster of three nodes, each with a number. Commands run beside the test, whose load goes on meanwhile.
pub struct Cluster {
    nodes: Vec<Arc<Broker>>,
}

impl Cluster {
    /// Starts the nodes, with this `cluster_partition_handling`.
    pub fn start(partition_handling: &str) -> Self {
        let settings = format!("cluster_partition_handling = {partition_handling}");
        let first = Broker::start_with(&settings, None);
        let join = || Broker::start_with(&settings, Some(&first));
        let joined: Vec<_> = std::thread::scope(|scope| {
            let joining: Vec<_> = (1..NODES).map(|_| scope.spawn(join)).collect();
            joining.into_iter().map(|one| one.join().expect("a node")).collect()
        });
        Self { nodes: std::iter::once(first).chain(joined).map(Arc::new).collect() }
    }

    /// URLs of all nodes, separated by commas.
    pub fn urls(&self) -> String {
        self.nodes.iter().map(|node| node.url()).collect::<Vec<_>>().join(",")
    }

    /// URL of a node.
    pub fn url(&self, number: usize) -> &str {
        self.nodes[number].url()
    }

    /// Numbers of the other nodes.
    pub fn others(number: usize) -> [usize; 2] {
        [(number + 1) % NODES, (number + 2) % NODES]
    }

    /// Number of the node that a worker has last connected to.
    pub fn node_of(&self, worker: &Worker) -> usize {
        let connected = |line: &Value| field(line, "message") == "connected to the broker";
        let line = worker.lines().into_iter().rev().find(connected).expect("a connection");
        let address = field(&line, "node").as_str().expect("an address").to_owned();
        self.nodes.iter().position(|node| node.url().contains(&address)).expect("a node of the cluster")
    }

    /// Kills a node in its current state.
    pub fn kill(&self, number: usize) {
        self.nodes[number].kill_at_once();
    }

    /// Restarts a node with its data.
    pub async fn restart(&self, number: usize) {
        self.on(number, Broker::restart).await;
    }

    /// Stops a node as an operator does who restarts one after the other: not before a majority of every queue's
    /// replicas can do without it.
    pub async fn stop(&self, number: usize) {
        let text = "rabbit_upgrade_preparation:await_online_quorum_plus_one(60000).";
        assert_eq!(self.eval(number, text.to_owned()).await, "true");
        self.shut_down(number).await;
    }

    /// Stops a node in good order.
    pub async fn shut_down(&self, number: usize) {
        self.on(number, |node| _ = node.ctl(&["shutdown"])).await;
    }

    /// Number of the node that leads a quorum queue, as another node knows it.
    pub async fn leader_of(&self, queue: &str, asked: usize) -> usize {
        let name = self.eval(asked, format!("{}, {{_, Node}} = amqqueue:get_pid(Q), Node.", found(queue))).await;
        let is_it = |node: &Arc<Broker>| node.name() == name.trim_matches('\'');
        self.nodes.iter().position(is_it).unwrap_or_else(|| panic!("{name} leads {queue}"))
    }

    /// Makes a node the leader of a quorum queue.
    pub async fn lead(&self, queue: &str, number: usize) {
        let name = self.nodes[number].name();
        let text = format!("{}, rabbit_quorum_queue:transfer_leadership(Q, '{name}').", found(queue));
        let answer = self.eval(number, text).await;
        assert!(answer.contains("{migrated"), "{answer}");
    }

    /// Cuts a node off from the others; its clients stay connected. No rights are necessary: the node gives the others
    /// a wrong cookie, and expects it from them.
    pub async fn cut_off(&self, number: usize) {
        let others = self.names_of_others(number);
        let text = format!(
            "[begin erlang:set_cookie(N, cut_off), erlang:disconnect_node(N) end || N <- [{others}]], nodes()."
        );
        assert_eq!(self.eval(number, text).await, "[]");
    }

    /// Lets a node that was cut off reach the others again.
    pub async fn reunite(&self, number: usize) {
        let others = self.names_of_others(number);
        let text = format!(
            "[erlang:set_cookie(N, erlang:get_cookie()) || N <- [{others}]], [net_adm:ping(N) || N <- [{others}]]."
        );
        assert_eq!(self.eval(number, text).await, "[pong,pong]");
    }

    /// Waits until every node is a running member.
    pub async fn is_whole(&self) {
        let text = "length(rabbit_nodes:all_running()).";
        eventually("all nodes in the cluster", async || self.eval(0, text.to_owned()).await == "3").await;
    }

    async fn eval(&self, number: usize, text: String) -> String {
        self.on(number, move |node| node.eval(&text)).await
    }

    async fn on<T: Send + 'static>(&self, number: usize, run: impl FnOnce(&Broker) -> T + Send + 'static) -> T {
        let node = Arc::clone(&self.nodes[number]);
        tokio::task::spawn_blocking(move || run(&node)).await.expect("the command")
    }

    fn names_of_others(&self, number: usize) -> String {
        Self::others(number).map(|other| format!("'{}'", self.nodes[other].name())).join(", ")
    }
}

/// Expression that binds `Q` to a queue.
fn found(queue: &str) -> String {
    format!("{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>))")
}
