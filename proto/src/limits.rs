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

/// Longest certificate of a node or of an authority. Ours have some 400 bytes and three names.
pub const CERTIFICATE_BYTES_MAX: usize = 2048;
/// Nodes that one list of revocations names.
pub const REVOKED_MAX: u32 = 900;

/// One second, in the unit of every time on the wire.
pub const SECOND: u64 = 1_000_000_000;
/// One hour.
pub const HOUR: u64 = 3600 * SECOND;
/// A prekey is replaced after this long.
pub const PREKEY_ROTATION: u64 = 24 * HOUR;
/// Or that much earlier, so that those of many agents are not all made at once.
pub const PREKEY_ROTATION_SPREAD: u64 = HOUR;
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
/// Ephemeral keys that are used no more are forgotten this often.
pub const EPHEMERAL_SWEEP: u64 = 60 * SECOND;
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
const _: () = assert!(
    REVOKED_MAX as usize * (ID_BYTES + 2) + 64 <= RECORD_BYTES_MAX
        && CERTIFICATE_BYTES_MAX + LINKS_MAX as usize * (ID_BYTES + 2) + 4096 <= RECORD_BYTES_MAX,
    "the longest list fits a record, and so do links and a certificate with room for addresses"
);
const _: () = assert!(PREKEY_ROTATION < PREKEY_LIFE_MAX);
const _: () = assert!(
    BODY_BYTES_MAX as u64 / BULK_SEAL_BYTES as u64 > 1 && SEALS_PER_EPHEMERAL_MAX as u64 <= 1 << 32,
    "far below what random nonces under one derived key allow"
);

// A backup of a node's keys (`keys`): argon2id with what RFC 9106 advises where memory is not plenty.

/// Memory that turning a passphrase into a key takes, in KiB.
pub const BACKUP_MEMORY_KIB: u32 = 64 << 10;
/// Passes over it.
pub const BACKUP_PASSES: u32 = 3;
/// Shortest passphrase. Whoever has the file can guess for as long as they like.
pub const BACKUP_PASSPHRASE_BYTES_MIN: usize = 12;
/// Longest passphrase.
pub const BACKUP_PASSPHRASE_BYTES_MAX: usize = 1024;
/// Longest backup: the keys of `HOSTED_MAX` agents with the longest names, and of a hundred days, with room to spare.
pub const BACKUP_BYTES_MAX: usize = 16 << 20;
/// Bytes of what makes a node a member, in a backup.
pub const BACKUP_MESH_BYTES_MAX: usize = 1 << 20;

// A mesh and its members (`keys`, `mesh`, `daemon`): docs/PROTOCOL.md, section 11.

/// The certificate of a mesh's authority counts this long.
pub const AUTHORITY_LIFE: u64 = 3652 * 24 * HOUR;
/// A node's certificate counts this long.
pub const CERTIFICATE_LIFE: u64 = 30 * 24 * HOUR;
/// Certificates are dated back by this, for nodes whose clocks are behind.
pub const CERTIFICATE_BACKDATED: u64 = CLOCKS_APART_MAX;
/// A certificate is renewed when this part of its life is over: so many `CERTIFICATE_PARTS`.
pub const RENEW_AT: u64 = 4;
/// From this part on people are warned.
pub const WARN_AT: u64 = 5;
/// Of these a certificate's life has six.
pub const CERTIFICATE_PARTS: u64 = 6;
/// Between two attempts to renew, at first.
pub const RENEW_PAUSE: u64 = 600 * SECOND;
/// And later on.
pub const RENEW_PAUSE_MAX: u64 = HOUR;
/// A node's record counts this long, and never longer than its certificate.
pub const NODE_RECORD_LIFE: u64 = 7 * 24 * HOUR;
/// Nodes that one node knows: a mesh of 50, and those that came before. A record names all its node's links.
pub const MEMBERS_MAX: usize = LINKS_MAX as usize;
/// What changes within this time is told in one record of a node.
pub const NODE_RECORD_WAIT: u64 = SECOND;
/// Between two records of a node that something has changed in.
pub const NODE_RECORD_PAUSE: u64 = 5 * SECOND;
/// After a change of links somewhere, what somebody may not have heard is looked for this much later: all have said by then
/// whom they are linked with.
pub const NEIGHBOURS_LOOK: u64 = 10 * SECOND;
/// Records of other nodes' agents that one such look begins to tell a peer; the agents of one node are told at once.
pub const PASSED_ON_MAX: usize = 4096;

