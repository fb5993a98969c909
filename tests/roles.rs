//! The database roles of `tidemill db roles`: what a worker and a process for pages can do with
//! them, and what they cannot.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use support::postgres::Server as Postgres;
use support::waiting::wait_for;
use support::worker::WorkerProcess;
use support::{PATIENCE, Place, http, stdout, told};

/// A database with a server, and roles that are this test's own: roles belong to the whole
/// PostgreSQL, which all tests of this program share.
struct Roles {
    place: Place,
    database: String,
    owner: String,
    worker: String,
    api: String,
}

impl Roles {
    /// Brings the tables and makes the roles, twice: the SQL may be run again.
    fn new() -> Roles {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let url = Postgres::shared().new_database();
        let database = url.split(['/', '?']).nth(3).unwrap().to_string();
        // The scheduler's role is no superuser either.
        let owner = format!("owner_{number}");
        let made = format!(
            "create role {owner} login createrole; alter database {database} owner to {owner}"
        );
        Postgres::shared().sql(&database, &made);
        let roles = Roles {
            place: Place::at(Some(Postgres::shared().url(&owner, &database))),
            database,
            owner,
            worker: format!("Worker {number}"),
            api: format!("api \"{number}\""),
        };
        let migrated = roles.place.call(&["db", "migrate"]);
        assert!(migrated.status.success(), "{}", told(&migrated));
        let named = ["--worker", &roles.worker, "--api", &roles.api];
        let printed = roles.place.call(&[&["db", "roles"], &named[..]].concat());
        assert!(printed.status.success(), "{}", told(&printed));
        for _ in 0..2 {
            let ran = Postgres::shared().sql_as(&roles.owner, &roles.database, &stdout(&printed));
            assert_eq!(ran.as_deref(), Ok(""));
        }
        roles
    }

    fn beside(&self, user: &str) -> Place {
        let user: String = user.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let url = Postgres::shared().url(&user, &self.database);
        self.place.beside_at(Some(url))
    }

    fn refused(&self, user: &str, text: &str) {
        let said = Postgres::shared().sql_as(user, &self.database, text);
        let refused = said.expect_err(text);
        assert!(refused.contains("permission denied"), "{text}: {refused}");
    }

    fn sql(&self, text: &str) -> String {
        Postgres::shared().sql(&self.database, text)
    }

