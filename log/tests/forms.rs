//! A log reads the same in both of its forms, and while it goes from one to the other.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tidemill_log::{Ends, Log, LogLine, Writer};

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("7/3.-1.1");
    (folder, path)
}

/// A finished log of these lines.
fn write(path: &Path, lines: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(&format!("2026-11-21T09:14:02.123456Z O {line}\n"));
    }
    let mut writer = Writer::open(path).unwrap();
    writer.write(text.as_bytes()).unwrap();
    writer.finish().unwrap();
    text
}

fn numbered(n: usize) -> impl Iterator<Item = String> {
    (0..n).map(|n| format!("line {n} of a log that is larger than one frame"))
}

fn all(path: &Path) -> Vec<u8> {
    Log::open(path)
        .unwrap()
        .unwrap()
        .bytes(0, usize::MAX >> 1)
        .unwrap()
}

#[test]
fn a_stored_log_is_smaller_reads_the_same_and_is_an_ordinary_zstd_file() {
    let (_folder, path) = place();
    let text = write(&path, numbered(30_000));
    let plain = tidemill_log::ends(&path, 500, 2000, true).unwrap();
    tidemill_log::store(&path).unwrap();
    assert!(!path.exists() && tidemill_log::exists(&path));
    let stored = std::fs::read(tidemill_log::stored_path(&path)).unwrap();
    assert!(stored.len() * 5 < text.len(), "{} bytes", stored.len());
    assert!(zstd::stream::decode_all(&stored[..]).unwrap() == text.as_bytes());
    assert_eq!(tidemill_log::ends(&path, 500, 2000, true).unwrap(), plain);
    assert_eq!(all(&path), text.as_bytes());
    let mode = std::fs::metadata(tidemill_log::stored_path(&path)).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o400);
}

#[test]
fn a_place_in_a_log_stays_good_when_it_is_stored() {
    let (_folder, path) = place();
    write(&path, numbered(20_000));
    let first = tidemill_log::read_from(&path, 0, 700_000, true).unwrap();
    let plain = tidemill_log::read_from(&path, first.next, 700_000, true).unwrap();
    tidemill_log::store(&path).unwrap();
    let stored = tidemill_log::read_from(&path, first.next, 700_000, true).unwrap();
    assert_eq!(stored, plain);
    assert!(
        plain.lines[0]
            .text
            .starts_with(&format!("line {} ", first.lines.len()))
    );
}

#[test]
fn whoever_reads_while_a_log_is_stored_sees_it_whole_at_every_moment() {
    let (_folder, path) = place();
    let text = write(&path, numbered(60_000));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut n_reads = 0;
            while !over.load(Ordering::Relaxed) || n_reads == 0 {
                let mut log = Log::open(&path)
                    .unwrap()
                    .expect("one of the forms is there");
                assert_eq!(log.size(), text.len() as u64);
                let middle = text.len() / 2;
                let bytes = log.bytes(middle as u64, 1000).unwrap();
                assert_eq!(bytes, &text.as_bytes()[middle..middle + 1000]);
                n_reads += 1;
            }
        });
        tidemill_log::store(&path).unwrap();
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn what_a_crash_leaves_half_stored_is_whole_and_is_stored_by_the_next_look() {
    let leave: [fn(&Path, &[u8]); 3] = [
        // In the middle of the frames.
        |path, frames| std::fs::write(draft(path), &frames[..frames.len() / 2]).unwrap(),
        // Before they had their name.
        |path, frames| std::fs::write(draft(path), frames).unwrap(),
        // Before the plain file was removed.
        |path, frames| std::fs::write(tidemill_log::stored_path(path), frames).unwrap(),
    ];
    for leave in leave {
        let (folder, path) = place();
        let text = write(&path, numbered(5_000));
        let twin = folder.path().join("8/3.-1.1");
        write(&twin, numbered(5_000));
        tidemill_log::store(&twin).unwrap();
        let frames = std::fs::read(tidemill_log::stored_path(&twin)).unwrap();
        leave(&path, &frames);
        assert_eq!(all(&path), text.as_bytes());
        tidemill_log::sweep(folder.path()).unwrap();
        assert!(!path.exists() && !draft(&path).exists());
        assert_eq!(all(&path), text.as_bytes());
    }
}

fn draft(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.new", tidemill_log::stored_path(path).display()))
}

