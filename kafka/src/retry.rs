//! A record that leaves the quarantine, as a run.

use crate::record::{Record, stored_headers};
use crate::source::reading::{Judged, Rules, judge};
use crate::source::runs::Maker;
use crate::source::{Ports, SourceSpec};
use std::sync::Arc;
use tidemill_model::Ts;
use tidemill_store::{NewStreamRun, PoisonRecord};

/// The run of a record that a person wants tried again, by the rules of the present version.
///
/// # Errors
/// Why it still makes no run.
pub fn retried(
    spec: &SourceSpec,
    ports: &Ports,
    poison: &PoisonRecord,
    now: Ts,
) -> Result<NewStreamRun, String> {
    if poison.class == "oversize" {
        return Err(format!(
            "its bytes were not kept, for it was too large: raise `max_record_bytes` and replay offset {}",
            poison.offset
        ));
    }
    let rules = Rules::new(&spec.trigger.kafka)?;
    let record = Record {
        topic: poison.partition.topic.as_str().into(),
        partition: poison.partition.partition,
        offset: poison.offset,
        timestamp: poison.timestamp,
        key: poison.key.as_deref().map(Arc::from),
        value: poison.value.as_deref().map(Arc::from),
        headers: stored_headers(&poison.headers),
    };
    let kept = match judge(&record, &rules) {
        Judged::Kept(kept) => *kept,
        Judged::Filtered | Judged::Missing => {
            return Err("the filter does not let it pass".to_string());
        }
        Judged::Skipped => return Err("`tombstones = \"skip\"` passes over it".to_string()),
        Judged::Poison(_, why) => return Err(why),
    };
    let maker = Maker {
        spec,
        ports,
        trigger: poison.trigger,
        replay: poison.replay,
    };
    Ok(maker.run_again(&poison.partition, kept, poison.poison, now))
}
