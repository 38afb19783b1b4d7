//! Paths, compiled into a trie: the shape of what is wanted of a payload.

use super::{
    key_index::KeyIndex,
    path::{PathError, Segment, parse_path},
};

/// Where a captured scalar is found: a node of the trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub(super) u16);

impl Slot {
    /// The slot of a place in a list of scalars: [`super::Capture::of_scalars`].
    pub fn numbered(place: u16) -> Slot {
        Slot(place)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub path: String,
    /// A scalar is wanted here.
    pub leaf: bool,
    /// Every key with its scalar or list of scalars is wanted here.
    pub entries: bool,
    /// A scalar or a list of scalars is wanted here.
    pub list: bool,
    /// Bytes are wanted as text: the reader's schema has a string where the writer's has bytes.
    pub bytes_as_text: bool,
    /// The same of the items of a list, or the values of an object, that are wanted as they are.
    pub items_as_text: bool,
    /// It is not in the payload: whoever reads the record fills it in.
    pub outside: bool,
    /// A list is wanted here, and this is the node of each of its elements in turn.
    pub element: Option<u16>,
    pub keys: Vec<(Box<str>, u16)>,
    /// Of the keys, once they are complete.
    pub index: KeyIndex,
    pub items: Vec<(usize, u16)>,
}

impl Node {
    /// Whether no scalar is wanted here, but something in an object or a list. The payload itself is no scalar.
    pub fn refuses_scalars(&self, node: u16) -> bool {
        self.refuses_objects() || self.refuses_lists(node)
    }

    /// Whether an object is none of what is wanted here: a list is.
    pub fn refuses_objects(&self) -> bool {
        !self.leaf && (self.element.is_some() || self.list || !self.items.is_empty())
    }

    /// Whether a list is none of what is wanted here. The payload itself is none.
    pub fn refuses_lists(&self, node: u16) -> bool {
        !self.leaf && (node == 0 || self.entries || !self.keys.is_empty())
    }
}

/// Collects paths into a [`Shape`].
#[derive(Clone, Debug)]
pub struct ShapeBuilder {
    nodes: Vec<Node>,
    element: Option<u16>,
}

impl Default for ShapeBuilder {
    fn default() -> ShapeBuilder {
        ShapeBuilder { nodes: vec![Node::default()], element: None }
    }
}

impl ShapeBuilder {
    /// A scalar is wanted at this path. The same path gives the same slot.
    pub fn leaf(&mut self, path: &str) -> Result<Slot, PathError> {
        let node = self.node(path)?;
        self.nodes[usize::from(node)].leaf = true;
        Ok(Slot(node))
    }

    /// A scalar or a list of scalars is wanted at this path. A list is read as null, with an entry for each element.
    pub fn list(&mut self, path: &str) -> Result<Slot, PathError> {
        let slot = self.leaf(path)?;
        self.nodes[usize::from(slot.0)].list = true;
        Ok(slot)
    }

    /// The list at this path is read element by element ([`super::Capture::select`]). From now on a path that begins with a dot
    /// leads into the element, and `.` is the element itself. The slot is the list's: something other than a scalar if it is there.
    pub fn each(&mut self, path: &str) -> Result<Slot, PathError> {
        let node = self.node(path)?;
        let element = u16::try_from(self.nodes.len())
            .map_err(|_| PathError { path: path.to_owned(), problem: "is one too many for one spoke" })?;
        let path = format!("{}[]", self.nodes[usize::from(node)].path);
        self.nodes.push(Node { path, ..Node::default() });
        self.nodes[usize::from(node)].element = Some(element);
        self.element = Some(element);
        Ok(Slot(node))
    }

    /// A scalar from outside of the payload, under a name. The same name gives the same slot.
    pub fn outside(&mut self, name: &str) -> Result<Slot, PathError> {
        let known = self.nodes.iter().position(|node| node.outside && node.path == name);
        let index = known.unwrap_or(self.nodes.len());
        let slot = u16::try_from(index)
            .map_err(|_| PathError { path: name.to_owned(), problem: "is one too many for one spoke" })?;
        if known.is_none() {
            self.nodes.push(Node { path: name.to_owned(), leaf: true, outside: true, ..Node::default() });
        }
        Ok(Slot(slot))
    }

