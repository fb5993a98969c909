//! What `run` takes of the home's own connections and variables, when its environment lacks them.

use super::client::{Client, Where};
use crate::daemon::outside::{Keeper, KeyPlace};
use crate::exit::Failure;
use serde_json::Value;
use std::sync::Arc;
use tidemill_connection::{Found, Keys, Places, Secret, from_json};
use tidemill_model::{Dag, Uses};
use tidemill_store::memory::MemoryStore;
use tidemill_store::{ConnectionChange, OutsideWish, VariableChange};

/// A keeper of what the tasks of a DAG use and this environment does not have; nothing when it has
/// all of it, or there is no server and no database here.
pub(super) async fn keeper(at: &Where, dag: &Dag, places: &Places) -> Option<Arc<Keeper>> {
    let mut open = Uses::default();
    for task in &dag.tasks {
        let (_, lacks) = Found::look(&task.uses, places);
        lacks
            .connections
            .iter()
            .for_each(|id| open.add_connection(id));
        let optional = lacks.optional_variables.iter().map(|key| (key, true));
        let variables = lacks.variables.iter().map(|key| (key, false));
        variables
            .chain(optional)
            .for_each(|(key, is_optional)| open.add_variable(key, is_optional));
    }
    if open.is_empty() {
        return None;
    }
    match borrowed(at, &open).await {
        Ok(keeper) => Some(Arc::new(keeper)),
        Err(failure) => {
            tracing::debug!(what = failure.message, "No secrets of a database here");
            None
        }
    }
}

/// They are sealed in this process's memory by a key that nobody else has.
async fn borrowed(at: &Where, open: &Uses) -> Result<Keeper, Failure> {
    let client = Client::of(at).await?;
    let whole = client.get("/api/tidemill/v1/secrets/export").await?;
    let failed = |what: String| Failure::new(crate::exit::Exit::Error, what);
    let key = Keys::generate().map_err(|err| failed(err.what))?;
    let keeper = Keeper::open(
        Arc::new(MemoryStore::new()),
        KeyPlace::Environment(key.text()),
    );
    let keeper = keeper.map_err(|err| failed(err.what))?;
    for wish in wishes(&whole, open) {
        let kept = keeper.answer(wish, true).await;
        kept.map_err(|refusal| failed(refusal.to_string()))?;
    }
    Ok(keeper)
}

fn wishes(whole: &Value, open: &Uses) -> Vec<OutsideWish> {
    let connections = open.connections.iter().filter_map(|id| {
        let connection = from_json(id, whole["connections"].get(id)?).ok()?;
        Some(OutsideWish::SetConnection {
            id: id.clone(),
            change: Box::new(ConnectionChange::all_of(connection)),
            is_new: None,
        })
    });
    let variables = open.variables.iter().chain(&open.optional_variables);
    let variables = variables.filter_map(|key| {
        let one = whole["variables"].get(key)?;
        let change = VariableChange {
            value: Some(Secret::from(one["value"].as_str()?)),
            description: None,
            is_marked: one["is_secret"].as_bool(),
        };
        let key = key.clone();
        Some(OutsideWish::SetVariable {
            key,
            change,
            is_new: None,
        })
    });
    connections.chain(variables).collect()
}
