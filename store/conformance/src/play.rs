//! Random operations on a store and on the reference store, side by side.

use crate::random::{Random, instant, json_value, text};
use crate::sample::*;
use crate::snapshot;
use serde_json::json;
use std::fmt::Debug;
use tidemill_model::{
    BackfillNo, DagNo, Epoch, MapIndex, MapItem, Reason, Reprocess, RunNo, RunState, RunType,
    SkipReason, TaskNo, TaskState, Ts, VersionNo,
};
use tidemill_store::memory::MemoryStore;
use tidemill_store::*;

/// One step.
#[derive(Debug)]
enum Op {
    TakeTerm,
    PutVersion(NewVersion),
    Commit(Box<Pass>),
    PutImportErrors(String, Vec<ImportError>, Ts),
    MarkStale(Vec<DagNo>),
    LookForOld(OldRuns),
    Forget(Vec<RunNo>),
    Conflict(DagNo, RunKey),
    Runs(RunFilter),
    Values(RunNo, Vec<TaskNo>),
    Changes(i64, u32),
    Reopen,
}

/// Plays `n` random operations on a new store and on the reference store and compares every
/// answer, and everything stored after each step. `reopen` ends a store and opens it again.
///
/// # Panics
/// At the first difference, with the seed, the step and both sides.
pub async fn random_ops<S: EngineStore + PageStore>(
    seed: u64,
    n: usize,
    open: impl AsyncFn() -> S,
    reopen: impl AsyncFn(S) -> S,
) {
    let mut random = Random::new(seed);
    let oracle = MemoryStore::new();
    let mut store = open().await;
    let mut term = 0;
    for step in 0..n {
        let op = match step {
            0 => Op::TakeTerm,
            _ => next_op(&mut random, &oracle, term).await,
        };
        let expected = apply(&oracle, &op).await;
        if let Op::Reopen = op {
            store = reopen(store).await;
        }
        let answer = apply(&store, &op).await;
        if let Op::TakeTerm = op {
            term += 1;
        }
        assert_eq!(
            answer, expected,
            "seed {seed}, step {step}: the answer to {op:?} (left) is not the oracle's"
        );
        let (ours, theirs) = (snapshot(&store).await, snapshot(&oracle).await);
        if let Some((ours, theirs)) = ours
            .lines()
            .zip(theirs.lines())
            .find(|(ours, theirs)| ours != theirs)
        {
            panic!(
                "seed {seed}, step {step}: after {op:?}\nthe store has  {ours}\nthe oracle has {theirs}"
            );
        }
        assert_eq!(
            ours.len(),
            theirs.len(),
            "seed {seed}, step {step}: after {op:?}"
        );
    }
}

async fn apply<S: EngineStore + PageStore>(store: &S, op: &Op) -> String {
    match op {
        Op::TakeTerm => told(store.take_term("random", Ts(1)).await),
        Op::PutVersion(version) => told(store.put_version(version).await),
        Op::Commit(pass) => told(store.commit_pass(pass).await),
        Op::PutImportErrors(file, errors, now) => {
            told(store.put_import_errors(file, errors, *now).await)
        }
        Op::MarkStale(dags) => told(store.mark_stale(dags, Ts(1)).await),
        Op::LookForOld(which) => told(store.old_runs(which).await),
        Op::Forget(runs) => told(store.forget_runs(runs, 1_000).await),
        Op::Conflict(dag, key) => {
            let by_name = told(store.find_run(*dag, &key.run_id).await);
            format!("{} {by_name}", told(store.conflicting_run(*dag, key).await))
        }
        Op::Runs(filter) => told(store.runs(filter).await),
        Op::Values(run, tasks) => {
            let whole = told(store.run_with_tasks(*run).await);
            format!("{} {whole}", told(store.values(*run, tasks).await))
        }
        Op::Changes(seq, limit) => told(store.changes_after(*seq, *limit).await),
        Op::Reopen => String::new(),
    }
}

