//! Geometry functions over well-known binary, plain and as MySQL and PostGIS have it.

use millstream_core::value::ValueRef::{self, Blob, Int, Text};
use millstream_sync_config::EvaluationError;

use crate::fixture::{config, evaluate, table};

/// A geometry in little-endian well-known binary.
struct Wkb(Vec<u8>);

impl Wkb {
    fn new(code: u32) -> Self {
        Self([&[1_u8][..], &code.to_le_bytes()].concat())
    }

    fn count(mut self, count: u32) -> Self {
        self.0.extend(count.to_le_bytes());
        self
    }

    fn numbers(mut self, numbers: &[f64]) -> Self {
        numbers.iter().for_each(|number| self.0.extend(number.to_le_bytes()));
        self
    }

    fn part(mut self, part: Wkb) -> Self {
        self.0.extend(part.0);
        self
    }

    fn mysql(&self, srid: u32) -> Vec<u8> {
        [&srid.to_le_bytes()[..], &self.0].concat()
    }
}

fn point(x: f64, y: f64) -> Wkb {
    Wkb::new(1).numbers(&[x, y])
}

fn fields(value: ValueRef<'_>, select: &str) -> Result<String, EvaluationError> {
    let config = config(&format!("bucket_definitions:\n  g:\n    data:\n      - SELECT id, {select} FROM t\n"));
    let out = evaluate(&config, &table("shop.t", &["id int", "g geometry"]), &[Int(1), value]);
    match out.faults.first() {
        Some(fault) => Err(fault.error),
        None => Ok(out.rows[0].data.strip_prefix(r#"{"id":"1","#).unwrap().to_owned()),
    }
}

fn assert_both(geometry: &Wkb, wkt: &str, geojson: &str) {
    let expected = format!(r#""t":"{wkt}","j":"{}"}}"#, geojson.replace('"', "\\\""));
    let select = "st_astext(g) AS t, ST_AsGeoJSON(g) AS j";
    for bytes in [geometry.0.clone(), geometry.mysql(0), geometry.mysql(4326), geometry.mysql(1)] {
        assert_eq!(fields(Blob(&bytes), select), Ok(expected.clone()));
    }
}

#[test]
fn every_kind_of_geometry_is_written() {
    assert_both(&point(1.5, -2.0), "POINT(1.5 -2)", r#"{"type":"Point","coordinates":[1.5,-2]}"#);
    let line = || Wkb::new(2).count(2).numbers(&[0.0, 0.0, 1.0, 2.0]);
    assert_both(&line(), "LINESTRING(0 0,1 2)", r#"{"type":"LineString","coordinates":[[0,0],[1,2]]}"#);
    let ring = [0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0];
    let polygon = || Wkb::new(3).count(1).count(4).numbers(&ring);
    assert_both(
        &polygon(),
        "POLYGON((0 0,1 0,1 1,0 0))",
        r#"{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1],[0,0]]]}"#,
    );
    assert_both(
        &Wkb::new(4).count(2).part(point(1.0, 2.0)).part(point(3.0, 4.0)),
        "MULTIPOINT(1 2,3 4)",
        r#"{"type":"MultiPoint","coordinates":[[1,2],[3,4]]}"#,
    );
    assert_both(
        &Wkb::new(5).count(1).part(line()),
        "MULTILINESTRING((0 0,1 2))",
        r#"{"type":"MultiLineString","coordinates":[[[0,0],[1,2]]]}"#,
    );
    assert_both(
        &Wkb::new(6).count(1).part(polygon()),
        "MULTIPOLYGON(((0 0,1 0,1 1,0 0)))",
        r#"{"type":"MultiPolygon","coordinates":[[[[0,0],[1,0],[1,1],[0,0]]]]}"#,
    );
    assert_both(
        &Wkb::new(7).count(2).part(point(1.0, 2.0)).part(line()),
        "GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 2))",
        r#"{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[1,2]},{"type":"LineString","coordinates":[[0,0],[1,2]]}]}"#,
    );
    assert_both(&Wkb::new(7).count(0), "GEOMETRYCOLLECTION EMPTY", r#"{"type":"GeometryCollection","geometries":[]}"#);
}

#[test]
fn coordinates_of_points() {
    let select = "st_x(g) AS x, st_y(g) AS y";
    assert_eq!(fields(Blob(&point(1.5, -2.0).mysql(4326)), select), Ok(r#""x":1.5,"y":-2.0}"#.to_owned()));
    let empty = point(f64::NAN, f64::NAN);
    assert_eq!(fields(Blob(&empty.0), select), Ok(r#""x":null,"y":null}"#.to_owned()));
    assert_eq!(fields(Blob(&empty.0), "st_astext(g) AS t"), Ok(r#""t":"POINT EMPTY"}"#.to_owned()));
    assert_eq!(fields(ValueRef::Null, select), Ok(r#""x":null,"y":null}"#.to_owned()));
    let line = Wkb::new(2).count(1).numbers(&[0.0, 0.0]);
    assert_eq!(fields(Blob(&line.0), select), Err(EvaluationError::NotPoint));
}

#[test]
fn other_byte_orders_dimensions_and_hexadecimal_texts() {
    let mut big_endian = vec![0, 0, 0, 0, 1];
    [3.0_f64, 4.0].iter().for_each(|number| big_endian.extend(number.to_be_bytes()));
    assert_eq!(fields(Blob(&big_endian), "st_astext(g) AS t"), Ok(r#""t":"POINT(3 4)"}"#.to_owned()));
    let iso_z = Wkb::new(1001).numbers(&[1.0, 2.0, 3.0]);
    assert_eq!(fields(Blob(&iso_z.0), "st_astext(g) AS t"), Ok(r#""t":"POINT Z(1 2 3)"}"#.to_owned()));
    let extended = Wkb::new(0xe000_0001).count(4326).numbers(&[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(fields(Blob(&extended.0), "st_astext(g) AS t"), Ok(r#""t":"POINT ZM(1 2 3 4)"}"#.to_owned()));
    let hex = "0101000020E6100000E59CD843FBDE4340E9818FC18AC052C0";
    assert_eq!(fields(Text(hex), "st_astext(g) AS t"), Ok(r#""t":"POINT(39.742043 -75.008469)"}"#.to_owned()));
}

#[test]
fn what_is_no_geometry_is_a_fault() {
    let mut nested = point(0.0, 0.0);
    for _ in 0..100 {
        nested = Wkb::new(7).count(1).part(nested);
    }
    let huge = Wkb::new(2).count(u32::MAX);
    let trailing = [point(0.0, 0.0).0, vec![0; 3]].concat();
    for bytes in [&[][..], &[1], &[1, 2, 3, 4, 5, 6, 7, 8, 9], &nested.0, &huge.0, &trailing] {
        assert_eq!(fields(Blob(bytes), "st_astext(g) AS t"), Err(EvaluationError::NotGeometry));
    }
    assert_eq!(fields(Text("zz"), "st_astext(g) AS t"), Err(EvaluationError::NotGeometry));
    assert_eq!(fields(Int(5), "st_astext(g) AS t"), Err(EvaluationError::NotGeometry));
}
