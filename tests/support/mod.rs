//! What every whole-program test needs: a home of its own, a server in it, and a way to ask it.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

pub mod browser;
pub mod chance;
pub mod hook;
pub mod http;
pub mod mail;
pub mod pooler;
pub mod processes;
pub mod session;
pub mod strace;
pub mod tls;
pub mod waiting;
pub mod worker;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
pub use tidemill_store_conformance::server as postgres;
use waiting::wait_for;

/// The program under test.
pub const TIDEMILL: &str = env!("CARGO_BIN_EXE_tidemill");

/// How long anything may take before a test gives up. Long, since nothing passes by waiting.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a home and a DAG folder, gone with the value, and a database.
pub struct Place {
    folder: tempfile::TempDir,
    dags: PathBuf,
    database: Option<String>,
}

/// Does this test program run on PostgreSQL? Its name says so: the tests themselves are those of
/// the program without that word.
pub fn is_on_postgres() -> bool {
    env!("CARGO_CRATE_NAME").ends_with("_postgres")
}

impl Place {
    /// An empty one.
    pub fn new() -> Place {
        Place::at(is_on_postgres().then(|| postgres::Server::shared().new_database()))
    }

    /// An empty one with this database.
    pub fn at(database: Option<String>) -> Place {
        let folder = tempfile::Builder::new()
            .prefix("tidemill-test-")
            .tempdir()
            .unwrap();
        std::fs::create_dir(folder.path().join("dags")).unwrap();
        Place {
            dags: folder.path().join("dags"),
            folder,
            database,
        }
    }

    /// The address of its PostgreSQL database; nothing where the home keeps a file.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    /// Another home with the same DAG folder and the same database.
    pub fn beside(&self) -> Place {
        self.beside_at(self.database.clone())
    }

    /// Another home with the same DAG folder, and the database at another address.
    pub fn beside_at(&self, database: Option<String>) -> Place {
        Place {
            dags: self.dags.clone(),
            ..Place::at(database)
        }
    }

    /// The folder that holds both; its name stands in the environment of everything it starts.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The state folder.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The DAG folder.
    pub fn dags(&self) -> PathBuf {
        self.dags.clone()
    }

