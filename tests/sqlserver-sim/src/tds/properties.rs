//! Whatever a client sends is read or refused; and what is written reads as what it was.

use proptest::prelude::*;

use crate::value::calendar::{DATETIME_DAY_FIRST, DATETIME_TICKS_PER_DAY, DAY_LAST, DAYS_TO_1900, TICKS_PER_DAY};
use crate::value::{Decimal, Length, Moment, SqlType, Value};

use super::packet::{self, Kind, Message, Reset};
use super::reader::{Reader, utf16_of_text};
use super::{decode, encode, login, prelogin, request, type_info};

fn text(characters_max: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::char::range(' ', '\u{2ff}'), 0..characters_max)
        .prop_map(|characters| characters.into_iter().collect())
}

/// Text that the code page has.
fn latin_text(characters_max: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![prop::char::range(' ', '~'), prop::char::range('\u{a0}', '\u{ff}')],
        0..characters_max,
    )
    .prop_map(|characters| characters.into_iter().collect())
}

fn decimal() -> impl Strategy<Value = (SqlType, Value)> {
    (1_u8..=38).prop_flat_map(|precision| {
        let units_max = 10_i128.pow(u32::from(precision)) - 1;
        (0..=precision, -units_max..=units_max).prop_map(move |(scale, units)| {
            (SqlType::Numeric { precision, scale }, Value::Decimal(Decimal::new(units, scale)))
        })
    })
}

/// Ticks that the scale can hold.
fn ticks(scale: u8) -> impl Strategy<Value = u64> {
    let unit = 10_u64.pow(7 - u32::from(scale));
    (0..TICKS_PER_DAY / unit).prop_map(move |units| units * unit)
}

fn moment(scale: u8) -> impl Strategy<Value = Moment> {
    (0..=DAY_LAST, ticks(scale)).prop_map(|(days, ticks)| Moment { days, ticks })
}

fn time_or_date() -> impl Strategy<Value = (SqlType, Value)> {
    let scaled = (0_u8..=7).prop_flat_map(|scale| {
        prop_oneof![
            ticks(scale).prop_map(move |ticks| (SqlType::Time(scale), Value::Time(ticks))),
            moment(scale).prop_map(move |moment| (SqlType::DateTime2(scale), Value::DateTime2(moment))),
            (moment(scale), -840_i16..=840).prop_map(move |(moment, minutes)| {
                (SqlType::DateTimeOffset(scale), Value::DateTimeOffset(moment, minutes))
            }),
        ]
    });
    prop_oneof![
        scaled,
        (0..=DAY_LAST).prop_map(|days| (SqlType::Date, Value::Date(days))),
        (DATETIME_DAY_FIRST..=DAY_LAST - DAYS_TO_1900, 0..DATETIME_TICKS_PER_DAY)
            .prop_map(|(days, ticks)| (SqlType::DateTime, Value::DateTime { days, ticks })),
        (any::<u16>(), 0_u16..1440)
            .prop_map(|(days, minutes)| (SqlType::SmallDateTime, Value::SmallDateTime { days, minutes })),
    ]
}

fn number() -> impl Strategy<Value = (SqlType, Value)> {
    prop_oneof![
        any::<bool>().prop_map(|bit| (SqlType::Bit, Value::Bit(bit))),
        any::<u8>().prop_map(|n| (SqlType::TinyInt, Value::TinyInt(n))),
        any::<i16>().prop_map(|n| (SqlType::SmallInt, Value::SmallInt(n))),
        any::<i32>().prop_map(|n| (SqlType::Int, Value::Int(n))),
        any::<i64>().prop_map(|n| (SqlType::BigInt, Value::BigInt(n))),
        any::<i64>().prop_map(|n| (SqlType::Money, Value::Money(n))),
        any::<i32>().prop_map(|n| (SqlType::SmallMoney, Value::Money(i64::from(n)))),
        any::<f32>().prop_map(|n| (SqlType::Real, Value::Real(n))),
        any::<f64>().prop_map(|n| (SqlType::Float, Value::Float(n))),
        decimal(),
    ]
}

