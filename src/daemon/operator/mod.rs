//! The operators that speak to Kafka: from settings and templates to what the bridge offers.

mod cluster;
mod kafka_consume;
mod kafka_produce;
mod kafka_wait;

use std::sync::Arc;
use tidemill_executor::operator::{End, Failure, Job, Operators};
use tidemill_kafka::task::{Stop, Tailers, TaskError};
use tidemill_model::{Reason, Ts};
use tidemill_store::{Partition, Span, SpanOf, SpanStore, StoreError};

/// Adds them.
pub fn with_kafka(operators: Operators, spans: Spans) -> Operators {
    let tailers = Arc::new(Tailers::default());
    let of_wait = spans.clone();
    operators
        .with("kafka_produce", |job| Box::pin(kafka_produce::run(job)))
        .with("kafka_consume", move |job| {
            Box::pin(kafka_consume::run(job, spans.clone()))
        })
        .with("kafka_wait", move |job| {
            Box::pin(kafka_wait::run(job, of_wait.clone(), Arc::clone(&tailers)))
        })
}

/// Where spans are kept. The store is called where its connections live.
#[derive(Clone)]
pub struct Spans {
    /// The memory.
    pub store: Arc<dyn SpanStore>,
    /// Its runtime.
    pub runtime: tokio::runtime::Handle,
}

impl Spans {
    /// What is fixed for a task instance.
    async fn fixed(&self, of: SpanOf) -> Result<Vec<Span>, End> {
        let store = Arc::clone(&self.store);
        let asked = self.runtime.spawn(async move { store.spans(of).await });
        asked.await.map_err(ended)?.map_err(away)
    }

    /// Fixes spans, but for those that are fixed already.
    async fn fix(&self, of: SpanOf, spans: Vec<Span>) -> Result<Vec<Span>, End> {
        let store = Arc::clone(&self.store);
        let fixed = self
            .runtime
            .spawn(async move { store.fix_spans(of, &spans).await });
        fixed.await.map_err(ended)?.map_err(away)
    }

    /// How far earlier successes of the task have read.
    async fn read_up_to(&self, of: SpanOf) -> Result<Vec<(Partition, i64)>, End> {
        let store = Arc::clone(&self.store);
        let asked = self
            .runtime
            .spawn(async move { store.read_up_to(of).await });
        asked.await.map_err(ended)?.map_err(away)
    }
}

fn away(err: StoreError) -> End {
    Failure::refused(crate::exit::chain(&err)).into()
}

fn ended(err: tokio::task::JoinError) -> End {
    Failure::refused(format!("a thread has ended: {err}")).into()
}

fn span_of(job: &Job) -> SpanOf {
    let attempt = job.attempt();
    SpanOf {
        run: attempt.run,
        task_no: attempt.task_no,
        map_index: attempt.map_index,
    }
}

/// Work that blocks, on a thread that is told to end when nobody waits for it any more.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce(Stop) -> Result<T, TaskError> + Send + 'static,
) -> Result<T, End> {
    struct Ends(Stop);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.set();
        }
    }
    let ends = Ends(Stop::default());
    let stop = ends.0.clone();
    let done = tokio::task::spawn_blocking(move || work(stop)).await;
    drop(ends);
    done.map_err(ended)?.map_err(failure)
}

fn failure(err: TaskError) -> End {
    let message = err.to_string();
    match err {
        TaskError::Brokers(_) => Failure::refused(message).into(),
        TaskError::ForGood(_) => Failure::refused(message).for_good().into(),
        TaskError::Stopped => Failure {
            reason: Reason::Interrupted,
            ..Failure::refused(message)
        }
        .into(),
    }
}

/// An instant of the settings; one without offset is in the DAG's time zone.
fn instant(job: &Job, key: &str, text: &str) -> Result<Ts, Failure> {
    Ts::parse_in(text.trim(), &job.facts().timezone)
        .map_err(|err| Failure::could_not_start(format!("{key}: {err}")).for_good())
}
