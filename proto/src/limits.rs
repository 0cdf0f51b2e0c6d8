//! Every number that bounds anything, with the arithmetic between them.
//!
//! A bound that another implementation must know stands in `docs/PROTOCOL.md`, section 14.

/// Bytes of every frame's header.
pub const HEADER_BYTES: usize = 96;
/// Bytes of an agent id, a node id, a mesh id: one SHA-256.
pub const ID_BYTES: usize = 32;
/// Bytes of an Ed25519 public key.
pub const PUBLIC_KEY_BYTES: usize = 32;
/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;
/// Bytes of a frame's nonce.
pub const NONCE_BYTES: usize = 16;
/// Bytes of an AES-GCM tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of a prekey id.
pub const PREKEY_ID_BYTES: usize = 4;
/// Bytes of an X25519 public key.
pub const AGREEMENT_KEY_BYTES: usize = 32;
/// Bytes that say how long the metadata is.
pub const METADATA_LENGTH_BYTES: usize = 2;

/// What sealing puts before the sealed plain body of a frame: prekey id and ephemeral key.
pub const SEAL_PREFIX_BYTES: usize = PREKEY_ID_BYTES + AGREEMENT_KEY_BYTES;
/// What a signed frame ends with: signature and nonce.
pub const TRAILER_BYTES: usize = SIGNATURE_BYTES + NONCE_BYTES;
/// What protection adds to the plain body of a sealed and signed frame.
pub const SEALED_OVERHEAD_BYTES: usize = SEAL_PREFIX_BYTES + TAG_BYTES + TRAILER_BYTES;
/// What protection adds to a chunk: tag and nonce.
pub const CHUNK_OVERHEAD_BYTES: usize = TAG_BYTES + NONCE_BYTES;

/// Longest body of a REQUEST, RESPONSE or BROADCAST in a single frame.
pub const BODY_BYTES_MAX: usize = 10 << 20;
/// Longest body of an ERROR or a PING.
pub const SMALL_BODY_BYTES_MAX: usize = 64 << 10;
/// Longest body of a stream's chunk.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Body of a chunk's acknowledgement: the credit limit.
pub const CHUNK_ACK_BYTES: usize = 8;

/// Longest metadata map.
pub const METADATA_BYTES_MAX: usize = 16 << 10;
/// Entries in a metadata map. Small, because duplicates are found by comparing without allocating.
pub const METADATA_ENTRIES_MAX: u32 = 64;
/// Levels of arrays and maps in anything untrusted; the outermost map is the first.
pub const DEPTH_MAX: u32 = 8;
/// Longest key that an application gives a metadata entry.
pub const APPLICATION_KEY_BYTES_MAX: usize = 128;
/// Longest content-type name.
pub const CONTENT_TYPE_BYTES_MAX: usize = 127;
/// Longest subject, and longest topic.
pub const SUBJECT_BYTES_MAX: usize = 255;
/// Longest traceparent.
pub const TRACEPARENT_BYTES_MAX: usize = 128;
/// Longest session id, and longest name of a capability.
pub const CAPABILITY_BYTES_MAX: usize = 64;
/// Longest name of an agent or node.
pub const NAME_BYTES_MAX: usize = 63;
/// Longest message inside an ERROR.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 1024;

/// Furthest that a frame can travel.
pub const HOPS_MAX: u8 = 32;
/// Flow ids stay below 2^63, so that languages without unsigned integers can hold them.
pub const FLOW_ID_MAX: u64 = i64::MAX as u64;

/// Longest body of a record.
pub const RECORD_BYTES_MAX: usize = 32 << 10;
/// Capabilities in an agent record.
pub const CAPABILITIES_MAX: u32 = 32;
/// Topics in an agent record.
pub const TOPICS_MAX: u32 = 64;
/// Certificates in an agent record.
pub const CHAIN_MAX: u32 = 4;
/// Bytes of all certificates in an agent record.
pub const CHAIN_BYTES_MAX: usize = 16 << 10;
/// Addresses in a node record.
pub const ADDRESSES_MAX: u32 = 16;
/// Longest address.
pub const ADDRESS_BYTES_MAX: usize = 255;
/// Links in a node record.
pub const LINKS_MAX: u32 = 512;