const _: () = assert!(NODE_RECORD_WAIT + NODE_RECORD_PAUSE < NEIGHBOURS_LOOK);
/// A ticket counts this long if nobody says otherwise.
pub const TICKET_LIFE: u64 = 900 * SECOND;
/// And at most this long.
pub const TICKET_LIFE_MAX: u64 = 7 * 24 * HOUR;
/// Tickets that are open at a time.
pub const TICKETS_MAX: usize = 64;
/// Bytes of a ticket's secret.
pub const TICKET_SECRET_BYTES: usize = 16;
/// Longest ticket: sixteen of the longest addresses.
pub const TICKET_BYTES_MAX: usize = 1 + 2 * ID_BYTES + TICKET_SECRET_BYTES + 8 + 16 * (1 + ADDRESS_BYTES_MAX);
/// Its letters: eight for five bytes, and what stands around them.
pub const TICKET_TEXT_BYTES_MAX: usize = TICKET_BYTES_MAX * 8 / 5 + 32;
/// What a newcomer asks.
pub const JOIN_ASK_BYTES_MAX: usize = 1024;
/// What it is answered: two certificates, a node's record and the longest list of revocations.
pub const JOIN_ANSWER_BYTES_MAX: usize = CONTROL_BYTES_MAX - 1024;
/// Longest words of a refusal.
pub const REFUSED_WORDS_BYTES_MAX: usize = 1024;

const _: () = assert!(JOIN_WAIT > MEMBER_ANSWER_WAIT, "an inviter may have to ask another node");
const _: () = assert!(ADDRESSES_MAX == 16, "a ticket names as many addresses as a record");
const _: () = assert!(RENEW_AT < WARN_AT && WARN_AT < CERTIFICATE_PARTS);
const _: () = assert!(NODE_RECORD_LIFE < CERTIFICATE_LIFE && TICKET_LIFE <= TICKET_LIFE_MAX);

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
/// Segments kept in reserve on the disk, and as many below the store's own limit: when a disk is full, what was begun is
/// ended in them. Together they hold as much as one agent's mailbox.
pub const JOURNAL_SPARE_SEGMENTS: usize = 4;
/// What was appended is handed to the disk at each sync, and before that whenever it is this long.
pub const JOURNAL_BUFFER_BYTES: usize = 1 << 20;

const _: () = assert!(
    PAYLOAD_BYTES_MAX + (64 << 10) < JOURNAL_SEGMENT_BYTES - JOURNAL_SEGMENT_HEADER_BYTES,
    "a segment holds the largest message with room to spare"
);
const _: () = assert!(JOURNAL_RECORD_HEADER_BYTES.is_multiple_of(JOURNAL_ALIGN_BYTES));
const _: () = assert!(JOURNAL_SEGMENT_HEADER_BYTES.is_multiple_of(JOURNAL_ALIGN_BYTES));
const _: () = assert!(JOURNAL_SEGMENT_BYTES_MAX <= u32::MAX as usize, "lengths and places fit 32 bits");

// Delivery (`mesh`).

