//! Options of what is watched during a run, and of what becomes of its report.

use super::load::Load;
use super::values::whole;
use crate::measure::Watch;
use crate::report::Report;
use crate::slo::{self, Needs, Objective};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Viewers that are followed where events are drawn independently.
const PROBES: u16 = 100;
/// And of a profile, whose viewers rest most of the time.
const PROBES_OF_A_PROFILE: u16 = 500;

/// What is watched.
#[derive(Args, Clone)]
pub(super) struct Watching {
    /// Objectives; a missed one fails the run: publish_p99<1ms,lost=0,intended_p99.9<5ms
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = slo::objective, long_help = slo::HELP)]
    slo: Vec<Objective>,
    /// Viewers that are followed at a time from the sending of each event to its context, and whose vectors are compared with the fold of
    /// what was acknowledged; others follow those who leave. 0 for none, at most 1000 [default: 100; 500 with a profile, few of whose viewers act at once]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(0, 1000))]
    probes: Option<u16>,
    /// Configuration of the server, for the comparison of vectors; its built-in default without
    #[arg(long, value_name = "FILE", env = "SACCADE_CONFIG")]
    config: Option<PathBuf>,
    /// Also follow the stream of all contexts and check that versions never go back
    #[arg(long)]
    observe: bool,
    /// Show nothing while it runs
    #[arg(long, short)]
    quiet: bool,
}

/// What becomes of the report.
#[derive(Args, Clone)]
pub(super) struct Output {
    /// Form of the report on standard output
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
    /// Also keep it as JSON, for `report` and `compare`; `-` for standard output, and the form of --format on standard error
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also write it as one page with charts, without anything outside of it; `-` as for --out
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Form of a report.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A table.
    Text,
    /// One JSON object.
    Json,
}

impl Format {
    pub(super) fn print(self, found: &(impl Display + Serialize)) -> Result<(), String> {
        print(&self.text(found))
    }

    fn text(self, found: &(impl Display + Serialize)) -> String {
        match self {
            Format::Text => found.to_string(),
            Format::Json => serde_json::to_string_pretty(found).expect("plain data") + "\n",
        }
    }
}

/// Whether this means standard output.
pub(super) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Prints to standard output; who reads it may have gone, as `head` does.
pub(super) fn print(text: &str) -> Result<(), String> {
    print_to(&mut stdout().lock(), text)
}

fn print_to(out: &mut impl Write, text: &str) -> Result<(), String> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(format!("writing to standard output: {e}")),
        _ => Ok(()),
    }
}

impl Watching {
    /// An error where an objective is about what is not going to be measured.
    pub(super) fn watch(&self, load: &Load) -> Result<Watch, String> {
        let few = if load.has_profile() { PROBES_OF_A_PROFILE } else { PROBES };
        let (probes, config, objectives) = (self.probes.unwrap_or(few).into(), self.config.clone(), self.slo.clone());
        let unmeasured = |objective: &&Objective| match objective.needs() {
            Some(Needs::Probes) => probes == 0,
            Some(Needs::Profile) => !load.has_profile(),
            None => false,
        };
        if let Some(objective) = objectives.iter().find(unmeasured) {
            let without =
                if objective.needs() == Some(Needs::Probes) { "with --probes 0" } else { "without --profile" };
            return Err(format!("--slo {}: nothing of it is measured {without}", objective.text()));
        }
        Ok(Watch { observe: self.observe, probes, config, objectives })
    }

    pub(super) fn objectives(&self) -> &[Objective] {
        &self.slo
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }
}

impl Output {
    /// An error where a file that was asked for could not be written, before a run and not after it. `record` is another that is.
    pub(super) fn check(&self, record: Option<&Path>) -> Result<(), String> {
        let named = [("--out", self.out.as_deref()), ("--html", self.html.as_deref()), ("--record", record)];
        let named: Vec<_> = named.into_iter().filter_map(|(option, path)| Some((option, path?))).collect();
        for (i, (option, path)) in named.iter().enumerate() {
            if let Some((other, _)) = named[..i].iter().find(|(_, other)| is_same(path, other)) {
                return Err(format!("{other} and {option} are the same file, {}: give each its own", path.display()));
            }
        }
        let files = self.out.iter().chain(&self.html).filter(|path| !is_stdout(path));
        files.into_iter().try_for_each(|path| beside(path).map(drop).map_err(failed(path)))
    }

    pub(super) fn has_files(&self) -> bool {
        self.out.is_some() || self.html.is_some()
    }

    /// Writes the files that were asked for, each whatever became of the other, and prints the report. Where standard output `is_taken` by
    /// a record, or is one of the files, the report is printed on standard error.
    pub(super) fn give(&self, report: &Report, is_taken: bool) -> Result<(), String> {
        self.give_to(report, is_taken, &mut stdout().lock(), &mut stderr().lock())
    }

