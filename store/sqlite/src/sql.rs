//! Every SQL text, by the name of its file. A test prepares them all on a new database.

macro_rules! texts {
    ($($name:ident = $file:literal),+ $(,)?) => {
        $(pub(crate) const $name: &str = include_str!(concat!("../sql/", $file, ".sql"));)+

        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$(($file, $name)),+];
    };
}

texts! {
    BACKFILL_DATE_PUT = "backfill_date_put",
    BACKFILL_DATES = "backfill_dates",
    BACKFILL_PUT = "backfill_put",
    BACKFILL_RUNS_ACTIVE = "backfill_runs_active",
    BACKFILLS = "backfills",
    BACKFILLS_OPEN = "backfills_open",
    BEGIN = "begin",
    BLOB_INSERT = "blob_insert",
    CHANGE_INSERT = "change_insert",
    CHANGE_TRIM = "change_trim",
    CHANGES_AFTER = "changes_after",
    COMMIT = "commit",
    COUNTER_RAISE = "counter_raise",
    COUNTERS = "counters",
    DAG_BY_NAME = "dag_by_name",
    DAG_PATCH = "dag_patch",
    DAGS = "dags",
    DAGS_BY_NAMES = "dags_by_names",
    DAGS_BY_NUMBER = "dags_by_number",
    DAGS_INSERT = "dags_insert",
    DAGS_MARK_STALE = "dags_mark_stale",
    DAGS_SET_VERSION = "dags_set_version",
    IMPORT_ERROR_FORGET = "import_error_forget",
    IMPORT_ERROR_PUT = "import_error_put",
    IMPORT_ERRORS = "import_errors",
    POOL_DELETE = "pool_delete",
    POOL_PUT = "pool_put",
    POOLS = "pools",
    ROLLBACK = "rollback",
    RUN_CONFLICTING = "run_conflicting",
    RUN_COUNTS = "run_counts",
    RUN_INSERT = "run_insert",
    RUN_RECORD = "run_record",
    RUN_RECORD_BY_NAME = "run_record_by_name",
    RUN_ROW = "run_row",
    RUN_ROW_BY_NAME = "run_row_by_name",
    RUN_UPDATE = "run_update",
    RUNS_ACTIVE = "runs_active",
    RUNS_OF_ALL = "runs_of_all",
    RUNS_OF_ALL_COUNT = "runs_of_all_count",
    RUNS_OF_DAG = "runs_of_dag",
    RUNS_OF_DAG_COUNT = "runs_of_dag_count",
    TASK_DELETE = "task_delete",
    TASK_NAMES = "task_names",
    TASK_NAMES_ALL = "task_names_all",
    TASK_NAMES_INSERT = "task_names_insert",
    TASK_NAMES_OF_DAGS = "task_names_of_dags",
    TASK_NOTE_DELETE = "task_note_delete",
    TASK_NOTE_PUT = "task_note_put",
    TASK_NOTES = "task_notes",
    TASK_UPSERT = "task_upsert",
    TASKS_ACTIVE = "tasks_active",
    TASKS_OF_RUNS = "tasks_of_runs",
    TERM_CHECK = "term_check",
    TERM_TAKE = "term_take",
    TRIES = "tries",
    TRY_UPSERT = "try_upsert",
    VALUE_DELETE = "value_delete",
    VALUE_UPSERT = "value_upsert",
    VALUES_OF_RUN = "values_of_run",
    VALUES_OF_TASKS = "values_of_tasks",
    VERSION = "version",
    VERSION_FILE_INSERT = "version_file_insert",
    VERSION_FILES = "version_files",
    VERSION_FILES_NEEDED = "version_files_needed",
    VERSIONS_BY_HASHES = "versions_by_hashes",
    VERSIONS_INSERT = "versions_insert",
    VERSIONS_NEEDED = "versions_needed",
    VERSIONS_OF_DAG = "versions_of_dag",
}

/// The schema, migration by migration.
pub(crate) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (
        1,
        "first",
        include_str!("../../../migrations/sqlite/0001_first.sql"),
    ),
    (
        2,
        "backfill",
        include_str!("../../../migrations/sqlite/0002_backfill.sql"),
    ),
    (
        3,
        "flow",
        include_str!("../../../migrations/sqlite/0003_flow.sql"),
    ),
    (
        4,
        "pool",
        include_str!("../../../migrations/sqlite/0004_pool.sql"),
    ),
    (
        10,
        "task_note",
        include_str!("../../../migrations/sqlite/0010_task_note.sql"),
    ),
    (
        20,
        "worker",
        include_str!("../../../migrations/sqlite/0020_worker.sql"),
    ),
];
