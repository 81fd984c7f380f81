//! Declared types: what a column, variable or expression may hold.

use std::fmt;

/// The declared length of a type of varying length: characters, bytes, or no bound.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Length {
    Limited(u16),
    Max,
}

impl Length {
    /// A length that holds `units`, unbounded beyond `limit`; at least one.
    pub fn of(units: usize, limit: u16) -> Self {
        match u16::try_from(units) {
            Ok(units) if units <= limit => Self::Limited(units.max(1)),
            _ => Self::Max,
        }
    }

    fn plus(self, other: Self, limit: u16) -> Self {
        match (self, other) {
            (Self::Limited(a), Self::Limited(b)) => Self::Limited(a.saturating_add(b).min(limit)),
            _ => Self::Max,
        }
    }

    pub fn units(self) -> Option<usize> {
        match self {
            Self::Limited(units) => Some(usize::from(units)),
            Self::Max => None,
        }
    }
}

/// A type of the server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SqlType {
    Bit,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Numeric {
        precision: u8,
        scale: u8,
    },
    Money,
    SmallMoney,
    Real,
    Float,
    Char(u16),
    VarChar(Length),
    Text,
    NChar(u16),
    NVarChar(Length),
    NText,
    /// `nvarchar(128)` under a name of its own.
    SysName,
    Binary(u16),
    VarBinary(Length),
    Image,
    RowVersion,
    Date,
    Time(u8),
    SmallDateTime,
    DateTime,
    DateTime2(u8),
    DateTimeOffset(u8),
    UniqueIdentifier,
    Variant,
    Xml,
    HierarchyId,
    Geometry,
    Geography,
}

/// How types group where the rules are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    Integer,
    Decimal,
    Money,
    Approximate,
    Character,
    Binary,
    DateTime,
    Uuid,
    Variant,
    Xml,
    Clr,
}

impl SqlType {
    pub fn family(self) -> Family {
        match self {
            Self::Bit | Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt => Family::Integer,
            Self::Decimal { .. } | Self::Numeric { .. } => Family::Decimal,
            Self::Money | Self::SmallMoney => Family::Money,
            Self::Real | Self::Float => Family::Approximate,
            Self::Char(_)
            | Self::VarChar(_)
            | Self::Text
            | Self::NChar(_)
            | Self::NVarChar(_)
            | Self::NText
            | Self::SysName => Family::Character,
            Self::Binary(_) | Self::VarBinary(_) | Self::Image | Self::RowVersion => Family::Binary,
            Self::Date
            | Self::Time(_)
            | Self::SmallDateTime
            | Self::DateTime
            | Self::DateTime2(_)
            | Self::DateTimeOffset(_) => Family::DateTime,
            Self::UniqueIdentifier => Family::Uuid,
            Self::Variant => Family::Variant,
            Self::Xml => Family::Xml,
            Self::HierarchyId | Self::Geometry | Self::Geography => Family::Clr,
        }
    }

    pub fn is_character(self) -> bool {
        self.family() == Family::Character
    }

    /// Whether the text is held in UTF-16, not in the code page of the collation.
    pub fn is_unicode(self) -> bool {
        matches!(self, Self::NChar(_) | Self::NVarChar(_) | Self::NText | Self::SysName | Self::Xml)
    }

    pub fn is_number(self) -> bool {
        matches!(self.family(), Family::Integer | Family::Decimal | Family::Money | Family::Approximate)
    }

    /// A type with a length but no order or equality: `text`, `ntext`, `image`, `xml`.
    pub fn is_incomparable(self) -> bool {
        matches!(self, Self::Text | Self::NText | Self::Image | Self::Xml | Self::Geometry | Self::Geography)
    }

    /// Precision and scale as exact numbers have them.
    pub fn decimal_shape(self) -> Option<(u8, u8)> {
        Some(match self {
            Self::Bit => (1, 0),
            Self::TinyInt => (3, 0),
            Self::SmallInt => (5, 0),
            Self::Int => (10, 0),
            Self::BigInt => (19, 0),
            Self::Decimal { precision, scale } | Self::Numeric { precision, scale } => (precision, scale),
            Self::Money => (19, 4),
            Self::SmallMoney => (10, 4),
            _ => return None,
        })
    }

