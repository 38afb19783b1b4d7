//! Texts that are made while a touchpoint is drafted (a number as text, a name in small letters) → borrowed as long as it.
//!
//! Nearly every text of a touchpoint is borrowed from its payload, so that these are few: each is a link of a chain.

use std::cell::{Cell, OnceCell};

/// The texts of one touchpoint.
#[derive(Debug, Default)]
pub(super) struct Made(OnceCell<Box<Link>>);

#[derive(Debug)]
struct Link {
    text: String,
    next: Made,
}

impl Drop for Made {
    /// Link by link: a list of a thousand numbers must not become as deep a recursion.
    fn drop(&mut self) {
        let mut rest = self.0.take();
        while let Some(mut link) = rest {
            rest = link.next.0.take();
        }
    }
}

/// Where the next text is put.
#[derive(Debug)]
pub(super) struct Keeper<'c>(Cell<&'c Made>);

impl<'c> Keeper<'c> {
    /// Puts texts behind those that are there already.
    pub(super) fn new(made: &'c Made) -> Keeper<'c> {
        Keeper(Cell::new(made))
    }

    /// Keeps a text.
    #[cold]
    pub(super) fn keep(&self, text: String) -> &'c str {
        let mut place = self.0.get();
        while let Some(link) = place.0.get() {
            place = &link.next;
        }
        let link = place.0.get_or_init(|| Box::new(Link { text, next: Made::default() }));
        self.0.set(&link.next);
        &link.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_as_they_were_kept_and_a_long_chain_ends() {
        let made = Made::default();
        let keeper = Keeper::new(&made);
        let texts: Vec<&str> = (0..200_000).map(|number: u32| keeper.keep(number.to_string())).collect();
        let another = Keeper::new(&made).keep("another".into());
        assert!(texts.iter().enumerate().all(|(number, text)| *text == number.to_string()));
        assert_eq!((another, keeper.keep("the last".into())), ("another", "the last"));
    }
}
