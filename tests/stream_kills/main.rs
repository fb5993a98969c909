//! Kill -9 of the server while it makes runs of records, and a ledger outside of the program.
//!
//! The producer notes what the broker has confirmed. The task of each run appends what it read to
//! a journal, in one write. In the end each confirmed record that the filter lets through is in
//! exactly one run, with the same bytes, and what was planted to be filtered or broken is counted
//! exactly so. The server is killed in thirds: while it reads, inside of the transaction and just
//! beside it, and while runs execute. `TIDEMILL_KILL_ROUNDS` sets the number of kills, `TIDEMILL_SEED`
//! repeats the random choices.

#![allow(dead_code, reason = "the other program uses it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod journal;
#[path = "../support/mod.rs"]
pub(crate) mod support;

use journal::Journal;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::chance::Chance;
use support::waiting::{let_pass, wait_for, within};
use support::{PATIENCE, Place, processes};
use tidemill_kafka_rig::{Broker, Producer, Sent, Wish};
use tidemill_store::{Counts, StreamStore};
use tidemill_store_postgres::{Address, PostgresStore};
use tidemill_store_sqlite::SqliteStore;

const PARTITIONS: i32 = 2;
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

/// What a record was made to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Taken,
    Filtered,
    Poison,
}

/// What the broker has confirmed, and what is to become of it.
#[derive(Default)]
struct Ledger {
    lines: Vec<(Sent, Fate)>,
}

impl Ledger {
    fn wish(chance: &mut Chance, number: usize) -> (Wish, Fate) {
        let partition = chance.between(0, PARTITIONS as u64 - 1) as i32;
        let fate = match chance.between(0, 9) {
            0 => Fate::Poison,
            1..=2 => Fate::Filtered,
            _ => Fate::Taken,
        };
        let mut value = format!("{number} é \" \\ {:x}", chance.draw()).into_bytes();
        if fate == Fate::Poison {
            value.push(0xff); // no text ends so
        }
        let key = if fate == Fate::Filtered { "no" } else { "yes" };
        let wish = Wish {
            key: Some(key.into()),
            ..Wish::value(partition, value)
        };
        (wish, fate)
    }

    fn count(&self, fate: Fate) -> usize {
        self.lines.iter().filter(|(_, one)| *one == fate).count()
    }

    /// The values that runs must have, by partition and offset.
    fn expected(&self) -> BTreeMap<(i32, i64), String> {
        let taken = self.lines.iter().filter(|(_, fate)| *fate == Fate::Taken);
        let value = |sent: &Sent| String::from_utf8(sent.value.clone().unwrap()).unwrap();
        taken
            .map(|(sent, _)| ((sent.partition, sent.offset), value(sent)))
            .collect()
    }
}

/// A topic, what was sent to it, and a DAG that reads it.
pub(crate) struct Siege {
    broker: &'static Broker,
    /// Where its server lives.
    pub(crate) place: Place,
    topic: String,
    ledger: Ledger,
    chance: Chance,
    kills: BTreeMap<&'static str, usize>,
}

