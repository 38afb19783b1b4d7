//! A number → a schema, a shape over it, values of it, and what damage makes of them.

use serde_avro_fast::schema::{LogicalType, RegularType, SchemaKey, SchemaMut};

use crate::wire::{Shape, ShapeBuilder, Slot};

/// Throws that can be repeated (splitmix64).
pub(super) struct Dice(pub(super) u64);

const SCALARS: &[&str] = &[
    r#""null""#,
    r#""boolean""#,
    r#""int""#,
    r#""long""#,
    r#""float""#,
    r#""double""#,
    r#""bytes""#,
    r#""string""#,
    r#""string""#,
    r#"{"type":"enum","name":"NAME","symbols":["A","B","C"]}"#,
    r#"{"type":"fixed","name":"NAME","size":3}"#,
    r#"{"type":"fixed","name":"NAME","size":12,"logicalType":"duration"}"#,
    r#"{"type":"bytes","logicalType":"decimal","precision":30,"scale":2}"#,
    r#"{"type":"bytes","logicalType":"decimal","precision":40,"scale":29}"#,
    r#"{"type":"fixed","name":"NAME","size":5,"logicalType":"decimal","precision":9,"scale":0}"#,
    r#"{"type":"bytes","logicalType":"big-decimal"}"#,
    r#"{"type":"string","logicalType":"uuid"}"#,
    r#"{"type":"int","logicalType":"date"}"#,
    r#"{"type":"int","logicalType":"time-millis"}"#,
    r#"{"type":"long","logicalType":"timestamp-micros"}"#,
    r#"{"type":"long","logicalType":"local-timestamp-nanos"}"#,
];

