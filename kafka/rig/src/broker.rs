//! The broker: Apache Kafka in KRaft mode, made in a temporary folder, on loopback ports from the
//! system, and gone with the test, however the test ends.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A broker that has not begun to answer by then is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts the broker at once and again for each line that it is told. When nobody holds the other
/// end of its standard input it ends the broker and removes its folder: so the broker ends with
/// the test's process, whatever becomes of that.
const WATCH: &str = r#"
folder=$1; shift
"$@" </dev/null & broker=$!
echo $broker > "$folder/pid"
while read -r again; do
  wait "$broker"
  "$@" </dev/null & broker=$!
  echo $broker > "$folder/pid"
done
kill -KILL "$broker" 2>/dev/null
wait "$broker" 2>/dev/null
rm -rf "$folder"
"#;

/// What a broker shows of itself to those who come over TLS, and whom it trusts.
pub struct Identity {
    /// The file of its certificate, PEM.
    pub certificate: PathBuf,
    /// The file of the certificate's key, PEM.
    pub key: PathBuf,
    /// The file of the authority that certificates of clients must be from, PEM.
    pub authority: PathBuf,
}

/// Who a broker lets in over SASL: `ann`, by PLAIN and by SCRAM-SHA-512, with this password.
pub const PASSWORD: &str = "broker-hunter2";

/// A broker. It ends when the value is dropped.
pub struct Broker {
    folder: PathBuf,
    port: u16,
    secured: [u16; 2],
    watch: Child,
    n_topics: AtomicU32,
}

impl Broker {
    /// The broker that all tests of one program share. It ends with the program.
    ///
    /// # Panics
    /// When Java or Kafka cannot be had, or it does not start.
    pub fn shared() -> &'static Broker {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Broker::start)
    }

    /// A broker of one's own, for tests that restart or kill it.
    ///
    /// # Panics
    /// When Java or Kafka cannot be had, or it does not start.
    pub fn start() -> Broker {
        Broker::start_with(None)
    }

    /// The same, with two more ways in: [`Broker::by_password`] and [`Broker::by_certificate`].
    ///
    /// # Panics
    /// When Java or Kafka cannot be had, or it does not start.
    pub fn secured(identity: &Identity) -> Broker {
        Broker::start_with(Some(identity))
    }

    fn start_with(identity: Option<&Identity>) -> Broker {
        let folder = tempfile::Builder::new()
            .prefix("tidemill-kafka-")
            .tempdir()
            .unwrap()
            .keep();
        // Free now; nobody else on this machine is likely to take them before the broker does.
        let ports = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, controller, sasl, mutual] = ports.map(|one| one.local_addr().unwrap().port());
        write_settings(&folder, [port, controller, sasl, mutual], identity);
        let mut format = java(&folder);
        format
            .args(["kafka.tools.StorageTool", "format", "--standalone", "-t"])
            .args(["dGlkZW1pbGwtdGVzdHMtMQ", "-c", "server.properties"]);
        if identity.is_some() {
            format.arg("--add-scram");
            format.arg(format!("SCRAM-SHA-512=[name=ann,password={PASSWORD}]"));
        }
        let made = format.output().unwrap();
        assert!(made.status.success(), "StorageTool: {made:?}");
        let broker = Broker {
            watch: start_watched(&folder),
            folder,
            port,
            secured: [sasl, mutual],
            n_topics: AtomicU32::new(0),
        };
        broker.wait_until_it_answers();
        broker
    }

    /// Where it listens, as `HOST:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where a secured one listens for `ann` and her [`PASSWORD`], over TLS.
    pub fn by_password(&self) -> String {
        format!("localhost:{}", self.secured[0])
    }

    /// Where a secured one listens for those who show a certificate.
    pub fn by_certificate(&self) -> String {
        format!("localhost:{}", self.secured[1])
    }

    /// The name of a topic that no other test has.
    pub fn new_name(&self, word: &str) -> String {
        let number = self.n_topics.fetch_add(1, Ordering::Relaxed);
        format!("{word}.{number}")
    }

    /// Ends it by a signal; what it has written stays.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.join("pid")).unwrap();
        let pid = pid.trim().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &pid])
            .status();
        assert!(sent.unwrap().success());
        wait_for("the broker to end", || is_gone(&pid).then_some(()));
    }

    /// Starts it again after [`Broker::stop`].
    ///
    /// # Panics
    /// When it does not come back.
    pub fn resume(&self) {
        let mut told = self.watch.stdin.as_ref().unwrap();
        told.write_all(b"again\n").unwrap();
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&self) {
        wait_for("Kafka to answer", || {
            TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            self.answers().then_some(())
        });
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait(); // it has ended either way
    }
}

/// The two ways in that are secured, and what they need.
fn secured_settings(folder: &Path, [sasl, mutual]: [u16; 2], identity: &Identity) -> [String; 3] {
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let own = read(&identity.key) + &read(&identity.certificate);
    std::fs::write(folder.join("own.pem"), own).unwrap();
    let modules = "org.apache.kafka.common.security";
    let settings = format!(
        "ssl.keystore.type=PEM\n\
         ssl.keystore.location={}\n\
         ssl.truststore.type=PEM\n\
         ssl.truststore.location={}\n\
         listener.name.mutual.ssl.client.auth=required\n\
         listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n\
         listener.name.sasl.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required user_ann=\"{PASSWORD}\";\n\
         listener.name.sasl.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;\n",
        folder.join("own.pem").display(),
        identity.authority.display()
    );
    [
        format!(",SASL://127.0.0.1:{sasl},MUTUAL://127.0.0.1:{mutual}"),
        format!(",SASL://localhost:{sasl},MUTUAL://localhost:{mutual}"),
        settings,
    ]
}

fn write_settings(
    folder: &Path,
    [port, controller, sasl, mutual]: [u16; 4],
    identity: Option<&Identity>,
) {
    let secured = identity.map(|of| secured_settings(folder, [sasl, mutual], of));
    let [listeners, advertised, secured] = secured.unwrap_or_default();
    let settings = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listeners}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}\n\
         inter.broker.listener.name=PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL\n\
         log.dirs={}\n\
         num.partitions=1\n\
         auto.create.topics.enable=false\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.num.partitions=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         message.max.bytes=20971520\n\
         log.retention.check.interval.ms=1000\n\
         log.cleaner.backoff.ms=200\n\
         log.initial.task.delay.ms=1000\n\
         {secured}",
        folder.join("data").display()
    );
    std::fs::write(folder.join("server.properties"), settings).unwrap();
}

/// Java with Kafka's packages, in the broker's folder.
fn java(folder: &Path) -> Command {
    let mut command = Command::new("java");
    command
        .args([
            "-Xmx512m",
            "-Xms128m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
        ])
        .args(["-cp", class_path()])
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

fn class_path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/classpath");
        let told = Command::new(script).arg("kafka").output().unwrap();
        assert!(
            told.status.success(),
            "this test needs Apache Kafka, Java 17 and Maven; run `make test`: {told:?}"
        );
        String::from_utf8(told.stdout).unwrap().trim().to_string()
    })
}

fn start_watched(folder: &Path) -> Child {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    let broker = java(folder);
    let mut watch = Command::new("/bin/sh");
    watch.args(["-c", WATCH, "watch"]).arg(folder);
    watch.arg(broker.get_program()).args(broker.get_args());
    watch.args(["kafka.Kafka", "server.properties"]);
    watch.current_dir(folder).stdin(Stdio::piped());
    watch.stdout(log.try_clone().unwrap()).stderr(log);
    watch.spawn().unwrap()
}

fn is_gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
