//! Plain objects and errors of JavaScript.

use js_sys::{Array, Error, Object, Reflect};
use sanderling_session::SessionError;
use wasm_bindgen::JsValue;

/// An object with these properties.
pub(crate) fn object(properties: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in properties {
        set(&object, name, value);
    }
    object.into()
}

/// An array of what a function makes of each.
pub(crate) fn array<T>(items: impl IntoIterator<Item = T>, each: impl FnMut(T) -> JsValue) -> JsValue {
    items.into_iter().map(each).collect::<Array>().into()
}

/// An error with our text, the variant's name in `code`, and whether the input is to blame in `isInput`.
pub(crate) fn error(error: &SessionError) -> JsValue {
    let thrown = Error::new(&error.to_string());
    set(&thrown, "code", &error.code().into());
    set(&thrown, "isInput", &error.is_input().into());
    thrown.into()
}

fn set(object: &Object, name: &str, value: &JsValue) {
    // A fresh object takes any property.
    let _ = Reflect::set(object, &name.into(), value);
}
