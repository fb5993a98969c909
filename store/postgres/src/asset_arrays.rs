//! Assets, their events and what became of them, as the arrays of a pass. No row comes twice.

use crate::arrays::{Statement, column};
use crate::text::{maybe_stored, stored};
use std::collections::BTreeMap;
use tidemill_model::{DagNo, EventNo};
use tidemill_store::{AssetDelivery, AssetEventRow, AssetRow, EventSource, Pass};

pub(crate) struct AssetRows<'p> {
    assets: Vec<&'p AssetRow>,
    events: Vec<&'p AssetEventRow>,
    dropped: &'p [(DagNo, EventNo)],
    deliveries: Vec<AssetDelivery>,
}

impl<'p> AssetRows<'p> {
    pub(crate) fn of(pass: &'p Pass) -> AssetRows<'p> {
        let assets: BTreeMap<_, _> = pass.assets.iter().map(|row| (row.asset, row)).collect();
        let mut events: BTreeMap<_, _> = BTreeMap::new();
        for event in &pass.asset_events {
            events.entry(event.event).or_insert(event);
        }
        let mut deliveries: BTreeMap<(DagNo, EventNo), AssetDelivery> = BTreeMap::new();
        for one in &pass.deliveries {
            let kept = deliveries.entry((one.dag, one.event)).or_insert(*one);
            kept.run = kept.run.or(one.run);
        }
        AssetRows {
            assets: assets.into_values().collect(),
            events: events.into_values().collect(),
            // One that comes anew is not deleted first: no row is touched twice.
            dropped: &pass.dropped_deliveries,
            deliveries: deliveries.into_values().collect(),
        }
    }

    pub(crate) fn bind<'q>(&self, statement: Statement<'q>) -> Statement<'q> {
        let statement = statement
            .bind(column(&self.assets, |row| row.asset.0))
            .bind(column(&self.assets, |row| stored(&row.name)))
            .bind(column(&self.assets, |row| stored(&row.uri)))
            .bind(column(&self.assets, |row| stored(&row.group)))
            .bind(column(&self.assets, |row| maybe_stored(&row.description)))
            .bind(column(&self.assets, |row| row.extra.to_string()))
            .bind(column(&self.assets, |row| row.created_at.0))
            .bind(column(&self.assets, |row| row.updated_at.0));
        let named = |of: fn(&EventSource) -> &String| {
            column(&self.events, move |event| {
                event.source.as_ref().map(|source| stored(of(source)))
            })
        };
        let statement = statement
            .bind(column(&self.events, |event| event.event.0))
            .bind(column(&self.events, |event| event.asset.0))
            .bind(column(&self.events, |event| event.at.0))
            .bind(column(&self.events, |event| event.extra.to_string()))
            .bind(named(|source| &source.dag_id))
            .bind(named(|source| &source.run_id))
            .bind(named(|source| &source.task_id))
            .bind(column(&self.events, |event| {
                event.source.as_ref().map_or(-1, |source| source.map_index)
            }))
            .bind(column(&self.events, |event| {
                maybe_stored(&event.emitted_by)
            }));
        statement
            .bind(column(self.dropped, |key| key.0.0))
            .bind(column(self.dropped, |key| key.1.0))
            .bind(column(&self.deliveries, |one| one.dag.0))
            .bind(column(&self.deliveries, |one| one.event.0))
            .bind(column(&self.deliveries, |one| one.run.map(|run| run.0)))
    }
}
