//! The sql operator on a real PostgreSQL and on SQLite.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, Row};
use support::waiting::wait_for;
use support::{PATIENCE, Place, Server, postgres, told};

/// The address of a new database of each kind.
fn targets(place: &Place) -> [String; 2] {
    let file = place.folder().join("target.db");
    [
        postgres::Server::shared().new_database(),
        format!("sqlite://{}", file.display()),
    ]
}

/// Runs a DAG file here and now; the run, whatever its end.
fn run(place: &Place, text: &str) -> Value {
    let file = place.write_dag("sql.toml", text);
    let output = place.call(&["run", file.to_str().unwrap(), "-o", "json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)))
}

fn task<'r>(run: &'r Value, name: &str) -> &'r Value {
    let all = run["task_instances"].as_array().unwrap();
    all.iter().find(|one| one["task_id"] == name).unwrap()
}

/// One sql task; `settings` is the inside of its table.
fn one(url: &str, settings: &str) -> String {
    format!("[tasks.q.sql]\nurl = '{url}'\n{settings}\n")
}

/// Runs one sql task that must succeed, and gives its output.
fn output(place: &Place, url: &str, settings: &str) -> Value {
    let run = run(place, &one(url, settings));
    assert_eq!(run["state"], "success", "{settings}: {}", failure(place));
    task(&run, "q")["output"].clone()
}

/// Runs one sql task that must fail, and gives what is said about it.
fn refusal(place: &Place, url: &str, settings: &str) -> String {
    let run = run(place, &one(url, settings));
    assert_eq!(run["state"], "failed", "{settings}: {run}");
    failure(place)
}

/// What a person sees of the DAG that was written last.
fn failure(place: &Place) -> String {
    let file = place.dags().join("sql.toml");
    told(&place.call(&["run", file.to_str().unwrap()]))
}

#[test]
fn parameters_of_every_type_are_bound_and_rows_come_as_json() {
    let place = Place::new();
    let url = postgres::Server::shared().new_database();
    let settings = r#"
sql = """
create table t (d date, n int, ns int[], j jsonb, s text, at timestamptz, x numeric);
insert into t values (:day, :n, :ns, :j, :s, :day::timestamptz, 1.50);
select d, n, ns, j, s, x, d = :day as same, s is null as none from t where n = any(:ns)
"""
[tasks.q.sql.parameters]
day = "{{ '2026-11-21' }}"
n = 2
ns = [1, 2, 3]
j = { a = [1, "x'); drop table t; --"] }
s = "it's ; -- :n $$"
"#;
    let expected = json!([{
        "d": "2026-11-21", "n": 2, "ns": [1, 2, 3], "j": { "a": [1, "x'); drop table t; --"] },
        "s": "it's ; -- :n $$", "x": 1.5, "same": true, "none": false,
    }]);
    assert_eq!(output(&place, &url, settings), expected);

    let file = format!("sqlite://{}", place.folder().join("t.db").display());
    let settings = r#"
output = "one"
sql = "create table t (n int, s text, r real, z); insert into t values (:n, :s, 0.5, null); select * from t where s = :s"
parameters = { n = 7, s = "it's :n" }
"#;
    let expected = json!({ "n": 7, "s": "it's :n", "r": 0.5, "z": null });
    assert_eq!(output(&place, &file, settings), expected);
}

#[test]
fn a_statement_that_fails_undoes_those_before_it() {
    let place = Place::new();
    for url in targets(&place) {
        let made =
            "sql = 'create table t (n int primary key); insert into t values (1)'\noutput = 'none'";
        assert_eq!(output(&place, &url, made), Value::Null);
        let why = refusal(
            &place,
            &url,
            "sql = 'insert into t values (2); insert into t values (1)'",
        );
        assert!(why.to_lowercase().contains("unique"), "{why}");
        let count = "sql = 'select count(*) as n from t'\noutput = 'value'";
        assert_eq!(output(&place, &url, count), 1, "{url}");
    }
}

#[test]
fn a_check_fails_with_the_numbers_and_undoes_everything() {
    let place = Place::new();
    for url in targets(&place) {
        output(
            &place,
            &url,
            "sql = 'create table t (n int)'\noutput = 'none'",
        );
        let check = "check = [{ sql = 'select count(*) from t where n > :min', must = '{{ value > 3 }}' }]\nparameters = { min = 0 }";
        let insert = "sql = 'insert into t values (1), (2), (3)'";
        let why = refusal(&place, &url, &format!("{insert}\n{check}"));
        assert!(
            why.contains("value is 3 for select count(*) from t"),
            "{why}"
        );
        assert_eq!(
            output(
                &place,
                &url,
                "sql = 'select count(*) from t'\noutput = 'value'"
            ),
            0
        );
        let insert = "sql = 'insert into t values (1), (2), (3), (4)'";
        output(&place, &url, &format!("{insert}\n{check}"));
        assert_eq!(
            output(
                &place,
                &url,
                "sql = 'select count(*) from t'\noutput = 'value'"
            ),
            4
        );
    }
}

