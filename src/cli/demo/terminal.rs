//! The terminal while the picture is on it: taken over, given back, and its keys.
//!
//! Given back at the end, on a panic, and before the process reports an error and ends itself.

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal that shows pictures.
pub(super) struct Screen(DefaultTerminal);

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Next,
    Pause,
    /// Nothing that the demo knows, but the picture may have another size now.
    Other,
}

impl Screen {
    pub(super) fn take() -> io::Result<Screen> {
        let terminal = ratatui::try_init()?;
        TAKEN.store(true, Ordering::SeqCst);
        Ok(Screen(terminal))
    }

    /// False once an error has given the terminal back.
    pub(super) fn is_there(&self) -> bool {
        TAKEN.load(Ordering::SeqCst)
    }

    pub(super) fn draw(&mut self, render: impl FnOnce(&mut ratatui::Frame<'_>)) -> io::Result<()> {
        self.0.draw(render).map(drop)
    }

    /// The next key, if one comes in time.
    pub(super) fn key(&self, timeout: Duration) -> io::Result<Option<Key>> {
        if !event::poll(timeout)? {
            return Ok(None);
        }
        let Event::Key(key) = event::read()? else { return Ok(Some(Key::Other)) };
        if key.kind != KeyEventKind::Press {
            return Ok(Some(Key::Other));
        }
        Ok(Some(match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
            KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
            KeyCode::Char('n') | KeyCode::Tab => Key::Next,
            KeyCode::Char('p') | KeyCode::Char(' ') => Key::Pause,
            _ => Key::Other,
        }))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        ratatui::restore();
    }
}

/// Logs behind the picture: an error gives the terminal back and is printed, everything less is dropped.
pub(super) fn install_logs() {
    let logs = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_target(false).with_writer(Behind);
    if logs.try_init().is_err() {
        tracing::debug!("logs were installed before");
    }
}

struct Behind;

impl<'a> MakeWriter<'a> for Behind {
    type Writer = io::Stderr;

    fn make_writer(&'a self) -> io::Stderr {
        give_back();
        io::stderr()
    }
}
