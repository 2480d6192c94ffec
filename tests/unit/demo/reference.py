"""Annual means in plain NumPy, loop by loop, from the files themselves."""

import calendar as calendars
from pathlib import Path

import netCDF4
import numpy as np

DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def days_of(calendar: str, year: int, month: int) -> int:
    """Return the days of a month (1 to 12)."""
    if calendar == "360_day":
        return 30
    leap = {
        "noleap": False,
        "365_day": False,
        "julian": year % 4 == 0,
        # of the years we have, 1900 and later are Gregorian everywhere
        "standard": calendars.isleap(year),
        "gregorian": calendars.isleap(year),
        "proleptic_gregorian": calendars.isleap(year),
    }[calendar]
    return 29 if month == 2 and leap else DAYS[month - 1]


def annual_means(paths: list[Path]) -> dict[int, float]:
    """Return the annual means of one model at 925 hPa in K, by year."""
    months: dict[tuple[int, int], float] = {}
    calendar = ""
    for path in paths:
        with netCDF4.Dataset(path) as file:
            file.set_auto_mask(False)
            calendar = file["time"].calendar
            dates = netCDF4.num2date(file["time"][:], file["time"].units, calendar)
            level = int(np.argmin(np.abs(file["plev"][:] - 92500.0)))
            weights = np.cos(np.radians(file["lat"][:].astype(float)))[:, None]
            weights = np.broadcast_to(weights, file["ta"].shape[2:])
            for date, field in zip(dates, file["ta"][:, level].astype(float), strict=True):
                months[date.year, date.month] = (field * weights).sum() / weights.sum()
    means = {}
    for year in sorted({year for year, _ in months}):
        if all((year, month) in months for month in range(1, 13)):
            days = [days_of(calendar, year, month) for month in range(1, 13)]
            values = [months[year, month] for month in range(1, 13)]
            means[year] = sum(d * v for d, v in zip(days, values, strict=True)) / sum(days)
    return means
