//! When a run may begin at the earliest.

use tidemill_model::Ts;

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
