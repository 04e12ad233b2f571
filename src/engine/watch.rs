//! Reward specs in files of their own: a changed file is proposed and put in force, a bad one changes nothing and is told of.

use super::Engine;
use crate::config::read_reward;
use saccade_topology::decision::{Act, Control};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(1);
const BY: &str = "file";

struct File {
    model: String,
    path: PathBuf,
    /// As it was looked at last.
    text: Option<String>,
}

/// The files that the configuration names.
pub struct RewardFiles {
    engine: Arc<Engine>,
    files: Vec<File>,
}

impl RewardFiles {
    /// As they are now.
    pub fn new(engine: Arc<Engine>) -> RewardFiles {
        metrics::describe_counter!(
            super::metrics::FILES_REJECTED,
            metrics::Unit::Count,
            "changed reward files that could not be used, by model"
        );
        let file = |(model, path): (&String, &PathBuf)| {
            let text = std::fs::read_to_string(path).ok();
            metrics::counter!(super::metrics::FILES_REJECTED, "model" => model.clone()).increment(0);
            File { model: model.clone(), path: path.clone(), text }
        };
        let files = engine.shared.config.reward_files.iter().map(file).collect();
        RewardFiles { engine, files }
    }

    /// Looks at the files once a second, until it is dropped.
    pub async fn watch(mut self) {
        while !self.files.is_empty() {
            tokio::time::sleep(EVERY).await;
            self.look().await;
        }
    }

    /// Takes in what changed; gives the reasons where that was not possible.
    pub async fn look(&mut self) -> Vec<String> {
        let mut problems = vec![];
        for file in &mut self.files {
            let text = std::fs::read_to_string(&file.path).ok();
            if text == file.text {
                continue;
            }
            file.text = text;
            if let Err(why) = take(&self.engine, file).await {
                tracing::warn!(model = file.model, file = %file.path.display(), %why, "the changed reward spec is not used; the one in force stays");
                metrics::counter!(super::metrics::FILES_REJECTED, "model" => file.model.clone()).increment(1);
                problems.push(why);
            }
        }
        problems
    }
}

async fn take(engine: &Engine, file: &File) -> Result<(), String> {
    let spec = read_reward(&file.path).map_err(|error| error.to_string())?;
    let json = serde_json::to_string(&spec).expect("a spec is plain data");
    let place = engine.plan().model(&file.model).ok_or("the model is gone")?;
    let version = engine.version(&file.model).ok_or("the model is gone")?;
    let control = |action, text| Control { model: &file.model, action, version: spec.version, spec: text, by: BY };
    let propose = control(Act::Propose, json.as_str());
    version.registry().check(place, &propose).map_err(|error| error.to_string())?;
    if version.active == spec.version {
        return Ok(());
    }
    let changes = [propose, control(Act::Activate, "")];
    let receipt = engine.change(&changes).await.map_err(|error| error.to_string())?;
    if let Some(place) = receipt.last {
        engine.learnt(place).await;
    }
    tracing::info!(model = file.model, version = spec.version, "the reward spec of the file is in force");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn spec(version: u32, expression: &str) -> String {
        format!(
            "version = {version}\nexpression = \"{expression}\"\n[signals]\nclicked = {{ fold = \"any\", on = [\"click\"] }}\n"
        )
    }

    fn records_of(engine: &Engine) -> u64 {
        let mut records = 0;
        let count = &mut |_, _: &[u8]| {
            records += 1;
            Ok(std::ops::ControlFlow::Continue(()))
        };
        engine.log().read(0, saccade_topology::Offset(0), count).expect("the log is whole");
        records
    }

    fn config(directory: &std::path::Path) -> Result<Config, String> {
        let text = "[[models]]\nname = \"home\"\nreward = \"reward.toml\"\n";
        std::fs::write(directory.join("saccade.toml"), text).expect("it can be written");
        Config::load(Some(&directory.join("saccade.toml"))).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_changed_file_is_put_in_force_and_a_bad_one_changes_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let write = |text: &str| std::fs::write(directory.path().join("reward.toml"), text).expect("it can be written");
        write(&spec(1, "clicked"));
        let config = config(directory.path()).expect("valid");
        let engine = Arc::new(Engine::open(&config, &directory.path().join("data")).expect("the engine opens"));
        let mut files = RewardFiles::new(Arc::clone(&engine));
        let active = || engine.version("home").expect("a model").active;
        assert_eq!((files.look().await, active()), (vec![], 1), "nothing changed since the start");
        for (text, part) in [
            (spec(2, "clickt"), "clickt"),
            (spec(1, "clicked * 2.0"), "version 1 is taken"),
            ("version = ".into(), "reward.toml"),
        ] {
            write(&text);
            let problems = files.look().await;
            assert!(problems.len() == 1 && problems[0].contains(part), "{problems:?}");
            assert_eq!(active(), 1, "{text}");
        }
        write(&spec(2, "clicked * 2.0"));
        assert_eq!((files.look().await, active()), (vec![], 2));
    }

    #[test]
    fn a_spec_of_the_configuration_runs_from_the_first_start_and_a_changed_one_needs_another_version() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let write = |text: &str| std::fs::write(directory.path().join("reward.toml"), text).expect("it can be written");
        let open = || Engine::open(&config(directory.path()).expect("valid"), &directory.path().join("data"));
        for (version, records) in [(1, 2), (1, 2), (2, 4), (1, 4)] {
            write(&spec(version, &format!("clicked * {version}.0")));
            let engine = open().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(records_of(&engine), records);
            let in_force = engine.version("home").expect("a model").active;
            assert_eq!(in_force, if records == 2 { 1 } else { 2 }, "a start does not put in force what was replaced");
        }
        write(&spec(2, "clicked"));
        let error = open().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("model \"home\"") && error.contains("version 2 is taken"), "{error}");
        write(&spec(3, "clickt"));
        let error = config(directory.path()).expect_err("no such signal");
        assert!(error.contains("reward.toml") && error.contains("clickt"), "{error}");
    }
}
