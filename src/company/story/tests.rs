//! The story keeps what its chapters promise, at every seed and size, counted from its events.

mod tally;

use super::super::{Company, CompanyOptions, journey::DAY};
use super::*;
use tally::{Span, Tally};

fn options(seed: u64, touchpoints: u64) -> CompanyOptions {
    let story = Story::NineMonths;
    CompanyOptions {
        seed,
        touchpoints,
        customers: story.customers(touchpoints),
        story: Some(story),
        ..CompanyOptions::default()
    }
}

fn tally(seed: u64, touchpoints: u64) -> Tally {
    let options = options(seed, touchpoints);
    Tally::of(options.start.0, Company::new(options))
}

const METRICS: [&str; 17] = [
    "nps",
    "csat",
    "ces",
    "sentiment",
    "promise_gap",
    "on_time",
    "overdue",
    "first_response_time",
    "unanswered",
    "resolution_time",
    "new_customers",
    "revenue",
    "orders",
    "average_order_value",
    "return_rate",
    "contact_rate",
    "reach",
];

fn span(days: Days, start: Day) -> Span {
    (days.first.0 - start.0, days.last.0 - start.0)
}

#[test]
#[ignore = "a picture: run it alone with --ignored --nocapture"]
fn how_the_months_look() {
    let size = std::env::var("STORY_SIZE").map_or(100_000, |size| size.parse().unwrap());
    let seeds = std::env::var("STORY_SEEDS").map_or(1, |seeds| seeds.parse().unwrap());
    for seed in 1..=seeds {
        let tally = tally(seed, size);
        if seed == 1 {
            println!("{:?}", tally.kinds);
            let joined = tally.cookies.values().filter(|(customers, alone)| *alone && !customers.is_empty()).count();
            let alone = tally.cookies.values().filter(|(customers, alone)| *alone && customers.is_empty()).count();
            println!("cookies {}, only alone {alone}, joined {joined}", tally.cookies.len());
            for metric in METRICS {
                for region in ["", "south"] {
                    print!("{metric:>20} {region:5}");
                    for month in 0..19 {
                        print!(" {:7.2}", tally.metric(metric, region, (month * 14, month * 14 + 13)));
                    }
                    println!();
                }
            }
        }
        let start = CompanyOptions::default().start;
        for chapter in Story::NineMonths.chapters(start) {
            println!("{} {:?}", chapter.name, span(chapter.days, start));
            for effect in chapter.effects {
                let region = effect.region.unwrap_or("");
                let seen = tally.metric(effect.metric, region, span(effect.seen, start));
                let against = tally.metric(effect.metric, region, span(effect.against, start));
                println!(
                    "  seed {seed} {:>20} {region:5} {:?} {against:8.2} -> {seen:8.2} ({:+.2}, {:+.0} %)",
                    effect.metric,
                    effect.direction,
                    seen - against,
                    100.0 * (seen - against) / against
                );
            }
        }
    }
}
