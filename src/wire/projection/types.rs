//! Types of two schemas: the branches of unions, which type can be read as which, and what times are counted in.

use std::collections::HashMap;

use apache_avro::{
    Schema,
    schema::{InnerDecimalSchema, Name, UuidSchema},
};

use super::{TimeUse, Unit};

/// The named types of one schema.
pub(super) struct Names<'s>(HashMap<&'s Name, &'s Schema>);

impl<'s> Names<'s> {
    pub(super) fn of(schema: &'s Schema) -> Names<'s> {
        let mut names = Names(HashMap::new());
        names.collect(schema);
        names
    }

    fn collect(&mut self, schema: &'s Schema) {
        if let Some(name) = schema.name()
            && !matches!(schema, Schema::Ref { .. })
        {
            self.0.insert(name, schema);
        }
        match schema {
            Schema::Array(array) => self.collect(&array.items),
            Schema::Map(map) => self.collect(&map.types),
            Schema::Union(union) => union.variants().iter().for_each(|variant| self.collect(variant)),
            Schema::Record(record) => record.fields.iter().for_each(|field| self.collect(&field.schema)),
            _ => {}
        }
    }

    /// What may stand at a place: unions laid open, names followed. No schema that is decoded is recursive.
    pub(super) fn branches(&self, schema: &'s Schema) -> Vec<&'s Schema> {
        match schema {
            Schema::Union(union) => union.variants().iter().flat_map(|variant| self.branches(variant)).collect(),
            Schema::Ref { name } => self.0.get(name).map(|known| self.branches(known)).unwrap_or_default(),
            schema => vec![schema],
        }
    }

    /// What may stand in the lists among some schemas.
    pub(super) fn items(&self, all: &[&'s Schema]) -> Vec<&'s Schema> {
        let items = all.iter().filter_map(|schema| match schema {
            Schema::Array(array) => Some(self.branches(&array.items)),
            _ => None,
        });
        items.flatten().collect()
    }
}

/// A type without what its logical type adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array,
    Map,
    Record,
    Enum,
    Fixed(usize),
}

fn plain(schema: &Schema) -> Plain {
    match schema {
        Schema::Null => Plain::Null,
        Schema::Boolean => Plain::Boolean,
        Schema::Int | Schema::Date | Schema::TimeMillis => Plain::Int,
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => Plain::Long,
        Schema::Float => Plain::Float,
        Schema::Double => Plain::Double,
        Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Plain::Bytes,
        Schema::String | Schema::Uuid(UuidSchema::String) => Plain::String,
        Schema::Array(_) => Plain::Array,
        Schema::Map(_) => Plain::Map,
        Schema::Record(_) => Plain::Record,
        Schema::Enum(_) => Plain::Enum,
        Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
            Plain::Fixed(fixed.size)
        }
        Schema::Decimal(decimal) => match &decimal.inner {
            InnerDecimalSchema::Bytes => Plain::Bytes,
            InnerDecimalSchema::Fixed(fixed) => Plain::Fixed(fixed.size),
        },
        // Laid open before anything is asked of them.
        Schema::Union(_) | Schema::Ref { .. } => Plain::Null,
    }
}

/// Whether what was written as one type can be read as the other (Avro specification 1.12, "Schema Resolution"). What is
/// inside of lists, maps and records is asked where a path leads into them.
pub(super) fn fits(reader: &Schema, writer: &Schema) -> bool {
    if matches!((reader, writer), (Schema::Decimal(_), Schema::Decimal(_))) {
        return true;
    }
    match (plain(reader), plain(writer)) {
        (Plain::Record | Plain::Enum | Plain::Fixed(_), Plain::Record | Plain::Enum | Plain::Fixed(_)) => {
            plain(reader) == plain(writer) && is_called(reader, writer)
        }
        (Plain::Long, Plain::Int)
        | (Plain::Float, Plain::Int | Plain::Long)
        | (Plain::Double, Plain::Int | Plain::Long | Plain::Float)
        | (Plain::String, Plain::Bytes)
        | (Plain::Bytes, Plain::String) => true,
        (reader, writer) => reader == writer,
    }
}

/// Whether the reader calls a named type as the writer does, or says that it was called so once.
fn is_called(reader: &Schema, writer: &Schema) -> bool {
    let (Some(reader_name), Some(writer_name)) = (reader.name(), writer.name()) else {
        return true; // a decimal or an identifier in a fixed type, which has no name of its own here
    };
    let alias = |alias: &apache_avro::schema::Alias| {
        alias.fullname(reader_name.namespace()) == writer_name.fullname(None) || alias.name() == writer_name.name()
    };
    reader_name.name() == writer_name.name() || reader.aliases().is_some_and(|aliases| aliases.iter().any(alias))
}

/// What a writer's numbers are counted in, where they are read as a time; `None`: they are no numbers. The inner `None`: the
/// schema does not say.
pub(super) fn time_of(schema: &Schema, wanted: TimeUse) -> Option<Option<Unit>> {
    let wanted = if wanted == TimeUse::LocalDue { TimeUse::Local } else { wanted };
    let unit = match (schema, wanted) {
        (Schema::TimestampMillis, TimeUse::Instant) | (Schema::LocalTimestampMillis, TimeUse::Local) => {
            Unit::Milliseconds
        }
        (Schema::TimestampMicros, TimeUse::Instant) | (Schema::LocalTimestampMicros, TimeUse::Local) => {
            Unit::Microseconds
        }
        (Schema::TimestampNanos, TimeUse::Instant) | (Schema::LocalTimestampNanos, TimeUse::Local) => Unit::Nanoseconds,
        (Schema::Date, TimeUse::Local) => Unit::Days,
        (schema, _) => return matches!(plain(schema), Plain::Int | Plain::Long).then_some(None),
    };
    Some(Some(unit))
}
