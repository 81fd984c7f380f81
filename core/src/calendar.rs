//! Days of the Gregorian calendar as numbers, and back.
//!
//! Years are counted from March, so that the leap day is the last of its year: then the months' lengths repeat in a
//! pattern of five (31, 30, 31, 30, 31: 153 days), and neither direction needs a table. Four hundred years are always
//! 146,097 days. The calendar is extended before its introduction as it is after it, as databases and ISO 8601 do.

/// Days from the first of March of the year 0 to 1970-01-01.
const EPOCH_FROM_MARCH_0: i64 = 719_468;
const DAYS_IN_400_YEARS: i64 = 146_097;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// The year; 0 is the year before the year 1.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Date {
    /// The day this many days after 1970-01-01, before it if negative.
    pub fn from_days_since_1970(days: i64) -> Self {
        let days = days.saturating_add(EPOCH_FROM_MARCH_0);
        let (era, day_of_era) = (days.div_euclid(DAYS_IN_400_YEARS), days.rem_euclid(DAYS_IN_400_YEARS));
        // A day of the era less the leap days before it (each fourth year's, less each hundredth's, and the era's own
        // on its last day) is a day of years that all have 365.
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self { year: era * 400 + year_of_era + i64::from(month <= 2), month: month as u8, day: day as u8 }
    }

    /// How many days after 1970-01-01 it is, negative if before. A day beyond its month's end counts on into the next
    /// month: 2023-02-30 is 2023-03-02.
    pub fn days_since_1970(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = if month <= 2 { self.year - 1 } else { self.year };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let month_from_march = (month + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * DAYS_IN_400_YEARS + day_of_era - EPOCH_FROM_MARCH_0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(year: i64, month: u8, day: u8) -> Date {
        Date { year, month, day }
    }

    fn is_leap(year: i64) -> bool {
        year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
    }

    #[test]
    fn days_go_through_the_calendar_one_by_one() {
        let lengths = |year| [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let mut days = date(-401, 1, 1).days_since_1970();
        for year in -401..=10_000_i64 {
            for (month, length) in (1_u8..).zip(lengths(year)) {
                for day in 1..=length {
                    assert_eq!(Date::from_days_since_1970(days), date(year, month, day));
                    assert_eq!(date(year, month, day).days_since_1970(), days);
                    days += 1;
                }
            }
        }
    }

    #[test]
    fn known_days_have_their_numbers() {
        for (day, days) in [
            (date(1970, 1, 1), 0),
            (date(1969, 12, 31), -1),
            (date(2000, 2, 29), 11_016),
            (date(1, 1, 1), -719_162),
            (date(9999, 12, 31), 2_932_896),
        ] {
            assert_eq!(day.days_since_1970(), days);
        }
        assert_eq!(date(2023, 2, 30).days_since_1970(), date(2023, 3, 2).days_since_1970());
    }
}
