//! The metrics that the hub publishes, by the index that internal records name them with.

/// Indexes of metrics: part of the internal format, never reused.
#[allow(missing_docs, reason = "each index is the metric of its name")]
pub mod index {
    pub const NPS: u8 = 0;
    pub const CSAT: u8 = 1;
    pub const CES: u8 = 2;
    pub const SENTIMENT: u8 = 3;
    pub const PROMISE_GAP: u8 = 4;
    pub const ON_TIME: u8 = 5;
    pub const OVERDUE: u8 = 6;
    pub const FIRST_RESPONSE_TIME: u8 = 7;
    pub const UNANSWERED: u8 = 8;
    pub const RESOLUTION_TIME: u8 = 9;
    pub const NEW_CUSTOMERS: u8 = 10;
    pub const REVENUE: u8 = 11;
    pub const ORDERS: u8 = 12;
    pub const AVERAGE_ORDER_VALUE: u8 = 13;
    pub const RETURN_RATE: u8 = 14;
    pub const CONTACT_RATE: u8 = 15;
    pub const REACH: u8 = 16;
    pub const DATA_QUALITY: u8 = 17;
}
