//! The terminal while `top` has it: another screen than the one that was there, keys as they are typed, and all of it as
//! it was when this is dropped.

use std::io::{IsTerminal, Stdin, Stdout, Write};

use anstream::{AutoStream, ColorChoice};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::page::Page;
use crate::render::{BOLD, DIM, RED};

/// Another screen, no cursor; and back.
const TAKE: &[u8] = b"\x1b[?1049h\x1b[?25l";
const GIVE_BACK: &[u8] = b"\x1b[?25h\x1b[?1049l";
/// Where a terminal does not say how large it is.
const USUAL: (usize, usize) = (80, 24);

pub(super) struct Terminal {
    keys: Stdin,
    screen: Stdout,
    before: Termios,
}

/// How a line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Look {
    Plain,
    Bold,
    Dim,
    Red,
}

impl Terminal {
    pub(super) fn take() -> std::io::Result<Self> {
        let (keys, screen) = (std::io::stdin(), std::io::stdout());
        if !screen.is_terminal() {
            return Err(std::io::Error::other("standard output is none"));
        }
        let before = tcgetattr(&keys).map_err(|error| std::io::Error::other(format!("standard input: {error}")))?;
        let mut typed = before.clone();
        typed.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        // Whoever is sent to the background could not give the screen back.
        typed.special_codes[SpecialCodeIndex::VSUSP] = 0;
        tcsetattr(&keys, OptionalActions::Flush, &typed)?;
        let terminal = Self { keys, screen, before };
        terminal.write(TAKE);
        Ok(terminal)
    }

    /// Shows as much of a page as there is room for.
    pub(super) fn show(&self, page: &Page<'_>) {
        let size = tcgetwinsize(&self.screen).ok();
        let size = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        let (columns, rows) = size.filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or(USUAL);
        let has_colours = AutoStream::choice(&self.screen) != ColorChoice::Never;
        let mut shown = String::from("\x1b[H");
        for (index, (look, line)) in page.lines(rows).into_iter().take(rows).enumerate() {
            let line: String = line.chars().take(columns).collect();
            let style = match look {
                Look::Bold => Some(BOLD),
                Look::Dim => Some(DIM),
                Look::Red => Some(RED),
                Look::Plain => None,
            };
            shown.push_str(if index == 0 { "" } else { "\r\n" });
            match style.filter(|_| has_colours) {
                Some(style) => shown.push_str(&format!("{style}{line}{style:#}")),
                None => shown.push_str(&line),
            }
            shown.push_str("\x1b[K");
        }
        shown.push_str("\x1b[J");
        self.write(shown.as_bytes());
    }

    fn write(&self, bytes: &[u8]) {
        // Whoever looked may have left.
        let mut screen = self.screen.lock();
        let _ = screen.write_all(bytes).and_then(|()| screen.flush());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.write(GIVE_BACK);
        let _ = tcsetattr(&self.keys, OptionalActions::Flush, &self.before);
    }
}
