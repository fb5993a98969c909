//! For tests: S3Proxy, a real server that speaks S3 and checks signatures, in a temporary folder,
//! on a loopback port from the system, and gone with the test, however the test ends.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A server that has not begun to answer by then is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// Ends the server when nobody holds the other end of its standard input any more.
const WATCH: &str = r#"
"$@" </dev/null & server=$!
read -r _
kill -KILL "$server" 2>/dev/null
wait "$server" 2>/dev/null
"#;

const LOGBACK: &str = r#"<configuration>
<appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%msg%n</pattern></encoder></appender>
<root level="INFO"><appender-ref ref="OUT"/></root></configuration>"#;

/// The name of the bucket that is there.
pub const BUCKET: &str = "logs";
/// The access key that the server knows.
pub const KEY: &str = "TIDEMILLTESTS";
/// Its secret key.
pub const SECRET: &str = "a-secret-of-the-tests+/%";

/// A server with one empty bucket. It ends when the value is dropped.
pub struct S3 {
    folder: tempfile::TempDir,
    port: u16,
    watch: Option<Child>,
}

impl S3 {
    /// Starts one.
    ///
    /// # Panics
    /// When Java or S3Proxy cannot be had, or it does not start.
    pub fn start() -> S3 {
        let folder = tempfile::Builder::new().prefix("tidemill-s3-").tempdir();
        let folder = folder.unwrap();
        std::fs::create_dir_all(folder.path().join("data").join(BUCKET)).unwrap();
        std::fs::write(folder.path().join("logback.xml"), LOGBACK).unwrap();
        let mut s3 = S3 {
            folder,
            port: 0,
            watch: None,
        };
        s3.resume();
        s3
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The logs in the bucket, by their names in it. What the server has not finished is none.
    pub fn objects(&self) -> Vec<String> {
        let bucket = self.folder.path().join("data").join(BUCKET);
        let mut found = Vec::new();
        let mut folders = vec![bucket.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "zst") {
                    found.push(path.strip_prefix(&bucket).unwrap().display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    /// The file of an object.
    pub fn file(&self, object: &str) -> PathBuf {
        self.folder.path().join("data").join(BUCKET).join(object)
    }

    /// Ends the server; its objects stay.
    pub fn stop(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            drop(watch.stdin.take());
            let _ = watch.wait(); // it has ended either way
        }
    }

    /// Starts it again after [`S3::stop`], at the same address.
    ///
    /// # Panics
    /// When it does not come back.
    pub fn resume(&mut self) {
        let folder = self.folder.path();
        let settings = format!(
            "s3proxy.authorization=aws-v2-or-v4\ns3proxy.endpoint=http://127.0.0.1:{}\n\
             s3proxy.identity={KEY}\ns3proxy.credential={SECRET}\n\
             jclouds.provider=filesystem-nio2\njclouds.filesystem.basedir={}\n",
            self.port,
            folder.join("data").display()
        );
        std::fs::write(folder.join("s3.conf"), settings).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut watch = Command::new("/bin/sh");
        watch.args(["-c", WATCH, "watch", "java", "-Xmx128m"]);
        watch.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        watch.arg("-Dlogback.configurationFile=logback.xml");
        watch.args(["-cp", class_path(), "org.gaul.s3proxy.Main"]);
        watch.args(["--properties", "s3.conf"]).current_dir(folder);
        watch.stdin(Stdio::piped()).stdout(log.try_clone().unwrap());
        self.watch = Some(watch.stderr(log).spawn().unwrap());
        self.port = self.wait_until_it_listens();
    }

    fn wait_until_it_listens(&self) -> u16 {
        let begin = Instant::now();
        loop {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
            let line = log
                .lines()
                .find(|line| line.starts_with("Started ServerConnector"));
            let port = line.and_then(|line| line.rsplit_once(':'));
            if let Some(port) = port.and_then(|(_, port)| port.trim_end_matches('}').parse().ok()) {
                return port;
            }
            assert!(begin.elapsed() < PATIENCE, "S3Proxy does not start:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.stop();
    }
}

fn class_path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/classpath");
        let told = Command::new(script).arg("s3").output().unwrap();
        assert!(
            told.status.success(),
            "this test needs S3Proxy, Java 17 and Maven; run `make test`: {told:?}"
        );
        String::from_utf8(told.stdout).unwrap().trim().to_string()
    })
}
