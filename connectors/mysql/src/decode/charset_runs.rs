//! Where the server's East Asian character sets differ from those of the web, which encoding_rs has.
//!
//! Read off both servers, code by code, with `CONVERT(CONVERT(X'A1C0' USING ujis) USING utf8mb4)`; a test reads them
//! off again. Codes for which the server itself has no character aren't here.

/// Character set, first code, and the characters of that code and those after it.
pub(super) const RUNS: &[(&str, u32, &str)] = &[
    ("big5", 0xa145, "•"),
    ("big5", 0xa14e, "､"),
    ("big5", 0xa1c2, "‾"),
    ("big5", 0xa1e3, "∼"),
    ("big5", 0xa1f2, "♁☉"),
    ("big5", 0xa241, "／＼"),
    ("big5", 0xa244, "¥"),
    ("big5", 0xa246, "¢£"),
    (
        "big5",
        0xc6a1,
        "ヾゝゞ々ぁあぃいぅうぇえぉおかがきぎくぐけげこごさざしじすずせぜそぞただちぢっつづてでとどなにぬねのはばぱひびぴふぶぷへべぺほぼぽまみむめもゃやゅゆょよらりるれろゎわゐゑをんァアィイゥウェ",
    ),
    (
        "big5",
        0xc740,
        "エォオカガキギクグケゲコゴサザシジスズセゼソゾタダチヂッツヅテデトドナニヌネノハバパヒビピフブプヘベペホボポマミムメモャヤュユ",
    ),
    (
        "big5",
        0xc7a1,
        "ョヨラリルレロヮワヰヱヲンヴヵヶДЕЁЖЗИЙКЛМУФХЦЧШЩЪЫЬЭЮЯабвгдеёжзийклмнопрстуфхцчшщъыьэюя①②③④⑤⑥⑦⑧⑨⑩⑴⑵⑶⑷⑸⑹⑺⑻⑼⑽",
    ),
    ("eucjpms", 0x8fa2c3, "￤"),
    ("eucjpms", 0x8ff3f3, "ⅰⅱⅲⅳⅴⅵⅶⅷⅸⅹⅠⅡ"),
    (
        "eucjpms",
        0x8ff4a1,
        "ⅢⅣⅤⅥⅦⅧⅨⅩ＇＂㈱№℡炻仼僴凬匇匤﨎咊坙﨏塚增寬峵嵓﨑德悅愠敎昻晥晴朗栁﨓﨔橫櫢淸淲瀨凞猪甁皂皞益礰礼神祥福竧靖精綠緖羽荢﨟薰蘒﨡蠇諸譿賴赶﨣﨤逸郞都鄕﨧﨨閒隆﨩霻靍靑飯飼館馞髙魲鶴黑",
    ),
    ("gb18030", 0xa3a0, "\u{e5e5}"),
    ("gb18030", 0xa6d9, "\u{e78d}\u{e78e}\u{e78f}\u{e790}\u{e791}\u{e792}\u{e793}"),
    ("gb18030", 0xa6ec, "\u{e794}\u{e795}"),
    ("gb18030", 0xa6f3, "\u{e796}"),
    ("gb18030", 0xfe59, "\u{e81e}"),
    ("gb18030", 0xfe61, "\u{e826}"),
    ("gb18030", 0xfe66, "\u{e82b}\u{e82c}"),
    ("gb18030", 0xfe6d, "\u{e832}"),
    ("gb18030", 0xfe7e, "\u{e843}"),
    ("gb18030", 0xfe90, "\u{e854}"),
    ("gb18030", 0xfea0, "\u{e864}"),
    ("gb2312", 0xa1a4, "・"),
    ("gb2312", 0xa1aa, "―"),
    ("sjis", 0x815f, "\\〜‖"),
    ("sjis", 0x817c, "−"),
    ("sjis", 0x8191, "¢£"),
    ("sjis", 0x81ca, "¬"),
    ("ujis", 0xa1c0, "\\〜‖"),
    ("ujis", 0xa1dd, "−"),
    ("ujis", 0xa1f1, "¢£"),
    ("ujis", 0xa2cc, "¬"),
    ("ujis", 0x8fa2b7, "~"),
];
