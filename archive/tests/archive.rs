//! An archive on a real server that speaks S3: what is sent, how it is read, how it goes.
#![cfg(feature = "s3")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tidemill_archive::{Archive, LoginDoor, Settings, send_all};
use tidemill_archive_rig::{BUCKET, KEY, S3, SECRET};
use tidemill_connection::{Connection, Secret};
use tidemill_log::{LogSource, Query, Writer, to_send};
use tidemill_model::RunNo;

/// A login with this secret key.
fn login(secret: &str) -> LoginDoor {
    let secret = secret.to_string();
    Arc::new(move || {
        let connection = Connection {
            id: "logs".to_string(),
            login: Some(KEY.to_string()),
            password: Some(Secret::new(secret.clone())),
            ..Connection::default()
        };
        Box::pin(async move { Ok(connection) })
    })
}

fn open(s3: &S3, secret: &str) -> Archive {
    let settings = Settings {
        bucket: BUCKET.to_string(),
        prefix: "of/tests/".to_string(),
        endpoint: Some(s3.url()),
        region: None,
    };
    Archive::open(&settings, "mill1", Some(login(secret))).unwrap()
}

/// Some bytes that no packer makes smaller.
fn noise(n: usize) -> impl Iterator<Item = u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'0' + (state % 64) as u8
    })
    .take(n)
}

