//! A type of identifiers that the hub has of its own: everything is as the oracle says, and of another hub's nothing is taken.

use insight_hub::{
    engine::log::{TopicPartition, sim::SourceRecord},
    model::{CommandRecord, IdentifierType, Name, Order, PersonId},
};

use super::{
    Hub, Ordered, START_MS, id, name,
    story::{event, tell},
};

#[test]
fn a_tax_number_joins_a_device_is_taken_back_and_goes_with_its_person() {
    tell(|story| {
        story.seen(&[
            event("shop", 1, 1, "page_viewed", "device:d"),
            event("shop", 2, 30, "order_placed", "tax_number:7 device:d order:O-1"),
            event("warehouse", 1, 40, "order_delivered", "order:O-1"),
        ]);
        story.seen(&[event("shop", 3, 50, "page_viewed", "loyalty:l tax_number:7")]);
        // Two of one person, and no third.
        story.seen(&[
            event("shop", 4, 60, "page_viewed", "loyalty:l tax_number:8"),
            event("shop", 5, 70, "page_viewed", "loyalty:l tax_number:9"),
        ]);
        story.ordered("apart", 80, Ordered::Never(vec![(id("tax_number:7"), id("device:d"))]));
        story.ordered("again", 90, Ordered::Undo("apart".to_owned()));
        story.ordered("gone", 100, Ordered::Erase(id("tax_number:8")));
        story.seen(&[event("shop", 6, 200, "page_viewed", "tax_number:7")]);
        assert!(story.letters().is_empty(), "{:?}", story.letters());
    });
}

#[test]
fn a_command_about_a_type_of_another_hub_is_rejected() {
    let mut hub = Hub::new(0, 1);
    let other = Name { kind: IdentifierType::own("of_another_hub").unwrap(), id: PersonId([7; 16]) };
    let mine = name(&id("email:ann@x.org"));
    let orders = [
        Order::Link { pairs: vec![(mine, other)] },
        Order::NeverLink { pairs: vec![(other, mine)] },
        Order::Erase { identifier: other },
        Order::Link { pairs: vec![(mine, name(&id("tax_number:7")))] },
    ];
    let records = orders.into_iter().zip(1..).map(|(order, number): (Order, i32)| SourceRecord {
        to: TopicPartition { topic: hub.map.commands, partition: 0 },
        key: None,
        value: CommandRecord { id: number.to_string(), order }.encode(),
        timestamp_ms: START_MS,
    });
    let records = records.collect();
    hub.simulation.append(records);
    hub.rest("commands");
    assert_eq!(hub.letters(), vec![("wrong_type".to_owned(), "identifier".to_owned()); 3]);
}
