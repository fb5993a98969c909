//! Kill -9 of the server while it makes runs of records, and a ledger outside of the program.
//!
//! The producer notes what the broker has confirmed. The task of each run appends what it read to
//! a journal, in one write. In the end each confirmed record that passes is in exactly one run of
//! the live reading, and in exactly one of a replay that goes on meanwhile, with the same bytes.
//! What was planted besides - records that are filtered, passed over, not of their format, twice
//! there, rejected by the task, undone with their transaction, or gone before they are read - is
//! counted exactly so in each reading. The server is killed in thirds: while it reads, inside of
//! the transaction and just beside it, and while runs execute. `TIDEMILL_KILL_ROUNDS` sets the
//! number of kills, `TIDEMILL_SEED` repeats the random choices.

#![allow(dead_code, reason = "the other program uses it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod journal;
mod ledger;
mod stored;
#[path = "../support/mod.rs"]
pub(crate) mod support;

use journal::Journal;
use ledger::{FATES, Fate, Ledger, PARTITIONS, Plan, Planted};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stored::Stored;
use support::chance::Chance;
use support::processes::{self, Process};
use support::waiting::{let_pass, wait_for, within};
use support::{PATIENCE, Place, Server};
use tidemill_kafka_rig::{Broker, Producer, Sent, Wish};
use tidemill_store::LIVE;

/// Where a server is told to end itself while it reads.
const FETCHING: &str = "stream while fetching";
/// How a kill counts that has met a task.
const EXECUTING: &str = "while a run executes";
/// Where a server is told to end itself in a transaction and beside it.
const COMMITTING: [&str; 3] = [
    "stream before commit",
    "stream inside commit",
    "stream after commit",
];
/// A server that has not met its fault by then is killed from outside.
const FAULT_WAIT: Duration = Duration::from_secs(20);

