//! Requirements on what every store keeps of operators.

use std::sync::Arc;

use handoffd::sled::open;
use handoffd_engine::memory_store::MemoryStore;
use handoffd_engine::ports::metrics::NoMetrics;
use handoffd_engine::ports::store::Store;
use handoffd_engine::ports::store::operators::{ACTIONS, EndedSession, OperatorAction, OperatorStore};
use uuid::Uuid;

use crate::store_samples::{at, options};
use crate::support::postgres::{self, Postgres};

/// Store of one kind, as operators and as events use it.
struct OperatorBackend {
    name: &'static str,
    operators: Arc<dyn OperatorStore>,
    store: Arc<dyn Store>,
}

async fn backends(folder: &tempfile::TempDir, schema: &str) -> [OperatorBackend; 3] {
    let memory = Arc::new(MemoryStore::new());
    let sled = Arc::new(open(&options(&folder.path().join("store.sled")), Arc::new(NoMetrics)).unwrap().store);
    let postgres = postgres::opened(schema).await;
    [
        OperatorBackend { name: "memory", operators: memory.clone(), store: memory },
        OperatorBackend { name: "sled", operators: sled.clone(), store: sled },
        OperatorBackend { name: "postgres", operators: postgres.clone(), store: postgres },
    ]
}

async fn schema() -> String {
    postgres::new_schema(Postgres::shared()).await
}

fn action(nth: u128, second: i64) -> OperatorAction {
    OperatorAction { id: Uuid::from_u128(nth), at: at(second), document: format!("{{\"nth\":{nth}}}") }
}

#[tokio::test]
async fn the_last_thousand_actions_are_kept_newest_first() {
    let (folder, schema) = (tempfile::tempdir().unwrap(), schema().await);
    for OperatorBackend { name, operators, .. } in backends(&folder, &schema).await {
        assert_eq!(operators.actions().await.unwrap(), [], "{name}");
        operators.add_actions(&[action(1, 5), action(2, 9)]).await.unwrap();
        operators.add_actions(&[action(3, 7), action(2, 9)]).await.unwrap();
        assert_eq!(operators.actions().await.unwrap(), [action(2, 9), action(3, 7), action(1, 5)], "{name}");
        let many: Vec<OperatorAction> = (10..).zip(20..).take(ACTIONS).map(|(nth, at)| action(nth, at)).collect();
        for some in many.chunks(300) {
            operators.add_actions(some).await.unwrap();
        }
        let kept = operators.actions().await.unwrap();
        assert_eq!((kept.len(), kept.first(), kept.last()), (ACTIONS, many.last(), many.first()), "{name}");
        operators.add_actions(&[action(9_999, 9_999)]).await.unwrap();
        let kept = operators.actions().await.unwrap();
        assert_eq!((kept.len(), kept.last()), (ACTIONS, many.get(1)), "{name}: the oldest one goes");
    }
}

#[tokio::test]
async fn ended_sessions_are_kept_until_they_are_over() {
    let (folder, schema) = (tempfile::tempdir().unwrap(), schema().await);
    let ended = |nth, second| EndedSession { id: Uuid::from_u128(nth), over_at: at(second) };
    for OperatorBackend { name, operators, .. } in backends(&folder, &schema).await {
        operators.end_sessions(&[ended(1, 10), ended(2, 30)], at(0)).await.unwrap();
        operators.end_sessions(&[ended(2, 30)], at(0)).await.unwrap();
        assert_eq!(operators.ended_sessions().await.unwrap(), [ended(2, 30), ended(1, 10)], "{name}");
        operators.end_sessions(&[ended(3, 20)], at(10)).await.unwrap();
        assert_eq!(operators.ended_sessions().await.unwrap(), [ended(2, 30), ended(3, 20)], "{name}");
    }
}

#[tokio::test]
async fn what_operators_did_outlives_the_process() {
    let (folder, schema) = (tempfile::tempdir().unwrap(), schema().await);
    let ended = EndedSession { id: Uuid::from_u128(1), over_at: at(10) };
    for backend in backends(&folder, &schema).await {
        backend.operators.add_actions(&[action(1, 1)]).await.unwrap();
        backend.operators.end_sessions(&[ended], at(0)).await.unwrap();
        backend.store.close().await.unwrap();
        backend.operators.actions().await.unwrap_err();
        backend.operators.add_actions(&[action(2, 2)]).await.unwrap_err();
    }
    for OperatorBackend { name, operators, .. } in &backends(&folder, &schema).await[1..] {
        assert_eq!(operators.actions().await.unwrap(), [action(1, 1)], "{name}");
        assert_eq!(operators.ended_sessions().await.unwrap(), [ended], "{name}");
    }
}
