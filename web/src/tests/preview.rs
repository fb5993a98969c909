use super::fixture::*;
use tidemill_model::*;
use tidemill_store::*;
#[tokio::test]
#[ignore]
async fn preview() {
    let fixture = fixture().await;
    let names = ["extract_orders", "extract_rates", "extract_customers", "clean", "convert", "join_all", "aggregate_by_day", "aggregate_by_country", "chart", "publish", "check"];
    let edges = vec![(0,3),(1,4),(2,5),(3,4),(4,5),(3,5),(5,6),(5,7),(6,8),(7,8),(8,9),(6,10),(9,10),(0,10)];
    let mut d = dag("orders_etl", &names, edges);
    d.display_name = Some("Orders: daily ETL".into()); d.description = Some("Loads yesterday's orders, converts currencies and publishes the daily report".into());
    let stored = add_dag(&fixture.store, &fixture.web.definitions, d).await;
    let mut pass = Pass { term: 1, ..Pass::default() };
    for no in 200..226 {
        let st = match no { 225 => RunState::Failed, 210 | 217 => RunState::Failed, 224 => RunState::Running, _ => RunState::Success };
        let run = run_row(&stored, no, &format!("scheduled__2026-11-{:02}T06:00:00+00:00", no - 199), st);
        for (at, n) in stored.task_nos.iter().enumerate() {
            let s = match st { RunState::Failed => match at { 7 => TaskState::Failed, 8..=10 => TaskState::UpstreamFailed, 2 => TaskState::Skipped, _ => TaskState::Success },
                RunState::Running => match at { 0..=4 => TaskState::Success, 5 => TaskState::Running, 6 => TaskState::UpForRetry, 7 => TaskState::Queued, 8 => TaskState::Scheduled, _ => TaskState::None }, _ => TaskState::Success };
            let mut row = task_row(&run, *n, s);
            if s == TaskState::Failed { row.message = Some("psql: error: connection to server at \"warehouse\" failed: Connection refused".into()); row.exit_code = Some(137);
              let f = fixture.web.doors.logs.join(no.to_string()); std::fs::create_dir_all(&f).unwrap();
              let mut t = String::from("2026-11-21T06:04:09Z T try 1 of 2, pid 4711\n"); for i in 0..30 { t += &format!("2026-11-21T06:04:{:02}Z O loading part {i} of 30, 1204 rows\n", 10+i); }
              t += "2026-11-21T06:04:44Z E psql: error: connection to server at \"warehouse\" failed: Connection refused\n2026-11-21T06:04:44Z T ended by signal 9\n";
              std::fs::write(f.join(format!("{}.-1.1", n)), t).unwrap(); }
            pass.tasks.push(row);
        }
        pass.new_runs.push(run);
    }
    fixture.store.commit_pass(&pass).await.unwrap();
    add_dag(&fixture.store, &fixture.web.definitions, dag("never_ran", &["one"], vec![])).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8099").await.unwrap();
    std::fs::write("/tmp/link", format!("http://127.0.0.1:8099{}", fixture.web.doors.logins.new_link_path())).unwrap();
    axum::serve(listener, crate::router::tcp(fixture.web.clone())).await.unwrap();
}