/// How long a durable message lives if its agent does not say.
pub const MESSAGE_LIFE: u64 = 24 * HOUR;
/// How far apart the clocks of two nodes may be. Beyond it, what depends on both is no longer promised.
pub const CLOCKS_APART_MAX: u64 = 600 * SECOND;
/// Past its message's expiry, a mark is kept for this long.
pub const MARK_MARGIN: u64 = CLOCKS_APART_MAX;
/// Furthest that an expiry counts as lying ahead.
pub const EXPIRY_AHEAD_MAX: u64 = MESSAGE_LIFE_MAX + CLOCKS_APART_MAX;
/// An answer lives this long.
pub const ANSWER_LIFE: u64 = MESSAGE_LIFE_MAX;
/// After a message's expiry, its end is awaited this long.
pub const OUTCOME_WAIT: u64 = ANSWER_LIFE + CLOCKS_APART_MAX;
/// How old, and how far ahead, a frame may be that is sent at most once.
pub const ONCE_AGE_MAX: u64 = 60 * SECOND;
/// See above.
pub const ONCE_AHEAD_MAX: u64 = 10 * SECOND;
/// How long such a frame is remembered: as long as its timestamp could be in bounds, and the same again.
pub const ONCE_MEMORY: u64 = 130 * SECOND;
/// Such frames of one node that are remembered at a time, some 70 bytes each. Beyond it the oldest make way, and whatever
/// that node sends and is not newer than they were is refused.
pub const ONCE_MEMORY_MAX: usize = 1 << 17;
/// Messages of one flow that are sent and not confirmed, and that wait early at the other end.
pub const WINDOW_MESSAGES: u32 = 1024;
/// Their bytes.
pub const WINDOW_BYTES: usize = 16 << 20;
/// Bytes that wait early for all flows of one link.
pub const EARLY_LINK_BYTES: usize = 16 << 20;
/// A repeat comes after this long at the earliest, and after `RETRY_MAX` at the latest.
pub const RETRY_MIN: u64 = 5 * SECOND;
/// See above.
pub const RETRY_MAX: u64 = 60 * SECOND;
/// A repeat does not come before this many times what STORED usually takes.
pub const RETRY_USUAL_TIMES: u64 = 4;
/// The least time to a repeat doubles with each that brings no STORED, up to so many times.
pub const RETRY_DOUBLINGS_MAX: u32 = 3;
/// What only repeats (STORED, 4013, 4015) is said once in this time a pair.
pub const REPEAT_PAUSE: u64 = SECOND;
/// A record is asked for once in this time.
pub const FETCH_PAUSE: u64 = 5 * SECOND;
/// Records that are asked for in that time.
pub const FETCHES_MAX: usize = 8192;
/// A pair and kind is renumbered once in this time.
pub const RENUMBER_PAUSE: u64 = 60 * SECOND;
/// Time that an agent has for a delivery before it asks for more.
pub const LEASE: u64 = 30 * SECOND;
/// Pause after the first delivery that was refused or whose lease has ended, doubled with each further one.
pub const REDELIVERY_PAUSE: u64 = SECOND;
/// Longest pause between two deliveries.
pub const REDELIVERY_PAUSE_MAX: u64 = 60 * SECOND;
/// Failed deliveries after which a message is a dead letter.
pub const DELIVERIES_FAILED_MAX: u32 = 20;
/// Dead letters that a node keeps. Beyond it the oldest are dropped, and that is reported.
pub const DEAD_LETTERS_MAX: usize = 20_000;
/// Their bytes.
pub const DEAD_BYTES_MAX: u64 = 256 << 20;
/// Those of them that one peer's agents said: beyond it, that peer's oldest make way.
pub const DEAD_LETTERS_PEER_MAX: usize = DEAD_LETTERS_MAX / 4;
/// Dead letters are forgotten after this long.
pub const DEAD_LIFE: u64 = 30 * 24 * HOUR;
/// Moments that are remembered of durable messages, some 110 bytes each.
pub const HISTORY_DURABLE: usize = 1 << 15;
/// Moments that are remembered of what goes at most once.
pub const HISTORY_ONCE: usize = 1 << 13;
/// A wall clock that moves by more than this against the other clock has jumped.
pub const CLOCK_JUMP: u64 = 60 * SECOND;
/// A wall clock that stands this far ahead of the last time on disk at a start has jumped.
pub const CLOCK_AHEAD_MAX: u64 = 24 * HOUR;
/// After a jump, nothing expires until the clock has been steady for this long.
pub const CLOCK_STEADY: u64 = 600 * SECOND;
/// After a step back of the clock, nothing that goes at most once is taken from the wire for this long: what was opened
/// by the prekeys from before may still be on its way inside.
pub const CLOCK_BACK_WAIT: u64 = 2 * SECOND;
/// The wall clock is noted on disk this often.
pub const CLOCK_NOTED_EVERY: u64 = HOUR;
/// Answers to an operator's question hold this many messages at most.
pub const LISTED_MAX: usize = 1000;
/// Deliveries that one agent has not yet acknowledged.
pub const DELIVERIES_OUT_MAX: usize = 256;
/// Ends that one agent awaits.
pub const STUBS_MAX: usize = 1024;
/// Messages that this node owns for one agent.
pub const OUTBOX_MESSAGES_MAX: usize = 10_000;
/// Their bytes.
pub const OUTBOX_BYTES_MAX: usize = 64 << 20;
/// Messages that wait for one agent.
pub const MAILBOX_MESSAGES_MAX: usize = 10_000;
/// Their bytes.
pub const MAILBOX_BYTES_MAX: usize = 64 << 20;
/// What one agent may have of another one's mailbox: three quarters, so that it never fills it alone.
pub const PAIR_MESSAGES_MAX: usize = MAILBOX_MESSAGES_MAX / 4 * 3;
/// Its bytes.
pub const PAIR_BYTES_MAX: usize = MAILBOX_BYTES_MAX / 4 * 3;
/// Bytes that one node keeps for all: outboxes, mailboxes, dead letters, and the bodies that its doors are reading.
pub const NODE_BYTES_MAX: u64 = 2 << 30;
/// What the agents of one peer may have of this node's mailboxes, in bytes.
pub const PEER_BYTES_MAX: u64 = NODE_BYTES_MAX / 4;
/// What the agents of one peer may have of this node's mailboxes, in messages.
pub const PEER_MESSAGES_MAX: usize = 1 << 18;
/// Marks of pairs that one peer's agents are the source of.
pub const PEER_PAIRS_MAX: usize = PAIRS_MAX / 8;
/// Pairs of one peer beyond that, whose answers are taken without a mark on disk.
pub const PEER_UNMARKED_MAX: usize = 1024;
/// Answers to one agent that are not stored there yet. From there on its next message hears 4009.
pub const ANSWERS_OWED_MAX: usize = 1024;
/// Their bytes.
pub const ANSWERS_OWED_BYTES_MAX: usize = 64 << 20;
/// Answers to all agents of one node, likewise.
pub const ANSWERS_OWED_NODE_MAX: usize = 64 << 10;
/// Their bytes.
pub const ANSWERS_OWED_NODE_BYTES_MAX: usize = 512 << 20;
/// Least that an operator may give an outbox, a mailbox or a share of one, in bytes: the longest message fits.
pub const WAITING_BYTES_FLOOR: u64 = 16 << 20;
/// Least that an operator may give a node: beside the bodies that its doors are reading a mailbox of the usual size.
pub const NODE_BYTES_FLOOR: u64 = LARGE_FRAMES_BYTES as u64 + MAILBOX_BYTES_MAX as u64;
/// Most that an operator may give a node: the journal has room for it.
pub const NODE_BYTES_CEILING: u64 = 3 << 30;
/// Most messages that an operator may let wait in one place.
pub const AMOUNT_MESSAGES_MAX: usize = 1 << 20;
/// Most failed deliveries that an operator may ask for.
pub const DELIVERIES_FAILED_CEILING: u32 = 1000;
/// Rules about who may send what to whom.
pub const ALLOW_RULES_MAX: usize = 256;
/// Bytes of what one rule asks for in one place: a subject and its stars.
pub const ALLOW_TEXT_BYTES_MAX: usize = 2 * SUBJECT_BYTES_MAX;
/// What a full outbox or mailbox advises, in ms.
pub const FULL_RETRY_MS: u32 = 1000;
/// What a destination advises that stays full: twice as long each time, up to this, in ms.
pub const FULL_RETRY_MS_MAX: u32 = 16_000;
/// Longest that a source heeds such advice.
pub const FULL_HEEDED_MAX: u64 = 60 * SECOND;
/// Pairs of agents that one node keeps places for.
pub const PAIRS_MAX: usize = 1 << 20;
/// Agents whose keys one node keeps.
pub const HOSTED_MAX: usize = 1 << 16;
/// Those of one user.
pub const HOSTED_UID_MAX: usize = HOSTED_MAX / 4;
/// Agents that a directory holds.
pub const DIRECTORY_MAX: usize = 1 << 18;
/// Those of one peer: as many as it may host.
pub const DIRECTORY_PEER_MAX: usize = HOSTED_MAX;
/// Bytes of the records of one peer's agents.
pub const DIRECTORY_PEER_BYTES: usize = 64 << 20;
/// Agents that one client is attached as.
pub const CLIENT_AGENTS_MAX: usize = 1024;
/// Frames handed to a link and not yet to its streams.
pub const LINK_ROOM_FRAMES: u32 = 1024;
/// Bytes of what was said in them; a frame that begins below it may go beyond.
pub const LINK_ROOM_BYTES: u64 = 16 << 20;
/// Deliveries handed to a client and not yet written to its socket.
pub const CLIENT_ROOM_DELIVERIES: u32 = 512;
/// Bytes of what was said in them; a delivery that begins below it may go beyond.
pub const CLIENT_ROOM_BYTES: u64 = 4 << 20;
/// Entries that were given up and whose going is not synced yet. Beyond it they are synced for their own sake.
pub const JOURNAL_FORGETS_UNSYNCED: usize = 1024;
/// Deliveries that one entry notes at a clean stop.
pub const DELIVERED_NOTED: usize = 4096;
/// A transaction is closed when it holds this much, so that a segment of the journal has room for it.
pub const TRANSACTION_BYTES: usize = 1 << 20;
/// A record of an agent or a node counts this long. It is made anew with each prekey.
pub const RECORD_LIFE: u64 = 30 * 24 * HOUR;
/// The first pause between two dials, doubled each time up to `DIAL_PAUSE_MAX`.
pub const DIAL_PAUSE: u64 = SECOND / 8;
/// See above.
pub const DIAL_PAUSE_MAX: u64 = 16 * SECOND;
/// A link that was up for less counts as a dial that failed, for the pause before the next one.
pub const LINK_SHORT: u64 = SECOND;
/// Two dials made within this time have crossed; after it, a new link replaces an old one.
pub const DIALS_CROSS: u64 = 10 * SECOND;

