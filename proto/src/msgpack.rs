//! A strict walk over untrusted MessagePack: no allocation, no recursion beyond the bound, every length checked
//! against what is there. Serde would let in what the page refuses (arrays for maps, numbers for names).

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the markers are not ours, and all that is not asked for is refused alike"
)]

use rmp::Marker;

use crate::limits;

mod writer;

pub(crate) use writer::Writer;

/// Why the walk stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Not well-formed, cut short, too deep, or of a kind that is refused everywhere.
    Form,
    /// Well-formed, but not of the type that was asked for.
    Type,
}

/// A position in bytes that are read from the front.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are still to be read.
    pub(crate) const fn left(&self) -> usize {
        self.rest.len()
    }

    /// Entries of a map. Each needs at least two bytes, so a length that lies is found here.
    pub(crate) fn map(&mut self) -> Result<u32, Fault> {
        let entries = match self.marker()? {
            Marker::FixMap(n) => u32::from(n),
            Marker::Map16 => self.number(2)?,
            Marker::Map32 => self.number(4)?,
            other => return Err(mismatch(other)),
        };
        self.at_least(u64::from(entries) * 2)?;
        Ok(entries)
    }

    /// Elements of an array.
    pub(crate) fn array(&mut self) -> Result<u32, Fault> {
        let elements = match self.marker()? {
            Marker::FixArray(n) => u32::from(n),
            Marker::Array16 => self.number(2)?,
            Marker::Array32 => self.number(4)?,
            other => return Err(mismatch(other)),
        };
        self.at_least(u64::from(elements))?;
        Ok(elements)
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Fault> {
        let width = match self.marker()? {
            Marker::FixPos(n) => return Ok(u64::from(n)),
            Marker::U8 => 1,
            Marker::U16 => 2,
            Marker::U32 => 4,
            Marker::U64 => 8,
            other => return Err(mismatch(other)),
        };
        self.wide(width)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, Fault> {
        let length = match self.marker()? {
            Marker::FixStr(n) => u32::from(n),
            Marker::Str8 => self.number(1)?,
            Marker::Str16 => self.number(2)?,
            Marker::Str32 => self.number(4)?,
            other => return Err(mismatch(other)),
        };
        core::str::from_utf8(self.take(length)?).map_err(|_| Fault::Form)
    }

    pub(crate) fn bin(&mut self) -> Result<&'a [u8], Fault> {
        let length = match self.marker()? {
            Marker::Bin8 => self.number(1)?,
            Marker::Bin16 => self.number(2)?,
            Marker::Bin32 => self.number(4)?,
            other => return Err(mismatch(other)),
        };
        self.take(length)
    }

    pub(crate) fn truth(&mut self) -> Result<(), Fault> {
        match self.marker()? {
            Marker::True => Ok(()),
            other => Err(mismatch(other)),
        }
    }

    /// Passes over one value that stands inside `level` arrays and maps.
    pub(crate) fn skip(&mut self, level: u32) -> Result<(), Fault> {
        let marker = self.clone().marker()?;
        match marker {
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
                let entries = self.map()?;
                self.skip_many(u64::from(entries) * 2, level + 1)
            }
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
                let elements = self.array()?;
                self.skip_many(u64::from(elements), level + 1)
            }
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => self.str().map(drop),
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => self.bin().map(drop),
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => self.scalar(0),
            Marker::U8 | Marker::I8 => self.scalar(1),
            Marker::U16 | Marker::I16 => self.scalar(2),
            Marker::U32 | Marker::I32 | Marker::F32 => self.scalar(4),
            Marker::U64 | Marker::I64 | Marker::F64 => self.scalar(8),
            // 0xc1 and the extension types.
            _ => Err(Fault::Form),
        }
    }

    fn skip_many(&mut self, values: u64, level: u32) -> Result<(), Fault> {
        if level > limits::DEPTH_MAX {
            return Err(Fault::Form);
        }
        // Bounded: `map` and `array` found at least one byte for each.
        for _ in 0..values {
            self.skip(level)?;
        }
        Ok(())
    }

    fn scalar(&mut self, bytes: u32) -> Result<(), Fault> {
        self.take(1 + bytes).map(drop)
    }

    fn marker(&mut self) -> Result<Marker, Fault> {
        let (first, rest) = self.rest.split_first().ok_or(Fault::Form)?;
        self.rest = rest;
        Ok(Marker::from_u8(*first))
    }

    fn number(&mut self, width: u32) -> Result<u32, Fault> {
        u32::try_from(self.wide(width)?).map_err(|_| Fault::Form)
    }

    fn wide(&mut self, width: u32) -> Result<u64, Fault> {
        let bytes = self.take(width)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(length).map_err(|_| Fault::Form)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Fault::Form)?;
        self.rest = rest;
        Ok(taken)
    }

    fn at_least(&self, bytes: u64) -> Result<(), Fault> {
        let there = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        if bytes > there { Err(Fault::Form) } else { Ok(()) }
    }
}

