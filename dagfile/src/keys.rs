//! The keys of the format, in one place. The walker, the suggestions and the JSON Schema all read
//! these tables.

mod event;
mod param;
mod resources;
mod wait;

pub(crate) use crate::kafka_keys::*;
pub(crate) use event::*;
pub(crate) use param::*;
pub(crate) use resources::*;
pub(crate) use wait::*;

use crate::operator::{
    OperatorKeys, file_sensor, http, http_sensor, kafka, python, sql, sql_sensor, wasm,
};

/// A key of a table of the format.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What it means when it is absent, as TOML; empty when there is nothing to say.
    pub(crate) default: &'static str,
    pub(crate) doc: &'static str,
    /// Does this version act on it?
    pub(crate) is_built: bool,
    /// Does it say what a task does? A task has one of these.
    pub(crate) is_operator: bool,
}

/// What a key holds.
#[derive(Debug)]
pub(crate) enum Kind {
    Text,
    /// A text that may hold a template.
    Template,
    /// A template that also sees what the task's work has left.
    ResultTemplate,
    /// A JSON value in which every text may be a template.
    TemplateTree,
    /// A number of bytes such as `512MiB`.
    Size,
    /// A file of the DAG's folder, pinned with the version.
    File,
    /// The same, or a file of the worker's machine by its whole path, which is not pinned.
    FileOrPath,
    Bool,
    Int(i64, i64),
    /// A number, 0 or above.
    Number,
    /// The same, or true or false.
    NumberOrBool,
    /// A number of either sign.
    AnyNumber,
    Duration,
    Date,
    Texts,
    Templates,
    Statuses,
    HttpStatuses,
    Choice(&'static [&'static str]),
    Choices(&'static [&'static str]),
    TemplateTable,
    Secrets,
    DependsOn,
    Schedule,
    Crons,
    Dates,
    Interval,
    /// True, false or a duration.
    Switch,
    Shell,
    Branch,
    ShortCircuit,
    /// An operator that runs inside the worker.
    Operator(&'static OperatorKeys),
    /// Settings that every task of that operator has unless it says otherwise.
    OperatorDefaults(&'static OperatorKeys),
    /// A text, or a table with more.
    TextOr(&'static [Key]),
    /// Names of assets, joined by `all` and `any`.
    AssetCondition,
    /// Names of assets, or tables that say more about their events.
    Outlets,
    /// A time of day, or an instant.
    TimeOrDate,
    /// A table, or a template that gives one.
    Object,
    /// Lists by name, or a mapped task to go in step with.
    Expand,
    /// A list, or a template that gives one.
    List,
    /// One name or a list of them.
    Names,
    /// Where reading of a stream begins.
    StreamStart,
    /// A list of tables.
    Tables(&'static [Key]),
    Table(&'static [Key]),
    /// A table whose keys are names.
    Named(Entry),
    Any,
}

/// What stands under a name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entry {
    Task,
    Group,
    Param,
    Trigger,
    Asset,
}

pub(crate) const fn key(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default,
        doc,
        is_built: true,
        is_operator: false,
    }
}

/// A key of a task that says what the task does.
pub(crate) const fn operator(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        is_operator: true,
        ..key(name, kind, "", doc)
    }
}

pub(crate) const fn later(name: &'static str, doc: &'static str) -> Key {
    Key {
        is_built: false,
        ..key(name, Kind::Any, "", doc)
    }
}

/// The top of a file.
#[rustfmt::skip]
pub(crate) const ROOT: &[Key] = &[
    key("dag", Kind::Table(DAG), "", "The DAG itself."),
    key("default_args", Kind::Table(DEFAULT_ARGS), "", "Keys that every task has unless it says otherwise."),
    key("params", Kind::Named(Entry::Param), "", "Parameters of a run: a default, or a table of JSON Schema keywords."),
    key("groups", Kind::Named(Entry::Group), "", "Groups of tasks, for pages and for `depends_on`."),
    key("tasks", Kind::Named(Entry::Task), "", "The tasks: a table each, or one command as a text."),
    key("triggers", Kind::Named(Entry::Trigger), "", "What makes runs by itself beside the schedule: records of Kafka topics, webhooks, files."),
    key("assets", Kind::Named(Entry::Asset), "", "Data that tasks write and runs wait for, by name."),
];

pub(crate) const RUN_TYPES: &[&str] = &["scheduled", "manual", "backfill", "asset_triggered"];

/// `[dag]`.
#[rustfmt::skip]
pub(crate) const DAG: &[Key] = &[
    key("id", Kind::Text, "", "Its name in the installation; the file's name without `.toml` when absent."),
    key("display_name", Kind::Text, "", "What pages call it."),
    key("description", Kind::Text, "", "One line about it."),
    key("doc_md", Kind::Text, "", "More about it, in Markdown."),
    key("owner", Kind::Text, "\"tidemill\"", "Who answers for it; the owner of tasks that name none."),
    key("tags", Kind::Texts, "[]", "Words to find it by."),
    key("schedule", Kind::Schedule, "", "When it runs by itself: a cron expression or a list of them, a preset such as `@daily`, `@every 15m`, `@once`, `@continuous`, or a table."),
    key("timezone", Kind::Text, "\"UTC\"", "The IANA name of its time zone."),
    key("start_date", Kind::Date, "", "No run for a logical date before this."),
    key("end_date", Kind::Date, "", "No run for a logical date after this."),
    key("catchup", Kind::Bool, "false", "Make a run for every missed tick, not only for the latest?"),
    key("is_paused_upon_creation", Kind::Bool, "false", "Start paused?"),
    key("allowed_run_types", Kind::Choices(RUN_TYPES), "", "Which causes may make runs; all when absent."),
    key("max_active_runs", Kind::Int(1, 10_000), "16", "How many runs may be running at once."),
    key("max_active_tasks", Kind::Int(1, 100_000), "16", "How many tasks of one run may be live at once."),
    key("dagrun_timeout", Kind::Duration, "", "How long a run may take."),
    key("fail_fast", Kind::Bool, "false", "End the run at the first failed task?"),
    key("concurrency", Kind::Table(CONCURRENCY), "", "One queue of runs for each value of a key, beside `max_active_runs`."),
    key("rerun_with_latest_version", Kind::Bool, "", "Does a cleared run that was over go on by the current version of the file? Where this is not written it does not, but dates that a backfill runs again do."),
    key("format", Kind::Int(1, 1), "1", "The version of this format."),
    later("doc_md_file", "A file with more about it."),
    later("owner_links", "Links for owners."),
    key("max_consecutive_failed_dag_runs", Kind::Int(0, 10_000), "0", "Pause the DAG when so many of its latest runs have failed in a row; 0 is never."),
    key("retries", Kind::Int(0, 10_000), "0", "How often a run that has failed is tried again as a whole."),
    key("retry_delay", Kind::Duration, "\"5m\"", "The wait before a run is tried again."),
    key("retry_scope", Kind::Choice(RETRY_SCOPES), "\"failed\"", "Which tasks of the run are run again: those that failed and all below them, or all."),
    key("on_failure", Kind::Tables(ALERT), "[]", "What is told when a run fails."),
    key("on_success", Kind::Tables(ALERT), "[]", "What is told when a run succeeds."),
    key("deadlines", Kind::Tables(DEADLINE), "[]", "When somebody is told that a run is late."),
];

pub(crate) const INTERVALS: &[&str] = &["tick", "previous", "period"];

/// `[dag.concurrency]`.
#[rustfmt::skip]
pub(crate) const CONCURRENCY: &[Key] = &[
    key("key", Kind::Template, "\"\"", "Runs for which this gives the same text share the limit."),
    key("limit", Kind::Int(1, 10_000), "1", "How many runs with one key may be running at once."),
    key("policy", Kind::Choice(POLICIES), "\"queue\"", "What becomes of one more: it waits, is not made, or takes the oldest one's place."),
];

/// The greatest priority weight, as in Airflow: 32 bits.
pub(crate) const WEIGHT_MAX: i64 = i32::MAX as i64;

pub(crate) const WEIGHT_RULES: &[&str] = &["downstream", "upstream", "absolute"];
pub(crate) const POLICIES: &[&str] = &["queue", "skip", "replace"];

/// `[dag.schedule]`.
#[rustfmt::skip]
pub(crate) const SCHEDULE: &[Key] = &[
    key("cron", Kind::Crons, "", "One or several cron expressions; at most one run for an instant."),
    key("every", Kind::Duration, "", "A fixed distance, counted from `start_date` or the Unix epoch."),
    key("timezone", Kind::Text, "", "The time zone of the schedule only."),
    key("at", Kind::Dates, "", "Explicit instants, in any order."),
    key("interval", Kind::Interval, "\"tick\"", "What the data interval of a run is: `tick` (start and end are the tick), `previous` (from the tick before), `period` (the same, with the logical date at its start) or a duration up to the tick."),
    key("jitter", Kind::Duration, "\"0s\"", "Runs begin up to so much after their tick, always by the same distance for one DAG."),
    key("run_immediately", Kind::Switch, "", "Run the last tick before the DAG was first seen, when it has no `start_date`? True, false, or when it was within a duration; within a tenth of the period or 5m when absent."),
    key("assets", Kind::AssetCondition, "", "Make a run when these assets have events: names, which all must have, or `{ all = […] }` and `{ any = […] }` in each other. Beside `cron`, `every` or `at` it means or."),
    later("partition_key", "A name for each partition."),
];

#[rustfmt::skip]
macro_rules! common_keys {
    ($($extra:expr),* $(,)?) => {
        &[
            $($extra,)*
            key("display_name", Kind::Text, "", "What pages call it."),
            key("doc_md", Kind::Text, "", "More about it, in Markdown."),
            key("owner", Kind::Text, "", "Who answers for it; the DAG's owner when absent."),
            key("trigger_rule", Kind::Choice(TRIGGER_RULES), "\"all_success\"", "When it may run, by the states of its upstream tasks."),
            key("run_if", Kind::Template, "", "Skipped unless this template is true."),
            key("skip_if", Kind::Template, "", "Skipped when this template is true."),
            key("retries", Kind::Int(0, 10_000), "0", "Tries after the first."),
            key("retry_delay", Kind::Duration, "\"5m\"", "The wait before the second try."),
            key("retry_exponential_backoff", Kind::NumberOrBool, "0", "Each wait is this many times the one before; 0 is a constant wait, true is 2."),
            key("max_retry_delay", Kind::Duration, "", "No wait is longer."),
            key("retry_jitter", Kind::Bool, "", "Spread the waits? True when there is a backoff."),
            key("execution_timeout", Kind::Duration, "", "How long one attempt may take."),
            key("pool", Kind::Text, "\"default_pool\"", "The pool that its slots come from."),
            key("pool_slots", Kind::Int(1, 1_000_000), "1", "How many slots it takes."),
            key("priority_weight", Kind::Int(-WEIGHT_MAX, WEIGHT_MAX), "1", "How much it matters among waiting tasks."),
            key("weight_rule", Kind::Choice(WEIGHT_RULES), "\"downstream\"", "How weights add up along the graph."),
            key("queue", Kind::Text, "\"default\"", "The workers that may run it."),
            key("depends_on_past", Kind::Bool, "false", "Wait until this task has succeeded, or was skipped, in the run before?"),
            key("wait_for_downstream", Kind::Bool, "false", "And until the tasks directly below it have, there? It implies `depends_on_past`."),
            key("ignore_first_depends_on_past", Kind::Bool, "true", "May it go without a run before when it is new in the DAG?"),
            key("cwd", Kind::Text, "", "Where it runs, relative to the DAG's folder; its own empty folder when absent."),
            key("env", Kind::TemplateTable, "{}", "Environment variables."),
            key("inherit_env", Kind::Bool, "true", "Give it the worker's allow-list of variables?"),
            key("secrets", Kind::Secrets, "{}", "Secrets by the variable that carries them: `conn.NAME.FIELD` or `var.NAME`."),
            key("run_as_user", Kind::Text, "", "The user it runs as."),
            key("on_lost", Kind::Choice(&["fail", "retry"]), "", "What a lost attempt means; `retry` when there are retries."),
            key("do_xcom_push", Kind::Bool, "true", "Keep its output?"),
            key("outputs", Kind::TemplateTable, "{}", "Values to keep after success; `stdout`, `result` and `exit_code` are known here."),
            key("max_active_tis_per_dag", Kind::Int(1, 100_000), "", "How many of it may be live over all runs."),
            key("max_active_tis_per_dagrun", Kind::Int(1, 100_000), "", "How many of it may be live in one run."),
            key("resources", Kind::Table(RESOURCES), "{}", "What its processes may use of the machine."),
            key("inlets", Kind::Names, "[]", "Assets that it reads, for people."),
            key("outlets", Kind::Outlets, "[]", "Assets that it writes: its success is an event of each. Names, or tables with `asset` and `extra`, whose texts see what `outputs` sees."),
            key("retry_policy", Kind::Tables(RETRY_RULE), "", "What to do about particular failures; the first rule that matches wins."),
            key("on_failure", Kind::Tables(ALERT), "[]", "What is told when it fails."),
            key("on_success", Kind::Tables(ALERT), "[]", "What is told when it succeeds."),
            key("on_retry", Kind::Tables(ALERT), "[]", "What is told when it is tried again."),
            key("on_skipped", Kind::Tables(ALERT), "[]", "What is told when it skips itself."),
            key("on_execute", Kind::Tables(ALERT), "[]", "What is told when it starts."),
        ]
    };
}

/// `[default_args]` of the DAG or of a group.
#[rustfmt::skip]
pub(crate) const DEFAULT_ARGS: &[Key] = common_keys![
    key("shell", Kind::Table(SHELL_DEFAULTS), "", "Settings of every shell task."),
    key("http", Kind::OperatorDefaults(&http::HTTP), "", "Settings of every http task."),
    key("sql", Kind::OperatorDefaults(&sql::SQL), "", "Settings of every sql task."),
    key("python", Kind::OperatorDefaults(&python::PYTHON), "", "Settings of every python task."),
    key("wasm", Kind::OperatorDefaults(&wasm::WASM), "", "Settings of every wasm task."),
];

/// `[tasks.NAME]`.
#[rustfmt::skip]
pub(crate) const TASK: &[Key] = common_keys![
    key("depends_on", Kind::DependsOn, "[]", "Tasks or groups that must succeed first."),
    key("group", Kind::Text, "", "Its group."),
    key("operator", Kind::Text, "", "The operator's name, for one without settings: `empty` or `latest_only`."),
    operator("shell", Kind::Shell, "A command, or a table with `command` or `script`."),
    operator("python", Kind::Operator(&python::PYTHON), "A Python script, or a table with `script` or `call`."),
    operator("http", Kind::Operator(&http::HTTP), "An HTTP request: an address, or a table."),
    operator("wasm", Kind::Operator(&wasm::WASM), "A WebAssembly module of the DAG's folder: its file, or a table."),
    operator("sql", Kind::Operator(&sql::SQL), "Statements, a load and checks in a database."),
    operator("kafka_produce", Kind::Operator(&kafka::PRODUCE), "Writes records to a topic."),
    operator("kafka_consume", Kind::Operator(&kafka::CONSUME), "Reads a range of topics that is fixed before reading."),
    operator("kafka_wait", Kind::Operator(&kafka::WAIT), "Waits for a record."),
    operator("trigger_dag_run", Kind::Table(TRIGGER_DAG_RUN), "Starts a run of another DAG, and may wait for its end."),
    operator("branch", Kind::Branch, "Chooses which tasks follow: a template that names them, or a table with `cases`."),
    operator("short_circuit", Kind::ShortCircuit, "Skips what follows unless this template is true."),
    operator("file_sensor", Kind::Operator(&file_sensor::FILE_SENSOR), "Waits for a file."),
    operator("http_sensor", Kind::Operator(&http_sensor::HTTP_SENSOR), "Waits for an HTTP answer."),
    operator("time_sensor", Kind::TextOr(TIME_SENSOR), "Waits for a time of day or an instant: a time such as `18:30`, or a table."),
    operator("external_task_sensor", Kind::Table(EXTERNAL_TASK_SENSOR), "Waits for a run or a task of another DAG."),
    operator("sql_sensor", Kind::Operator(&sql_sensor::SQL_SENSOR), "Waits for a row."),
    key("expand", Kind::Expand, "", "One instance for each combination of values: lists, or templates that give lists, by name; or `{ NAME = { each = \"TASK\" } }`, one for each instance of a mapped task, as soon as that has succeeded."),
    key("expand_kwargs", Kind::List, "", "One instance for each object of a list."),
    key("map_index_template", Kind::Template, "", "What an instance is called; `map.NAME` are its values."),
    key("on_empty", Kind::Choice(ON_EMPTY), "\"skip\"", "What it means when there is nothing to map over."),
    key("setup", Kind::Bool, "false", "Does it prepare something that the tasks after it need?"),
    key("teardown", Kind::Bool, "false", "Does it clean up? It runs when its setup task has succeeded, whatever else has failed."),
    key("setups", Kind::Names, "[]", "The setup tasks that a teardown task cleans up after; it waits for them."),
    key("on_failure_fail_dagrun", Kind::Bool, "false", "Does the failure of this teardown task fail the run?"),
    later("with", "Settings of a packaged operator."),
];

/// The names of the operators: of the keys of a task that say what it does.
pub(crate) fn operators() -> impl Iterator<Item = &'static str> {
    TASK.iter()
        .filter(|key| key.is_operator)
        .map(|key| key.name)
}

