//! Geometries in well-known binary: as GeoJSON, as well-known text, and the coordinates of points.

use std::borrow::Cow;

use crate::expression::EvaluationError;
use crate::number::write_real;
use crate::value::Value;

/// Collections may nest this deep.
const NESTING_MAX: usize = 16;

/// Which coordinate.
#[derive(Debug, Clone, Copy)]
pub(super) enum Axis {
    X,
    Y,
}

pub(super) fn as_geojson(value: Value<'_>) -> Result<Value<'static>, EvaluationError> {
    let geometry = read(value)?;
    let mut out = String::new();
    write_geojson(&mut out, &geometry);
    Ok(Value::text(out))
}

pub(super) fn as_text(value: Value<'_>) -> Result<Value<'static>, EvaluationError> {
    let geometry = read(value)?;
    let mut out = String::new();
    write_wkt(&mut out, &geometry, true);
    Ok(Value::text(out))
}

pub(super) fn coordinate(value: Value<'_>, axis: Axis) -> Result<Value<'static>, EvaluationError> {
    let Shape::Point(point) = read(value)?.shape else { return Err(EvaluationError::NotPoint) };
    let Some(point) = point else { return Ok(Value::Null) };
    let index = match axis {
        Axis::X => 0,
        Axis::Y => 1,
    };
    Ok(point.0.get(index).map_or(Value::Null, |number| Value::Real(*number)))
}

/// The coordinates of a point: X and Y, then Z and M where the geometry has them.
#[derive(Debug, Clone, PartialEq)]
struct Point(Vec<f64>);

#[derive(Debug, Clone, PartialEq)]
struct Geometry {
    has_z: bool,
    has_m: bool,
    shape: Shape,
}

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    /// `None` is the empty point.
    Point(Option<Point>),
    LineString(Vec<Point>),
    Polygon(Vec<Vec<Point>>),
    MultiPoint(Vec<Geometry>),
    MultiLineString(Vec<Geometry>),
    MultiPolygon(Vec<Geometry>),
    Collection(Vec<Geometry>),
}

/// Reads a value's geometry: well-known binary alone, PostGIS' extended form, or MySQL's with the number of the
/// reference system (4 bytes) before it; bytes or their hexadecimal text.
///
/// Plain binary is tried first, and taken only if it fills the bytes exactly. MySQL's form can't be mistaken for it:
/// read as plain its first five bytes are either no geometry at all or a point, and a point is shorter.
fn read(value: Value<'_>) -> Result<Geometry, EvaluationError> {
    let bytes: Cow<'_, [u8]> = match value {
        Value::Blob(bytes) => bytes,
        Value::Text(text) => Cow::Owned(from_hex(&text).ok_or(EvaluationError::NotGeometry)?),
        _ => return Err(EvaluationError::NotGeometry),
    };
    let whole = |bytes: &[u8]| {
        let mut reader = Reader { bytes };
        reader.geometry(0).filter(|_| reader.bytes.is_empty())
    };
    whole(&bytes).or_else(|| whole(bytes.get(4..)?)).ok_or(EvaluationError::NotGeometry)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

struct Reader<'a> {
    bytes: &'a [u8],
}

/// What stands before a geometry's coordinates.
#[derive(Clone, Copy)]
struct Header {
    little_endian: bool,
    has_z: bool,
    has_m: bool,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = tail;
        Some(*head)
    }

    fn u32(&mut self, little_endian: bool) -> Option<u32> {
        let bytes = self.take::<4>()?;
        Some(if little_endian { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn geometry(&mut self, nesting: usize) -> Option<Geometry> {
        if nesting > NESTING_MAX {
            return None;
        }
        let little_endian = match self.take::<1>()? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let code = self.u32(little_endian)?;
        // PostGIS marks dimensions by high bits, the ISO standard by thousands.
        let (flags, code) = (code >> 28, code & 0x0fff_ffff);
        let thousands = code / 1000;
        if thousands > 3 {
            return None;
        }
        let header = Header {
            little_endian,
            has_z: flags & 8 != 0 || thousands & 1 != 0,
            has_m: flags & 4 != 0 || thousands & 2 != 0,
        };
        if flags & 2 != 0 {
            self.u32(little_endian)?;
        }
        let shape = match code % 1000 {
            1 => {
                let point = self.point(header)?;
                Shape::Point((!point.0.iter().take(2).all(|number| number.is_nan())).then_some(point))
            }
            2 => Shape::LineString(self.points(header)?),
            3 => Shape::Polygon(self.many(header, 4, |reader| reader.points(header))?),
            4 => Shape::MultiPoint(self.geometries(header, nesting)?),
            5 => Shape::MultiLineString(self.geometries(header, nesting)?),
            6 => Shape::MultiPolygon(self.geometries(header, nesting)?),
            7 => Shape::Collection(self.geometries(header, nesting)?),
            _ => return None,
        };
        Some(Geometry { has_z: header.has_z, has_m: header.has_m, shape })
    }

    fn point(&mut self, header: Header) -> Option<Point> {
        let dimensions = 2 + usize::from(header.has_z) + usize::from(header.has_m);
        let numbers = (0..dimensions).map(|_| {
            let bytes = self.take::<8>()?;
            Some(if header.little_endian { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) })
        });
        numbers.collect::<Option<Vec<f64>>>().map(Point)
    }

    fn points(&mut self, header: Header) -> Option<Vec<Point>> {
        self.many(header, 16, |reader| reader.point(header))
    }

    fn geometries(&mut self, header: Header, nesting: usize) -> Option<Vec<Geometry>> {
        self.many(header, 5, |reader| reader.geometry(nesting + 1))
    }

    /// A count and so many items of at least `item_bytes` each, which bounds what a false count can allocate.
    fn many<T>(
        &mut self,
        header: Header,
        item_bytes: usize,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = usize::try_from(self.u32(header.little_endian)?).ok()?;
        if count > self.bytes.len() / item_bytes {
            return None;
        }
        (0..count).map(|_| item(self)).collect()
    }
}

/// Writes `items` between `open` and `close`, with commas.
fn list<T>(out: &mut String, brackets: [char; 2], items: &[T], mut item: impl FnMut(&mut String, &T)) {
    let [open, close] = brackets;
    out.push(open);
    for (index, part) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        item(out, part);
    }
    out.push(close);
}

const SQUARE: [char; 2] = ['[', ']'];
const ROUND: [char; 2] = ['(', ')'];

fn write_geojson(out: &mut String, geometry: &Geometry) {
    out.push_str("{\"type\":\"");
    out.push_str(match geometry.shape {
        Shape::Point(_) => "Point",
        Shape::LineString(_) => "LineString",
        Shape::Polygon(_) => "Polygon",
        Shape::MultiPoint(_) => "MultiPoint",
        Shape::MultiLineString(_) => "MultiLineString",
        Shape::MultiPolygon(_) => "MultiPolygon",
        Shape::Collection(_) => "GeometryCollection",
    });
    match &geometry.shape {
        Shape::Collection(parts) => {
            out.push_str("\",\"geometries\":");
            list(out, SQUARE, parts, write_geojson);
        }
        _ => {
            out.push_str("\",\"coordinates\":");
            write_coordinates(out, geometry);
        }
    }
    out.push('}');
}

fn write_coordinates(out: &mut String, geometry: &Geometry) {
    // GeoJSON has no M.
    let dimensions = 2 + usize::from(geometry.has_z);
    let point = |out: &mut String, point: &Point| {
        let numbers = point.0.get(..dimensions).unwrap_or_default();
        list(out, SQUARE, numbers, |out, number| write_finite(out, *number));
    };
    match &geometry.shape {
        Shape::Point(Some(only)) => point(out, only),
        Shape::Point(None) => out.push_str("[]"),
        Shape::LineString(points) => list(out, SQUARE, points, point),
        Shape::Polygon(rings) => list(out, SQUARE, rings, |out, ring| list(out, SQUARE, ring, point)),
        Shape::MultiPoint(parts)
        | Shape::MultiLineString(parts)
        | Shape::MultiPolygon(parts)
        | Shape::Collection(parts) => list(out, SQUARE, parts, write_coordinates),
    }
}

fn write_finite(out: &mut String, number: f64) {
    match number.is_finite() {
        true => write_real(out, number),
        false => out.push_str("null"),
    }
}

/// Well-known text; parts of a multi-geometry stand without their kind.
fn write_wkt(out: &mut String, geometry: &Geometry, with_kind: bool) {
    if with_kind {
        out.push_str(match geometry.shape {
            Shape::Point(_) => "POINT",
            Shape::LineString(_) => "LINESTRING",
            Shape::Polygon(_) => "POLYGON",
            Shape::MultiPoint(_) => "MULTIPOINT",
            Shape::MultiLineString(_) => "MULTILINESTRING",
            Shape::MultiPolygon(_) => "MULTIPOLYGON",
            Shape::Collection(_) => "GEOMETRYCOLLECTION",
        });
        out.push_str(match (geometry.has_z, geometry.has_m) {
            (false, false) => "",
            (true, false) => " Z",
            (false, true) => " M",
            (true, true) => " ZM",
        });
    }
    let point = |out: &mut String, point: &Point| {
        for (index, number) in point.0.iter().enumerate() {
            if index > 0 {
                out.push(' ');
            }
            write_real(out, *number);
        }
    };
    let empty = if with_kind { " EMPTY" } else { "EMPTY" };
    match &geometry.shape {
        Shape::Point(Some(only)) if with_kind => list(out, ROUND, std::slice::from_ref(only), point),
        Shape::Point(Some(only)) => point(out, only),
        Shape::LineString(points) if !points.is_empty() => list(out, ROUND, points, point),
        Shape::Polygon(rings) if !rings.is_empty() => {
            list(out, ROUND, rings, |out, ring| list(out, ROUND, ring, point));
        }
        Shape::MultiPoint(parts) | Shape::MultiLineString(parts) | Shape::MultiPolygon(parts) if !parts.is_empty() => {
            list(out, ROUND, parts, |out, part| write_wkt(out, part, false));
        }
        Shape::Collection(parts) if !parts.is_empty() => {
            list(out, ROUND, parts, |out, part| write_wkt(out, part, true));
        }
        _ => out.push_str(empty),
    }
}
