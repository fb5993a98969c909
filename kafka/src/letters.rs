//! The thread that copies records in quarantine to the dead-letter topic.

use crate::client::Login;
use crate::dead_letter::DeadLetters;
use crate::source::control::Control;
use std::sync::Arc;
use std::time::Duration;
use tidemill_model::{TriggerNo, Ts};
use tidemill_store::StreamStore;

/// Letters of one turn.
const TURN: u32 = 100;
/// Tasks and the ends of runs put records into quarantine too, and ring no bell.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What could not be sent is tried again so soon.
const AGAIN: Duration = Duration::from_secs(5);

/// What the thread needs.
pub(crate) struct Letters {
    pub login: Arc<dyn Fn() -> Result<Login, String> + Send + Sync>,
    pub topic: String,
    pub dag_id: String,
    pub trigger_name: String,
    pub trigger: TriggerNo,
    pub store: Arc<dyn StreamStore>,
    pub runtime: tokio::runtime::Handle,
    pub control: Arc<Control>,
    pub now: fn() -> Ts,
}

impl Letters {
    /// Until it is told to stop. It is rung when there is a new letter.
    pub(crate) fn run(self) {
        let mut sender = None;
        while !self.control.is_stopped() {
            let unsent = self.store.unsent_poison(self.trigger, TURN);
            let letters = self.runtime.block_on(unsent).unwrap_or_default();
            if letters.is_empty() {
                self.control.wait(LOOK_EVERY);
                continue;
            }
            if sender.is_none() {
                match (self.login)().and_then(|login| DeadLetters::new(&login, &self.topic)) {
                    Ok(made) => sender = Some(made),
                    Err(why) => tracing::warn!(topic = %self.topic, why, "Dead letters wait"),
                }
            }
            let sent = sender
                .as_ref()
                .map(|sender| sender.send(&letters, &self.dag_id, &self.trigger_name));
            let sent = sent.unwrap_or_default();
            let n_sent = sent.len();
            let marked = self.store.mark_sent(&sent, (self.now)());
            let is_marked = self.runtime.block_on(marked).is_ok();
            if n_sent < letters.len() || !is_marked {
                self.control.wait(AGAIN);
            }
        }
    }
}
