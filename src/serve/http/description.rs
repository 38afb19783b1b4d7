//! The resources in; their description out: OpenAPI 3.1 for programs, a page for people. Both come of the same annotations as the
//! routes, so that nothing is served that is not described.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, ResponseBuilder, Schema, Type,
        path::{Operation, ParameterIn, PathItem},
        schema::SchemaType,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Shared, access_requests, alerts, analyses,
    asking::NAME_BYTES_MAX,
    customers, dead_letters, decisions, erasures, events, ingestion, metrics,
    problem::ProblemBody,
    reply::Lasting,
    shapes::{customer_pattern, with_types_of},
    spokes,
};
use crate::model::IdentifierRules;

/// What is about no single resource.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "insight-hub",
        description = "What the hub publishes on its feeds, to be read over HTTP, and a way to send what departments without a Kafka client \
            have. Lists come in pages: `next` is the cursor of the next \
            one. Every answer has an `etag`; sent back as `if-none-match`, an answer that has not changed is 304. Errors are \
            `application/problem+json` with a `type` that keeps its meaning. A list with `format=csv` is a table.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemBody)),
    tags(
        (name = "about", description = "This description"),
        (name = "metrics", description = "Company-wide metrics"),
        (name = "analyses", description = "What the metrics and journeys say together"),
        (name = "customers", description = "Customers, and why their identifiers are one person. Each access is noted on insight.audit."),
        (name = "alerts", description = "What somebody should look at. Each access is noted on insight.audit."),
        (name = "erasure and access", description = "What a person may ask for. Each is noted on insight.audit."),
        (name = "dead letters", description = "What could not be taken in"),
        (name = "feeds", description = "Every feed as it comes"),
        (name = "spokes", description = "Departments, and how their data does"),
    ),
    modifiers(&Rules),
)]
struct Base;

/// What holds for every operation.
struct Rules;

impl Modify for Rules {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A token of `insight-hub token create`, or a signed one (JWT) of the company's login where the hub takes those; the names beside it \
                 are the roles, of which one is enough.",
            ))
            .build();
        if let Some(components) = &mut openapi.components {
            components.add_security_scheme("token", SecurityScheme::Http(bearer));
        }
    }
}

/// The routes, and their description. `rules`: what identifiers there are.
pub(super) fn router(rules: &IdentifierRules) -> (axum::Router<Shared>, utoipa::openapi::OpenApi) {
    let resources = OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(super::page))
        .routes(routes!(super::openapi_json))
        .routes(routes!(metrics::list))
        .routes(routes!(metrics::get))
        .routes(routes!(metrics::series))
        .routes(routes!(metrics::roll_up))
        .routes(routes!(analyses::journeys))
        .routes(routes!(analyses::attribution))
        .routes(routes!(analyses::drivers))
        .routes(routes!(analyses::priorities))
        .routes(routes!(analyses::changes))
        .routes(routes!(analyses::balance))
        .routes(routes!(analyses::scorecards))
        .routes(routes!(customers::get))
        .routes(routes!(customers::timeline))
        .routes(routes!(customers::identity))
        .routes(routes!(customers::conflicts))
        .routes(routes!(alerts::list))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::get))
        .routes(routes!(events::watch))
        .routes(routes!(spokes::list))
        .routes(routes!(spokes::get))
        .routes(routes!(ingestion::send))
        .routes(routes!(decisions::decide))
        .routes(routes!(decisions::acknowledge_alert))
        .routes(routes!(decisions::acknowledge_priority))
        .routes(routes!(erasures::erase))
        .routes(routes!(erasures::get))
        .routes(routes!(access_requests::begin))
        .routes(routes!(access_requests::get));
    let (router, mut description) = resources.split_for_parts();
    for (is_read, operation) in description.paths.paths.values_mut().flat_map(operations) {
        add_refusals(is_read, operation);
        add_names(rules, operation);
        add_absence(operation);
        add_table(operation);
        add_items(operation);
    }
    if let Some(components) = &mut description.components {
        with_types_of(rules, components);
    }
    (router, description)
}

