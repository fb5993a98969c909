//! The schema, its age, and what sessions are set to.

use super::*;
use crate::session::{Role, connect};
use crate::{schema, sql as texts};
use sqlx::{Executor, Row, SqlSafeStr};

fn labels(url: &str, name: &str) -> Vec<String> {
    let text = format!(
        "select enumlabel from pg_enum where enumtypid = '{name}'::regtype order by enumsortorder"
    );
    sql(url, &text).lines().map(str::to_string).collect()
}

#[tokio::test]
async fn the_schema_lists_exactly_the_names_of_the_program() {
    let url = Server::shared().new_database();
    open(&url).await;
    let names: Vec<&str> = TaskState::ALL.iter().map(|state| state.name()).collect();
    assert_eq!(labels(&url, "task_state"), names);
    let names: Vec<&str> = RunState::ALL.iter().map(|state| state.name()).collect();
    assert_eq!(labels(&url, "run_state"), names);
    let names: Vec<&str> = RunType::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(labels(&url, "run_type"), names);
}

#[tokio::test]
async fn every_sql_text_is_understood() {
    let url = Server::shared().new_database();
    open(&url).await;
    let mut conn = connect(&address(&url), Role::Passes).await.unwrap();
    for (name, text) in texts::ALL {
        if name.starts_with("begin") {
            continue; // not a statement that can be prepared
        }
        let prepared = conn.prepare((*text).into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {prepared:?}");
    }
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let url = Server::shared().new_database();
    let store = open(&url).await;
    for role in [Role::Plain, Role::Passes] {
        let mut conn = connect(&address(&url), role).await.unwrap();
        for setting in [
            "statement_timeout",
            "lock_timeout",
            "idle_in_transaction_session_timeout",
        ] {
            let text = "select setting::integer from pg_settings where name = $1";
            let row = sqlx::query(text).bind(setting).fetch_one(&mut conn).await;
            assert!(row.unwrap().get::<i32, _>(0) > 0, "{setting} of {role:?}");
        }
    }
    let mut pooled = store.conn().await.unwrap();
    let row = sqlx::query("select current_setting('statement_timeout')")
        .fetch_one(&mut *pooled)
        .await;
    assert_eq!(row.unwrap().get::<String, _>(0), "30s");
}

#[tokio::test]
async fn commits_are_durable_whatever_the_server_is_set_to() {
    let url = Server::shared().new_database();
    let name = database(&url);
    sql(
        &url,
        &format!("alter database {name} set synchronous_commit = off"),
    );
    let mut conn = connect(&address(&url), Role::Passes).await.unwrap();
    let row = sqlx::query("select current_setting('synchronous_commit')").fetch_one(&mut conn);
    assert_eq!(row.await.unwrap().get::<String, _>(0), "on");
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_its_number() {
    let url = Server::shared().new_database();
    open(&url).await.close().await;
    sql(
        &url,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (77, 'later', true, '', 0)",
    );
    let opened = PostgresStore::open(&address(&url)).await.map(drop);
    let migrated = schema::migrate(&address(&url)).await.map(drop);
    for refused in [opened, migrated] {
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("77") && text.contains("newer"), "{text}");
    }
}

#[tokio::test]
async fn an_older_schema_says_which_command_brings_it_up() {
    let url = Server::shared().new_database();
    open(&url).await.close().await;
    sql(&url, "delete from _sqlx_migrations where version = 4");
    let text = PostgresStore::open(&address(&url))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("tidemill db migrate") && text.contains("4 is missing"),
        "{text}"
    );
}

#[tokio::test]
async fn a_database_without_tables_is_not_read() {
    let url = Server::shared().new_database();
    let refused = PostgresStore::open_read_only(&address(&url)).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("tidemill db migrate"), "{text}");
}

#[tokio::test]
async fn a_store_for_reading_writes_nothing() {
    let scene = scene(1).await;
    let reader = PostgresStore::open_read_only(&address(&scene.url))
        .await
        .unwrap();
    assert_eq!(reader.dags().await.unwrap().len(), 1);
    assert!(reader.take_term("reader", Ts(1)).await.is_err());
    assert!(
        reader
            .commit_pass(&scene.pass(1, TaskState::Queued))
            .await
            .is_err()
    );
    assert!(reader.put_version(&a_version("h2", 1)).await.is_err());
    assert!(
        reader
            .mark_stale(&[scene.kept.dag.dag], Ts(1))
            .await
            .is_err()
    );
    assert!(reader.put_import_errors("f", &[], Ts(1)).await.is_err());
}

#[tokio::test]
async fn two_that_open_an_empty_database_at_once_both_find_it_ready() {
    let url = Server::shared().new_database();
    let (one, other) = tokio::join!(open(&url), open(&url));
    assert!(one.dags().await.unwrap().is_empty() && other.dags().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_none_is_shown() {
    let server = Server::shared();
    let url = server.new_database();
    let name = database(&url);
    if sql(
        &url,
        "select count(*) from pg_roles where rolname = 'secretive'",
    ) == "0"
    {
        sql(
            &url,
            "create role secretive login superuser password 'open sesame'",
        );
    }
    let mine = server.url("secretive", name);
    let wrong = Address::parse(&mine, Some("geheim")).unwrap();
    let refused = PostgresStore::open(&wrong).await.unwrap_err();
    let text = format!("{refused} {refused:?} {}", crate::tests::chain(&refused));
    assert!(
        text.contains("password") && !text.contains("geheim"),
        "{text}"
    );
    let right = Address::parse(&mine, Some("open sesame")).unwrap();
    let store = PostgresStore::open(&right).await.unwrap();
    assert!(!format!("{store:?}").contains("sesame"));
    assert!(store.dags().await.unwrap().is_empty());
}
