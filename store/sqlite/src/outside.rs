//! Connections and variables.

use crate::rows;
use crate::trouble::Trouble;
use crate::{SqliteStore, sql};
use async_trait::async_trait;
use sqlx::Connection;
use tidemill_store::{ConnectionRecord, OutsideChange, OutsideStore, StoreError, VariableRecord};

#[async_trait]
impl OutsideStore for SqliteStore {
    async fn connections(&self) -> Result<Vec<ConnectionRecord>, StoreError> {
        self.list(sqlx::query(sql::CONNECTIONS), rows::connection)
            .await
    }

    async fn connections_named(&self, ids: &[String]) -> Result<Vec<ConnectionRecord>, StoreError> {
        let query = sqlx::query(sql::CONNECTIONS_NAMED).bind(list_of(ids));
        self.list(query, rows::connection).await
    }

    async fn variables(&self) -> Result<Vec<VariableRecord>, StoreError> {
        self.list(sqlx::query(sql::VARIABLES), rows::variable).await
    }

    async fn variables_named(&self, keys: &[String]) -> Result<Vec<VariableRecord>, StoreError> {
        let query = sqlx::query(sql::VARIABLES_NAMED).bind(list_of(keys));
        self.list(query, rows::variable).await
    }

    async fn change_outside(&self, change: &OutsideChange) -> Result<(), StoreError> {
        let written = self.write_outside(change).await;
        written.map_err(|trouble| self.say(trouble))
    }
}

fn list_of(names: &[String]) -> String {
    serde_json::Value::from_iter(names.iter().map(String::as_str)).to_string()
}

impl SqliteStore {
    async fn write_outside(&self, change: &OutsideChange) -> Result<(), Trouble> {
        let mut writer = self.writer().await?;
        let mut tx = writer.conn().begin_with(sql::BEGIN).await?;
        for id in &change.forget_connections {
            let query = sqlx::query(sql::CONNECTION_FORGET).bind(id);
            query.execute(&mut *tx).await?;
        }
        for key in &change.forget_variables {
            let query = sqlx::query(sql::VARIABLE_FORGET).bind(key);
            query.execute(&mut *tx).await?;
        }
        for one in &change.connections {
            let query = sqlx::query(sql::CONNECTION_PUT)
                .bind(&one.id)
                .bind(&one.conn_type)
                .bind(&one.description)
                .bind(&one.host)
                .bind(one.port.map(i64::from))
                .bind(&one.login)
                .bind(&one.schema)
                .bind(&one.password)
                .bind(&one.extra)
                .bind(one.updated_at.0);
            query.execute(&mut *tx).await?;
        }
        for one in &change.variables {
            let query = sqlx::query(sql::VARIABLE_PUT)
                .bind(&one.key)
                .bind(&one.description)
                .bind(one.is_marked)
                .bind(&one.value)
                .bind(one.updated_at.0);
            query.execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }
}
