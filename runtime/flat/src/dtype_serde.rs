//! How element types are written in metadata.

use crate::dtype::DType;
use core::fmt;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// The name in readable formats (JSON, TOML), the code as one byte in compact ones (postcard).
impl Serialize for DType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.name())
        } else {
            serializer.serialize_u8(self.code())
        }
    }
}

impl<'de> Deserialize<'de> for DType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DTypeVisitor;

        impl Visitor<'_> for DTypeVisitor {
            type Value = DType;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an element type such as \"float32\" or its ONNX code")
            }

            fn visit_u64<E: de::Error>(self, code: u64) -> Result<DType, E> {
                i32::try_from(code)
                    .ok()
                    .and_then(DType::from_code)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(code), &self))
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<DType, E> {
                DType::from_name(name).ok_or_else(|| E::invalid_value(de::Unexpected::Str(name), &self))
            }
        }

        if deserializer.is_human_readable() {
            deserializer.deserialize_any(DTypeVisitor)
        } else {
            deserializer.deserialize_u8(DTypeVisitor)
        }
    }
}