const _: () = assert!(
    PAYLOAD_BYTES_MAX + 2 * TRANSACTION_BYTES < JOURNAL_SEGMENT_BYTES,
    "what is left of a transaction, the largest message and its mark fit one segment"
);
const _: () = assert!((PAYLOAD_BYTES_MAX as u64) < WAITING_BYTES_FLOOR && NODE_BYTES_MAX <= NODE_BYTES_CEILING);
const _: () = assert!(JOURNAL_LIMIT_FLOOR < JOURNAL_LIMIT_BYTES);
const _: () = assert!(ONCE_MEMORY >= ONCE_AGE_MAX + ONCE_AHEAD_MAX);
const _: () = assert!(
    NODE_BYTES_CEILING + LARGE_FRAMES_BYTES as u64 + DEAD_BYTES_MAX < JOURNAL_LIMIT_BYTES,
    "the journal has room for all that a node may keep, and for what is copied"
);

// What operators ask of a node.

/// Messages that one list names, or that one order touches.
pub const SELECTED_MAX: usize = 1000;
/// Moments that one answer about what happens tells.
pub const TAP_MOMENTS_MAX: usize = 1000;
/// Stories that are put together at a time. Beyond it, whoever asks hears 4009.
pub const STORIES_MAX: usize = 64;
/// Moments that one node tells of one message: the first ones, and the last ones.
pub const STORY_MOMENTS_MAX: usize = 128;
/// Nodes that are asked for what they remember of one message.
pub const STORY_NODES_MAX: usize = 16;
/// Sentences about where a message stands that one node tells.
pub const STORY_NOW_MAX: usize = 8;
/// Longest of them.
pub const STORY_NOW_BYTES_MAX: usize = 255;
/// Longest word for what happened.
pub const STORY_WORD_BYTES_MAX: usize = 32;
/// How long other nodes have to say what they remember.
pub const STORY_WAIT: u64 = 2 * SECOND;
/// Stories that one peer is told in a second.
pub const STORIES_PER_SECOND: u32 = 16;

