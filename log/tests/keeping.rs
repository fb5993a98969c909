//! What is kept of a folder of logs, and what is found in one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tidemill_log::{KeepRules, Keeper, Query, Writer, note_sent, search, to_send, trim};

fn write(path: &Path, n_lines: usize) {
    let mut writer = Writer::open(path).unwrap();
    for n in 0..n_lines {
        let line = format!("2026-11-21T09:14:02.123456Z O line {n} \x1b[31merr\x1b[0mor\n");
        writer.write(line.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
}

/// A folder with the logs of so many runs, run 1 the oldest by an hour each.
fn runs(n: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for run in 1..=n {
        let path = log(&folder, run);
        write(&path, 100);
        let file = std::fs::File::open(&path).unwrap();
        let age = Duration::from_secs(3600 * (n - run + 1));
        file.set_modified(SystemTime::now() - age).unwrap();
    }
    folder
}

fn log(folder: &tempfile::TempDir, run: u64) -> PathBuf {
    folder.path().join(format!("{run}/0.-1.1"))
}

fn left(folder: &tempfile::TempDir) -> Vec<u64> {
    let mut left: Vec<u64> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    left.sort_unstable();
    left
}

#[test]
fn logs_that_are_too_old_are_dropped_by_whole_runs_a_bounded_number_at_once() {
    let folder = runs(6);
    let rules = KeepRules {
        max_age: Some(Duration::from_secs(9000)),
        max_bytes: None,
        ..KeepRules::default()
    };
    let first = trim(folder.path(), &rules, SystemTime::now(), 3).unwrap();
    assert!(first.is_more && first.n_dropped == 3);
    assert_eq!(left(&folder), [4, 5, 6]);
    let second = trim(folder.path(), &rules, SystemTime::now(), 3).unwrap();
    assert!(!second.is_more);
    assert_eq!(left(&folder), [5, 6]);
}

#[test]
fn with_too_many_bytes_the_oldest_runs_go_first() {
    let folder = runs(5);
    let everything = trim(folder.path(), &KeepRules::default(), SystemTime::now(), 9).unwrap();
    let rules = KeepRules {
        max_age: None,
        max_bytes: Some(everything.bytes / 2),
        ..KeepRules::default()
    };
    let kept = trim(folder.path(), &rules, SystemTime::now(), 9).unwrap();
    assert!(kept.bytes <= everything.bytes / 2);
    assert_eq!(left(&folder), [4, 5]);
}

#[test]
fn a_log_that_grows_is_never_dropped() {
    let folder = runs(2);
    let mut writer = Writer::open(&folder.path().join("1/1.-1.1")).unwrap();
    writer.write(b"alive\n").unwrap();
    let rules = KeepRules {
        max_age: Some(Duration::ZERO),
        max_bytes: Some(0),
        ..KeepRules::default()
    };
    trim(
        folder.path(),
        &rules,
        SystemTime::now() + Duration::from_secs(60),
        9,
    )
    .unwrap();
    assert_eq!(left(&folder), [1]);
    writer.finish().unwrap();
    trim(
        folder.path(),
        &rules,
        SystemTime::now() + Duration::from_secs(60),
        9,
    )
    .unwrap();
    assert!(left(&folder).is_empty());
}

#[test]
fn nothing_but_folders_of_runs_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    std::fs::write(folder.path().join("12"), "a file").unwrap();
    let rules = KeepRules {
        max_age: Some(Duration::ZERO),
        max_bytes: Some(0),
        ..KeepRules::default()
    };
    trim(
        folder.path(),
        &rules,
        SystemTime::now() + Duration::from_secs(60),
        9,
    )
    .unwrap();
    tidemill_log::sweep(folder.path()).unwrap();
    assert!(folder.path().join("mine").exists() && folder.path().join("12").exists());
}

#[test]
fn a_keeper_stores_what_is_finished_and_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let before = folder.path().join("1/0.-1.1");
    write(&before, 2000); // of an earlier process
    let keeper = Keeper::start(folder.path().to_path_buf(), KeepRules::default(), |_| {}).unwrap();
    let now = folder.path().join("2/0.-1.1");
    write(&now, 2000);
    keeper.finished(now.clone());
    wait_until(|| !before.exists() && !now.exists());
    assert!(tidemill_log::exists(&before) && tidemill_log::exists(&now));
    drop(keeper);
}

