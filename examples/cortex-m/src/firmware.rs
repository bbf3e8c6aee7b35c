//! What runs on the board: the ten lines of targets/embedded's README, and what the judge wants to know.

use crate::stack;
use crate::{IMAGE_LEN, IMAGES};
use core::fmt;
use sanderling_embedded::{Classifier, Limits, Session, Tensor, value_digest};
use semihosting::{println, process::ExitCode};

#[cfg(target_arch = "arm")]
use sanderling_embedded::Fpu as Core;
#[cfg(not(target_arch = "arm"))]
use sanderling_embedded::NoFpu as Core;

#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

include!(concat!(env!("OUT_DIR"), "/bundle.rs"));

/// More than the model needs, so that what it does not touch can be seen.
const ARENA_LEN: usize = 20 * 1024;
/// What memory.x leaves beside the arena, less what `main` itself takes.
const STACK_BYTES: usize = 12 * 1024;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let code = match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error {error}");
            ExitCode::FAILURE
        }
    };
    code.exit_process()
}

struct Arena([u8; ARENA_LEN]);

fn run() -> Result<(), sanderling_embedded::MicroError<'static>> {
    let mut arena = Arena([0; ARENA_LEN]);
    let (mut deepest, mut touched) = (0, 0);
    // Bytes that happen to be the paint are told from untouched ones by another paint.
    for paint in [0x5a, 0xa5] {
        arena.0.fill(paint);
        deepest = deepest.max(measure(&mut arena.0)?);
        let untouched = arena.0.iter().rev().take_while(|&&byte| byte == paint).count();
        touched = touched.max(ARENA_LEN - untouched);
    }
    let limits = Limits {
        stack_bytes: STACK_BYTES,
    };
    let mut session = Session::new(&BUNDLE.0, Classifier::<Core>::TABLE, &mut arena.0, &limits)?;
    let certificate = session.certificate();
    println!("arena {touched} certificate {}", certificate.arena_bytes);
    println!("stack {deepest} bound {}", certificate.stack_bytes);
    for (i, row) in IMAGES.chunks_exact(IMAGE_LEN).enumerate() {
        session.set_input(0, &row[1..])?;
        session.run_observed(&mut |layer| {
            println!("layer {i} {} {}", layer.name, Digest(&layer.tensor));
        })?;
        let logits = session.output(0)?;
        println!(
            "image {i} label {} is {} digest {}",
            best(&logits),
            row[0],
            Digest(&logits)
        );
    }
    #[cfg(target_arch = "arm")]
    mark(&mut session)?;
    println!("done");
    Ok(())
}

/// A run with the light on. The other board has no light.
#[cfg(target_arch = "arm")]
fn mark(session: &mut Session<'static, '_>) -> Result<(), sanderling_embedded::MicroError<'static>> {
    use sanderling_embedded::{MarkError, run_marked};
    let mut led = crate::led::Led::default();
    session.set_input(0, &IMAGES[1..IMAGE_LEN])?;
    match run_marked(session, &mut led) {
        Ok(()) => println!("pin highs {} lows {}", led.highs, led.lows),
        Err(MarkError::Run(error)) => return Err(error),
        Err(error) => println!("error {error}"),
    }
    Ok(())
}

/// Stack of making a session and of one run.
fn measure(arena: &mut [u8]) -> Result<usize, sanderling_embedded::MicroError<'static>> {
    let limits = Limits {
        stack_bytes: STACK_BYTES,
    };
    let mut once = || {
        let mut session = Session::new(&BUNDLE.0, Classifier::<Core>::TABLE, arena, &limits)?;
        session.set_input(0, &IMAGES[1..IMAGE_LEN])?;
        session.run()
    };
    let mut result = Ok(());
    let used = stack::used_by(|| result = once());
    result.map(|()| used)
}

/// The class with the greatest logit.
fn best(logits: &Tensor<'_>) -> usize {
    let value = |n| logits.f32(n).unwrap_or(f32::NEG_INFINITY);
    let classes = 0..logits.shape.elements();
    classes
        .reduce(|best, n| if value(n) > value(best) { n } else { best })
        .unwrap_or(0)
}

/// As `sanderling hash` prints a layer's digest.
struct Digest<'t>(&'t Tensor<'t>);

impl fmt::Display for Digest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut dims = [0; sanderling_embedded::MAX_RANK];
        for (to, dim) in dims.iter_mut().zip(self.0.shape.iter()) {
            *to = dim as u64;
        }
        let digest = value_digest(self.0.dtype, &dims[..self.0.shape.rank()], self.0.bytes);
        digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
