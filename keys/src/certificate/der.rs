//! The parts of a certificate that webpki does not give out: its name, its dates, and the bytes that were signed. Strict,
//! small, and no judge: whatever counts is verified by webpki as well.

use proto::limits::SECOND;
use proto::member::Validity;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;

const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// What is needed of a certificate.
pub(crate) struct Parts<'a> {
    /// What was signed.
    pub(crate) signed: &'a [u8],
    /// The signature over it.
    pub(crate) signature: &'a [u8],
    /// The one common name, and nothing beside it.
    pub(crate) name: &'a str,
    /// The one other name, if there are others.
    pub(crate) other_name: Option<&'a str>,
    /// From when until when.
    pub(crate) validity: Validity,
    /// The key's kind and the key.
    pub(crate) key_info: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Nothing if it is laid out in another way than ours.
    pub(crate) fn read(certificate: &'a [u8]) -> Option<Self> {
        let mut outer = Der(certificate);
        let mut whole = Der(outer.take(SEQUENCE)?);
        outer.end()?;
        let signed = whole.take_whole(SEQUENCE)?;
        whole.take(SEQUENCE)?;
        let signature = whole.take(BIT_STRING)?.strip_prefix(&[0])?;
        whole.end()?;
        let mut body = Der(Der(signed).take(SEQUENCE)?);
        for tag in [VERSION, INTEGER, SEQUENCE, SEQUENCE] {
            body.take(tag)?;
        }
        let validity = validity(body.take(SEQUENCE)?)?;
        let name = common_name(body.take(SEQUENCE)?)?;
        let key_info = body.take_whole(SEQUENCE)?;
        let mut extensions = Der(Der(body.take(EXTENSIONS)?).take(SEQUENCE)?);
        body.end()?;
        let mut other_name = None;
        while !extensions.0.is_empty() {
            let mut extension = Der(extensions.take(SEQUENCE)?);
            let object = extension.take(OBJECT)?;
            extension.take_if(BOOLEAN)?;
            let value = extension.take(OCTET_STRING)?;
            extension.end()?;
            if object == ALTERNATIVE_NAMES {
                other_name = Some(one_name(value)?);
            }
        }
        Some(Self { signed, signature, name, other_name, validity, key_info })
    }
}

/// One common name in UTF-8, and nothing beside it.
fn common_name(subject: &[u8]) -> Option<&str> {
    let mut sets = Der(subject);
    let mut set = Der(sets.take(SET)?);
    let mut entry = Der(set.take(SEQUENCE)?);
    let is_common_name = entry.take(OBJECT)? == COMMON_NAME;
    let name = entry.take(UTF8_STRING)?;
    entry.end().and(set.end()).and(sets.end())?;
    core::str::from_utf8(name).ok().filter(|_| is_common_name)
}

fn one_name(names: &[u8]) -> Option<&str> {
    let mut outer = Der(names);
    let mut names = Der(outer.take(SEQUENCE)?);
    let name = names.take(DNS_NAME)?;
    names.end().and(outer.end())?;
    core::str::from_utf8(name).ok()
}

fn validity(dates: &[u8]) -> Option<Validity> {
    let mut dates = Der(dates);
    let (not_before, not_after) = (moment(&mut dates)?, moment(&mut dates)?);
    dates.end()?;
    Some(Validity { not_before, not_after })
}

/// Ns since 1970 of `YYMMDDhhmmssZ`, from 1950 to 2049, or of `YYYYMMDDhhmmssZ`.
fn moment(dates: &mut Der<'_>) -> Option<u64> {
    let (tag, text) = dates.element()?;
    let text = text.strip_suffix(b"Z")?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = number(year)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let [month, day, hour, minute, second] = pairs(rest)?;
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    let days = days_since_1970(year, month, day).filter(|_| fits)?;
    (days * 86_400 + hour * 3600 + minute * 60 + second).checked_mul(SECOND)
}

fn pairs(digits: &[u8]) -> Option<[u64; 5]> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let pairs: &[[u8; 2]; 5] = pairs.try_into().ok()?;
    let mut numbers = [0; 5];
    for (number_of, pair) in numbers.iter_mut().zip(pairs) {
        *number_of = number(pair)?;
    }
    Some(numbers)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

/// Years are counted from March, so that the day that some years have more is a year's last.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    const DAYS_TO_1970: u64 = 719_468;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    (year * 365 + leaps + (month * 153 + 2) / 5 + day - 1).checked_sub(DAYS_TO_1970)
}

/// A position in DER that is read from the front.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and what is in it. Lengths take at most two bytes, and the shortest form.
    fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, least, rest) = match first {
            0..=0x7f => (usize::from(first), 0, rest),
            0x81 => {
                let (&length, rest) = rest.split_first()?;
                (usize::from(length), 0x80, rest)
            }
            0x82 => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*length)), 0x100, rest)
            }
            _ => return None,
        };
        if length < least {
            return None;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.element().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// Passes over an element, if it is the next one.
    fn take_if(&mut self, tag: u8) -> Option<()> {
        if self.0.first() == Some(&tag) { self.take(tag).map(drop) } else { Some(()) }
    }

    /// The element with its tag and length.
    fn take_whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        self.take(tag)?;
        before.get(..before.len() - self.0.len())
    }

    const fn end(&self) -> Option<()> {
        if self.0.is_empty() { Some(()) } else { None }
    }
}