    fn give_to(
        &self,
        report: &Report,
        is_taken: bool,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> Result<(), String> {
        let mut keep = |path: &Path, text: String| match is_stdout(path) {
            true => print_to(out, &(text.trim_end().to_owned() + "\n")),
            false => write(path, &text),
        };
        let kept = self.out.as_deref().map_or(Ok(()), |path| keep(path, report.to_json()));
        let page = self.html.as_deref().map_or(Ok(()), |path| keep(path, report.to_html()));
        let is_out = |file: &Option<PathBuf>| file.as_deref().is_some_and(is_stdout);
        let printed = match (self.format, is_out(&self.out), is_taken || is_out(&self.html)) {
            // It is there already.
            (Format::Json, true, _) => Ok(()),
            (format, false, false) => print_to(out, &format.text(report)),
            (format, ..) => print_to(err, &format.text(report)),
        };
        printed.and(kept).and(page)
    }
}

/// Writes a whole file: what was there before stays until all is written.
pub(super) fn write(path: &Path, text: &str) -> Result<(), String> {
    // What a link leads to, not the link.
    let place = path.canonicalize().unwrap_or_else(|_| path.into());
    let written = || match beside(&place)? {
        None => std::fs::write(&place, text),
        Some(mut file) => {
            // Its own errors name the file beside it.
            file.as_file_mut().write_all(text.as_bytes())?;
            file.persist(&place)?;
            Ok(())
        }
    };
    written().map_err(failed(path))
}

/// A new file in the same folder, that takes the place of `path`; none where that is no plain file, but a device say.
fn beside(path: &Path) -> io::Result<Option<NamedTempFile>> {
    if path.exists() && !path.is_file() {
        return File::options().append(true).open(path).map(|_| None);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(io::Error::new(ErrorKind::NotFound, format!("there is no folder {}", folder.display())));
    }
    let mut file = tempfile::Builder::new();
    #[cfg(unix)]
    file.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // Without the name of the file beside it, which nobody has given.
    let failed =
        |e: io::Error| io::Error::new(e.kind(), format!("no file can be made in {} ({})", folder.display(), e.kind()));
    file.prefix(".saccade-loadgen-").tempfile_in(folder).map(Some).map_err(failed)
}

/// Whether both name one plain file; two can go to one device.
fn is_same(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.into());
    place(a) == place(b) && (!a.exists() || a.is_file())
}

fn failed(path: &Path) -> impl Fn(io::Error) -> String + '_ {
    move |e| format!("writing {}: {e}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_is_standard_output_and_the_text_is_then_on_standard_error() {
        let report = crate::report::Report::new(crate::report::tests::run(0, Default::default()), &[]);
        let given = |format, out: Option<&str>, html: Option<&str>, is_taken| {
            let output = Output { format, out: out.map(Into::into), html: html.map(Into::into) };
            output.check(None).expect("nothing is to be made");
            let (mut out, mut err) = (vec![], vec![]);
            output.give_to(&report, is_taken, &mut out, &mut err).expect("a Vec takes it");
            [out, err].map(|text| String::from_utf8(text).expect("it is text"))
        };
        let (json, text, none) = (report.to_json() + "\n", report.to_string(), String::new());
        assert_eq!(given(Format::Text, None, None, false), [text.clone(), none.clone()]);
        assert_eq!(given(Format::Text, Some("-"), None, false), [json.clone(), text.clone()]);
        assert_eq!(given(Format::Json, Some("-"), None, false), [json, none.clone()], "not twice");
        assert_eq!(given(Format::Text, None, Some("-"), false), [report.to_html(), text.clone()]);
        assert_eq!(given(Format::Text, None, None, true), [none, text], "a record is there");
        assert!(!Path::new("-").exists());
    }

    #[test]
    fn a_file_is_there_whole_or_as_it_was_and_a_bad_place_is_known_before() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("run.json");
        let output = |out: &Path| Output { format: Format::Text, out: Some(out.into()), html: None };
        output(&path).check(None).expect("it can be written");
        assert!(!path.exists(), "nothing is there yet");
        for text in ["one", "another"] {
            write(&path, text).expect("it can be written");
            assert_eq!(std::fs::read_to_string(&path).expect("it is there"), text);
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
        for bad in [folder.path().join("none/run.json"), folder.path().into()] {
            let error = output(&bad).check(None).expect_err("it cannot be written");
            assert!(error.contains(&bad.display().to_string()) && !error.contains("/.saccade-loadgen"), "{error}");
        }
        let both = |path: &Path| Output { html: Some(path.into()), ..output(path) };
        let error = both(&folder.path().join("one")).check(None).expect_err("one would overwrite the other");
        assert!(error.contains("--out and --html are the same file"), "{error}");
        let error = output(&path).check(Some(&path)).expect_err("the report would overwrite the record");
        assert!(error.contains("--out and --record are the same file"), "{error}");
        both(Path::new("/dev/null")).check(Some(Path::new("/dev/null"))).expect("a device takes both");
        write(Path::new("/dev/null"), "gone").expect("a device is written to, not replaced");
    }
}
