use super::super::format;
use super::*;

fn cast(value: Value, from: SqlType, to: SqlType) -> Result<Value, i32> {
    convert(&value, from, to, None).map_err(|error| error.number)
}

fn shown(value: Value, from: SqlType, to: SqlType) -> String {
    let converted = cast(value, from, to).unwrap();
    format::text(&converted, to, None).unwrap()
}

const TEXT: SqlType = SqlType::VarChar(Length::Max);

#[test]
fn texts_become_numbers_or_fail_with_the_servers_numbers() {
    assert_eq!(cast(Value::text(" 12 "), TEXT, SqlType::Int), Ok(Value::Int(12)));
    assert_eq!(cast(Value::text("1x"), TEXT, SqlType::Int), Err(245));
    assert_eq!(cast(Value::text("99999999999"), TEXT, SqlType::Int), Err(248));
    assert_eq!(cast(Value::text("300"), TEXT, SqlType::TinyInt), Err(244));
    assert_eq!(cast(Value::text("x"), TEXT, SqlType::Numeric { precision: 5, scale: 2 }), Err(8114));
    assert_eq!(cast(Value::text("1234.567"), TEXT, SqlType::Numeric { precision: 5, scale: 2 }), Err(8115));
    assert_eq!(shown(Value::text("123.455"), TEXT, SqlType::Numeric { precision: 5, scale: 2 }), "123.46");
}

#[test]
fn numbers_narrow_or_overflow() {
    assert_eq!(cast(Value::Int(300), SqlType::Int, SqlType::TinyInt), Err(220));
    assert_eq!(cast(Value::BigInt(1 << 40), SqlType::BigInt, SqlType::Int), Err(8115));
    let number = SqlType::Numeric { precision: 5, scale: 2 };
    assert_eq!(cast(Value::Decimal(Decimal::new(-199, 2)), number, SqlType::Int), Ok(Value::Int(-1)));
    assert_eq!(cast(Value::Money(15_000), SqlType::Money, SqlType::Int), Ok(Value::Int(2)));
}

#[test]
fn texts_are_cut_and_padded() {
    assert_eq!(cast(Value::text("abcdef"), TEXT, SqlType::Char(3)).unwrap().as_text(), Some("abc"));
    assert_eq!(cast(Value::text("a"), TEXT, SqlType::NChar(3)).unwrap().as_text(), Some("a  "));
    assert_eq!(
        cast(Value::Int(12345), SqlType::Int, SqlType::VarChar(Length::Limited(3))).unwrap().as_text(),
        Some("*")
    );
    assert_eq!(cast(Value::Int(12345), SqlType::Int, SqlType::NVarChar(Length::Limited(3))), Err(8115));
    assert_eq!(cast(Value::text("a\u{4e2d}é"), SqlType::NVarChar(Length::Max), TEXT).unwrap().as_text(), Some("a?é"));
    assert_eq!(truncated_text(&Value::text("abc"), SqlType::VarChar(Length::Limited(2))), Some("ab".to_owned()));
    assert_eq!(truncated_text(&Value::text("ab  "), SqlType::VarChar(Length::Limited(2))), None);
}

#[test]
fn moments_round_to_their_type() {
    let text = Value::text("2024-05-06 07:08:09.9999999");
    assert_eq!(shown(text.clone(), TEXT, SqlType::DateTime2(3)), "2024-05-06 07:08:10.000");
    assert_eq!(cast(text, TEXT, SqlType::DateTime), Err(241));
    assert_eq!(cast(Value::text("1752-12-31"), TEXT, SqlType::DateTime), Err(242));
    assert_eq!(shown(Value::text("2024-05-06 07:08:30"), TEXT, SqlType::SmallDateTime), "May  6 2024  7:09AM");
    assert_eq!(
        shown(Value::text("2024-05-06 07:08 +02:00"), TEXT, SqlType::DateTimeOffset(0)),
        "2024-05-06 07:08:00 +02:00"
    );
    assert_eq!(shown(Value::text("2024-05-06 07:08 +02:00"), TEXT, SqlType::DateTime2(0)), "2024-05-06 07:08:00");
}

#[test]
fn bytes_and_numbers_convert_both_ways() {
    assert_eq!(cast(Value::Int(-2), SqlType::Int, SqlType::Binary(4)), Ok(Value::binary(&[0xff, 0xff, 0xff, 0xfe])));
    assert_eq!(cast(Value::binary(&[0xff, 0xff, 0xff, 0xfe]), SqlType::Binary(4), SqlType::Int), Ok(Value::Int(-2)));
    assert_eq!(
        convert(&Value::text("0x0aFF"), TEXT, SqlType::VarBinary(Length::Max), Some(1)).unwrap(),
        Value::binary(&[10, 255])
    );
    assert_eq!(convert(&Value::binary(&[10]), SqlType::Binary(1), TEXT, Some(1)).unwrap().as_text(), Some("0x0A"));
}

#[test]
fn forbidden_conversions_are_refused_beforehand() {
    assert_eq!(check(TEXT, SqlType::Binary(4), Manner::Implicit).unwrap_err().number, 257);
    assert!(check(TEXT, SqlType::Binary(4), Manner::Explicit).is_ok());
    assert_eq!(check(SqlType::Int, SqlType::Date, Manner::Implicit).unwrap_err().number, 206);
    assert_eq!(check(SqlType::Int, SqlType::UniqueIdentifier, Manner::Explicit).unwrap_err().number, 529);
}
