//! The proof that a value was authenticated, as a type.

/// A value whose signature held for the one who claims to have made it.
///
/// A function that takes this cannot be called without the proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// Called by the verifier alone. Search for this name to audit every origin.
    #[must_use]
    pub const fn assert_verified(value: T) -> Self {
        Self(value)
    }

    /// What was authenticated.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// The same proof of the same value, which now lies on the heap.
    #[must_use]
    pub fn boxed(self) -> Verified<Box<T>> {
        Verified(Box::new(self.0))
    }

    /// Gives up the proof.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}