fn rounds() -> usize {
    let given = std::env::var("TIDEMILL_KILL_ROUNDS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(9)
}

/// A DAG whose task copies what it read into a journal, and rejects what was planted for that.
fn dag(broker: &Broker, topic: &str, journal: &Path) -> String {
    format!(
        r#"
[dag]
max_active_runs = 8
[triggers.in.kafka]
brokers = ["{}"]
topics = ["{topic}"]
start = "earliest"
value_format = "string"
filter = "{{{{ record.key == 'yes' }}}}"
tombstones = "skip"
dedupe = {{ key = "{{{{ record.value }}}}", ttl = "24h" }}
on_data_loss = "earliest"
max_messages = 8
window = "20ms"
[tasks.note]
retries = 50
retry_delay = "10ms"
shell = '''
sed -n '/"value":"reject /s/.*"partition":\([0-9]*\),"offset":\([0-9]*\).*/{{"partition": \1, "offset": \2, "reason": "planted"}}/p' "$TIDEMILL_KAFKA_BATCH" >> "$TIDEMILL_REJECTS"
lines=$(sed "s|^|$TIDEMILL_RUN_ID $TIDEMILL_EPOCH |" "$TIDEMILL_KAFKA_BATCH")
printf '\n%s\n%s %s END\n' "$lines" "$TIDEMILL_RUN_ID" "$TIDEMILL_EPOCH" >> {}
'''
"#,
        broker.address(),
        journal.display()
    )
}

/// Who writes to a siege's topic.
struct Writers {
    topic: String,
    plain: Producer,
    /// Whose transactions are undone.
    undoing: Producer,
}

impl Writers {
    fn new(broker: &Broker, topic: &str) -> Writers {
        Writers {
            topic: topic.to_string(),
            plain: Producer::new(broker),
            undoing: Producer::transactional(broker, topic),
        }
    }

    /// Sends records, and gives what the broker has confirmed.
    fn send(&self, planned: &[(Wish, Plan)]) -> Vec<(Sent, Plan)> {
        let of = |is_undone: bool| -> (Vec<Wish>, Vec<Plan>) {
            let of_it = planned.iter().cloned();
            let of_it = of_it.filter(|(_, plan)| (*plan == Plan::Undone) == is_undone);
            of_it.unzip()
        };
        let (wishes, plans) = of(false);
        let sent = self.plain.send(&self.topic, &wishes).into_iter().zip(plans);
        let mut sent: Vec<(Sent, Plan)> = sent.collect();
        let (wishes, plans) = of(true);
        if !wishes.is_empty() {
            let undone = self.undoing.transaction(&self.topic, &wishes, false);
            sent.extend(undone.into_iter().zip(plans));
        }
        sent
    }

    /// Sends all of it, in small parts, whatever becomes of the server meanwhile.
    fn send_slowly(&self, planned: &[(Wish, Plan)], is_over: &AtomicBool) -> Vec<(Sent, Plan)> {
        let mut sent = Vec::new();
        for part in planned.chunks(4) {
            sent.extend(self.send(part));
            if !is_over.load(Ordering::Relaxed) {
                let_pass(Duration::from_millis(150));
            }
        }
        sent
    }
}

/// A topic, what was sent to it, and a DAG that reads it.
pub(crate) struct Siege {
    broker: &'static Broker,
    /// Where its server lives.
    pub(crate) place: Place,
    writers: Writers,
    ledger: Ledger,
    chance: Chance,
    kills: BTreeMap<&'static str, usize>,
    /// The number of the replay that goes on beside, and what it reads of each partition.
    replay: Option<(i64, BTreeMap<i32, Range<i64>>)>,
}

impl Siege {
    /// One of its own.
    pub(crate) fn new() -> Siege {
        let (broker, place) = (Broker::shared(), Place::new());
        let topic = broker.new_topic("ledger", PARTITIONS);
        let siege = Siege {
            writers: Writers::new(broker, &topic),
            broker,
            place,
            ledger: Ledger::default(),
            chance: Chance::from_environment("stream kills"),
            kills: BTreeMap::new(),
            replay: None,
        };
        let journal = siege.journal();
        std::fs::write(&journal, "").unwrap();
        let dag = dag(broker, &topic, &journal);
        siege.place.write_dag("ledger.toml", &dag);
        siege
    }

    fn journal(&self) -> PathBuf {
        self.place.folder().join("journal")
    }

    /// Sends records, all at once.
    pub(crate) fn send(&mut self, n: usize) {
        let planned = self.plan(n);
        self.ledger.note(self.writers.send(&planned));
    }

    fn plan(&mut self, n: usize) -> Vec<(Wish, Plan)> {
        (0..n).map(|_| self.ledger.plan(&mut self.chance)).collect()
    }

    /// Starts a server, sends it records, and ends it in the way of this round.
    fn round(&mut self, number: usize) {
        let fault = match number % 3 {
            0 => Some(COMMITTING[(number / 3) % COMMITTING.len()]),
            1 => Some(FETCHING),
            _ => None,
        };
        let mut command = self.place.serve_command();
        if let Some(fault) = fault {
            command.env(
                "TIDEMILL_FAULT",
                format!("{fault}:{}", self.chance.between(1, 4)),
            );
        }
        let mut child = command.spawn().unwrap();
        let family = processes::below(child.id());
        if self.replay.is_none() && fault.is_none() && number >= rounds() / 2 {
            self.begin_replay();
        }
        let n_records = self.chance.between(20, 60) as usize;
        let is_over = AtomicBool::new(false);
        let delay = Duration::from_millis(self.chance.between(0, 50));
        let planned = self.plan(n_records);
        let writers = &self.writers;
        let sent = std::thread::scope(|scope| {
            let sender = scope.spawn(|| writers.send_slowly(&planned, &is_over));
            // The supervisor is one process below the server; a second one is a task.
            let has_met = match fault {
                Some(_) => within(FAULT_WAIT, || child.try_wait().unwrap()).map(drop),
                None => within(FAULT_WAIT, || {
                    (processes::below(child.id()).len() > 1).then_some(())
                }),
            };
            let_pass(delay);
            let kind = has_met.map_or("elsewhere", |()| fault.unwrap_or(EXECUTING));
            *self.kills.entry(kind).or_default() += 1;
            let _ = child.kill(); // it may have ended itself
            child.wait().unwrap();
            is_over.store(true, Ordering::Relaxed);
            sender.join().unwrap()
        });
        self.ledger.note(sent);
        self.wait_for_quiet(&family);
    }

    /// Waits until nothing is left of a server that was killed.
    fn wait_for_quiet(&self, family: &[Process]) {
        wait_for("the processes of a killed server to end", PATIENCE, || {
            let left = family.iter().any(|one| one.is_alive());
            (!left && processes::naming(self.place.folder()).is_empty()).then_some(())
        });
    }

    /// Has all that is there read again, beside the live reading.
    fn begin_replay(&mut self) {
        let all = ["--from", "earliest", "--to", "latest", "-o", "json"];
        let args = [&["triggers", "replay", "ledger/in"][..], &all[..]].concat();
        let mut last = String::new();
        let told = within(PATIENCE, || {
            let asked = self.place.call(&args);
            last = support::told(&asked);
            let is_told = asked.status.success();
            is_told.then(|| serde_json::from_slice::<Value>(&asked.stdout).unwrap())
        });
        let log = || self.place.serve_log();
        let told = told.unwrap_or_else(|| panic!("no replay begins: {last}\n{}", log()));
        let ranges = told["partitions"].as_array().unwrap().iter().map(|one| {
            let number = |name: &str| one[name].as_i64().unwrap();
            (number("partition") as i32, number("from")..number("to"))
        });
        self.replay = Some((told["replay"].as_i64().unwrap(), ranges.collect()));
    }

    /// Writes records that are gone before a server reads them, as retention takes them.
    fn plant_loss(&mut self) {
        let mut server = self.place.serve();
        wait_for("all to be read", PATIENCE * 3, || {
            (self.n_passed(&server) >= self.ledger.n_passed()).then_some(())
        });
        // Nothing is under way now, so what is stored stays.
        let family = processes::below(server.child.id());
        server.signal(Signal::KILL);
        server.wait_until_gone();
        self.wait_for_quiet(&family);
        let partition = PARTITIONS - 1;
        let next = Stored::read(&self.place).next[&partition];
        let (ledger, chance) = (&mut self.ledger, &mut self.chance);
        let planned = (0..6).map(|_| ledger.plan_as(Plan::Taken, partition, chance));
        let sent = self.writers.send(&planned.collect::<Vec<_>>());
        let oldest = sent[4].0.offset;
        let topic = &self.writers.topic;
        self.broker.delete_records(topic, partition, oldest);
        self.ledger.note(sent);
        self.ledger.lose(partition, next..oldest);
    }

    /// The trigger as the API shows it; nothing while it is not known yet.
    fn shown(&self, server: &Server) -> Value {
        let (_, shown) = server.get("/api/tidemill/v1/dags/ledger/triggers/in");
        shown
    }

    /// How many records the live reading has come past.
    fn n_passed(&self, server: &Server) -> i64 {
        let shown = self.shown(server);
        let counts = ["taken", "filtered", "skipped", "quarantined", "deduped"];
        let counts = counts.iter().map(|name| shown[*name].as_i64().unwrap_or(0));
        counts.sum()
    }

    /// What must come of each reading.
    fn planted(&self) -> BTreeMap<i64, Planted> {
        let replay = self.replay.iter();
        let replay = replay.map(|(number, ranges)| (*number, self.ledger.of_replay(ranges)));
        replay.chain([(LIVE, self.ledger.of_live())]).collect()
    }

    /// Lets everything end in peace, and judges.
    fn end(self) {
        let server = self.place.serve();
        self.end_with(server);
    }

    /// The same with a server that runs.
    pub(crate) fn end_with(self, mut server: Server) {
        let planted = self.planted();
        self.wait_for_end(&planted, &server);
        let failed = server.body("/api/v2/dags/~/dagRuns?state=failed&limit=1");
        assert_eq!(failed["total_entries"], 0, "a run has failed");
        let all = server.body("/api/v2/dags/~/dagRuns?limit=1");
        server.signal(Signal::TERM);
        server.wait_until_gone();
        let journal = Journal::read(&self.journal());
        let n_runs = journal.n_runs();
        let note = "each run has written its journal";
        assert_eq!(all["total_entries"], n_runs, "{note}");
        let stored = Stored::read(&self.place);
        for (reading, planted) in &planted {
            journal.of_reading(*reading).check(&planted.values);
            assert_eq!(
                stored.readings[reading], planted.left,
                "what became of the records of reading {reading} is what was planted"
            );
        }
        let done = |(number, _): &(i64, _)| (*number, "done".to_string());
        let replays: Vec<(i64, String)> = self.replay.iter().map(done).collect();
        assert_eq!(stored.replays, replays);
        println!("{n_runs} runs; planted: {:?}", self.n_fates());
        for (reading, planted) in &planted {
            println!("reading {reading}: {:?}", planted.left.counts);
        }
        println!("kills: {:?}", self.kills);
    }

    fn wait_for_end(&self, planted: &BTreeMap<i64, Planted>, server: &Server) {
        let path = self.journal();
        for (reading, planted) in planted {
            let what = format!("every record of reading {reading} to be in a run that ended well");
            wait_for(&what, PATIENCE * 3, || {
                let journal = Journal::read(&path).of_reading(*reading);
                (journal.places().len() >= planted.values.len()).then_some(())
            });
        }
        wait_for("the last records to be passed over", PATIENCE, || {
            let replays = self.shown(server)["replays"].clone();
            let is_done = |one: &Value| one["state"] == "done";
            let is_over = replays
                .as_array()
                .is_some_and(|all| all.iter().all(is_done));
            (is_over && self.n_passed(server) >= self.ledger.n_passed()).then_some(())
        });
        wait_for("all runs to end", PATIENCE, || {
            let path = "/api/v2/dags/~/dagRuns?state=queued&state=running&limit=1";
            (server.body(path)["total_entries"] == 0).then_some(())
        });
    }

    /// How many records were planted for each fate.
    fn n_fates(&self) -> BTreeMap<Fate, usize> {
        let mut all = BTreeMap::new();
        for (_, fate) in self.ledger.fates() {
            *all.entry(fate).or_default() += 1;
        }
        all
    }
}

#[test]
fn every_confirmed_record_is_in_exactly_one_run_of_each_reading_whatever_is_killed() {
    let mut siege = Siege::new();
    for number in 0..rounds() {
        if number == rounds() / 3 {
            siege.plant_loss();
        }
        siege.round(number);
    }
    for third in [&[FETCHING][..], &COMMITTING, &[EXECUTING]] {
        let is_met = third.iter().any(|kind| siege.kills.contains_key(kind));
        assert!(is_met, "no kill {third:?}: {:?}", siege.kills);
    }
    let planted = siege.n_fates();
    let is_planted = |fate: &Fate| planted.contains_key(fate);
    assert!(FATES.iter().all(is_planted), "{planted:?}");
    assert!(siege.replay.is_some(), "nothing is read again");
    siege.end();
}
