//! The server's East Asian character sets: encoding_rs, except where the server differs from the web.

use std::collections::HashMap;
use std::sync::Arc;

use encoding_rs::Encoding;

use super::charset_runs::RUNS;

/// One such character set.
#[derive(Debug, Clone)]
pub(super) struct EastAsian {
    encoding: &'static Encoding,
    shape: Shape,
    /// By their codes, the characters that the server has otherwise than the web.
    differing: Arc<HashMap<u32, char>>,
}

/// How many bytes a character takes, by its first ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Two after every byte above 0x80.
    Pairs,
    /// As above, but the bytes 0xa1 to 0xdf stand alone.
    ShiftJis,
    /// Three after 0x8f.
    Euc,
    /// Four if the second is a digit.
    Gb18030,
}

impl EastAsian {
    pub(super) fn named(name: &str) -> Option<EastAsian> {
        let (encoding, shape) = match name {
            "big5" => (encoding_rs::BIG5, Shape::Pairs),
            "cp932" | "sjis" => (encoding_rs::SHIFT_JIS, Shape::ShiftJis),
            "eucjpms" | "ujis" => (encoding_rs::EUC_JP, Shape::Euc),
            "euckr" => (encoding_rs::EUC_KR, Shape::Pairs),
            "gb18030" => (encoding_rs::GB18030, Shape::Gb18030),
            "gb2312" | "gbk" => (encoding_rs::GBK, Shape::Pairs),
            _ => return None,
        };
        let mut differing = HashMap::new();
        for (_, first, characters) in RUNS.iter().filter(|(of, _, _)| *of == name) {
            differing.extend((*first..).zip(characters.chars()));
        }
        if shape == Shape::Euc {
            differing.extend(user_defined());
        }
        Some(EastAsian { encoding, shape, differing: Arc::new(differing) })
    }

    /// Appends the text of `bytes`.
    pub(super) fn decode(&self, bytes: &[u8], out: &mut String) {
        let mut plain = bytes;
        let mut rest = bytes;
        // Characters that don't differ are gathered and decoded together.
        while !rest.is_empty() {
            let (head, after) = rest.split_at_checked(self.length(rest)).unwrap_or((rest, &[]));
            let code = head.iter().fold(0, |code, byte| code << 8 | u32::from(*byte));
            if let Some(character) = self.differing.get(&code).filter(|_| head.len() > 1) {
                self.decode_plain(plain, rest, out);
                out.push(*character);
                plain = after;
            }
            rest = after;
        }
        self.decode_plain(plain, rest, out);
    }

    /// Decodes what of `plain` lies before `rest`, which is its end.
    fn decode_plain(&self, plain: &[u8], rest: &[u8], out: &mut String) {
        let (plain, _) = plain.split_at_checked(plain.len() - rest.len()).unwrap_or((plain, &[]));
        out.push_str(&self.encoding.decode_without_bom_handling(plain).0);
    }

    /// How many bytes the first character takes; at least one.
    fn length(&self, bytes: &[u8]) -> usize {
        let (Some(first), second) = (bytes.first().copied(), bytes.get(1).copied().unwrap_or_default()) else {
            return 1;
        };
        match (self.shape, first) {
            (_, 0..=0x80) | (Shape::ShiftJis, 0xa0..=0xdf) => 1,
            (Shape::Euc, 0x8f) => 3,
            (Shape::Gb18030, _) if second.is_ascii_digit() => 4,
            _ => 2,
        }
    }
}

/// The last ten rows of both planes of EUC-JP are for characters of one's own, which the server has in the private
/// area of Unicode.
fn user_defined() -> impl Iterator<Item = (u32, char)> {
    const ROW: u32 = 94;
    const PLANES: [(u32, u32); 2] = [(0, 0xe000), (0x8f_0000, 0xe3ac)];
    PLANES.into_iter().flat_map(|(plane, first)| {
        (0..10 * ROW).filter_map(move |index| {
            let code = plane + ((0xf5 + index / ROW) << 8) + 0xa1 + index % ROW;
            Some((code, char::from_u32(first + index)?))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(name: &str, bytes: &[u8]) -> String {
        let mut out = String::new();
        EastAsian::named(name).unwrap().decode(bytes, &mut out);
        out
    }

    #[test]
    fn the_servers_own_characters_stand_among_the_webs() {
        assert_eq!(decode("big5", b"a\xa4\xa4\xc6\xe7b"), "a中ゃb");
        assert_eq!(decode("sjis", b"\x81\x5fx\xb1\x82\xa0"), "\\xｱあ");
        assert_eq!(decode("cp932", b"\x81\x5f"), "＼");
        assert_eq!(decode("ujis", b"\xa4\xa2\xf5\xa1\x8f\xf5\xa2"), "あ\u{e000}\u{e3ad}");
        assert_eq!(decode("gb18030", b"\x81\x30\x84\x36\xa3\xa0"), "¥\u{e5e5}");
    }

    #[test]
    fn characters_cut_short_are_replaced() {
        assert_eq!(decode("ujis", b"a\x8f\xf5"), "a\u{fffd}");
        assert_eq!(decode("gbk", b"\xc4"), "\u{fffd}");
        assert_eq!(decode("big5", b""), "");
    }
}
