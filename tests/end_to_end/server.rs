//! The real binary: started on a port of the system's choice, asked over HTTP, killed when dropped.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_saccade");
/// More than anything takes on a busy machine: a test that waits this long has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `condition` again and again until it holds.
pub(super) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A command of the binary over a data directory, with nothing of this process's environment.
pub(super) fn command(arguments: &[&str], data: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).arg("--data").arg(data).env_clear().stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(super) fn run(arguments: &[&str], data: &Path) -> Output {
    command(arguments, data).output().expect("the binary runs")
}

/// Runs a command that has to succeed and returns what it printed.
pub(super) fn run_well(arguments: &[&str], data: &Path) -> String {
    let output = run(arguments, data);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?} ended with {}: {out}{err}", output.status);
    out
}

/// The lines of JSON that a command prints.
pub(super) fn run_for_lines(arguments: &[&str], data: &Path) -> Vec<Value> {
    run_well(arguments, data).lines().map(parse).collect()
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text:?}"))
}

/// An answer over HTTP.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        parse(&self.body)
    }

    /// Accepted, duplicates, late and rejected events.
    pub(super) fn counts(&self) -> [u64; 4] {
        let json = self.json();
        ["accepted", "duplicates", "late", "rejected_total"]
            .map(|name| json[name].as_u64().unwrap_or_else(|| panic!("no {name} in {} {json}", self.status)))
    }
}

/// `saccade serve`.
pub(super) struct Server {
    child: Child,
    pub(super) address: String,
    log: Arc<Mutex<String>>,
    /// Reads the log until the process closes it.
    reader: Option<JoinHandle<()>>,
    agent: ureq::Agent,
}

impl Server {
    pub(super) fn start(data: &Path) -> Server {
        Server::start_from(serve(data))
    }

    /// With a configuration file that holds `toml`.
    pub(super) fn start_with(data: &Path, toml: &str) -> Server {
        let mut command = serve(data);
        std::fs::create_dir_all(data).expect("the data directory is made");
        let path = data.join("saccade.toml");
        std::fs::write(&path, toml).expect("the configuration is written");
        command.arg("--config").arg(path);
        Server::start_from(command)
    }

    /// Runs `command` and waits until it is ready.
    pub(super) fn start_from(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the server starts");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let log = Arc::new(Mutex::new(String::new()));
        let copy = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                copy.lock().expect("nobody panics with the log").push_str(&(line + "\n"));
            }
        });
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        // The server closes idle connections: one that may be closed this moment is not used again.
        let agent = config.max_idle_age(Duration::from_millis(300)).build().new_agent();
        let mut server = Server { child, address: String::new(), log, reader: Some(reader), agent };
        wait_until("the server says that it is ready", || {
            let log = server.log();
            assert!(server.child.try_wait().expect("a child can be asked").is_none(), "it ended: {log}");
            let rest = log.split_once("ready: POST http://").map(|(_, rest)| rest.to_string());
            let address = rest.and_then(|rest| rest.split_once("/v1/events").map(|(address, _)| address.to_string()));
            server.address = address.unwrap_or_default();
            !server.address.is_empty()
        });
        // The port was open before; from here on it is served.
        wait_until("/ready", || server.get("/ready").status == 200);
        server
    }

    /// What it said of itself so far.
    pub(super) fn log(&self) -> String {
        self.log.lock().expect("nobody panics with the log").clone()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    pub(super) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let response = self.open(path, headers);
        answer(Ok(response)).unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.log()))
    }

    /// Asks, and leaves the body to be read.
    pub(super) fn open(&self, path: &str, headers: &[(&str, &str)]) -> ureq::http::Response<ureq::Body> {
        let mut request = self.agent.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.call().unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.log()))
    }

    pub(super) fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.post_with(path, &[], body)
    }

    pub(super) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        self.try_post(path, headers, body).unwrap_or_else(|error| panic!("POST {path}: {error}\n{}", self.log()))
    }

    /// For servers that may die meanwhile.
    pub(super) fn try_post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = self.agent.post(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.send(body.as_ref()))
    }

    pub(super) fn try_get(&self, path: &str) -> Result<Answer, ureq::Error> {
        answer(self.agent.get(self.url(path)).call())
    }

    /// Posts events of which each has to be accepted.
    pub(super) fn accept(&self, events: &[Value]) {
        let answer = self.send(events);
        assert_eq!((answer.status, answer.counts()), (202, [events.len() as u64, 0, 0, 0]), "{}", answer.body);
    }

    pub(super) fn send(&self, events: &[Value]) -> Answer {
        self.post("/v1/events", Value::from(events).to_string())
    }

    /// The context of a session, which has to be there.
    pub(super) fn context(&self, session: &str) -> Value {
        let answer = self.get(&format!("/v1/context/session/{session}"));
        assert_eq!(answer.status, 200, "{session}: {}", answer.body);
        answer.json()
    }

    /// The value of a metric, summed over its labels.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let values = self.metric_values(name);
        assert!(!values.is_empty(), "no metric {name} in {}", self.get("/metrics").body);
        values.iter().sum()
    }

    /// The values of a metric, by its labels; none where nothing was counted yet.
    pub(super) fn metric_values(&self, name: &str) -> Vec<f64> {
        let page = self.get("/metrics").body;
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        page.lines().filter(of_name).filter_map(|l| l.rsplit_once(' ')?.1.parse().ok()).collect()
    }

    /// Bytes of memory, by their name in `/proc/{pid}/status`: `VmRSS` is now, `VmHWM` the most there ever was.
    pub(super) fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.strip_suffix("kB"));
        line.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or_else(|| panic!("no {name} in {status}")) * 1024
    }

    /// Sends a signal and does not wait for what it does.
    pub(super) fn signal(&self, name: &str) {
        let kill = Command::new("/bin/sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status();
        assert!(kill.expect("a shell runs").success(), "the server is there to get a signal");
    }

    /// SIGTERM, which has to end it well.
    pub(super) fn stop_well(&mut self) {
        self.signal("TERM");
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// The status it ends with by itself.
    pub(super) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the server ends", || {
            status = self.child.try_wait().expect("a child can be asked");
            status.is_some()
        });
        // Its last lines are in the log, too.
        self.reader.take().map(JoinHandle::join).transpose().expect("the reader does not panic");
        status.expect("it has ended")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `serve` on a port of the system's choice.
pub(super) fn serve(data: &Path) -> Command {
    let mut command = command(&["serve", "--listen", "127.0.0.1:0"], data);
    // Tests run side by side: each server gets few of the machine's threads.
    command.env("TOKIO_WORKER_THREADS", "2");
    command
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, ureq::Error> {
    let mut response = result?;
    let status = response.status().as_u16();
    Ok(Answer { status, body: response.body_mut().read_to_string()? })
}

/// The vector, digit by digit: also `-0.0` is not `0.0`.
pub(super) fn vector(context: &Value) -> String {
    let vector = &context["vector"];
    assert!(vector.is_array(), "{context}");
    vector.to_string()
}

/// The number of a context that readers tell versions by.
pub(super) fn version(context: &Value) -> u64 {
    context["version"].as_u64().unwrap_or_else(|| panic!("no version in {context}"))
}
