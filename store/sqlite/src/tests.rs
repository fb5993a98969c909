//! What is particular to the SQLite store. What all stores share is in `store/conformance`.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use crate::{SqliteStore, sql};
use sqlx::{Connection, Executor, Row, SqliteConnection};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidemill_model::{
    DagNo, Epoch, MapIndex, Reprocess, RunNo, RunState, RunType, SkipReason, TaskNo, TaskState, Ts,
};
use tidemill_store::*;

struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidemill.db");
    Place {
        _folder: folder,
        path,
    }
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&sqlx::sqlite::SqliteConnectOptions::new().filename(path))
        .await
        .unwrap()
}

async fn pragma(store: &SqliteStore, text: &'static str) -> i64 {
    let mut writer = store.writer().await.unwrap();
    sqlx::query(text)
        .fetch_one(writer.conn())
        .await
        .unwrap()
        .get(0)
}

/// The names in the lists `column in (…)` of the schema, one for each such list.
fn lists_of(column: &str) -> Vec<Vec<String>> {
    let texts: Vec<&str> = sql::MIGRATIONS.iter().map(|(_, _, text)| *text).collect();
    let schema = texts.concat();
    let opening = format!("check ({column} in (");
    let lists = schema
        .split(opening.as_str())
        .skip(1)
        .map(|rest| rest.split_once("))").unwrap().0);
    lists
        .map(|list| {
            list.split(',')
                .map(|name| name.trim().trim_matches('\'').to_string())
                .collect()
        })
        .collect()
}

fn a_version(tasks: usize) -> NewVersion {
    NewVersion {
        dag_id: "etl".to_string(),
        file: "etl.toml".to_string(),
        hash: "h1".to_string(),
        source: String::new(),
        files: Vec::new(),
        task_ids: (0..tasks).map(|task| format!("task_{task}")).collect(),
        paused_if_new: false,
        now: Ts(1),
    }
}

fn a_run(kept: &StoredVersion) -> RunRow {
    RunRow {
        run: RunNo(1),
        dag: kept.dag.dag,
        run_id: "manual".to_string(),
        run_type: RunType::Manual,
        state: RunState::Running,
        version: kept.version,
        cause: None,
        logical_date: None,
        data_interval_start: None,
        data_interval_end: None,
        run_after: Ts(1),
        queued_at: Ts(1),
        started_at: None,
        ended_at: None,
        conf: serde_json::json!({}),
        triggered_by: None,
        note: None,
        reason: None,
        retries_used: 0,
    }
}

fn a_task(task_no: TaskNo, state: TaskState) -> TaskRow {
    TaskRow {
        state,
        try_number: 1,
        epoch: Epoch(1),
        ..TaskRow::new(RunNo(1), task_no, MapIndex::NONE, 1)
    }
}

/// A store with one running run of so many tasks, and its term.
async fn with_tasks(path: &Path, n_tasks: usize) -> (SqliteStore, i64, Vec<TaskNo>) {
    let store = SqliteStore::open(path).await.unwrap();
    let term = store.take_term("test", Ts(1)).await.unwrap();
    let kept = store.put_version(&a_version(n_tasks)).await.unwrap();
    let tasks = kept
        .task_nos
        .iter()
        .map(|task_no| a_task(*task_no, TaskState::None))
        .collect();
    let pass = Pass {
        term,
        new_runs: vec![a_run(&kept)],
        tasks,
        ..Pass::default()
    };
    store.commit_pass(&pass).await.unwrap();
    (store, term, kept.task_nos)
}

#[test]
fn the_schema_lists_exactly_the_names_of_the_program() {
    let task_states: Vec<&str> = TaskState::ALL.iter().map(|state| state.name()).collect();
    let run_states: Vec<&str> = RunState::ALL.iter().map(|state| state.name()).collect();
    let run_types: Vec<&str> = RunType::ALL
        .iter()
        .map(|run_type| run_type.name())
        .collect();
    let states = lists_of("state");
    assert_eq!(
        states.len(),
        5,
        "of runs, task instances, tries, quarantine, replays"
    );
    assert_eq!(states[0], run_states);
    assert_eq!(states[1], task_states);
    assert_eq!(states[2], task_states);
    assert_eq!(states[3], ["held", "retried", "dropped"]);
    assert_eq!(states[4], ["running", "done", "cancelled"]);
    assert_eq!(lists_of("run_type"), [run_types]);
    let reprocess: Vec<&str> = Reprocess::ALL.iter().map(|one| one.name()).collect();
    assert_eq!(lists_of("reprocess"), [reprocess]);
    let skipped: Vec<&str> = SkipReason::ALL.iter().map(|one| one.name()).collect();
    assert_eq!(lists_of("skipped"), [skipped]);
}

