//! Families: cells that an analysis looks at as a whole, and how their contributions name them.
//!
//! They travel as contributions to cells do, under numbers above those of metrics. The value of such a cell names the family,
//! then, after a unit separator, the element: neither holds control characters but the separators.

use super::contribution::CellKey;

/// Numbers from here on are families, not metrics of the catalogue. Part of the internal formats.
pub const FAMILIES_FROM: u8 = 192;

/// What elements mean, all families taken together: what was counted under another number is counted anew.
pub const ELEMENTS_VERSION: u8 = 3;

/// Journeys that ended, by goal: elements are outcomes with paths.
pub const JOURNEYS: u8 = 192;

/// Persons' months, as sums over pairs of measures: elements are pairs.
pub const DRIVERS: u8 = 193;

/// How customers bought, by currency: elements are of [`super::PurchaseElement`], each month's as changes.
pub const PURCHASES: u8 = 195;

/// Persons' months with what followed, by subject: elements are groups of persons.
pub const PRIORITIES: u8 = 196;

/// What was done about something: elements are spokes, with how often they said so in `n`, how many times with an effort in `a`,
/// and the sum of those in `sum`. Told to every partition.
pub const CHANGES: u8 = 198;

/// Departments' months, by spoke: elements are [`super::DepartmentElement`]s. Read together with [`BALANCE`] and [`PRIORITIES`].
pub const SCORECARDS: u8 = 197;

/// Touchpoints by kind of contact: elements are kinds with what is summed over them.
pub const BALANCE: u8 = 194;

/// The name of the family of all kinds of contact.
pub const CONTACTS: &str = "contacts";

/// The name of the family of all persons.
pub const PERSONS: &str = "persons";

/// Between the name of a family and an element.
const UNIT_SEPARATOR: char = '\u{1f}';
/// Between the parts of a family's name, and between those of an element.
pub const PART_SEPARATOR: char = '\u{1e}';

/// The value of the cell of an element. Parts are joined by [`PART_SEPARATOR`].
pub fn cell_value(family: &[&str], element: &[&str]) -> String {
    let length = family.iter().chain(element).map(|part| part.len() + 1).sum();
    let mut value = String::with_capacity(length);
    push_family(&mut value, family);
    push_parts(&mut value, element);
    value
}

/// Parts of an element that is put together before its family is known.
pub fn element(parts: &[&str]) -> String {
    let mut value = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    push_parts(&mut value, parts);
    value
}

/// Appends what comes before the element in the value of a cell.
pub fn push_family(value: &mut String, family: &[&str]) {
    push_parts(value, family);
    value.push(UNIT_SEPARATOR);
}

fn push_parts(value: &mut String, parts: &[&str]) {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            value.push(PART_SEPARATOR);
        }
        value.push_str(part);
    }
}

/// The family and the element of a cell's value; `None` if it names no element.
pub fn parse_cell_value(value: &str) -> Option<(&str, &str)> {
    value.split_once(UNIT_SEPARATOR)
}

impl CellKey<'_> {
    /// Whether every partition of the metrics stage has to know of it.
    pub fn is_for_all(&self) -> bool {
        self.metric == CHANGES
    }

    /// Whether the cell is an element of a family.
    pub fn is_of_family(&self) -> bool {
        self.metric >= FAMILIES_FROM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cells_value_names_its_family_and_its_element() {
        let value = cell_value(&["gold", "repurchase"], &["+", "sales:visit_made:store"]);
        let (family, element) = parse_cell_value(&value).expect("a family's cell");
        assert_eq!(family.split(PART_SEPARATOR).collect::<Vec<_>>(), ["gold", "repurchase"]);
        assert_eq!(element.split(PART_SEPARATOR).collect::<Vec<_>>(), ["+", "sales:visit_made:store"]);
        assert_eq!(parse_cell_value("north"), None);
    }
}
