#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;
use tidemill_model::Ts;
use tidemill_model::cron::Cron;

/// A small generator of chance with a seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn field(&mut self, low: u64, high: u64) -> String {
        let number = |chance: &mut Chance| low + chance.below(high - low + 1);
        match self.below(6) {
            0 => format!("*/{}", 1 + self.below(high)),
            1 => {
                let (a, b) = (number(self), number(self));
                format!("{}-{}", a.min(b), a.max(b))
            }
            2 => {
                let (a, b) = (number(self), number(self));
                format!("{}-{}/{}", a.min(b), a.max(b), 1 + self.below(9))
            }
            3 => format!("{},{}", number(self), number(self)),
            4 => "*".to_string(),
            _ => number(self).to_string(),
        }
    }
}

#[test]
fn random_lines_have_the_same_times_here_and_by_crontab() {
    let zones = [
        "UTC",
        "America/New_York",
        "Europe/Berlin",
        "Australia/Lord_Howe",
    ];
    let mut n_compared = 0;
    for seed in 0..1_500 {
        let mut chance = Chance(seed);
        let hour = match chance.below(2) {
            0 => chance.below(4).to_string(),
            _ => chance.field(0, 23),
        };
        let fields = [
            chance.field(0, 59),
            hour,
            chance.field(1, 31),
            chance.field(1, 12),
            chance.field(0, 7),
        ];
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let zone = TimeZone::get(zones[chance.below(4) as usize]).unwrap();
        // Some day of 2024 to 2030.
        let after =
            Timestamp::from_second(1_704_067_200 + chance.below(189_000_000) as i64).unwrap();
        let read = Fields::read(&fields).unwrap();
        let theirs = read.fires_after(after, &zone, 12);
        let Ok(cron) = Cron::parse(&read.expression()) else {
            assert!(theirs.is_empty(), "seed {seed}: `{}`", read.text);
            continue;
        };
        let next = |at: &Ts| cron.next_after(*at, &zone);
        let ours = std::iter::successors(next(&Ts::from_jiff(after)), next);
        let ours: Vec<Timestamp> = ours.take(12).map(Ts::to_jiff).collect();
        // What is years away is told, not looked for.
        let n = theirs.len();
        assert_eq!(
            theirs,
            ours[..n],
            "seed {seed}: `{}` in {zone:?}",
            read.text
        );
        n_compared += n;
    }
    assert!(n_compared > 10_000, "{n_compared}");
}

#[test]
fn a_line_with_a_fixed_time_starts_after_the_gap_and_once_in_the_overlap() {
    let zone = TimeZone::get("America/New_York").unwrap();
    let fires = |line: &str, after: &str| -> Vec<String> {
        let fields: Vec<&str> = line.split(' ').collect();
        let after: Timestamp = after.parse().unwrap();
        let fires = Fields::read(&fields).unwrap().fires_after(after, &zone, 2);
        fires.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        fires("30 2 * * *", "2027-03-14T00:00:00Z"),
        ["2027-03-14T07:00:00Z", "2027-03-15T06:30:00Z"]
    );
    assert_eq!(
        fires("30 1 * * *", "2027-11-07T00:00:00Z"),
        ["2027-11-07T05:30:00Z", "2027-11-08T06:30:00Z"]
    );
    assert_eq!(
        fires("30 * * * *", "2027-11-07T05:00:00Z"),
        ["2027-11-07T05:30:00Z", "2027-11-07T06:30:00Z"]
    );
}
