//! The `saccade` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    saccade::cli::run()
}
