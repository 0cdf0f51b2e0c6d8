//! The rules of the delivery contract, by name. A test build can leave one out, and the simulator must find what that
//! breaks; in all other builds each of them holds.

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// One rule of `docs/PROTOCOL.md`, section "Delivery".
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Rule {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Rule {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

rules! {
    /// Accepted is said once the message is synced.
    AcceptedAfterSync,
    /// The first attempt leaves once the message is synced.
    AttemptAfterSync,
    /// STORED is said once message and mark are synced.
    StoredAfterSync,
    /// An agent sees a message once it is synced.
    DeliverAfterSync,
    /// Messages are taken in the order of the flow only.
    InOrderOnly,
    /// At or below the mark is a duplicate.
    MarkStopsDuplicates,
    /// A message and its mark are one transaction.
    MarkWithMessage,
    /// A floor above the mark lifts the mark.
    FloorLiftsMark,
    /// Numbering begins anew with each start.
    NewFlowPerStart,
    /// A new flow's first frame leaves when the old flow is settled.
    NewFlowWaitsForOld,
    /// A pair that is not known, or a newer flow, starts at its floor.
    NewerFlowStartsAtFloor,
    /// An older flow is answered with 4015.
    OlderFlowAnswered,
    /// What is renumbered says AGAIN.
    RenumberAboveWithAgain,
    /// A duplicate is answered with STORED.
    StoredRepeated,
    /// STORED settles up to the highest place that was sent.
    SettleOnlySent,
    /// All that is owned is repeated when a link comes up.
    RepeatOnLinkUp,
    /// All that is owned is repeated after a time.
    RepeatByTimer,
    /// The floor passes what has expired.
    ExpiryPassesFloor,
    /// The sender is told of an expiry.
    ExpiredTellsSender,
    /// After an attempt has left, an expiry is told as 4004.
    AttemptLeftTells4004,
    /// After an unclean start all that was in the mailbox is marked.
    UncleanMarksMailbox,
    /// What carries AGAIN is marked.
    AgainMarks,
    /// What is older than the store is marked.
    BirthMarks,
    /// A mark is kept past the latest expiry of what was taken.
    MarkKeptPastExpiry,
    /// What expires before the latest moment at which a mark was dropped is marked.
    DroppedMarkMarks,
    /// A message goes and its outcome comes in one transaction.
    OutcomeInOneTransaction,
    /// The stub stays until the agent has acknowledged the outcome.
    StubUntilOutcomeAcknowledged,
    /// The first outcome wins.
    FirstOutcomeWins,
    /// An outcome settles its message.
    OutcomeSettles,
    /// An answer counts only if a stub waits for it.
    AnswersNeedStub,
    /// An answer that a stub waits for is taken whatever its age.
    AnswersNotAged,
    /// A RESPONSE is accepted only while its REQUEST lies with that agent.
    ResponseOnlyWhileHeld,
    /// An id that is owned or has a stub is the same message.
    KnownIdIsSameMessage,
    /// With AGAIN, while the mailbox holds the id, its place is taken and nothing more.
    HeldIdTakesPlaceOnly,
    /// A take-over voids the older session's numbers.
    TakeoverVoidsNumbers,
    /// A delivery whose lease has ended is made again.
    LeaseEndsDelivery,
    /// After 4013 the record is fetched, and the message sealed again.
    PrekeyFetchedAnew,
    /// What is sent at most once is remembered.
    OnceRemembered,
    /// What is sent at most once ages.
    OnceStale,
    /// An ERROR about what was sent at most once counts once, and only if it was asked.
    OnceRefusedOnce,
    /// A clean stop notes what was delivered and not acknowledged.
    DeliveredNotedAtCleanStop,
    /// A store that was born anew marks all that lies in its mailboxes.
    RebornMarksMailbox,
    /// After too many failed deliveries a message ends.
    TooManyFailuresEnd,
    /// What its agent refuses for good ends at once.
    RefusedForGoodEnds,
    /// What no agent can be told becomes a dead letter.
    UntoldBecomesDead,
    /// After a jump of the clock nothing expires.
    JumpSuspendsExpiry,
    /// What no rule of the destination's node allows is refused, with its mark, and its sender hears so.
    PolicyRefuses,
    /// A step back of the clock erases the prekeys from before it.
    StepBackErasesPrekeys,
    /// Who is a member shows its certificate.
    MembersAreProved,
    /// What is new about a node or its agents goes on to those who cannot hear it from that node.
    RecordsGoOn,
    /// Who meets a higher record of its own signs anew above it.
    OwnRecordIsHighest,
    /// A node that signs nothing any more is no member.
    SilentNodeEnds,
    /// An agent that its host signs for no longer is not known any more.
    EndedAgentIsForgotten,
    /// An older record does not bring back who has left.
    LeftStaysLeft,
    /// Links to revoked nodes are hung up, and their records go.
    RevokedIsCut,
    /// Revoked nodes are not linked with, and their records are not taken.
    RevokedIsRefused,
    /// Mail that is owned for a revoked node is withdrawn.
    RevokedHoldsNoMail,
    /// Mail from a revoked node is no longer delivered.
    RevokedIsNotHeard,
    /// A list of revocations of a lower epoch changes nothing.
    OlderListIsRefused,
    /// A new list of revocations goes on to all links.
    ListGoesOn,
    /// The certificate's renewal is asked for in time, and again.
    CertificateIsRenewed,
    /// There is no link with a blocked node.
    BlockedStaysOut,
}

/// Which rules hold: all of them, but in a test build that leaves one out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    #[cfg(feature = "faults")]
    without: Option<Rule>,
}

impl Rules {
    /// All but one, for the simulator to find the fault.
    #[cfg(feature = "faults")]
    #[must_use]
    pub const fn without(rule: Rule) -> Self {
        Self { without: Some(rule) }
    }

    #[cfg(feature = "faults")]
    pub(crate) fn hold(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    #[cfg(not(feature = "faults"))]
    #[expect(clippy::unused_self, clippy::trivially_copy_pass_by_ref, reason = "the same call as in test builds")]
    pub(crate) const fn hold(&self, _rule: Rule) -> bool {
        true
    }
}
