//! The configuration file: one TOML document, every key with a default, unknown keys refused.
//!
//! Shape and single values are checked here, and that `saccade-topology` compiles the feature plan. `SACCADE_*` overrides are
//! applied by the command line.

mod bounds;
mod overrides;

use saccade_topology::model::{ModelSpec, RewardSource};
use saccade_topology::reward::{Reward, RewardSpec};
use saccade_topology::{Duration, Plan, PlanError, Spec, spec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The default configuration, the same file that is shipped as `configs/default.toml`.
pub const DEFAULT_TOML: &str = include_str!("../configs/default.toml");

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address, connections, time-outs.
    pub server: Server,
    /// Keys and tokens.
    pub auth: Auth,
    /// What comes in.
    pub ingest: Ingest,
    /// CMCD from players.
    pub cmcd: Cmcd,
    /// The log.
    pub log: Log,
    /// Checkpoints.
    pub checkpoint: Checkpoint,
    /// What goes out.
    pub publish: Publish,
    /// Event time.
    pub time: spec::TimeSpec,
    /// Sessions.
    pub session: spec::SessionSpec,
    /// Viewers.
    pub viewer: spec::ViewerSpec,
    /// Duplicates.
    pub dedup: spec::DedupSpec,
    /// The vector.
    pub features: Vec<spec::FeatureSpec>,
    /// Model versions.
    pub learner: Learner,
    /// Models.
    pub models: Vec<ModelSpec>,
    /// The files that reward specs were read from, by model.
    #[serde(skip)]
    pub reward_files: BTreeMap<String, PathBuf>,
    /// Events are read and thrown away: for measuring only, and not in files.
    #[serde(skip)]
    pub discard: bool,
    /// State that cannot be had otherwise is rebuilt from what the log still has.
    #[serde(skip)]
    pub rebuild: bool,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address to listen on.
    pub listen: String,
    /// Open connections; further ones wait to be accepted.
    pub connections_max: u32,
    /// Threads that read and answer requests; 0: one per processor.
    pub threads: u16,
    /// Time for the headers of a request; slower senders are closed.
    pub header_timeout: Duration,
    /// Time for the body of a request; slower senders get 408.
    pub body_timeout: Duration,
    /// Time in which a reader takes nothing of what it is sent; then it is cut off.
    pub write_timeout: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            listen: "127.0.0.1:8080".into(),
            connections_max: 10_000,
            threads: 0,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
        }
    }
}

/// `[auth]`: off while empty and the address is loopback.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Keys that may send events.
    pub write_keys: Vec<String>,
    /// Token that may read contexts and administrate.
    pub read_token: Option<String>,
}

/// `[ingest]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    /// Bytes of a body, as sent and after decompression.
    pub body_bytes_max: usize,
    /// Events in a body.
    pub batch_events_max: usize,
    /// Bytes of one event.
    pub event_bytes_max: usize,
    /// Events per second and write key; 0 is no limit.
    pub rate_max: u32,
    /// Batches that may wait for a partition; further ones get 429.
    pub queue_max: usize,
    /// How long a batch may wait, from when its connection is ready to its partition, where more comes than it can take.
    pub queue_wait_max: Duration,
    /// Origins that browsers may send from; `*` is any.
    pub allow_origins: Vec<String>,
    /// Keys of a body object that hold its events.
    pub envelope: Vec<String>,
    /// Viewer ids that stand for nobody: what has one is taken in without a viewer.
    pub nobody: Vec<String>,
    /// Input names for the fields of an event: `id = "event_id"`, `playhead_s = { from = "pt", scale = 0.001 }`.
    pub map: BTreeMap<String, MapFrom>,
}

/// What clients send where they know no viewer; the last is what phones give as an advertising id that may not be used.
const NOBODY: [&str; 9] =
    ["0", "-1", "anonymous", "guest", "none", "null", "undefined", "unknown", "00000000-0000-0000-0000-000000000000"];

impl Default for Ingest {
    fn default() -> Self {
        Ingest {
            body_bytes_max: 4 << 20,
            batch_events_max: 10_000,
            event_bytes_max: 256 << 10,
            rate_max: 0,
            queue_max: 1024,
            queue_wait_max: Duration(25),
            allow_origins: vec!["*".into()],
            envelope: vec!["events".into(), "batch".into()],
            nobody: NOBODY.map(String::from).into(),
            map: BTreeMap::new(),
        }
    }
}

/// Where a field of an event comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a field comes from \"NAME\", or { from = \"NAME\", scale = NUMBER }")]
pub enum MapFrom {
    /// Another name.
    Name(String),
    /// Another name in another unit.
    Scaled {
        /// The input's name.
        from: String,
        /// The input's number is multiplied by this.
        scale: f64,
    },
}

/// `[cmcd]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cmcd {
    /// Keys, in order of preference, that hold the playhead in milliseconds.
    pub playhead_keys: Vec<String>,
    /// Records in a body.
    pub batch_records_max: usize,
}

impl Default for Cmcd {
    fn default() -> Self {
        Cmcd { playhead_keys: vec!["pt".into(), "com.example-pt".into()], batch_records_max: 1000 }
    }
}