/// Is it the name of an operator?
pub(crate) fn is_operator(name: &str) -> bool {
    find(TASK, name).is_some_and(|key| key.is_operator)
}

/// Operators without settings; `operator` names them.
pub(crate) const PLAIN_OPERATORS: &[&str] = &["empty", "latest_only"];

/// Airflow's `task/trigger_rule.py`; a test holds the list against the model's.
#[rustfmt::skip]
pub(crate) const TRIGGER_RULES: &[&str] = &[
    "all_success", "all_failed", "all_done", "all_done_min_one_success", "all_done_setup_success",
    "all_skipped", "one_success", "one_failed", "one_done", "none_failed",
    "none_failed_min_one_success", "none_skipped", "always",
];

/// An entry of `on_failure` and its like.
#[rustfmt::skip]
pub(crate) const ALERT: &[Key] = &[
    key("webhook", Kind::Template, "", "A POST of JSON to this address."),
    key("slack", Kind::Text, "", "A message to this channel, by the connection `slack_default` or another."),
    key("email", Kind::Names, "", "A mail to these addresses, by the connection `smtp_default` or another."),
    key("shell", Kind::Text, "", "A command on the scheduler's machine."),
    later("kafka", "A record to this topic."),
    key("connection", Kind::Text, "", "The connection that it goes by."),
    key("text", Kind::Template, "", "What is said; what happened, in one line, when absent."),
    key("subject", Kind::Template, "", "The subject of a mail."),
    key("json", Kind::Any, "", "The body of a webhook; the event as an object when absent."),
];

