//! Days of the proleptic Gregorian calendar, as RFC 3339 and RFC 5280 count them.
//!
//! Years begin in March here, so that the leap day comes last: 153 days are five months, and 146
//! 097 days are 400 years.

/// Days from 1970-01-01 to the first of March of the year 0.
const EPOCH: i64 = 719_468;
/// Days of 400 years.
const ERA: i64 = 146_097;

/// Days since 1970-01-01 of a date; months and days count from 1.
pub fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month < 3 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - EPOCH
}

/// Year, month and day of so many days since 1970-01-01.
pub fn date(days_since_1970: i64) -> (i64, i64, i64) {
    let days = days_since_1970 + EPOCH;
    let (era, day_of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    // Less the leap days that have been: one in 4 years, none in 100, one in 400.
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / (ERA - 1)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month < 3);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_days_have_their_dates() {
        for (days, parts) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_785, (2026, 11, 28)),
            (-25_509, (1900, 2, 28)),
            (-25_508, (1900, 3, 1)),
        ] {
            assert_eq!(date(days), parts);
            assert_eq!(days_since_1970(parts.0, parts.1, parts.2), days);
        }
    }

    #[test]
    fn each_day_of_800_years_comes_back() {
        for days in -ERA..ERA {
            let (year, month, day) = date(days);
            assert_eq!(days_since_1970(year, month, day), days);
            assert!((1..=12).contains(&month) && (1..=31).contains(&day));
        }
    }
}
