#!/usr/bin/env python3
"""Writes the golden vectors xxh3.json, split.json, hashed.json and schedule.json beside this file.

Run by hand, never by a test: a vector that follows the code proves nothing. It shares no line with the engine: XXH3 comes
from the reference C library (`pip install xxhash`), SHA-256 from hashlib, the arithmetic from Python's whole numbers, which
neither round nor overflow. The output is the same on every run.

    python3 tests/vectors/make.py
    node tests/vectors/check-xxh3.mjs      # the same hashes from a second implementation
"""

import hashlib
import json
import pathlib
import random
import struct
import uuid

import xxhash

HERE = pathlib.Path(__file__).parent
RAMP, SPLIT, LAYER, HOLDOUT = range(4)
DAY = 86_400_000
MAX_SAFE = 2**53 - 1


def write(name, cases):
    """One case a line, ASCII only, so that a diff is readable and no editor changes a key."""
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / name).write_text(f"[\n{lines}\n]\n", encoding="ascii")
    print(f"{name}: {len(cases)} cases")


# --- xxh3.json ---------------------------------------------------------------------------------------------------------

def xxh3_case(salt, use, key):
    data = salt.encode() + bytes([use]) + key.encode()
    value = xxhash.xxh3_64_intdigest(data)
    position = ((value >> 32) * 100_000) >> 32
    return {"salt": salt, "use": use, "key": key, "hash": f"0x{value:016x}", "position": position}


# A salt is never empty, so the hash never sees fewer than two bytes.
SALTS = ["s", "use_new_gateway-1", "checkout-1", "salt with spaces", "día-1", "thử-nghiệm", "実験-1", "🎲", "x" * 240]

KEYS = [
    "", "a", "0", " ", "user1", "user-42", "internal-user-1", "User-42", "USER-42",
    "a@example.com", "tenant/7/user/9", "line\nbreak", "\t", "quote\"", "back\\slash",
    # the same word composed and decomposed: two keys, for nothing is normalized
    "café", "cafe\u0301", "é", "e\u0301", "ngày", "nga\u0300y", "Å", "\u212b", "A\u030a", "ﬁ", "fi",
    "ngày", "Straße", "STRASSE", "İ", "i\u0307", "пользователь", "ユーザー", "用户", "مستخدم", "משתמש",
    # astral, joined and with selectors
    "😀", "𝒳", "𠜎", "👩\u200d👩\u200d👧", "🏳\ufe0f\u200d🌈", "user-😀", "\U0010ffff", "\uffff", "\ufffd", "\ufeffbom",
    # zero bytes, which end nothing
    "\x00", "a\x00", "\x00a", "a\x00b", "user-42\x00", "\x00\x00",
    # keys that begin like a `use` byte
    "\x01", "\x02", "\x03", "\x7f", "\x80", "\x1f",
]

NUMBERS = [0, 1, -1, 2, 9, 10, 42, -42, 99, 100, 255, 256, 1000, 65535, 65536, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32,
           10**15, 10**15 + 1, -(10**15), 2**53 - 2, MAX_SAFE, -MAX_SAFE]

# The keys whose positions lie on the edges of the range and of common percents: `below 25 %` is decided between two of them.
EDGES = [0, 1, 999, 1_000, 4_999, 5_000, 9_999, 10_000, 24_999, 25_000, 49_999, 50_000, 74_999, 75_000, 99_998, 99_999]


