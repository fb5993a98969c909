//! One line for each mistake: the text, and the code and place that are reported.

use super::{found, load};
use crate::codes;
use std::collections::BTreeSet;

/// `T` stands for a task that is right, so that a line shows only what it is about.
const T: &str = "[tasks]\nt = 'true'\n";

#[rustfmt::skip]
const CASES: &[(&str, &str)] = &[
    // Syntax.
    ("[dag\n[tasks]\nt = 'true'", "TM0001 1:5"),
    ("[tasks]\nt = 'true'\nt = 'false'", "TM0001 3:1"),
    ("[tasks]\na = \"open\nb = 'true'", "TM0001 2:10"),
    ("[tasks]\nt = 'true'\nx = tru", "TM0001 3:5"),
    // Types and keys.
    ("[dag]\ntags = 'a'\nT", "TM0101 2:8"),
    ("[dag]\ncatchup = 'true'\nT", "TM0101 2:11"),
    ("[tasks.t]\nretries = '3'\nshell = 'true'", "TM0101 2:11"),
    ("[tasks.t]\nshell = 'true'\nenv = { A = 1 }", "TM0101 3:13"),
    ("[tasks]\nt = 3", "TM0101 2:5"),
    ("[[tasks]]\nid = 'a'\nshell = 'true'", "TM0101 1:1"),
    ("dag = 1\nT", "TM0101 1:7"),
    ("[dag]\nstart_date = '2026-01-01'\nT", "TM0101 2:14"),
    ("[dag]\n", "TM0102 1:2"),
    ("", "TM0102 1:1"),
    ("[dag.schedule]\ntimezone = 'UTC'\nT", "TM0102 1:1"),
    ("[tasks.t]\nshell = 'true'\nsecrets = { A = { as = 'file' } }", "TM0102 3:17"),
    ("[tasks.t]\nretries = -1\nshell = 'true'", "TM0103 2:11"),
    ("[dag]\nformat = 2\nT", "TM0103 2:10"),
    ("[tasks.t.shell]\ncommand = 'true'\noutput = 'lastline'", "TM0103 3:10"),
    ("[tasks.t.shell]\nscript = '../x.sh'", "TM0103 2:10"),
    ("[tasks.t]\nshell = ''", "TM0103 2:9"),
    ("[tasks.t]\noperator = 'emtpy'", "TM0103 2:12"),
    ("[tasks.t]\nshell = 'true'\nsecrets = { A = 'hunter2' }", "TM0103 3:17"),
    ("[dag]\nallowed_run_types = ['schedule']\nT", "TM0103 2:22"),
    ("[tasks.t]\nretry_dealy = '3s'\nshell = 'true'", "TM0104 2:1"),
    ("[dags]\nT", "TM0104 1:2"),
    ("[tasks.load.users]\nshell = 'true'", "TM0104 1:13"),
    ("[dag]\nfoo = 1\nbar = 2\nT", "TM0104 2:1, TM0104 3:1"),
    ("[tasks.a]\nshell = 'true'\n[tasks.b]\nneeds = ['a']\nshell = 'true'", "TM0105 4:1"),
    ("[dag]\ndag_id = 'x'\nT", "TM0105 2:1"),
    ("[tasks.t]\nrun = 'true'", "TM0105 2:1"),
    ("[tasks.t.shell]\ncommand = 'true'\nretries = 3", "TM0106 3:1"),
    ("[dag.schedule]\ncron = '@daily'\ncatchup = true\nT", "TM0106 3:1"),
    ("[dag]\nid = 'a b'\nT", "TM0107 2:6"),
    ("[tasks]\n\"a b\" = 'true'", "TM0107 2:1"),
    ("[tasks.t]\nshell = 'true'\nenv = { 'A-B' = 'x' }", "TM0107 3:9"),
    ("[tasks.t]\nshell = 'true'\noutputs = { return_value = 'x' }", "TM0107 3:13"),
    ("[groups.t]\nT", "TM0108 3:1"),
    ("[tasks.t]\nshell = 'true'\nresources = { ram = '1GiB' }", "TM0104 3:15"),
    ("[tasks.t]\nshell = 'true'\nresources = { cpu = 0 }", "TM0103 3:21"),
    ("[tasks.t]\nshell = 'true'\nresources = { memory = '4KiB' }", "TM0103 3:24"),
    ("[tasks.t]\nshell = 'true'\nresources = { cpu_time = '10ms' }", "TM0103 3:26"),
    ("[tasks.t]\nshell = 'true'\nresources = { processes = 0 }", "TM0103 3:27"),
    ("[[dag.deadlines]]\nnotify = [{ slack = '#a' }]\nT", "TM0102 1:1"),
    ("[[dag.deadlines]]\ninterval = '1h'\nT", "TM0102 1:1"),
    ("[[dag.deadlines]]\ninterval = '1h'\nreference = 'noon'\nnotify = [{ slack = '#a' }]\nT", "TM0103 3:13"),
    ("[[dag.deadlines]]\ninterval = '1h'\nnotify = [{ text = 'late' }]\nT", "TM0115 3:11"),
    // Webhooks and files.
    ("[triggers.a.webhook]\npath = 'x'\nT", "TM0102 1:11"),
    ("[triggers.a.webhook]\nsecret = 'hook'\npath = 'x/y'\nT", "TM0107 3:8"),
    ("[triggers.a.webhook]\nsecret = 'conn.x'\nT", "TM0103 2:10"),
    ("[triggers.a.webhook]\nsecret = 'hook'\nsignature = 'md5'\nT", "TM0103 3:13"),
    ("[triggers.a.webhook]\nsecret = 'hook'\nmax_bytes = '2MiB'\nT", "TM0103 3:13"),
    ("[triggers.a.webhook]\nsecret = 'hook'\nreplay_window = '0s'\nT", "TM0103 3:17"),
    ("[triggers.a.webhook]\nsecret = 'hook'\nrun_if = '{{ tasks.t.output }}'\nT", "TM0202 3:20"),
    ("[triggers.a.file]\nsettle = '1s'\nT", "TM0102 1:11"),
    ("[triggers.a.file]\npath = 'in/*.csv'\nT", "TM0103 2:8"),
    ("[triggers.a.file]\npath = '/in/*/a.csv'\nT", "TM0103 2:8"),
    ("[triggers.a]\nwebhook = { secret = 'a' }\nfile = { path = '/a/b' }\nT", "TM0160 1:11"),
    ("[triggers.a]\nparams = { regoin = 'x' }\nwebhook = { secret = 'a' }\n[params]\nregion = ''\nT", "TM0204 2:12"),
    ("[triggers.a]\nrun_id = '{{ tasks.t.output }}'\nwebhook = { secret = 'a' }\nT", "TM0202 2:20"),
    // Streams.
    ("[triggers.a]\nenabled = true\nT", "TM0160 1:11"),
    ("[triggers.a.kafka]\ntopics = ['x']\nT", "TM0160 1:11"),
    ("[triggers.a.kafka]\nbrokers = ['h:1']\nT", "TM0160 1:11"),
    ("[triggers.a.kafka]\nbrokers = ['h']\ntopics = ['x']\nT", "TM0103 2:12"),
    ("[triggers.a.kafka]\nbrokers = ['h:1']\ntopics = ['x y']\nT", "TM0107 3:11"),
    ("[triggers.a.kafka]\nbrokers = ['h:1']\ntopics = ['x', 'x']\nT", "TM0103 3:16"),
    ("[triggers.a.kafka]\nbrokers = ['h:1']\ntopics = ['x']\nstart = 'begin'\nT", "TM0103 4:9"),
    ("[triggers.a.kafka]\nbrokers = ['h:1']\ntopics = ['x']\nmax_bytes = '8 apples'\nT", "TM0103 4:13"),
    ("[triggers.a.kafka]\nbrokers = ['h:1']\ntopics = ['x']\nfilter = '{{ record.valeu > 1 }}'\nT", "TM0214 4:10"),
    ("[triggers.a.kafka]\nbrokers = ['h:1']\ntopics = ['x']\nfilter = '{{ params.x }}'\nT", "TM0214 4:10"),
    ("[triggers.a.kafka]\nbrokers = ['h:1']\ntopics = ['x']\nordering = 'key'\nT", "TM0161 4:12"),
    ("[triggers.a.kafka]\nbrokers = ['h:1']\ntopics = ['x']\nconfig = { 'group.id' = 'x' }\nT", "TM0162 4:12"),
    ("[triggers.a.kafka]\nbrokers = ['h:1']\ntopics = ['x']\nordering = 'none'\non_lane_failure = 'block'\nT", "TM0161 5:19"),
    ("[triggers.a.kafka]\nbrokers = ['h:1']\ntopic_pattern = 'x.(*'\nT", "TM0103 3:17"),
    ("[triggers.a.kafka]\nbrokers = ['h:1']\ntopics = ['x']\nschema_registry = 'x'\nT", "TM0190 4:1"),
    ("[tasks.w.kafka_wait]\nbrokers = ['h:1']\ntopics = ['x']\nfilter = 'record.key'", "TM0114 4:10"),
    ("[tasks.w.kafka_wait]\nbrokers = ['h']\ntopics = ['x']", "TM0114 2:11"),
    ("[tasks.w.kafka_consume]\nbrokers = ['h:1']\nconnection = 'c'\ntopics = ['x']", "TM0114 1:8"),
    ("[tasks.w.kafka_consume]\nbrokers = ['h:1']\ntopics = ['x']\nfrom = 'first'", "TM0114 4:8"),
    ("[tasks.w.kafka_produce]\nbrokers = ['h:1']\ntopic = 'x'\nvalue = 'v'\nfile = 'f'", "TM0114 5:8"),
    ("[dag]\nallowed_run_types = ['manual']\n[triggers.a.kafka]\nbrokers = ['h:1']\ntopics = ['x']\nT", "TM0161 3:11"),
    ("[dag.concurrency]\npolicy = 'skip'\n[triggers.a.kafka]\nbrokers = ['h:1']\ntopics = ['x']\nT", "TM0161 3:11"),
    ("[tasks]\nt = 'echo {{ trigger.count }}'", "TM0213 2:14"),
    // Limits.
    ("[tasks.t]\nshell = 'true'\npool = 'a b'", "TM0107 3:8"),
    ("[tasks.t]\nshell = 'true'\npool_slots = 0", "TM0103 3:14"),
    ("[tasks.t]\nshell = 'true'\npriority_weight = 9999999999", "TM0103 3:19"),
    ("[tasks.t]\nshell = 'true'\nweight_rule = 'down'", "TM0103 3:15"),
    ("[tasks.t]\nshell = 'true'\nmax_active_tis_per_dag = 0", "TM0103 3:26"),
    ("[dag]\nconcurrency = 3\nT", "TM0101 2:15"),
    ("[dag.concurrency]\nlimit = 0\npolicy = 'wait'\nT", "TM0103 2:9, TM0103 3:10"),
    ("[dag.concurrency]\ncatchup = true\nT", "TM0106 2:1"),
    ("[dag.concurrency]\nkey = '{{ params.region }}'\nT", "TM0204 2:11"),
    ("[dag.concurrency]\nkey = '{{ tasks.t.output }}'\nT", "TM0210 2:17"),
    ("[dag.concurrency]\nkey = '{{ var.value.x }}'\nT", "TM0210 2:21"),
    // Alerts.
    ("[dag]\non_failure = [{ text = 'x' }]\nT", "TM0115 2:15"),
    ("[dag]\non_failure = [{ slack = '#a', webhook = 'https://x' }]\nT", "TM0115 2:15"),
    ("[dag]\non_failure = { slack = '#a' }\nT", "TM0101 2:14"),
    ("[dag]\non_failure = [{ email = ['nobody'] }]\nT", "TM0103 2:26"),
    ("[dag]\non_success = [{ shell = 'x', connection = 'y' }]\nT", "TM0115 2:43"),
    ("[dag]\non_success = [{ kafka = 'x' }]\nT", "TM0190 2:17"),
    ("[tasks.t]\nshell = 'true'\non_retry = [{ slack = '#a', text = '{{ var.value.x }}' }]", "TM0210 3:50"),
    ("[tasks.t]\nshell = 'true'\non_retry = [{ webhook = 'https://x', json = { a = '{{ stdout }}' } }]", "TM0209 3:55"),
    // Python.
    ("[tasks.t.python]\nscript = 'a.py'\ncall = 'a:b'", "TM0114 3:8"),
    ("[tasks.t.python]\nargs = ['a']", "TM0114 1:8"),
    ("[tasks.t.python]\nscript = 'a.py'\nkwargs = { a = 1 }", "TM0114 3:10"),
    ("[tasks.t.python]\nscript = 'a.py'\npython = 'x'\nvenv = 'y'", "TM0114 4:8"),
    ("[tasks.t.python]\ncall = 'a.b.c'", "TM0114 2:8"),
    ("[tasks.t.python]\ncall = 'a:b'\nkwargs = 3", "TM0114 3:10"),
    // Connections and variables.
    ("[tasks]\nt = '{{ var.x }}'", "TM0208 2:9"),
    ("[tasks]\nt = '{{ conn.dw.password }}'", "TM0211 2:17"),
    ("[tasks]\nt = '{{ conn.dw.get_uri() }}'", "TM0212 2:14"),
    ("[tasks]\nt = '{{ conn.dw }}'", "TM0212 2:14"),
    ("[tasks]\nt = '{{ conn.dw.hots }}'", "TM0212 2:17"),
    // Operators.
    ("[tasks.t]\nretries = 1", "TM0110 1:8"),
    ("[tasks.t]\noperator = 'shell'", "TM0110 2:12"),
    ("[tasks.t]\nshell = 'true'\n[tasks.t.sql]\nsql = 'x'", "TM0111 3:10"),
    ("[tasks.t]\nshell = 'true'\noperator = 'empty'", "TM0112 3:12"),
    ("[tasks.t.shell]\noutput = 'json'", "TM0113 1:1"),
    ("[tasks.t.shell]\ncommand = 'true'\nscript = 'x.sh'", "TM0113 3:10"),
    // Durations and dates.
    ("[tasks.t]\nexecution_timeout = 900\nshell = 'true'", "TM0120 2:21"),
    ("[tasks.t]\nexecution_timeout = '900'\nshell = 'true'", "TM0120 2:21"),
    ("[tasks.t]\nexecution_timeout = '5 minutes'\nshell = 'true'", "TM0121 2:21"),
    ("[tasks.t]\nexecution_timeout = '99999d'\nshell = 'true'", "TM0121 2:21"),
    ("[tasks.t]\nexecution_timeout = '0s'\nshell = 'true'", "TM0103 2:21"),
    ("[dag]\nstart_date = 06:00:00\nT", "TM0122 2:14"),
    // Schedules.
    ("[dag]\nschedule = '30 6 32 * *'\nT", "TM0130 2:18"),
    ("[dag]\nschedule = ['0 6 * * *', '0 25 * * *']\nT", "TM0130 2:29"),
    ("[dag]\nschedule = '0 0 30 2 *'\nT", "TM0130 2:17"),
    ("[dag]\nschedule = '* * *'\nT", "TM0131 2:12"),
    ("[dag]\nschedule = '@often'\nT", "TM0131 2:12"),
    ("[dag]\nschedule = '@every 10ms'\nT", "TM0131 2:12"),
    ("[dag]\nschedule = '@every 15'\nT", "TM0120 2:12"),
    ("[dag.schedule]\ncron = '@daily'\nevery = '5m'\nT", "TM0131 3:9"),
    ("[dag.schedule]\nat = [2026-01-01]\nevery = '5m'\nT", "TM0131 2:6"),
    ("[dag.schedule]\nat = []\nT", "TM0131 2:6"),
    ("[dag.schedule]\nat = [2026-01-01, '2026-01-02']\nT", "TM0101 2:19"),
    ("[dag.schedule]\ncron = '@daily'\ninterval = 'periods'\nT", "TM0103 3:12"),
    ("[dag.schedule]\ncron = '@daily'\ninterval = '1 hour'\nT", "TM0121 3:12"),
    ("[dag.schedule]\ncron = '@daily'\ninterval = 5\nT", "TM0101 3:12"),
    ("[dag.schedule]\ncron = '@daily'\nrun_immediately = 1\njitter = '5'\nT", "TM0101 3:19, TM0120 4:10"),
    ("[dag]\nschedule = '@continuous'\nmax_active_runs = 2\nT", "TM0134 3:19"),
    ("[dag]\ntimezone = 'Europe/Pariss'\nT", "TM0132 2:12"),
    ("[dag]\nstart_date = 2026-02-01\nend_date = 2026-01-01\nT", "TM0133 3:12"),
    ("[dag]\nschedule = '0 0 13 * 5'\nT", "TM0312 2:12"),
    ("[dag]\nschedule = '@daily'\n[tasks.t]\nenv = { A = '{{ data_interval_start }}' }\nshell = 'x $TIDEMILL_DATA_INTERVAL_END'", "TM0311 5:9"),
    // The graph.
    ("[tasks.a]\ndepends_on = ['c']\nshell = 'true'\n[tasks.b]\ndepends_on = ['a']\nshell = 'true'\n[tasks.c]\ndepends_on = ['b']\nshell = 'true'", "TM0140 2:15"),
    ("[tasks.a]\ndepends_on = 'a'\nshell = 'true'", "TM0140 2:14"),
    ("[groups.g]\n[tasks.a]\ngroup = 'g'\ndepends_on = ['g']\nshell = 'true'", "TM0140 4:15"),
    ("[tasks.load]\nshell = 'true'\n[tasks.b]\ndepends_on = ['laod', 'nothing']\nshell = 'true'", "TM0141 4:15, TM0141 4:23"),
    ("[tasks.a]\ngroup = 'g'\nshell = 'true'", "TM0142 2:9"),
    ("[groups.g]\n[tasks.a]\ndepends_on = 'g'\nshell = 'true'", "TM0142 3:14"),
    ("[groups.g]\ngroup = 'h'\n[groups.h]\ngroup = 'g'\nT", "TM0142 2:9"),
    // Parameters.
    ("[params.n]\ntype = 'integer'\ndefault = 'x'\nT", "TM0150 3:11"),
    ("[params.n]\ndefault = 'x'\nenum = ['a', 'b']\nT", "TM0150 2:11"),
    ("[dag]\nschedule = '@daily'\n[params.n]\ntype = 'integer'\nT", "TM0151 3:9"),
    ("[params.n]\ntype = 'int'\nT", "TM0103 2:8"),
    ("[params.n]\ntypo = 'int'\nT", "TM0104 2:1"),
    ("[params.n]\npattern = '('\nT", "TM0103 2:11"),
    ("[params.n]\nformat = 'dat'\nT", "TM0103 2:10"),
    ("[params.n]\nmultipleOf = 0\nT", "TM0103 2:14"),
    ("[params.n]\nuniqueItems = 'yes'\nT", "TM0101 2:15"),
    ("[params.n]\nproperties = { a = 1 }\nT", "TM0101 2:20"),
    ("[params.n.items]\ntyp = 'integer'\nT", "TM0104 2:1"),
    ("[params.n.properties.port.items]\npattern = '['\nT", "TM0103 2:11"),
    ("[params.n]\ndefault = 'x'\npattern = '^a'\nT", "TM0150 2:11"),
    ("[params.n]\ndefault = 'x'\nformat = 'date'\nT", "TM0150 2:11"),
    ("[params.n]\ndefault = 3\nexclusiveMinimum = 3\nT", "TM0150 2:11"),
    ("[params.n]\ndefault = 3\nexclusiveMaximum = 3\nT", "TM0150 2:11"),
    ("[params.n]\ndefault = 3\nmultipleOf = 2\nT", "TM0150 2:11"),
    ("[params.n]\ndefault = 3\nconst = 4\nT", "TM0150 2:11"),
    ("[params.n]\ndefault = []\nminItems = 1\nT", "TM0150 2:11"),
    ("[params.n]\ndefault = [1, 2]\nmaxItems = 1\nT", "TM0150 2:11"),
    ("[params.n]\ndefault = [1, 1]\nuniqueItems = true\nT", "TM0150 2:11"),
    ("[params.n]\ndefault = [1, 'a']\nitems = { type = 'integer' }\nT", "TM0150 2:11"),
    ("[params.n]\ndefault = { a = 1 }\nrequired = ['b']\nT", "TM0150 2:11"),
    ("[params.n]\ndefault = { a = 1 }\nproperties = { a = { type = 'string' } }\nT", "TM0150 2:11"),
    // Not built yet.
    ("[tasks.t]\nkafka_consume = 'x'", "TM0101 2:17"),
    // Operators that run inside the worker.
    ("[tasks.t]\nhttp = 3", "TM0101 2:8"),
    ("[tasks.t.http]\nurl = 'http://x'\nmethod = 'FETCH'", "TM0103 3:10"),
    ("[tasks.t.http]\nurl = 'http://x'\nretries = 3", "TM0106 3:1"),
    ("[tasks.t.http]\nurl = 'http://x'\ntimeout = 20", "TM0120 3:11"),
    ("[tasks.t.http]\nurl = 'http://x'\nheaders = { A = 1 }", "TM0101 3:17"),
    ("[tasks.t.http]\nmethod = 'POST'", "TM0114 1:8"),
    ("[tasks.t.http]\nurl = '{{ nothing }}'", "TM0202 2:11"),
    ("[tasks.t.http]\nurl = 'x'\njson = { a = ['{{ nothing }}'] }", "TM0202 3:19"),
    ("[tasks.t.http]\nurl = 'x'\nbody = 'a'\njson = 1", "TM0114 3:8"),
    ("[tasks.t.http]\nurl = 'x'\npagination = { max_pages = 3 }", "TM0114 3:14"),
    ("[tasks.t.http]\nurl = 'x'\npagination = { nxt = '' }", "TM0104 3:16"),
    ("[tasks.t.http]\nurl = 'x'\nmax_size = '8 megs'", "TM0103 3:12"),
    ("[tasks.t]\nsql = 'select 1'", "TM0101 2:7"),
    ("[tasks.t.sql]\nurl = 'sqlite://x'", "TM0114 1:8"),
    ("[tasks.t.sql]\nsql = 'select 1'", "TM0114 1:8"),
    ("[tasks.t.sql]\nurl = 'sqlite://x'\nsql = \"select '{{ ds }}'\"", "TM0114 3:7"),
    ("[tasks.t.sql]\nurl = 'sqlite://x'\nfile = '../x.sql'", "TM0103 3:8"),
    ("[tasks.t.sql]\nurl = 'sqlite://x'\nload = { file = 'a.csv' }", "TM0114 3:8"),
    ("[tasks.t.sql]\nurl = 'sqlite://x'\nload = { file = 'a.csv', table = 't', mode = 'upsert' }", "TM0114 3:8"),
    ("[tasks.t.sql]\nurl = 'sqlite://x'\ncheck = [{ sql = 'select 1' }]", "TM0114 3:9"),
    ("[tasks.t.http]\nurl = '{{ response.url }}'", "TM0209 2:11"),
    ("[tasks.t]\nhttp = 'http://x'\noutputs = { a = '{{ exit_code }}' }", "TM0209 3:21"),
    ("[tasks.t.wasm]\nfuel = 5", "TM0114 1:8"),
    ("[tasks.t.wasm]\nmodule = 'x.wasm'\nmax_memory = '5GiB'", "TM0114 3:14"),
    ("[tasks.t.wasm]\nmodule = 'x.wasm'\nmax_memory = true", "TM0101 3:14"),
    ("[tasks.t.wasm]\nmodule = 'x.wasm'\nallow_hosts = ['example.com']", "TM0114 3:15"),
    ("[tasks.t.wasm]\nmodule = 'x.wasm'\ndirs = [{ host = '{{ run_dir }}', guest = 'data' }]", "TM0114 3:8"),
    ("[tasks.t.wasm]\nmodule = 'x.wasm'\ndirs = [{ host = 'a', guest = '/a', mode = 'wr' }]", "TM0103 3:44"),
    ("[tasks.t.wasm]\nmodule = 'x.wasm'\nstdin = 'a'\nstdin_file = 'b'", "TM0114 4:14"),
    ("[tasks.t.wasm]\nmodule = 'x.wasm'\noutput = 'yaml'", "TM0103 3:10"),
    ("[default_args.http]\ntimeot = '3s'\n[tasks]\nt = 'true'", "TM0104 2:1"),
    ("[tasks.t]\nshell = 'true'\ndepends_on_past = 'yes'", "TM0101 3:19"),
    ("[tasks.t]\ntime_sensor = {}", "TM0149 2:15"),
    ("[assets.o]\nuri = 'postgres://me:secret@host/db'\nT", "TM0152 2:7"),
    ("[tasks.t]\nshell = 'true'\noutlets = ['nowhere']", "TM0313 3:12"),
    ("[dag]\nschedule = { assets = ['a'] }\n[assets.a]\n[tasks.t]\nshell = 'true'\nenv = { A = '{{ ds }}' }", "TM0314 6:17"),
    ("[dag]\nschedule = { cron = '@daily', assets = ['a'] }\n[assets.a]\n[tasks.t]\nshell = 'true'\nenv = { A = '{{ data_interval_end }}' }", "TM0314 6:17"),
    ("[triggers.a.kafka]\nbrokers = ['h:1']\ntopics = ['x']\n[tasks.t]\nshell = 'true'\nenv = { A = '{{ data_interval_start }}', B = '{{ ts }}' }", "TM0314 6:50"),
    ("[triggers.a.webhook]\nsecret = 'hook'\n[tasks.t]\nshell = 'true'\nenv = { A = '{{ logical_date.year }} {{ logical_date.day }}' }", "TM0314 5:17"),
    ("[tasks.t]\nshell = 'true'\ntrigger_rule = 'all_well'", "TM0103 3:16"),
    ("[tasks.t]\nshell = 'true'\nsetup = true\nteardown = true", "TM0145 4:12"),
    ("[tasks.t]\nshell = 'true'\nsetups = []", "TM0145 3:10"),
    ("[tasks.s]\nshell = 'true'\n[tasks.t]\nshell = 'true'\nteardown = true\nsetups = ['s']", "TM0145 6:11"),
    ("[tasks.t]\nshell = 'true'\nteardown = true\ntrigger_rule = 'all_done'", "TM0145 4:16"),
    ("[tasks.s]\nshell = 'true'\nsetup = true\n[tasks.t]\nshell = 'true'\ndepends_on = ['s']\ntrigger_rule = 'all_done'", "TM0145 7:16"),
    ("[dag]\nfail_fast = true\n[tasks.t]\nshell = 'true'\ntrigger_rule = 'one_failed'", "TM0146 5:16"),
    ("[[tasks.b.branch.cases]]\nelse = true\nthen = 'x'", "TM0147 3:8"),
    ("[[tasks.b.branch.cases]]\nelse = true\nthen = 'x'\n[tasks]\nx = 'true'", "TM0147 3:8"),
    ("[[tasks.b.branch.cases]]\nif = '{{ true }}'\nelse = true", "TM0147 1:1"),
    ("[tasks.b.branch]\ncases = [{ else = true }, { days = 'mon' }]", "TM0147 2:9"),
    ("[tasks.b.branch]\ncases = [{ days = 'monday' }, { between = ['25:00', '6'] }]", "TM0103 2:19, TM0103 2:44, TM0103 2:53"),
    ("[tasks.t]\nshell = 'true'\nretry_policy = [{ action = 'fail' }, { error = '(' }, { http_status = 99 }]", "TM0102 3:17, TM0103 3:48, TM0103 3:71"),
    ("[dag]\nretries = 1\nretry_scope = 'some'\nT", "TM0103 3:15"),
    ("[tasks.g.short_circuit]\nignore_downstream_trigger_rules = false", "TM0102 1:1"),
    ("[tasks.g]\nshort_circuit = '{{ nothing }}'", "TM0202 2:21"),
    ("[tasks.t]\nshell = 'true'\nexpand = { a = { each = 'b' } }", "TM0141 3:25"),
    ("[tasks.t]\nshell = 'true'\nexpand = { a = { each = 't' } }", "TM0140 3:25"),
    ("[tasks.b]\nshell = 'true'\n[tasks.t]\nshell = 'true'\nexpand = { a = { each = 'b' } }", "TM0148 5:25"),
    ("[groups.g]\n[tasks.b]\nshell = 'true'\ngroup = 'g'\n[tasks.t]\nshell = 'true'\nexpand = { a = { each = 'g' } }", "TM0148 7:25"),
    ("[tasks.b]\nshell = 'true'\nexpand = { x = [1] }\n[tasks.t]\nshell = 'true'\nexpand = { a = { each = 'b' }, c = [1] }", "TM0148 6:16"),
    ("[tasks.b]\nshell = 'true'\nexpand = { x = [1] }\n[tasks.t]\nshell = 'true'\nexpand = { a = { each = 'b', key = 'x' } }", "TM0104 6:30"),
    ("[tasks.b]\nshell = 'true'\nexpand = { x = [1] }\n[tasks.t]\nshell = 'true'\nmap_index_template = '{{ map.a }}'\nexpand = { a = { each = 'b' } }", "TM0148 6:22"),
    ("[tasks.b]\nshell = 'true'\nexpand = { x = [1] }\n[tasks.t]\nbranch = 'x'\nexpand = { a = { each = 'b' } }", "TM0148 6:10"),
    ("[tasks.a]\nshell = 'true'\nexpand = { r = { each = 'b' } }\n[tasks.b]\nshell = 'true'\nexpand = { r = { each = 'a' } }", "TM0140 3:25"),
    ("[tasks.t]\nshell = 'true'\nexpand = { a = { each = 5 } }", "TM0101 3:25"),
    ("[tasks.t]\nshell = 'true'\nexpand = { a = { each = ['b'] } }", "TM0101 3:25"),
    ("[tasks.t]\nshell = 'true'\nexpand = { a = { each = true, x = 1 } }", "TM0101 3:25, TM0104 3:31"),
    ("[tasks.t]\nshell = 'true'\nexpand = { a = { task = 'b' } }", "TM0101 3:16"),
    ("[tasks.t]\nshell = 'true'\nexpand = { a = {} }", "TM0101 3:16"),
    ("[tasks.t]\nshell = 'true'\nexpand = { each = { task = 'b' } }", "TM0101 3:19"),
    ("[tasks.t]\nshell = 'true'\nexpand_kwargs = { each = 'b' }", "TM0101 3:17"),
    ("[tasks.a]\nshell = 'true'\n[tasks.b]\ndepends_on = ['a']\nshell = 'true'\nenv = { N = '{{ tasks.a.outputs_file }}' }", "TM0206 6:23"),
    ("[tasks.a]\nshell = 'true'\nexpand = { x = [1] }\n[tasks.b]\nshell = 'true'\nenv = { N = '{{ tasks.a.outputs_file }}' }", "TM0205 6:23"),
    ("[tasks.a]\nshell = 'true'\nexpand = { x = [1] }\nenv = { N = '{{ tasks.a.outputs_file }}' }", "TM0205 4:23"),
    ("[tasks.a]\nshell = 'true'\nexpand = { x = [1] }\n[tasks.b]\ndepends_on = ['a']\nshell = 'true'\nenv = { N = '{{ tasks.a.output_file }}' }", "TM0206 7:25"),
    ("[tasks.t]\nshell = 'true'\nexpand = { a = 1 }", "TM0101 3:16"),
    ("[tasks.t]\nshell = 'true'\nexpand = {}", "TM0148 3:10"),
    ("[tasks.t]\nshell = 'true'\non_empty = 'fail'", "TM0148 3:12"),
    ("[tasks.t]\nshell = 'true'\nexpand = { a = [1] }\nexpand_kwargs = []", "TM0148 4:17"),
    ("[tasks.t]\nbranch = 'x'\nexpand = { a = [1] }", "TM0148 3:10"),
    ("[tasks.t]\nshell = 'true'\nsetup = true\nexpand = { a = ['{{ x }}'] }", "TM0148 4:10, TM0202 4:21"),
    ("[triggers.x.kafka]\ntopics = ['a']\nT", "TM0160 1:11"),
    ("[dag.schedule]\ncron = '@daily'\nassets = ['a']\npartition_key = '%Y'\nT", "TM0313 3:11, TM0190 4:1"),
    ("[tasks.t]\nshell = 'echo {{ partition_key }}'", "TM0190 2:18"),
    // Templates.
    ("[tasks.t]\nshell = 'echo {{ ds | }}'", "TM0201 2:"),
    ("[tasks.t]\nshell = \"\"\"\n\\\"{{ dss }}\"\"\"", "TM0202 3:6"),
    ("[tasks.transform]\nshell = 'true'\n[tasks.b]\nshell = 'true'\nenv = { N = '{{ tasks.transfrom.output }}' }", "TM0203 5:23"),
    ("[params]\nregion = 'eu'\n[tasks.t]\nshell = 'true'\nenv = { R = '{{ params.regoin }}' }", "TM0204 5:17"),
    ("[tasks.a]\nshell = 'true'\n[tasks.b]\nshell = 'true'\nenv = { N = '{{ tasks.a.output }}' }", "TM0205 5:23"),
    ("[tasks.a]\nshell = 'true'\noutputs = { rows = '{{ stdout }}' }\n[tasks.b]\ndepends_on = ['a']\nshell = 'true'\nenv = { N = '{{ tasks.a.outputs.row }}' }", "TM0206 7:33"),
    ("[tasks.a]\noperator = 'empty'\n[tasks.b]\ndepends_on = ['a']\nshell = 'true'\nenv = { N = '{{ tasks.a.output }}' }", "TM0206 6:23"),
    ("[tasks.t]\nshell = 'true'\nenv = { N = '{{ ds | qoute }}' }", "TM0207 3:22"),
    ("[tasks.t]\nshell = 'true'\nenv = { N = '{{ ti.xcom_pull() }}' }", "TM0208 3:17"),
    ("[tasks.t]\nshell = 'echo {{ stdout }}'", "TM0209 2:18"),
    ("[params]\nname = 'x'\n[tasks.t]\nshell = 'import {{ params.name }}'", "TM0310 4:20"),
    ("[tasks.t]\nshell = 'import {{ dag_run.conf.x }}'", "TM0310 2:20"),
    // Several at once.
    ("[dag]\nschedule = 'x'\ntimezone = 'y'\n[tasks.a]\nretries = 'z'\ndepends_on = ['q']\nshell = '{{ w }}'", "TM0131 2:12, TM0132 3:12, TM0101 5:11, TM0141 6:15, TM0202 7:13"),
    ("[dag]\nscheduel = '@daily'\n[tasks.a]\nshell = 'open\nretries = 3", "TM0104 2:1, TM0001 4:14"),
];

