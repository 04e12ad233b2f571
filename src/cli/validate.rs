//! `saccade validate`.
use super::{Common, Failure};

#[derive(clap::Args)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub common: Common,
}

pub(crate) fn run(_: &ValidateArgs) -> Result<(), Failure> {
    Err(Failure::Failed("to be written".into()))
}