pub(crate) const REFERENCES: &[&str] = &["queued_at", "logical_date", "average_runtime"];

/// `[[dag.deadlines]]`.
#[rustfmt::skip]
pub(crate) const DEADLINE: &[Key] = &[
    key("reference", Kind::Choice(REFERENCES), "\"queued_at\"", "From when it counts: when the run was made, what it is about, or when it would be over if it took as long as the ten before it."),
    key("interval", Kind::Duration, "", "The run should be over so long after that."),
    key("notify", Kind::Tables(ALERT), "", "What is told when it is not."),
];

/// `[[tasks.NAME.retry_policy]]`.
#[rustfmt::skip]
pub(crate) const RETRY_RULE: &[Key] = &[
    key("exit_code", Kind::Statuses, "", "It ended with one of these exit statuses."),
    key("http_status", Kind::HttpStatuses, "", "The answer had one of these statuses."),
    key("error", Kind::Text, "", "A regular expression that the error text matches."),
    key("action", Kind::Choice(RETRY_ACTIONS), "\"retry\"", "Try again, while there are retries, or fail at once?"),
    key("retry_delay", Kind::Duration, "", "The wait before the next try, instead of the task's own."),
    key("reason", Kind::Text, "", "Why, for people."),
];

pub(crate) const ON_EMPTY: &[&str] = &["skip", "continue", "fail"];
pub(crate) const RETRY_ACTIONS: &[&str] = &["retry", "fail"];
pub(crate) const RETRY_SCOPES: &[&str] = &["failed", "all"];