    /// Writes a DAG file so that it appears whole, as editors do.
    pub fn write_dag(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dags().join(name);
        let new = self.dags().join(format!(".{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &path).unwrap();
        path
    }

    /// The program with this home, a clean environment and nothing to read.
    pub fn tidemill(&self) -> Command {
        let mut command = Command::new(TIDEMILL);
        command.env_clear();
        for name in ["PATH", "HOME", "USER", "LANG"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(database) = &self.database {
            command.env("TIDEMILL_DATABASE", database);
        }
        command
            .env("TIDEMILL_HTTP_ALLOW", "127.0.0.0/8")
            .env("TIDEMILL_HOME", self.home())
            .current_dir(self.folder())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the program to its end.
    pub fn call(&self, args: &[&str]) -> Output {
        self.tidemill().args(args).output().unwrap()
    }

    /// Runs a command that must succeed and reads its standard output as JSON.
    pub fn call_json(&self, args: &[&str]) -> Value {
        let output = self.call(args);
        assert!(
            output.status.success(),
            "`tidemill {}`: {}",
            args.join(" "),
            told(&output)
        );
        serde_json::from_slice(&output.stdout).unwrap_or_else(|err| {
            panic!(
                "`tidemill {}` printed no JSON ({err}): {}",
                args.join(" "),
                told(&output)
            )
        })
    }

    /// The command line that starts a server here.
    pub fn serve_command(&self) -> Command {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder().join("serve.log"))
            .unwrap();
        let mut command = self.tidemill();
        command
            .arg("serve")
            .arg("--home")
            .arg(self.home())
            .arg("--dags")
            .arg(self.dags());
        command.args(["--listen", "127.0.0.1:0"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    /// Starts a server and waits until it is ready.
    pub fn serve(&self) -> Server {
        self.serve_with(self.serve_command())
    }

    /// The same by this command line.
    pub fn serve_with(&self, command: Command) -> Server {
        let server = self.start_with(command);
        wait_for("the server to lead", PATIENCE, || {
            let asked = http::ask(&server.socket, "GET", "/readyz", None);
            asked.is_ok_and(|(status, _)| status == 200).then_some(())
        });
        server
    }

    /// Starts a server and waits until it answers, be it as a stand-by.
    pub fn start(&self) -> Server {
        self.start_with(self.serve_command())
    }

    /// The same by this command line.
    pub fn start_with(&self, mut command: Command) -> Server {
        self.follow(command.spawn().unwrap())
    }

    /// Waits until a server that was started here answers.
    pub fn follow(&self, child: Child) -> Server {
        let mut server = Server {
            child,
            socket: PathBuf::new(),
            url: String::new(),
        };
        let ready = wait_for("the server to be ready", PATIENCE, || {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended with {status}:\n{}", self.serve_log());
            }
            self.ready(Some(server.child.id()))
        });
        server.socket = PathBuf::from(ready["socket"].as_str().unwrap());
        server.url = ready["url"]
            .as_str()
            .unwrap()
            .trim_end_matches('/')
            .to_string();
        server
    }

    /// What `server.json` says, once it is that of process `pid` (or of any).
    pub fn ready(&self, pid: Option<u32>) -> Option<Value> {
        let text = std::fs::read(self.home().join("server.json")).ok()?;
        let ready: Value = serde_json::from_slice(&text).ok()?;
        let found = ready["pid"].as_u64()?;
        (pid.is_none() || pid.map(u64::from) == Some(found)).then_some(ready)
    }

    /// Everything that servers have printed here.
    pub fn serve_log(&self) -> String {
        std::fs::read_to_string(self.folder().join("serve.log")).unwrap_or_default()
    }

    /// A command that ends when [`Place::open`] is called with the same name.
    pub fn until(&self, gate: &str) -> String {
        let path = self.folder().join(gate);
        format!("while ! test -e {}; do sleep 0.02; done", path.display())
    }

    /// Lets the commands go on that wait for this name.
    pub fn open(&self, gate: &str) {
        std::fs::write(self.folder().join(gate), "").unwrap();
    }

    /// Triggers a DAG by the command line and gives the run's name.
    pub fn trigger(&self, dag: &str, more: &[&str]) -> String {
        let mut args = vec!["dags", "trigger", dag, "-o", "json"];
        args.extend(more);
        let answer = self.call_json(&args);
        answer["dag_run_id"]
            .as_str()
            .unwrap_or_else(|| panic!("no dag_run_id in {answer}"))
            .to_string()
    }
}

/// A server that this test started. It is killed when the value goes.
pub struct Server {
    /// The process.
    pub child: Child,
    /// Its Unix socket.
    pub socket: PathBuf,
    /// Its address for browsers, without a slash at the end.
    pub url: String,
}

impl Server {
    /// Asks the API, e.g. `/api/v2/dags`.
    pub fn get(&self, path: &str) -> (u16, Value) {
        http::ask(&self.socket, "GET", path, None).unwrap_or_else(|err| panic!("GET {path}: {err}"))
    }

    /// A body of the API that must be there.
    pub fn body(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// Sends a body to the API.
    pub fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        http::ask(&self.socket, method, path, Some(body))
            .unwrap_or_else(|err| panic!("{method} {path}: {err}"))
    }

    /// Waits until the DAG is known.
    pub fn wait_for_dag(&self, dag: &str) {
        wait_for(&format!("DAG {dag}"), PATIENCE, || {
            (self.get(&format!("/api/v2/dags/{dag}")).0 == 200).then_some(())
        });
    }

    /// A run as the API shows it.
    pub fn run(&self, dag: &str, run: &str) -> Value {
        self.body(&format!("/api/v2/dags/{dag}/dagRuns/{}", http::escape(run)))
    }

    /// The runs of a DAG.
    pub fn runs(&self, dag: &str) -> Vec<Value> {
        let body = self.body(&format!("/api/v2/dags/{dag}/dagRuns?limit=100"));
        body["dag_runs"]
            .as_array()
            .unwrap_or_else(|| panic!("no dag_runs in {body}"))
            .clone()
    }

    /// Waits until a run has ended and gives it.
    pub fn wait_for_end(&self, dag: &str, run: &str) -> Value {
        wait_for(&format!("the end of {dag}/{run}"), PATIENCE, || {
            let found = self.run(dag, run);
            matches!(found["state"].as_str(), Some("success" | "failed")).then_some(found)
        })
    }

    /// Waits until each of these runs, by DAG and name, has ended well.
    pub fn wait_for_good_ends(&self, runs: &[(&str, &str)]) {
        for (dag, run) in runs {
            let ended = self.wait_for_end(dag, run);
            assert_eq!(ended["state"], "success", "{dag}/{run}: {ended}");
        }
    }

    /// A condition of what is said to `why`, by name. `of` is a DAG, or `DAG/dagRuns/RUN`.
    pub fn condition(&self, of: &str, name: &str) -> Option<Value> {
        let why = self.body(&format!("/api/tidemill/v1/dags/{of}/why"));
        let all = why["conditions"].as_array().unwrap();
        all.iter().find(|one| one["condition"] == name).cloned()
    }

    /// The task instances of a run.
    pub fn tasks(&self, dag: &str, run: &str) -> Vec<Value> {
        let body = self.body(&format!(
            "/api/v2/dags/{dag}/dagRuns/{}/taskInstances?limit=100",
            http::escape(run)
        ));
        body["task_instances"]
            .as_array()
            .unwrap_or_else(|| panic!("no task_instances in {body}"))
            .clone()
    }

    /// One task instance of a run.
    pub fn task(&self, dag: &str, run: &str, task: &str) -> Value {
        let found = self
            .tasks(dag, run)
            .into_iter()
            .find(|one| one["task_id"] == task);
        found.unwrap_or_else(|| panic!("no task {task} in {dag}/{run}"))
    }

    /// Waits until a task is in a state.
    pub fn wait_for_task(&self, dag: &str, run: &str, task: &str, state: &str) {
        wait_for(
            &format!("{dag}/{run}/{task} to be {state}"),
            PATIENCE,
            || (self.task(dag, run, task)["state"] == state).then_some(()),
        );
    }

    /// Sends a signal to the server alone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(processes::pid(self.child.id()), signal).unwrap();
    }

    /// Waits for the server's own end.
    pub fn wait_until_gone(&mut self) -> std::process::ExitStatus {
        wait_for("the server to end", PATIENCE, || {
            self.child.try_wait().unwrap()
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command printed, for a failing test's message.
pub fn told(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A connection to a database of the shared server, for its user who must show a password.
pub fn secretive(database: &str, password: &str) -> Value {
    let server = postgres::Server::shared();
    let name = database
        .trim_start_matches("postgres:///")
        .split('?')
        .next();
    serde_json::json!({
        "conn_type": "postgres", "host": server.folder(), "port": server.port(),
        "login": "secretive", "password": password, "schema": name,
    })
}

/// Text that a command printed to standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Text that a command printed to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The top folder of the project.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
