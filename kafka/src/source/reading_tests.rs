#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use super::*;
use std::sync::Arc;

/// Small batches of texts.
fn kafka() -> KafkaTrigger {
    KafkaTrigger {
        max_messages: 3,
        max_bytes: 1 << 20,
        window: Duration::from_secs(10),
        max_record_bytes: 1000,
        value_format: Format::String,
        ..KafkaTrigger::new(Cluster::Brokers(Vec::new()), vec!["t".to_string()])
    }
}

fn cursor(end_offset: Option<i64>) -> Cursor {
    Cursor {
        trigger: tidemill_model::TriggerNo(1),
        replay: 0,
        generation: 0,
        partition: Partition {
            topic: "t".to_string(),
            incarnation: String::new(),
            partition: 0,
        },
        next_offset: 10,
        end_offset,
        halted: None,
        counts: Counts::default(),
        updated_at: Ts(0),
    }
}

fn record(offset: i64, value: &str) -> Record {
    Record {
        topic: "t".into(),
        partition: 0,
        offset,
        timestamp: Some(Ts(offset * 1_000_000)),
        key: None,
        value: Some(Arc::from(value.as_bytes())),
        headers: Vec::new(),
    }
}

#[test]
fn a_batch_is_due_when_it_is_full_or_its_window_is_over() {
    let kafka = kafka();
    let rules = Rules::new(&kafka).unwrap();
    let begin = Instant::now();
    let mut reading = Reading::new(&cursor(None), begin);
    assert_eq!(reading.due(&rules, false), None, "there is nothing to cut");
    let later = begin + Duration::from_secs(1);
    reading.take(&record(10, "a"), &rules, later);
    // The window begins with the first record and not with the reading.
    assert_eq!(reading.due(&rules, false), Some(later + kafka.window));
    reading.take(&record(11, "b"), &rules, later + kafka.window / 2);
    assert_eq!(reading.due(&rules, false), Some(later + kafka.window));
    assert!(reading.has_room(&rules));
    reading.take(&record(12, "c"), &rules, later);
    assert!(reading.due(&rules, false).unwrap() <= later && !reading.has_room(&rules));
    let taken = reading.cut(later);
    assert_eq!((taken.cut.expected, taken.cut.end), (10, 13));
    assert_eq!(taken.records.len(), 3);
    reading.committed(&taken.cut);
    assert_eq!(
        (
            reading.stored,
            reading.due(&rules, false),
            reading.has_room(&rules)
        ),
        (13, None, true)
    );
}

#[test]
fn a_gap_is_no_loss_and_what_was_read_before_is_passed_over() {
    let kafka = kafka();
    let rules = Rules::new(&kafka).unwrap();
    let now = Instant::now();
    let mut reading = Reading::new(&cursor(None), now);
    for offset in [9, 10, 10, 17] {
        reading.take(&record(offset, "x"), &rules, now);
    }
    let taken = reading.cut(now);
    let offsets: Vec<i64> = taken.records.iter().map(|kept| kept.offset).collect();
    assert_eq!(offsets, [10, 17]);
    assert_eq!((taken.cut.end, taken.cut.counts.taken), (18, 2));
    assert_eq!(taken.cut.counts.lost, 0);
}

#[test]
fn what_a_filter_rejects_moves_the_cursor_and_makes_no_batch() {
    let kafka = KafkaTrigger {
        filter: Some("{{ record.value != 'no' }}".to_string()),
        ..kafka()
    };
    let rules = Rules::new(&kafka).unwrap();
    let now = Instant::now();
    let mut reading = Reading::new(&cursor(None), now);
    reading.take(&record(10, "no"), &rules, now);
    assert_eq!(reading.due(&rules, false), Some(now + ADVANCE_EVERY));
    let taken = reading.cut(now);
    assert_eq!((taken.cut.end, taken.cut.counts.filtered), (11, 1));
    assert!(taken.records.is_empty());
}

#[test]
fn a_bad_record_goes_to_quarantine_is_passed_over_or_stops_its_partition() {
    let large = "x".repeat(1001);
    for (on_error, end, poison, skipped) in [
        (OnRecordError::Dlq, 12, 1, 0),
        (OnRecordError::Skip, 12, 0, 1),
        (OnRecordError::Block, 11, 0, 0),
    ] {
        let kafka = KafkaTrigger {
            on_error,
            ..kafka()
        };
        let rules = Rules::new(&kafka).unwrap();
        let now = Instant::now();
        let mut reading = Reading::new(&cursor(None), now);
        reading.take(&record(10, "a"), &rules, now);
        reading.take(&record(11, &large), &rules, now);
        assert_eq!(reading.has_room(&rules), on_error != OnRecordError::Block);
        let taken = reading.cut(now);
        assert_eq!(taken.cut.end, end, "{on_error:?}");
        assert_eq!(taken.poison.len(), poison, "{on_error:?}");
        assert_eq!(taken.cut.counts.skipped, skipped, "{on_error:?}");
        let stops = on_error == OnRecordError::Block;
        assert_eq!(taken.cut.halted.is_some(), stops, "{on_error:?}");
        // The bytes of what is too large are not kept.
        assert!(taken.poison.iter().all(|one| one.value.is_none()));
    }
}

#[test]
fn a_replay_ends_at_its_last_offset_whatever_lies_there() {
    let kafka = kafka();
    let rules = Rules::new(&kafka).unwrap();
    let now = Instant::now();
    let mut reading = Reading::new(&cursor(Some(12)), now);
    reading.take(&record(10, "a"), &rules, now);
    reading.take(&record(15, "behind"), &rules, now);
    assert!(reading.is_at_end() && !reading.has_room(&rules));
    // Where it shares its run with others, it waits for them as long as any batch.
    assert_eq!(reading.due(&rules, false), Some(now));
    assert_eq!(reading.due(&rules, true), Some(now + kafka.window));
    let taken = reading.cut(now);
    assert_eq!((taken.records.len(), taken.cut.end), (1, 12));
    let mut markers = Reading::new(&cursor(Some(12)), now);
    markers.caught_up();
    assert!(markers.is_at_end(), "only markers were left");
}

#[test]
fn the_age_is_that_of_the_oldest_record_in_no_run() {
    let kafka = kafka();
    let rules = Rules::new(&kafka).unwrap();
    let now = Instant::now();
    let mut reading = Reading::new(&cursor(None), now);
    assert_eq!(reading.unread_since(), None);
    reading.take(&record(10, "a"), &rules, now);
    reading.take(&record(11, "b"), &rules, now);
    assert_eq!(reading.unread_since(), Some(Ts(10_000_000)));
    let taken = reading.cut(now);
    reading.committed(&taken.cut);
    // What comes next is not older than what was read last.
    assert_eq!(reading.unread_since(), Some(Ts(11_000_000)));
    reading.caught_up();
    assert_eq!(reading.unread_since(), None);
}
