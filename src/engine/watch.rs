//! Reward specs in files of their own: a changed file is proposed and put in force, a bad one changes nothing and is told of.

use super::Engine;
use super::specs::ChangeError;
use crate::config::read_reward;
use saccade_topology::decision::{Act, Control};
use saccade_topology::model::{ModelSpec, RewardSource};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(1);
const BY: &str = "file";

struct File {
    model: String,
    path: PathBuf,
    /// As it was looked at last, and came to its end.
    text: Option<String>,
    /// It was told that it cannot be taken in now.
    is_told: bool,
}

/// Why a file is not in force.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    /// Because of what it says.
    #[error("{0}")]
    File(String),
    /// It will be tried again.
    #[error("{0}; it is tried again")]
    ForNow(String),
}

/// The files that the configuration names.
pub struct RewardFiles {
    engine: Arc<Engine>,
    files: Vec<File>,
}

impl RewardFiles {
    /// As they were when the configuration was read: what has changed since is looked at first.
    pub fn new(engine: Arc<Engine>) -> RewardFiles {
        metrics::describe_counter!(
            super::metrics::FILES_REJECTED,
            metrics::Unit::Count,
            "changed reward files that could not be used, by model"
        );
        let file = |(model, path): (&String, &PathBuf)| {
            let of_model = |spec: &&ModelSpec| spec.name == *model;
            let known = engine.shared.config.models.iter().find(of_model).map(|spec| &spec.reward);
            let is_same = read_reward(path).is_ok_and(|now| known == Some(&RewardSource::Inline(Box::new(now))));
            let text = std::fs::read_to_string(path).ok().filter(|_| is_same);
            metrics::counter!(super::metrics::FILES_REJECTED, "model" => model.clone()).increment(0);
            File { model: model.clone(), path: path.clone(), text, is_told: false }
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
            let taken = take(&self.engine, file).await;
            let is_for_now = matches!(taken, Err(NotTaken::ForNow(_)));
            if let Err(why) = &taken
                && !(is_for_now && file.is_told)
            {
                tracing::warn!(model = file.model, file = %file.path.display(), %why, "the changed reward spec is not used; the one in force stays");
                metrics::counter!(super::metrics::FILES_REJECTED, "model" => file.model.clone()).increment(1);
                problems.push(why.to_string());
            }
            file.is_told = is_for_now;
            if !is_for_now {
                file.text = text;
            }
        }
        problems
    }
}

async fn take(engine: &Engine, file: &File) -> Result<(), NotTaken> {
    let at_fault = |error: &dyn std::error::Error| NotTaken::File(error.to_string());
    let spec = read_reward(&file.path).map_err(|error| at_fault(&error))?;
    let json = serde_json::to_string(&spec).expect("a spec is plain data");
    let gone = || NotTaken::File("the model is gone".into());
    let place = engine.plan().model(&file.model).ok_or_else(gone)?;
    let version = engine.version(&file.model).ok_or_else(gone)?;
    let control = |action, text| Control { model: &file.model, action, version: spec.version, spec: text, by: BY };
    let propose = control(Act::Propose, json.as_str());
    version.registry().check(place, &propose).map_err(|error| at_fault(&error))?;
    if version.active == spec.version {
        return Ok(());
    }
    let changes = [propose, control(Act::Activate, "")];
    let receipt = engine.change(&changes).await.map_err(|error| match error {
        ChangeError::Control(error) => at_fault(&error),
        ChangeError::Submit(error) => NotTaken::ForNow(error.to_string()),
    })?;
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

    #[tokio::test]
    async fn what_changed_while_the_engine_opened_or_cannot_be_taken_now_is_taken_later() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let write = |text: &str| std::fs::write(directory.path().join("reward.toml"), text).expect("it can be written");
        write(&spec(1, "clicked"));
        let config = config(directory.path()).expect("valid");
        write(&spec(2, "clicked * 2.0"));
        let engine = Arc::new(Engine::open(&config, &directory.path().join("data")).expect("the engine opens"));
        let mut files = RewardFiles::new(Arc::clone(&engine));
        let active = || engine.version("home").expect("a model").active;
        assert_eq!((files.look().await, active()), (vec![], 2));
        write(&spec(3, "clicked * 3.0"));
        let disk = &engine.shared.disk_free;
        disk.store(0, std::sync::atomic::Ordering::Relaxed);
        let problems = files.look().await;
        assert!(problems.len() == 1 && problems[0].ends_with("it is tried again") && active() == 2, "{problems:?}");
        disk.store(0, std::sync::atomic::Ordering::Relaxed);
        assert_eq!((files.look().await, active()), (vec![], 2), "it is told once");
        disk.store(u64::MAX, std::sync::atomic::Ordering::Relaxed);
        assert_eq!((files.look().await, active()), (vec![], 3));
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
