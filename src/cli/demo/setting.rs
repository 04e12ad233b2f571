//! Where the demo plays: its configuration, its data directory and its address.

use super::DemoArgs;
use crate::cli::{Failure, serve};
use crate::config::Config;
use saccade_topology::Duration;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

/// Ports tried when the configured one is taken.
const PORTS_MAX: u16 = 20;

/// The built-in configuration, in which sessions end while you watch; or the one that was asked for, as it is.
pub(super) fn config(args: &DemoArgs) -> Result<Config, Failure> {
    let mut config = Config::load(args.config.as_deref())?;
    if args.config.is_none() {
        config.session.gap = Duration::from_secs(20);
        config.time.allowed_lateness = Duration::from_secs(10);
    }
    if let Some(listen) = &args.listen {
        config.server.listen.clone_from(listen);
    }
    Ok(config)
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
    let text = format!("# What `saccade demo` ran with: the default, but sessions end sooner.\n{text}");
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