#[tokio::test]
async fn every_sql_text_is_understood() {
    let place = place();
    SqliteStore::open(&place.path)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    let mut conn = connect(&place.path).await;
    for (name, text) in sql::ALL {
        let prepared = conn.prepare(sqlx::SqlSafeStr::into_sql_str(*text)).await;
        assert!(prepared.is_ok(), "{name}: {prepared:?}");
    }
}

#[tokio::test]
async fn the_file_is_made_for_durable_passes() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    assert_eq!(pragma(&store, "pragma page_size").await, 4096);
    assert_eq!(pragma(&store, "pragma auto_vacuum").await, 2, "incremental");
    assert_eq!(pragma(&store, "pragma synchronous").await, 2, "full");
    assert_eq!(pragma(&store, "pragma foreign_keys").await, 1);
    let is_wal = pragma(
        &store,
        "select count(*) from pragma_journal_mode where journal_mode = 'wal'",
    )
    .await;
    assert_eq!(is_wal, 1);
}

#[tokio::test]
async fn only_its_owner_may_look_at_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let place = place();
    let (store, ..) = with_tasks(&place.path, 1).await;
    for entry in std::fs::read_dir(place.path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_database_has_one_owner() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let pid = std::process::id().to_string();
    for second in [
        SqliteStore::open(&place.path).await,
        SqliteStore::open_read_only(&place.path).await,
    ] {
        let text = second.map(|_| ()).unwrap_err().to_string();
        assert!(
            text.contains(&pid) && text.contains("tidemill.db"),
            "{text}"
        );
    }
    store.close().await.unwrap();
    SqliteStore::open(&place.path).await.unwrap();
}

#[tokio::test]
async fn readers_share_the_file_and_keep_owners_out() {
    let place = place();
    let (store, ..) = with_tasks(&place.path, 2).await;
    store.close().await.unwrap();
    let first = SqliteStore::open_read_only(&place.path).await.unwrap();
    let second = SqliteStore::open_read_only(&place.path).await.unwrap();
    assert_eq!(first.tasks(&[RunNo(1)]).await.unwrap().len(), 2);
    assert_eq!(second.dags().await.unwrap().len(), 1);
    let refused = first.take_term("reader", Ts(1)).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable { .. })),
        "{refused:?}"
    );
    let refused = first.commit_pass(&Pass::default()).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable { .. })),
        "{refused:?}"
    );
    let owner = SqliteStore::open(&place.path).await;
    assert!(matches!(owner, Err(StoreError::Owned { .. })), "{owner:?}");
    first.close().await.unwrap();
    second.close().await.unwrap();
    SqliteStore::open(&place.path).await.unwrap();
}

