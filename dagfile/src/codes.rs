//! Every code and what it means.

/// A few sentences about a code, for `tidemill explain`.
pub fn explain(code: &str) -> Option<&'static str> {
    CODES
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, text)| *text)
}

/// Every code, in order.
pub fn codes() -> impl Iterator<Item = &'static str> {
    CODES.iter().map(|(code, _)| *code)
}

#[rustfmt::skip]
const CODES: &[(&str, &str)] = &[
    ("TM0001", "TM0001: the file is not TOML.\nThe place shown is where the reader could not go on; the cause often stands a little before it: a quote or a bracket that is not closed, or a text without quotes. Tidemill reads TOML 1.1."),
    ("TM0002", "TM0002: the file is not UTF-8.\nTOML files are UTF-8. Save the file again in that encoding."),
    ("TM0003", "TM0003: the file holds a NUL byte.\nIt is probably not a text file, or it was saved as UTF-16."),
    ("TM0004", "TM0004: the file begins with a byte order mark.\nSave it as UTF-8 without a byte order mark (BOM)."),
    ("TM0005", "TM0005: the file is too large.\nA DAG file has at most 32 MiB. Move data and long scripts into files beside it."),
    ("TM0006", "TM0006: the file is nested too deeply.\nTables and arrays may stand in each other at most 64 levels deep."),
    ("TM0007", "TM0007: too many tasks.\nA DAG has at most 200,000 tasks. Split it into several DAGs."),
    ("TM0008", "TM0008: too many dependencies.\nA DAG has at most 2,000,000 dependencies between tasks. Let one `empty` task join the many before it: n + m edges instead of n times m."),
    ("TM0009", "TM0009: more mistakes than are shown.\nThe first ones are listed; mend them and check the file again."),
    ("TM0101", "TM0101: a value has the wrong type.\nTexts stand in quotes, numbers and true/false do not, lists stand in [ ] and tables in { } or under a [header]."),
    ("TM0102", "TM0102: something that must be there is missing."),
    ("TM0103", "TM0103: a value is not one of those that the key allows."),
    ("TM0104", "TM0104: a key is not known here.\nUnknown keys are errors, so that a slip of the pen is never silently ignored."),
    ("TM0105", "TM0105: a key has another name here.\nThe key is known from another tool; Tidemill follows Airflow's names."),
    ("TM0106", "TM0106: a key belongs to the parent table.\nIn TOML a key belongs to the last [header] above it. Move the key above that header."),
    ("TM0107", "TM0107: a name is not allowed.\nNames of DAGs, tasks, groups and parameters are made of A-Z a-z 0-9 _ and -. Names of environment variables begin with a letter or _ and hold no -."),
    ("TM0108", "TM0108: a task and a group have the same name.\nTasks and groups share one set of names, because both can stand in `depends_on`."),
    ("TM0110", "TM0110: a task says nothing about what it does.\nA task has exactly one operator key, such as `shell`. For a task that only joins others write `operator = \"empty\"`."),
    ("TM0111", "TM0111: a task has two operators.\nA task does one thing. Make two tasks of it."),
    ("TM0112", "TM0112: `operator` does not agree with the operator key of the task.\nLeave `operator` out, or make it the same."),
    ("TM0113", "TM0113: a shell task has neither or both of `command` and `script`.\nIt runs exactly one of them."),
    ("TM0114", "TM0114: the settings of an operator do not fit together.\nSomething that it needs is missing, or two of its keys exclude each other; the message says which."),
    ("TM0115", "TM0115: an alert does not say one way in which it is told.\nAn entry of `on_failure` and its like has exactly one of webhook, slack, email and shell; `subject` is for mail, `json` for webhooks, and a command has no `connection`."),
    ("TM0120", "TM0120: a duration needs a unit.\nDurations are texts such as \"250ms\", \"90s\", \"5m\", \"1h30m\", \"2d\"."),
    ("TM0121", "TM0121: a text is not a duration.\nDurations are made of whole numbers and the units ms, s, m, h, d: \"250ms\", \"90s\", \"1h30m\"."),
    ("TM0122", "TM0122: a value is not a date.\nDates stand without quotes: 2026-11-20, 2026-11-20T06:00:00, 2026-11-20T06:00:00Z. Without an offset they are read in the DAG's time zone."),
    ("TM0130", "TM0130: a field of a cron expression is wrong.\nThe five fields are minute (0-59), hour (0-23), day of month (1-31), month (1-12 or jan-dec) and day of week (0-7 or sun-sat; 0 and 7 are Sunday)."),
    ("TM0131", "TM0131: a schedule cannot be read.\nA schedule is a cron expression, a list of them, a preset such as @daily, `@every 15m`, @once, @continuous, or a table with one of `cron`, `every` and `at`."),
    ("TM0132", "TM0132: a time zone is not known.\nTime zones have IANA names such as Europe/Paris or UTC."),
    ("TM0133", "TM0133: `end_date` is before `start_date`."),
    ("TM0134", "TM0134: a DAG that runs continuously has one run at a time.\nThe next run of `@continuous` begins when the last one is over, so `max_active_runs` is 1."),
    ("TM0140", "TM0140: tasks wait for each other in a circle.\nNone of them could ever start. The whole circle is shown; take one of its dependencies out."),
    ("TM0141", "TM0141: `depends_on` names something that is neither a task nor a group of this DAG."),
    ("TM0142", "TM0142: a group is not known, is empty where it is waited for, or is inside itself."),
    ("TM0144", "TM0144: two files define the same DAG.\nThe id of a DAG is its file's name or `id` in [dag]. Both files are refused until one of them is changed."),
    ("TM0145", "TM0145: a setup or teardown task is not used as one can be.\nA task is one or the other. A teardown task's rule is always all_done_setup_success, and its `setups` name setup tasks. Tasks directly after a setup task have the rule all_success, so that none of them runs without it."),
    ("TM0146", "TM0146: a trigger rule that `fail_fast` does not allow.\nA DAG with `fail_fast = true` ends at its first failed task, so no task of it can wait for a failure: its rules are all_success and, for teardown tasks, all_done_setup_success."),
    ("TM0147", "TM0147: a branch cannot go that way.\nA case has exactly one of `if`, `days`, `between` and `else`, and `then` names tasks or groups that wait for the branch."),
    ("TM0148", "TM0148: a task cannot be mapped like that.\nA mapped task has `expand` or `expand_kwargs`, not both. `each` stands alone in `expand`, and names one mapped task; `map_index_template` does not go with it. Tasks that choose what follows (branch, short_circuit, latest_only), setup tasks and teardown tasks are not mapped."),
    ("TM0149", "TM0149: a task that waits for something does not say what, or says it twice.\nA time sensor has one of `at` and `after`. An external_task_sensor names one task, several, or a group, or none of them for the whole run, and each state stands in one list only."),
    ("TM0150", "TM0150: the default of a parameter does not fit its own declaration."),
    ("TM0151", "TM0151: a parameter has no default, but the DAG has a schedule.\nA scheduled run has nobody to ask. Give the parameter a default, or allow \"null\" as its type."),
    ("TM0152", "TM0152: the address of an asset holds a password.\nAddresses of assets are shown on pages and in answers. Leave the password out."),
    ("TM0160", "TM0160: a trigger does not say where its records come from.\nIt has one `kafka` table, with `connection` or `brokers`, and with `topics`."),
    ("TM0161", "TM0161: two settings of a trigger cannot both hold.\nRuns that wait by key need runs of one key: `ordering = \"key\"` goes with `mode = \"record\"` or `batch_by = \"key\"`. A lane that blocks needs lanes. No record may be dropped, so a DAG with triggers has no `[dag.concurrency]` with the policy skip or replace, and lanes take the place of such a key. Its runs are of the type asset_triggered."),
    ("TM0162", "TM0162: a property of the Kafka client that a file may not set.\nWhat lets the client in belongs to the connection; what decides where it reads belongs to the trigger. `tidemill explain triggers.kafka.config` names those that may be set."),
    ("TM0190", "TM0190: this version of Tidemill does not run that yet.\nThe key or value is part of the format, so the file is right; it will run with a later version."),
    ("TM0201", "TM0201: a template cannot be read.\nTemplates are Jinja's: {{ value }}, {% if x %} … {% endif %}."),
    ("TM0202", "TM0202: a template uses a name that does not exist, or a field that a name does not have.\nNames of Airflow that are not there are told with what to write instead."),
    ("TM0203", "TM0203: a template refers to something that is not a task of this DAG."),
    ("TM0204", "TM0204: a template uses a parameter that [params] does not declare."),
    ("TM0205", "TM0205: a template uses a value of a task that is not upstream.\nThe value might not be there yet. A reference makes no dependency by itself: add the task to `depends_on`."),
    ("TM0206", "TM0206: a template uses an output that the task does not have.\nOutputs are declared under `outputs`, or written to the file that $TIDEMILL_OUTPUT names."),
    ("TM0207", "TM0207: a template uses a filter that does not exist."),
    ("TM0208", "TM0208: a reference in a template cannot be checked before the run.\nWrite the names of tasks and keys out."),
    ("TM0209", "TM0209: a name of the task's own result is used where there is none yet, or the task leaves no such thing.\n`result` is known in `outputs` of every task. A shell task also leaves `stdout` and `exit_code`, an http task `response`; keys such as `response_check` see them too."),
    ("TM0210", "TM0210: the key of [dag.concurrency] is read when a run is made.\nNo task has run then: it can use params, dates and the run's own facts, but no `tasks`, `conn` or `var`. The same holds for the texts of alerts."),
    ("TM0211", "TM0211: a template may not hold a secret.\nWhat is rendered is stored and shown. Passwords and other secrets of connections reach a task by `secrets = { NAME = \"conn.warehouse.password\" }`: as an environment variable, or as a file that only the task can read."),
    ("TM0212", "TM0212: a template uses a field that connections do not have.\nThere are conn_id, conn_type, description, host, port, login, schema and extra_dejson.KEY."),
    ("TM0213", "TM0213: `trigger` is known only in a DAG with [triggers].\nIt tells of the records that a run was made for."),
    ("TM0214", "TM0214: a template over a record cannot be used.\nThe filter of a stream and the key of `dedupe` see `record` alone: key, value, headers, topic, partition, offset, timestamp and tombstone. They are one expression in {{ }}."),
    ("TM0310", "TM0310: an untrusted value stands in a shell command.\nWhoever triggers a run chooses its parameters, and the shell reads them as code. Pass them in `env` and write \"$NAME\", or put them through the filter `quote`."),
    ("TM0311", "TM0311: both ends of the data interval are used, but they are one instant.\nBy default a run is about its tick, as in Airflow 3. Write interval = \"previous\" in [dag.schedule] for the time since the tick before, \"period\" for the same with the logical date at its start (Airflow 2), or a duration; or interval = \"tick\" when one instant is what you mean."),
    ("TM0312", "TM0312: both day fields of a cron expression are restricted.\nAs in crontab(5) the job then runs on days that match either of them, not both."),
    ("TM0313", "TM0313: an asset is named and not declared in this file.\nIt is known by its name alone, and a slip of the pen would wait for ever. Declare it: [assets.NAME] with its `uri`."),
    ("TM0314", "TM0314: a name can be absent.\nRuns that events of assets, webhooks or files make have neither a logical date nor a data interval, and those of Kafka records have no logical date. A template that needs one fails in them. Say what holds without it: {{ ds | default('none') }}, {% if ds is defined %}. Runs by hand have the present as their date unless somebody asks for none. Where a DAG has a schedule beside its triggers, its runs by schedule have no `trigger`."),
];