#[test]
fn a_log_whose_writer_died_says_so_and_a_living_one_is_left_alone() {
    let (folder, path) = place();
    let alive = folder.path().join("7/4.-1.1");
    let mut writer = Writer::open(&alive).unwrap();
    writer
        .write(b"2026-11-21T09:14:02.123456Z O I live\n")
        .unwrap();
    let mut dead = Writer::open(&path).unwrap();
    dead.write(b"2026-11-21T09:14:02.123456Z O first\n2026-11-21T09:14:02.123456Z O sec")
        .unwrap();
    drop(dead); // its lock is gone, as with its process
    tidemill_log::sweep(folder.path()).unwrap();
    let texts = |path: &Path| -> Vec<String> {
        let chunk = tidemill_log::read_from(path, 0, 1 << 20, true).unwrap();
        chunk.lines.into_iter().map(|line| line.text).collect()
    };
    let found = texts(&path);
    assert_eq!(found[..2], ["first", "sec"]);
    assert!(found[2].starts_with("the worker died here"), "{found:?}");
    assert_eq!(texts(&alive), ["I live"]);
    writer.finish().unwrap();
    tidemill_log::sweep(folder.path()).unwrap();
    assert_eq!(
        (texts(&path).len(), texts(&alive).len()),
        (3, 1),
        "said once"
    );
}

#[test]
fn small_logs_and_logs_that_grow_stay_plain() {
    let (folder, path) = place();
    write(&path, numbered(3));
    let grows = folder.path().join("7/4.-1.1");
    let mut writer = Writer::open(&grows).unwrap();
    writer.write(&[b'x'; 100_000]).unwrap();
    tidemill_log::sweep(folder.path()).unwrap();
    tidemill_log::store(&grows).unwrap();
    assert!(path.exists() && grows.exists());
}

#[test]
fn a_log_that_is_not_there_is_empty() {
    let (_folder, path) = place();
    assert_eq!(
        tidemill_log::ends(&path, 1, 1, true).unwrap(),
        Ends::default()
    );
    assert!(tidemill_log::tail(&path, 5).unwrap().is_empty());
    assert!(
        tidemill_log::read_from(&path, 7, 10, true)
            .unwrap()
            .lines
            .is_empty()
    );
    assert!(!tidemill_log::exists(&path));
}

#[test]
fn a_line_that_is_being_written_waits_for_its_end() {
    let (_folder, path) = place();
    let mut writer = Writer::open(&path).unwrap();
    writer
        .write(b"2026-11-21T09:14:02.123456Z E one\n2026-11-21T09:14:02.123456Z E ha")
        .unwrap();
    let chunk = tidemill_log::read_from(&path, 0, 1 << 20, false).unwrap();
    assert_eq!(chunk.lines.len(), 1);
    let rest = tidemill_log::read_from(&path, chunk.next, 1 << 20, true).unwrap();
    assert_eq!(
        (rest.lines[0].text.as_str(), rest.lines[0].stream),
        ("ha", 'E')
    );
    assert_eq!(rest.next, rest.size);
}

#[test]
fn a_long_log_shows_its_ends_and_the_gap_and_its_tail_is_its_last_lines() {
    let (_folder, path) = place();
    write(&path, (0..10_000).map(|n| format!("line {n}")));
    let ends = tidemill_log::ends(&path, 500, 2000, true).unwrap();
    assert_eq!((ends.head.len(), ends.tail.len()), (500, 2000));
    assert_eq!(ends.head[499].text, "line 499");
    assert_eq!(ends.tail[0].text, "line 8000");
    let gap = usize::try_from(ends.gap).unwrap();
    let middle = tidemill_log::read_from(&path, ends.gap_from, gap, false).unwrap();
    assert_eq!(middle.lines.len(), 7500);
    for n in [0, 1, 20, 9_999, 10_000, 20_000] {
        let tail = tidemill_log::tail(&path, n).unwrap();
        assert_eq!(tail.len(), n.min(10_000));
        assert!(tail.last().is_none_or(|line| line.text == "line 9999"));
    }
}

#[test]
fn any_place_in_a_line_leads_to_its_beginning() {
    let (_folder, path) = place();
    let text = write(&path, numbered(9_000));
    let starts: Vec<usize> = text
        .match_indices("2026-11-21T")
        .map(|(at, _)| at)
        .collect();
    let mut log = Log::open(&path).unwrap().unwrap();
    for at in [0, 1, 40, 5000, text.len() / 2, text.len() - 1] {
        let want = starts.iter().rev().find(|start| **start <= at).unwrap();
        assert_eq!(
            tidemill_log::line_start(&mut log, at as u64).unwrap(),
            *want as u64
        );
    }
}