/// What an acknowledgment promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The event survives power loss.
    #[default]
    Fsync,
    /// The event survives the end of the process.
    Buffered,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Partitions, one thread each; fixed when the data directory is made.
    pub partitions: u16,
    /// What an acknowledgment promises.
    pub durability: Durability,
    /// Records older than this are dropped.
    pub retention_age: Duration,
    /// The log of all partitions is held under this many bytes.
    pub retention_bytes: u64,
    /// Free bytes the disk must keep; below it events are refused with 507.
    pub disk_reserve_bytes: u64,
}

impl Default for Log {
    fn default() -> Self {
        Log {
            partitions: 1,
            durability: Durability::Fsync,
            retention_age: Duration::from_secs(14 * 86_400),
            retention_bytes: 20 << 30,
            disk_reserve_bytes: 256 << 20,
        }
    }
}

/// `[checkpoint]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoint {
    /// Time between checkpoints.
    pub interval: Duration,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Checkpoint { interval: Duration::from_secs(30) }
    }
}

/// `[publish]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Publish {
    /// Readers of `/v1/context/stream` at once.
    pub streams_max: u32,
    /// Batches a reader of all contexts may fall behind before it skips to the newest.
    pub stream_buffer: usize,
}

impl Default for Publish {
    fn default() -> Self {
        Publish { streams_max: 1000, stream_buffer: 1024 }
    }
}

/// `[learner]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Learner {
    /// Model versions are cut this long after the ones before at the earliest.
    pub cut_interval: Duration,
}

impl Default for Learner {
    fn default() -> Self {
        Learner { cut_interval: Duration(2) }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML of the expected shape.
    #[error("configuration {path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Place, key, value and what is allowed.
        message: String,
    },
    /// A value is outside of its range.
    #[error("configuration {path}: `{key}` is {value}; allowed: {allowed}")]
    Range {
        /// The file.
        path: PathBuf,
        /// Full key.
        key: &'static str,
        /// Value found.
        value: String,
        /// Allowed range.
        allowed: String,
    },
    /// What the fold is made of does not compile.
    #[error("configuration {path}: {source}")]
    Plan {
        /// The file.
        path: PathBuf,
        /// Key, value and what is allowed.
        source: PlanError,
    },
}

impl Config {
    /// Reads and checks `path`, or the built-in default when there is none; keys of the environment win.
    pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
        let (text, path) = match path {
            None => (DEFAULT_TOML.to_string(), named(path)),
            Some(path) => {
                let read = std::fs::read_to_string(path);
                (read.map_err(|source| ConfigError::Read { path: path.into(), source })?, path)
            }
        };
        let mut config = overrides::apply(Config::parse(&text, path)?, &text, path, std::env::vars_os())?;
        config.read_rewards(path)?;
        Ok(config)
    }

    /// Puts reward specs in the place of the files that hold them, which are named relative to the configuration's.
    fn read_rewards(&mut self, path: &Path) -> Result<(), ConfigError> {
        for model in &mut self.models {
            let RewardSource::File(file) = &model.reward else { continue };
            let file = path.parent().unwrap_or(Path::new("")).join(file);
            let spec = read_reward(&file)?;
            self.reward_files.insert(model.name.clone(), file);
            model.reward = RewardSource::Inline(Box::new(spec));
        }
        self.check_rewards(path)
    }

    fn check_rewards(&self, path: &Path) -> Result<(), ConfigError> {
        for (index, model) in self.models.iter().enumerate() {
            if let RewardSource::Inline(spec) = &model.reward
                && let Err(error) = Reward::compile(spec)
            {
                let path = self.reward_files.get(&model.name).map_or(path, PathBuf::as_path);
                let message = format!("models[{index}].reward (model \"{}\"): {error}", model.name);
                return Err(ConfigError::Parse { path: path.into(), message });
            }
        }
        Ok(())
    }

    /// Parses and checks `text`; `path` is only named in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        let config: Config = toml::from_str(text)
            .map_err(|e| ConfigError::Parse { path: path.into(), message: e.to_string().trim_end().to_string() })?;
        config.check(path)?;
        Ok(config)
    }

    /// The part of the configuration that the fold is made of. Without features of its own, those of the default.
    pub fn spec(&self) -> Spec {
        let features = match self.features.is_empty() {
            true => toml::from_str::<Config>(DEFAULT_TOML).expect("a test loads the default configuration").features,
            false => self.features.clone(),
        };
        Spec {
            time: self.time.clone(),
            session: self.session.clone(),
            viewer: self.viewer.clone(),
            dedup: self.dedup.clone(),
            features,
            models: self.models.clone(),
        }
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        bounds::check(self, path)?;
        let compiled = Plan::compile(&self.spec());
        compiled.map(drop).map_err(|source| ConfigError::Plan { path: path.into(), source })
    }
}

/// What a configuration is called where there may be no file of it.
pub(crate) fn named(path: Option<&Path>) -> &Path {
    path.unwrap_or(Path::new("(built-in default)"))
}

/// Reads a reward spec from its own file.
pub fn read_reward(file: &Path) -> Result<RewardSpec, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Read { path: file.into(), source })?;
    toml::from_str(&text)
        .map_err(|e| ConfigError::Parse { path: file.into(), message: e.to_string().trim_end().to_string() })
}

#[cfg(test)]
mod tests;
