//! Versions of DAGs: kept once for each hash, their files once for each content.
//!
//! A folder of ten thousand files comes in at once, so each question is asked for all versions of
//! a batch together, as a JSON list that SQL takes apart.

use crate::engine::list_of;
use crate::rows;
use crate::sql;
use crate::trouble::Trouble;
use serde_json::json;
use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, SqliteConnection};
use std::collections::{HashMap, HashSet};
use tidemill_model::{DagNo, TaskNo, VersionNo};
use tidemill_store::{DagRecord, NewVersion, StoredVersion};

/// Keeps versions in one transaction. Where nothing is new, nothing is written.
pub(crate) async fn put_all(
    conn: &mut SqliteConnection,
    versions: &[NewVersion],
) -> Result<Vec<StoredVersion>, Trouble> {
    let mut tx = conn.begin_with(sql::BEGIN).await?;
    let mut stored = Vec::with_capacity(versions.len());
    let mut rest = versions;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(n_of_different_dags(rest));
        stored.extend(put(&mut tx, batch).await?);
        rest = after;
    }
    tx.commit().await?;
    Ok(stored)
}

/// How many versions stand before a DAG comes up again.
fn n_of_different_dags(versions: &[NewVersion]) -> usize {
    let mut seen = HashSet::new();
    versions
        .iter()
        .take_while(|version| seen.insert(&version.dag_id))
        .count()
}

/// A version on its way in.
struct Incoming<'a> {
    new: &'a NewVersion,
    dag: DagNo,
    version: VersionNo,
    is_new: bool,
}

/// Keeps versions of different DAGs.
async fn put(
    tx: &mut SqliteConnection,
    versions: &[NewVersion],
) -> Result<Vec<StoredVersion>, Trouble> {
    let known = dags_named(tx, versions).await?;
    let dags = number_dags(tx, versions, &known).await?;
    let incoming = number_versions(tx, versions, &dags).await?;
    set_current(tx, &incoming, &known).await?;
    let mut task_nos = number_tasks(tx, &incoming).await?;
    let mut records = dags_named(tx, versions).await?;
    let stored = incoming.into_iter().map(|incoming| {
        let record = records.remove(&incoming.new.dag_id);
        Ok(StoredVersion {
            dag: record.ok_or_else(|| vanished(incoming.new))?,
            version: incoming.version,
            task_nos: task_nos.remove(&incoming.dag).unwrap_or_default(),
            is_new: incoming.is_new,
        })
    });
    stored.collect()
}

fn vanished(new: &NewVersion) -> Trouble {
    Trouble::Unreadable(format!("DAG `{}` has vanished", new.dag_id))
}

/// Runs a statement that takes a list; with an empty one there is nothing to run.
async fn rows_of<T>(
    conn: &mut SqliteConnection,
    text: &'static str,
    list: Vec<serde_json::Value>,
    read: rows::Read<T>,
) -> Result<Vec<T>, Trouble> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let list = serde_json::Value::Array(list).to_string();
    let rows: Vec<SqliteRow> = sqlx::query(text).bind(list).fetch_all(conn).await?;
    rows::all(&rows, read)
}

async fn dags_named(
    tx: &mut SqliteConnection,
    versions: &[NewVersion],
) -> Result<HashMap<String, DagRecord>, Trouble> {
    let names = versions.iter().map(|new| json!(new.dag_id)).collect();
    let dags = rows_of(tx, sql::DAGS_BY_NAMES, names, rows::dag).await?;
    Ok(dags
        .into_iter()
        .map(|dag| (dag.dag_id.clone(), dag))
        .collect())
}

/// Numbers of DAGs by name: known ones have theirs, new ones are made.
async fn number_dags(
    tx: &mut SqliteConnection,
    versions: &[NewVersion],
    known: &HashMap<String, DagRecord>,
) -> Result<HashMap<String, DagNo>, Trouble> {
    let new = versions
        .iter()
        .filter(|new| !known.contains_key(&new.dag_id));
    let list = new.map(|new| {
        json!({"dag_id": new.dag_id, "file": new.file, "at": new.now.0,
               "is_paused": i32::from(new.paused_if_new)})
    });
    let made = rows_of(tx, sql::DAGS_INSERT, list.collect(), |columns| {
        Ok((columns.take()?, DagNo(columns.take()?)))
    });
    let mut dags: HashMap<String, DagNo> = made.await?.into_iter().collect();
    dags.extend(known.values().map(|dag| (dag.dag_id.clone(), dag.dag)));
    Ok(dags)
}

