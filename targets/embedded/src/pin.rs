//! A pin that shows when a model runs: what a logic analyser times and an energy monitor integrates over.

use core::fmt;
use embedded_hal::digital::OutputPin;
use sanderling_micro::{MicroError, Session};

/// Why a marked run failed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MarkError<'a, E> {
    /// The model's run did.
    Run(MicroError<'a>),
    /// The pin could not be set. Before the run, then nothing was computed; after it, the outputs are those of the run.
    Pin(E),
}

impl<E: fmt::Debug> fmt::Display for MarkError<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(error) => error.fmt(f),
            Self::Pin(error) => write!(f, "the pin that marks a run could not be set: {error:?}"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for MarkError<'_, E> {}

/// Runs the model with `pin` high, and leaves it low, also where the run fails: latency and energy are measured from
/// outside, by the edges, as MLPerf Tiny's runner does.
///
/// # Errors
/// [`MarkError::Run`] as [`Session::run`], [`MarkError::Pin`] with what the pin's driver says.
pub fn run_marked<'a, P: OutputPin>(
    session: &mut Session<'a, '_>,
    pin: &mut P,
) -> Result<(), MarkError<'a, P::Error>> {
    pin.set_high().map_err(MarkError::Pin)?;
    let run = session.run().map_err(MarkError::Run);
    let low = pin.set_low().map_err(MarkError::Pin);
    run.and(low)
}
