//! Sessions.

use crate::border::{Problem, bytes, free, give, held, native, string, tell, text};
use jni::objects::{JByteBuffer, JClass, JIntArray, JLongArray, JObject, JObjectArray, JString};
use jni::sys::{jint, jlong};
use jni::{Env, EnvUnowned, JValue, jni_sig, jni_str};
use sanderling_app::{AppError, Kind, Model, ModelOptions};
use sanderling_session::{Answer, DType, Layer, PortInfo, TensorView};
use std::sync::Arc;

/// What a session's handle holds. An updater shares its own.
pub(crate) type Shared = Arc<Model>;

/// # Safety
/// As for [`held`].
unsafe fn model<'a>(handle: jlong) -> Result<&'a Model, AppError> {
    // SAFETY: as the caller vouches.
    unsafe { held::<Shared>(handle, "session") }.map(|model| &**model)
}

pub(crate) fn options(threads: jint, memory_limit: jlong) -> Result<ModelOptions, AppError> {
    let wrong = |what: &str, found: i64| AppError::argument(format!("{found} is no {what}"));
    Ok(ModelOptions {
        threads: usize::try_from(threads).map_err(|_| wrong("number of threads", threads.into()))?,
        memory_limit: u64::try_from(memory_limit).map_err(|_| wrong("limit of memory", memory_limit))?,
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_open<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    bundle: JByteBuffer<'local>,
    threads: jint,
    memory_limit: jlong,
) -> jlong {
    native(env, |env| {
        let options = options(threads, memory_limit)?;
        // SAFETY: `bundle` is a reference of this frame.
        let bundle = unsafe { bytes(env, &bundle, "the bundle")? };
        Ok(give::<Shared>(Arc::new(Model::open(bundle, options)?)))
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_openFile<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    path: JString<'local>,
    threads: jint,
    memory_limit: jlong,
) -> jlong {
    native(env, |env| {
        let path = text(env, &path, "the path")?;
        let model = Model::open_file(path.as_ref(), options(threads, memory_limit)?)?;
        Ok(give::<Shared>(Arc::new(model)))
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_free<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
) {
    native(env, |_| {
        // SAFETY: the Java library frees a handle once, when no call of it is under way.
        unsafe { free::<Shared>(handle) };
        Ok(())
    });
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_describe<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    sink: JObject<'local>,
) {
    native(env, |env| {
        // SAFETY: the Java library holds the handle during the call; likewise below.
        let model = unsafe { model(handle)? };
        let digest = model.digest()?;
        tell(env, |env| {
            let (name, version) = (
                string(env, Some(model.name()))?,
                string(env, Some(model.version()))?,
            );
            let digest = string(env, Some(&digest))?;
            let args = [&name, &version, &digest].map(JValue::Object);
            let signature = jni_sig!("(Ljava/lang/String;Ljava/lang/String;Ljava/lang/String;)V");
            env.call_method(&sink, jni_str!("model"), signature, &args)?;
            Ok(())
        })?;
        let ports = model.inputs().iter().map(|info| (true, info));
        for (input, info) in ports.chain(model.outputs().iter().map(|info| (false, info))) {
            port(env, &sink, input, info)?;
        }
        for label in model.labels() {
            tell(env, |env| {
                let label = string(env, Some(label))?;
                let signature = jni_sig!("(Ljava/lang/String;)V");
                env.call_method(&sink, jni_str!("label"), signature, &[JValue::Object(&label)])?;
                Ok(())
            })?;
        }
        Ok(())
    });
}

fn port(env: &mut Env<'_>, sink: &JObject<'_>, input: bool, info: &PortInfo) -> Result<(), Problem> {
    tell(env, |env| {
        let ty = info.ty.as_ref();
        let dims = ty.map_or(&[][..], |ty| &ty.shape);
        let dims: Vec<i64> = dims.iter().map(|dim| dim.fixed().unwrap_or(-1)).collect();
        let (name, shape) = (string(env, Some(&info.name))?, longs(env, &dims)?);
        let args = [
            JValue::Bool(input),
            JValue::Object(&name),
            JValue::Int(ty.map_or(0, |ty| ty.dtype.code().into())),
            JValue::Object(&shape),
        ];
        env.call_method(
            sink,
            jni_str!("port"),
            jni_sig!("(ZLjava/lang/String;I[J)V"),
            &args,
        )?;
        Ok(())
    })
}

fn longs<'local>(env: &mut Env<'local>, values: &[i64]) -> Result<JLongArray<'local>, Problem> {
    let array = JLongArray::new(env, values.len())?;
    array.set_region(env, 0, values)?;
    Ok(array)
}

/// Inputs as Java has them: one array for each part of them.
struct Inputs<'local> {
    names: JObjectArray<'local, JString<'local>>,
    dtypes: JIntArray<'local>,
    shapes: JObjectArray<'local, JLongArray<'local>>,
    buffers: JObjectArray<'local, JByteBuffer<'local>>,
}

/// An input: its bytes live as long as `_buffer`, which refers to them.
struct Given<'local> {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    bytes: &'local [u8],
    _buffer: JByteBuffer<'local>,
}

impl<'local> Inputs<'local> {
    fn read(&self, env: &mut Env<'local>) -> Result<Vec<Given<'local>>, Problem> {
        let count = self.names.len(env)?;
        let mut dtypes = vec![0; count];
        self.dtypes.get_region(env, 0, &mut dtypes)?;
        let one = |(index, code): (usize, &i32)| {
            let name = self.names.get_element(env, index)?;
            let name = text(env, &name, &format!("the name of input {index}"))?;
            let what = format!("input '{name}'");
            let dtype = DType::from_code(*code)
                .ok_or_else(|| AppError::argument(format!("{what}: there is no type {code}")))?;
            let dims = self.shapes.get_element(env, index)?;
            let mut shape = vec![0; dims.len(env)?];
            dims.get_region(env, 0, &mut shape)?;
            let size = |n: i64| {
                usize::try_from(n).map_err(|_| AppError::argument(format!("{what}: {n} is no size")))
            };
            let shape = shape.into_iter().map(size).collect::<Result<_, _>>()?;
            let buffer = self.buffers.get_element(env, index)?;
            // SAFETY: the reference to the buffer is kept beside the bytes.
            let bytes = unsafe { bytes(env, &buffer, &what)? };
            Ok(Given {
                name,
                dtype,
                shape,
                bytes,
                _buffer: buffer,
            })
        };
        dtypes.iter().enumerate().map(one).collect()
    }
}

fn views<'a>(given: &'a [Given<'_>]) -> Result<Vec<(&'a str, TensorView<'a>)>, Problem> {
    let view = |given: &'a Given<'_>| {
        let view = TensorView::new(given.dtype, &given.shape, given.bytes);
        let view =
            view.map_err(|error| AppError::new(Kind::Input, format!("input '{}': {error}", given.name)))?;
        Ok((given.name.as_str(), view))
    };
    given.iter().map(view).collect()
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_run<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    names: JObjectArray<'local, JString<'local>>,
    dtypes: JIntArray<'local>,
    shapes: JObjectArray<'local, JLongArray<'local>>,
    buffers: JObjectArray<'local, JByteBuffer<'local>>,
    sink: JObject<'local>,
) {
    native(env, |env| {
        let inputs = Inputs {
            names,
            dtypes,
            shapes,
            buffers,
        };
        let given = inputs.read(env)?;
        // SAFETY: see `describe`.
        let model = unsafe { model(handle)? };
        model.run(&views(&given)?, |outputs| {
            outputs
                .iter()
                .try_for_each(|(name, view)| output(env, &sink, name, &view))
        })?
    });
}

/// Java makes the buffer, and the output is written to it.
fn output(env: &mut Env<'_>, sink: &JObject<'_>, name: &str, view: &TensorView<'_>) -> Result<(), Problem> {
    let bytes = view.bytes();
    let length = i32::try_from(bytes.len()).map_err(|_| {
        let words = format!(
            "output '{name}' has {} bytes, Java's buffers hold 2 147 483 647",
            bytes.len()
        );
        AppError::new(Kind::Run, words)
    })?;
    tell(env, |env| {
        let dims: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        let (name, shape) = (string(env, Some(name))?, longs(env, &dims)?);
        let args = [
            JValue::Object(&name),
            JValue::Int(view.dtype().code().into()),
            JValue::Object(&shape),
            JValue::Int(length),
        ];
        let signature = jni_sig!("(Ljava/lang/String;I[JI)Ljava/nio/ByteBuffer;");
        let buffer = env.call_method(sink, jni_str!("output"), signature, &args)?.l()?;
        let buffer = env.cast_local::<JByteBuffer<'_>>(buffer)?;
        if env.get_direct_buffer_capacity(&buffer)? < bytes.len() {
            return Err(AppError::new(Kind::Internal, "the buffer for an output is too small").into());
        }
        if !bytes.is_empty() {
            let address = env.get_direct_buffer_address(&buffer)?;
            // SAFETY: the JVM vouches for address and capacity; the buffer was made just now for this, so nobody else has it.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address, bytes.len()) };
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_layers<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    names: JObjectArray<'local, JString<'local>>,
    dtypes: JIntArray<'local>,
    shapes: JObjectArray<'local, JLongArray<'local>>,
    buffers: JObjectArray<'local, JByteBuffer<'local>>,
    sink: JObject<'local>,
) {
    native(env, |env| {
        let inputs = Inputs {
            names,
            dtypes,
            shapes,
            buffers,
        };
        let given = inputs.read(env)?;
        // SAFETY: see `describe`.
        let layers = unsafe { model(handle)? }.layers(&views(&given)?)?;
        layers.iter().try_for_each(|found| layer(env, &sink, found))
    });
}

fn layer(env: &mut Env<'_>, sink: &JObject<'_>, layer: &Layer) -> Result<(), Problem> {
    let (ty, digest) = (
        layer.ty.to_string(),
        layer.digest.map(|digest| sanderling_app::hex(&digest)),
    );
    tell(env, |env| {
        let texts = [
            Some(layer.node.as_str()),
            Some(&layer.operator),
            Some(&layer.value),
            Some(&ty),
            digest.as_deref(),
        ];
        let mut told = Vec::with_capacity(texts.len());
        for text in texts {
            told.push(string(env, text)?);
        }
        let args: Vec<_> = told.iter().map(JValue::Object).collect();
        let signature = jni_sig!(
            "(Ljava/lang/String;Ljava/lang/String;Ljava/lang/String;Ljava/lang/String;Ljava/lang/String;)V"
        );
        env.call_method(sink, jni_str!("layer"), signature, &args)?;
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_check<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
) {
    native(env, |_| {
        // SAFETY: see `describe`.
        Ok(unsafe { model(handle)? }.check()?)
    });
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_answer<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    file: JByteBuffer<'local>,
    top: jint,
    sink: JObject<'local>,
) {
    native(env, |env| {
        // SAFETY: `file` is a reference of this frame; for the handle see `describe`.
        let (file, model) = unsafe { (bytes(env, &file, "the file")?, model(handle)?) };
        answered(env, &sink, &model.answer(file, count(top)?)?)
    });
}

pub(crate) fn count(top: jint) -> Result<Option<usize>, AppError> {
    let count = usize::try_from(top);
    count
        .map(Some)
        .map_err(|_| AppError::argument(format!("{top} is no number of labels")))
}

pub(crate) fn answered(env: &mut Env<'_>, sink: &JObject<'_>, answer: &Answer) -> Result<(), Problem> {
    tell(env, |env| {
        let label = string(env, Some(&answer.label))?;
        let args = [
            JValue::Object(&label),
            JValue::Float(answer.confidence),
            JValue::Bool(answer.rule),
            JValue::Bool(answer.below_threshold),
            JValue::Bool(answer.flagged),
        ];
        env.call_method(
            sink,
            jni_str!("answer"),
            jni_sig!("(Ljava/lang/String;FZZZ)V"),
            &args,
        )?;
        Ok(())
    })?;
    for scored in &answer.top {
        tell(env, |env| {
            let label = string(env, Some(&scored.label))?;
            let index = i32::try_from(scored.index).unwrap_or(i32::MAX);
            let args = [
                JValue::Object(&label),
                JValue::Int(index),
                JValue::Float(scored.score),
            ];
            env.call_method(sink, jni_str!("top"), jni_sig!("(Ljava/lang/String;IF)V"), &args)?;
            Ok(())
        })?;
    }
    Ok(())
}
