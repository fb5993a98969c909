//! Versions of DAGs: kept once for each hash, their files once for each content. A folder of ten
//! thousand files comes in with a few statements for each batch.

use crate::arrays::column;
use crate::engine::fence;
use crate::rows::{self, Cells};
use crate::sql;
use crate::text::stored;
use crate::trouble::Trouble;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use std::collections::{BTreeMap, HashMap, HashSet};
use tidemill_model::{DagNo, TaskNo, VersionNo};
use tidemill_store::{DagRecord, NewVersion, StoredVersion};

/// Keeps versions in one transaction.
pub(crate) async fn put_all(
    conn: &mut PgConnection,
    term: Option<i64>,
    versions: &[NewVersion],
) -> Result<Vec<StoredVersion>, Trouble> {
    let mut tx = conn.begin().await?;
    fence(&mut tx, term).await?;
    let mut kept = Vec::with_capacity(versions.len());
    let mut rest = versions;
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(n_different(rest));
        kept.extend(put_batch(&mut tx, batch).await?);
        rest = later;
    }
    tx.commit().await?;
    Ok(kept)
}

/// How many of the first versions are each of another DAG.
fn n_different(versions: &[NewVersion]) -> usize {
    let mut seen = HashSet::new();
    versions
        .iter()
        .take_while(|version| seen.insert(version.dag_id.as_str()))
        .count()
}

async fn put_batch(
    tx: &mut PgConnection,
    batch: &[NewVersion],
) -> Result<Vec<StoredVersion>, Trouble> {
    let known = dags_named(tx, batch).await?;
    let fresh: Vec<&NewVersion> = batch
        .iter()
        .filter(|new| !known.contains_key(&new.dag_id))
        .collect();
    let mut dags: HashMap<String, DagNo> = insert_dags(tx, &fresh).await?;
    dags.extend(known.iter().map(|(name, dag)| (name.clone(), dag.dag)));
    let numbered = numbered(batch, &dags)?;
    let earlier = versions_by_hash(tx, &numbered).await?;
    let missing: Vec<(DagNo, &NewVersion)> = numbered
        .iter()
        .filter(|(dag, _)| !earlier.contains_key(dag))
        .copied()
        .collect();
    let mut versions = insert_versions(tx, &missing).await?;
    insert_files(tx, &missing, &versions).await?;
    versions.extend(&earlier);
    set_versions(tx, &numbered, &known, &versions).await?;
    let names = number_tasks(tx, &numbered).await?;
    let records = dags_named(tx, batch).await?;
    let vanished = |new: &NewVersion| {
        Trouble::Unreadable(format!("DAG `{}` or a task of it has vanished", new.dag_id))
    };
    let mut kept = Vec::with_capacity(batch.len());
    for (dag, new) in numbered {
        let record = records.get(&new.dag_id).cloned();
        let record = record.ok_or_else(|| vanished(new))?;
        let of_dag = names.get(&dag);
        let task_nos = new
            .task_ids
            .iter()
            .map(|task_id| of_dag?.get(task_id).copied());
        kept.push(StoredVersion {
            version: record.version,
            dag: record,
            task_nos: task_nos
                .collect::<Option<Vec<TaskNo>>>()
                .ok_or_else(|| vanished(new))?,
            is_new: !earlier.contains_key(&dag),
        });
    }
    Ok(kept)
}

fn numbered<'n>(
    batch: &'n [NewVersion],
    dags: &HashMap<String, DagNo>,
) -> Result<Vec<(DagNo, &'n NewVersion)>, Trouble> {
    let find = |new: &'n NewVersion| {
        let dag = dags.get(&new.dag_id).copied();
        dag.map(|dag| (dag, new))
            .ok_or_else(|| Trouble::Unreadable(format!("DAG `{}` has no number", new.dag_id)))
    };
    batch.iter().map(find).collect()
}

async fn dags_named(
    conn: &mut PgConnection,
    batch: &[NewVersion],
) -> Result<HashMap<String, DagRecord>, Trouble> {
    let names: Vec<_> = batch.iter().map(|new| stored(&new.dag_id)).collect();
    let found = sqlx::query(sql::DAGS_BY_NAMES)
        .bind(names)
        .fetch_all(conn)
        .await?;
    let records = rows::all(&found, rows::dag)?.into_iter();
    Ok(records.map(|dag| (dag.dag_id.clone(), dag)).collect())
}

/// The next `n` numbers of a kind.
async fn next_numbers(
    conn: &mut PgConnection,
    kind: &str,
    n: usize,
) -> Result<std::ops::RangeInclusive<i64>, Trouble> {
    let n = n as i64;
    let take = sqlx::query(sql::COUNTER_TAKE).bind(kind).bind(n);
    let last: i64 = Cells::of(&take.fetch_one(conn).await?).take()?;
    Ok(last - n + 1..=last)
}

async fn insert_dags(
    conn: &mut PgConnection,
    fresh: &[&NewVersion],
) -> Result<HashMap<String, DagNo>, Trouble> {
    if fresh.is_empty() {
        return Ok(HashMap::new());
    }
    let numbers = next_numbers(conn, "dag", fresh.len()).await?;
    sqlx::query(sql::DAGS_INSERT)
        .bind(numbers.clone().collect::<Vec<_>>())
        .bind(column(fresh, |new| stored(&new.dag_id)))
        .bind(column(fresh, |new| stored(&new.file)))
        .bind(column(fresh, |new| new.paused_if_new))
        .bind(column(fresh, |new| new.now.0))
        .execute(conn)
        .await?;
    let names = fresh.iter().map(|new| new.dag_id.clone());
    Ok(names.zip(numbers.map(DagNo)).collect())
}