/// Each operation, and whether it only reads.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    [(true, &mut item.get), (false, &mut item.post)]
        .into_iter()
        .filter_map(|(is_read, operation)| Some((is_read, operation.as_mut()?)))
}

/// Adds what every operation may answer besides.
fn add_refusals(is_read: bool, operation: &mut Operation) {
    let is_public = operation.tags.iter().flatten().any(|tag| tag == "about");
    let all = [
        ("304", "It is as `if-none-match` says", true),
        ("400", "A parameter is wrong", false),
        ("401", "A token is needed", false),
        ("403", "The token does not have the role", false),
        ("429", "Too many requests; `retry-after` says when to come again", true),
        ("500", "Something does not work; the log of the hub says what", true),
        ("503", "Too much to do, or the feeds are still being read; `retry-after` says when to come again", true),
    ];
    for (status, text, of_public_too) in all {
        if is_public && !of_public_too || !is_read && status == "304" {
            continue;
        }
        let mut response = ResponseBuilder::new().description(text);
        if status != "304" {
            if ["429", "503"].contains(&status) {
                let seconds = ObjectBuilder::new().schema_type(Type::Integer).build();
                let header = HeaderBuilder::new().schema(seconds).description(Some("Seconds".to_owned())).build();
                response = response.header("retry-after", header);
            }
            let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            response = response.content("application/problem+json", problem);
        }
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| response.build().into());
    }
}

/// Says what a name in a path looks like.
fn add_names(rules: &IdentifierRules, operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten().filter(|it| it.parameter_in == ParameterIn::Path) {
        let Some(RefOr::T(Schema::Object(name))) = &mut parameter.schema else { continue };
        (name.min_length, name.max_length) = (Some(1), Some(NAME_BYTES_MAX));
        name.pattern = match parameter.name.as_str() {
            "alert" | "priority" | "erasure" => Some("^[0-9a-fA-F]{32}$".to_owned()),
            "customer" => Some(customer_pattern(rules)),
            _ => None,
        };
    }
}

/// Says that a header which may be left out is not sent as `null`.
fn add_absence(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten().filter(|it| it.parameter_in == ParameterIn::Header) {
        match &mut parameter.schema {
            Some(RefOr::T(Schema::OneOf(either))) => parameter.schema = either.items.pop(),
            Some(RefOr::T(Schema::Object(object))) => object.schema_type = SchemaType::Type(Type::String),
            Some(_) | None => {}
        }
    }
}

/// Says that a list that is sent has something in it.
fn add_items(operation: &mut Operation) {
    let body = operation.request_body.iter_mut().flat_map(|body| body.content.values_mut());
    for schema in body.filter_map(|content| content.schema.as_mut()) {
        if let RefOr::T(Schema::Array(items)) = schema {
            items.min_items = Some(1);
        }
    }
}

/// Says that a list can be a table.
fn add_table(operation: &mut Operation) {
    let is_list = operation.parameters.iter().flatten().any(|parameter| parameter.name == "format");
    let answer = operation.responses.responses.get_mut("200").filter(|_| is_list);
    if let Some(RefOr::T(answer)) = answer {
        let text = ObjectBuilder::new().schema_type(Type::String).description(Some("RFC 4180, with a header"));
        let table = ContentBuilder::new().schema(Some(Schema::Object(text.build()))).build();
        answer.content.insert("text/csv".to_owned(), table);
        let link = "Where the next page is, with `rel=\"next\"`; none on the last one";
        let link = HeaderBuilder::new().schema(ObjectBuilder::new().schema_type(Type::String)).description(Some(link));
        answer.headers.insert("link".to_owned(), link.build());
    }
}