/// `[tasks.NAME.branch]`.
#[rustfmt::skip]
pub(crate) const BRANCH: &[Key] = &[
    key("cases", Kind::Tables(BRANCH_CASE), "", "The ways that it can go; the first case that holds is taken."),
    key("look_at", Kind::Choice(BRANCH_CLOCKS), "\"now\"", "Which instant `days` and `between` look at, in the DAG's time zone."),
];

/// `[[tasks.NAME.branch.cases]]`.
#[rustfmt::skip]
pub(crate) const BRANCH_CASE: &[Key] = &[
    key("if", Kind::Template, "", "Taken when this template is true."),
    key("days", Kind::Choices(DAYS), "", "Taken on these days of the week."),
    key("between", Kind::Texts, "", "Taken between two times of day: [\"22:00\", \"06:00\"]."),
    key("else", Kind::Bool, "", "Taken when no case before it is."),
    key("then", Kind::Names, "[]", "The tasks or groups that follow; nothing when empty."),
];

pub(crate) const BRANCH_CLOCKS: &[&str] = &["now", "logical_date"];
pub(crate) const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// `[tasks.NAME.short_circuit]`.
#[rustfmt::skip]
pub(crate) const SHORT_CIRCUIT: &[Key] = &[
    key("condition", Kind::Template, "", "Must be true or false; false skips what follows."),
    key("ignore_downstream_trigger_rules", Kind::Bool, "true", "Skip everything below, whatever its rules say, or only what is directly below?"),
];

