//! Fire times against an oracle that shares nothing with them: it looks at every minute of six
//! years, reads the fields with a parser of its own, and asks another library for the offsets of
//! each zone.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod book;

use book::{Book, Chance, Clock};
use jiff::tz::TimeZone;
use tidemill_model::Ts;
use tidemill_model::cron::Cron;

/// Zones with each kind of change that there is, and the year in which their six years begin.
const ZONES: &[(&str, i64)] = &[
    ("UTC", 2018),
    ("America/New_York", 2018),
    ("America/St_Johns", 2006), // changes at one minute past midnight
    ("America/Havana", 2018),   // midnight comes twice, or not at all
    ("America/Santiago", 2018), // the same, in the south
    ("America/Sao_Paulo", 2014),
    ("Europe/Berlin", 2018),
    ("Europe/London", 2018),
    ("Atlantic/Azores", 2018),
    ("Africa/Casablanca", 2014), // four changes a year, around Ramadan
    ("Africa/Cairo", 2010),
    ("Asia/Kolkata", 2018),
    ("Asia/Tehran", 2018),
    ("Asia/Gaza", 2016),
    ("Australia/Lord_Howe", 2018), // half an hour
    ("Pacific/Chatham", 2018),     // three quarters off the hour
    ("Pacific/Apia", 2009),        // a day that never was
    ("Antarctica/Troll", 2018),    // two hours
];

/// Looked at in every zone: each rule of the fields, at the hours when clocks change.
const PATTERNS: &[&str] = &[
    "30 2 * * *",
    "0 0 * * *",
    "5,35 0,1,2,3 * * *",
    "*/20 * * * *",
    "15 */2 * * 1-5",
    "0-59 2 * * 0",
    "*/10 1 L * *",
    "10 1 13 */3 0#1,FRI,SUNL",
];

const RANDOM_PATTERNS: u64 = 3;

#[test]
fn fires_are_those_that_a_scan_of_every_minute_finds() {
    let jobs: Vec<(usize, &(&str, i64))> = ZONES.iter().enumerate().collect();
    let n_threads = std::thread::available_parallelism().map_or(2, |n| n.get().min(8));
    std::thread::scope(|scope| {
        for part in jobs.chunks(jobs.len().div_ceil(n_threads)) {
            scope.spawn(move || {
                for (at, (zone, year)) in part {
                    check_zone(zone, *year, *at as u64);
                }
            });
        }
    });
}

fn check_zone(name: &str, year: i64, seed: u64) {
    let clock = Clock::of(name, year, 6);
    let zone = TimeZone::get(name).unwrap();
    for pattern in PATTERNS {
        check(pattern, &clock, &zone, &mut Chance(seed), name);
    }
    for at in 0..RANDOM_PATTERNS {
        let seed = seed * 1_000 + at;
        let mut chance = Chance(seed);
        let pattern = book::random_pattern(&mut chance);
        check(
            &pattern,
            &clock,
            &zone,
            &mut chance,
            &format!("{name}, seed {seed}"),
        );
    }
}

/// Fires of a job that has more than these are looked at around changes of the clock and in
/// samples; the others one by one.
const WALKED_MAX: usize = 3_000;

fn check(pattern: &str, clock: &Clock, zone: &TimeZone, chance: &mut Chance, about: &str) {
    let about = format!("`{pattern}` in {about}");
    let cron = match Cron::parse(pattern) {
        Ok(cron) => cron,
        // A date that never comes, such as 31 April: then the oracle has none either.
        Err(err) => {
            assert!(err.to_string().contains("never comes"), "{about}: {err}");
            assert!(Book::read(pattern).fires(clock).is_empty(), "{about}");
            return;
        }
    };
    let fires = Book::read(pattern).fires(clock);
    let mut places: Vec<std::ops::Range<usize>> = Vec::new();
    if fires.len() <= WALKED_MAX {
        places.push(0..fires.len());
    } else {
        for change in clock.changes() {
            let from = fires.partition_point(|fire| *fire < change - 3 * 60);
            let to = fires.partition_point(|fire| *fire < change + 27 * 60);
            places.push(from..to.min(from + 60));
        }
        for _ in 0..20 {
            let from = chance.below(fires.len() as u64 - 50) as usize;
            places.push(from..from + 50);
        }
    }
    for place in places {
        for pair in fires[place].windows(2) {
            check_pair(
                &cron,
                zone,
                (minute(pair[0]), minute(pair[1])),
                chance,
                &about,
            );
        }
    }
}

fn minute(minute: i64) -> Ts {
    Ts(minute * 60_000_000)
}

/// Two fires and nothing between them, asked from both and from somewhere between.
fn check_pair(cron: &Cron, zone: &TimeZone, pair: (Ts, Ts), chance: &mut Chance, about: &str) {
    let (first, second) = pair;
    let between = Ts(first.0 + 1 + chance.below((second.0 - first.0 - 1) as u64) as i64);
    for from in [first, between] {
        let found = cron.next_after(from, zone);
        assert_eq!(found, Some(second), "{about}: next after {from}");
    }
    for from in [second, between] {
        let found = cron.previous_before(from, zone);
        assert_eq!(found, Some(first), "{about}: previous before {from}");
    }
}

#[test]
fn the_oracle_sees_what_is_wrong() {
    // The same scan, an hour off in winter: were the comparison blind, this would pass.
    let clock = Clock::of("Europe/Berlin", 2018, 1);
    let right = Book::read("30 6 * * *").fires(&clock);
    let wrong = Book::read("30 7 * * *").fires(&clock);
    assert_eq!(right.len(), 365);
    assert!(
        right
            .iter()
            .zip(&wrong)
            .all(|(right, wrong)| wrong - right == 60)
    );
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let cron = Cron::parse("30 6 * * *").unwrap();
    assert_eq!(
        cron.next_after(minute(right[0]), &zone),
        Some(minute(right[1]))
    );
}