/// The version of each hash: an earlier one, or a new one with its files.
async fn number_versions<'a>(
    tx: &mut SqliteConnection,
    versions: &'a [NewVersion],
    dags: &HashMap<String, DagNo>,
) -> Result<Vec<Incoming<'a>>, Trouble> {
    let with_dag: Vec<(&NewVersion, DagNo)> = versions
        .iter()
        .map(|new| {
            let dag = dags.get(&new.dag_id).ok_or_else(|| vanished(new))?;
            Ok((new, *dag))
        })
        .collect::<Result<_, Trouble>>()?;
    let hashes = with_dag
        .iter()
        .map(|(new, dag)| json!({"dag": dag.0, "hash": new.hash}));
    let earlier = rows_of(
        tx,
        sql::VERSIONS_BY_HASHES,
        hashes.collect(),
        rows::version_of_dag,
    )
    .await?;
    let earlier: HashMap<DagNo, VersionNo> = earlier.into_iter().collect();
    let new = with_dag
        .iter()
        .filter(|(_, dag)| !earlier.contains_key(dag));
    let list = new.map(|(new, dag)| {
        json!({"dag": dag.0, "hash": new.hash, "file": new.file, "source": new.source,
               "at": new.now.0})
    });
    let made = rows_of(
        tx,
        sql::VERSIONS_INSERT,
        list.collect(),
        rows::version_of_dag,
    )
    .await?;
    let made: HashMap<DagNo, VersionNo> = made.into_iter().collect();
    let mut incoming = Vec::with_capacity(with_dag.len());
    for (new, dag) in with_dag {
        let is_new = made.contains_key(&dag);
        let version = made.get(&dag).or_else(|| earlier.get(&dag));
        let version = *version.ok_or_else(|| vanished(new))?;
        if is_new {
            keep_files(tx, version, new).await?;
        }
        incoming.push(Incoming {
            new,
            dag,
            version,
            is_new,
        });
    }
    Ok(incoming)
}

async fn keep_files(
    tx: &mut SqliteConnection,
    version: VersionNo,
    new: &NewVersion,
) -> Result<(), Trouble> {
    for file in &new.files {
        let sha256 = Sha256::digest(&file.bytes).to_vec();
        sqlx::query(sql::BLOB_INSERT)
            .bind(&sha256)
            .bind(&file.bytes)
            .execute(&mut *tx)
            .await?;
        let insert = sqlx::query(sql::VERSION_FILE_INSERT)
            .bind(version.0)
            .bind(&file.path)
            .bind(file.mode);
        insert.bind(&sha256).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Makes each version the current one of its DAG, where it is not.
async fn set_current(
    tx: &mut SqliteConnection,
    incoming: &[Incoming<'_>],
    known: &HashMap<String, DagRecord>,
) -> Result<(), Trouble> {
    let mut list = Vec::new();
    for Incoming {
        new, dag, version, ..
    } in incoming
    {
        let current = known
            .get(&new.dag_id)
            .filter(|known| known.version == *version);
        if current.is_some_and(|known| !known.is_stale && known.file == new.file) {
            continue;
        }
        let at = current.map_or(new.now, |known| known.updated_at);
        list.push(json!({"dag": dag.0, "file": new.file, "version": version.0, "at": at.0}));
    }
    rows_of(tx, sql::DAGS_SET_VERSION, list, |_| Ok(())).await?;
    Ok(())
}

/// Numbers for task names: known names keep theirs, new ones get the next.
async fn number_tasks(
    tx: &mut SqliteConnection,
    incoming: &[Incoming<'_>],
) -> Result<HashMap<DagNo, Vec<TaskNo>>, Trouble> {
    let mut numbers = names_of(tx, incoming).await?;
    let mut fresh = Vec::new();
    for Incoming { new, dag, .. } in incoming {
        let known = numbers.get(dag);
        let mut seen = HashSet::new();
        for task_id in &new.task_ids {
            let is_known = known.is_some_and(|known| known.contains_key(task_id));
            if !is_known && seen.insert(task_id) {
                fresh.push(json!({"dag": dag.0, "task_id": task_id}));
            }
        }
    }
    if !fresh.is_empty() {
        rows_of(tx, sql::TASK_NAMES_INSERT, fresh, |_| Ok(())).await?;
        numbers = names_of(tx, incoming).await?;
    }
    let mut of_dags = HashMap::with_capacity(incoming.len());
    for Incoming { new, dag, .. } in incoming {
        let known = numbers.remove(dag).unwrap_or_default();
        let numbered = new.task_ids.iter().map(|name| known.get(name).copied());
        let numbered = numbered.collect::<Option<Vec<TaskNo>>>();
        let numbered =
            numbered.ok_or_else(|| Trouble::Unreadable("a task has no number".to_string()))?;
        of_dags.insert(*dag, numbered);
    }
    Ok(of_dags)
}

async fn names_of(
    tx: &mut SqliteConnection,
    incoming: &[Incoming<'_>],
) -> Result<HashMap<DagNo, HashMap<String, TaskNo>>, Trouble> {
    let dags = list_of(incoming.iter().map(|incoming| incoming.dag.0));
    let rows = sqlx::query(sql::TASK_NAMES_OF_DAGS)
        .bind(dags)
        .fetch_all(tx)
        .await?;
    let mut names: HashMap<DagNo, HashMap<String, TaskNo>> = HashMap::new();
    for (dag, number, name) in rows::all(&rows, rows::task_name_of_dag)? {
        names.entry(dag).or_default().insert(name, number);
    }
    Ok(names)
}
