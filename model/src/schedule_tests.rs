#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;

fn crons(texts: &[&str], zone: &str) -> Schedule {
    let crons = texts.iter().map(|text| Cron::parse(text).unwrap());
    Schedule::of(Ticks::Cron(crons.collect()), TimeZone::get(zone).unwrap())
}

fn ts(text: &str) -> Ts {
    Ts::parse(text, &TimeZone::UTC).unwrap()
}

#[test]
fn an_interval_counts_from_its_anchor_in_both_directions() {
    let ticks = Ticks::Every {
        period: Duration::from_secs(60),
        anchor: Ts(5_000_000),
    };
    let schedule = Schedule::of(ticks, TimeZone::UTC);
    assert_eq!(schedule.next_after(Ts(5_000_000)), Some(Ts(65_000_000)));
    assert_eq!(
        schedule.previous_before(Ts(5_000_000)),
        Some(Ts(-55_000_000))
    );
    assert_eq!(schedule.next_after(Ts(i64::MAX)), None);
}

#[test]
fn several_crons_fire_once_at_a_shared_instant() {
    let schedule = crons(&["0 0 * * *", "0 */12 * * *"], "UTC");
    let noon = schedule.next_after(Ts(0)).unwrap();
    let midnight = schedule.next_after(noon).unwrap();
    assert_eq!((noon, midnight), (Ts(43_200_000_000), Ts(86_400_000_000)));
    assert_eq!(schedule.previous_before(midnight), Some(noon));
}

#[test]
fn explicit_instants_are_ticks_in_both_directions() {
    let schedule = Schedule::of(Ticks::At(vec![Ts(1), Ts(5), Ts(9)]), TimeZone::UTC);
    let next = [0, 1, 4, 5, 9].map(|at| schedule.next_after(Ts(at)).map(|at| at.0));
    assert_eq!(next, [Some(1), Some(5), Some(5), Some(9), None]);
    let previous = [1, 2, 5, 6, 100].map(|at| schedule.previous_before(Ts(at)).map(|at| at.0));
    assert_eq!(previous, [None, Some(1), Some(1), Some(5), Some(9)]);
}

#[test]
fn each_interval_says_what_a_run_is_about() {
    let hour = Duration::from_secs(3_600);
    // The night when New York's clocks go forward: this day has 23 hours.
    let (before, at) = (ts("2027-03-14T05:00:00Z"), ts("2027-03-15T04:00:00Z"));
    let cases = [
        (Interval::Tick, at, (at, at)),
        (Interval::Previous, at, (before, at)),
        (Interval::Period, before, (before, at)),
        (Interval::Fixed(hour), at, (at.before(hour), at)),
    ];
    for (interval, logical_date, data_interval) in cases {
        let mut schedule = crons(&["0 0 * * *"], "America/New_York");
        schedule.interval = interval;
        let expected = Tick {
            at,
            logical_date,
            data_interval,
        };
        assert_eq!(schedule.about(at), expected, "{interval:?}");
    }
    assert_eq!(at.since(before), hour * 23);
    let mut schedule = crons(&["0 0 * * *"], "America/New_York");
    schedule.interval = Interval::Previous;
    let (start, end) = schedule.about(ts("2027-11-08T05:00:00Z")).data_interval;
    assert_eq!(end.since(start), hour * 25);
}

/// Source: Airflow's `infer_manual_data_interval` of `timetables/trigger.py: _TriggerTimetable`,
/// `timetables/interval.py: CronDataIntervalTimetable` and `timetables/simple.py`.
#[test]
fn a_run_that_is_asked_for_is_about_the_last_whole_period() {
    let hour = Duration::from_secs(3_600);
    let (one, two, three) = (Ts(3_600_000_000), Ts(7_200_000_000), Ts(10_800_000_000));
    let half_past = three.after(hour / 2);
    let cases = [
        (Interval::Tick, half_past, (half_past, half_past)),
        (Interval::Tick, three, (three, three)),
        (
            Interval::Fixed(hour),
            half_past,
            (half_past.before(hour), half_past),
        ),
        (Interval::Previous, half_past, (two, three)),
        (Interval::Period, half_past, (two, three)),
        // At a tick the period that ends there is whole.
        (Interval::Period, three, (two, three)),
        (Interval::Period, Ts(three.0 - 1), (one, two)),
    ];
    for (interval, at, expected) in cases {
        let mut hourly = crons(&["0 * * * *"], "UTC");
        hourly.interval = interval;
        assert_eq!(hourly.asked_for(at), expected, "{interval:?} {at}");
    }
    // Without ticks before it there is no period.
    for ticks in [
        Ticks::Manual,
        Ticks::Continuous,
        Ticks::Once(None),
        Ticks::At(vec![three]),
    ] {
        let mut other = Schedule::of(ticks, TimeZone::UTC);
        other.interval = Interval::Period;
        assert_eq!(other.asked_for(two), (two, two));
    }
}

#[test]
fn the_first_of_the_explicit_instants_is_about_nothing_before_it() {
    let mut schedule = Schedule::of(Ticks::At(vec![Ts(7)]), TimeZone::UTC);
    schedule.interval = Interval::Period;
    assert_eq!(schedule.about(Ts(7)).data_interval, (Ts(7), Ts(7)));
}

#[test]
fn jitter_is_the_same_for_a_name_and_spreads_over_names() {
    let mut schedule = crons(&["@hourly"], "UTC");
    assert_eq!(schedule.offset("etl"), Duration::ZERO);
    schedule.jitter = Duration::from_secs(30);
    // These are part of the interface: a new version of the program must not move runs.
    assert_eq!(schedule.offset("etl"), Duration::from_secs(26));
    assert_eq!(schedule.offset("orders"), Duration::from_secs(25));
    let offsets: Vec<u64> = (0..1_000)
        .map(|at| schedule.offset(&format!("dag_{at}")).as_millis() as u64)
        .collect();
    assert!(offsets.iter().all(|offset| *offset <= 30_000));
    let early = offsets.iter().filter(|offset| **offset < 10_000).count();
    assert!((250..420).contains(&early), "{early} of 1000 in a third");
}
