//! Connections and variables.

use crate::engine::fence;
use crate::rows;
use crate::text::{maybe_stored, stored};
use crate::trouble::Trouble;
use crate::{PostgresStore, sql};
use async_trait::async_trait;
use sqlx::{Connection, PgConnection};
use tidemill_store::{ConnectionRecord, OutsideChange, OutsideStore, StoreError, VariableRecord};

#[async_trait]
impl OutsideStore for PostgresStore {
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
        self.writable()?;
        let (term, change) = (self.lease.term(), change.clone());
        self.with(move |conn| Box::pin(async move { write(conn, term, &change).await }))
            .await
    }
}

fn list_of(names: &[String]) -> Vec<String> {
    names.iter().map(|name| stored(name).into_owned()).collect()
}

async fn write(
    conn: &mut PgConnection,
    term: Option<i64>,
    change: &OutsideChange,
) -> Result<(), Trouble> {
    let mut tx = conn.begin().await?;
    fence(&mut tx, term).await?;
    for id in &change.forget_connections {
        let query = sqlx::query(sql::CONNECTION_FORGET).bind(stored(id));
        query.execute(&mut *tx).await?;
    }
    for key in &change.forget_variables {
        let query = sqlx::query(sql::VARIABLE_FORGET).bind(stored(key));
        query.execute(&mut *tx).await?;
    }
    for one in &change.connections {
        let query = sqlx::query(sql::CONNECTION_PUT)
            .bind(stored(&one.id))
            .bind(stored(&one.conn_type))
            .bind(maybe_stored(&one.description))
            .bind(maybe_stored(&one.host))
            .bind(one.port.map(i32::from))
            .bind(maybe_stored(&one.login))
            .bind(maybe_stored(&one.schema))
            .bind(&one.password)
            .bind(&one.extra)
            .bind(one.updated_at.0);
        query.execute(&mut *tx).await?;
    }
    for one in &change.variables {
        let query = sqlx::query(sql::VARIABLE_PUT)
            .bind(stored(&one.key))
            .bind(maybe_stored(&one.description))
            .bind(one.is_marked)
            .bind(&one.value)
            .bind(one.updated_at.0);
        query.execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}