    /// Every key of the object at this path is wanted, with its scalar or its list of scalars.
    pub fn entries(&mut self, path: &str) -> Result<Slot, PathError> {
        let node = self.node(path)?;
        self.nodes[usize::from(node)].entries = true;
        Ok(Slot(node))
    }

    /// Whether an object or a list is at this path is wanted; other paths lead into it.
    pub fn container(&mut self, path: &str) -> Result<Slot, PathError> {
        self.node(path).map(Slot)
    }

    /// The keys at the top of the payload that paths lead through, with their slots.
    pub fn top_level(&self) -> impl Iterator<Item = (&str, Slot)> {
        self.nodes[0].keys.iter().map(|(key, node)| (&**key, Slot(*node)))
    }

    /// The trie of all paths.
    pub fn build(self) -> Shape {
        let mut of_element: Vec<u16> = self.element.into_iter().collect();
        let mut next = 0;
        while let Some(&index) = of_element.get(next) {
            let node = &self.nodes[usize::from(index)];
            of_element.extend(node.keys.iter().map(|&(_, child)| child));
            of_element.extend(node.items.iter().map(|&(_, child)| child));
            next += 1;
        }
        let mut shape = Shape { nodes: self.nodes, of_element };
        shape.index_keys();
        shape
    }

    fn node(&mut self, path: &str) -> Result<u16, PathError> {
        let (mut current, steps) = match (self.element, path.strip_prefix('.')) {
            (Some(element), Some("")) => return Ok(element),
            (Some(element), Some(steps)) => (element, steps),
            _ => (0, path),
        };
        for segment in parse_path(steps)? {
            let next = u16::try_from(self.nodes.len())
                .map_err(|_| PathError { path: path.to_owned(), problem: "is one too many for one spoke" })?;
            let node = &mut self.nodes[usize::from(current)];
            let is_list = node.list || node.element.is_some();
            if node.entries || is_list && matches!(segment, Segment::Index(_)) {
                return Err(PathError { path: path.to_owned(), problem: "leads into what is taken as a whole" });
            }
            let (found, path) = match segment {
                Segment::Key(key) => {
                    let found = node.keys.iter().find(|(known, _)| **known == *key).map(|&(_, child)| child);
                    let shown = key.replace('\\', "\\\\").replace('.', "\\.").replace('[', "\\[");
                    let dot = if node.path.is_empty() { "" } else { "." };
                    let path = format!("{}{dot}{shown}", node.path);
                    if found.is_none() {
                        node.keys.push((key.into_boxed_str(), next));
                    }
                    (found, path)
                }
                Segment::Index(index) => {
                    let found = node.items.iter().find(|&&(known, _)| known == index).map(|&(_, child)| child);
                    let path = format!("{}[{index}]", node.path);
                    if found.is_none() {
                        node.items.push((index, next));
                    }
                    (found, path)
                }
            };
            if found.is_none() {
                self.nodes.push(Node { path, ..Node::default() });
            }
            current = found.unwrap_or(next);
        }
        Ok(current)
    }
}

/// A trie of paths.
#[derive(Clone, Debug)]
pub struct Shape {
    pub(super) nodes: Vec<Node>,
    /// The nodes of the element of a list that is read element by element.
    pub(super) of_element: Vec<u16>,
}

impl Shape {
    /// After keys were added or renamed.
    pub(super) fn index_keys(&mut self) {
        for node in &mut self.nodes {
            node.index = KeyIndex::of(&node.keys);
        }
    }

    /// The path of a slot, as it would be written in a spoke file.
    pub fn path(&self, slot: Slot) -> &str {
        &self.nodes[usize::from(slot.0)].path
    }
}