const _: () = assert!(
    STORY_MOMENTS_MAX * 256 + STORY_NOW_MAX * (STORY_NOW_BYTES_MAX + 8) < (64 << 10),
    "a story fits a control message: two ids in bech32m are most of a moment"
);

// The daemon.

/// Facts that wait for the node's task. Whoever has one more waits, and so do its socket and its link.
pub const NODE_QUEUE: usize = 1024;
/// Of these, facts of one connection at the agents' door: whoever has more waits, and all others pass. A question to the
/// node, which takes it longer, counts as all of them.
pub const SESSION_TURNS: u32 = 32;
/// Likewise of one link.
pub const LINK_TURNS: u32 = 128;
/// Facts that the node's task takes in one step before it carries out what they led to.
pub const NODE_BATCH: usize = 256;
/// Requests that wait for the journal's thread.
pub const JOURNAL_QUEUE: usize = 1024;
/// Requests that the journal's thread takes before it syncs.
pub const JOURNAL_BATCH: usize = 1024;
/// What the journal takes on disk at most, unless somebody says otherwise.
pub const JOURNAL_LIMIT_BYTES: u64 = 4 << 30;
/// Least that an operator may give it: enough segments to work with, and as many as are kept below the limit for ending
/// what was begun.
pub const JOURNAL_LIMIT_FLOOR: u64 = ((JOURNAL_SEGMENTS_MIN + JOURNAL_SPARE_SEGMENTS) * JOURNAL_SEGMENT_BYTES) as u64;
/// Bytes that are copied in one step of winning room back.
pub const JOURNAL_TIDY_BYTES: usize = 1 << 20;
/// After this many bytes appended, room is won back even if the journal is never idle.
pub const JOURNAL_TIDY_EVERY_BYTES: usize = 16 << 20;
/// How often a disk without room is looked at, to see whether it has some again.
pub const JOURNAL_ROOM_LOOK: u64 = SECOND;
/// How long a disk without room is waited for, once the reserve is used up too, before the daemon gives up.
pub const JOURNAL_ROOM_WAIT: u64 = 120 * SECOND;
/// Connections at the agents' door.
pub const SESSIONS_MAX: usize = 16 << 10;
/// Files that a daemon may have open beside the connections at the agents' door: the segments of its journal, and some.
pub const FILES_BESIDE_SESSIONS: usize = 512;
/// Connections of one user, so that nobody can lock the others out.
pub const SESSIONS_USER_MAX: usize = SESSIONS_MAX / 4 * 3;
/// Frames that wait for a client to read. Beyond it the client is disconnected.
pub const SESSION_QUEUE: usize = 4096;
/// Bytes of answers to questions that wait for a client to read. Beyond it the client is disconnected; a longer answer
/// counts as so many.
pub const SESSION_ANSWER_BYTES: usize = 4 << 20;
/// Bytes of entries that the journal gives out at a time; one entry is always given.
pub const JOURNAL_LOAD_BYTES: usize = 1 << 20;
/// Frames that a client may send beyond those that were passed on to the node, if it speaks of credit.
pub const SESSION_CREDIT_MESSAGES: u64 = 1024;
/// Their bytes.
pub const SESSION_CREDIT_BYTES: u64 = 16 << 20;
/// Bytes that are asked of a socket or a stream at once, and written at once where they are many small frames.
pub const PIPE_BYTES: usize = 64 << 10;
/// A frame up to this long is small: it travels behind others on one stream, and is buffered without asking.
pub const SMALL_FRAME_BYTES: usize = 64 << 10;
/// Bytes of all larger frames from peers that are buffered at a time.
pub const LARGE_FRAMES_BYTES: usize = 256 << 20;
/// Those of one link: with what its streams and QUIC hold beside them, a link takes 16 MiB.
pub const LARGE_FRAMES_LINK_BYTES: usize = 11 << 20;
/// Bytes of all larger frames from agents that are buffered at a time.
pub const LARGE_FRAMES_AGENTS_BYTES: usize = 32 << 20;
/// Those of one user's agents: two of the largest. The others always find room for one.
pub const LARGE_FRAMES_USER_BYTES: usize = 21 << 20;
/// Large frames that one link writes at a time.
pub const LARGE_FRAMES_WRITING: usize = 4;
/// A large frame arrives within this long, or is given up.
pub const LARGE_FRAME_WAIT: u64 = 60 * SECOND;
/// Frames that wait for a link's writer: what the core keeps in its room, and what it says beside.
pub const LINK_QUEUE: usize = 4096;
/// Messages that wait for a link's control stream: a record of each agent that lives here, when the link comes up.
pub const CONTROL_QUEUE: usize = HOSTED_MAX + 1024;
/// Long-lived streams of a link. All small frames of one flow use the same one.
pub const LINK_LANES: usize = 4;
/// Ephemeral keys that one link's writer remembers.
pub const SEALERS_KEPT_MAX: usize = 4096;
/// Links at a time, those included that have not said who they are.
pub const LINKS_MAX_OPEN: usize = 1024;
/// Unidirectional streams that a peer may have open: its long-lived ones, and one for each large frame.
pub const UNI_STREAMS_MAX: u32 = 64;
/// What a peer may send on one stream before we have taken it.
pub const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Likewise on all its streams.
pub const LINK_WINDOW_BYTES: u32 = 4 << 20;
/// What we keep until the peer confirms it. More is slower for small frames.
pub const SEND_WINDOW_BYTES: u64 = 2 << 20;
/// Wanted of the operating system for each direction of the UDP socket.
pub const UDP_BUFFER_BYTES: usize = 8 << 20;
/// Handshakes that wait to be taken up.
pub const INCOMING_MAX: usize = 1024;
/// From this many open handshakes on, whoever comes must show that it can be reached at its address.
pub const INCOMING_UNPROVED_MAX: usize = 32;
/// Silence after which a link has ended.
pub const LINK_IDLE: u64 = 30 * SECOND;
/// Silence after which something is said.
pub const LINK_KEEPALIVE: u64 = 5 * SECOND;
/// What was sent over a link is answered, if only by QUIC, within this long, or nothing is repeated until it is.
pub const LINK_SILENCE: u64 = 2 * SECOND;
/// Between two looks at whether anything was heard.
pub const LINK_LOOK: u64 = SECOND;
/// A dial succeeds within this long, and so do the two HELLOs after it.
pub const DIAL_WAIT: u64 = 5 * SECOND;
/// How long a frame waits for the record of its source, which may come a moment later on another stream.
pub const UNKNOWN_SOURCE_WAIT: u64 = SECOND / 2;
/// After that was in vain, no frame of the link waits for this long.
pub const UNKNOWN_SOURCE_PAUSE: u64 = 5 * SECOND;
/// Notices that one link is sent in a second.
pub const NOTICES_PER_SECOND: u32 = 16;
/// Between two attempts to dial one peer at different addresses.
pub const DIAL_STAGGER: u64 = SECOND / 4;
/// Orders, newcomers and members that wait for the task that looks after membership.
pub const MEMBER_QUEUE: usize = 256;
/// How long another member may take to answer a question about membership.
pub const MEMBER_ANSWER_WAIT: u64 = 10 * SECOND;
/// How long a newcomer and the node that it asks may take for all they have to say.
pub const JOIN_WAIT: u64 = 15 * SECOND;
/// Before a node tries again to join by a ticket that the service manager hands over.
pub const JOIN_PAUSE: u64 = 2 * SECOND;
/// And later on: the pause doubles each time.
pub const JOIN_PAUSE_MAX: u64 = 600 * SECOND;
/// Before a node that leaves closes its links, the others hear of it for this long.
pub const LEAVE_WAIT: u64 = SECOND / 2;
/// A ticket that is over is remembered for this long, so that whoever comes with it hears why it is refused.
pub const TICKET_KEPT: u64 = 24 * HOUR;
/// Between two looks at the addresses of this host.
pub const ADDRESSES_LOOK: u64 = 60 * SECOND;
/// From this long before its certificate ends on, a node that could not renew it says so.
pub const CERTIFICATE_WARN: u64 = 7 * 24 * HOUR;
/// A start waits this long for the built-in agent, whose key may have to be made and synced.
pub const ECHO_WAIT: u64 = 5 * SECOND;
/// What a clean stop may take before it becomes an unclean one.
pub const STOP_WAIT: u64 = 5 * SECOND;