def xxh3():
    rng = random.Random(1)
    cases = []

    def add(salt, use, key):
        cases.append(xxh3_case(salt, use, key))

    for key in KEYS:
        for use in range(4):
            add("use_new_gateway-1", use, key)
    for salt in SALTS:
        for key in ["", "user-42", "ngày", "😀", "a\x00b", str(uuid.UUID(int=rng.getrandbits(128), version=4))]:
            for use in range(4):
                add(salt, use, key)
    # Every length of input from 2 to 300 bytes, through the branches 1-3, 4-8, 9-16, 17-128, 129-240 and 241 up.
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789-_"
    for total in range(2, 301):
        add("s", total % 4, "".join(rng.choice(alphabet) for _ in range(total - 2)))
    # Long input is read in stripes of 64 and blocks of 1,024 bytes.
    for total in [320, 383, 384, 385, 511, 512, 513, 1023, 1024, 1025, 1087, 1088, 1089, 2047, 2048, 2049, 3072, 3073, 4096, 4097, 5002]:
        add("s", total % 4, "".join(rng.choice(alphabet) for _ in range(total - 2)))
    add("día-1", RAMP, "ngày-😀-" * 625)
    for number in NUMBERS:
        for use in (RAMP, SPLIT):
            add("by-number", use, str(number))
    for index in range(250):
        add("sequential", index % 4, f"user-{index}")
    for index in range(200):
        version = 4 if index % 2 else 1
        key = str(uuid.UUID(int=rng.getrandbits(128), version=version))
        add("uuid-ids", index % 4, key if index % 3 else key.upper())
    for position in EDGES:
        number = 0
        while xxh3_case("edges", RAMP, f"user-{number}")["position"] != position:
            number += 1
        add("edges", RAMP, f"user-{number}")

    unique = list({(c["salt"], c["use"], c["key"]): c for c in cases}.values())
    assert len(unique) >= 1_200, len(unique)
    write("xxh3.json", unique)


# --- split.json --------------------------------------------------------------------------------------------------------

