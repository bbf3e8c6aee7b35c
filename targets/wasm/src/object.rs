//! Plain objects and errors of JavaScript, of what sessions say.

use js_sys::{Array, Error, Object, Reflect, Uint8Array, Uint32Array};
use sanderling_session::{Answer, Layer, Outputs, SelfTest, SessionError};
use wasm_bindgen::JsValue;

/// An object with these properties.
#[must_use]
pub fn object(properties: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in properties {
        set(&object, name, value);
    }
    object.into()
}

/// An array of what a function makes of each.
pub fn array<T>(items: impl IntoIterator<Item = T>, each: impl FnMut(T) -> JsValue) -> JsValue {
    items.into_iter().map(each).collect::<Array>().into()
}

/// An error with our text, the variant's name in `code`, and whether the input is to blame in `isInput`.
#[must_use]
pub fn error(error: &SessionError) -> JsValue {
    coded(error.code(), &error.to_string(), error.is_input())
}

/// An error with a code and a text.
#[must_use]
pub fn coded(code: &str, message: &str, is_input: bool) -> JsValue {
    let thrown = Error::new(message);
    set(&thrown, "code", &code.into());
    set(&thrown, "isInput", &is_input.into());
    thrown.into()
}

/// Outputs: an array of `{ name, type, shape, bytes }`.
#[must_use]
pub fn outputs(outputs: &Outputs<'_>) -> JsValue {
    array(outputs.iter(), |(name, view)| {
        object(&[
            ("name", name.into()),
            ("type", view.dtype().name().into()),
            ("shape", shape(view.shape())),
            ("bytes", Uint8Array::from(view.bytes()).into()),
        ])
    })
}

/// Layers: an array of `{ node, operator, value, type, digest }`.
#[must_use]
pub fn layers(layers: Vec<Layer>) -> JsValue {
    array(layers, |layer| {
        object(&[
            ("node", layer.node.into()),
            ("operator", layer.operator.into()),
            ("value", layer.value.into()),
            ("type", layer.ty.to_string().into()),
            (
                "digest",
                layer.digest.map_or(JsValue::NULL, |digest| hex(&digest).into()),
            ),
        ])
    })
}

/// Golden vectors: an array of `{ name, failure }`; `failure` is null where the vector passed.
#[must_use]
pub fn self_test(test: SelfTest) -> JsValue {
    array(test.vectors, |vector| {
        object(&[
            ("name", vector.name.into()),
            ("failure", vector.failure.map_or(JsValue::NULL, JsValue::from)),
        ])
    })
}

/// An answer: `{ label, confidence, top, rule, belowThreshold, flagged }`.
#[must_use]
pub fn answer(answer: &Answer) -> JsValue {
    let scored = array(&answer.top, |scored| {
        object(&[
            ("label", scored.label.as_str().into()),
            ("index", JsValue::from(scored.index as u32)),
            ("score", scored.score.into()),
        ])
    });
    object(&[
        ("label", answer.label.as_str().into()),
        ("confidence", answer.confidence.into()),
        ("top", scored),
        ("rule", answer.rule.into()),
        ("belowThreshold", answer.below_threshold.into()),
        ("flagged", answer.flagged.into()),
    ])
}

fn shape(dims: &[usize]) -> JsValue {
    let dims: Vec<u32> = dims.iter().map(|&dim| dim as u32).collect();
    js_sys::Array::from(&Uint32Array::from(&dims[..])).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn set(object: &Object, name: &str, value: &JsValue) {
    // A fresh object takes any property.
    let _ = Reflect::set(object, &name.into(), value);
}
