//! A server in a home of its own, and questions to it.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(300);

/// A state folder with a DAG folder beside it.
pub struct Home {
    tidemill: PathBuf,
    folder: tempfile::TempDir,
    database: Option<String>,
}

/// Another process of the program; killed when dropped.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    /// The server's own process, which is not the child under strace.
    pub pid: u32,
    socket: PathBuf,
    ready: Value,
}

impl Home {
    /// An empty one inside `scratch`.
    pub fn new(tidemill: &Path, scratch: &Path) -> Result<Home> {
        Home::on(tidemill, scratch, None)
    }

    /// An empty one inside `scratch`, with its memory in a PostgreSQL database.
    pub fn on(tidemill: &Path, scratch: &Path, database: Option<String>) -> Result<Home> {
        let folder = tempfile::Builder::new()
            .prefix("home-")
            .tempdir_in(scratch)?;
        std::fs::create_dir(folder.path().join("dags"))?;
        Ok(Home {
            tidemill: tidemill.to_path_buf(),
            folder,
            database,
        })
    }

    /// The address of its database; nothing where it keeps a file.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The DAG folder.
    pub fn dags(&self) -> PathBuf {
        self.folder.path().join("dags")
    }

    /// The program with this home.
    pub fn tidemill(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.tidemill);
        command
            .args(args)
            .envs(self.database.iter().map(|url| ("TIDEMILL_DATABASE", url)))
            .env("TIDEMILL_HOME", self.state())
            // The bench asks a server of its own.
            .env("TIDEMILL_HTTP_ALLOW", "127.0.0.1")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the program to its end.
    pub fn call(&self, args: &[&str]) -> Result<Output> {
        let output = self.tidemill(args).output()?;
        if !output.status.success() {
            bail!(
                "`tidemill {}`: {}{}",
                args.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(output)
    }

    /// Starts another process of the program here.
    pub fn spawn(&self, args: &[&str]) -> Result<Process> {
        let log = std::fs::File::create(self.folder.path().join("process.log"))?;
        let mut command = self.tidemill(args);
        command.stdout(log.try_clone()?).stderr(log);
        Ok(Process(command.spawn()?))
    }

    /// Starts a server as it is by default, but for 16 slots; `wrap` stands before its command.
    pub fn serve(&self, wrap: &[&str]) -> Result<Server> {
        self.serve_as(wrap, &["--slots", "16"])
    }

    /// Starts a server with these options.
    pub fn serve_as(&self, wrap: &[&str], options: &[&str]) -> Result<Server> {
        let log = std::fs::File::create(self.folder.path().join("serve.log"))?;
        let _ = std::fs::remove_file(self.state().join("server.json"));
        let mut words: Vec<String> = wrap.iter().map(ToString::to_string).collect();
        words.push(self.tidemill.display().to_string());
        let dags = self.dags().display().to_string();
        words.extend(
            ["serve", "--listen", "127.0.0.1:0", "--dags", &dags]
                .iter()
                .chain(options)
                .map(ToString::to_string),
        );
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .envs(self.database.iter().map(|url| ("TIDEMILL_DATABASE", url)))
            .env("TIDEMILL_HOME", self.state())
            // The bench asks a server of its own.
            .env("TIDEMILL_HTTP_ALLOW", "127.0.0.1")
            .current_dir(self.folder.path());
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", words[0]))?;
        let begin = Instant::now();
        loop {
            if let Some(ready) = self.ready() {
                let pid = ready["pid"].as_u64().context("no pid in server.json")? as u32;
                let socket = PathBuf::from(
                    ready["socket"]
                        .as_str()
                        .context("no socket in server.json")?,
                );
                return Ok(Server {
                    child,
                    pid,
                    socket,
                    ready,
                });
            }
            if begin.elapsed() > PATIENCE || child.try_wait()?.is_some() {
                let _ = child.kill();
                let log = std::fs::read_to_string(self.folder.path().join("serve.log"))
                    .unwrap_or_default();
                bail!("the server did not start:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn ready(&self) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(self.state().join("server.json")).ok()?).ok()
    }

    /// How often the no-op was executed: each time it left its byte in a log.
    pub fn executions(&self) -> u64 {
        fn count(folder: &Path) -> u64 {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.path() {
                    path if path.is_dir() => count(&path),
                    path => {
                        let text = std::fs::read(path).unwrap_or_default();
                        text.iter().filter(|byte| **byte == b'x').count() as u64
                    }
                })
                .sum()
        }
        count(&self.state().join("logs"))
    }
}

impl Server {
    /// A body of the API.
    pub fn get(&self, path: &str) -> Result<Value> {
        let (status, body) = self.ask(path)?;
        if status != 200 {
            bail!("GET {path}: {status} {body}");
        }
        serde_json::from_str(&body).with_context(|| format!("GET {path}: {body}"))
    }

    /// A status and a text.
    pub fn ask(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = UnixStream::connect(&self.socket)?;
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nhost: localhost\r\naccept: application/json\r\n\r\n"
        )?;
        answer(&mut stream)
    }

    /// The folder of its logs.
    pub fn logs(&self) -> PathBuf {
        // The socket lies in the home, unless its path is too long.
        self.socket.parent().unwrap_or(Path::new("")).join("logs")
    }

    /// What `server.json` says.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Sends a wish without a body.
    pub fn post(&self, path: &str) -> Result<Value> {
        let mut stream = UnixStream::connect(&self.socket)?;
        write!(
            stream,
            "POST {path} HTTP/1.0\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
        )?;
        let (status, body) = answer(&mut stream)?;
        if !(200..300).contains(&status) {
            bail!("POST {path}: {status} {body}");
        }
        serde_json::from_str(&body).with_context(|| format!("POST {path}: {body}"))
    }

    /// Waits until a question has the wanted answer.
    pub fn wait<T>(
        &self,
        what: &str,
        every: Duration,
        ask: impl FnMut(&Server) -> Result<Option<T>>,
    ) -> Result<T> {
        self.wait_up_to(PATIENCE, what, every, ask)
    }

    /// The same for what takes long on any machine.
    pub fn wait_longer<T>(
        &self,
        what: &str,
        every: Duration,
        ask: impl FnMut(&Server) -> Result<Option<T>>,
    ) -> Result<T> {
        self.wait_up_to(12 * PATIENCE, what, every, ask)
    }

    fn wait_up_to<T>(
        &self,
        patience: Duration,
        what: &str,
        every: Duration,
        mut ask: impl FnMut(&Server) -> Result<Option<T>>,
    ) -> Result<T> {
        let begin = Instant::now();
        loop {
            if let Some(answer) = ask(self)? {
                return Ok(answer);
            }
            if begin.elapsed() > patience {
                bail!("waited {patience:?} for {what}");
            }
            std::thread::sleep(every);
        }
    }

    /// Waits until a DAG is known.
    pub fn wait_for_dag(&self, dag: &str) -> Result<()> {
        let path = format!("/api/v2/dags/{dag}");
        self.wait(dag, Duration::from_millis(5), |server| {
            Ok((server.ask(&path)?.0 == 200).then_some(()))
        })
    }

    /// Ends it with SIGTERM and waits.
    pub fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .context("an odd pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            if let Some(pid) = i32::try_from(self.pid)
                .ok()
                .and_then(rustix::process::Pid::from_raw)
            {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Reads an answer without chunks to its end.
pub fn answer(stream: &mut impl Read) -> Result<(u16, String)> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .context("no HTTP status")?;
    let body = text
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_string())
        .unwrap_or_default();
    Ok((status, body))
}
