//! The proof that the judge can see: for each rule of the contract, where to look for what breaks without it. A rule
//! that nothing finds is a rule that nobody checks.

use mesh::Rule;

use crate::by_hand::BY_HAND;
use crate::fault::Fault;
use crate::run::live;
use crate::shape::Shape;

/// Seeds that are tried before a rule counts as not found.
const SEEDS_MAX: u64 = 1000;

/// Who found out that a rule was missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finder {
    /// The life of a seed, in the shape that it takes by default.
    Seed(u64),
    /// A schedule by hand, by its name.
    ByHand(&'static str),
}

/// What a missing rule broke.
#[derive(Clone, Debug)]
pub struct Found {
    /// Who found it.
    pub finder: Finder,
    /// The first promise that was broken.
    pub fault: Fault,
}

/// What a rule is about, for those that chance finds too seldom: the schedule by its number in [`BY_HAND`].
const fn schedule_of(rule: Rule) -> Option<usize> {
    match rule {
        Rule::RenumberAboveWithAgain => Some(0),
        Rule::SettleOnlySent => Some(1),
        Rule::DroppedMarkMarks => Some(2),
        Rule::AnswersNotAged => Some(3),
        Rule::PrekeyFetchedAnew => Some(4),
        Rule::NewFlowWaitsForOld => Some(5),
        Rule::RebornMarksMailbox => Some(16),
        Rule::StepBackErasesPrekeys => Some(17),
        Rule::JumpSuspendsExpiry => Some(18),
        Rule::PolicyRefuses => Some(19),
        Rule::RecordsGoOn => Some(22),
        Rule::SilentNodeEnds => Some(23),
        Rule::LeftStaysLeft => Some(24),
        Rule::RevokedIsCut | Rule::RevokedHoldsNoMail | Rule::RevokedIsNotHeard | Rule::ListGoesOn => Some(25),
        Rule::RevokedIsRefused => Some(26),
        Rule::OlderListIsRefused => Some(27),
        Rule::CertificateIsRenewed => Some(28),
        Rule::BlockedStaysOut => Some(30),
        Rule::OwnRecordIsHighest => Some(31),
        Rule::MembersAreProved => Some(32),
        Rule::RefusedForGoodEnds => Some(34),
        Rule::EndedAgentIsForgotten => Some(35),
        Rule::AcceptedAfterSync
        | Rule::AttemptAfterSync
        | Rule::StoredAfterSync
        | Rule::DeliverAfterSync
        | Rule::InOrderOnly
        | Rule::MarkStopsDuplicates
        | Rule::MarkWithMessage
        | Rule::FloorLiftsMark
        | Rule::NewFlowPerStart
        | Rule::NewerFlowStartsAtFloor
        | Rule::OlderFlowAnswered
        | Rule::StoredRepeated
        | Rule::RepeatOnLinkUp
        | Rule::RepeatByTimer
        | Rule::ExpiryPassesFloor
        | Rule::ExpiredTellsSender
        | Rule::AttemptLeftTells4004
        | Rule::UncleanMarksMailbox
        | Rule::AgainMarks
        | Rule::BirthMarks
        | Rule::MarkKeptPastExpiry
        | Rule::OutcomeInOneTransaction
        | Rule::StubUntilOutcomeAcknowledged
        | Rule::FirstOutcomeWins
        | Rule::OutcomeSettles
        | Rule::AnswersNeedStub
        | Rule::ResponseOnlyWhileHeld
        | Rule::KnownIdIsSameMessage
        | Rule::HeldIdTakesPlaceOnly
        | Rule::TakeoverVoidsNumbers
        | Rule::LeaseEndsDelivery
        | Rule::OnceRemembered
        | Rule::OnceStale
        | Rule::OnceRefusedOnce
        | Rule::DeliveredNotedAtCleanStop
        | Rule::TooManyFailuresEnd
        | Rule::UntoldBecomesDead => None,
    }
}

/// Leaves a rule out, and looks for what breaks: in its schedule if it has one, then in the lives of seeds from `from`.
#[must_use]
pub fn hunt(rule: Rule, from: u64) -> Option<Found> {
    if let Some(schedule) = schedule_of(rule).and_then(|at| BY_HAND.get(at)) {
        let world = schedule.run(from, Some(rule));
        if let Some(fault) = world.faults().first() {
            return Some(Found { finder: Finder::ByHand(schedule.name), fault: fault.clone() });
        }
    }
    (from..from + SEEDS_MAX).find_map(|seed| {
        let report = live(seed, &Shape::of_seed(seed), Some(rule), false);
        let fault = report.faults.first().cloned()?;
        Some(Found { finder: Finder::Seed(seed), fault })
    })
}