/// Why a map of numbered fields was not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FieldFault {
    /// It is not laid out as one.
    Form,
    /// This field is of another type or range.
    Value(u64),
}

/// Highest key of a map of numbered fields.
const FIELD_MAX: u64 = 127;

/// Reads one map that fills `body`, its keys uints that strictly ascend. `take` reads the value of each, and passes over
/// what it does not know.
pub(crate) fn read_fields<'a>(
    body: &'a [u8],
    mut take: impl FnMut(u64, &mut Reader<'a>) -> Result<(), Fault>,
) -> Result<(), FieldFault> {
    let mut reader = Reader::new(body);
    let entries = reader.map().map_err(|_| FieldFault::Form)?;
    let mut last = None;
    for _ in 0..entries {
        let key = reader.uint().map_err(|_| FieldFault::Form)?;
        if key > FIELD_MAX || last.is_some_and(|last| key <= last) {
            return Err(FieldFault::Form);
        }
        last = Some(key);
        take(key, &mut reader).map_err(|fault| match fault {
            Fault::Form => FieldFault::Form,
            Fault::Type => FieldFault::Value(key),
        })?;
    }
    if reader.is_empty() { Ok(()) } else { Err(FieldFault::Form) }
}

/// Octets of exactly one length.
pub(crate) fn exact<const N: usize>(octets: &[u8]) -> Result<[u8; N], Fault> {
    octets.try_into().map_err(|_| Fault::Type)
}

/// A marker that is never right is a fault of form, any other one of type.
fn mismatch(marker: Marker) -> Fault {
    let never = matches!(
        marker,
        Marker::Reserved
            | Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16
            | Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32
    );
    if never { Fault::Form } else { Fault::Type }
}

/// Whether `text` is what the page calls *text*: not empty, no control characters, within its bound.
pub(crate) fn is_text(text: &str, bytes_max: usize) -> bool {
    let plain = |c: char| !c.is_control();
    !text.is_empty() && text.len() <= bytes_max && text.chars().all(plain)
}

/// Judges a body that is read by field names: one map with str keys, none twice, and nothing after it.
pub(crate) fn is_named_map(bytes: &[u8]) -> bool {
    fn walk(bytes: &[u8]) -> Result<bool, Fault> {
        let mut reader = Reader::new(bytes);
        let entries = reader.map()?;
        if entries > limits::METADATA_ENTRIES_MAX {
            return Ok(false);
        }
        let mut seen: [&str; limits::METADATA_ENTRIES_MAX as usize] = [""; _];
        for index in 0..entries as usize {
            let key = reader.str()?;
            let (before, from_here) = seen.split_at_mut_checked(index).ok_or(Fault::Form)?;
            if before.contains(&key) {
                return Ok(false);
            }
            *from_here.first_mut().ok_or(Fault::Form)? = key;
            reader.skip(1)?;
        }
        Ok(reader.is_empty())
    }
    walk(bytes).unwrap_or(false)
}
