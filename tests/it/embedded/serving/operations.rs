//! Every operation of the API, and who may ask for it.

/// Each operation, with something to put into its path and query, and the roles of which one is enough; none: everybody.
pub const OPERATIONS: &[(&str, &str, &[&str])] = &[
    ("/api/v1", "/api/v1", &[]),
    ("/api/v1/openapi.json", "/api/v1/openapi.json", &[]),
    ("/api/v1/metrics", "/api/v1/metrics", &["read:metrics"]),
    ("/api/v1/metrics/{metric}", "/api/v1/metrics/orders", &["read:metrics"]),
    ("/api/v1/metrics/{metric}/series", "/api/v1/metrics/orders/series?window=day", &["read:metrics"]),
    ("/api/v1/metrics/{metric}/roll-up", "/api/v1/metrics/orders/roll-up?window=day", &["read:metrics"]),
    ("/api/v1/journeys", "/api/v1/journeys", &["read:metrics"]),
    ("/api/v1/attribution", "/api/v1/attribution", &["read:metrics"]),
    ("/api/v1/drivers", "/api/v1/drivers", &["read:metrics"]),
    ("/api/v1/priorities", "/api/v1/priorities", &["read:metrics"]),
    ("/api/v1/changes", "/api/v1/changes", &["read:metrics"]),
    ("/api/v1/balance", "/api/v1/balance", &["read:metrics"]),
    ("/api/v1/scorecards", "/api/v1/scorecards", &["read:metrics"]),
    ("/api/v1/customers/{customer}", "/api/v1/customers/email:ann1@example.org", &["read:customers"]),
    ("/api/v1/customers/{customer}/timeline", "/api/v1/customers/email:ann1@example.org/timeline", &["read:customers"]),
    ("/api/v1/customers/{customer}/identity", "/api/v1/customers/email:ann1@example.org/identity", &["read:customers"]),
    ("/api/v1/identity/conflicts", "/api/v1/identity/conflicts", &["read:customers", "review"]),
    ("/api/v1/alerts", "/api/v1/alerts", &["read:customers", "read:metrics"]),
    ("/api/v1/dead-letters", "/api/v1/dead-letters", &["read:customers", "operate"]),
    ("/api/v1/dead-letters/{position}", "/api/v1/dead-letters/shop.events%7C1%7C1", &["read:customers", "operate"]),
    // Of feeds that are about persons read:customers; the test of streams has those.
    ("/api/v1/feeds/{feed}/events", "", &["read:customers", "read:metrics"]),
    ("/api/v1/spokes", "/api/v1/spokes", &["read:metrics", "operate"]),
    ("/api/v1/spokes/{spoke}", "/api/v1/spokes/shop", &["read:metrics", "operate"]),
];
