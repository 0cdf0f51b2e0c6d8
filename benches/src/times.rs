//! Times that were taken, and what is said of them. Everything is in microseconds.

use tokio::time::Instant;

/// Times of one kind.
#[derive(Clone, Default, Debug)]
pub struct Times(Vec<f64>);

impl Times {
    /// One more.
    pub fn note(&mut self, microseconds: f64) {
        self.0.push(microseconds);
    }

    /// All that another has.
    pub fn join(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// The one below which this share of them lies; 0 if there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let place = (0..last).find(|place| *place as f64 >= share * last as f64).unwrap_or(last);
        sorted.get(place).copied().unwrap_or_default()
    }

    /// The middle one.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The middle one, and the quartiles.
    #[must_use]
    pub fn quartiles(&self) -> String {
        format!("{:.2} ({:.2} to {:.2})", self.median(), self.quantile(0.25), self.quantile(0.75))
    }
}

impl FromIterator<f64> for Times {
    fn from_iter<I: IntoIterator<Item = f64>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

/// How long ago that is.
#[must_use]
pub fn since(begun: Instant) -> f64 {
    begun.elapsed().as_nanos() as f64 / 1000.0
}
