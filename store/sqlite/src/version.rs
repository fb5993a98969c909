//! Versions of DAGs: kept once for each hash, their files once for each content.

use crate::rows::{self, Columns};
use crate::sql;
use crate::trouble::Trouble;
use sha2::{Digest, Sha256};
use sqlx::{Connection, SqliteConnection};
use std::collections::HashMap;
use tidemill_model::{DagNo, TaskNo, VersionNo};
use tidemill_store::{DagRecord, NewVersion, StoredVersion};

/// Keeps versions in one transaction. Where nothing is new, nothing is written.
pub(crate) async fn put_all(
    conn: &mut SqliteConnection,
    versions: &[NewVersion],
) -> Result<Vec<StoredVersion>, Trouble> {
    let mut tx = conn.begin_with(sql::BEGIN).await?;
    let mut stored = Vec::with_capacity(versions.len());
    for version in versions {
        stored.push(put(&mut tx, version).await?);
    }
    tx.commit().await?;
    Ok(stored)
}

async fn put(tx: &mut SqliteConnection, new: &NewVersion) -> Result<StoredVersion, Trouble> {
    let known = dag_named(tx, &new.dag_id).await?;
    let dag = match &known {
        Some(known) => known.dag,
        None => insert_dag(tx, new).await?,
    };
    let earlier = sqlx::query(sql::VERSION_BY_HASH)
        .bind(dag.0)
        .bind(&new.hash)
        .fetch_optional(&mut *tx)
        .await?;
    let earlier = rows::one(earlier, |columns| columns.next().map(VersionNo))?;
    let is_new = earlier.is_none();
    let version = match earlier {
        Some(earlier) => earlier,
        None => insert_version(tx, dag, new).await?,
    };
    let is_current = known.as_ref().is_some_and(|known| known.version == version);
    let is_unchanged = known
        .as_ref()
        .is_some_and(|known| is_current && !known.is_stale && known.file == new.file);
    if !is_unchanged {
        let updated_at = known
            .filter(|_| is_current)
            .map_or(new.now, |known| known.updated_at);
        let update = sqlx::query(sql::DAG_SET_VERSION)
            .bind(dag.0)
            .bind(&new.file)
            .bind(version.0);
        update.bind(updated_at.0).execute(&mut *tx).await?;
    }
    let task_nos = number_tasks(tx, dag, &new.task_ids).await?;
    let record = dag_named(tx, &new.dag_id).await?;
    let dag =
        record.ok_or_else(|| Trouble::Unreadable(format!("DAG `{}` has vanished", new.dag_id)))?;
    Ok(StoredVersion {
        dag,
        version,
        task_nos,
        is_new,
    })
}

async fn dag_named(
    conn: &mut SqliteConnection,
    dag_id: &str,
) -> Result<Option<DagRecord>, Trouble> {
    rows::one(
        sqlx::query(sql::DAG_BY_NAME)
            .bind(dag_id)
            .fetch_optional(conn)
            .await?,
        rows::dag,
    )
}

async fn insert_dag(conn: &mut SqliteConnection, new: &NewVersion) -> Result<DagNo, Trouble> {
    let insert = sqlx::query(sql::DAG_INSERT)
        .bind(&new.dag_id)
        .bind(&new.file)
        .bind(new.paused_if_new);
    let row = insert.bind(new.now.0).fetch_one(conn).await?;
    Ok(DagNo(Columns::of(&row).next()?))
}

async fn insert_version(
    conn: &mut SqliteConnection,
    dag: DagNo,
    new: &NewVersion,
) -> Result<VersionNo, Trouble> {
    let insert = sqlx::query(sql::VERSION_INSERT)
        .bind(dag.0)
        .bind(&new.hash)
        .bind(&new.file)
        .bind(&new.source);
    let row = insert.bind(new.now.0).fetch_one(&mut *conn).await?;
    let version = VersionNo(Columns::of(&row).next()?);
    for file in &new.files {
        let sha256 = Sha256::digest(&file.bytes).to_vec();
        sqlx::query(sql::BLOB_INSERT)
            .bind(&sha256)
            .bind(&file.bytes)
            .execute(&mut *conn)
            .await?;
        let insert = sqlx::query(sql::VERSION_FILE_INSERT)
            .bind(version.0)
            .bind(&file.path)
            .bind(file.mode);
        insert.bind(&sha256).execute(&mut *conn).await?;
    }
    Ok(version)
}

/// Numbers for task names: known names keep theirs, new ones get the next.
async fn number_tasks(
    conn: &mut SqliteConnection,
    dag: DagNo,
    task_ids: &[String],
) -> Result<Vec<TaskNo>, Trouble> {
    let mut numbers = names_of(conn, dag).await?;
    if task_ids
        .iter()
        .any(|task_id| !numbers.contains_key(task_id))
    {
        let list = serde_json::to_string(task_ids)?;
        sqlx::query(sql::TASK_NAMES_INSERT)
            .bind(dag.0)
            .bind(list)
            .execute(&mut *conn)
            .await?;
        numbers = names_of(conn, dag).await?;
    }
    let numbered = task_ids.iter().map(|task_id| numbers.get(task_id).copied());
    numbered
        .collect::<Option<Vec<TaskNo>>>()
        .ok_or_else(|| Trouble::Unreadable("a task has no number".to_string()))
}

async fn names_of(
    conn: &mut SqliteConnection,
    dag: DagNo,
) -> Result<HashMap<String, TaskNo>, Trouble> {
    let names = sqlx::query(sql::TASK_NAMES)
        .bind(dag.0)
        .fetch_all(conn)
        .await?;
    Ok(rows::all(&names, rows::task_name)?
        .into_iter()
        .map(|(number, name)| (name, number))
        .collect())
}
