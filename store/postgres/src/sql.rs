//! Every SQL text, by the name of its file. A test prepares them all on a new database.

macro_rules! texts {
    ($($name:ident = $file:literal),+ $(,)?) => {
        $(pub(crate) const $name: &str = include_str!(concat!("../sql/", $file, ".sql"));)+

        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$(($file, $name)),+];
    };
}

texts! {
    ARRIVALS = "arrivals",
    BACKEND = "backend",
    BACKEND_END = "backend_end",
    BACKFILL_DATES = "backfill_dates",
    BACKFILL_RUNS_ACTIVE = "backfill_runs_active",
    BACKFILLS = "backfills",
    BACKFILLS_OPEN = "backfills_open",
    BEGIN_READING = "begin_reading",
    BLOBS_INSERT = "blobs_insert",
    CHANGE = "change",
    CHANGES_AFTER = "changes_after",
    COUNTER_TAKE = "counter_take",
    COUNTERS = "counters",
    DAG_BY_NAME = "dag_by_name",
    DAGS = "dags",
    DAGS_BY_NAMES = "dags_by_names",
    DAGS_BY_NUMBER = "dags_by_number",
    DAGS_INSERT = "dags_insert",
    DAGS_MARK_STALE = "dags_mark_stale",
    DAGS_SET_VERSION = "dags_set_version",
    DISPATCHED = "dispatched",
    FENCE = "fence",
    FORGET_DATES = "forget_dates",
    FORGET_NOTES = "forget_notes",
    FORGET_RUNS = "forget_runs",
    FORGET_RUNS_LEFT = "forget_runs_left",
    FORGET_RUNS_OVER = "forget_runs_over",
    FORGET_TASKS = "forget_tasks",
    FORGET_TRIES = "forget_tries",
    FORGET_VALUES = "forget_values",
    IMPORT_ERROR_FORGET = "import_error_forget",
    IMPORT_ERROR_PUT = "import_error_put",
    IMPORT_ERRORS = "import_errors",
    PASS = "pass",
    OLD_RUNS = "old_runs",
    POOLS = "pools",
    RUN_CONFLICTING = "run_conflicting",
    RUN_COUNTS = "run_counts",
    RUN_RECORD = "run_record",
    RUN_RECORD_BY_NAME = "run_record_by_name",
    RUN_ROW = "run_row",
    RUN_ROW_BY_NAME = "run_row_by_name",
    RUNS_ACTIVE = "runs_active",
    RUNS_FOUND = "runs_found",
    RUNS_FOUND_COUNT = "runs_found_count",
    RUNS_OF_ALL = "runs_of_all",
    RUNS_OF_ALL_COUNT = "runs_of_all_count",
    RUNS_OF_DAG = "runs_of_dag",
    RUNS_OF_DAG_COUNT = "runs_of_dag_count",
    SCHEMA_APPLIED = "schema_applied",
    SCHEMA_THERE = "schema_there",
    SCHEMA_TURN = "schema_turn",
    TASK = "task",
    TASK_COUNTS = "task_counts",
    TASK_NAMES = "task_names",
    TASK_NAMES_ALL = "task_names_all",
    TASK_NAMES_INSERT = "task_names_insert",
    TASK_NAMES_OF_DAGS = "task_names_of_dags",
    TASK_NOTES = "task_notes",
    TASK_PAGE = "task_page",
    TASK_STATES = "task_states",
    TASKS_ACTIVE = "tasks_active",
    TASKS_OF_RUNS = "tasks_of_runs",
    TERM_LEASE_BEGIN = "term_lease_begin",
    TERM_LEASE_END = "term_lease_end",
    TERM_LEASE_JUDGE = "term_lease_judge",
    TERM_LEASE_RENEW = "term_lease_renew",
    TERM_LEASE_TAKE = "term_lease_take",
    TERM_SIGN = "term_sign",
    TERM_TAKE = "term_take",
    TRIES = "tries",
    VALUES_OF_RUN = "values_of_run",
    VALUES_OF_TASKS = "values_of_tasks",
    VERSION = "version",
    VERSION_FILES = "version_files",
    VERSION_FILES_INSERT = "version_files_insert",
    VERSION_FILES_NEEDED = "version_files_needed",
    VERSIONS_BY_HASH = "versions_by_hash",
    VERSIONS_INSERT = "versions_insert",
    VERSIONS_NEEDED = "versions_needed",
    VERSIONS_OF_DAG = "versions_of_dag",
    WORKER_CLAIM = "worker_claim",
    WORKER_DRAIN = "worker_drain",
    WORKER_ENTER = "worker_enter",
    WORKER_HELD = "worker_held",
    WORKER_KILLS = "worker_kills",
    WORKER_LEAVE = "worker_leave",
    WORKER_RENEW = "worker_renew",
    WORKER_REPORT = "worker_report",
    WORKERS = "workers",
    WORKERS_EXPIRE = "workers_expire",
}

/// What each session is set to: several statements, which are not prepared.
pub(crate) const SESSION: &str = include_str!("../sql/session.sql");
/// What the scheduler's session is set to besides.
pub(crate) const SESSION_PASS: &str = include_str!("../sql/session_pass.sql");

/// The schema, migration by migration.
pub(crate) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (
        1,
        "first",
        include_str!("../../../migrations/postgres/0001_first.sql"),
    ),
    (
        2,
        "backfill",
        include_str!("../../../migrations/postgres/0002_backfill.sql"),
    ),
    (
        3,
        "flow",
        include_str!("../../../migrations/postgres/0003_flow.sql"),
    ),
    (
        4,
        "pool",
        include_str!("../../../migrations/postgres/0004_pool.sql"),
    ),
    (
        10,
        "task_note",
        include_str!("../../../migrations/postgres/0010_task_note.sql"),
    ),
    (
        20,
        "worker",
        include_str!("../../../migrations/postgres/0020_worker.sql"),
    ),
    (
        40,
        "forget",
        include_str!("../../../migrations/postgres/0040_forget.sql"),
    ),
];
