//! When a run may begin at the earliest.

use tidemill_model::{RunRow, RunState, Ts};

/// The instant before which a run that is made now does not begin. A run is due when that comes
/// which it is about, or at once where it is about nothing; somebody may wish for another
/// instant. No wish lets a run begin before what it is about (Airflow's `runnable_exec_date`).
pub fn run_after(wished: Option<Ts>, logical_date: Option<Ts>, now: Ts) -> Ts {
    let due = logical_date.unwrap_or(now);
    match wished {
        Some(wished) if due > now => wished.max(due),
        Some(wished) => wished,
        None => due,
    }
}

/// Does a queued run wait for its instant, and so for nothing else yet? What was due when it was
/// made waits for none, even if the clock has gone back since.
pub fn waits_to_begin(row: &RunRow, now: Ts) -> bool {
    row.state == RunState::Queued && is_delayed(row) && row.run_after > now
}

/// Was a run to begin later than it was made? So is one that is tried again as a whole.
pub(crate) fn is_delayed(row: &RunRow) -> bool {
    row.run_after > row.queued_at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_due_by_what_it_is_about_and_by_what_is_wished_whichever_is_later() {
        let now = Ts(100);
        type Case = (Option<i64>, Option<i64>, i64);
        let table: &[Case] = &[
            (None, None, 100),
            (None, Some(40), 40),
            (None, Some(140), 140),
            (Some(120), None, 120),
            (Some(20), None, 20),
            (Some(120), Some(40), 120),
            (Some(20), Some(40), 20),
            (Some(120), Some(140), 140),
            (Some(20), Some(140), 140),
            (Some(160), Some(140), 160),
        ];
        for (wished, date, due) in table {
            let found = run_after(wished.map(Ts), date.map(Ts), now);
            assert_eq!(found, Ts(*due), "{wished:?} {date:?}");
        }
    }
}