    /// Higher wins where two types meet.
    fn precedence(self) -> u8 {
        match self {
            Self::Variant => 40,
            Self::Xml => 39,
            Self::HierarchyId | Self::Geometry | Self::Geography => 38,
            Self::DateTimeOffset(_) => 30,
            Self::DateTime2(_) => 29,
            Self::DateTime => 28,
            Self::SmallDateTime => 27,
            Self::Date => 26,
            Self::Time(_) => 25,
            Self::Float => 24,
            Self::Real => 23,
            Self::Decimal { .. } => 22,
            Self::Numeric { .. } => 21,
            Self::Money => 20,
            Self::SmallMoney => 19,
            Self::BigInt => 18,
            Self::Int => 17,
            Self::SmallInt => 16,
            Self::TinyInt => 15,
            Self::Bit => 14,
            Self::NText => 13,
            Self::Text => 12,
            Self::Image => 11,
            Self::RowVersion => 10,
            Self::UniqueIdentifier => 9,
            Self::NVarChar(_) | Self::SysName => 8,
            Self::NChar(_) => 7,
            Self::VarChar(_) => 6,
            Self::Char(_) => 5,
            Self::VarBinary(_) => 4,
            Self::Binary(_) => 3,
        }
    }

    /// The type that both sides take where they meet in a comparison, a `CASE`, a `UNION` or a list.
    pub fn unify(self, other: Self) -> Self {
        if self == other {
            return self;
        }
        if self.is_character() && other.is_character() {
            return self.unify_characters(other);
        }
        let (high, low) = if self.precedence() >= other.precedence() { (self, other) } else { (other, self) };
        match high {
            Self::Decimal { .. } | Self::Numeric { .. } => match low.decimal_shape() {
                Some((low_precision, low_scale)) => {
                    let (precision, scale) = high.decimal_shape().unwrap_or((38, 0));
                    let scale_both = scale.max(low_scale);
                    let whole = (precision - scale).max(low_precision.saturating_sub(low_scale));
                    let total = (whole + scale_both).min(38);
                    let scale_kept = scale_both.min(38_u8.saturating_sub(whole.min(38)));
                    high.with_decimal_shape(total, scale_kept)
                }
                None => high,
            },
            Self::VarBinary(length) => match low {
                Self::Binary(n) => Self::VarBinary(length.max(Length::Limited(n))),
                Self::VarBinary(n) => Self::VarBinary(length.max(n)),
                _ => high,
            },
            Self::Binary(n) => match low {
                Self::Binary(m) => Self::Binary(n.max(m)),
                _ => high,
            },
            Self::Time(a) => match low {
                Self::Time(b) => Self::Time(a.max(b)),
                _ => high,
            },
            Self::DateTime2(a) => match low {
                Self::DateTime2(b) | Self::Time(b) => Self::DateTime2(a.max(b)),
                _ => high,
            },
            Self::DateTimeOffset(a) => match low {
                Self::DateTimeOffset(b) | Self::DateTime2(b) | Self::Time(b) => Self::DateTimeOffset(a.max(b)),
                _ => high,
            },
            _ => high,
        }
    }

    fn unify_characters(self, other: Self) -> Self {
        if matches!(self, Self::NText) || matches!(other, Self::NText) {
            return Self::NText;
        }
        if matches!(self, Self::Text) || matches!(other, Self::Text) {
            return if self.is_unicode() || other.is_unicode() { Self::NText } else { Self::Text };
        }
        let length = self.character_length().max(other.character_length());
        let fixed = matches!(self, Self::Char(_) | Self::NChar(_)) && matches!(other, Self::Char(_) | Self::NChar(_));
        let unicode = self.is_unicode() || other.is_unicode();
        Self::character(unicode, fixed, length)
    }

