//! Who said it.
