//! What the models of buying expect of a customer: over the API and on the page what the command says, by the newest parameters of the
//! catalogue, and what the published formula makes of them.

use super::*;

/// Customers, enough of whom buy again.
const CUSTOMERS: usize = 400;
/// Days of their story; the last month of it is closed.
const DAYS: f64 = 200.0;

/// Numbers from 0 to 1 without its ends, the same in each run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        // Knuth's linear congruential generator, MMIX.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }
}

/// Customers as the model has them: each with a rate, a chance to leave after a purchase, and amounts of their own.
fn purchases() -> Vec<Value> {
    let mut chance = Chance(7);
    let mut all = Vec::new();
    for customer in 0..CUSTOMERS {
        let rate = -chance.next().ln() / 20.0;
        let leaves = 1.0 - chance.next().powf(0.4);
        let mean = 2_000.0 / (0.2 + chance.next());
        let mut day = chance.next() * 120.0;
        while day < DAYS {
            let minor = (-chance.next().ln() * mean).ceil() as i64 + 100;
            let name = json!({ "email": format!("buyer{customer}@example.org") });
            let mut order = event(&format!("b-{}", all.len()), day as i64 + 25 - DAYS as i64, "order_placed", name);
            order["amount"] = json!({ "minor": minor, "currency": "EUR" });
            all.push(order);
            if chance.next() < leaves {
                break;
            }
            day += 1.0 - chance.next().ln() / rate;
        }
    }
    all
}

fn days_from(from: &Value, to: &Value) -> f64 {
    let date = |value: &Value| value.as_str().unwrap().parse::<jiff::civil::Date>().unwrap();
    f64::from((date(to) - date(from)).get_days())
}

#[test]
fn what_is_expected_of_a_customer_is_what_the_newest_parameters_say() {
    let mut desk = Desk::open("expected", &["serve.requests_per_second=100000", "time.idle_partition_seconds=3"]);
    desk.house.append(DAY_MS, &purchases());
    let (token, _) = desk.token("read:customers", &[]);
    let by = [("authorization", token.as_str())];
    let path = |customer: usize| format!("/api/v1/customers/email:buyer{customer}@example.org");
    let months = || {
        let sets =
            desk.feed("catalogue").into_iter().filter(|it| it["parameters"]["purchases"]["convergence"] == "converged");
        let mut sets: Vec<Value> = sets.collect();
        sets.sort_by_key(|it| it["parameters"]["window"]["start"].to_string());
        sets
    };
    let is_of_newest = |answer: &Answer| {
        answer.status == 200 && {
            let newest = months().pop().map(|it| it["parameters"]["window"]["start"].as_str().unwrap()[..7].to_owned());
            newest.is_some_and(|newest| answer.json()["expected"]["parameters"] == newest)
        }
    };
    desk.becomes(&path(0), &by, &is_of_newest);
    let sets = months();
    assert!(sets.len() > 1, "of one month nobody sees that it is the newest: {sets:?}");
    let newest = &sets[sets.len() - 1];
    let of_model = |model: &str, name: &str| {
        let parameters = newest["parameters"][model]["parameters"].as_array().unwrap();
        parameters.iter().find(|it| it["name"] == name).unwrap()["value"].as_f64().unwrap()
    };
    let [r, alpha, a, b] = ["r", "alpha", "a", "b"].map(|name| of_model("purchases", name));
    let (mut again, mut once) = (0, 0);
    for customer in 0..20 {
        let known = desk.ask(&path(customer), &by).json();
        let (said, buying) = (&known["expected"], &known["buying"]);
        let x = buying["days"].as_f64().unwrap() - 1.0;
        let weeks = |to: &Value| days_from(&buying["first_on"], to) / 7.0;
        let left =
            a / (b + x - 1.0) * ((alpha + weeks(&said["as_of"])) / (alpha + weeks(&buying["last_on"]))).powf(r + x);
        let alive = if x > 0.0 { 1.0 / (1.0 + left) } else { 1.0 };
        assert!((said["p_alive"].as_f64().unwrap() - alive).abs() < 1e-9, "{alive}: {known}");
        assert_eq!(said["one_time_buyer"], x == 0.0);
        assert_eq!(said["caveat"].as_str().is_some_and(|it| it.contains("one-time buyer")), x == 0.0, "{said}");
        assert_eq!(
            (&said["parameters_status"], &said["parameters_revision"]),
            (&newest["status"], &newest["revision"])
        );
        again += usize::from(x > 0.0);
        once += usize::from(x == 0.0);
    }
    assert!(again > 2 && once > 2, "{again} bought again, {once} once");

    // The same as by the command, over other days as well, and on the page.
    for horizon in ["90", "30"] {
        let said = desk.ask(&format!("{}?horizon_days={horizon}", path(3)), &by).json()["expected"].clone();
        assert_eq!(said["horizon_days"].to_string(), horizon);
        let shown = desk.house.succeed(&["customer", "email:buyer3@example.org", "--horizon", horizon, "-o", "json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(said, shown["expected"], "by the command");
    }
    let known = desk.ask(&path(3), &by).json();
    let page = desk.ask(&format!("/customers/{}", known["person"].as_str().unwrap()), &by);
    let alive = format!("{:.1} %", 100.0 * known["expected"]["p_alive"].as_f64().unwrap());
    for part in ["P(alive)", &alive, "what customers who bought alike would do"] {
        assert!(page.body.contains(part), "{part} in {}", page.body);
    }
}
