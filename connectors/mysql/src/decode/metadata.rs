//! What a table map tells beyond the types: signs always (since MySQL 8.0 and MariaDB 10.5), the rest only where
//! `binlog_row_metadata` is FULL.

use super::DecodeError;
use super::bytes::Bytes;
use super::table_map::WireType;
use crate::version::Flavor;

const METADATA: &str = "a table map's metadata";

/// Per column where the field was there, else empty.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    pub(super) unsigned: Vec<Option<bool>>,
    pub(super) collations: Vec<Option<u64>>,
    pub(super) names: Vec<String>,
    pub(super) labels: Vec<Option<Vec<Vec<u8>>>>,
    pub(super) primary_key: Option<Vec<usize>>,
}

impl Metadata {
    pub(super) fn parse(flavor: Flavor, raw: &[u8], columns: &[WireType]) -> Result<Metadata, DecodeError> {
        let mut metadata = Metadata {
            unsigned: vec![None; columns.len()],
            collations: vec![None; columns.len()],
            names: Vec::new(),
            labels: vec![None; columns.len()],
            primary_key: None,
        };
        let mut bytes = Bytes::new(raw);
        while !bytes.is_empty() {
            let field = bytes.u8(METADATA)?;
            let value = Bytes::new(bytes.with_length(METADATA)?);
            metadata.field(flavor, field, value, columns)?;
        }
        Ok(metadata)
    }

    fn field(&mut self, flavor: Flavor, field: u8, value: Bytes<'_>, columns: &[WireType]) -> Result<(), DecodeError> {
        let is_text = |wire: &WireType| wire.is_text(flavor);
        match field {
            1 => self.read_signs(value, columns),
            2 => read_default_collation(value, columns, is_text, &mut self.collations),
            3 => read_collations(value, columns, is_text, &mut self.collations),
            4 => self.read_names(value, columns),
            5 => self.read_labels(value, columns, |wire| matches!(wire, WireType::Set { .. })),
            6 => self.read_labels(value, columns, |wire| matches!(wire, WireType::Enum { .. })),
            8 => self.read_primary_key(value, columns, false),
            9 => self.read_primary_key(value, columns, true),
            10 => read_default_collation(value, columns, WireType::has_labels, &mut self.collations),
            11 => read_collations(value, columns, WireType::has_labels, &mut self.collations),
            // Geometry types, visibility and vector dimensions change nothing about values; what newer servers add
            // can be skipped by its length.
            _ => Ok(()),
        }
    }

    /// One bit for every number, the first in the highest place.
    fn read_signs(&mut self, value: Bytes<'_>, columns: &[WireType]) -> Result<(), DecodeError> {
        for (ordinal, index) in indexes(columns, WireType::is_number).enumerate() {
            let byte = value.rest().get(ordinal / 8).ok_or(DecodeError::Truncated { what: METADATA })?;
            set(&mut self.unsigned, index, byte << (ordinal % 8) & 0x80 != 0);
        }
        Ok(())
    }

    fn read_names(&mut self, mut value: Bytes<'_>, columns: &[WireType]) -> Result<(), DecodeError> {
        for _ in columns {
            let name = str::from_utf8(value.with_length(METADATA)?)
                .map_err(|_| DecodeError::malformed(METADATA, "a name that isn't UTF-8"))?;
            self.names.push(name.to_owned());
        }
        Ok(())
    }

    fn read_labels(
        &mut self,
        mut value: Bytes<'_>,
        columns: &[WireType],
        wanted: impl Fn(&WireType) -> bool,
    ) -> Result<(), DecodeError> {
        for index in indexes(columns, wanted) {
            let count = value.length(METADATA)?;
            let mut labels = Vec::new();
            for _ in 0..count {
                labels.push(value.with_length(METADATA)?.to_vec());
            }
            set(&mut self.labels, index, labels);
        }
        Ok(())
    }

    fn read_primary_key(
        &mut self,
        mut value: Bytes<'_>,
        columns: &[WireType],
        with_prefixes: bool,
    ) -> Result<(), DecodeError> {
        let mut key = Vec::new();
        while !value.is_empty() {
            let index = value.length(METADATA)?;
            if with_prefixes {
                value.length(METADATA)?;
            }
            match usize::try_from(index) {
                Ok(index) if index < columns.len() => key.push(index),
                _ => return Err(DecodeError::malformed(METADATA, "a key column that doesn't exist")),
            }
        }
        self.primary_key = Some(key);
        Ok(())
    }
}