/// An answer as text. Of refusals only their kind counts: each store has words of its own.
fn told<T: Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(StoreError::TermLost) => "the term is lost".to_string(),
        Err(_) => "refused".to_string(),
    }
}

/// What there is to play with.
struct Known {
    term: i64,
    dags: Vec<DagNo>,
    versions: Vec<(DagNo, VersionNo)>,
    runs: Vec<RunRow>,
    last_run: i64,
    last_seq: i64,
}

impl Known {
    async fn of(oracle: &MemoryStore, term: i64) -> Known {
        let loaded = oracle.load().await.unwrap();
        let dags: Vec<DagNo> = loaded.dags.iter().map(|dag| dag.dag).collect();
        let mut versions = Vec::new();
        for dag in &dags {
            let of_dag = oracle.versions(*dag).await.unwrap();
            versions.extend(of_dag.iter().map(|version| (*dag, version.version)));
        }
        let runs = oracle
            .runs(&every_run())
            .await
            .unwrap()
            .runs
            .into_iter()
            .map(|run| run.row)
            .collect();
        Known {
            term,
            dags,
            versions,
            runs,
            last_run: loaded.last_run,
            last_seq: loaded.last_seq,
        }
    }
}

async fn next_op(random: &mut Random, oracle: &MemoryStore, term: i64) -> Op {
    let known = Known::of(oracle, term).await;
    match random.below(22) {
        0 => Op::TakeTerm,
        1..=3 => Op::PutVersion(any_version(random)),
        4 => Op::PutImportErrors(
            format!("f{}", random.below(3)),
            random.some(2, |r| mistake(&text(r))),
            instant(random),
        ),
        5 => Op::MarkStale(random.some(2, |r| DagNo(r.below(5) as i64))),
        6 => Op::Conflict(DagNo(random.below(4) as i64), any_key(random)),
        7 => Op::Runs(any_filter(random)),
        8 => Op::Values(any_run(random, &known), random.some(3, any_task)),
        9 => Op::Changes(
            known.last_seq - random.below(9) as i64,
            random.below(5) as u32,
        ),
        10 => Op::Reopen,
        11 => Op::LookForOld(any_old_runs(random)),
        12 => Op::Forget(random.some(2, |r| any_run(r, &known))),
        _ => Op::Commit(Box::new(any_pass(random, &known))),
    }
}

fn any_version(random: &mut Random) -> NewVersion {
    let files = ["b.sh", "a/é.sql", "a.txt"]
        .into_iter()
        .filter(|_| random.once_in(2))
        .collect::<Vec<_>>();
    NewVersion {
        dag_id: format!("dag {}", random.below(3)),
        file: format!("f{}", random.below(2)),
        hash: format!("h{}", random.below(4)),
        source: text(random),
        files: files
            .into_iter()
            .map(|path| PinnedFile {
                path: path.to_string(),
                mode: random.below(0o1000) as u32,
                bytes: random.some(3, |r| r.below(2) as u8),
            })
            .collect(),
        task_ids: random.some(5, |r| format!("t{}", r.below(8))),
        paused_if_new: random.once_in(2),
        now: instant(random),
    }
}