pub(crate) const SHELL_OUTPUTS: &[&str] = &["last_line", "stdout", "json", "none"];

#[rustfmt::skip]
macro_rules! shell_keys {
    ($($extra:expr),* $(,)?) => {
        &[
            $($extra,)*
            key("interpreter", Kind::Texts, "[\"bash\", \"-euo\", \"pipefail\", \"-c\"]", "The interpreter and its flags; a first line with `#!` wins."),
            key("args", Kind::Templates, "[]", "Arguments, `$1` and on; never read by the shell as code."),
            key("stdin", Kind::Template, "", "What the command reads."),
            key("skip_on_exit_code", Kind::Statuses, "[99]", "Exit statuses that mean skipped."),
            key("success_exit_codes", Kind::Statuses, "[0]", "Exit statuses that mean success."),
            key("output", Kind::Choice(SHELL_OUTPUTS), "\"last_line\"", "What of its standard output becomes its output."),
        ]
    };
}

/// `[tasks.NAME.shell]`.
#[rustfmt::skip]
pub(crate) const SHELL: &[Key] = shell_keys![
    key("command", Kind::Template, "", "What is run."),
    key("script", Kind::Text, "", "A file in the DAG's folder that is run."),
];

/// `[default_args.shell]`.
#[rustfmt::skip]
pub(crate) const SHELL_DEFAULTS: &[Key] = shell_keys![];

