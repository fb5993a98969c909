//! The world around `due`: a store whose marks never fall, a clock that is set, runs that take
//! their time, pauses and crashes. As the engine does it: a tick whose cause has a run makes none.

use crate::sample::{cron, dag, hour};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tidemill_model::schedule::{Interval, Ticks};
use tidemill_model::{Dag, Ts};
use tidemill_scheduler::{due, next_tick};

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

const PER_PASS: usize = 4;

pub struct World {
    seed: u64,
    chance: Chance,
    dag: Dag,
    now: Ts,
    latest_now: Ts,
    first_seen: Option<Ts>,
    high_stored: Option<Ts>,
    high: Option<Ts>,
    is_paused: bool,
    active: BTreeSet<Ts>,
    runs: BTreeMap<Ts, Ts>,
    skipped: Vec<(Ts, Ts)>,
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut chance = Chance(seed);
        let ticks = match chance.below(4) {
            0 => cron("*/20 * * * *"),
            1 => cron("30 2,14 * * *"),
            2 => Ticks::At((0..40).map(|at| hour(at * at)).collect()),
            _ => Ticks::Every {
                period: Duration::from_secs(1_800 + chance.below(9_000)),
                anchor: Ts(chance.below(7_000_000_000) as i64),
            },
        };
        let mut dag = dag(ticks);
        dag.catchup = chance.below(2) == 0;
        dag.max_active_runs = 1 + chance.below(6) as u32;
        dag.start_date = (chance.below(2) == 0).then(|| hour(90 + chance.below(20) as i64));
        dag.end_date = (chance.below(4) == 0).then(|| hour(400 + chance.below(800) as i64));
        if chance.below(3) == 0 {
            dag.schedule.interval = Interval::Period;
        }
        if chance.below(3) == 0 {
            dag.schedule.jitter = Duration::from_secs(3_000);
        }
        World {
            seed,
            chance,
            dag,
            now: hour(100),
            latest_now: hour(100),
            first_seen: None,
            high_stored: None,
            high: None,
            is_paused: false,
            active: BTreeSet::new(),
            runs: BTreeMap::new(),
            skipped: Vec::new(),
        }
    }

    pub fn play(mut self) {
        for _ in 0..200 {
            match self.chance.below(12) {
                0..=5 => self.pass(),
                6 | 7 => self.go_on(),
                8 => self.end_some(),
                9 => self.is_paused = !self.is_paused,
                10 => self.high = self.high_stored, // a crash: memory is read again
                _ => self.set_clock(),
            }
        }
        // Then all is well for a while: what is owed comes.
        self.is_paused = false;
        self.pass();
        while !due(&self.dag, self.high, self.now, 1).ticks.is_empty() {
            self.active.clear();
            self.pass();
        }
        self.nothing_is_lost();
    }

    fn go_on(&mut self) {
        let most = [600, 7_200, 200_000][self.chance.below(3) as usize];
        self.now = Ts(self.now.0 + self.chance.below(most * 1_000_000) as i64);
    }

    fn end_some(&mut self) {
        let keep = self.chance.below(2) as usize;
        self.active = self.active.iter().rev().take(keep).copied().collect();
    }

    /// Back, to at most half a day before where it has been: within what a mark survives.
    fn set_clock(&mut self) {
        let back = self.chance.below(43_200_000_000) as i64;
        self.now = Ts((self.now.0 - back).max(self.latest_now.0 - 43_200_000_000));
    }

    /// One pass of an engine. Now and then it dies before the commit.
    fn pass(&mut self) {
        self.latest_now = self.latest_now.max(self.now);
        if self.is_paused {
            return;
        }
        let is_killed = self.chance.below(10) == 0;
        let room = (self.dag.max_active_runs as usize).saturating_sub(self.active.len());
        let owed = due(&self.dag, self.high, self.now, room.min(PER_PASS));
        assert!(owed.ticks.len() <= room.min(PER_PASS), "seed {}", self.seed);
        assert!(owed.high >= self.high, "seed {}: the mark fell", self.seed);
        assert!(!owed.is_mark_wrong, "seed {}", self.seed);
        if is_killed {
            self.high = self.high_stored;
            return;
        }
        self.first_seen.get_or_insert(self.now);
        let offset = self.dag.schedule.offset(&self.dag.id);
        for pair in owed.ticks.windows(2) {
            assert!(pair[0].at < pair[1].at, "seed {}: not in order", self.seed);
        }
        for tick in &owed.ticks {
            let about = format!("seed {}: tick {} at {}", self.seed, tick.at, self.now);
            assert!(tick.at.after(offset) <= self.now, "{about} is early");
            assert!(Some(tick.at) > self.high, "{about} was settled");
            let (start, end) = (self.dag.start_date, self.dag.end_date);
            assert!(
                start.is_none_or(|start| tick.logical_date >= start),
                "{about}"
            );
            assert!(end.is_none_or(|end| tick.logical_date <= end), "{about}");
            let is_new = self.runs.insert(tick.at, tick.logical_date).is_none();
            assert!(is_new, "{about} comes twice");
            self.active.insert(tick.at);
        }
        assert!(self.active.len() <= self.dag.max_active_runs as usize);
        self.skipped.extend(owed.skipped);
        (self.high, self.high_stored) = (owed.high, owed.high);
    }

    /// Every tick since the first sight has a run, or was skipped by name.
    fn nothing_is_lost(&self) {
        let dates: BTreeSet<&Ts> = self.runs.values().collect();
        assert_eq!(dates.len(), self.runs.len(), "seed {}", self.seed);
        let offset = self.dag.schedule.offset(&self.dag.id);
        let mut at = self.first_seen.unwrap().before(offset);
        while let Some(tick) =
            next_tick(&self.dag, at).filter(|tick| tick.at.after(offset) <= self.now)
        {
            at = tick.at;
            let is_skipped = |(first, last): &(Ts, Ts)| *first <= at && at <= *last;
            let is_known = self.runs.contains_key(&at) || self.skipped.iter().any(is_skipped);
            assert!(is_known, "seed {}: tick {at} is lost", self.seed);
            assert!(
                !self.dag.catchup || self.runs.contains_key(&at),
                "seed {}: catch-up left {at} out",
                self.seed
            );
        }
    }
}