fn any_pass(random: &mut Random, known: &Known) -> Pass {
    let mut run = known.last_run;
    let new_runs: Vec<RunRow> = match known.versions.is_empty() {
        true => Vec::new(),
        false => random.some(2, |r| {
            run += if r.once_in(20) {
                0
            } else {
                1 + r.below(2) as i64
            };
            any_new_run(r, known, run)
        }),
    };
    let numbers: Vec<RunNo> = new_runs
        .iter()
        .chain(&known.runs)
        .map(|row| row.run)
        .collect();
    let number = |r: &mut Random| match numbers.is_empty() || r.once_in(60) {
        true => RunNo(9_999),
        false => *r.pick(&numbers),
    };
    let mut seq = known.last_seq;
    let most = if numbers.is_empty() { 0 } else { 3 };
    Pass {
        term: if random.once_in(20) {
            known.term - 1
        } else {
            known.term
        },
        now: Some(instant(random)),
        runs: match known.runs.is_empty() {
            true => Vec::new(),
            false => random.some(2, |r| changed_run(r, known)),
        },
        tasks: random.some(most, |r| any_task_row(number(r), r)),
        tries: random.some(most, |r| TryRow {
            task: any_task_row(number(r), r),
        }),
        cleared_values: random.some(2, |r| (number(r), any_task(r), any_index(r))),
        values: random.some(most, |r| ValueRow {
            map_index: any_index(r),
            ..value_row(
                number(r),
                any_task(r),
                ["return_value", "", "k"][r.below(3) as usize],
                json_value(r),
            )
        }),
        dropped_pools: random.some(1, |r| any_pool(r).name),
        pools: random.some(2, any_pool),
        notes: random.some(most, |r| TaskNote {
            run: number(r),
            task_no: any_task(r),
            map_index: any_index(r),
            note: if r.once_in(3) { String::new() } else { text(r) },
        }),
        backfills: random.some(1, |r| any_backfill(r, known)),
        backfill_dates: match random.once_in(3) {
            true => random.some(most, |r| {
                let run = (!r.once_in(3)).then(|| number(r));
                any_backfill_date(r, run)
            }),
            false => Vec::new(),
        },
        changes: random.some(2, |r| {
            seq = next_seq(r, seq);
            Change {
                seq,
                at: instant(r),
                run: r.below(5) as i64,
                body: json_value(r),
            }
        }),
        dags: match known.dags.is_empty() {
            true => Vec::new(),
            false => random.some(1, |r| any_patch(r, known)),
        },
        removed_tasks: random.some(1, |r| (number(r), any_task(r), any_index(r))),
        new_runs,
        ..Pass::default()
    }
}

fn any_backfill(random: &mut Random, known: &Known) -> BackfillRow {
    let dag = match known.dags.is_empty() || random.once_in(20) {
        true => DagNo(999),
        false => *random.pick(&known.dags),
    };
    BackfillRow {
        backfill: BackfillNo(random.below(4) as i64),
        from_date: instant(random),
        to_date: instant(random),
        is_backwards: random.once_in(2),
        reprocess: *random.pick(Reprocess::ALL),
        max_active_runs: random.below(9) as u32,
        conf: json_value(random),
        is_paused: random.once_in(2),
        position: random.maybe(instant),
        updated_at: instant(random),
        completed_at: random.maybe(instant),
        on_latest_version: random.once_in(2),
        ..backfill_row(1, dag)
    }
}

fn any_backfill_date(random: &mut Random, run: Option<RunNo>) -> BackfillDate {
    BackfillDate {
        backfill: BackfillNo(random.below(4) as i64),
        tick: instant(random),
        logical_date: instant(random),
        run,
        skipped: random.maybe(|r| *r.pick(SkipReason::ALL)),
    }
}

fn any_pool(random: &mut Random) -> PoolRecord {
    PoolRecord {
        name: format!("p{}", random.below(3)),
        slots: random.below(5) as i64 - if random.once_in(30) { 2 } else { 1 },
        description: text(random),
        include_deferred: random.once_in(2),
        from_file: random.once_in(2),
    }
}

/// Mostly the next one; sometimes one that is there, or one so far on that old ones are forgotten.
fn next_seq(random: &mut Random, seq: i64) -> i64 {
    match random.below(40) {
        0 => seq,
        1 => (seq / 1_000 + 60) * 1_000,
        _ => seq + 1,
    }
}

fn any_new_run(random: &mut Random, known: &Known, run: i64) -> RunRow {
    let (dag, version) = *random.pick(&known.versions);
    let key = any_key(random);
    RunRow {
        run_id: key.run_id,
        logical_date: key.logical_date,
        cause: key.cause,
        run_type: *random.pick(RunType::ALL),
        state: *random.pick(RunState::ALL),
        data_interval_end: random.maybe(instant),
        conf: json!({"v": json_value(random)}),
        triggered_by: random.maybe(text),
        ..run_row(
            run,
            dag,
            if random.once_in(40) {
                VersionNo(999)
            } else {
                version
            },
        )
    }
}