def split():
    rng = random.Random(2)
    weights = [
        [1], [100], [1, 1], [50, 50], [1, 1, 1], [33, 33, 34], [33333, 33333, 33334], [1, 2], [2, 1], [90, 10], [99999, 1],
        [1, 99999], [1, 99_999_999], [99_999_999, 1], [0, 1], [1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 7, 0], [1, 1, 1, 1, 1, 1, 1],
        [1] * 11, [1] * 97, [1] * 100, [1] * 1000, [1] * 4096, [7, 11, 13], [3, 5, 7, 11, 13, 17], [1_000_000_000] * 3,
        [1_000_000_000, 1], [1, 1_000_000_000], [999_999_937, 999_999_929, 999_999_893], [25, 25, 25, 25], [70, 20, 10],
    ]
    weights += [[rng.randrange(0, 10 ** rng.randrange(1, 10)) for _ in range(rng.randrange(1, 9))] + [1] for _ in range(100)]
    cases = []
    for row in weights:
        total, cumulative, bounds = sum(row), 0, []
        for weight in row:
            cumulative += weight
            bounds.append(cumulative * 100_000 // total)
        assert bounds[-1] == 100_000
        cases.append({"weights": row, "bounds": bounds})
    write("split.json", cases)


# --- hashed.json -------------------------------------------------------------------------------------------------------

def hashed():
    def encode(tag, value):
        if tag in "ks":
            return value.encode()
        if tag == "n":
            return struct.pack(">d", value + 0.0)  # -0.0 + 0.0 is 0.0
        return bytes([value])

    values = [("k", key) for key in KEYS + [str(n) for n in NUMBERS]] + [("s", key) for key in KEYS + ["1"]]
    values += [("n", float(n)) for n in NUMBERS]
    values += [("n", n) for n in [-0.0, 0.1, 0.2, 0.1 + 0.2, 1.5, -1.5, 1 / 3, 1e21, 1e-7, 1e308, 1.7976931348623157e308,
                                  2.2250738585072014e-308, 5e-324, -5e-324, 9007199254740993.0, 1e22, 1e23, 123456789.123456789]]
    values += [("b", True), ("b", False)]
    places = [("9f86d081884c7d65", "flag:use_new_gateway"), ("9f86d081884c7d65", "segment:internal"), ("0", "flag:a"),
              ("thử", "flag:ngày"), ("🎲", "segment:😀")]
    cases = []
    for index, (tag, value) in enumerate(values):
        for salt, owner in (places if index % 8 == 0 or value in ("1", 1) else [places[index % len(places)]]):
            message = salt.encode() + b"\0" + owner.encode() + b"\0" + tag.encode() + encode(tag, value)
            case = {"hashSalt": salt, "owner": owner, "tag": tag, "value": value,
                    "hash": hashlib.sha256(message).digest()[:8].hex()}
            if tag == "n":
                # For readers whose JSON parser does not round to the nearest double.
                case["bits"] = "0x" + struct.pack(">d", value).hex()
            cases.append(case)
    # The key "1", the string "1", the number 1 and true are four different things.
    ones = {c["hash"] for c in cases if c["value"] in ("1", 1) and (c["hashSalt"], c["owner"]) == places[0]}
    assert len(ones) == 4, ones
    write("hashed.json", cases)


# --- schedule.json -----------------------------------------------------------------------------------------------------

def percent_at(before, points, linear, instant):
    held = before
    for index, (at, percent) in enumerate(points):
        if instant < at:
            break
        held = percent
        if linear and index + 1 < len(points):
            next_at, next_percent = points[index + 1]
            if instant < next_at:
                # `//` floors toward minus infinity, so a falling line is floored and not cut toward zero.
                return percent + (next_percent - percent) * (instant - at) // (next_at - at)
    return held


def schedule():
    rng = random.Random(3)
    start = 1_736_496_000_000  # 2025-01-10T08:00:00Z
    first, last = -62_167_219_200_000, 253_402_300_799_999  # the years 0000 to 9999
    lines = [
        (0, [[start, 10_000], [start + DAY, 25_000], [start + 7 * DAY, 50_000], [start + 14 * DAY, 100_000]]),  # rising
        (100_000, [[start, 75_000], [start + DAY, 33_333], [start + 2 * DAY, 0]]),  # falling
        (0, [[start, 0], [start + 3, 1]]),
        (1, [[start, 1], [start + 3, 0]]),
        (0, [[start, 0], [start + 7, 100_000]]),
        (0, [[start, 100_000], [start + 7, 0]]),
        (0, [[start, 20_000], [start + DAY, 20_000], [start + 2 * DAY, 60_000]]),
        (5_000, [[start, 10_000], [start + 1, 90_000], [start + 2, 1_000], [start + 3, 100_000]]),
        (50_000, [[start, 100_000]]),
        (0, [[0, 0], [DAY, 100_000]]),
        (0, [[-DAY, 10_000], [0, 20_000], [DAY, 90_001]]),
        (0, [[first, 0], [last, 100_000]]),  # the product needs more than 64 bits
        (100_000, [[first, 100_000], [last, 0]]),
        (0, [[first, 1], [0, 99_999], [last, 2]]),
        (12_345, [[start, 12_345], [start + 365 * DAY, 99_999], [start + 366 * DAY, 1]]),
    ]
    for _ in range(15):
        at, points = rng.randrange(-10**12, 2 * 10**12), []
        for _ in range(rng.randrange(1, 7)):
            points.append([at, rng.randrange(0, 100_001)])
            at += rng.randrange(1, 10 ** rng.randrange(1, 12))
        lines.append((rng.randrange(0, 100_001), points))

    cases = []
    for before, points in lines:
        instants = {0, -1, first, last, points[0][0] - DAY, points[-1][0] + DAY}
        for at, _ in points:
            instants |= {at - 1, at, at + 1}
        for (at, _), (to, _) in zip(points, points[1:]):
            instants |= {at + (to - at) * k // 7 for k in range(1, 7)} | {rng.randrange(at, to) for _ in range(3)}
        for linear in (False, True):
            case = {"before": before, "points": points}
            if linear:
                case["linear"] = True
            case["at"] = [[i, percent_at(before, points, linear, i)] for i in sorted(instants)]
            cases.append(case)
    write("schedule.json", cases)


if __name__ == "__main__":
    xxh3()
    split()
    hashed()
    schedule()