/// Longest time between two signs of life to the service manager, if it asks for none more often.
pub const MANAGER_PAUSE: u64 = 10 * SECOND;
/// What the manager is told that reading anew what was kept may take.
pub const START_WAIT: u64 = 900 * SECOND;
/// Longest value of one field of an event in the journal of systemd.
pub const LOG_FIELD_BYTES: usize = 4 << 10;
/// Longest text of such an event. With the fields, of which the library takes 32, it fits into one datagram of 208 KiB.
pub const LOG_TEXT_BYTES: usize = 32 << 10;
const _: () = assert!(LOG_TEXT_BYTES + 33 * LOG_FIELD_BYTES < 208 << 10, "an event fits a datagram");

/// Connections at the metrics' door; others wait.
pub const METRICS_CONNECTIONS_MAX: usize = 16;
/// Longest request there, its headers included.
pub const METRICS_HEAD_BYTES: usize = 8 << 10;
/// A request arrives within this long, and so is its answer taken.
pub const METRICS_WAIT: u64 = 5 * SECOND;
/// How long the node may take to answer it before it counts as one that does not.
pub const METRICS_NODE_WAIT: u64 = 2 * SECOND;
/// Metrics are made once in this time, however often they are asked for.
pub const METRICS_PAUSE: u64 = SECOND / 2;
/// What came beside a request is read and thrown away for this long, so that the answer is not lost with it.
pub const METRICS_LINGER: u64 = SECOND;
/// No more of it than this.
pub const METRICS_LINGER_BYTES: u64 = 64 << 10;