#[test]
fn rows_are_capped_in_the_output_and_not_in_a_file() {
    let place = Place::new();
    for url in targets(&place) {
        let sql = "sql = '''with recursive r(n) as (select 1 union all select n + 1 from r where n < 25000) select n, 'a,\"b' as s, null as z from r'''";
        let why = refusal(&place, &url, sql);
        assert!(why.contains("max_rows, 10000"), "{why}");
        for (name, first) in [
            ("rows.csv", "n,s,z\n1,\"a,\"\"b\",\n"),
            ("rows.ndjson", "{\"n\":1,\"s\":\"a,\\\"b\",\"z\":null}\n"),
        ] {
            let path = place.folder().join(name);
            let saved = format!("{sql}\nsave_to = '{}'", path.display());
            let output = output(&place, &url, &saved);
            assert_eq!(output["rows"], 25_000);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(first), "{}", &text[..100]);
            assert_eq!(output["size"], text.len());
        }
    }
}

#[test]
fn files_are_appended_put_in_place_and_merged_by_key() {
    let place = Place::new();
    let csv = place.folder().join("a.csv");
    std::fs::write(&csv, "id,name,amount\n1,one,1.5\n2,\"two, \"\"2\"\"\",\n").unwrap();
    let ndjson = place.folder().join("b.ndjson");
    std::fs::write(&ndjson, "{\"id\":2,\"name\":\"zwei\"}\n\n{\"id\":3,\"name\":\"drei\"}\n{\"id\":3,\"name\":\"three\"}\n").unwrap();
    for url in targets(&place) {
        output(
            &place,
            &url,
            "sql = 'create table t (id int primary key, name text, amount double precision)'\noutput = 'none'",
        );
        let load = |file: &std::path::Path, more: &str| {
            let file = file.display();
            output(
                &place,
                &url,
                &format!("load = {{ file = '{file}', table = 't'{more} }}"),
            )
        };
        let rows = || {
            output(
                &place,
                &url,
                "sql = 'select id, name, amount from t order by id'",
            )
        };
        assert_eq!(load(&csv, ""), json!({ "rows": 2 }));
        let first = json!([
            { "id": 1, "name": "one", "amount": 1.5 },
            { "id": 2, "name": "two, \"2\"", "amount": null },
        ]);
        assert_eq!(rows(), first, "{url}");
        assert_eq!(
            load(&ndjson, ", mode = 'upsert', key = ['id']"),
            json!({ "rows": 3 })
        );
        let merged = json!([
            { "id": 1, "name": "one", "amount": 1.5 },
            { "id": 2, "name": "zwei", "amount": null },
            { "id": 3, "name": "three", "amount": null },
        ]);
        assert_eq!(rows(), merged, "{url}");
        assert_eq!(load(&csv, ", mode = 'replace'"), json!({ "rows": 2 }));
        assert_eq!(rows(), first, "{url}");
        let why = refusal(
            &place,
            &url,
            &format!("load = {{ file = '{}', table = 't' }}", csv.display()),
        );
        assert!(why.to_lowercase().contains("unique"), "{why}");
        assert_eq!(rows(), first, "{url}");
    }
}

#[test]
fn statements_stand_in_a_file_and_a_load_names_its_columns_and_its_format() {
    let place = Place::new();
    std::fs::write(
        place.dags().join("make.sql"),
        "create table t (id int, name text, note text default 'none');\n\
         insert into t (id, name) values (:id, 'by file');\nselect name from t where id = :id",
    )
    .unwrap();
    // Lines that only an explicit format can read, with names that the table does not have.
    let rows = place.folder().join("rows.txt");
    std::fs::write(&rows, "number,text\n2,two\n3,three\n").unwrap();
    for url in targets(&place) {
        let by_file = "file = 'make.sql'\nparameters = { id = 1 }\noutput = 'value'";
        assert_eq!(output(&place, &url, by_file), "by file", "{url}");
        let load = |more: &str| {
            let file = rows.display();
            format!("load = {{ file = '{file}', table = 't'{more} }}")
        };
        let format = ", format = 'csv'";
        let columns = ", columns = ['id', 'name']";
        let unknown = refusal(&place, &url, &load(columns));
        assert!(unknown.contains("format"), "{unknown}");
        let strange = refusal(&place, &url, &load(format));
        assert!(strange.contains("number"), "{strange}");
        let both = load(&format!("{columns}{format}"));
        assert_eq!(output(&place, &url, &both), json!({ "rows": 2 }), "{url}");
        let all = "sql = 'select id, name, note from t order by id'";
        let expected = json!([
            { "id": 1, "name": "by file", "note": "none" },
            { "id": 2, "name": "two", "note": "none" },
            { "id": 3, "name": "three", "note": "none" },
        ]);
        assert_eq!(output(&place, &url, all), expected, "{url}");
    }
    // The file belongs to the version: on a server it is read from there.
    let file = format!("sqlite://{}", place.folder().join("served.db").display());
    let by_file = "file = 'make.sql'\nparameters = { id = 1 }";
    place.write_dag("served.toml", &one(&file, by_file));
    let server = place.serve();
    server.wait_for_dag("served");
    let run = place.trigger("served", &[]);
    assert_eq!(server.wait_for_end("served", &run)["state"], "success");
}