fn wait_until(is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn places(path: &Path, query: &Query) -> Vec<u64> {
    let (mut from, mut places) = (0, Vec::new());
    loop {
        let found = search(path, query, from, 7, 300_000).unwrap();
        places.extend(found.lines.iter().map(|(at, _)| *at));
        if found.next >= found.size {
            return places;
        }
        assert!(found.next > from);
        from = found.next;
    }
}

#[test]
fn every_line_that_matches_is_found_once_whatever_the_steps_and_the_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1/0.-1.1");
    write(&path, 60_000);
    let query = Query::pattern(r"line \d*77\d* error$", false).unwrap();
    let plain = places(&path, &query);
    let want = (0..60_000)
        .filter(|n: &i32| n.to_string().contains("77"))
        .count();
    assert_eq!(plain.len(), want);
    tidemill_log::store(&path).unwrap();
    assert_eq!(places(&path, &query), plain);
    let chunk = tidemill_log::read_from(&path, plain[3], 10, true).unwrap();
    assert!(chunk.lines[0].text.contains("77"));
}

#[test]
fn a_text_is_looked_for_as_it_is_seen_and_no_query_can_do_harm() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1/0.-1.1");
    write(&path, 3);
    let n = |query: Result<Query, _>| {
        search(&path, &query.unwrap(), 0, 99, 1 << 20)
            .unwrap()
            .lines
            .len()
    };
    assert_eq!(n(Query::text("ERROR", true)), 3);
    assert_eq!(n(Query::text("ERROR", false)), 0);
    assert_eq!(n(Query::text("1.*", false)), 0);
    assert_eq!(n(Query::text("31m", false)), 0);
    assert_eq!(n(Query::text("2026", false)), 0);
    for wrong in ["", "(", "a{1000}{1000}{1000}", &"x".repeat(3000)] {
        assert!(Query::pattern(wrong, false).is_err(), "{wrong:.20}");
    }
}

#[test]
fn logs_that_have_not_arrived_in_their_archive_are_the_last_to_go() {
    let folder = runs(4);
    tidemill_log::sweep(folder.path()).unwrap(); // packs them
    let waiting = to_send(folder.path(), 2).unwrap();
    assert_eq!(
        waiting,
        [log(&folder, 1), log(&folder, 2)],
        "the oldest first"
    );
    note_sent(&log(&folder, 2)).unwrap();
    note_sent(&log(&folder, 3)).unwrap();
    assert_eq!(
        to_send(folder.path(), 9).unwrap(),
        [log(&folder, 1), log(&folder, 4)]
    );
    let mut rules = KeepRules {
        max_age: Some(Duration::from_secs(60)),
        archived: true,
        ..KeepRules::default()
    };
    trim(folder.path(), &rules, SystemTime::now(), 9).unwrap();
    assert_eq!(left(&folder), [1, 4], "however old they are");
    rules.max_bytes = Some(0);
    trim(folder.path(), &rules, SystemTime::now(), 9).unwrap();
    assert!(left(&folder).is_empty(), "but the disk comes first");
}

#[test]
fn only_logs_in_their_lasting_form_are_to_be_sent_and_what_was_sent_stays_sent_when_looked_after() {
    let folder = tempfile::tempdir().unwrap();
    let (large, small) = (log(&folder, 1), log(&folder, 2));
    write(&large, 2000);
    write(&small, 1);
    let mut grows = Writer::open(&log(&folder, 3)).unwrap();
    grows.write(b"alive\n").unwrap();
    assert_eq!(
        to_send(folder.path(), 9).unwrap(),
        std::slice::from_ref(&small)
    );
    note_sent(&small).unwrap();
    tidemill_log::sweep(folder.path()).unwrap();
    assert_eq!(to_send(folder.path(), 9).unwrap(), [large], "packed by now");
    let noted = std::fs::read_to_string(small.with_file_name("sent")).unwrap();
    assert_eq!(noted, "0.-1.1\n", "it is no log");
}