    /// What a role may do, by table: columns where it is not the whole table.
    fn rights(&self, role: &str) -> String {
        let role = role.replace('\'', "''");
        self.sql(&format!(
            "select string_agg(format('%s %s', relname, rights), E'\\n' order by relname) from (
                 select relname, string_agg(right_, ', ' order by right_) as rights from (
                     select relname, lower(privilege) as right_
                     from pg_class, unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES']) as privilege
                     where relkind in ('r', 'v', 'm', 'p') and relnamespace = 'public'::regnamespace
                       and has_table_privilege('{role}', pg_class.oid, privilege)
                     union all
                     select relname, format('%s(%s)', lower(privilege), string_agg(attname, ' ' order by attnum))
                     from pg_class join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped,
                          unnest(array['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) as privilege
                     where relkind in ('r', 'v', 'm', 'p') and relnamespace = 'public'::regnamespace
                       and has_column_privilege('{role}', pg_class.oid, attnum, privilege)
                       and not has_table_privilege('{role}', pg_class.oid, privilege)
                     group by relname, privilege
                 ) as each group by relname
             ) as of_table"
        ))
    }
}

/// Everything that a worker's role may do. A table that a later schema brings is not in it.
const OF_A_WORKER: &str = "\
_sqlx_migrations select
blob select
dag select(dag dag_id)
dag_run select
dag_version select
dispatch select, update(worker)
dispatch_mark select
installation select
kill select
report insert(run epoch worker task_no map_index outcome), select(run epoch task_no map_index)
run_success select
stream_batch select
task_instance select(run epoch worker task_no map_index state try_number map_item)
task_name select
task_read select
task_span insert, select
task_value select
version_file select
worker delete, insert(host pid slots queues log_url log_token lease lease_until), select(worker queues is_draining lease lease_until), update(seen_at lease_until)";

const PASSING_VALUES: &str = r#"
[dag]
[params]
word = "sea"
[default_args]
queue = "far"
[tasks.first]
shell = 'echo {{ params.word }}'
[tasks.second]
depends_on = ["first"]
shell = 'cat $TIDEMILL_DAG_DIR/pinned; echo "and {{ tasks.first.output }}"'
[tasks.before]
env = { BEFORE = "{{ prev_start_date_success is none }} {{ prev_data_interval_end_success }}" }
shell = 'echo "first: $BEFORE"'
[tasks.many]
expand = { x = [1, 2] }
env = { N = "{{ expanded_ti_count }}" }
shell = 'test $N = 2'
"#;

#[test]
fn a_worker_with_its_own_role_runs_a_dag_with_values_and_files() {
    let roles = Roles::new();
    let folder = roles.place.dags().join("passing");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("pinned"), "pinned\n").unwrap();
    std::fs::write(folder.join("dag.toml"), PASSING_VALUES).unwrap();
    let server = roles.place.serve();
    server.wait_for_dag("passing");
    let far = ["--queues", "far", "--lease", "3"];
    let worker = WorkerProcess::start_in(roles.beside(&roles.worker), &far);
    let run = roles.place.trigger("passing", &[]);
    let ended = server.wait_for_end("passing", &run);
    assert_eq!(ended["state"], "success", "{}", worker.log());
    let log = roles
        .place
        .call(&["tasks", "logs", &format!("passing/{run}"), "second"]);
    let log = stdout(&log);
    assert!(log.contains("pinned") && log.contains("and sea"), "{log}");
    // Of a run that is over it sees when that was.
    let next = roles.place.trigger("passing", &[]);
    let ended = server.wait_for_end("passing", &next);
    assert_eq!(ended["state"], "success", "{}", worker.log());
    let told_of = |run: &str| {
        let run = format!("passing/{run}");
        stdout(&roles.place.call(&["tasks", "logs", &run, "before"]))
    };
    assert!(
        told_of(&run).contains("first: True None"),
        "{}",
        told_of(&run)
    );
    assert!(
        told_of(&next).contains("first: False 20"),
        "{}",
        told_of(&next)
    );
    // It renews its lease, is told to end a task, and leaves in order.
    let text = "[tasks.long]\nqueue = 'far'\nshell = 'sleep 1000'\n";
    roles.place.write_dag("long.toml", text);
    server.wait_for_dag("long");
    let long = roles.place.trigger("long", &[]);
    server.wait_for_task("long", &long, "long", "running");
    let first = "select seen_at from worker";
    let seen = roles.sql(first);
    wait_for("a renewal", PATIENCE, || {
        (roles.sql(first) != seen).then_some(())
    });
    roles
        .place
        .call(&["runs", "cancel", &format!("long/{long}")]);
    assert_eq!(server.wait_for_end("long", &long)["state"], "failed");
    let mut worker = worker;
    worker.signal(rustix::process::Signal::TERM);
    assert!(worker.wait_until_gone().success(), "{}", worker.log());
    assert!(
        !worker.log().contains("permission denied"),
        "{}",
        worker.log()
    );
}

#[test]
fn a_worker_s_role_can_do_what_stands_here_and_nothing_else() {
    let roles = Roles::new();
    roles.sql("create table later_secret (name text, value text)");
    assert_eq!(roles.rights(&roles.worker), OF_A_WORKER);
    for text in [
        "select * from later_secret",
        "select log_token from worker",
        "select body from change",
        "select message from task_instance",
        "select * from pool",
        "update dag_run set state = 'success'",
        "update task_instance set state = 'success'",
        "insert into task_value values (1, 1, -1, 'return_value', '1')",
        "update task_value set value = '1'",
        "update term set term = term + 1",
        "select * from term",
        "update term_lease set until = clock_timestamp()",
        "insert into term values (0, 99, 'me', 0)",
        "update dispatch set epoch = epoch + 1",
        "delete from dispatch",
        "delete from report",
        "update report set outcome = ''",
        "delete from kill",
        "update worker set is_draining = true",
        "select wish from wish",
        "insert into wish (asked) values ('')",
        "insert into worker (worker) values (1)",
        "update dag_version set source = ''",
        "truncate worker",
        "create table mine (x integer)",
    ] {
        roles.refused(&roles.worker, text);
    }
}