#[test]
fn every_mistake_is_reported_with_its_code_and_place() {
    let mut wrong = Vec::new();
    for (source, expected) in CASES {
        let source = source
            .strip_suffix('T')
            .map_or(source.to_string(), |start| format!("{start}{T}"));
        let found = found(&source).join(", ");
        if found != *expected && !(expected.ends_with(':') && found.starts_with(expected)) {
            wrong.push(format!(
                "{source}\n  expected {expected}\n  found    {found}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bytes_that_are_no_text_get_one_error_each() {
    let code = |bytes: &[u8]| {
        let loaded = load(bytes, "sample");
        assert_eq!(loaded.diagnostics.len(), 1, "{:?}", loaded.diagnostics);
        assert!(loaded.dag.is_none());
        loaded.diagnostics[0].code
    };
    assert_eq!(code(b"[tasks]\nt = 'a\xff'"), "TM0002");
    assert_eq!(code(b"[tasks]\nt = 'a\0'"), "TM0003");
    assert_eq!(code(b"\xef\xbb\xbf[tasks]\nt = 'true'"), "TM0004");
    assert_eq!(
        code(&vec![b'#'; crate::parse::FILE_BYTES_MAX + 1]),
        "TM0005"
    );
}

#[test]
fn nesting_bombs_get_one_error() {
    let n_levels = 100_000;
    let bombs = [
        format!("a = {}", "[".repeat(n_levels)),
        format!("a = {}{}", "[".repeat(n_levels), "]".repeat(n_levels)),
        format!("a = {}", "{a=".repeat(n_levels)),
        format!("{} = 1", "a.".repeat(n_levels) + "a"),
        format!("[{}]", "a.".repeat(n_levels) + "a"),
        format!(
            "[tasks.t]\nshell = 'true'\nenv = {}1{}",
            "[".repeat(70),
            "]".repeat(70)
        ),
    ];
    for bomb in bombs {
        let loaded = load(bomb.as_bytes(), "sample");
        let codes: Vec<_> = loaded.diagnostics.iter().map(|one| one.code).collect();
        assert_eq!(codes, ["TM0006"], "{}", &bomb[..40.min(bomb.len())]);
    }
}

#[test]
fn limits_of_tasks_edges_and_diagnostics_hold() {
    let mut many = String::from("[tasks]\n");
    for at in 0..200_001 {
        many.push_str(&format!("t{at}='x'\n"));
    }
    assert_eq!(found(&many), ["TM0007 200002:1"]);

    let mut wide = String::from("[groups.a]\n[groups.b]\ndepends_on = ['a']\n");
    for at in 0..1_500 {
        wide.push_str(&format!(
            "[tasks.a{at}]\ngroup='a'\nshell='x'\n[tasks.b{at}]\ngroup='b'\nshell='x'\n"
        ));
    }
    assert_eq!(found(&wide), ["TM0008 3:15"]);

    let mut wrong = String::from("[tasks.t]\nshell = 'true'\n");
    for at in 0..1_000 {
        wrong.push_str(&format!("zzz{at} = 1\n"));
    }
    let found = found(&wrong);
    assert_eq!(found.len(), crate::walk::DIAGNOSTICS_MAX + 1);
    assert!(found.last().unwrap().starts_with("TM0009"));
}

#[test]
fn every_code_has_a_case_and_an_explanation() {
    let mut tested: BTreeSet<&str> = CASES
        .iter()
        .flat_map(|(_, codes)| codes.split(", "))
        .map(|one| &one[..6])
        .collect();
    tested.extend([
        "TM0002", "TM0003", "TM0004", "TM0005", "TM0006", "TM0007", "TM0008", "TM0009", "TM0144",
    ]);
    assert_eq!(tested, codes().collect());
    for code in codes() {
        assert!(crate::explain(code).unwrap().starts_with(code));
    }
    assert_eq!(crate::explain("TM9999"), None);
}
