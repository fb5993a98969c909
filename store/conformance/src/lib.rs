//! What every store must do. Each backend passes all of it.
//!
//! [`exercise`] shows each behaviour by itself. [`random_ops`] plays random operations on a store
//! and on the reference store, and compares every answer and everything stored after each step.
//! Both panic where a store is wrong; that is how a test reports.
#![allow(clippy::unwrap_used, reason = "a suite reports by panicking")]

mod alert;
mod asset;
mod backfill;
mod behaviour;
mod certificate;
mod forget;
mod history;
mod instances;
mod lists;
mod outside;
mod play;
pub mod proxy;
mod random;
mod sample;
pub mod server;
mod snapshot;
mod stream_hands;
mod streams;
mod wishes;
mod workers;

pub use play::random_ops;
pub use snapshot::snapshot;
pub use streams::{cursor, partition};

use tidemill_store::{
    AlertStore, DispatchStore, EngineStore, OutsideStore, PageStore, SpanStore, StreamStore,
    WishStore, WorkerStore,
};

/// Runs every behaviour, each on a new, empty store.
///
/// # Panics
/// Where the store does something else than it must.
pub async fn exercise<S>(open: impl AsyncFn() -> S)
where
    S: EngineStore + PageStore + OutsideStore + AlertStore,
{
    behaviour::an_empty_store_has_nothing(open().await).await;
    behaviour::a_later_term_ends_the_earlier(open().await).await;
    behaviour::a_pass_is_written_whole(open().await).await;
    behaviour::a_pass_that_breaks_a_rule_leaves_nothing(open().await).await;
    behaviour::a_run_is_unique_by_name_date_and_cause(open().await).await;
    lists::the_newest_run_of_a_span_and_earlier_tasks_are_found(open().await).await;
    lists::the_last_success_before_an_instant_is_found(open().await).await;
    behaviour::the_identity_of_a_run_stays(open().await).await;
    behaviour::only_open_runs_are_loaded(open().await).await;
    behaviour::run_numbers_are_never_given_again(open().await).await;
    behaviour::values_are_cleared_before_they_are_kept(open().await).await;
    instances::instances_are_told_in_order_with_what_each_has_kept(open().await).await;
    behaviour::tries_are_told_oldest_first(open().await).await;
    history::a_patch_never_lowers_the_high_mark(open().await).await;
    history::the_same_hash_is_the_same_version(open().await).await;
    history::task_numbers_stay_by_name(open().await).await;
    history::a_new_version_leaves_the_pause_alone(open().await).await;
    history::a_stale_dag_comes_back_with_its_file(open().await).await;
    history::runs_are_paged_and_filtered(open().await).await;
    lists::runs_are_found_by_dates_and_ordered(open().await).await;
    lists::tasks_are_paged_and_counted(open().await).await;
    lists::pools_are_kept_by_name(open().await).await;
    lists::notes_are_kept_until_they_are_emptied(open().await).await;
    alert::an_alert_is_told_once_and_tried_until_it_is_settled(open().await).await;
    outside::connections_and_variables_are_kept_by_name(open().await).await;
    backfill::backfills_are_kept_with_their_dates(open().await).await;
    backfill::an_open_backfill_is_loaded_with_its_active_runs(open().await).await;
    forget::old_runs_are_those_that_ended_long_ago(open().await).await;
    forget::a_forgotten_run_leaves_nothing(open().await).await;
    asset::assets_are_kept_with_their_events(open().await).await;
    asset::an_event_is_part_of_one_run_of_a_dag(open().await).await;
    history::changes_come_in_order_and_the_oldest_go(open().await).await;
    history::import_errors_are_kept_by_file(open().await).await;
}

/// Runs every behaviour that a store shared by several processes has besides.
///
/// # Panics
/// Where the store does something else than it must.
pub async fn exercise_workers<S>(open: impl AsyncFn() -> S)
where
    S: EngineStore + PageStore + DispatchStore + WorkerStore,
{
    workers::an_attempt_is_claimed_once_by_priority_and_queue(open().await).await;
    workers::a_claim_and_a_report_stay_until_a_pass_applies_them(open().await).await;
    workers::a_stale_pass_dispatches_nothing(open().await).await;
    workers::an_unclaimed_attempt_is_withdrawn_and_a_claimed_one_is_told(open().await).await;
    workers::a_worker_whose_lease_is_over_claims_nothing_and_is_ended_once(open().await).await;
    workers::a_draining_worker_claims_nothing_and_one_that_left_is_gone(open().await).await;
    workers::a_scheduler_is_heard_of_from_its_first_term_on(open().await).await;
    workers::what_a_template_reads_comes_with_states(open().await).await;
}

/// Runs every behaviour of a shared store towards what its other processes are asked.
///
/// # Panics
/// Where the store does something else than it must.
pub async fn exercise_wishes<S>(open: impl AsyncFn() -> S)
where
    S: EngineStore + WishStore,
{
    wishes::a_wish_is_taken_once_and_its_answer_comes_back(open().await).await;
    wishes::a_wish_is_taken_back_or_taken(open().await).await;
    wishes::a_wish_that_an_earlier_term_took_is_not_done_twice(open().await).await;
    wishes::only_so_many_wishes_wait(open().await).await;
}

/// Runs every behaviour of a store towards streams.
///
/// # Panics
/// Where the store does something else than it must.
pub async fn exercise_streams<S>(open: impl AsyncFn() -> S)
where
    S: EngineStore + PageStore + StreamStore + SpanStore,
{
    streams::a_commit_makes_runs_and_moves_cursors_together(open().await).await;
    streams::a_commit_that_expects_another_offset_writes_nothing(open().await).await;
    streams::a_paused_stream_takes_nothing(open().await).await;
    streams::a_cursor_begins_once_and_is_sought_by_wish(open().await).await;
    streams::keys_are_remembered_until_they_expire(open().await).await;
    streams::poison_is_kept_until_it_is_dropped(open().await).await;
    stream_hands::a_pass_puts_records_into_quarantine_once_and_lanes_are_blocked_until_they_are_not(open().await).await;
    stream_hands::a_record_leaves_the_quarantine_once_with_its_run(open().await).await;
    stream_hands::a_replay_has_cursors_of_its_own_and_ends_once(open().await).await;
    streams::a_span_is_fixed_once_and_a_success_moves_the_position(open().await).await;
}
