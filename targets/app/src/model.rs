//! A loaded model that any thread may use, one at a time.

use crate::error::{AppError, Kind};
use sanderling_session::{
    Answer, Best, CoreError, ImageRgb, Input, Layer, ModelBytes, Outputs, Pipeline, PortInfo, SelfTest,
    Session, SessionError, SessionOptions, TensorView,
};
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// How a model runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelOptions {
    /// Threads to compute with, the calling one included; 0 is 1, more than 1024 is 1024.
    pub threads: usize,
    /// Most bytes of intermediates and packed weights; 0 is 4 GiB.
    pub memory_limit: u64,
}

impl ModelOptions {
    /// Refuses a bundle that is longer than the limit on memory before it is read.
    fn fits(&self, length: u64) -> Result<(), AppError> {
        let limit = match self.memory_limit {
            0 => SessionOptions::default().memory_limit,
            limit => limit,
        };
        if length <= limit {
            return Ok(());
        }
        let words = format!("the bundle has {length} bytes, the memory limit is {limit}: raise the limit");
        Err(AppError::new(Kind::TooLarge, words))
    }
}

/// With the bundle's own processing where it says how files become answers; else the session, and why there is none.
enum Loaded {
    Pipeline(Box<Pipeline>),
    Session(Box<Session>, SessionError),
}

/// A loaded model, which may move between threads.
struct Engine(Loaded);

// SAFETY: what keeps a session from being `Send` is its reference counts (bytes, backends, prepared models), which two
// threads must not change at one time. All owners of one count are inside of one engine: it reads the bytes itself, makes
// the default backend itself, and hands out neither; `Loaded` is private to this module. So a count is only ever changed by
// the thread that has the engine. The default backend's pool of threads is `Sync`, and nothing in a session is bound to
// the thread that made it.
#[allow(unsafe_code)]
unsafe impl Send for Engine {}

impl Engine {
    fn load(bytes: ModelBytes, options: ModelOptions) -> Result<Self, AppError> {
        let mut wanted = SessionOptions {
            threads: options.threads.clamp(1, 1024),
            ..SessionOptions::default()
        };
        if options.memory_limit > 0 {
            wanted.memory_limit = options.memory_limit;
        }
        // Whatever is wrong here is wrong with the bundle.
        let session = Session::from_bundle(bytes, &wanted).map_err(|error| match &error {
            SessionError::Core(CoreError::TooLarge { .. }) | SessionError::TooLarge { .. } => {
                AppError::from(error)
            }
            _ => AppError::new(Kind::Bundle, error.to_string()),
        })?;
        Ok(Self(match Pipeline::check(&session) {
            Ok(()) => Loaded::Pipeline(Box::new(Pipeline::new(session)?)),
            Err(why) => Loaded::Session(Box::new(session), why),
        }))
    }

    fn session(&mut self) -> &mut Session {
        match &mut self.0 {
            Loaded::Pipeline(pipeline) => pipeline.session_mut(),
            Loaded::Session(session, _) => session,
        }
    }

    fn pipeline(&mut self) -> Result<&mut Pipeline, AppError> {
        match &mut self.0 {
            Loaded::Pipeline(pipeline) => Ok(pipeline),
            Loaded::Session(_, why) => Err(AppError::argument(format!(
                "the bundle does not say how a file becomes an answer ({why}): run it on tensors"
            ))),
        }
    }
}

/// A loaded model. Calls from two threads at one time: the second gets [`Kind::Busy`].
pub struct Model {
    engine: Mutex<Option<Engine>>,
    inputs: Vec<PortInfo>,
    outputs: Vec<PortInfo>,
    labels: Vec<String>,
    name: String,
    version: String,
}

impl Model {
    /// Opens a bundle that lies in memory; the bytes are copied.
    ///
    /// # Errors
    /// [`Kind::Bundle`].
    pub fn open(bundle: &[u8], options: ModelOptions) -> Result<Self, AppError> {
        options.fits(bundle.len() as u64)?;
        Self::of(ModelBytes::copy_of(bundle), options)
    }

    /// Opens a bundle from a file, which is read whole.
    ///
    /// # Errors
    /// [`Kind::File`], [`Kind::Bundle`].
    pub fn open_file(path: &Path, options: ModelOptions) -> Result<Self, AppError> {
        let named = |error: AppError| AppError {
            message: format!("{}: {}", path.display(), error.message),
            ..error
        };
        let io = |error: std::io::Error| named(AppError::new(Kind::File, error.to_string()));
        let length = std::fs::metadata(path).map_err(io)?.len();
        options.fits(length).map_err(named)?;
        let bytes = ModelBytes::read(path).map_err(io)?;
        Self::of(bytes, options).map_err(named)
    }

