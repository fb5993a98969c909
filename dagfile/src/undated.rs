//! Names that some runs of a DAG do not have: dates, and the trigger.

use crate::diagnostic::Diagnostic;
use crate::refs::range_of;
use crate::walk::dag::DagKeys;
use crate::walk::{Text, Walk};
use std::collections::HashSet;
use std::ops::Range;
use tidemill_model::RunType;
use tidemill_template::{INTERVAL_NAMES, References};

/// Who makes runs of a DAG that have no logical date, or no data interval either, or that no
/// trigger has made. Runs by hand have the present as their date unless somebody asks for none;
/// that they have no trigger is for whoever asks for them to know.
#[derive(Default)]
pub(crate) struct Undated {
    date: Option<&'static str>,
    interval: Option<&'static str>,
    trigger: Option<&'static str>,
}

impl Undated {
    pub(crate) fn of(dag: &DagKeys, has_streams: bool, has_events: bool) -> Undated {
        let may = |run_type: RunType| dag.allowed_run_types.contains(&run_type);
        let is_scheduled = may(RunType::Scheduled) && !dag.schedule.is_manual();
        let by_schedule = is_scheduled.then_some("the schedule");
        if !may(RunType::AssetTriggered) {
            return Undated {
                trigger: by_schedule,
                ..Undated::default()
            };
        }
        let by_assets = dag.asset_schedule.is_some().then_some("events of assets");
        let by_events = has_events.then_some("webhooks and files");
        let by_streams = has_streams.then_some("records of Kafka");
        let interval = by_assets.or(by_events);
        Undated {
            date: interval.or(by_streams),
            interval,
            trigger: by_schedule.or(by_assets),
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
            if let Some(makers) = makers.filter(|_| told.insert(&name.name)) {
                absent(walk, text, &name.name, &name.range, makers);
            }
        }
        if let (Some(used), Some(makers)) = (found.trigger.first(), self.trigger) {
            absent(walk, text, "trigger", &used.range, makers);
        }
    }
}

fn absent(walk: &mut Walk, text: &Text, name: &str, range: &Range<usize>, makers: &str) {
    let span = range_of(walk, text, range);
    let message = format!("`{name}` can be absent: runs by {makers} have none");
    let one = Diagnostic::warning("TM0314", span, message)
        .label("without it the task fails")
        .help("say what holds without it, by `| default(…)` or `if … is defined`");
    walk.report(one);
}
