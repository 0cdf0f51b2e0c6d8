//! What one agent says to another: bytes, and what they are. Never looked into on the way.

use std::borrow::Cow;

use bytes::Bytes;
use proto::ContentType;
use serde::Serialize;

use crate::ClientError;

/// A body to be sent.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Body {
    pub(crate) content_type: Kind,
    pub(crate) bytes: Bytes,
}

/// A content type, with its name where it is a named one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kind {
    pub(crate) number: ContentType,
    pub(crate) name: Option<Cow<'static, str>>,
}

impl Default for Kind {
    fn default() -> Self {
        Self { number: ContentType::None, name: None }
    }
}

impl Body {
    /// No body at all.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(ContentType::Text, text.into().into_bytes())
    }

    /// Any bytes.
    #[must_use]
    pub fn octets(bytes: impl Into<Bytes>) -> Self {
        Self::new(ContentType::Octets, bytes)
    }

    /// A value, as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, ClientError> {
        let bytes =
            serde_json::to_vec(value).map_err(|_| ClientError::Invalid { what: "the body has no form in JSON" })?;
        Ok(Self::new(ContentType::Json, bytes))
    }

    /// A value, as MessagePack with the names of its fields.
    pub fn msgpack<T: Serialize + ?Sized>(value: &T) -> Result<Self, ClientError> {
        let bytes = rmp_serde::to_vec_named(value)
            .map_err(|_| ClientError::Invalid { what: "the body has no form in MessagePack" })?;
        Ok(Self::new(ContentType::MessagePack, bytes))
    }

    /// Bytes that are already encoded, in one of the numbered types.
    #[must_use]
    pub fn new(content_type: ContentType, bytes: impl Into<Bytes>) -> Self {
        Self { content_type: Kind { number: content_type, name: None }, bytes: bytes.into() }
    }

    /// Bytes of a type that is told by name, as `image/png`.
    #[must_use]
    pub fn named(name: impl Into<Cow<'static, str>>, bytes: impl Into<Bytes>) -> Self {
        Self { content_type: Kind { number: ContentType::Named, name: Some(name.into()) }, bytes: bytes.into() }
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What they are.
    #[must_use]
    pub const fn content_type(&self) -> ContentType {
        self.content_type.number
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::octets(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::octets(bytes)
    }
}

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Self {
        Self::octets(Bytes::copy_from_slice(bytes))
    }
}

/// Says how long it is, never what is in it.
impl core::fmt::Debug for Body {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Body").field("content_type", &self.content_type).field("bytes", &self.bytes.len()).finish()
    }
}