fn changed_run(random: &mut Random, known: &Known) -> RunRow {
    let old = random.pick(&known.runs).clone();
    RunRow {
        run: if random.once_in(60) {
            RunNo(9_999)
        } else {
            old.run
        },
        run_id: text(random),
        state: *random.pick(RunState::ALL),
        version: random.pick(&known.versions).1,
        started_at: random.maybe(instant),
        ended_at: random.maybe(instant),
        conf: json_value(random),
        note: random.maybe(text),
        retries_used: random.below(3) as i32,
        reason: random.maybe(|r| *r.pick(Reason::ALL)),
        ..old
    }
}

fn any_key(random: &mut Random) -> RunKey {
    RunKey {
        run_id: format!("r{}", random.below(60)),
        logical_date: random.maybe(|r| Ts(r.below(60) as i64)),
        cause: random.maybe(|r| format!("c{}", r.below(60))),
    }
}

fn any_task_row(run: RunNo, random: &mut Random) -> TaskRow {
    TaskRow {
        run,
        task_no: any_task(random),
        map_index: any_index(random),
        state: *random.pick(TaskState::ALL),
        try_number: random.below(3) as i32,
        max_tries: random.below(3) as i32,
        epoch: Epoch(random.below(3) as i64),
        worker: random.maybe(|r| r.below(9) as i64),
        losses: random.below(3) as i32,
        scheduled_at: random.maybe(instant),
        queued_at: random.maybe(instant),
        started_at: random.maybe(instant),
        ended_at: random.maybe(instant),
        not_before: random.maybe(instant),
        reason: random.maybe(|r| *r.pick(Reason::ALL)),
        message: random.maybe(text),
        exit_code: random.maybe(|r| r.below(256) as i32 - 128),
        followed: random.maybe(|r| (0..r.below(3)).map(|at| TaskNo(at as i32)).collect()),
        map_item: random.maybe(|r| {
            Box::new(MapItem {
                values: serde_json::Map::from_iter([(text(r), json_value(r))]),
                label: r.maybe(text),
            })
        }),
        clears: random.below(3) as i32,
    }
}

fn any_patch(random: &mut Random, known: &Known) -> DagPatch {
    DagPatch {
        dag: if random.once_in(40) {
            DagNo(999)
        } else {
            *random.pick(&known.dags)
        },
        is_paused: random.once_in(2),
        schedule_high: random.maybe(instant),
        next_run: random.maybe(instant),
    }
}

fn any_filter(random: &mut Random) -> RunFilter {
    RunFilter {
        dag_id: random.maybe(|r| format!("dag {}", r.below(4))),
        states: random.some(2, |r| *r.pick(RunState::ALL)),
        run_type: random.maybe(|r| *r.pick(RunType::ALL)),
        before: random.maybe(|r| RunNo(r.below(30) as i64)),
        logical_date: any_range(random),
        run_after: any_range(random),
        start_date: any_range(random),
        end_date: any_range(random),
        order: random.maybe(|r| RunOrder {
            by: *r.pick(RunColumn::ALL),
            descending: r.once_in(2),
        }),
        offset: random.below(3) as u32,
        limit: random.below(6) as u32,
    }
}

fn any_old_runs(random: &mut Random) -> OldRuns {
    OldRuns {
        after: RunNo(random.below(20) as i64),
        look_at: random.below(9) as u32,
        ended_before: instant(random),
        keep_last: random.below(3) as u32,
    }
}

/// Mostly open, for few runs have all their instants.
fn any_range(random: &mut Random) -> Between {
    let end = |r: &mut Random| if r.once_in(8) { Some(instant(r)) } else { None };
    (end(random), end(random))
}

fn any_run(random: &mut Random, known: &Known) -> RunNo {
    RunNo(random.below(known.last_run as u64 + 2) as i64)
}

fn any_task(random: &mut Random) -> TaskNo {
    TaskNo(random.below(4) as i32)
}

fn any_index(random: &mut Random) -> MapIndex {
    MapIndex(random.below(3) as i32 - 1)
}
