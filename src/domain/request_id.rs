//! The rule for request ids. A test compares it with the client's.

/// The most characters of an id that a client may choose.
pub const LONGEST_REQUEST_ID: usize = 128;

/// Whether `id` is 1 to 128 visible ASCII characters, so that it can be logged and sent as it is.
pub fn is_request_id(id: &[u8]) -> bool {
    (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}