    /// Opens a bundle of `length` bytes from a reader, such as the file whose hash was verified.
    ///
    /// # Errors
    /// [`Kind::File`], [`Kind::Bundle`].
    pub fn read(reader: &mut impl Read, length: usize, options: ModelOptions) -> Result<Self, AppError> {
        options.fits(length as u64)?;
        let bytes = ModelBytes::read_from(reader, length);
        Self::of(
            bytes.map_err(|error| AppError::new(Kind::File, error.to_string()))?,
            options,
        )
    }

    fn of(bytes: ModelBytes, options: ModelOptions) -> Result<Self, AppError> {
        let mut engine = Engine::load(bytes, options)?;
        let labels = match &engine.0 {
            Loaded::Pipeline(pipeline) => pipeline.labels().map(String::from).collect(),
            Loaded::Session(..) => Vec::new(),
        };
        let session = engine.session();
        let (inputs, outputs) = (session.inputs().to_vec(), session.outputs().to_vec());
        let of_manifest = session.manifest().map(|m| (m.name.clone(), m.version.clone()));
        let (name, version) = of_manifest.unwrap_or_default();
        Ok(Self {
            engine: Mutex::new(Some(engine)),
            inputs,
            outputs,
            labels,
            name,
            version,
        })
    }

    /// What goes in, in order.
    #[must_use]
    pub fn inputs(&self) -> &[PortInfo] {
        &self.inputs
    }

    /// What comes out, in order.
    #[must_use]
    pub fn outputs(&self) -> &[PortInfo] {
        &self.outputs
    }