fn content() -> impl Strategy<Value = (SqlType, Value)> {
    let binary = prop::collection::vec(any::<u8>(), 0..300);
    let unicode = prop::sample::select(vec![
        SqlType::NVarChar(Length::Limited(300)),
        SqlType::NVarChar(Length::Max),
        SqlType::NChar(300),
    ]);
    let latin = prop::sample::select(vec![
        SqlType::VarChar(Length::Limited(300)),
        SqlType::VarChar(Length::Max),
        SqlType::Char(300),
    ]);
    let bytes = prop::sample::select(vec![
        SqlType::VarBinary(Length::Limited(300)),
        SqlType::VarBinary(Length::Max),
        SqlType::Binary(300),
    ]);
    prop_oneof![
        (unicode, text(300)).prop_map(|(sql_type, text)| (sql_type, Value::text(&text))),
        (latin, latin_text(300)).prop_map(|(sql_type, text)| (sql_type, Value::text(&text))),
        (bytes, binary).prop_map(|(sql_type, bytes)| (sql_type, Value::binary(&bytes))),
        any::<[u8; 16]>().prop_map(|id| (SqlType::UniqueIdentifier, Value::Uuid(id))),
        text(50).prop_map(|text| (SqlType::Xml, Value::text(&text))),
    ]
}

fn typed_value() -> impl Strategy<Value = (SqlType, Value)> {
    prop_oneof![number(), time_or_date(), content()]
}

/// Bit for bit, where [`Value`]'s own equality takes `'a'` and `'A '` for the same.
fn identical(a: &Value, b: &Value) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

fn message(kind: Kind, payload: Vec<u8>) -> Message {
    Message { kind, reset: Reset::No, payload }
}

proptest! {
    #[test]
    fn a_written_value_reads_as_itself((sql_type, value) in typed_value()) {
        let mut bytes = Vec::new();
        type_info::write(sql_type, &mut bytes);
        encode::write(&value, sql_type, &mut bytes).unwrap();
        let mut reader = Reader::new(&bytes);
        let declared = type_info::read(&mut reader).unwrap();
        prop_assert_eq!(declared.sql_type, sql_type);
        let read = decode::read(declared, &mut reader).unwrap();
        prop_assert!(reader.is_empty());
        prop_assert!(identical(&read, &value), "{:?} of {:?}", read, value);
    }

    #[test]
    fn null_of_any_type_reads_as_null((sql_type, _) in typed_value()) {
        let mut bytes = Vec::new();
        type_info::write(sql_type, &mut bytes);
        encode::write(&Value::Null, sql_type, &mut bytes).unwrap();
        let mut reader = Reader::new(&bytes);
        let declared = type_info::read(&mut reader).unwrap();
        prop_assert!(decode::read(declared, &mut reader).unwrap().is_null());
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn a_variant_reads_as_its_value((_, value) in typed_value()) {
        let mut bytes = Vec::new();
        type_info::write(SqlType::Variant, &mut bytes);
        encode::write(&value, SqlType::Variant, &mut bytes).unwrap();
        let mut reader = Reader::new(&bytes);
        let declared = type_info::read(&mut reader).unwrap();
        let read = decode::read(declared, &mut reader).unwrap();
        prop_assert!(identical(&read, &value), "{:?} of {:?}", read, value);
    }

    #[test]
    fn bytes_of_any_kind_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = prelogin::read(&bytes);
        let _ = login::read(&bytes);
        for kind in [Kind::Batch, Kind::Rpc, Kind::TransactionManager] {
            let _ = request::read(&message(kind, bytes.clone()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _ = runtime.block_on(packet::read_message(&mut bytes.as_slice(), 1000));
    }

    /// Damage within calls that were whole gets further into the reader than noise does.
    #[test]
    fn damaged_calls_are_read_or_refused(
        parameters in prop::collection::vec(typed_value(), 0..5),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = call(&parameters);
        let whole = request::read(&message(Kind::Rpc, bytes.clone()));
        prop_assert!(whole.is_ok(), "{:?}", whole);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = request::read(&message(Kind::Rpc, bytes.clone()));
        bytes.truncate(cut.index(bytes.len()));
        let _ = request::read(&message(Kind::Rpc, bytes));
    }

    #[test]
    fn damaged_logins_are_read_or_refused(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = login::tests::message(0x7400_0004, "sa", "secret", "shop", 0);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let _ = login::read(&bytes);
    }
}

/// A call of `sp_executesql` with these parameters.
fn call(parameters: &[(SqlType, Value)]) -> Vec<u8> {
    let mut bytes = 22_u32.to_le_bytes().to_vec();
    bytes.extend([0; 18]);
    bytes.extend([0xff, 0xff, 10, 0, 0, 0]);
    for (sql_type, value) in parameters {
        bytes.push(2);
        bytes.extend(utf16_of_text("@p"));
        bytes.push(0);
        type_info::write(*sql_type, &mut bytes);
        encode::write(value, *sql_type, &mut bytes).unwrap();
    }
    bytes
}

#[test]
fn a_length_that_isnt_there_takes_no_memory() {
    // varbinary(max), four gigabytes in one chunk.
    let bytes = [0xa5, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let mut reader = Reader::new(&bytes);
    let declared = type_info::read(&mut reader).unwrap();
    assert!(decode::read(declared, &mut reader).is_err());
}
