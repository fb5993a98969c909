//! Assets, their events and what became of them, on the maps.

use super::{Tables, refused};
use crate::record::Pass;
use crate::{AssetDelivery, AssetEventRow, AssetRow, EventFilter, EventList, StoreError};
use tidemill_model::{AssetNo, DagNo, EventNo};

impl Tables {
    /// Do the events of a pass belong to something?
    pub(super) fn check_assets(&self, pass: &Pass) -> Result<(), StoreError> {
        let is_new = |no: &AssetNo| pass.assets.iter().any(|row| row.asset == *no);
        let is_asset = |no: &AssetNo| self.assets.contains_key(no) || is_new(no);
        let comes = |no: &EventNo| pass.asset_events.iter().any(|event| event.event == *no);
        let is_event = |no: &EventNo| self.asset_events.contains_key(no) || comes(no);
        let is_whole = pass.asset_events.iter().all(|event| is_asset(&event.asset))
            && pass
                .deliveries
                .iter()
                .all(|one| self.dags.contains_key(&one.dag) && is_event(&one.event));
        match is_whole {
            true => Ok(()),
            false => Err(refused("an asset, its event or a DAG is not there")),
        }
    }

    pub(super) fn keep_assets(&mut self, pass: &Pass) {
        for row in &pass.assets {
            let kept = self.assets.entry(row.asset).or_insert_with(|| row.clone());
            // What it is called and when it came never changes.
            *kept = AssetRow {
                name: kept.name.clone(),
                created_at: kept.created_at,
                ..row.clone()
            };
        }
        for event in &pass.asset_events {
            let events = &mut self.asset_events;
            events.entry(event.event).or_insert_with(|| event.clone());
        }
        for key in &pass.dropped_deliveries {
            if self.deliveries.get(key) == Some(&None) {
                self.deliveries.remove(key);
            }
        }
        for one in &pass.deliveries {
            // What a run has taken stays with it.
            let kept = self.deliveries.entry((one.dag, one.event)).or_default();
            *kept = kept.or(one.run);
        }
    }

    pub(super) fn assets_by_name(&self) -> Vec<AssetRow> {
        let mut rows: Vec<AssetRow> = self.assets.values().cloned().collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows
    }

    pub(super) fn waiting_events(&self) -> Vec<(DagNo, AssetEventRow)> {
        let waiting = self.deliveries.iter().filter(|(_, run)| run.is_none());
        let event = |no: &EventNo| self.asset_events.get(no).cloned();
        waiting
            .filter_map(|((dag, no), _)| Some((*dag, event(no)?)))
            .collect()
    }

    pub(super) fn events_found(&self, filter: &EventFilter) -> EventList {
        let is_part = |event: &AssetEventRow| {
            let mut deliveries = self.deliveries.iter();
            filter.part_of.is_none()
                || deliveries.any(|((_, no), run)| *no == event.event && *run == filter.part_of)
        };
        let newest = self.asset_events.values().rev();
        let found: Vec<&AssetEventRow> = newest
            .filter(|event| filter.has(event) && is_part(event))
            .collect();
        let page = found.iter().skip(filter.offset as usize);
        EventList {
            total: found.len() as i64,
            events: page
                .take(filter.limit as usize)
                .map(|event| (*event).clone())
                .collect(),
        }
    }

    pub(super) fn last_events(&self) -> Vec<AssetEventRow> {
        let is_last = |event: &&AssetEventRow| {
            let mut later = self.asset_events.values().rev();
            later
                .find(|other| other.asset == event.asset)
                .map(|last| last.event)
                == Some(event.event)
        };
        self.asset_events
            .values()
            .filter(is_last)
            .cloned()
            .collect()
    }

    pub(super) fn deliveries_of(&self, events: &[EventNo]) -> Vec<AssetDelivery> {
        let taken = self.deliveries.iter().filter(|(_, run)| run.is_some());
        let mut found: Vec<AssetDelivery> = taken
            .filter(|((_, event), _)| events.contains(event))
            .map(|((dag, event), run)| AssetDelivery {
                dag: *dag,
                event: *event,
                run: *run,
            })
            .collect();
        found.sort_by_key(|one| (one.event, one.dag));
        found
    }
}