#[test]
fn once_is_done_once_however_often_it_is_tried() {
    let place = Place::new();
    for url in targets(&place) {
        output(
            &place,
            &url,
            "sql = 'create table t (n int)'\noutput = 'none'",
        );
        // Each try commits, and only then finds that it cannot give what it promised.
        let settings = "once = true\nsql = \"insert into t values (1); select 'x' as said\"";
        let more = "[tasks.q]\nretries = 2\nretry_delay = '1ms'\noutputs = { a = '{{ result.no.such }}' }\n";
        let failed = run(&place, &format!("{more}{}", one(&url, settings)));
        let task = task(&failed, "q");
        assert_eq!(
            (&task["state"], &task["try_number"]),
            (&json!("failed"), &json!(3)),
            "{failed}"
        );
        assert_eq!(
            output(
                &place,
                &url,
                "sql = 'select count(*) from t'\noutput = 'value'"
            ),
            1
        );
    }
}

#[test]
fn a_slow_statement_ends_at_its_timeout() {
    let place = Place::new();
    let slow = [
        "select pg_sleep(600)",
        "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r",
    ];
    for (url, sql) in targets(&place).iter().zip(slow) {
        let why = refusal(&place, url, &format!("timeout = '200ms'\nsql = '{sql}'"));
        assert!(why.contains("timeout"), "{why}");
    }
}

#[test]
fn addresses_with_passwords_and_missing_parameters_are_refused() {
    let place = Place::new();
    for (url, settings, part) in [
        (
            "postgres://me:hunter2@127.0.0.1/x",
            "sql = 'select 1'",
            "no password",
        ),
        ("mysql://x", "sql = 'select 1'", "postgres:// or sqlite://"),
        (
            "sqlite://x.db",
            "sql = 'select :a'",
            "`:a` is not among the parameters",
        ),
        (
            "sqlite://x.db",
            "load = { file = 'nothing.csv', table = 't' }",
            "nothing.csv",
        ),
        (
            "postgres://127.0.0.1:1/x",
            "sql = 'select 1'",
            "the database cannot be asked",
        ),
    ] {
        let why = refusal(&place, url, settings);
        assert!(why.contains(part), "{why}");
        assert!(!why.contains("hunter2"), "{why}");
    }
}

/// A connection to a database, for what a test must hold open.
struct Hold {
    runtime: tokio::runtime::Runtime,
    connection: PgConnection,
}

impl Hold {
    fn of(url: &str) -> Hold {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let connection = runtime.block_on(PgConnection::connect(url)).unwrap();
        Hold {
            runtime,
            connection,
        }
    }

    fn run(&mut self, sql: &'static str) {
        self.runtime.block_on(self.connection.execute(sql)).unwrap();
    }

    fn number(&mut self, sql: &'static str) -> i64 {
        let row = self
            .runtime
            .block_on(self.connection.fetch_one(sql))
            .unwrap();
        row.get(0)
    }
}

#[test]
fn a_kill_ends_the_statement_on_the_server_too() {
    let place = Place::at(None);
    let url = postgres::Server::shared().new_database();
    place.write_dag("sql.toml", &one(&url, "sql = 'select pg_sleep(600)'"));
    let server = place.serve();
    server.wait_for_dag("sql");
    let run = place.trigger("sql", &[]);
    let mut hold = Hold::of(&url);
    const ACTIVE: &str = "select count(*) from pg_stat_activity where datname = current_database() and query like '%pg_sleep(600)%' and state = 'active' and pid <> pg_backend_pid()";
    wait_for("the statement", PATIENCE, || {
        (hold.number(ACTIVE) == 1).then_some(())
    });
    assert!(
        place
            .call(&["runs", "cancel", &format!("sql/{run}")])
            .status
            .success()
    );
    server.wait_for_end("sql", &run);
    wait_for("its end", PATIENCE, || {
        (hold.number(ACTIVE) == 0).then_some(())
    });
}

