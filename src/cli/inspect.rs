//! `saccade inspect`: how something came about.

use super::{Common, Failure, Format};
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum InspectCommand {
    /// A session: its events in event-time order, its vector, and what moved each number
    Session(SessionArgs),
}

#[derive(clap::Args)]
pub(crate) struct SessionArgs {
    #[command(flatten)]
    common: Common,
    /// Session id
    #[arg(value_name = "ID")]
    id: String,
}

impl InspectCommand {
    pub(crate) fn format(&self) -> Format {
        let InspectCommand::Session(args) = self;
        args.common.format
    }
}

pub(crate) fn run(_: &InspectCommand) -> Result<(), Failure> {
    Err(Failure::Failed("to be written".into()))
}
