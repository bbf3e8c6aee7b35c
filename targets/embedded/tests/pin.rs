//! The pin that marks a run.
#![allow(missing_docs, clippy::unwrap_used)]

use embedded_hal::digital::{Error, ErrorKind, ErrorType, OutputPin};
use sanderling_embedded::{Classifier, Fpu, Limits, MarkError, Session, run_marked};

/// Writes down how it was set; the n-th time it fails.
#[derive(Default)]
struct Pin {
    levels: Vec<bool>,
    fails_at: Option<usize>,
}

#[derive(Debug, PartialEq)]
struct Short;

impl Error for Short {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl ErrorType for Pin {
    type Error = Short;
}

impl Pin {
    fn set(&mut self, level: bool) -> Result<(), Short> {
        self.levels.push(level);
        if self.fails_at == Some(self.levels.len()) {
            Err(Short)
        } else {
            Ok(())
        }
    }
}

impl OutputPin for Pin {
    fn set_high(&mut self) -> Result<(), Short> {
        self.set(true)
    }

    fn set_low(&mut self) -> Result<(), Short> {
        self.set(false)
    }
}

fn bundle() -> Vec<u8> {
    use sanderling_compiler::onnx::{Limits, read_file};
    use sanderling_compiler::{OptimiseOptions, Recipe, pack};
    let model =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cortex-m/model/model.onnx");
    let table = sanderling_core::OpTable(sanderling_core::ops::ALL);
    let graph = read_file(&model, table, &Limits::default()).unwrap();
    pack::pack(
        graph,
        &Recipe::named("fashion"),
        table,
        &OptimiseOptions::default(),
        &mut |_| {},
    )
    .unwrap()
    .bytes
}

#[test]
fn it_is_high_while_the_model_runs_and_low_after_it() {
    let bundle = bundle();
    let mut arena = vec![0; 32 * 1024];
    let limits = Limits { stack_bytes: 8192 };
    let mut session = Session::new(&bundle, Classifier::<Fpu>::TABLE, &mut arena, &limits).unwrap();
    session.set_input(0, &[9; 784]).unwrap();
    session.run().unwrap();
    let expected = session.output(0).unwrap().bytes.to_vec();

    let mut pin = Pin::default();
    session.set_input(0, &[9; 784]).unwrap();
    run_marked(&mut session, &mut pin).unwrap();
    assert_eq!(pin.levels, [true, false]);
    assert_eq!(session.output(0).unwrap().bytes, expected);

    // Before the run nothing was computed; after it the outputs are there.
    let mut pin = Pin {
        fails_at: Some(1),
        ..Pin::default()
    };
    let result: Result<(), MarkError<'_, Short>> = run_marked(&mut session, &mut pin);
    assert_eq!((result, pin.levels), (Err(MarkError::Pin(Short)), vec![true]));
    let mut pin = Pin {
        fails_at: Some(2),
        ..Pin::default()
    };
    session.set_input(0, &[9; 784]).unwrap();
    let error = run_marked(&mut session, &mut pin).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the pin that marks a run could not be set: Short"
    );
    assert_eq!(session.output(0).unwrap().bytes, expected);
}