/// A collation that holds for all such columns except for those listed by their ordinal among them.
fn read_default_collation(
    mut value: Bytes<'_>,
    columns: &[WireType],
    wanted: impl Fn(&WireType) -> bool,
    collations: &mut [Option<u64>],
) -> Result<(), DecodeError> {
    let default = value.length(METADATA)?;
    let indexes: Vec<usize> = indexes(columns, wanted).collect();
    indexes.iter().for_each(|index| set(collations, *index, default));
    while !value.is_empty() {
        let ordinal = usize::try_from(value.length(METADATA)?).unwrap_or(usize::MAX);
        let collation = value.length(METADATA)?;
        let index = indexes.get(ordinal);
        let index = index.ok_or_else(|| DecodeError::malformed(METADATA, "a text column that doesn't exist"))?;
        set(collations, *index, collation);
    }
    Ok(())
}

fn read_collations(
    mut value: Bytes<'_>,
    columns: &[WireType],
    wanted: impl Fn(&WireType) -> bool,
    collations: &mut [Option<u64>],
) -> Result<(), DecodeError> {
    for index in indexes(columns, wanted) {
        set(collations, index, value.length(METADATA)?);
    }
    Ok(())
}

fn indexes(columns: &[WireType], wanted: impl Fn(&WireType) -> bool) -> impl Iterator<Item = usize> {
    columns.iter().enumerate().filter(move |(_, wire)| wanted(wire)).map(|(index, _)| index)
}

fn set<T>(values: &mut [Option<T>], index: usize, value: T) {
    if let Some(place) = values.get_mut(index) {
        *place = Some(value);
    }
}

impl WireType {
    /// Whether the map tells a sign for it.
    fn is_number(&self) -> bool {
        matches!(
            self,
            WireType::Int { .. } | WireType::Float | WireType::Double | WireType::Decimal { .. } | WireType::Year
        )
    }

    /// Whether the map tells a collation for it. Blobs count, their collation is `binary`; so do, as if by oversight,
    /// MySQL's vectors and MariaDB's geometries.
    fn is_text(&self, flavor: Flavor) -> bool {
        match self {
            WireType::String { .. } | WireType::VarChar { .. } | WireType::Blob { .. } => true,
            WireType::Vector { .. } => flavor == Flavor::MySql,
            WireType::Geometry { .. } => flavor == Flavor::MariaDb,
            _ => false,
        }
    }

    fn has_labels(&self) -> bool {
        matches!(self, WireType::Enum { .. } | WireType::Set { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: WireType = WireType::VarChar { bytes: 40, compressed: false };
    const COLUMNS: [WireType; 5] =
        [WireType::Int { bytes: 4 }, TEXT, WireType::Int { bytes: 8 }, TEXT, WireType::Enum { bytes: 1 }];

    #[test]
    fn fields_reach_the_columns_they_are_for() {
        let raw = [
            &[1, 1, 0b0100_0000][..],
            &[2, 3, 45, 1, 8],
            &[4, 10, 1, b'a', 1, b'b', 1, b'c', 1, b'd', 1, b'e'],
            &[6, 5, 2, 1, b'x', 1, b'y'],
            &[8, 2, 2, 0],
            &[99, 1, 0],
        ];
        let metadata = Metadata::parse(Flavor::MySql, &raw.concat(), &COLUMNS).unwrap();
        assert_eq!(metadata.unsigned, [Some(false), None, Some(true), None, None]);
        assert_eq!(metadata.collations, [None, Some(45), None, Some(8), None]);
        assert_eq!(metadata.names, ["a", "b", "c", "d", "e"]);
        assert_eq!(metadata.labels[4], Some(vec![b"x".to_vec(), b"y".to_vec()]));
        assert_eq!(metadata.primary_key, Some(vec![2, 0]));
    }

    #[test]
    fn fields_that_dont_fit_the_columns_are_refused() {
        assert!(Metadata::parse(Flavor::MySql, &[1, 0], &COLUMNS).is_err());
        assert!(Metadata::parse(Flavor::MySql, &[2, 3, 45, 2, 8], &COLUMNS).is_err());
        assert!(Metadata::parse(Flavor::MySql, &[8, 1, 5], &COLUMNS).is_err());
        assert!(
            Metadata::parse(Flavor::MySql, &[6, 9, 254, 255, 255, 255, 255, 255, 255, 255, 255], &COLUMNS).is_err()
        );
        assert!(Metadata::parse(Flavor::MySql, &[4, 250], &COLUMNS).is_err());
    }
}