#[test]
fn bytes_of_the_task_stay_as_they_are_and_are_shown_harmless() {
    let line = LogLine::parse(b"2026-11-21T09:14:02.123456Z O \x1b[31mred\x1b[0m \xff\x07\r");
    assert_eq!(line.text, "\u{1b}[31mred\u{1b}[0m \u{fffd}\u{7}");
    assert_eq!(tidemill_log::inert(&line.text), "red \u{fffd}␇");
    let other = LogLine::parse(b"no line of ours");
    assert_eq!(
        (other.at.as_str(), other.text.as_str()),
        ("", "no line of ours")
    );
}

fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![8 => 0x20..0x7fu8, 1 => any::<u8>(), 1 => Just(b'\n')];
    proptest::collection::vec(byte, 0..3000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_read_the_same_in_both_forms_from_any_place(
        seed in some_bytes(), times in 2usize..400, reads in proptest::collection::vec((any::<u64>(), 1usize..400_000), 1..8)
    ) {
        let (_folder, path) = place();
        let bytes = seed.repeat(times);
        let mut writer = Writer::open(&path).unwrap();
        writer.write(&bytes).unwrap();
        writer.finish().unwrap();
        let answers = || -> Vec<_> {
            reads.iter().map(|(from, n)| {
                let from = from % (bytes.len() as u64 + 2);
                (tidemill_log::read_from(&path, from, *n, true).unwrap(), tidemill_log::tail(&path, n % 50).unwrap())
            }).collect()
        };
        let plain = answers();
        tidemill_log::store(&path).unwrap();
        prop_assert!(all(&path) == bytes);
        prop_assert!(answers() == plain);
    }

    #[test]
    fn reading_on_gives_every_byte_once(seed in some_bytes(), times in 1usize..200, step in 1usize..300_000) {
        let (_folder, path) = place();
        let bytes = seed.repeat(times);
        let mut writer = Writer::open(&path).unwrap();
        writer.write(&bytes).unwrap();
        writer.finish().unwrap();
        tidemill_log::store(&path).unwrap();
        let (mut from, mut n_lines) = (0, 0);
        loop {
            let chunk = tidemill_log::read_from(&path, from, step, true).unwrap();
            prop_assert!(chunk.next > from || chunk.next == chunk.size);
            n_lines += chunk.lines.len();
            from = chunk.next;
            if from == chunk.size { break; }
        }
        let mut want = bytes.split(|&byte| byte == b'\n').count();
        if bytes.is_empty() || bytes.ends_with(b"\n") { want -= 1; }
        // A line longer than any of ours is given in pieces.
        prop_assert!(n_lines >= want && (n_lines == want || seed.iter().all(|&byte| byte != b'\n')));
    }

    #[test]
    fn a_damaged_file_gives_its_text_or_an_error(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>(), is_cut in any::<bool>()
    ) {
        let (_folder, path) = place();
        let text = write(&path, numbered(9_000));
        tidemill_log::store(&path).unwrap();
        let stored = tidemill_log::stored_path(&path);
        let mut bytes = std::fs::read(&stored).unwrap();
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        if is_cut { bytes.truncate(cut.index(bytes.len())); }
        std::fs::set_permissions(&stored, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&stored, &bytes).unwrap();
        if let Ok(Some(mut log)) = Log::open(&path)
            && let Ok(found) = log.bytes(0, 1 << 26)
        {
            prop_assert!(found == text.as_bytes());
        }
        let _ = tidemill_log::tail(&path, 10);
    }

    #[test]
    fn the_colours_of_a_line_change_nothing_of_its_harmless_text(
        parts in proptest::collection::vec(prop_oneof![
            any::<String>(), "\\x1b\\[[0-9;:]{0,12}[mK]", "\\x1b[\\]PX][a-z;]{0,5}(\x07|\x1b\\\\)?", Just("\u{1b}".to_string())
        ], 0..20)
    ) {
        let line = parts.concat();
        let text: String = tidemill_log::coloured(&line).into_iter().map(|piece| piece.text).collect();
        prop_assert_eq!(&text, &tidemill_log::inert(&line));
        prop_assert!(text.chars().all(|c| c == '\t' || !c.is_control()), "{:?}", text);
    }

    #[test]
    fn no_bytes_at_all_make_the_reader_fall(bytes in proptest::collection::vec(any::<u8>(), 0..400), n in any::<u32>()) {
        let (_folder, path) = place();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Whatever stands before it, the end of an index.
        let mut file = bytes;
        file.extend_from_slice(&n.to_le_bytes());
        file.extend_from_slice(&[0, 0xB1, 0xEA, 0x92, 0x8F]);
        std::fs::write(tidemill_log::stored_path(&path), &file).unwrap();
        if let Ok(Some(mut log)) = Log::open(&path) {
            let _ = log.bytes(0, 1 << 20);
        }
    }
}