/// The description as it is sent.
pub(super) struct Description {
    pub(super) json: Lasting,
    pub(super) page: Lasting,
    /// The content security policy of the page: no script, and this style only.
    pub(super) policy: String,
}

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem;color-scheme:light dark}\
    code{font-family:ui-monospace,monospace}table{border-collapse:collapse;width:100%}\
    td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8886}\
    h3{margin-top:2.5rem}.wide{overflow-x:auto}";

impl Description {
    pub(super) fn of(openapi: &utoipa::openapi::OpenApi) -> Description {
        let value = serde_json::to_value(openapi).expect("a description can be written");
        let style = STANDARD.encode(Sha256::digest(STYLE));
        Description {
            json: Lasting::new(value.to_string()),
            page: Lasting::new(page(&value)),
            policy: format!("default-src 'none'; style-src 'sha256-{style}'; frame-ancestors 'none'"),
        }
    }
}

/// The page: every operation with its parameters, roles and answers, for a screen reader too.
fn page(openapi: &Value) -> String {
    let text =
        |value: &Value, pointer: &str| escaped(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default());
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>insight-hub API</title><style>{STYLE}</style></head><body>\
         <main><h1>insight-hub API</h1><p>{}</p><p>For programs: <a href=\"/api/v1/openapi.json\">openapi.json</a></p>",
        text(openapi, "/info/description"),
    );
    for tag in openapi.get("tags").and_then(Value::as_array).into_iter().flatten() {
        let name = tag.get("name").and_then(Value::as_str).unwrap_or_default();
        html.push_str(&format!("<h2>{}</h2>", text(tag, "/description")));
        for (path, item) in openapi.get("paths").and_then(Value::as_object).into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if operation.pointer("/tags/0").and_then(Value::as_str) == Some(name) {
                    html.push_str(&operation_in_words(&method.to_uppercase(), path, operation));
                }
            }
        }
    }
    html.push_str("</main></body></html>");
    html
}

fn operation_in_words(method: &str, path: &str, operation: &Value) -> String {
    let text = |value: &Value, field: &str| escaped(value.get(field).and_then(Value::as_str).unwrap_or_default());
    let mut html = format!(
        "<h3><code>{method} {}</code></h3><p>{}</p><p>{}</p>",
        escaped(path),
        text(operation, "summary"),
        text(operation, "description")
    );
    let roles: Vec<&str> = operation
        .get("security")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .flat_map(|way| way.get("token").and_then(Value::as_array).into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    let roles = if roles.is_empty() { "everybody".to_owned() } else { format!("role {}", roles.join(" or ")) };
    html.push_str(&format!("<p>For {}.</p>", escaped(&roles)));
    let mut rows = String::new();
    for parameter in operation.get("parameters").and_then(Value::as_array).into_iter().flatten() {
        let need = if parameter.get("required").and_then(Value::as_bool) == Some(true) { "needed" } else { "" };
        let (name, what) = (text(parameter, "name"), text(parameter, "description"));
        rows.push_str(&format!(
            "<tr><td><code>{name}</code></td><td>{}</td><td>{need}</td><td>{what}</td></tr>",
            text(parameter, "in")
        ));
    }
    if !rows.is_empty() {
        html.push_str(&format!(
            "<div class=\"wide\"><table><thead><tr><th scope=\"col\">parameter</th><th scope=\"col\">in</th><th scope=\"col\"></th>\
             <th scope=\"col\">what</th></tr></thead><tbody>{rows}</tbody></table></div>"
        ));
    }
    if let Some(body) = operation.get("requestBody") {
        let kinds: Vec<String> = body
            .get("content")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|content| content.keys())
            .map(|kind| format!("<code>{}</code>", escaped(kind)))
            .collect();
        html.push_str(&format!("<p>Send {}. {}</p>", kinds.join(" or "), text(body, "description")));
    }
    html.push_str("<ul>");
    for (status, response) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
        html.push_str(&format!("<li><code>{}</code> {}</li>", escaped(status), text(response, "description")));
    }
    html.push_str("</ul>");
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