    /// Labels of a classifier, by index; none where the bundle has none.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The model's name: stable over its versions.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The owner's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Runs the model on inputs by name; `take` sees the outputs where they lie.
    ///
    /// # Errors
    /// [`Kind::Input`], [`Kind::Run`], [`Kind::Busy`], [`Kind::Closed`]; likewise for all below.
    pub fn run<T>(
        &self,
        inputs: &[(&str, TensorView<'_>)],
        take: impl FnOnce(&Outputs<'_>) -> T,
    ) -> Result<T, AppError> {
        self.with(|engine| Ok(take(&engine.session().run(inputs)?)))
    }

    /// Answers a file's bytes by the bundle's own pre- and post-processing; `top` bounds how many labels come with it.
    ///
    /// # Errors
    /// [`Kind::Argument`] where the bundle has no such processing.
    pub fn answer(&self, file: &[u8], top: Option<usize>) -> Result<Answer, AppError> {
        self.with(|engine| Ok(engine.pipeline()?.answer(&Input::Bytes(file), top)?))
    }

    /// [`Self::answer`], which waits for a call that is under way instead of giving [`Kind::Busy`].
    pub(crate) fn answer_waiting(&self, file: &[u8], top: Option<usize>) -> Result<Answer, AppError> {
        let mut engine = self.engine.lock().map_err(|_| fault())?;
        let engine = engine.as_mut().ok_or_else(closed)?;
        Ok(engine.pipeline()?.answer(&Input::Bytes(file), top)?)
    }

    /// Answers an image of 8-bit red, green and blue, row by row, as [`Self::answer`] does a file.
    ///
    /// # Errors
    /// [`Kind::Argument`] where the bundle has no such processing.
    pub fn answer_image(&self, image: ImageRgb<'_>, top: Option<usize>) -> Result<Answer, AppError> {
        self.with(|engine| Ok(engine.pipeline()?.answer(&Input::Image(image), top)?))
    }

    /// Runs the model and gives every layer, with the digests of those that compute integers.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn layers(&self, inputs: &[(&str, TensorView<'_>)]) -> Result<Vec<Layer>, AppError> {
        self.with(|engine| Ok(engine.session().layers(inputs)?))
    }

    /// [`Self::layers`] as the JSON that `sanderling hash --against` reads.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn hash(&self, inputs: &[(&str, TensorView<'_>)]) -> Result<String, AppError> {
        let layers = self.layers(inputs)?;
        let rows = layers.iter().map(|layer| {
            serde_json::json!({
                "value": layer.value,
                "operator": layer.operator,
                "type": layer.ty.to_string(),
                "digest": layer.digest.map(|digest| hex(&digest)),
            })
        });
        let report = serde_json::json!({
            "model": "",
            "instructions": Best::detect().name(),
            "layers": rows.collect::<Vec<_>>(),
            "integer_layers": layers.iter().filter(|layer| layer.digest.is_some()).count(),
        });
        Ok(report.to_string())
    }

    /// Runs the golden vectors.
    ///
    /// # Errors
    /// [`Kind::Bundle`].
    pub fn self_test(&self) -> Result<SelfTest, AppError> {
        self.with(|engine| Ok(engine.session().self_test()?))
    }

    /// Whether every golden vector passes, and there is one; what failed, in words.
    ///
    /// # Errors
    /// [`Kind::Bundle`].
    pub fn check(&self) -> Result<(), AppError> {
        let test = self.self_test()?;
        if test.passed() {
            return Ok(());
        }
        let failed = test.vectors.iter();
        let failed =
            failed.filter_map(|v| Some(format!("golden vector '{}': {}", v.name, v.failure.as_ref()?)));
        let words = failed.take(1).next();
        let words = words.unwrap_or_else(|| "the bundle has no golden vectors".to_string());
        Err(AppError::new(Kind::Bundle, words))
    }

    /// SHA-256 of the bundle, in hexadecimal.
    ///
    /// # Errors
    /// [`Kind::Busy`], [`Kind::Closed`].
    pub fn digest(&self) -> Result<String, AppError> {
        self.with(|engine| {
            Ok(engine
                .session()
                .digest()
                .map(|digest| hex(&digest))
                .unwrap_or_default())
        })
    }

    /// Lets go of the model's memory. Waits for a call that is under way; later ones get [`Kind::Closed`].
    pub fn close(&self) {
        *self.engine.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn with<T>(&self, work: impl FnOnce(&mut Engine) -> Result<T, AppError>) -> Result<T, AppError> {
        work(self.lock()?.as_mut().ok_or_else(closed)?)
    }

    fn lock(&self) -> Result<MutexGuard<'_, Option<Engine>>, AppError> {
        match self.engine.try_lock() {
            Ok(engine) => Ok(engine),
            Err(TryLockError::WouldBlock) => {
                let words = "another thread is using this model: a model is for one thread at a time";
                Err(AppError::new(Kind::Busy, words))
            }
            Err(TryLockError::Poisoned(_)) => Err(fault()),
        }
    }
}

fn closed() -> AppError {
    AppError::new(Kind::Closed, "the model was closed: open it again")
}

fn fault() -> AppError {
    let words = "an earlier call ended in a fault of the library: open the model again";
    AppError::new(Kind::Internal, words)
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guarded;
    use sanderling_session::Tensor;

    fn model() -> Model {
        let bundle = sanderling_support::bundle(sanderling_support::manifest("sides"), "any", Some(0.5));
        Model::open(&bundle, ModelOptions::default()).unwrap()
    }

    fn input() -> Tensor {
        Tensor::from_slice(&[1, 2], &[1.0f32, 3.0]).unwrap()
    }

    fn kind<T>(result: Result<T, AppError>) -> Kind {
        result.err().map(|error| error.kind).unwrap()
    }

    #[test]
    fn a_model_goes_from_thread_to_thread() {
        let (model, x) = (model(), input());
        let here = model.hash(&[("x", x.view())]).unwrap();
        let there = std::thread::scope(|scope| {
            let other = scope.spawn(|| model.hash(&[("x", x.view())]));
            other.join().unwrap().unwrap()
        });
        assert_eq!(here, there);
        assert_eq!(model.labels(), ["left", "right"]);
        let answer = model.answer(&[[0u8; 4], [0, 0, 128, 63]].concat(), Some(1));
        assert_eq!(answer.unwrap().label, "right");
        assert!(model.self_test().unwrap().passed());
        assert_eq!(model.digest().unwrap().len(), 64);
    }

    #[test]
    fn a_second_thread_is_told_that_the_model_is_in_use() {
        let (model, x) = (model(), input());
        let nested = model.run(&[("x", x.view())], |_| {
            std::thread::scope(|scope| {
                let other = scope.spawn(|| model.run(&[("x", x.view())], |_| ()));
                other.join().unwrap()
            })
        });
        assert_eq!(kind(nested.unwrap()), Kind::Busy);
        assert!(model.run(&[("x", x.view())], |_| ()).is_ok());
    }

    #[test]
    fn a_closed_model_and_one_that_panicked_say_so() {
        let (model, x) = (model(), input());
        let panics = guarded(|| model.run(&[("x", x.view())], |_| panic!("oh")));
        assert_eq!(kind::<()>(panics), Kind::Internal);
        assert_eq!(kind(model.digest()), Kind::Internal);
        model.close();
        model.close();
        let model = self::model();
        model.close();
        assert_eq!(kind(model.digest()), Kind::Closed);
    }

    #[test]
    fn errors_are_by_who_can_mend_them() {
        let (model, x) = (model(), input());
        assert_eq!(kind(model.run(&[("z", x.view())], |_| ())), Kind::Input);
        assert_eq!(kind(model.answer(b"abc", None)), Kind::Input);
        assert_eq!(
            kind(Model::open(b"no bundle", ModelOptions::default())),
            Kind::Bundle
        );
        let missing = Model::open_file(Path::new("no/such.sdl"), ModelOptions::default());
        assert_eq!(kind(missing), Kind::File);
    }
}
