//! Connections and variables on the maps.

use super::MemoryStore;
use crate::{ConnectionRecord, OutsideChange, OutsideStore, StoreError, VariableRecord};
use async_trait::async_trait;
use std::collections::BTreeMap;

/// By name.
#[derive(Debug, Default)]
pub(super) struct Outside {
    connections: BTreeMap<String, ConnectionRecord>,
    variables: BTreeMap<String, VariableRecord>,
}

#[async_trait]
impl OutsideStore for MemoryStore {
    async fn connections(&self) -> Result<Vec<ConnectionRecord>, StoreError> {
        Ok(self.lock().outside.connections.values().cloned().collect())
    }

    async fn connections_named(&self, ids: &[String]) -> Result<Vec<ConnectionRecord>, StoreError> {
        let all = self.connections().await?.into_iter();
        Ok(all.filter(|one| ids.contains(&one.id)).collect())
    }

    async fn variables(&self) -> Result<Vec<VariableRecord>, StoreError> {
        Ok(self.lock().outside.variables.values().cloned().collect())
    }

    async fn variables_named(&self, keys: &[String]) -> Result<Vec<VariableRecord>, StoreError> {
        let all = self.variables().await?.into_iter();
        Ok(all.filter(|one| keys.contains(&one.key)).collect())
    }

    async fn change_outside(&self, change: &OutsideChange) -> Result<(), StoreError> {
        let outside = &mut self.lock().outside;
        for id in &change.forget_connections {
            outside.connections.remove(id);
        }
        for key in &change.forget_variables {
            outside.variables.remove(key);
        }
        for one in &change.connections {
            outside.connections.insert(one.id.clone(), one.clone());
        }
        for one in &change.variables {
            outside.variables.insert(one.key.clone(), one.clone());
        }
        Ok(())
    }
}