/// The transaction of a load waits for the lock 7 inside its COMMIT.
const HELD_AT_COMMIT: &str = "
    create table t (n int);
    create table tidemill_once (id text primary key, output text, at timestamptz not null default now());
    create function wait_for_7() returns trigger language plpgsql as
        'begin perform pg_advisory_xact_lock_shared(7); return null; end';
    create constraint trigger held after insert on tidemill_once deferrable initially deferred
        for each row execute function wait_for_7()";

/// One round: the server is killed while the target commits, which is done when it is gone.
fn round(place: &Place, mut server: Server, target: &mut Hold, n_before: i64) -> Server {
    const WAITING: &str = "select count(*) from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())";
    target.run("select pg_advisory_lock(7)");
    let run = place.trigger("loads", &[]);
    wait_for("the commit", PATIENCE, || {
        (target.number(WAITING) == 1).then_some(())
    });
    server.signal(rustix::process::Signal::KILL);
    server.wait_until_gone();
    target.run("select pg_advisory_unlock(7)");
    wait_for("the target's commit", PATIENCE, || {
        (target.number("select count(*) from tidemill_once") == n_before + 1).then_some(())
    });
    drop(server);
    let server = place.serve();
    assert_eq!(server.wait_for_end("loads", &run)["state"], "success");
    let task = server.task("loads", &run, "load");
    assert_eq!(task["try_number"], 2, "{task}");
    server
}

#[test]
fn a_load_with_once_is_there_exactly_once_after_a_kill_before_its_end_is_known() {
    let rounds = std::env::var("TIDEMILL_ONCE_ROUNDS").ok();
    let rounds: i64 = rounds.and_then(|n| n.parse().ok()).unwrap_or(3);
    let place = Place::new();
    let url = postgres::Server::shared().new_database();
    let file = place.folder().join("rows.csv");
    let rows: String = (0..100).map(|n| format!("{n}\n")).collect();
    std::fs::write(&file, format!("n\n{rows}")).unwrap();
    let mut target = Hold::of(&url);
    target.run(HELD_AT_COMMIT);
    place.write_dag(
        "loads.toml",
        &format!(
            "[tasks.load]\nretries = 1\nretry_delay = '1ms'\n[tasks.load.sql]\nurl = '{url}'\nonce = true\n\
             load = {{ file = '{}', table = 't' }}\n",
            file.display()
        ),
    );
    let mut server = place.serve();
    server.wait_for_dag("loads");
    for n in 0..rounds {
        server = round(&place, server, &mut target, n);
        let n_rows = target.number("select count(*) from t");
        assert_eq!(n_rows, (n + 1) * 100, "round {n}");
    }
}

#[test]
fn a_connection_names_the_database_and_its_password_is_shown_nowhere() {
    let place = Place::new();
    let file = place.folder().join("by_name.db");
    let text = "[tasks.q.sql]\nconnection = 'house'\nsql = 'select 7'\noutput = 'value'\n";
    let dag = place.write_dag("sql.toml", text);
    let ask = |connection: &str, more: &[&str]| {
        let mut command = place.tidemill();
        command.env("TIDEMILL_CONN_HOUSE", connection);
        command.args(["run", dag.to_str().unwrap()]).args(more);
        told(&command.output().unwrap())
    };
    let by_file = format!(
        "{{\"conn_type\": \"sqlite\", \"host\": \"{}\"}}",
        file.display()
    );
    let here = ask(&by_file, &["-o", "json"]);
    assert!(here.contains("\"output\": 7"), "{here}");
    let server = postgres::Server::shared();
    let url = server.new_database();
    server.sql(
        "postgres",
        "create role secretive login password 'hunter2-right'",
    );
    let login = |password| support::secretive(&url, password);
    let there = ask(&login("hunter2-right").to_string(), &["-o", "json"]);
    assert!(there.contains("\"output\": 7"), "{there}");
    let refused = ask(&login("hunter2-wrong").to_string(), &[]);
    assert!(
        refused.contains("password authentication failed") && !refused.contains("hunter2"),
        "{refused}"
    );
    let away = ask("postgres://me:hunter2-long@127.0.0.1:1/x", &[]);
    assert!(
        away.contains("cannot be asked") && !away.contains("hunter2"),
        "{away}"
    );
}
