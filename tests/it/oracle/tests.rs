//! The oracle against worlds small enough to compute by hand, and the verifier against wrong feeds.