async fn versions_by_hash(
    conn: &mut PgConnection,
    wanted: &[(DagNo, &NewVersion)],
) -> Result<HashMap<DagNo, VersionNo>, Trouble> {
    let find = sqlx::query(sql::VERSIONS_BY_HASH)
        .bind(column(wanted, |(dag, _)| dag.0))
        .bind(column(wanted, |(_, new)| stored(&new.hash)));
    let found = rows::all(&find.fetch_all(conn).await?, rows::version_of_dag)?;
    Ok(found.into_iter().collect())
}

async fn insert_versions(
    conn: &mut PgConnection,
    missing: &[(DagNo, &NewVersion)],
) -> Result<HashMap<DagNo, VersionNo>, Trouble> {
    if missing.is_empty() {
        return Ok(HashMap::new());
    }
    let numbers = next_numbers(conn, "version", missing.len()).await?;
    sqlx::query(sql::VERSIONS_INSERT)
        .bind(numbers.clone().collect::<Vec<_>>())
        .bind(column(missing, |(dag, _)| dag.0))
        .bind(column(missing, |(_, new)| stored(&new.hash)))
        .bind(column(missing, |(_, new)| stored(&new.file)))
        .bind(column(missing, |(_, new)| stored(&new.source)))
        .bind(column(missing, |(_, new)| new.now.0))
        .execute(conn)
        .await?;
    let dags = missing.iter().map(|(dag, _)| *dag);
    Ok(dags.zip(numbers.map(VersionNo)).collect())
}

async fn insert_files(
    conn: &mut PgConnection,
    missing: &[(DagNo, &NewVersion)],
    versions: &HashMap<DagNo, VersionNo>,
) -> Result<(), Trouble> {
    let mut blobs: BTreeMap<Vec<u8>, &[u8]> = BTreeMap::new();
    let (mut of, mut paths, mut modes, mut hashes) = (vec![], vec![], vec![], vec![]);
    for (dag, new) in missing {
        for file in &new.files {
            let sha256 = Sha256::digest(&file.bytes).to_vec();
            blobs.insert(sha256.clone(), &file.bytes);
            of.extend(versions.get(dag).map(|version| version.0));
            paths.push(stored(&file.path));
            modes.push(i64::from(file.mode));
            hashes.push(sha256);
        }
    }
    if blobs.is_empty() {
        return Ok(());
    }
    let (keys, bytes): (Vec<_>, Vec<_>) = blobs.into_iter().unzip();
    sqlx::query(sql::BLOBS_INSERT)
        .bind(keys)
        .bind(bytes)
        .execute(&mut *conn)
        .await?;
    let insert = sqlx::query(sql::VERSION_FILES_INSERT).bind(of).bind(paths);
    insert.bind(modes).bind(hashes).execute(conn).await?;
    Ok(())
}

/// Makes each version the current one of its DAG. Where nothing is new, nothing is written.
async fn set_versions(
    conn: &mut PgConnection,
    numbered: &[(DagNo, &NewVersion)],
    known: &HashMap<String, DagRecord>,
    versions: &HashMap<DagNo, VersionNo>,
) -> Result<(), Trouble> {
    let (mut dags, mut files, mut current, mut instants) = (vec![], vec![], vec![], vec![]);
    for (dag, new) in numbered {
        let Some(version) = versions.get(dag) else {
            continue;
        };
        let was_current = known
            .get(&new.dag_id)
            .filter(|known| known.version == *version);
        if was_current.is_some_and(|known| !known.is_stale && known.file == new.file) {
            continue;
        }
        dags.push(dag.0);
        files.push(stored(&new.file));
        current.push(version.0);
        instants.push(was_current.map_or(new.now.0, |known| known.updated_at.0));
    }
    if !dags.is_empty() {
        let update = sqlx::query(sql::DAGS_SET_VERSION).bind(dags).bind(files);
        update.bind(current).bind(instants).execute(conn).await?;
    }
    Ok(())
}

type Names = HashMap<DagNo, HashMap<String, TaskNo>>;

/// Numbers for task names: known names keep theirs, new ones get the next, in the order in which
/// the file has them.
async fn number_tasks(
    conn: &mut PgConnection,
    numbered: &[(DagNo, &NewVersion)],
) -> Result<Names, Trouble> {
    let dags: Vec<i64> = numbered.iter().map(|(dag, _)| dag.0).collect();
    let found = sqlx::query(sql::TASK_NAMES_OF_DAGS)
        .bind(dags)
        .fetch_all(&mut *conn)
        .await?;
    let mut names = Names::new();
    for (dag, task_no, name) in rows::all(&found, rows::task_name_of_dag)? {
        names.entry(dag).or_default().insert(name, task_no);
    }
    let (mut of, mut numbers, mut task_ids) = (vec![], vec![], vec![]);
    for (dag, new) in numbered {
        let known = names.entry(*dag).or_default();
        let mut next = known.values().map(|number| number.0).max().unwrap_or(0);
        for task_id in &new.task_ids {
            if known.contains_key(task_id) {
                continue;
            }
            next += 1;
            known.insert(task_id.clone(), TaskNo(next));
            of.push(dag.0);
            numbers.push(next);
            task_ids.push(stored(task_id));
        }
    }
    if !of.is_empty() {
        let insert = sqlx::query(sql::TASK_NAMES_INSERT).bind(of);
        insert.bind(numbers).bind(task_ids).execute(conn).await?;
    }
    Ok(names)
}
