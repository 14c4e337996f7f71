//! Days of the Gregorian calendar as numbers.

/// Days from 1970-01-01 to a date; `month` from 1 to 12, `day` from 1 on.
pub(super) fn day_number(year: i64, month: i64, day: i64) -> i64 {
    // Years are counted from March, so that the leap day ends one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Months from year 0 to the month of the day: `year * 12 + month - 1`.
pub(super) fn month_of(day: i64) -> i64 {
    let (era, of_era) = ((day + 719_468).div_euclid(146_097), (day + 719_468).rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on; January and February belong to the next year.
    let from_march = (5 * of_year + 2) / 153;
    (era * 400 + year_of_era) * 12 + from_march + 2
}

/// The number of the first day of a month, which is counted from year 0.
pub(super) fn first_day(month: i64) -> i64 {
    day_number(month.div_euclid(12), month.rem_euclid(12) + 1, 1)
}

/// How many days a month has; `month` from 1 to 12, else 0.
pub(super) fn days_in_month(year: i64, month: i64) -> u8 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// The day of the week of a day, 1 for Sunday to 7 for Saturday.
pub(super) fn weekday(day: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    (day + 4).rem_euclid(7) + 1
}
