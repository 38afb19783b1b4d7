//! What happens to customers in; what they still feel of it on a day out.

use super::super::random::Random;

/// After so many days nobody minds any more.
const FORGIVEN_AFTER_DAYS: i32 = 70;
/// No memory is worse.
const STRENGTH_MAX: i32 = 90;
/// How often a customer who is not yet known on a day is drawn again.
const DRAWS_MAX: u32 = 8;

/// One bad memory: from a day on, and how bad in percent at first.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    from_day: u16,
    strength: u8,
}

impl Memory {
    fn level(self, day: i32) -> u32 {
        let age = day - i32::from(self.from_day);
        if !(0..FORGIVEN_AFTER_DAYS).contains(&age) {
            return 0;
        }
        (i32::from(self.strength) * (FORGIVEN_AFTER_DAYS - age) / FORGIVEN_AFTER_DAYS) as u32
    }

    fn add(&mut self, day: i32, strength: i32) {
        let strength = (self.level(day) as i32 + strength).clamp(0, STRENGTH_MAX);
        *self = Memory { from_day: day.clamp(0, u16::MAX.into()) as u16, strength: strength as u8 };
    }
}

/// One customer: 12 bytes, because millions are remembered.
#[derive(Clone, Copy, Debug)]
struct Customer {
    since_day: u16,
    hurt: Memory,
    annoyed: Memory,
    unsubscribed: bool,
}

/// Every customer so far, by number.
#[derive(Debug)]
pub(super) struct People {
    customers: Vec<Customer>,
}

impl People {
    /// The customers of the first day.
    pub(super) fn new(customers: u32) -> People {
        let customer =
            Customer { since_day: 0, hurt: Memory::default(), annoyed: Memory::default(), unsubscribed: false };
        People { customers: vec![customer; customers.max(1) as usize] }
    }

    /// A new customer from that day on.
    pub(super) fn join(&mut self, day: i32) -> u32 {
        let since_day = day.clamp(0, u16::MAX.into()) as u16;
        self.customers.push(Customer {
            since_day,
            hurt: Memory::default(),
            annoyed: Memory::default(),
            unsubscribed: false,
        });
        (self.customers.len() - 1) as u32
    }

    /// A customer of that day. Half of the occasions belong to all alike, half rather to those who have been there longer.
    pub(super) fn draw(&self, day: i32, random: &mut Random) -> u32 {
        let count = self.customers.len() as u64;
        for _ in 0..DRAWS_MAX {
            let even = random.below(count);
            let number = if random.percent(50) { even } else { even * random.below(count) / count };
            if i32::from(self.customers[number as usize].since_day) <= day {
                return number as u32;
            }
        }
        // The first is there from the beginning.
        0
    }

    /// How much a customer minds late parcels and slow answers on a day, in percent.
    pub(super) fn hurt(&self, customer: u32, day: i32) -> u32 {
        self.customers[customer as usize].hurt.level(day)
    }

    /// How much a customer is annoyed by messages on a day, in percent.
    pub(super) fn annoyed(&self, customer: u32, day: i32) -> u32 {
        self.customers[customer as usize].annoyed.level(day)
    }

    /// Something bad from that day on.
    pub(super) fn hurt_by(&mut self, customer: u32, day: i32, strength: i32) {
        self.customers[customer as usize].hurt.add(day, strength);
    }

    /// Too many messages from that day on.
    pub(super) fn annoy(&mut self, customer: u32, day: i32, strength: i32) {
        self.customers[customer as usize].annoyed.add(day, strength);
    }

    /// Something that went well on that day: a bad memory counts half.
    pub(super) fn comfort(&mut self, customer: u32, day: i32) {
        let hurt = &mut self.customers[customer as usize].hurt;
        if hurt.level(day) > 0 {
            hurt.strength /= 2;
        }
    }

    /// No more newsletters.
    pub(super) fn unsubscribe(&mut self, customer: u32) {
        self.customers[customer as usize].unsubscribed = true;
    }

    /// Whether newsletters reach the customer.
    pub(super) fn subscribes(&self, customer: u32) -> bool {
        !self.customers[customer as usize].unsubscribed
    }

    /// The number of the next who joins: how many there are.
    pub(super) fn next_number(&self) -> u32 {
        self.customers.len() as u32
    }
}
