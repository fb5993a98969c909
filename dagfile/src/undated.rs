//! Names of dates that some runs of a DAG do not have.

use crate::diagnostic::Diagnostic;
use crate::refs::range_of;
use crate::walk::dag::DagKeys;
use crate::walk::{Text, Walk};
use std::collections::HashSet;
use tidemill_model::RunType;
use tidemill_template::{INTERVAL_NAMES, References};

/// Who makes runs of a DAG that have no logical date, or no data interval either. Runs by hand
/// have the present as their date unless somebody asks for none.
#[derive(Default)]
pub(crate) struct Undated {
    date: Option<&'static str>,
    interval: Option<&'static str>,
}

impl Undated {
    pub(crate) fn of(dag: &DagKeys, has_streams: bool, has_events: bool) -> Undated {
        if !dag.allowed_run_types.contains(&RunType::AssetTriggered) {
            return Undated::default();
        }
        let by_assets = dag.asset_schedule.is_some().then_some("events of assets");
        let by_events = has_events.then_some("webhooks and files");
        let by_streams = has_streams.then_some("records of Kafka");
        let interval = by_assets.or(by_events);
        Undated {
            date: interval.or(by_streams),
            interval,
        }
    }

    /// Warns of names that such a run has not, unless the template asks for something: then its
    /// author has probably thought of it.
    pub(crate) fn check(&self, walk: &mut Walk, text: &Text, found: &References) {
        if found.asks {
            return;
        }
        let mut told = HashSet::new();
        for name in &found.dates {
            let is_end = INTERVAL_NAMES.contains(&name.name.as_str());
            let makers = if is_end { self.interval } else { self.date };
            let Some(makers) = makers.filter(|_| told.insert(&name.name)) else {
                continue;
            };
            let span = range_of(walk, text, &name.range);
            let message = format!(
                "`{}` can be absent: runs that {makers} make have none",
                name.name
            );
            let one = Diagnostic::warning("TM0314", span, message)
                .label("without it the task fails")
                .help("say what holds without it, by `| default(…)` or `if … is defined`");
            walk.report(one);
        }
    }
}