/// A finished log in the folder, packed where it is large.
fn log(folder: &TempDir, name: &str, lines: impl Iterator<Item = String>) -> PathBuf {
    let path = folder.path().join(name);
    let mut writer = Writer::open(&path).unwrap();
    for line in lines {
        let line = format!("2026-11-21T09:14:02.123456Z O {line}\n");
        writer.write(line.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
    tidemill_log::store(&path).unwrap();
    path
}

fn numbered(n: usize) -> impl Iterator<Item = String> {
    (0..n).map(|n| format!("line {n}"))
}

/// What somebody reads of a log, in several ways.
fn told(log: &impl LogSource) -> String {
    let ends = tidemill_log::ends(log, 5, 5, true).unwrap();
    let middle = tidemill_log::read_from(log, ends.size / 2, 600_000, true).unwrap();
    let query = Query::text("line 7", false).unwrap();
    let found = tidemill_log::search(log, &query, 0, 50, 1 << 30).unwrap();
    let tail = tidemill_log::tail(log, 700).unwrap();
    format!("{ends:?}{middle:?}{found:?}{tail:?}")
}

/// The same from the archive, on a thread that may wait.
async fn told_there(archive: &Archive, name: &str) -> String {
    let log = archive.log(Path::new(name));
    tokio::task::spawn_blocking(move || told(&log))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_reads_the_same_from_the_archive_whatever_its_size() {
    let s3 = S3::start();
    let archive = open(&s3, SECRET);
    let folder = tempfile::tempdir().unwrap();
    let text: String = noise(24 << 20).map(char::from).collect();
    let large = (0..240).map(|n| {
        let piece = &text[n * 100_000..(n + 1) * 100_000];
        format!("line {n} {}", &piece[..60_000])
    });
    let logs = [
        log(&folder, "7/0.-1.1", numbered(3)),
        log(&folder, "7/1.-1.1", numbered(60_000)),
        log(&folder, "12/0.3.2", large),
    ];
    assert!(
        std::fs::metadata(tidemill_log::stored_path(&logs[2]))
            .unwrap()
            .len()
            > 9 << 20
    );
    for path in &logs {
        let name = path.strip_prefix(folder.path()).unwrap();
        assert!(!archive.has(name).await.unwrap());
        archive.send(folder.path(), path).await.unwrap();
        assert!(archive.has(name).await.unwrap());
        assert!(
            told_there(&archive, name.to_str().unwrap()).await == told(path),
            "{name:?}"
        );
    }
    assert!(to_send(folder.path(), 9).unwrap().is_empty());
    let objects = s3.objects();
    assert_eq!(
        objects,
        ["12/0.3.2.zst", "7/0.-1.1.zst", "7/1.-1.1.zst"]
            .map(|name| format!("of/tests/mill1/{name}"))
    );
    assert_eq!(
        told_there(&archive, "7/9.-1.1").await,
        told(&folder.path().join("7/9.-1.1"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_go_from_the_archive_by_whole_runs() {
    let s3 = S3::start();
    let archive = open(&s3, SECRET);
    let folder = tempfile::tempdir().unwrap();
    for name in ["7/0.-1.1", "7/0.-1.2", "71/0.-1.1"] {
        let path = log(&folder, name, numbered(2));
        archive.send(folder.path(), &path).await.unwrap();
    }
    let mut runs = archive.runs().await.unwrap();
    runs.sort();
    assert_eq!(runs, [RunNo(7), RunNo(71)]);
    archive.forget(RunNo(7)).await.unwrap();
    assert_eq!(s3.objects(), ["of/tests/mill1/71/0.-1.1.zst"]);
    archive.forget(RunNo(7)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_login_is_told_without_any_part_of_it_and_the_log_stays_to_be_sent() {
    let s3 = S3::start();
    let archive = open(&s3, "another-secret");
    let folder = tempfile::tempdir().unwrap();
    let path = log(&folder, "7/0.-1.1", numbered(2));
    let refused = archive
        .send(folder.path(), &path)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("403"), "{refused}");
    for part in ["another-secret", KEY, "Signature"] {
        assert!(!refused.contains(part), "{refused}");
    }
    assert_eq!(to_send(folder.path(), 9).unwrap(), [path]);
    assert!(s3.objects().is_empty());
    let shown = format!("{archive:?}");
    assert!(!shown.contains("another-secret"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_login_is_told_by_its_name() {
    let s3 = S3::start();
    let settings = Settings {
        bucket: BUCKET.to_string(),
        endpoint: Some(s3.url()),
        ..Settings::default()
    };
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let none: LoginDoor = Arc::new(move || {
        *counted.lock().unwrap() += 1;
        let connection = Connection {
            id: "logs".to_string(),
            ..Connection::default()
        };
        Box::pin(async move { Ok(connection) })
    });
    let archive = Archive::open(&settings, "mill1", Some(none)).unwrap();
    let told = archive
        .has(Path::new("1/0.-1.1"))
        .await
        .unwrap_err()
        .to_string();
    assert!(told.contains("tidemill connections set logs"), "{told}");
    assert!(*asked.lock().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_sent_when_the_storage_is_back() {
    let mut s3 = S3::start();
    let archive = open(&s3, SECRET);
    let folder = tempfile::tempdir().unwrap();
    let early = log(&folder, "1/0.-1.1", numbered(2));
    s3.stop();
    let (tell, finished) = tokio::sync::mpsc::channel(9);
    let sending = send_all(archive.clone(), folder.path().to_path_buf(), finished);
    let sending = tokio::spawn(sending);
    let late = log(&folder, "2/0.-1.1", numbered(5000));
    tell.send(late.clone()).await.unwrap();
    let away = archive.log(Path::new("1/0.-1.1"));
    let away = tokio::task::spawn_blocking(move || away.open().unwrap_err());
    assert_eq!(away.await.unwrap().kind(), std::io::ErrorKind::NotConnected);
    assert_eq!(to_send(folder.path(), 9).unwrap(), [early, late]);
    let s3 = tokio::task::spawn_blocking(move || {
        s3.resume();
        s3
    });
    let s3 = s3.await.unwrap();
    wait_until(|| to_send(folder.path(), 9).unwrap().is_empty()).await;
    let afterwards = log(&folder, "3/0.-1.1", numbered(2));
    tell.send(afterwards).await.unwrap();
    wait_until(|| s3.objects().len() == 3).await;
    drop(tell);
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_object_is_an_error_in_words() {
    let s3 = S3::start();
    let archive = open(&s3, SECRET);
    let folder = tempfile::tempdir().unwrap();
    let path = log(&folder, "1/0.-1.1", numbered(5000));
    archive.send(folder.path(), &path).await.unwrap();
    let object = s3.file("of/tests/mill1/1/0.-1.1.zst");
    std::fs::write(&object, b"no frames at all, but long enough").unwrap();
    let log = archive.log(Path::new("1/0.-1.1"));
    let told = tokio::task::spawn_blocking(move || log.open().unwrap_err().to_string());
    let told = told.await.unwrap();
    assert!(told.contains("damaged"), "{told}");
}

async fn wait_until(is_so: impl Fn() -> bool) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !is_so() {
        assert!(std::time::Instant::now() < until);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