    /// The type of two texts one after the other.
    pub fn concatenated(self, other: Self) -> Self {
        let unicode = self.is_unicode() || other.is_unicode();
        let fixed = matches!(self, Self::Char(_) | Self::NChar(_)) && matches!(other, Self::Char(_) | Self::NChar(_));
        let limit = if unicode { 4000 } else { 8000 };
        Self::character(unicode, fixed, self.character_length().plus(other.character_length(), limit))
    }

    fn character(unicode: bool, fixed: bool, length: Length) -> Self {
        let length = match length {
            Length::Limited(n) => Length::Limited(n.min(if unicode { 4000 } else { 8000 })),
            Length::Max => Length::Max,
        };
        match (unicode, fixed, length) {
            (true, true, Length::Limited(n)) => Self::NChar(n),
            (false, true, Length::Limited(n)) => Self::Char(n),
            (true, ..) => Self::NVarChar(length),
            (false, ..) => Self::VarChar(length),
        }
    }

    /// The characters that a character type holds, or that any other type's text takes.
    pub fn character_length(self) -> Length {
        match self {
            Self::Char(n) | Self::NChar(n) => Length::Limited(n),
            Self::VarChar(length) | Self::NVarChar(length) => length,
            Self::Text | Self::NText | Self::Xml => Length::Max,
            Self::SysName => Length::Limited(128),
            Self::UniqueIdentifier => Length::Limited(36),
            Self::Binary(n) => Length::Limited(n),
            Self::VarBinary(length) => length,
            Self::Image => Length::Max,
            _ => Length::Limited(41),
        }
    }

    pub fn with_decimal_shape(self, precision: u8, scale: u8) -> Self {
        match self {
            Self::Decimal { .. } => Self::Decimal { precision, scale },
            _ => Self::Numeric { precision, scale },
        }
    }