#[tokio::test]
async fn an_owner_waits_until_those_who_only_read_have_gone() {
    let place = place();
    let (store, ..) = with_tasks(&place.path, 1).await;
    store.close().await.unwrap();
    let reader = SqliteStore::open_read_only(&place.path).await.unwrap();
    let opening = SqliteStore::open(&place.path);
    tokio::pin!(opening);
    let first_look = tokio::time::timeout(Duration::ZERO, &mut opening).await;
    assert!(first_look.is_err(), "it has not waited: {first_look:?}");
    reader.close().await.unwrap();
    opening.await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_its_number() {
    let place = place();
    SqliteStore::open(&place.path)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    let mut conn = connect(&place.path).await;
    let newer =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values (77, 'later', 1, x'00', 0)";
    conn.execute(newer).await.unwrap();
    conn.close().await.unwrap();
    for opened in [
        SqliteStore::open(&place.path).await,
        SqliteStore::open_read_only(&place.path).await,
    ] {
        match opened.map(|_| ()) {
            Err(StoreError::Unreadable { what }) => {
                assert!(what.contains("77") && what.contains("newer"), "{what}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_reader_refuses_a_schema_with_a_gap_and_says_where() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    store.close().await.unwrap();
    let mut conn = connect(&place.path).await;
    conn.execute("delete from _sqlx_migrations where version = 4")
        .await
        .unwrap();
    conn.close().await.unwrap();
    match SqliteStore::open_read_only(&place.path).await.map(drop) {
        Err(StoreError::Unreadable { what }) => assert!(what.contains("4 is missing"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let place = place();
    let text = "not a database, but long enough that SQLite looks at it. ".repeat(100);
    std::fs::write(&place.path, &text).unwrap();
    let opened = SqliteStore::open(&place.path).await.map(|_| ());
    assert!(
        matches!(opened, Err(StoreError::Unreadable { .. })),
        "{opened:?}"
    );
    assert_eq!(std::fs::read_to_string(&place.path).unwrap(), text);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let place = place();
    let path = place.path.join("below/tidemill.db");
    let text = SqliteStore::open(&path)
        .await
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(text.contains("below/tidemill.db"), "{text}");
}

#[tokio::test]
async fn whatever_refers_to_a_run_goes_with_it() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let mut conn = connect(&place.path).await;
    let rows = sqlx::query(
        "select distinct m.name from sqlite_master m, pragma_foreign_key_list(m.name) f
         where m.type = 'table' and f.\"table\" = 'dag_run' and f.on_delete <> 'CASCADE'
         order by m.name",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let tables: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(tables.contains(&"task_instance".to_string()), "{tables:?}");
    let texts = sql::ALL
        .iter()
        .filter(|(name, _)| name.starts_with("forget_"));
    let texts: String = texts.map(|(_, text)| *text).collect();
    for table in tables {
        assert!(
            texts.contains(&format!("delete from {table}\n"))
                || texts.contains(&format!("delete from {table} ")),
            "nothing deletes from {table}"
        );
    }
    drop(store);
}

#[tokio::test]
async fn readers_see_a_pass_as_soon_as_it_returns() {
    let place = place();
    let (store, term, task_nos) = with_tasks(&place.path, 3).await;
    for state in [
        TaskState::Scheduled,
        TaskState::Queued,
        TaskState::Running,
        TaskState::Success,
    ] {
        let pass = Pass {
            term,
            tasks: vec![a_task(task_nos[1], state)],
            ..Pass::default()
        };
        store.commit_pass(&pass).await.unwrap();
        assert_eq!(store.tasks(&[RunNo(1)]).await.unwrap()[1].state, state);
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn passes_and_other_writes_take_turns() {
    let place = place();
    let (store, term, task_nos) = with_tasks(&place.path, 1).await;
    let store = std::sync::Arc::new(store);
    let writes = (0..20).map(|n| {
        let (store, task_no) = (store.clone(), task_nos[0]);
        tokio::spawn(async move {
            let errors = [];
            store
                .put_import_errors(&format!("{n}.toml"), &errors, Ts(1))
                .await
                .unwrap();
            store
                .put_version(&NewVersion {
                    hash: format!("h{}", n % 3),
                    ..a_version(n)
                })
                .await
                .unwrap();
            let change = Change {
                seq: n as i64 + 1,
                at: Ts(1),
                run: 1,
                body: serde_json::Value::Null,
            };
            let tasks = vec![a_task(task_no, TaskState::Running)];
            store
                .commit_pass(&Pass {
                    term,
                    tasks,
                    changes: vec![change],
                    ..Pass::default()
                })
                .await
                .unwrap();
        })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap();
    }
    assert_eq!(store.changes_after(0, 100).await.unwrap().len(), 20);
    assert_eq!(store.versions(DagNo(1)).await.unwrap().len(), 3);
    store.checkpoint().await.unwrap();
}

#[tokio::test]
async fn a_pass_of_very_many_rows_is_one_transaction() {
    let place = place();
    let (store, term, task_nos) = with_tasks(&place.path, 100_000).await;
    let tasks: Vec<TaskRow> = task_nos
        .iter()
        .map(|task_no| a_task(*task_no, TaskState::Success))
        .collect();
    store
        .commit_pass(&Pass {
            term,
            tasks: tasks.clone(),
            ..Pass::default()
        })
        .await
        .unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.runs[0].1, tasks);
    store.close().await.unwrap();
}
