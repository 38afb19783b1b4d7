//! A shape and a payload of any serde format in; the wanted scalars, picked out in one pass, out.
//!
//! Everything that no path leads to is skipped by the format's own skipping, which neither builds values nor recurses.
//! So the depth of recursion is the depth of the paths, whatever the payload.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    scalar::Scalar,
    shape::{Node, Shape, Slot},
};

/// Elements of a list that are kept: many times what anybody has names.
pub(super) const LIST_ELEMENTS_MAX: usize = 1_000;

impl Shape {
    /// Empties a capture for one payload.
    pub fn begin(&self, capture: &mut Capture<'_>) {
        capture.scalars.clear();
        capture.scalars.resize_with(self.nodes.len(), Scalar::default);
        capture.entries.clear();
        capture.elements.clear();
        capture.fault = None;
        capture.empty_is_nothing = false;
    }

    /// Notes which places hold something in a capture, by their nodes: in one of the elements of a list if they are in it.
    pub fn note_found(&self, capture: &mut Capture<'_>, found: &mut Vec<bool>) {
        found.resize(self.nodes.len(), false);
        let mut note = |capture: &Capture<'_>| {
            for (node, found) in found.iter_mut().enumerate() {
                let has_entries = capture.entries.iter().any(|entry| usize::from(entry.slot) == node);
                *found |= has_entries || !capture.scalars[node].is_absent();
            }
        };
        note(capture);
        for index in 0..capture.elements() {
            capture.select(self, index);
            note(capture);
        }
    }

    /// The paths that hold nothing in any of the captures that were noted, in the order in which they were asked for.
    pub fn unfound(&self, found: &[bool], but: &[Slot]) -> Vec<&str> {
        let is_wanted = |node: &Node| (node.leaf || node.entries) && !node.outside;
        let nodes = self.nodes.iter().enumerate().filter(|(index, node)| {
            is_wanted(node)
                && !found.get(*index).copied().unwrap_or(false)
                && !but.iter().any(|slot| usize::from(slot.0) == *index)
        });
        nodes.map(|(_, node)| node.path.as_str()).collect()
    }

    /// Picks the scalars out of one value, which stands at `root` (`None`: it is the whole payload). The capture must have
    /// been begun, and is added to: what stands elsewhere may be read from something else. The error is the format's own; [`Capture::fault`] says more if the payload is well formed and yet cannot be read unambiguously.
    pub fn capture<'de, D: Deserializer<'de>>(
        &self,
        root: Option<Slot>,
        capture: &mut Capture<'de>,
        deserializer: D,
    ) -> Result<(), D::Error> {
        Seed { shape: self, node: root.map_or(0, |slot| slot.0), capture }.deserialize(deserializer)
    }
}

/// Why a well-formed payload cannot be read as its paths say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A key that a path names is there twice: which of them holds would depend on the reader.
    Repeated(Slot),
    /// A path leads through this place, but it holds no object (or array) that it could lead into.
    NotAContainer(Slot),
    /// A list at this place has more elements than are kept.
    TooMany(Slot),
}

/// The scalars that were picked out of one payload.
#[derive(Clone, Debug, Default)]
pub struct Capture<'a> {
    pub(super) scalars: Vec<Scalar<'a>>,
    pub(super) entries: Vec<Entry<'a>>,
    /// What was picked out of each element: the scalars of the element's nodes, and its entries.
    pub(super) elements: Vec<(Vec<Scalar<'a>>, Vec<Entry<'a>>)>,
    fault: Option<Fault>,
    /// Whether an empty text or list, where a path leads on, is null: so write those who have no other word for an object
    /// without members. In Avro the schema says what stands there.
    pub(super) empty_is_nothing: bool,
}

/// One key of a wanted object with one of its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    pub(super) slot: u16,
    /// The key.
    pub key: Cow<'a, str>,
    /// Its scalar, or one element of its list.
    pub value: Scalar<'a>,
}