impl Siege {
    /// One of its own.
    pub(crate) fn new() -> Siege {
        let (broker, place) = (Broker::shared(), Place::new());
        let topic = broker.new_topic("ledger", PARTITIONS);
        let journal = place.folder().join("journal");
        std::fs::write(&journal, "").unwrap();
        let dag = format!(
            "[dag]\nmax_active_runs = 8\n\
             [triggers.in.kafka]\nbrokers = ['{}']\ntopics = ['{topic}']\nstart = 'earliest'\n\
             value_format = 'string'\nfilter = \"{{{{ record.key == 'yes' }}}}\"\n\
             max_messages = 8\nwindow = '20ms'\n\
             [tasks.note]\nretries = 50\nretry_delay = '10ms'\nshell = '''\n\
             lines=$(sed \"s|^|$TIDEMILL_RUN_ID $TIDEMILL_EPOCH |\" \"$TIDEMILL_KAFKA_BATCH\")\n\
             printf '\\n%s\\n%s %s END\\n' \"$lines\" \"$TIDEMILL_RUN_ID\" \"$TIDEMILL_EPOCH\" >> {}\n'''\n",
            broker.address(),
            journal.display()
        );
        place.write_dag("ledger.toml", &dag);
        Siege {
            broker,
            place,
            topic,
            ledger: Ledger::default(),
            chance: Chance::from_environment("stream kills"),
            kills: BTreeMap::new(),
        }
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
        let n_records = self.chance.between(20, 60) as usize;
        let is_over = AtomicBool::new(false);
        let delay = Duration::from_millis(self.chance.between(0, 50));
        let first = self.ledger.lines.len();
        let wishes: Vec<(Wish, Fate)> = (first..first + n_records)
            .map(|number| Ledger::wish(&mut self.chance, number))
            .collect();
        let (broker, topic) = (self.broker, self.topic.as_str());
        let sent = std::thread::scope(|scope| {
            let sender = scope.spawn(|| send_slowly(broker, topic, &wishes, &is_over));
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
        self.ledger.lines.extend(sent);
        wait_for("the processes of a killed server to end", PATIENCE, || {
            let left = family.iter().any(|one| one.is_alive());
            (!left && processes::naming(self.place.folder()).is_empty()).then_some(())
        });
    }

    /// Lets everything end in peace, and judges.
    fn end(self) {
        let server = self.place.serve();
        self.end_with(server);
    }

    /// The same with a server that runs.
    pub(crate) fn end_with(mut self, mut server: support::Server) {
        let expected = self.ledger.expected();
        let path = self.place.folder().join("journal");
        wait_for(
            "every record to be in a run that has ended well",
            PATIENCE * 3,
            || (Journal::read(&path).places().len() >= expected.len()).then_some(()),
        );
        wait_for("all runs to end", PATIENCE, || {
            let path = "/api/v2/dags/~/dagRuns?state=queued&state=running&limit=1";
            (server.body(path)["total_entries"] == 0).then_some(())
        });
        wait_for("the last records to be passed over", PATIENCE, || {
            let counts = self.counts_of(&server);
            (total(counts) >= self.ledger.lines.len()).then_some(())
        });
        let failed = server.body("/api/v2/dags/~/dagRuns?state=failed&limit=1");
        assert_eq!(failed["total_entries"], 0, "a run has failed");
        let all = server.body("/api/v2/dags/~/dagRuns?limit=1");
        server.signal(Signal::TERM);
        server.wait_until_gone();
        let journal = Journal::read(&path);
        journal.check(&expected);
        assert_eq!(
            all["total_entries"],
            journal.n_runs(),
            "each run has written its journal"
        );
        let counts = counts(&self.place);
        let (taken, filtered, poison) = (
            self.ledger.count(Fate::Taken),
            self.ledger.count(Fate::Filtered),
            self.ledger.count(Fate::Poison),
        );
        let planted = Counts {
            taken: taken as i64,
            filtered: filtered as i64,
            quarantined: poison as i64,
            ..Counts::default()
        };
        assert_eq!(
            counts, planted,
            "what became of the records is what was planted"
        );
        let kills = std::mem::take(&mut self.kills);
        println!(
            "{} records in {} runs, {filtered} filtered, {poison} in quarantine; kills: {kills:?}",
            taken,
            journal.n_runs()
        );
    }

    /// What is stored while a server runs; nothing of a file that it owns.
    fn counts_of(&self, _server: &support::Server) -> Counts {
        counts(&self.place)
    }
}

/// Sends records to a siege's topic, all at once.
pub(crate) fn send(siege: &mut Siege, n: usize) {
    let first = siege.ledger.lines.len();
    let wishes: Vec<(Wish, Fate)> = (first..first + n)
        .map(|number| Ledger::wish(&mut siege.chance, number))
        .collect();
    let records: Vec<Wish> = wishes.iter().map(|(wish, _)| wish.clone()).collect();
    let sent = Producer::new(siege.broker).send(&siege.topic, &records);
    let fates = wishes.into_iter().map(|(_, fate)| fate);
    siege.ledger.lines.extend(sent.into_iter().zip(fates));
}

fn total(counts: Counts) -> usize {
    (counts.taken + counts.filtered + counts.quarantined) as usize
}

/// Sends all of it, in small parts, whatever becomes of the server meanwhile.
fn send_slowly(
    broker: &Broker,
    topic: &str,
    wishes: &[(Wish, Fate)],
    is_over: &AtomicBool,
) -> Vec<(Sent, Fate)> {
    let producer = Producer::new(broker);
    let mut sent = Vec::new();
    for part in wishes.chunks(4) {
        let records: Vec<Wish> = part.iter().map(|(wish, _)| wish.clone()).collect();
        let confirmed = producer.send(topic, &records);
        sent.extend(
            confirmed
                .into_iter()
                .zip(part.iter().map(|(_, fate)| *fate)),
        );
        if !is_over.load(Ordering::Relaxed) {
            let_pass(Duration::from_millis(150));
        }
    }
    sent
}

/// What became of all records, as the store says. A file is copied first, so that looking takes
/// nothing from its owner.
fn counts(place: &Place) -> Counts {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        match place.database() {
            Some(url) => {
                let address = Address::parse(url, None).unwrap();
                of_store(&PostgresStore::open_read_only(&address).await.unwrap()).await
            }
            None => {
                let copy = tempfile::tempdir().unwrap();
                for file in ["tidemill.db", "tidemill.db-wal"] {
                    let from = place.home().join(file);
                    if from.exists() {
                        std::fs::copy(from, copy.path().join(file)).unwrap();
                    }
                }
                let path = copy.path().join("tidemill.db");
                match SqliteStore::open(&path).await {
                    Ok(store) => of_store(&store).await,
                    Err(_) => Counts::default(), // copied while it was written: look again
                }
            }
        }
    })
}

async fn of_store(store: &impl StreamStore) -> Counts {
    let mut all = Counts::default();
    for trigger in store.triggers().await.unwrap_or_default() {
        let cursors = store.cursors(trigger.trigger, 0).await.unwrap_or_default();
        for cursor in cursors {
            all = all.plus(cursor.counts);
        }
    }
    all
}

#[test]
fn every_confirmed_record_is_in_exactly_one_run_whatever_is_killed() {
    let mut siege = Siege::new();
    for number in 0..rounds() {
        siege.round(number);
    }
    for third in [&[FETCHING][..], &COMMITTING, &[EXECUTING]] {
        let is_met = third.iter().any(|kind| siege.kills.contains_key(kind));
        assert!(is_met, "no kill {third:?}: {:?}", siege.kills);
    }
    siege.end();
}