/// One second, in the unit of every time on the wire.
pub const SECOND: u64 = 1_000_000_000;
/// One hour.
pub const HOUR: u64 = 3600 * SECOND;
/// A prekey is replaced after this long.
pub const PREKEY_ROTATION: u64 = 24 * HOUR;
/// A prekey may be used for this long after it was made.
pub const PREKEY_LIFE_MAX: u64 = 48 * HOUR;
/// A prekey's private half is erased this long after its last moment.
pub const PREKEY_ERASURE_DELAY: u64 = 600 * SECOND;
/// Prekeys that one agent keeps: those of two rotations, the one in use, and some that starts of the daemon made.
pub const PREKEYS_KEPT_MAX: usize = 64;
/// Agreed secrets that are remembered for each prekey: the sources that talk to one agent at a time.
pub const AGREEMENTS_KEPT_MAX: usize = 256;
/// Frames sealed under one ephemeral key.
pub const SEALS_PER_EPHEMERAL_MAX: u32 = 1 << 20;
/// How long an ephemeral key is used.
pub const EPHEMERAL_LIFE_MAX: u64 = 600 * SECOND;
/// From this length of plain body on, the backend for bulk seals and opens.
pub const BULK_SEAL_BYTES: usize = 16 << 10;
/// Nonces drawn from the operating system at once: 256 bytes, what one call gives without a pause. Each sealer keeps a
/// block, and a node may have tens of thousands of sealers.
pub const NONCES_PER_DRAW: usize = 256 / NONCE_BYTES;

/// Furthest that a durable message's expiry lies past its timestamp.
pub const MESSAGE_LIFE_MAX: u64 = 72 * HOUR;

/// Longest plain body that any frame holds.
pub const PLAIN_BYTES_MAX: usize = METADATA_LENGTH_BYTES + METADATA_BYTES_MAX + BODY_BYTES_MAX;
/// Longest payload that any frame holds.
pub const PAYLOAD_BYTES_MAX: usize = PLAIN_BYTES_MAX + SEALED_OVERHEAD_BYTES;

const _: () = assert!(SEALED_OVERHEAD_BYTES == 132);
const _: () = assert!(PAYLOAD_BYTES_MAX < 1 << 30, "the length field promises at most 2^30");
const _: () = assert!(METADATA_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(RECORD_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(
    CHAIN_BYTES_MAX + LINKS_MAX as usize * (ID_BYTES + 2) <= 2 * RECORD_BYTES_MAX,
    "neither kind of record can need more than its bound"
);
const _: () = assert!(PREKEY_ROTATION < PREKEY_LIFE_MAX);
const _: () = assert!(
    BODY_BYTES_MAX as u64 / BULK_SEAL_BYTES as u64 > 1 && SEALS_PER_EPHEMERAL_MAX as u64 <= 1 << 32,
    "far below what random nonces under one derived key allow"
);

// The journal (`store`): see docs/decisions/0007-the-journal.md.

/// Records begin at multiples of this.
pub const JOURNAL_ALIGN_BYTES: usize = 64;
/// Bytes of a record's header.
pub const JOURNAL_RECORD_HEADER_BYTES: usize = 64;
/// Bytes of an entry in a record's table: number, length, checksum.
pub const JOURNAL_ITEM_BYTES: usize = 8 + 4 + 4;
/// Puts and forgets in a transaction.
pub const JOURNAL_ITEMS_MAX: usize = 1 << 16;
/// Bytes of a segment's header: a page that records never touch.
pub const JOURNAL_SEGMENT_HEADER_BYTES: usize = 4096;
/// Bytes of a segment.
pub const JOURNAL_SEGMENT_BYTES: usize = 16 << 20;
/// Shortest segment.
pub const JOURNAL_SEGMENT_BYTES_MIN: usize = 16 << 10;
/// Longest segment.
pub const JOURNAL_SEGMENT_BYTES_MAX: usize = 1 << 30;
/// Segments that puts leave free: one that forgets may use, and one for copies alone.
pub const JOURNAL_RESERVE_SEGMENTS: usize = 2;
/// Fewest segments that a store works with: one to go on in, one to empty, and the reserve.
pub const JOURNAL_SEGMENTS_MIN: usize = JOURNAL_RESERVE_SEGMENTS + 2;
/// What was appended is handed to the disk at each sync, and before that whenever it is this long.
pub const JOURNAL_BUFFER_BYTES: usize = 1 << 20;

const _: () = assert!(
    PAYLOAD_BYTES_MAX + (64 << 10) < JOURNAL_SEGMENT_BYTES - JOURNAL_SEGMENT_HEADER_BYTES,
    "a segment holds the largest message with room to spare"
);
const _: () = assert!(JOURNAL_RECORD_HEADER_BYTES.is_multiple_of(JOURNAL_ALIGN_BYTES));
const _: () = assert!(JOURNAL_SEGMENT_HEADER_BYTES.is_multiple_of(JOURNAL_ALIGN_BYTES));
const _: () = assert!(JOURNAL_SEGMENT_BYTES_MAX <= u32::MAX as usize, "lengths and places fit 32 bits");