impl<'a> Capture<'a> {
    /// What was captured elsewhere: each scalar's slot is its place ([`Slot::numbered`]).
    pub fn of_scalars(scalars: Vec<Scalar<'a>>) -> Capture<'a> {
        Capture { scalars, ..Capture::default() }
    }

    /// The scalar at a slot.
    pub fn scalar(&self, slot: Slot) -> &Scalar<'a> {
        &self.scalars[usize::from(slot.0)]
    }

    /// How many elements the list has that is read element by element.
    pub fn elements(&self) -> usize {
        self.elements.len()
    }

    /// Puts one element in its place: its slots hold what it has, until the next is selected. Each can be selected once.
    pub fn select(&mut self, shape: &Shape, index: usize) {
        let Some((scalars, entries)) = self.elements.get_mut(index) else {
            return;
        };
        for (&node, scalar) in shape.of_element.iter().zip(std::mem::take(scalars)) {
            self.scalars[usize::from(node)] = scalar;
        }
        self.entries.retain(|entry| !shape.of_element.contains(&entry.slot));
        self.entries.append(entries);
    }

    /// Fills in what is outside of the payload.
    pub fn set(&mut self, slot: Slot, scalar: Scalar<'a>) {
        self.scalars[usize::from(slot.0)] = scalar;
    }

    /// The entries of the object at a slot, in the order of the payload.
    pub fn entries(&self, slot: Slot) -> impl Iterator<Item = &Entry<'a>> {
        self.entries.iter().filter(move |entry| entry.slot == slot.0)
    }

    /// What is ambiguous or of another form than the paths expect: the first such place.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Puts a scalar in its place; whether nothing stood there.
    #[inline]
    pub(super) fn place(&mut self, node: u16, scalar: Scalar<'a>) -> bool {
        let place = &mut self.scalars[usize::from(node)];
        if !matches!(place, Scalar::Missing) {
            self.fault = Some(Fault::Repeated(Slot(node)));
            return false;
        }
        *place = scalar;
        true
    }

    #[inline]
    fn put<E: serde::de::Error>(&mut self, node: u16, scalar: Scalar<'a>) -> Result<(), E> {
        if self.place(node, scalar) { Ok(()) } else { Err(E::custom("a key is there twice")) }
    }

    pub(super) fn add_entry(&mut self, slot: u16, key: Cow<'a, str>, value: Scalar<'a>) {
        self.entries.push(Entry { slot, key, value });
    }

    /// Puts aside what was read of an element; its entries are those from one on.
    pub(super) fn put_aside(&mut self, shape: &Shape, entries: usize) {
        let nodes = shape.of_element.iter();
        let scalars = nodes.map(|&node| std::mem::take(&mut self.scalars[usize::from(node)])).collect();
        let entries = self.entries.split_off(entries);
        self.elements.push((scalars, entries));
    }

    pub(super) fn note_not_a_container(&mut self, node: u16) {
        self.fault = self.fault.or(Some(Fault::NotAContainer(Slot(node))));
    }

    pub(super) fn note_too_many(&mut self, node: u16) {
        self.fault = self.fault.or(Some(Fault::TooMany(Slot(node))));
    }
}

/// The decimal that was meant, not the digits that its binary form has beyond a float's precision.
pub(super) fn float(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// Reads the value at one node.
struct Seed<'s, 'c, 'de> {
    shape: &'s Shape,
    node: u16,
    capture: &'c mut Capture<'de>,
}

impl Seed<'_, '_, '_> {
    fn node(&self) -> &Node {
        &self.shape.nodes[usize::from(self.node)]
    }

    /// Whether what is empty here is nothing: a path leads on from it. The payload itself, and an element of it that is to become a
    /// touchpoint, must be something.
    fn may_be_empty(&self) -> bool {
        let is_element = self.shape.of_element.first() == Some(&self.node);
        self.capture.empty_is_nothing && self.node != 0 && !is_element && !self.node().leaf
    }

    /// No scalar can be descended into: noted unless a scalar is welcome here too. Null is simply absent.
    fn note_scalar(&mut self) {
        if self.node().refuses_scalars(self.node) {
            self.capture.note_not_a_container(self.node);
        }
    }
}

