//! Texts in every character set that the server has.

use super::bed::{Bed, shown};

use millstream_core::source::KeyRange;
use millstream_core::value::ValueRef;

on_servers!(samples_of_every_script, every_single_byte, every_double_byte);

async fn charsets(bed: &Bed, condition: &str) -> Vec<String> {
    let query = format!(
        "SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS
         WHERE CHARACTER_SET_NAME NOT IN ('binary', 'filename') AND {condition} ORDER BY 1"
    );
    bed.endpoint.rows(&query).await.unwrap().into_iter().map(|row| row[0].clone().unwrap()).collect()
}

const SAMPLES: [&str; 12] = [
    "abc",
    "é ü ñ ß €",
    "日本語 テスト ｶﾅ",
    "你好 世界 龍",
    "한국어",
    "Ελληνικά",
    "Русский",
    "עברית",
    "ไทย",
    "😀𠀀",
    "~\\\\^`",
    "",
];

async fn samples_of_every_script(bed: &Bed) {
    for charset in charsets(bed, "TRUE").await {
        let columns = format!("id INT PRIMARY KEY, a CHAR(40), b VARCHAR(300), c TEXT) CHARACTER SET {charset}");
        let insert =
            |(id, text): (usize, &&str)| format!("INSERT IGNORE INTO t VALUES ({id}, '{text}', '{text} ', '{text}')");
        let statements: Vec<String> = SAMPLES.iter().enumerate().map(insert).collect();
        bed.rows(&columns, &statements.join("; ")).await;
        agrees_with_server(bed, &charset).await;
    }
}

async fn every_single_byte(bed: &Bed) {
    for charset in charsets(bed, "MAXLEN = 1").await {
        let byte = |byte: u32| format!("INSERT IGNORE INTO t VALUES ({byte}, _{charset} X'{byte:02X}')");
        let statements: Vec<String> = (0..256).map(byte).collect();
        let columns = format!("id INT PRIMARY KEY, b VARCHAR(10)) CHARACTER SET {charset}");
        let rows = bed.rows(&columns, &statements.join("; ")).await;
        assert_eq!(rows.len(), 256);
        agrees_with_server(bed, &charset).await;
    }
}

/// Of the character sets with characters of two bytes, those that don't encode Unicode.
async fn every_double_byte(bed: &Bed) {
    let unicode = "CHARACTER_SET_NAME NOT REGEXP '^(utf|ucs)'";
    for charset in charsets(bed, &format!("MAXLEN > 1 AND {unicode}")).await {
        let (_, schema) = bed.create(&format!("id INT PRIMARY KEY, b VARCHAR(10)) CHARACTER SET {charset}")).await;
        for first in 0x80..=0xff_u32 {
            let code = |second: u32| {
                let code = first << 8 | second;
                format!("({code}, CONVERT(X'{code:04X}' USING {charset}))")
            };
            let codes: Vec<String> = (0x30..=0xff).map(code).collect();
            bed.sql(&format!("INSERT IGNORE INTO t VALUES {}", codes.join(", "))).await;
        }
        assert!(bed.read(&schema, KeyRange::default(), 50_000).await.len() > 20_000);
        agrees_with_server(bed, &charset).await;
    }
}

/// Wherever the server itself has a character, it is ours.
async fn agrees_with_server(bed: &Bed, charset: &str) {
    let (_, schema) = bed.found().await;
    let query = format!("SELECT HEX(CONVERT(b USING utf8mb4)) FROM `{}`.t ORDER BY id", bed.database);
    let theirs = bed.endpoint.rows(&query).await.unwrap();
    let ours = bed.read(&schema, KeyRange::default(), 100_000).await;
    assert_eq!(theirs.len(), ours.len());
    let column = schema.column_index("b").unwrap();
    for (row, theirs) in ours.rows().zip(theirs) {
        let Some(ValueRef::Text(text)) = row.get(column) else { continue };
        let hexadecimal = theirs[0].clone().unwrap();
        let bytes: Vec<u8> = (0..hexadecimal.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap())
            .collect();
        let theirs = String::from_utf8(bytes).unwrap();
        let has_none = |character: char| matches!(character, '?' | '\u{fffd}');
        if !theirs.chars().any(has_none) {
            assert_eq!(text, theirs, "{charset} {}", shown(row.get(0).unwrap()));
        }
    }
}
