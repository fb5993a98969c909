//! The reference store passes its own suite.

use tidemill_store::memory::MemoryStore;
use tidemill_store_conformance::{
    exercise, exercise_streams, exercise_wishes, exercise_workers, random_ops,
};

#[tokio::test]
async fn the_memory_store_behaves() {
    Box::pin(exercise(async || MemoryStore::new())).await;
}

#[tokio::test]
async fn the_memory_store_behaves_towards_workers() {
    Box::pin(exercise_workers(async || MemoryStore::new())).await;
}

#[tokio::test]
async fn equal_operations_have_equal_results() {
    Box::pin(random_ops(
        1,
        60,
        async || MemoryStore::new(),
        async |store| store,
    ))
    .await;
}

#[tokio::test]
async fn the_memory_store_behaves_towards_streams() {
    Box::pin(exercise_streams(async || MemoryStore::new())).await;
}

#[tokio::test]
async fn the_memory_store_carries_wishes() {
    Box::pin(exercise_wishes(async || MemoryStore::new())).await;
}