#[test]
fn a_worker_s_role_sees_runs_that_are_open_and_the_owner_sees_all() {
    let roles = Roles::new();
    roles
        .place
        .write_dag("over.toml", "[tasks]\nsay = 'echo secret of yesterday'\n");
    let text = "[tasks.say]\nqueue = 'nowhere'\nshell = 'true'\n";
    roles.place.write_dag("open.toml", text);
    let server = roles.place.serve();
    for dag in ["over", "open"] {
        server.wait_for_dag(dag);
    }
    let over = roles.place.trigger("over", &[]);
    server.wait_for_end("over", &over);
    let open = roles.place.trigger("open", &[]);
    let seen = |table: &str| {
        let text = format!("select count(*) from {table}");
        let by_worker = Postgres::shared().sql_as(&roles.worker, &roles.database, &text);
        (roles.sql(&text), by_worker.unwrap())
    };
    server.wait_for_task("open", &open, "say", "scheduled");
    let pair = |all: &str, mine: &str| (all.to_string(), mine.to_string());
    assert_eq!(seen("dag_run"), pair("2", "1"));
    assert_eq!(seen("task_value"), pair("1", "0"));
    assert_eq!(seen("task_instance"), pair("2", "1"));
}

#[test]
fn pages_are_served_and_the_scheduler_is_asked_with_a_role_that_decides_nothing() {
    let roles = Roles::new();
    roles.sql("create table later_secret (name text, value text)");
    roles
        .place
        .write_dag("hello.toml", "[tasks]\nhello = 'echo good morning'\n");
    let leader = roles.place.serve();
    leader.wait_for_dag("hello");
    let run = roles.place.trigger("hello", &[]);
    leader.wait_for_end("hello", &run);
    let worker = WorkerProcess::start(&roles.place, &["--queues", "far"]);
    wait_for("the worker", PATIENCE, || {
        (roles.sql("select count(*) from worker") == "1").then_some(())
    });

    let beside = roles.beside(&roles.api);
    let mut command = beside.serve_command();
    command.args(["--only", "api"]);
    let child = command.spawn().unwrap();
    let pages = beside.follow(child);
    assert_eq!(pages.run("hello", &run)["state"], "success");
    assert_eq!(pages.task("hello", &run, "hello")["state"], "success");
    for path in [
        "/api/v2/dags",
        "/api/v2/dagSources/hello",
        "/api/v2/importErrors",
        "/api/v2/pools",
        "/api/v2/backfills?dag_id=hello",
        "/api/tidemill/v1/workers",
    ] {
        pages.body(path);
    }
    let values = format!(
        "/api/v2/dags/hello/dagRuns/{}/taskInstances/hello/xcomEntries/return_value",
        http::escape(&run)
    );
    assert_eq!(pages.body(&values)["value"], "good morning");
    let number = roles.sql("select worker from worker");
    let drained = beside.call(&["workers", "drain", &number]);
    assert!(drained.status.success(), "{}", told(&drained));
    assert_eq!(
        roles.sql("select is_draining from worker"),
        "t",
        "{}",
        worker.log()
    );
    let asked = beside.trigger("hello", &[]);
    assert_eq!(leader.wait_for_end("hello", &asked)["state"], "success");
    for text in [
        "select * from later_secret",
        "select asked from wish",
        "insert into wish (asked, taken_by) values ('', 1)",
        "update wish set answer = ''",
        "update dag_run set state = 'success'",
        "update task_instance set state = 'success'",
        "update worker set lease_until = clock_timestamp()",
        "update term_lease set until = clock_timestamp()",
        "select term from term_lease",
        "delete from worker",
        "insert into report default values",
        "update term set term = term + 1",
        "delete from change",
    ] {
        roles.refused(&roles.api, text);
    }
}

#[test]
fn health_tells_of_the_scheduler_wherever_it_is_asked() {
    let roles = Roles::new();
    let mut leader = roles.place.serve();
    let beside = roles.beside(&roles.api);
    let mut command = beside.serve_command();
    command.args(["--only", "api"]);
    let pages = beside.start_with(command);
    let health = |server: &support::Server| server.body("/api/v2/monitor/health");
    for server in [&leader, &pages] {
        let told = health(server);
        assert_eq!(told["scheduler"]["status"], "healthy", "{told}");
        let heard = &told["scheduler"]["latest_scheduler_heartbeat"];
        assert!(heard.is_string(), "{told}");
    }
    leader.signal(rustix::process::Signal::TERM);
    leader.wait_until_gone();
    let told = health(&pages);
    assert_eq!(told["scheduler"]["status"], "unhealthy", "{told}");
    assert_eq!(told["dag_processor"]["status"], "unhealthy", "{told}");
    assert_eq!(told["metadatabase"]["status"], "healthy", "{told}");
}

#[test]
fn a_scheduler_that_would_see_only_some_rows_refuses_to_be_one() {
    let roles = Roles::new();
    let beside = roles.beside(&roles.api);
    let refused = beside.serve_command().output().unwrap();
    assert!(!refused.status.success());
    let said = beside.serve_log();
    assert!(said.contains("owner of the tables"), "{said}");
}
