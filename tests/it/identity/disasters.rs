//! The well-known disasters, each told to the whole hub: what it publishes is what somebody would say who knew everything.

use super::{
    Ordered, id,
    story::{event, tell},
};

#[test]
fn erased_then_the_whole_history_again_then_a_new_customer_with_the_old_address() {
    tell(|story| {
        story.seen(&[
            event("shop", 1, 1, "page_viewed", "cookie:k"),
            event("shop", 2, 2, "order_placed", "email:ann@x.org cookie:k order:1"),
            event("warehouse", 1, 30, "order_delivered", "order:1"),
            event("shop", 3, 40, "page_viewed", "email:bob@x.org"),
        ]);
        let ann = story.person("order:1").unwrap();
        assert_eq!(story.touchpoints("cookie:k"), 3);
        story.ordered("erase ann", 100, Ordered::Erase(id("email:ann@x.org")));
        for identifier in ["email:ann@x.org", "cookie:k", "order:1"] {
            assert_eq!(story.person(identifier), None);
        }
        assert_eq!((story.feeds().customers.len(), story.feeds().touchpoints.len()), (1, 1), "bob's alone are left");
        let after_the_erasure = story.feeds().clone();
        let history = story.history();
        story.seen(&history);
        assert_eq!(story.feeds().touchpoints, after_the_erasure.touchpoints);
        assert_eq!(story.feeds().identities, after_the_erasure.identities);
        story.seen(&[event("shop", 4, 200, "order_placed", "email:ann@x.org order:2")]);
        let reborn = story.person("email:ann@x.org").unwrap();
        assert_ne!(reborn, ann);
        assert_eq!((story.person("order:2"), story.touchpoints("order:2")), (Some(reborn.clone()), 1));
        // And all of it once more, with what came late.
        let mut late = story.history();
        late.push(event("warehouse", 2, 31, "order_returned", "order:1"));
        late.push(event("shop", 5, 50, "page_viewed", "email:ann@x.org cookie:late"));
        story.seen(&late);
        assert_eq!((story.person("email:ann@x.org"), story.touchpoints("order:2")), (Some(reborn), 1));
    });
}

#[test]
fn an_erasure_takes_what_was_there_also_where_a_clock_of_a_department_is_ahead() {
    tell(|story| {
        story.seen(&[
            event("shop", 1, 1, "page_viewed", "email:ann@x.org"),
            event("shop", 2, 1, "page_viewed", "cookie:k"),
        ]);
        // Nothing that would have to be said to links; later than the command.
        story.seen(&[event("shop", 3, 20, "page_viewed", "email:ann@x.org")]);
        story.ordered("erase ann", 10, Ordered::Erase(id("email:ann@x.org")));
        assert_eq!(story.person("email:ann@x.org"), None);
        assert_eq!(story.feeds().touchpoints.len(), 1);
        story.seen(&[event("shop", 4, 21, "page_viewed", "email:ann@x.org")]);
        assert_eq!(story.touchpoints("email:ann@x.org"), 1);
    });
}

#[test]
fn a_late_event_for_an_identifier_that_has_moved_twice_is_its_persons() {
    tell(|story| {
        story.seen(&[
            event("shop", 1, 10, "page_viewed", "cookie:k"),
            event("shop", 2, 20, "page_viewed", "email:ann@x.org cookie:k"),
        ]);
        let before = story.person("cookie:k").unwrap();
        story.seen(&[event("warehouse", 1, 30, "case_opened", "customer_id:7 email:ann@x.org")]);
        let after = story.person("cookie:k").unwrap();
        assert_ne!(before, after, "a customer number is stronger");
        story.seen(&[
            event("shop", 3, 1, "page_viewed", "cookie:k"),
            event("shop", 4, 15, "order_placed", "cookie:k order:1"),
        ]);
        assert_eq!((story.person("order:1"), story.touchpoints("order:1")), (Some(after), 5));
        assert_eq!(story.feeds().customers.len(), 1, "the persons before are gone");
        // And it moves again, with what came late.
        story.ordered("apart", 50, Ordered::Never(vec![(id("customer_id:7"), id("email:ann@x.org"))]));
        story.seen(&[event("shop", 5, 2, "page_viewed", "cookie:k")]);
        assert_eq!((story.person("cookie:k"), story.touchpoints("cookie:k")), (Some(before), 5));
        assert_eq!(story.touchpoints("customer_id:7"), 1);
    });
}

#[test]
fn two_spokes_that_both_number_their_events_1_2_3_lose_none() {
    tell(|story| {
        let said = |department, hour, identifiers| {
            [1, 2, 3].map(|number| event(department, number, hour + number as i64, "page_viewed", identifiers))
        };
        story.seen(&said("shop", 0, "cookie:k"));
        story.seen(&said("warehouse", 10, "email:ann@x.org"));
        assert_eq!(story.touchpoints("cookie:k"), 3);
        // Under one person, and at homes of their own.
        story.seen(&[event("shop", 4, 40, "page_viewed", "email:ann@x.org cookie:k")]);
        assert_eq!(story.touchpoints("cookie:k"), 7);
        assert_eq!(story.feeds().touchpoints.len(), 7);
        let person = story.person("cookie:k").unwrap();
        assert_eq!(
            story.feeds().customers[&person]["touchpoints_by_spoke"],
            serde_json::json!({"shop": 4, "warehouse": 3})
        );
        // The same numbers at one home, and all of it once more.
        story.seen(&said("shop", 0, "cookie:k"));
        story.seen(&[1, 2, 3].map(|number| event("shop", 4 + number, 50, "page_viewed", "email:ann@x.org")));
        assert_eq!(story.touchpoints("cookie:k"), 10);
        story.ordered("apart", 60, Ordered::Never(vec![(id("email:ann@x.org"), id("cookie:k"))]));
        assert_eq!((story.touchpoints("cookie:k"), story.touchpoints("email:ann@x.org")), (3, 7));
    });
}

