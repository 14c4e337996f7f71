#!/usr/bin/env python3
"""Reads schedule tokens and computes their runs, sharing nothing with the Rust code.

Each line of the input is `TOKEN ZONE AFTER COUNT`, AFTER in seconds since 1970; each line of the
output has up to COUNT runs later than AFTER, in seconds since 1970, or `-` for none.
It walks: day by day to the days that fit, minute by minute to the moment a clock shows a time.
"""
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1)


def fields(text):
    a, b = int(text[:8], 16), int(text[8:], 16)
    cut = lambda word, low, width: (word >> low) & ((1 << width) - 1)
    token = dict(
        start=datetime(1970 + cut(a, 6, 6), cut(a, 12, 4), cut(a, 16, 5), cut(a, 21, 5), cut(a, 26, 6)),
        kind=cut(b, 19, 3),
        utc=b & 1 == 1,
    )
    if token['kind'] == 2:
        token['step'] = timedelta(minutes=cut(b, 13, 6), hours=cut(b, 8, 5), days=cut(b, 3, 5))
    if token['kind'] == 3:
        token.update(weekday=cut(b, 16, 3), nth=cut(b, 13, 3))
    if token['kind'] == 4:
        token.update(weekday=cut(b, 16, 3), nth=cut(b, 12, 4), order=cut(b, 9, 3))
    if token['kind'] == 5:
        token.update(date=cut(b, 14, 5), nth=cut(b, 10, 4))
    return token


def fits(token, day):
    """Whether a day is one that the token names: one a week, or one a month."""
    if token['kind'] == 5:
        is_last = (day + timedelta(days=1)).month != day.month
        return day.day == token['date'] or (is_last and (token['date'] == 0 or token['date'] > day.day))
    if day.isoweekday() % 7 + 1 != token['weekday']:
        return False
    if token['kind'] == 3:
        return True
    if token['order'] == 0:
        return (day + timedelta(days=7)).month != day.month
    return (day.day - 1) // 7 + 1 == token['order']


def occurrences(token):
    """What the clock shows at each run, in order, for ever."""
    time = token['start']
    if token['kind'] == 1:
        yield time
        return
    if token['kind'] == 2:
        while True:
            yield time
            time += token['step']
    found = 0
    while True:
        if fits(token, time):
            if found % token['nth'] == 0:
                yield time
            found += 1
        time += timedelta(days=1)


def moment(clock, zone):
    """The first second at which the clock of the zone shows that time or a later one."""
    seconds = int((clock - EPOCH).total_seconds())
    if zone is None:
        return seconds
    at = seconds - 15 * 3600
    while datetime.fromtimestamp(at, zone).replace(tzinfo=None) < clock:
        at += 60
    return at


def runs(text, zone, after, count):
    token = fields(text)
    zone = None if token['utc'] else ZoneInfo(zone)
    about = EPOCH + timedelta(seconds=after)
    found = []
    for clock in occurrences(token):
        if clock < about - timedelta(days=2):
            continue
        at = moment(clock, zone)
        if at > after and at not in found:
            found.append(at)
        if len(found) == count:
            break
    return found


for line in sys.stdin:
    text, zone, after, count = line.split()
    print(*runs(text, zone, int(after), int(count)) or '-')
