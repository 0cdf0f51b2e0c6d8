//! Why something is refused, and the code that says so on the wire.

use core::fmt;

/// The number in an ERROR. Codes we do not know are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(u16);

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal;)+) => {
        impl ErrorCode {
            $($(#[doc = $doc])+ pub const $name: Self = Self($number);)+

            /// All that are known, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

codes! {
    /// Agent offline, or known to nobody.
    OFFLINE = 4001;
    /// Authentication failed.
    UNAUTHENTICATED = 4002;
    /// Message too large.
    TOO_LARGE = 4003;
    /// Timeout: the outcome is unknown.
    TIMEOUT = 4004;
    /// Replayed or stale.
    STALE = 4005;
    /// Hops exhausted.
    HOPS = 4006;
    /// No route.
    NO_ROUTE = 4007;
    /// Refused by policy.
    POLICY = 4008;
    /// Full, or over quota.
    FULL = 4009;
    /// Malformed, or content refused.
    MALFORMED = 4010;
    /// Unknown version.
    VERSION = 4011;
    /// Expired, never delivered.
    EXPIRED = 4012;
    /// Unknown or old prekey.
    PREKEY = 4013;
    /// Given up after too many deliveries.
    GIVEN_UP = 4014;
    /// Older flow.
    OLDER_FLOW = 4015;
    /// Server error.
    SERVER = 5000;
    /// Storage failed.
    STORAGE = 5001;
}

impl ErrorCode {
    /// A code, if it is in the range that errors use.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number < 4000 || number > 5999 {
            return None;
        }
        Some(Self(number))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AICP-{}", self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $variant:ident = $reason:literal, $code:ident;)+) => {
        /// Why bytes were refused. Nothing was changed by them.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Refusal {
            /// All of them, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word that `docs/PROTOCOL.md` and the vectors use.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason,)+ }
            }

            /// The code that an ERROR about it carries.
            #[must_use]
            pub const fn code(self) -> ErrorCode {
                match self { $(Self::$variant => ErrorCode::$code,)+ }
            }
        }
    };
}

refusals! {
    /// The first byte names a version that we do not speak.
    Version = "version", VERSION;
    /// No such message type.
    Type = "type", MALFORMED;
    /// A flag that version 1 must understand and does not.
    Flags = "flags", MALFORMED;
    /// More hops than were given, or than anyone may give.
    Hops = "hops", MALFORMED;
    /// No such content type, or not in this frame.
    ContentType = "content-type", MALFORMED;
    /// No such receipt, or not in this frame.
    Receipt = "receipt", MALFORMED;
    /// An id of zeros where only the door knows what it means.
    ZeroId = "zero-id", MALFORMED;
    /// Type, flags, receipt and sequence together mean nothing.
    Shape = "shape", MALFORMED;
    /// The signature or the seal that this shape must have is missing.
    Unprotected = "unprotected", UNAUTHENTICATED;
    /// The payload is shorter than this shape can be, or not as long as the header says.
    Length = "length", MALFORMED;
    /// The payload, or the body, is longer than this shape may be.
    TooLarge = "too-large", TOO_LARGE;
    /// The metadata's length exceeds its bound or what is there.
    MetadataLength = "metadata-length", MALFORMED;
    /// The metadata is not exactly one well-formed map.
    MetadataForm = "metadata-form", MALFORMED;
    /// A key that cannot be one, or that occurs twice, or one too many.
    MetadataKey = "metadata-key", MALFORMED;
    /// A known key with a value of another type or range.
    MetadataValue = "metadata-value", MALFORMED;
    /// A key that is missing, or stands where it must not.
    MetadataPresence = "metadata-presence", MALFORMED;
    /// A body where there must be none.
    Body = "body", MALFORMED;
    /// The body of an ERROR that says nothing intelligible.
    ErrorBody = "error-body", MALFORMED;
    /// A record that is not laid out as one.
    RecordForm = "record-form", MALFORMED;
    /// A record's field that is missing, forbidden, or of another type or range.
    RecordValue = "record-value", MALFORMED;
    /// The record's own signature does not hold.
    RecordSignature = "record-signature", UNAUTHENTICATED;
    /// The hosting node did not countersign.
    Countersignature = "countersignature", UNAUTHENTICATED;
    /// A certificate that the mesh's authority did not give to this node under this name.
    Certificate = "certificate", UNAUTHENTICATED;
    /// A public key that is not canonical, of small order, or not torsion-free.
    Key = "key", UNAUTHENTICATED;
    /// The key's hash is not the source.
    WrongKey = "wrong-key", UNAUTHENTICATED;
    /// The signature does not hold.
    Signature = "signature", UNAUTHENTICATED;
    /// Sealed to a prekey that is not kept here.
    UnknownPrekey = "unknown-prekey", PREKEY;
    /// Sealed to a prekey past its last moment.
    ExpiredPrekey = "expired-prekey", PREKEY;
    /// The ephemeral key leads to a shared secret that everyone knows.
    SharedSecret = "shared-secret", MALFORMED;
    /// The seal is broken.
    Seal = "seal", MALFORMED;
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {} ({})", self.reason(), self.code())
    }
}

impl core::error::Error for Refusal {}
