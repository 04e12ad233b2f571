//! Where the demo plays: its configuration, its data directory and its address.

use super::choosing::MODEL;
use super::{DemoArgs, choosing};
use crate::cli::{Failure, serve};
use crate::config::Config;
use saccade_topology::Duration;
use saccade_topology::model::{ContextSpec, RewardSource};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

/// A window that is open for longer is not waited for at the end.
const WINDOW_MAX: std::time::Duration = std::time::Duration::from_secs(10);
/// What a slow machine is given beside it.
const SLACK: std::time::Duration = std::time::Duration::from_secs(10);
/// Ports tried when the configured one is taken.
const PORTS_MAX: u16 = 20;

/// How long the demo waits for what follows a decision: its viewers act within a second.
const WAIT: Duration = Duration(1000);
/// Events are amended long after it; it only holds up the end of windows.
const OUT_OF_ORDERNESS: Duration = Duration(500);
/// What the demo's model looks at: a visit of seconds has no mood.
const CONTEXT: [&str; 5] =
    ["device.tv", "device.mobile", "local_time.hour_sin", "local_time.hour_cos", "recent.click.10m"];
/// When tastes change in a demo without an end.
const DRIFT: std::time::Duration = std::time::Duration::from_secs(20);

/// The built-in configuration, in which sessions and windows end while you watch; or the one that was asked for, as it is.
pub(super) fn config(args: &DemoArgs) -> Result<Config, Failure> {
    let mut config = Config::load(args.config.as_deref())?;
    if args.config.is_none() {
        config.session.gap = Duration::from_secs(20);
        config.time.allowed_lateness = Duration::from_secs(10);
        config.time.out_of_orderness = OUT_OF_ORDERNESS;
        for model in config.models.iter_mut().filter(|model| model.name == MODEL) {
            model.context = ContextSpec::Slots(CONTEXT.map(String::from).to_vec());
            if let RewardSource::Inline(reward) = &mut model.reward {
                reward.wait = WAIT;
            }
        }
    }
    if let Some(listen) = &args.listen {
        config.server.listen.clone_from(listen);
    }
    Ok(config)
}

/// What is asked of the model; nothing where there is no such model.
pub(super) fn plan(args: &DemoArgs, config: &Config) -> Option<choosing::Plan> {
    let is_there = config.models.iter().any(|model| model.name == MODEL);
    let drift = args.duration.map_or(DRIFT, |duration| duration / 2);
    let plan = choosing::Plan { rate: args.decisions, seed: args.seed, drift };
    (is_there && args.decisions > 0).then_some(plan)
}

/// How long the server may take, after the last question, to know every reward; none where windows are open for longer than
/// anybody waits.
pub(super) fn settling(config: &Config) -> Option<std::time::Duration> {
    let wait = |reward: &RewardSource| match reward {
        RewardSource::Inline(reward) => reward.wait.0,
        RewardSource::File(_) => i64::MAX,
    };
    let waits = config.models.iter().filter(|model| model.name == MODEL).map(|model| wait(&model.reward));
    let window_ms = waits.max()?.saturating_add(config.time.out_of_orderness.0).unsigned_abs();
    let window = std::time::Duration::from_millis(window_ms);
    (window <= WINDOW_MAX).then(|| window + SLACK)
}

/// The data directory that was asked for, or a new one of the system's temporary directory.
pub(super) fn data(args: &DemoArgs) -> Result<PathBuf, Failure> {
    if let Some(data) = &args.data {
        return Ok(data.clone());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700);
    let parent = std::env::temp_dir();
    for number in 1..=1000 {
        let data = parent.join(format!("saccade-demo-{number}"));
        match builder.create(&data) {
            Ok(()) => return Ok(data),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                let message =
                    format!("making the data directory {}: {error}; choose one with --data DIR", data.display());
                return Err(Failure::Failed(message));
            }
        }
    }
    Err(Failure::Failed(format!("{} is full of old demos; choose a directory with --data DIR", parent.display())))
}

/// Writes `config` beside the data, for the commands that look into it later.
pub(super) fn keep_config(config: &Config, data: &Path) -> Result<PathBuf, Failure> {
    let path = data.join("demo.toml");
    let text = toml::to_string(config).map_err(Failure::failed)?;
    let text = format!(
        "# What `saccade demo` ran with: the default, but sessions and windows end sooner, and `home` is the demo's.\n{text}"
    );
    std::fs::write(&path, text).map_err(|error| Failure::Failed(format!("writing {}: {error}", path.display())))?;
    Ok(path)
}

/// Listens where the configuration says; where that port is taken and `--listen` was not given, on the next free one.
///
/// The second value is the address that was taken, if it was.
pub(super) async fn listen(args: &DemoArgs, config: &mut Config) -> Result<(TcpListener, Option<String>), Failure> {
    let wanted = config.server.listen.clone();
    let address = wanted.parse::<std::net::SocketAddr>();
    let (None, Ok(mut address)) = (&args.listen, address) else { return Ok((serve::listen(config).await?, None)) };
    let first = address.port();
    for port in first..=first.saturating_add(PORTS_MAX) {
        address.set_port(port);
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok((listener, (port != first).then_some(wanted))),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(_) => break,
        }
        config.server.listen = address.to_string();
    }
    config.server.listen = wanted;
    Ok((serve::listen(config).await?, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Format;

    fn args() -> DemoArgs {
        DemoArgs {
            duration: None,
            rate: 10,
            decisions: 10,
            seed: 1,
            listen: None,
            data: None,
            plain: true,
            config: None,
            format: Format::Text,
        }
    }

    #[test]
    fn the_configuration_that_is_kept_is_the_one_that_ran() {
        let Ok(config) = config(&args()) else { panic!("the built-in configuration loads") };
        let data = tempfile::tempdir().expect("a temporary directory");
        let Ok(path) = keep_config(&config, data.path()) else { panic!("the configuration is written") };
        assert_eq!(Config::load(Some(&path)).expect("what was written is a configuration"), config);
    }

    #[tokio::test]
    async fn a_taken_port_gives_way_to_the_next_and_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let wanted = taken.local_addr().expect("a bound address");
        let mut config = Config::default();
        config.server.listen = wanted.to_string();
        let Ok((listener, instead_of)) = listen(&args(), &mut config).await else { panic!("a later port is free") };
        assert!(listener.local_addr().expect("a bound address").port() > wanted.port());
        assert_eq!(instead_of, Some(wanted.to_string()));
    }
}
