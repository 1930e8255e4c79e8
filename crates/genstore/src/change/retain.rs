//! What retention is asked about, and what the answer is made of.
