//! Two things measured in turn.

use std::hint::black_box;
use std::time::Instant;

const PAIRS: usize = 101;
/// Long enough for the clock, short enough that both halves of a pair meet the same weather.
const BATCH_NS: f64 = 2_000_000.0;
const BATCH_MOST: usize = 2000;

/// Nanoseconds an operation, and where there is something to compare with: its own, the ratio and its quartiles.
pub(crate) struct Row {
    pub(crate) ours: f64,
    pub(crate) bare: Option<(f64, f64, f64, f64)>,
}

pub(crate) fn time<T>(mut ours: impl FnMut() -> T) -> Row {
    let batch = batch_of(&mut ours);
    let mut times: Vec<_> = (0..PAIRS).map(|_| run(batch, &mut ours)).collect();
    Row { ours: quantile(&mut times, 0.5), bare: None }
}

pub(crate) fn compare<T, U>(mut ours: impl FnMut() -> T, mut bare: impl FnMut() -> U) -> Row {
    let batch = batch_of(&mut ours);
    let pairs = (0..PAIRS).map(|at| in_turn(at, || run(batch, &mut ours), || run(batch, &mut bare))).collect();
    row(pairs)
}

/// For operations that use up what they work on.
pub(crate) fn compare_prepared<A, B, T, U>(
    mut prepare_ours: impl FnMut() -> A,
    mut ours: impl FnMut(A) -> T,
    mut prepare_bare: impl FnMut() -> B,
    mut bare: impl FnMut(B) -> U,
) -> Row {
    let batch = 50;
    let pairs = (0..PAIRS)
        .map(|at| {
            in_turn(
                at,
                || run_prepared(batch, &mut prepare_ours, &mut ours),
                || run_prepared(batch, &mut prepare_bare, &mut bare),
            )
        })
        .collect();
    row(pairs)
}

/// Who goes first changes from pair to pair.
fn in_turn(at: usize, mut ours: impl FnMut() -> f64, mut bare: impl FnMut() -> f64) -> (f64, f64) {
    if at.is_multiple_of(2) {
        let first = ours();
        (first, bare())
    } else {
        let first = bare();
        (ours(), first)
    }
}

fn row(pairs: Vec<(f64, f64)>) -> Row {
    let mut ratios: Vec<_> = pairs.iter().map(|(ours, bare)| ours / bare).collect();
    let (mut ours, mut bare): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let ratio = quantile(&mut ratios, 0.5);
    let (low, high) = (quantile(&mut ratios, 0.25), quantile(&mut ratios, 0.75));
    Row { ours: quantile(&mut ours, 0.5), bare: Some((quantile(&mut bare, 0.5), ratio, low, high)) }
}

fn batch_of<T>(operation: &mut impl FnMut() -> T) -> usize {
    let one = run(20, operation);
    let mut batch = 1;
    while batch < BATCH_MOST && one * batch as f64 <= BATCH_NS {
        batch += 1;
    }
    batch
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn run<T>(batch: usize, operation: &mut impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    for _ in 0..batch {
        black_box(operation());
    }
    start.elapsed().as_nanos() as f64 / batch as f64
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn run_prepared<A, T>(batch: usize, prepare: &mut impl FnMut() -> A, operation: &mut impl FnMut(A) -> T) -> f64 {
    let prepared: Vec<_> = (0..batch).map(|_| prepare()).collect();
    let start = Instant::now();
    for input in prepared {
        black_box(operation(input));
    }
    start.elapsed().as_nanos() as f64 / batch as f64
}

fn quantile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    let place = (0..=last).find(|place| *place as f64 >= at * last as f64).unwrap_or(last);
    values[place]
}
