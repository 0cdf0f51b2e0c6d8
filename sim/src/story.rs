//! What happened, in words, for people who look for a fault. It is silent unless somebody asked for it.

use crate::time::show;

/// Lines, the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    lines: Option<Vec<String>>,
}

impl Story {
    pub(crate) const fn silent() -> Self {
        Self { lines: None }
    }

    pub(crate) const fn told() -> Self {
        Self { lines: Some(Vec::new()) }
    }

    pub(crate) fn tell(&mut self, at: u64, node: Option<usize>, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let node = node.map_or_else(|| "  ".into(), |node| format!("n{node}"));
            lines.push(format!("{:>14} {node} {}", show(at), line()));
        }
    }

    pub(crate) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
