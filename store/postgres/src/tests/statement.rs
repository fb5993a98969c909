//! The statement of a pass: its plan, and what it leaves on the disk.

use super::*;
use crate::marks::Marks;
use crate::pass::bound;
use crate::session::{Role, connect};
use sqlx::Row;

/// The plan of the whole statement, with rows of every kind.
async fn plan(scene: &Scene, role: Role) -> String {
    let task = a_task(scene.kept.task_nos[0], TaskState::Queued);
    let value = |key: &str| ValueRow {
        run: RunNo(1),
        task_no: task.task_no,
        map_index: MapIndex::NONE,
        key: key.to_string(),
        value: serde_json::json!(1),
    };
    let pass = Pass {
        term: scene.term,
        now: None,
        new_runs: vec![a_run(2, &scene.kept)],
        runs: vec![a_run(1, &scene.kept)],
        tasks: vec![task.clone()],
        tries: vec![TryRow { task: task.clone() }],
        cleared_values: vec![(RunNo(1), task.task_no, MapIndex::NONE)],
        values: vec![value("return_value"), value("other")],
        changes: vec![a_change(1_000)],
        dags: vec![DagPatch {
            dag: scene.kept.dag.dag,
            is_paused: false,
            schedule_high: None,
            next_run: None,
        }],
        ..Pass::default()
    };
    let mut conn = connect(&address(&scene.url), role).await.unwrap();
    let explain = concat!("explain ", include_str!("../../sql/pass.sql"));
    let lines = bound(&pass, &Marks::default(), explain)
        .fetch_all(&mut conn)
        .await
        .unwrap();
    let lines: Vec<String> = lines.iter().map(|line| line.get(0)).collect();
    lines.join("\n")
}

#[tokio::test]
async fn on_a_database_that_was_never_analysed_a_pass_goes_by_keys_alone() {
    let scene = scene(3_000).await;
    let analysed = "select count(*) from pg_stat_user_tables
                    where last_analyze is not null or last_autoanalyze is not null";
    assert_eq!(sql(&scene.url, analysed), "0");
    let plan = plan(&scene, Role::Passes).await;
    for word in ["Seq Scan", "Hash Join", "Merge Join", "Hash Anti", "JIT"] {
        assert!(!plan.contains(word), "{word} in\n{plan}");
    }
    let lines: Vec<&str> = plan.lines().collect();
    for pair in lines.windows(2) {
        let reads_an_index = pair[0].contains("Index Scan") || pair[0].contains("Index Only Scan");
        assert!(
            !reads_an_index || pair[1].contains("Index Cond"),
            "a whole index is read in\n{plan}"
        );
    }
    for table in ["dag_run", "task_value", "change", "dag", "term"] {
        let by_key = format!(" on {table}");
        assert!(
            plan.lines()
                .any(|line| line.contains("Index") && line.contains(&by_key)),
            "{table} is not found by its key in\n{plan}"
        );
    }
}

#[tokio::test]
async fn the_session_of_passes_takes_the_planner_s_other_ways_away() {
    let url = Server::shared().new_database();
    let mut conn = connect(&address(&url), Role::Passes).await.unwrap();
    for (setting, value) in [
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
        ("plan_cache_mode", "force_generic_plan"),
    ] {
        let text = "select current_setting($1)";
        let row = sqlx::query(text).bind(setting).fetch_one(&mut conn).await;
        assert_eq!(row.unwrap().get::<String, _>(0), value, "{setting}");
    }
}

#[tokio::test]
async fn an_update_of_a_task_touches_no_index() {
    // A server of its own: a long transaction elsewhere would keep the old rows of all alive.
    let server = Server::start();
    let scene = scene_at(server.new_database(), 200).await;
    let began = Instant::now();
    for (n, state) in [TaskState::Queued, TaskState::Running, TaskState::Success]
        .into_iter()
        .enumerate()
    {
        let tasks = scene.kept.task_nos.iter().map(|no| a_task(*no, state));
        for (m, task) in tasks.enumerate() {
            let pass = Pass {
                term: scene.term,
                tasks: vec![task],
                changes: vec![a_change((n * 200 + m) as i64 + 1)],
                ..Pass::default()
            };
            scene.store.commit_pass(&pass).await.unwrap();
        }
    }
    println!("{:?} for each pass of one task", began.elapsed() / 600);
    // A session tells its counts at the latest when it ends.
    scene.store.close().await;
    let seen = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables
                where relname = 'task_instance'";
    let (all, hot) = wait_for("the counters of 600 updates", async || {
        let text = server.sql(database(&scene.url), seen);
        let (all, hot) = text.split_once('|')?;
        let (all, hot): (u32, u32) = (all.parse().ok()?, hot.parse().ok()?);
        (all >= 600).then_some((all, hot))
    })
    .await;
    assert!(
        hot * 100 >= all * 95,
        "{hot} of {all} updates stayed on their page"
    );
}

#[tokio::test]
async fn a_pass_of_very_many_rows_is_one_transaction() {
    let scene = scene(100_000).await;
    let tasks: Vec<TaskRow> = scene
        .kept
        .task_nos
        .iter()
        .map(|no| a_task(*no, TaskState::Success))
        .collect();
    let pass = Pass {
        term: scene.term,
        tasks: tasks.clone(),
        ..Pass::default()
    };
    scene.store.commit_pass(&pass).await.unwrap();
    assert_eq!(scene.store.load().await.unwrap().runs[0].1, tasks);
}