#[test]
fn a_merge_that_was_taken_back_stays_so_when_the_same_evidence_comes_again() {
    tell(|story| {
        story.seen(&[
            event("shop", 1, 1, "order_placed", "email:ann@x.org phone:+4915112345678"),
            event("shop", 2, 2, "order_placed", "email:bob@x.org phone:+4915112345678"),
        ]);
        assert_eq!(story.person("email:ann@x.org"), story.person("email:bob@x.org"));
        let [ann, bob, phone] = ["email:ann@x.org", "email:bob@x.org", "phone:+4915112345678"].map(id);
        story.ordered("split", 10, Ordered::Never(vec![(ann.clone(), bob), (ann, phone)]));
        let (ann, bob) = (story.person("email:ann@x.org").unwrap(), story.person("email:bob@x.org").unwrap());
        assert_ne!(ann, bob);
        assert_eq!(story.person("phone:+4915112345678"), Some(bob.clone()));
        for number in 3..6 {
            story.seen(&[
                event("shop", 2 * number, 20, "order_placed", "email:ann@x.org phone:+4915112345678"),
                event("shop", 2 * number + 1, 20, "order_placed", "email:bob@x.org phone:+4915112345678"),
            ]);
            assert_eq!(story.person("email:ann@x.org").as_ref(), Some(&ann));
            assert_eq!(story.person("phone:+4915112345678").as_ref(), Some(&bob));
        }
        story.ordered("undo", 30, Ordered::Undo("split".to_owned()));
        assert_eq!((story.person("email:bob@x.org"), story.touchpoints("email:bob@x.org")), (Some(ann), 8));
    });
}

#[test]
fn logout_and_second_login_on_one_device_part_it_from_both() {
    tell(|story| {
        story.seen(&[
            event("shop", 1, 1, "page_viewed", "device:laptop cookie:k"),
            event("shop", 2, 2, "page_viewed", "customer_id:ann device:laptop cookie:k"),
        ]);
        assert_eq!(
            story.touchpoints("customer_id:ann"),
            2,
            "the visit before the login is hers, as far as anybody knows"
        );
        story.seen(&[event("shop", 3, 3, "page_viewed", "device:laptop cookie:k")]);
        assert_eq!(story.touchpoints("customer_id:ann"), 3);
        story.seen(&[event("shop", 4, 4, "order_placed", "customer_id:bob device:laptop cookie:k")]);
        assert_eq!((story.touchpoints("customer_id:ann"), story.touchpoints("customer_id:bob")), (1, 1));
        assert_eq!(story.touchpoints("device:laptop"), 2, "nobody's");
        assert_eq!(story.feeds().customers.len(), 3);
        story.seen(&[
            event("shop", 5, 5, "page_viewed", "device:laptop"),
            event("shop", 6, 0, "page_viewed", "cookie:k"),
        ]);
        assert_eq!((story.touchpoints("customer_id:ann"), story.touchpoints("customer_id:bob")), (1, 1));
    });
}

#[test]
fn null_and_undefined_and_minus_one_beside_the_address_of_two_customers_make_them_no_one_person() {
    tell(|story| {
        let mut number = 0;
        let mut said = Vec::new();
        for nobody in ["null", "undefined", "-1", "None", "0000"] {
            for (hour, customer) in [(1, "email:ann@x.org"), (2, "email:bob@x.org")] {
                number += 1;
                let identifiers = format!("{customer} phone:{nobody} device:{nobody} cookie:{nobody} order:{nobody}");
                said.push(event("shop", number, hour, "page_viewed", &identifiers));
            }
        }
        story.seen(&said);
        let (ann, bob) = (story.person("email:ann@x.org").unwrap(), story.person("email:bob@x.org").unwrap());
        assert_ne!(ann, bob);
        assert_eq!((story.touchpoints("email:ann@x.org"), story.touchpoints("email:bob@x.org")), (5, 5));
        assert_eq!(story.feeds().identities.len(), 2, "nothing else names anybody: {:?}", story.feeds().identities);
        assert!(story.letters().is_empty());
        // Who has no other name is nobody, and that is told.
        story.seen(&[event("shop", 11, 3, "order_placed", "device:null order:-1")]);
        assert_eq!((story.feeds().identities.len(), story.feeds().touchpoints.len()), (2, 10));
        let letters = story.letters();
        assert_eq!(letters.len(), 1, "{letters:?}");
        assert_eq!(letters[0], ("no_usable_identifier".to_owned(), "identifiers".to_owned()));
    });
}