const KEYS: &[&str] = &["a", "b", "c", "d", "months", "longer_than_eight"];
const TEXTS: &[&[u8]] =
    &[b"", b"x", b"A", b"several words of it", "é ü".as_bytes(), b"\xFF", b"a\x80", b"\xED\xA0\x80"];

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).expect("it is below a usize")
    }

    fn is_one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub(super) fn schema(&mut self) -> String {
        let mut names = Vec::new();
        match self.below(8) {
            0 => self.type_of(3, &mut names),
            _ => self.record(4, &mut names),
        }
    }

    /// `names`: of the records that are complete.
    fn type_of(&mut self, depth: usize, names: &mut Vec<String>) -> String {
        if depth == 0 {
            return self.scalar();
        }
        match self.below(10) {
            0 | 1 => self.record(depth, names),
            2 => format!(r#"{{"type":"array","items":{}}}"#, self.type_of(depth - 1, names)),
            3 => format!(r#"{{"type":"map","values":{}}}"#, self.type_of(depth - 1, names)),
            4 => {
                let other = self.not_a_union(depth - 1, names);
                if self.is_one_in(2) { format!(r#"["null",{other}]"#) } else { format!(r#"[{other},"null"]"#) }
            }
            5 => {
                let mut branches: Vec<String> = [r#""null""#, r#""long""#, r#""string""#, r#""boolean""#, r#""bytes""#]
                    .iter()
                    .filter(|_| self.is_one_in(2))
                    .map(|&branch| branch.to_owned())
                    .collect();
                branches.push(self.record(depth - 1, names));
                branches.push(format!(r#"{{"type":"array","items":{}}}"#, self.type_of(depth - 1, names)));
                if self.is_one_in(2) {
                    branches.push(self.record(depth - 1, names));
                }
                format!("[{}]", branches.join(","))
            }
            6 if !names.is_empty() => format!("\"{}\"", names[self.below(names.len())]),
            _ => self.scalar(),
        }
    }

    fn not_a_union(&mut self, depth: usize, names: &mut Vec<String>) -> String {
        match self.below(4) {
            0 => self.record(depth, names),
            1 => format!(r#"{{"type":"array","items":{}}}"#, self.type_of(depth, names)),
            2 => format!(r#"{{"type":"map","values":{}}}"#, self.type_of(depth, names)),
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> String {
        let name = format!("T{}", self.next());
        self.of(SCALARS).replace("NAME", &name)
    }

    fn record(&mut self, depth: usize, names: &mut Vec<String>) -> String {
        let name = format!("R{}", self.next());
        let fields: Vec<String> = KEYS
            .iter()
            .filter_map(|key| {
                let is_there = self.below(3) > 0;
                is_there
                    .then(|| format!(r#"{{"name":"{key}","type":{}}}"#, self.type_of(depth.saturating_sub(1), names)))
            })
            .collect();
        names.push(name.clone());
        format!(r#"{{"type":"record","name":"{name}","fields":[{}]}}"#, fields.join(","))
    }

    /// Paths that mostly lead somewhere, under a root or from the top.
    pub(super) fn shape(&mut self, layout: &SchemaMut) -> (Shape, Option<Slot>) {
        let mut builder = ShapeBuilder::default();
        let root = self.is_one_in(4).then(|| builder.container("data").expect("a path"));
        let under = if root.is_some() { "data" } else { "" };
        // What cannot be asked for beside the others is left out.
        if self.is_one_in(3)
            && let Some(list) = self.path_to_a_list(layout)
        {
            let dot = if under.is_empty() || list.is_empty() || list.starts_with('[') { "" } else { "." };
            _ = builder.each(&format!("{under}{dot}{list}"));
            for _ in 0..self.below(4) {
                let somewhere = SchemaKey::from_idx(self.below(layout.nodes().len()));
                let path = format!(".{}", self.path(layout, somewhere));
                self.ask(&mut builder, &path);
            }
        }
        for _ in 0..=self.below(6) {
            let path = self.path(layout, SchemaKey::root());
            let dot = if under.is_empty() || path.is_empty() || path.starts_with('[') { "" } else { "." };
            self.ask(&mut builder, &format!("{under}{dot}{path}"));
        }
        let mut shape = builder.build();
        for node in &mut shape.nodes {
            node.bytes_as_text = self.is_one_in(3);
            // As after a field was renamed: two names of one node.
            if let Some(&(_, child)) = node.keys.first()
                && self.is_one_in(4)
            {
                let other = self.of(KEYS);
                if node.keys.iter().all(|(key, _)| **key != *other) {
                    node.keys.push((other.into(), child));
                }
            }
        }
        shape.index_keys();
        (shape, root)
    }

    fn ask(&mut self, builder: &mut ShapeBuilder, path: &str) {
        _ = match self.below(6) {
            0 => builder.list(path),
            1 => builder.entries(path),
            2 => builder.container(path),
            _ => builder.leaf(path),
        };
    }

    fn path(&mut self, layout: &SchemaMut, mut at: SchemaKey) -> String {
        let mut path = String::new();
        loop {
            let (step, next) = match &layout[at].type_ {
                RegularType::Record(record) if !record.fields.is_empty() => {
                    let field = &record.fields[self.below(record.fields.len())];
                    (field.name.clone(), Some(field.type_))
                }
                RegularType::Map(map) => (self.of(KEYS).to_owned(), Some(map.values)),
                RegularType::Array(array) => (format!("[{}]", self.below(3)), Some(array.items)),
                RegularType::Union(union) => {
                    at = self.of(&union.variants);
                    continue;
                }
                _ if self.is_one_in(8) => (self.of(KEYS).to_owned(), None),
                _ => return path,
            };
            if !path.is_empty() && self.is_one_in(4) {
                return path;
            }
            if !path.is_empty() && !step.starts_with('[') {
                path.push('.');
            }
            path += &step;
            match next {
                Some(next) => at = next,
                None => return path,
            }
        }
    }

    fn path_to_a_list(&mut self, layout: &SchemaMut) -> Option<String> {
        let RegularType::Record(record) = &layout.root().type_ else { return None };
        let is_list = |key: SchemaKey| match &layout[key].type_ {
            RegularType::Array(_) => true,
            RegularType::Union(union) => {
                union.variants.iter().any(|&inner| matches!(layout[inner].type_, RegularType::Array(_)))
            }
            _ => false,
        };
        record.fields.iter().find(|field| is_list(field.type_)).map(|field| field.name.clone())
    }

    pub(super) fn value(&mut self, layout: &SchemaMut) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(layout, SchemaKey::root(), &mut bytes);
        bytes
    }

    fn write(&mut self, layout: &SchemaMut, at: SchemaKey, bytes: &mut Vec<u8>) {
        let node = &layout[at];
        match (&node.logical_type, &node.type_) {
            (Some(LogicalType::Decimal(_)), RegularType::Bytes) => self.write_number(bytes),
            (Some(LogicalType::BigDecimal), RegularType::Bytes) => {
                let mut inner = Vec::new();
                self.write_number(&mut inner);
                write_long(if self.is_one_in(8) { -1 } else { self.below(31) as i64 }, &mut inner);
                inner.extend(&[0][..usize::from(self.is_one_in(12))]);
                write_sized(&inner, bytes);
            }
            (_, RegularType::Null) => {}
            (_, RegularType::Boolean) => bytes.push(self.below(2) as u8),
            (_, RegularType::Int) => write_long(i64::from((self.next() >> 32) as u32 as i32 >> self.below(32)), bytes),
            (_, RegularType::Long) => write_long(self.next().cast_signed() >> self.below(64), bytes),
            (_, RegularType::Float) => bytes.extend((self.below(4_000) as f32 / 100.0).to_le_bytes()),
            (_, RegularType::Double) => bytes.extend(f64::from_bits(self.next()).to_le_bytes()),
            (_, RegularType::Bytes | RegularType::String) => {
                let texts = if self.is_one_in(16) { TEXTS } else { &TEXTS[..5] };
                write_sized(self.of(texts), bytes);
            }
            (_, RegularType::Fixed(fixed)) => (0..fixed.size).for_each(|_| bytes.push(self.below(128) as u8)),
            (_, RegularType::Enum(symbols)) => write_long(self.below(symbols.symbols.len()) as i64, bytes),
            (_, RegularType::Array(array)) => self.write_items(layout, array.items, false, bytes),
            (_, RegularType::Map(map)) => self.write_items(layout, map.values, true, bytes),
            (_, RegularType::Union(union)) => {
                let branch = self.below(union.variants.len());
                write_long(branch as i64, bytes);
                self.write(layout, union.variants[branch], bytes);
            }
            (_, RegularType::Record(record)) => {
                record.fields.iter().for_each(|field| self.write(layout, field.type_, bytes));
            }
        }
    }

    fn write_number(&mut self, bytes: &mut Vec<u8>) {
        let count = if self.is_one_in(16) { 17 } else { self.below(13) };
        let number: Vec<u8> = (0..count).map(|_| self.next() as u8).collect();
        write_sized(&number, bytes);
    }

    fn write_items(&mut self, layout: &SchemaMut, items: SchemaKey, keyed: bool, bytes: &mut Vec<u8>) {
        for _ in 0..self.below(3) {
            let count = 1 + self.below(3);
            let mut block = Vec::new();
            for _ in 0..count {
                if keyed {
                    let key = if self.is_one_in(4) { self.of(TEXTS) } else { self.of(KEYS).as_bytes() };
                    write_sized(key, &mut block);
                }
                self.write(layout, items, &mut block);
            }
            if self.is_one_in(3) {
                write_long(-(count as i64), bytes);
                let lie = i64::from(self.is_one_in(16));
                write_long(block.len() as i64 + lie, bytes);
            } else {
                write_long(count as i64, bytes);
            }
            bytes.extend(block);
        }
        bytes.push(0);
    }

    /// The same bytes, cut, or with some changed, added or lost.
    pub(super) fn damaged(&mut self, bytes: &[u8]) -> Vec<u8> {
        const BYTES: &[u8] = &[0, 1, 2, 3, 4, 6, 0x7F, 0x80, 0x81, 0xC3, 0xFE, 0xFF];
        let mut damaged = bytes.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(damaged.len() + 1);
            match self.below(5) {
                0 => damaged.truncate(at),
                1 => damaged.insert(at, self.of(BYTES)),
                2 if at < damaged.len() => _ = damaged.remove(at),
                3 if at < damaged.len() => damaged[at] ^= 1 << self.below(8),
                _ if at < damaged.len() => damaged[at] = self.of(BYTES),
                _ => {}
            }
        }
        damaged
    }
}

pub(super) fn write_long(number: i64, bytes: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest > 0x7F {
        bytes.push((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn write_sized(inner: &[u8], bytes: &mut Vec<u8>) {
    write_long(inner.len() as i64, bytes);
    bytes.extend(inner);
}