    /// The name in `sys.types`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bit => "bit",
            Self::TinyInt => "tinyint",
            Self::SmallInt => "smallint",
            Self::Int => "int",
            Self::BigInt => "bigint",
            Self::Decimal { .. } => "decimal",
            Self::Numeric { .. } => "numeric",
            Self::Money => "money",
            Self::SmallMoney => "smallmoney",
            Self::Real => "real",
            Self::Float => "float",
            Self::Char(_) => "char",
            Self::VarChar(_) => "varchar",
            Self::Text => "text",
            Self::NChar(_) => "nchar",
            Self::NVarChar(_) => "nvarchar",
            Self::NText => "ntext",
            Self::SysName => "sysname",
            Self::Binary(_) => "binary",
            Self::VarBinary(_) => "varbinary",
            Self::Image => "image",
            Self::RowVersion => "timestamp",
            Self::Date => "date",
            Self::Time(_) => "time",
            Self::SmallDateTime => "smalldatetime",
            Self::DateTime => "datetime",
            Self::DateTime2(_) => "datetime2",
            Self::DateTimeOffset(_) => "datetimeoffset",
            Self::UniqueIdentifier => "uniqueidentifier",
            Self::Variant => "sql_variant",
            Self::Xml => "xml",
            Self::HierarchyId => "hierarchyid",
            Self::Geometry => "geometry",
            Self::Geography => "geography",
        }
    }

    /// `sys.columns.max_length`: bytes, -1 for no bound.
    pub fn max_length(self) -> i16 {
        let bytes = |length: Length, width: i16| match length {
            Length::Limited(n) => i16::try_from(n).unwrap_or(i16::MAX).saturating_mul(width),
            Length::Max => -1,
        };
        match self {
            Self::Bit | Self::TinyInt => 1,
            Self::SmallInt => 2,
            Self::Int | Self::Real | Self::SmallMoney | Self::SmallDateTime => 4,
            Self::BigInt | Self::Float | Self::Money | Self::DateTime | Self::RowVersion => 8,
            Self::Decimal { precision, .. } | Self::Numeric { precision, .. } => match precision {
                0..=9 => 5,
                10..=19 => 9,
                20..=28 => 13,
                _ => 17,
            },
            Self::Char(n) | Self::Binary(n) => bytes(Length::Limited(n), 1),
            Self::VarChar(length) | Self::VarBinary(length) => bytes(length, 1),
            Self::NChar(n) => bytes(Length::Limited(n), 2),
            Self::NVarChar(length) => bytes(length, 2),
            Self::SysName => 256,
            Self::Text | Self::NText | Self::Image | Self::UniqueIdentifier => 16,
            Self::Date => 3,
            Self::Time(scale) => match scale {
                0..=2 => 3,
                3..=4 => 4,
                _ => 5,
            },
            Self::DateTime2(scale) => match scale {
                0..=2 => 6,
                3..=4 => 7,
                _ => 8,
            },
            Self::DateTimeOffset(scale) => match scale {
                0..=2 => 8,
                3..=4 => 9,
                _ => 10,
            },
            Self::Variant => 8016,
            Self::HierarchyId => 892,
            Self::Xml | Self::Geometry | Self::Geography => -1,
        }
    }

    /// `sys.columns.precision`: digits of a number, or characters of a date's text; 0 for the rest.
    pub fn precision(self) -> u8 {
        let fraction = |scale: u8| if scale == 0 { 0 } else { scale + 1 };
        match self {
            Self::Real => 24,
            Self::Float => 53,
            Self::Date => 10,
            Self::Time(scale) => 8 + fraction(scale),
            Self::SmallDateTime => 16,
            Self::DateTime => 23,
            Self::DateTime2(scale) => 19 + fraction(scale),
            Self::DateTimeOffset(scale) => 26 + fraction(scale),
            _ => self.decimal_shape().map_or(0, |(precision, _)| precision),
        }
    }

    /// `sys.columns.scale`.
    pub fn scale(self) -> u8 {
        match self {
            Self::Time(scale) | Self::DateTime2(scale) | Self::DateTimeOffset(scale) => scale,
            Self::DateTime => 3,
            _ => self.decimal_shape().map_or(0, |(_, scale)| scale),
        }
    }

    /// `sys.types.system_type_id`.
    pub fn system_type_id(self) -> u8 {
        match self {
            Self::Image => 34,
            Self::Text => 35,
            Self::UniqueIdentifier => 36,
            Self::Date => 40,
            Self::Time(_) => 41,
            Self::DateTime2(_) => 42,
            Self::DateTimeOffset(_) => 43,
            Self::TinyInt => 48,
            Self::SmallInt => 52,
            Self::Int => 56,
            Self::SmallDateTime => 58,
            Self::Real => 59,
            Self::Money => 60,
            Self::DateTime => 61,
            Self::Float => 62,
            Self::Variant => 98,
            Self::NText => 99,
            Self::Bit => 104,
            Self::Decimal { .. } => 106,
            Self::Numeric { .. } => 108,
            Self::SmallMoney => 122,
            Self::BigInt => 127,
            Self::VarBinary(_) => 165,
            Self::VarChar(_) => 167,
            Self::Binary(_) => 173,
            Self::Char(_) => 175,
            Self::RowVersion => 189,
            Self::NVarChar(_) | Self::SysName => 231,
            Self::NChar(_) => 239,
            Self::HierarchyId | Self::Geometry | Self::Geography => 240,
            Self::Xml => 241,
        }
    }

    /// `sys.types.user_type_id`.
    pub fn user_type_id(self) -> i32 {
        match self {
            Self::SysName => 256,
            Self::HierarchyId => 128,
            Self::Geometry => 129,
            Self::Geography => 130,
            _ => i32::from(self.system_type_id()),
        }
    }
}

/// As a declaration writes it: `decimal(10,2)`, `nvarchar(max)`.
impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::Decimal { precision, scale } | Self::Numeric { precision, scale } => {
                write!(f, "{name}({precision},{scale})")
            }
            Self::Char(n) | Self::NChar(n) | Self::Binary(n) => write!(f, "{name}({n})"),
            Self::VarChar(length) | Self::NVarChar(length) | Self::VarBinary(length) => match length {
                Length::Limited(n) => write!(f, "{name}({n})"),
                Length::Max => write!(f, "{name}(max)"),
            },
            Self::Time(scale) | Self::DateTime2(scale) | Self::DateTimeOffset(scale) => write!(f, "{name}({scale})"),
            _ => f.write_str(name),
        }
    }
}