/// `[groups.NAME]`.
#[rustfmt::skip]
pub(crate) const GROUP: &[Key] = &[
    key("display_name", Kind::Text, "", "What pages call it."),
    key("doc_md", Kind::Text, "", "More about it, in Markdown."),
    key("depends_on", Kind::DependsOn, "[]", "Tasks or groups that must succeed before its first tasks."),
    key("group", Kind::Text, "", "The group around it."),
    key("default_args", Kind::Table(DEFAULT_ARGS), "", "Keys that its tasks have unless they say otherwise."),
];

/// What other tools call a key, and what it is called here.
#[rustfmt::skip]
pub(crate) const ALIASES: &[(&str, &str, &str)] = &[
    ("needs", "depends_on", "GitHub Actions says `needs`"),
    ("depends", "depends_on", "Dagu says `depends`"),
    ("dependencies", "depends_on", "Argo says `dependencies`"),
    ("upstream", "depends_on", ""),
    ("after", "depends_on", ""),
    ("timeout", "execution_timeout", ""),
    ("dag_id", "id", "inside [dag] the prefix is dropped"),
    ("dag_display_name", "display_name", "inside [dag] the prefix is dropped"),
    ("task_display_name", "display_name", "inside a task the prefix is dropped"),
    ("schedule_interval", "schedule", "Airflow 2 said `schedule_interval`"),
    ("default", "default_args", ""),
    ("defaults", "default_args", ""),
    ("task", "tasks", ""),
    ("param", "params", ""),
    ("group", "groups", ""),
    ("task_group", "group", ""),
    ("bash_command", "shell", "Airflow says `bash_command`"),
    ("bash", "shell", ""),
    ("command", "shell", ""),
    ("run", "shell", "GitHub Actions says `run`"),
    ("cmd", "shell", ""),
    ("script", "shell", ""),
    ("retry", "retries", ""),
    ("concurrency", "max_active_tasks", "Airflow 1 said `concurrency`"),
    ("environment", "env", ""),
    ("append_env", "inherit_env", ""),
    ("when", "run_if", ""),
    ("cron", "schedule", ""),
    ("tz", "timezone", ""),
    ("name", "display_name", ""),
    ("title", "display_name", ""),
    ("catch_up", "catchup", ""),
    ("produces", "outlets", ""),
    ("consumes", "inlets", ""),
    ("on_failure_callback", "on_failure", ""),
    ("on_success_callback", "on_success", ""),
    ("on_retry_callback", "on_retry", ""),
];

/// A key by name.
pub(crate) fn find<'k>(keys: &'k [Key], name: &str) -> Option<&'k Key> {
    keys.iter().find(|key| key.name == name)
}
