//! Updaters.

use crate::border::{Problem, bytes, free, give, held, native, optional, string, tell, text};
use crate::session::{Shared, answered, count, options};
use jni::objects::{JByteArray, JByteBuffer, JClass, JObject, JObjectArray, JString};
use jni::sys::{jboolean, jint, jlong};
use jni::{Env, EnvUnowned, JValue, jni_sig, jni_str};
use sanderling_app::{AppError, Cause, Request, Step, Updater, UpdaterOptions};

/// # Safety
/// As for [`held`].
unsafe fn updater<'a>(handle: jlong) -> Result<&'a Updater, AppError> {
    // SAFETY: as the caller vouches.
    unsafe { held(handle, "updater") }
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterOpen<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    state: JString<'local>,
    enrolment: JString<'local>,
    hardware: JString<'local>,
    factory: JString<'local>,
    threads: jint,
    memory_limit: jlong,
    daily_budget: jlong,
    trial_seconds: jint,
) -> jlong {
    native(env, |env| {
        let wrong = |what: &str| AppError::argument(format!("the {what} is below zero"));
        let opened = Updater::open(UpdaterOptions {
            state: text(env, &state, "the state folder")?.into(),
            enrolment: optional(env, &enrolment)?,
            hardware: text(env, &hardware, "the hardware's name")?,
            factory: optional(env, &factory)?.map(Into::into),
            model: options(threads, memory_limit)?,
            daily_budget: u64::try_from(daily_budget).map_err(|_| wrong("daily budget"))?,
            trial_seconds: u32::try_from(trial_seconds).map_err(|_| wrong("time of a trial"))?,
        })?;
        Ok(give(opened))
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterFree<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
) {
    native(env, |_| {
        // SAFETY: the Java library frees a handle once, when no call of it is under way.
        unsafe { free::<Updater>(handle) };
        Ok(())
    });
}

/// Milliseconds to wait; −1 where the sink was told a request.
#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterStep<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    sink: JObject<'local>,
) -> jlong {
    native(env, |env| {
        // SAFETY: the Java library holds the handle during the call; likewise below.
        match unsafe { updater(handle)? }.step()? {
            Step::Wait(ms) => Ok(i64::try_from(ms).unwrap_or(i64::MAX)),
            Step::Request(request) => {
                told(env, &sink, &request)?;
                Ok(-1)
            }
        }
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterWait<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
) -> jlong {
    native(env, |_| {
        // SAFETY: see `updaterStep`.
        let wait = unsafe { updater(handle)? }.wait()?;
        Ok(i64::try_from(wait).unwrap_or(i64::MAX))
    })
}

fn told(env: &mut Env<'_>, sink: &JObject<'_>, request: &Request) -> Result<(), Problem> {
    tell(env, |env| {
        let (method, url) = (
            string(env, Some(request.method))?,
            string(env, Some(&request.url))?,
        );
        let body = env.byte_array_from_slice(&request.body)?;
        let args = [
            JValue::Long(request.id as i64),
            JValue::Object(&method),
            JValue::Object(&url),
            JValue::Object(&body),
            JValue::Long(i64::try_from(request.max_body).unwrap_or(i64::MAX)),
            JValue::Int(i32::try_from(request.timeout_s).unwrap_or(i32::MAX)),
        ];
        let signature = jni_sig!("(JLjava/lang/String;Ljava/lang/String;[BJI)V");
        env.call_method(sink, jni_str!("request"), signature, &args)?;
        Ok(())
    })?;
    for (name, value) in &request.headers {
        pair(env, sink, name, Some(value))?;
    }
    Ok(())
}

fn pair(env: &mut Env<'_>, sink: &JObject<'_>, name: &str, value: Option<&str>) -> Result<(), Problem> {
    tell(env, |env| {
        let (name, value) = (string(env, Some(name))?, string(env, value)?);
        let args = [JValue::Object(&name), JValue::Object(&value)];
        let signature = jni_sig!("(Ljava/lang/String;Ljava/lang/String;)V");
        env.call_method(sink, jni_str!("put"), signature, &args)?;
        Ok(())
    })
}

/// `headers` are names in lower case and values, in turn.
#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterRespond<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    id: jlong,
    status: jint,
    headers: JObjectArray<'local, JString<'local>>,
) -> jboolean {
    native(env, |env| {
        let mut words = Vec::new();
        for index in 0..headers.len(env)? {
            let word = headers.get_element(env, index)?;
            words.push(text(env, &word, "a header")?);
        }
        let header = |name: &str| {
            let mut pairs = words.chunks_exact(2);
            pairs.find(|pair| pair[0] == name).map(|pair| pair[1].as_str())
        };
        let status =
            u16::try_from(status).map_err(|_| AppError::argument(format!("{status} is no HTTP status")))?;
        // SAFETY: see `updaterStep`.
        Ok(unsafe { updater(handle)? }.respond(id as u64, status, header)?)
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterBody<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    id: jlong,
    block: JByteArray<'local>,
    length: jint,
) -> jboolean {
    native(env, |env| {
        if block.is_null() {
            return Err(AppError::argument("the block is null").into());
        }
        let block = env.convert_byte_array(&block)?;
        let part = usize::try_from(length)
            .ok()
            .and_then(|length| block.get(..length));
        let part =
            part.ok_or_else(|| AppError::argument(format!("{length} bytes of a block of {}", block.len())))?;
        // SAFETY: see `updaterStep`.
        Ok(unsafe { updater(handle)? }.body(id as u64, part)?)
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterEnd<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    id: jlong,
) {
    native(env, |_| {
        // SAFETY: see `updaterStep`.
        Ok(unsafe { updater(handle)? }.end(id as u64)?)
    });
}

/// `cause`: 0 unreachable, 1 timed out, else broken.
#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterFailed<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    id: jlong,
    cause: jint,
    detail: JString<'local>,
) {
    native(env, |env| {
        let detail = optional(env, &detail)?.unwrap_or_default();
        let cause = match cause {
            0 => Cause::Unreachable,
            1 => Cause::TimedOut,
            _ => Cause::Broken,
        };
        // SAFETY: see `updaterStep`.
        Ok(unsafe { updater(handle)? }.failed(id as u64, cause, &detail)?)
    });
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterCheckIn<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
) {
    native(env, |_| {
        // SAFETY: see `updaterStep`.
        Ok(unsafe { updater(handle)? }.check_in()?)
    });
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterRest<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
) {
    native(env, |_| {
        // SAFETY: see `updaterStep`.
        Ok(unsafe { updater(handle)? }.rest()?)
    });
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterAnswer<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    file: JByteBuffer<'local>,
    top: jint,
    sink: JObject<'local>,
) {
    native(env, |env| {
        // SAFETY: `file` is a reference of this frame; for the handle see `updaterStep`.
        let (file, updater) = unsafe { (bytes(env, &file, "the file")?, updater(handle)?) };
        answered(env, &sink, &updater.answer(file, count(top)?)?)
    });
}

/// A session's handle for the image that serves.
#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterSession<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
) -> jlong {
    native(env, |_| {
        // SAFETY: see `updaterStep`.
        Ok(give::<Shared>(unsafe { updater(handle)? }.model()?))
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterState<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
    sink: JObject<'local>,
) {
    native(env, |env| {
        // SAFETY: see `updaterStep`.
        let state = unsafe { updater(handle)? }.state();
        let enrolled = state.enrolled.to_string();
        for (name, value) in [
            ("device", Some(&state.device)),
            ("server", Some(&state.server)),
            ("tlsCa", state.tls_ca.as_ref()),
            ("enrolled", Some(&enrolled)),
            ("phase", Some(&state.phase)),
            ("image", state.image.as_ref()),
            ("place", state.place.as_ref()),
            ("model", state.model.as_ref()),
            ("version", state.version.as_ref()),
            ("standby", state.standby.as_ref()),
            ("factory", state.factory.as_ref()),
        ] {
            pair(env, &sink, name, value.map(String::as_str))?;
        }
        Ok(())
    });
}

#[unsafe(no_mangle)]
extern "system" fn Java_dev_sanderling_Native_updaterLine<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
    handle: jlong,
) -> JString<'local> {
    native(env, |env| {
        // SAFETY: see `updaterStep`.
        match unsafe { updater(handle)? }.line() {
            Some(line) => Ok(env.new_string(line)?),
            None => Ok(JString::null()),
        }
    })
}