// Links between nodes: docs/PROTOCOL.md, section 17.

/// Bytes that say how long a control message is.
pub const CONTROL_LENGTH_BYTES: usize = 4;
/// Longest control message, its kind included.
pub const CONTROL_BYTES_MAX: usize = 64 << 10;
/// Longest text of a notice.
pub const NOTICE_TEXT_BYTES_MAX: usize = 255;
/// Bytes of a link's id.
pub const LINK_ID_BYTES: usize = 32;
/// Versions that a HELLO can name.
pub const VERSIONS_MAX: u32 = 16;

const _: () =
    assert!(RECORD_BYTES_MAX + 1024 < CONTROL_BYTES_MAX, "a control message holds a record, or a HELLO with one");
const _: () = assert!(LINK_SILENCE + 2 * LINK_LOOK < RETRY_MIN, "silence is noticed before the first repeat");
const _: () = assert!(LINK_QUEUE > LINK_ROOM_FRAMES as usize && SESSION_QUEUE > CLIENT_ROOM_DELIVERIES as usize);
const _: () = assert!(
    JOURNAL_LIMIT_BYTES / (JOURNAL_SEGMENT_BYTES as u64) + 64 < FILES_BESIDE_SESSIONS as u64,
    "all segments of a journal can be open, and there is room for sockets and keys"
);
const _: () = assert!(NODE_BATCH <= NODE_QUEUE && LINK_LANES < UNI_STREAMS_MAX as usize);
const FRAME_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + HEADER_BYTES;
const _: () = assert!(FRAME_BYTES_MAX < LARGE_FRAMES_LINK_BYTES, "a link can bring the largest frame");
const _: () = assert!(2 * FRAME_BYTES_MAX < LARGE_FRAMES_USER_BYTES);
const _: () = assert!(LARGE_FRAMES_USER_BYTES + FRAME_BYTES_MAX < LARGE_FRAMES_AGENTS_BYTES);