impl<'de> Seed<'_, '_, 'de> {
    /// Reads a list element by element: each is read into the same slots and put aside.
    fn each_element<A: SeqAccess<'de>>(self, element: u16, mut sequence: A) -> Result<(), A::Error> {
        let Seed { shape, node, capture } = self;
        capture.put::<A::Error>(node, Scalar::Composite)?;
        loop {
            let entries = capture.entries.len();
            let seed = Seed { shape, node: element, capture: &mut *capture };
            if sequence.next_element_seed(seed)?.is_none() {
                return Ok(());
            }
            if capture.elements.len() == LIST_ELEMENTS_MAX {
                capture.note_too_many(node);
                while sequence.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(());
            }
            capture.put_aside(shape, entries);
        }
    }

    fn scalar<E: serde::de::Error>(mut self, scalar: Scalar<'de>) -> Result<(), E> {
        if matches!(&scalar, Scalar::Text(text) if text.trim().is_empty()) && self.may_be_empty() {
            return self.capture.put(self.node, Scalar::Null);
        }
        self.note_scalar();
        self.capture.put(self.node, scalar)
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The visits of scalars, the same for every visitor here, each with its own `scalar`.
macro_rules! scalar_visits {
    () => {
        fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Self::Value, E> {
            self.scalar(Scalar::Bool(value))
        }

        fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
            self.scalar(Scalar::Int(value))
        }

        fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
            self.scalar(i64::try_from(value).map_or(Scalar::Large(value), Scalar::Int))
        }

        fn visit_f32<E: serde::de::Error>(self, value: f32) -> Result<Self::Value, E> {
            self.scalar(Scalar::Float(float(value)))
        }

        fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
            self.scalar(Scalar::Float(value))
        }

        /// How a number comes that has more digits than a float holds ([`super::json_digits`]).
        fn visit_newtype_struct<D: Deserializer<'de>>(self, number: D) -> Result<Self::Value, D::Error> {
            self.scalar(Scalar::Digits(<&'de str>::deserialize(number)?))
        }

        fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
            self.scalar(Scalar::Text(Cow::Owned(value.to_owned())))
        }

        fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<Self::Value, E> {
            self.scalar(Scalar::Text(Cow::Borrowed(value)))
        }

        fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Self::Value, E> {
            self.scalar(Scalar::Text(Cow::Owned(value)))
        }
    };
}

/// The visits of bytes, which a reader may want as text.
macro_rules! byte_visits {
    () => {
        fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            let text = std::str::from_utf8(bytes).ok().filter(|_| self.as_text);
            self.scalar(text.map_or(Scalar::Composite, |text| Scalar::Text(Cow::Owned(text.to_owned()))))
        }
    };
}

