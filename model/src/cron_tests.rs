#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;
use proptest::prelude::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn ts(text: &str) -> Ts {
    Ts::parse(text, &TimeZone::UTC).unwrap()
}

/// The next fires after an instant, as local times with their offsets.
fn fires(expression: &str, zone_name: &str, after: &str, n_fires: usize) -> Vec<String> {
    let (cron, zone) = (Cron::parse(expression).unwrap(), zone(zone_name));
    let mut at = ts(after);
    let mut found = Vec::new();
    for _ in 0..n_fires {
        at = cron.next_after(at, &zone).unwrap();
        found.push(
            at.to_jiff()
                .to_zoned(zone.clone())
                .strftime("%m-%d %H:%M%:z")
                .to_string(),
        );
    }
    found
}

const NEW_YORK: &str = "America/New_York";

#[test]
fn a_fixed_job_in_the_gap_runs_once_right_after_it() {
    let found = fires("30 2 * * *", NEW_YORK, "2027-03-13T12:00:00Z", 3);
    assert_eq!(
        found,
        [
            "03-14 03:00-04:00",
            "03-15 02:30-04:00",
            "03-16 02:30-04:00"
        ]
    );
    let found = fires("10,30,50 2 * * *", NEW_YORK, "2027-03-14T05:00:00Z", 2);
    assert_eq!(found, ["03-14 03:00-04:00", "03-15 02:10-04:00"]);
}

#[test]
fn a_fixed_job_in_the_overlap_runs_in_the_first_pass_only() {
    let found = fires("30 1 * * *", NEW_YORK, "2027-11-06T12:00:00Z", 2);
    assert_eq!(found, ["11-07 01:30-04:00", "11-08 01:30-05:00"]);
}

#[test]
fn an_interval_job_follows_real_time_through_both_changes() {
    let found = fires("*/15 * * * *", NEW_YORK, "2027-11-07T05:40:00Z", 6);
    assert_eq!(
        found,
        [
            "11-07 01:45-04:00",
            "11-07 01:00-05:00",
            "11-07 01:15-05:00",
            "11-07 01:30-05:00",
            "11-07 01:45-05:00",
            "11-07 02:00-05:00"
        ]
    );
    let found = fires("*/30 * * * *", NEW_YORK, "2027-03-14T06:10:00Z", 3);
    assert_eq!(
        found,
        [
            "03-14 01:30-05:00",
            "03-14 03:00-04:00",
            "03-14 03:30-04:00"
        ]
    );
}

#[test]
fn sunday_is_0_and_7_and_the_two_day_fields_mean_or() {
    for sunday in ["0 0 * * 0", "0 0 * * 7", "0 0 * * sun"] {
        assert_eq!(
            fires(sunday, "UTC", "2026-11-21T00:00:00Z", 1),
            ["11-22 00:00+00:00"]
        );
    }
    assert_eq!(
        fires("0 0 13 * 5", "UTC", "2026-11-21T00:00:00Z", 4),
        [
            "11-27 00:00+00:00",
            "12-04 00:00+00:00",
            "12-11 00:00+00:00",
            "12-13 00:00+00:00"
        ]
    );
    assert_eq!(
        fires("0 18 * * 1-5", "UTC", "2026-11-20T19:00:00Z", 1),
        ["11-23 18:00+00:00"]
    );
    assert_eq!(
        fires("0 6 * * 5L", "UTC", "2026-11-01T00:00:00Z", 1),
        ["11-27 06:00+00:00"]
    );
}

#[test]
fn a_step_behind_a_number_is_refused_with_the_range_that_is_meant() {
    let why = |expression: &str| Cron::parse(expression).unwrap_err().message;
    assert!(why("5/15 * * * *").ends_with("as in `5-59/15`"));
    assert!(why("0 8,12/4 * * *").ends_with("as in `12-23/4`"));
    assert!(!why("5-90/15 * * * *").contains("as in"));
    assert!(why("@often").contains("@once"));
}

/// Source: Airflow's `utils/dates.py: cron_presets`; `@midnight` and `@annually` are cron(8)'s.
#[test]
fn presets_stand_for_expressions() {
    let table = [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@quarterly", "0 0 1 */3 *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ];
    assert!(Cron::presets().eq(table.map(|(preset, _)| preset)));
    for (preset, expression) in table {
        let next = |text: &str| fires(text, NEW_YORK, "2026-11-21T00:00:00Z", 9);
        assert_eq!(next(preset), next(expression), "{preset}");
        assert_eq!(next(&preset.to_uppercase()), next(expression), "{preset}");
    }
    assert_eq!(Cron::parse("@often").unwrap_err().field, None);
}

#[test]
fn a_wrong_field_is_named_by_its_place() {
    let wrong = [
        ("60 * * * *", 0),
        ("0 24 * * *", 1),
        ("30 6 32 * *", 2),
        ("0 0 * 13 *", 3),
        ("0 0 * * 8", 4),
        ("MON * * * *", 0),
        ("0 0 * MON *", 3),
        ("0 0 * * mit", 4),
        ("1,,2 * * * *", 0),
        ("0 22-2 * * *", 1),
        ("5/15 * * * *", 0),
        ("0 0 30 2 *", 2),
        ("0 0 31 4,6 *", 2),
    ];
    for (expression, field) in wrong {
        assert_eq!(
            Cron::parse(expression).unwrap_err().field,
            Some(field),
            "{expression}"
        );
    }
    for whole in ["", "* * * *", "0 * * * * *", "0 0 * * * * 2027"] {
        assert_eq!(Cron::parse(whole).unwrap_err().field, None, "{whole}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fires_rise_strictly_and_previous_is_the_mirror_of_next(
        expression in prop::sample::select(vec![
            "30 2 * * *", "30 1 * * *", "*/15 * * * *", "0 * * * *", "15 2,14 * * *", "0 0 * * *",
            "* 2 * * *", "0-59 1 * * *", "0 0 29 2 *", "7 */5 1,15 * 1", "0 6 L * *",
        ]),
        name in prop::sample::select(vec![
            "UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo",
            "Pacific/Apia", "Asia/Kolkata", "Africa/Casablanca",
        ]),
        // 2010 to 2030, in microseconds, near and far from changes of the clock.
        start in 1_262_304_000_000_000i64..1_893_456_000_000_000,
    ) {
        let (cron, zone) = (Cron::parse(expression).unwrap(), zone(name));
        let mut at = Ts(start);
        for _ in 0..100 {
            let next = cron.next_after(at, &zone).unwrap();
            prop_assert!(next > at);
            let before = cron.previous_before(next, &zone).unwrap();
            prop_assert!(before <= at, "{before} is between {at} and {next}");
            prop_assert_eq!(cron.next_after(before, &zone).unwrap(), next);
            prop_assert_eq!(cron.previous_before(Ts(next.0 + 1), &zone).unwrap(), next);
            at = next;
        }
    }
}
