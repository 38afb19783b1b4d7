//! Bytes ⇄ values: what departments send becomes captured scalars, touchpoints and public records become Avro.
//!
//! - [`scalar`]: one value at one place of a payload.
//! - [`path`], [`shape`], `key_index`, [`capture`]: paths, compiled into a trie, that pick the needed scalars out of any serde format in
//!   one pass.
//! - [`json`], `json_digits`, [`avro`]: the two formats; numbers that no float holds; Avro's framings and encoders.
//! - [`projection`]: a shape over the schema that a message was written with, compiled into the steps that read it.
//! - [`json_text`], [`single_object`]: what the feeds are written with.
//! - [`fetch`]: documents of other services, asked for at addresses of the configuration.
//! - [`schemas`], [`registry`]: which Avro schema a message was written with, where it is, and which are safe to decode.
//!
//! No decoder here allocates by a number that it read from a payload, and none recurses deeper than its paths or its
//! checked schema.

pub mod avro;
pub mod capture;
pub mod fetch;
pub mod json;
mod json_digits;
pub mod json_text;
mod key_index;
pub mod path;
pub mod projection;
pub mod registry;
pub mod scalar;
pub mod schemas;
pub mod shape;
pub mod single_object;

pub use capture::{Capture, Fault};
pub use key_index::{is_same, outline};
pub use path::PathError;
pub use scalar::Scalar;
pub use schemas::{SchemaError, SchemaFolder, Schemas};
pub use shape::{Shape, ShapeBuilder, Slot};

/// The largest message that is decoded unless configured otherwise: 1 MiB, a broker's own default.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The bytes that a text in base64 is (RFC 4648, section 4), with or without padding; `None` if it is none.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    use base64::{
        Engine as _,
        alphabet::STANDARD,
        engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    };
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&STANDARD, lenient).decode(text.trim()).ok()
}
