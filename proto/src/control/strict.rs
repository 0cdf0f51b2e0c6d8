//! What serde would let in and the page refuses: octets where a text is wanted, arrays or numbered fields where a map
//! with names is. Used by the generated structs; never allocates by a length that it was told.

use core::fmt;
use core::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, StringDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Takes a str and nothing else: serde's own would take the octets of a bin too.
pub(super) fn strict_string<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    from.deserialize_str(StrVisitor)
}

/// Takes an array of them.
pub(super) fn strict_strings<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    from.deserialize_seq(Elements(PhantomData::<Strict<String>>))
}

/// Takes an array of maps with str keys: serde's own would take an array for a map, and a number for a name.
pub(super) fn strict_messages<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Vec<T>, D::Error> {
    from.deserialize_seq(Elements(PhantomData::<Strict<Named<T>>>))
}

struct Strict<T>(T);

impl<'de> serde::Deserialize<'de> for Strict<String> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        strict_string(from).map(Self)
    }
}

/// A message inside another.
struct Named<T>(T);

impl<'de, T: DeserializeOwned> serde::Deserialize<'de> for Strict<Named<T>> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(NamedVisitor(PhantomData)).map(|message| Self(Named(message)))
    }
}

trait Inner {
    type Value;
    fn into_inner(self) -> Self::Value;
}

impl Inner for Strict<String> {
    type Value = String;
    fn into_inner(self) -> String {
        self.0
    }
}

impl<T> Inner for Strict<Named<T>> {
    type Value = T;
    fn into_inner(self) -> T {
        self.0.0
    }
}

struct Elements<T>(PhantomData<T>);

impl<'de, T: Inner + serde::Deserialize<'de>> Visitor<'de> for Elements<T> {
    type Value = Vec<T::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T::Value>, A::Error> {
        // Grows as elements come; a length that lies reserves nothing.
        let mut found = Vec::new();
        while let Some(element) = elements.next_element::<T>()? {
            found.push(element.into_inner());
        }
        Ok(found)
    }
}

struct NamedVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for NamedVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(StrKeys(map)))
    }
}

/// A map whose keys are read as str before the struct behind it sees them.
struct StrKeys<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for StrKeys<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Some(Strict::<String>(key)) = self.0.next_key()? else { return Ok(None) };
        seed.deserialize(StringDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

struct StrVisitor;

impl Visitor<'_> for StrVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_bytes<E: Error>(self, _octets: &[u8]) -> Result<String, E> {
        Err(E::custom("octets are not a string"))
    }
}

#[cfg(test)]
mod tests {
    use crate::ContentType;
    use crate::control::{AgentStatus, ControlBody, NodeStatus};

    fn status() -> NodeStatus {
        let agent = AgentStatus {
            name: "echo".into(),
            id: "aicp1x".into(),
            attached: true,
            waiting: 3,
            ..AgentStatus::default()
        };
        NodeStatus { schema: "aicp.status/1".into(), agents: vec![agent], uptime_ms: 1 << 40, ..Default::default() }
    }

    #[test]
    fn a_status_reads_back_from_all_three_encodings() {
        for encoding in [ContentType::MessagePack, ContentType::Json, ContentType::Protobuf] {
            let body = status().write(encoding);
            assert_eq!(NodeStatus::read(encoding, &body), Some(status()), "{encoding:?}");
        }
    }

    #[test]
    fn a_message_inside_another_is_a_map_with_names_and_nothing_else() {
        let with = |agent: &[u8]| [b"\x81\xa6agents\x91", agent].concat();
        let takes = |agent: &[u8]| NodeStatus::read(ContentType::MessagePack, &with(agent)).is_some();
        assert!(takes(b"\x80"));
        assert!(takes(b"\x81\xa4name\xa1a"));
        assert!(takes(b"\x82\xa4name\xa1a\xa3new\xc0"), "unknown fields are ignored");
        assert!(!takes(b"\x91\xa1a"), "an array for a map");
        assert!(!takes(b"\x81\x00\xa1a"), "a number for a name");
        assert!(!takes(b"\x81\xc4\x04name\xa1a"), "octets for a name");
        assert!(!takes(b"\x81\xa4name\xc4\x01a"), "octets for a text");
        assert!(!takes(b"\x82\xa4name\xa1a\xa4name\xa1a"), "the same name twice");
        assert!(!takes(b"\x81\xa8attached\x01"), "a number for a truth");
        assert!(!takes(b"\xc0"), "nothing for a map");
    }
}
