//! Days and ticks: the proleptic Gregorian calendar between the years 1 and 9999.

/// 100-nanosecond ticks.
pub const TICKS_PER_SECOND: u64 = 10_000_000;
pub const TICKS_PER_DAY: u64 = 86_400 * TICKS_PER_SECOND;
/// 1900-01-01, from which `datetime` counts, in days since 0001-01-01.
pub const DAYS_TO_1900: i32 = 693_595;
/// 9999-12-31.
pub const DAY_LAST: i32 = 3_652_058;
/// 1753-01-01, the first day of `datetime`, in its own count.
pub const DATETIME_DAY_FIRST: i32 = -53_690;
/// Three-hundredths of a second, the ticks of `datetime`.
pub const DATETIME_TICKS_PER_DAY: u32 = 86_400 * 300;

/// A day and the time of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Moment {
    /// Since 0001-01-01.
    pub days: i32,
    /// 100-nanosecond ticks since midnight.
    pub ticks: u64,
}

/// A date by its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Civil {
    pub year: i32,
    pub month: u32,
    pub day: u32,
}

impl Moment {
    /// Total ticks since 0001-01-01, for arithmetic.
    pub fn total_ticks(self) -> i128 {
        i128::from(self.days) * i128::from(TICKS_PER_DAY) + i128::from(self.ticks)
    }

    /// None outside of the years 1 to 9999.
    pub fn from_total_ticks(total: i128) -> Option<Self> {
        let days = total.div_euclid(i128::from(TICKS_PER_DAY));
        let days = i32::try_from(days).ok().filter(|days| (0..=DAY_LAST).contains(days))?;
        Some(Self { days, ticks: u64::try_from(total.rem_euclid(i128::from(TICKS_PER_DAY))).ok()? })
    }

    /// The moment `minutes` later.
    pub fn plus_minutes(self, minutes: i32) -> Option<Self> {
        Self::from_total_ticks(self.total_ticks() + i128::from(minutes) * 60 * i128::from(TICKS_PER_SECOND))
    }

    /// Rounded to `scale` places of a second, half up; past midnight it is the next day.
    pub fn rounded(self, scale: u8) -> Option<Self> {
        let unit = i128::from(10_u64.pow(7 - u32::from(scale.min(7))));
        let total = self.total_ticks();
        Self::from_total_ticks((total + unit / 2).div_euclid(unit) * unit)
    }

    /// As `datetime` holds it: three-hundredths of a second, counted from 1900. None before 1753.
    pub fn to_datetime(self) -> Option<(i32, u32)> {
        // ticks * 300 / 10^7, rounded half up.
        let ticks = (self.ticks * 3 + 50_000) / 100_000;
        let ticks = u32::try_from(ticks).ok()?;
        let (days, ticks) = if ticks >= DATETIME_TICKS_PER_DAY {
            (self.days + 1, ticks - DATETIME_TICKS_PER_DAY)
        } else {
            (self.days, ticks)
        };
        let days = days - DAYS_TO_1900;
        (DATETIME_DAY_FIRST..=DAY_LAST - DAYS_TO_1900).contains(&days).then_some((days, ticks))
    }

    /// The moment that a `datetime` denotes. Widened it has seven places, as 1/300 s has no end in decimals: the
    /// server rounds to the nearest tick of its target.
    pub fn from_datetime(days: i32, ticks: u32) -> Self {
        Self { days: days + DAYS_TO_1900, ticks: (u64::from(ticks) * 100_000 + 1) / 3 }
    }

    pub fn civil(self) -> Civil {
        civil_of(self.days)
    }

    /// Milliseconds since 1970, as the operating system counts them.
    pub fn from_unix_ticks(ticks: i128) -> Option<Self> {
        let epoch = i128::from(days_of(1970, 1, 1)?) * i128::from(TICKS_PER_DAY);
        Self::from_total_ticks(epoch + ticks)
    }
}

/// Days since 0001-01-01; None for what is no date of the years 1 to 9999.
pub fn days_of(year: i32, month: u32, day: u32) -> Option<i32> {
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    // The year is taken to begin in March, so that the leap day is its last.
    let shifted = if month <= 2 { year - 1 } else { year };
    let month_of_shifted = i32::try_from((month + 9) % 12).ok()?;
    let day_of_year = (153 * month_of_shifted + 2) / 5 + i32::try_from(day).ok()? - 1;
    let days = shifted * 365 + shifted.div_euclid(4) - shifted.div_euclid(100) + shifted.div_euclid(400) + day_of_year;
    // The 1st of January of year 1 is 306 days after the 1st of March of year 0.
    Some(days - 306)
}

/// The date of a day since 0001-01-01.
pub fn civil_of(days: i32) -> Civil {
    let shifted = i64::from(days) + 306;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_of_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_of_shifted + 2) / 5 + 1;
    let month = if month_of_shifted < 10 { month_of_shifted + 3 } else { month_of_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Civil {
        year: i32::try_from(year).unwrap_or(0),
        month: u32::try_from(month).unwrap_or(0),
        day: u32::try_from(day).unwrap_or(0),
    }
}

pub fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_convert_both_ways() {
        assert_eq!(days_of(1, 1, 1), Some(0));
        assert_eq!(days_of(1900, 1, 1), Some(DAYS_TO_1900));
        assert_eq!(days_of(9999, 12, 31), Some(DAY_LAST));
        assert_eq!(days_of(1753, 1, 1), Some(DAYS_TO_1900 + DATETIME_DAY_FIRST));
        assert_eq!(days_of(2023, 2, 29), None);
        for days in (0..=DAY_LAST).step_by(97) {
            let civil = civil_of(days);
            assert_eq!(days_of(civil.year, civil.month, civil.day), Some(days));
        }
    }

    #[test]
    fn datetime_rounds_to_three_hundredths() {
        let at = |ticks| Moment { days: DAYS_TO_1900, ticks };
        // .001 s is nearest to 0, .002 s to 1/300, .999 s to the next second.
        assert_eq!(at(10_000).to_datetime(), Some((0, 0)));
        assert_eq!(at(20_000).to_datetime(), Some((0, 1)));
        assert_eq!(at(9_990_000).to_datetime(), Some((0, 300)));
        assert_eq!(at(TICKS_PER_DAY - 1).to_datetime(), Some((1, 0)));
        assert_eq!(Moment::from_datetime(0, 1).ticks, 33_333);
    }
}