// The agents' library (`client`).

/// What one agent's process has under way and unanswered: four times the 1,024 outcomes that a daemon keeps open for an
/// agent, since most wait for less. Whoever asks for more waits for a place.
pub const LIBRARY_WAITING_MAX: usize = 4 * 1024;
/// Bytes of durable submissions that are kept for being sent again: six of the longest.
pub const LIBRARY_WAITING_BYTES_MAX: usize = 64 << 20;
/// Bytes that wait for the socket; a frame that is begun below it may go beyond.
pub const LIBRARY_OUT_BYTES_MAX: usize = 1 << 20;
/// Deliveries that wait to be received: so many the daemon is given credit for. While somebody waits for an answer a
/// quarter more may come at a time.
pub const LIBRARY_INBOX_MESSAGES: usize = 4 * DELIVERIES_OUT_MAX;
/// Their bytes, headers included. One that begins below it may go beyond.
pub const LIBRARY_INBOX_BYTES: usize = 32 << 20;
/// Deliveries beyond which one that comes is left to its lease, or, without one, is lost: nobody receives, but goes on
/// asking.
pub const LIBRARY_INBOX_MESSAGES_MAX: usize = 2 * LIBRARY_INBOX_MESSAGES;
/// Bytes of deliveries, likewise.
pub const LIBRARY_INBOX_BYTES_MAX: usize = 2 * LIBRARY_INBOX_BYTES;
/// Addresses whose ids are remembered.
pub const LIBRARY_ADDRESSES_MAX: usize = 1024;
/// Ended submissions that are remembered, so that an outcome which comes twice is told once.
pub const LIBRARY_SETTLED_MAX: usize = LIBRARY_WAITING_MAX;
/// Handlers that run at once.
pub const LIBRARY_HANDLERS_MAX: usize = 64;
/// Events that wait for whoever listens to them.
pub const LIBRARY_EVENTS_MAX: usize = 256;

const _: () = assert!(LIBRARY_WAITING_BYTES_MAX > PAYLOAD_BYTES_MAX);
const _: () = assert!(LIBRARY_INBOX_BYTES + PAYLOAD_BYTES_MAX < LIBRARY_INBOX_BYTES_MAX, "credit keeps below it");