impl<'de> Visitor<'de> for Seed<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    scalar_visits!();

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<(), E> {
        let text = std::str::from_utf8(bytes).ok().filter(|_| self.node().bytes_as_text);
        let scalar = text.map_or(Scalar::Composite, |text| Scalar::Text(Cow::Owned(text.to_owned())));
        self.scalar(scalar)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        if self.node == 0 {
            return self.scalar(Scalar::Null);
        }
        self.capture.put(self.node, Scalar::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.capture.put::<A::Error>(self.node, Scalar::Composite)?;
        let node = &self.shape.nodes[usize::from(self.node)];
        if node.entries {
            while let Some(key) = map.next_key_seed(EntryKey)? {
                let as_text = node.items_as_text;
                map.next_value_seed(EntryValue { slot: self.node, key, as_text, capture: self.capture })?;
            }
            return Ok(());
        }
        if node.keys.is_empty() {
            if node.refuses_objects() {
                self.capture.note_not_a_container(self.node);
            }
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let mut after = 0;
        while let Some(found) = map.next_key_seed(Key { node, after })? {
            match found {
                Some(index) => {
                    after = index + 1;
                    map.next_value_seed(Seed { shape: self.shape, node: node.keys[index].1, capture: self.capture })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let node = &self.shape.nodes[usize::from(self.node)];
        if let Some(element) = node.element {
            return self.each_element(element, sequence);
        }
        if node.list && node.items.is_empty() {
            self.capture.put::<A::Error>(self.node, Scalar::Null)?;
            let mut left = LIST_ELEMENTS_MAX;
            while let Some(value) = sequence.next_element_seed(Element { as_text: node.items_as_text })? {
                if left == 0 {
                    self.capture.note_too_many(self.node);
                    while sequence.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(());
                }
                left -= 1;
                self.capture.entries.push(Entry { slot: self.node, key: Cow::Borrowed(""), value });
            }
            return Ok(());
        }
        if node.items.is_empty() && self.may_be_empty() {
            if sequence.next_element::<IgnoredAny>()?.is_none() {
                return self.capture.put(self.node, Scalar::Null);
            }
            self.capture.put::<A::Error>(self.node, Scalar::Composite)?;
            if node.refuses_lists(self.node) {
                self.capture.note_not_a_container(self.node);
            }
            while sequence.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        self.capture.put::<A::Error>(self.node, Scalar::Composite)?;
        if node.items.is_empty() && node.refuses_lists(self.node) {
            self.capture.note_not_a_container(self.node);
        }
        let mut index = 0;
        loop {
            let more = match node.items.iter().find(|&&(wanted, _)| wanted == index) {
                Some(&(_, child)) => sequence
                    .next_element_seed(Seed { shape: self.shape, node: child, capture: self.capture })?
                    .is_some(),
                None => sequence.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }
}

/// Finds a key among a node's children.
struct Key<'s> {
    node: &'s Node,
    after: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.node.index.find(&self.node.keys, self.after, key))
    }
}

/// Keeps a key, borrowed if the format can.
struct EntryKey;

impl<'de> DeserializeSeed<'de> for EntryKey {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for EntryKey {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }
}

/// Keeps a scalar, or each scalar of a list, under its key.
struct EntryValue<'c, 'de> {
    slot: u16,
    key: Cow<'de, str>,
    /// Whether bytes are wanted as text.
    as_text: bool,
    capture: &'c mut Capture<'de>,
}

impl<'de> EntryValue<'_, 'de> {
    fn scalar<E>(self, value: Scalar<'de>) -> Result<(), E> {
        self.capture.entries.push(Entry { slot: self.slot, key: self.key, value });
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for EntryValue<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EntryValue<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a scalar or a list of scalars")
    }

    scalar_visits!();

    byte_visits!();

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar(Scalar::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.scalar(Scalar::Composite)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while let Some(element) = sequence.next_element_seed(Element { as_text: self.as_text })? {
            self.capture.entries.push(Entry { slot: self.slot, key: self.key.clone(), value: element });
        }
        Ok(())
    }
}

/// One element of a list. A list or an object inside the list is marked as no scalar and skipped, so that the depth of
/// recursion does not follow the payload.
struct Element {
    /// Whether bytes are wanted as text.
    as_text: bool,
}

impl Element {
    fn scalar<'de, E>(self, value: Scalar<'de>) -> Result<Scalar<'de>, E> {
        Ok(value)
    }
}

impl<'de> DeserializeSeed<'de> for Element {
    type Value = Scalar<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element {
    type Value = Scalar<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a scalar")
    }

    scalar_visits!();

    byte_visits!();

    fn visit_unit<E: serde::de::Error>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Composite)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Scalar<'de>, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Composite)
    }
}
