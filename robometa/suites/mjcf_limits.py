"""Limits on the numbers in a robot model: sizes, counts and iterations. Standard library only."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

COUNTS: dict[str, dict[str, int]] = {
    "replicate": {"count": 1000},
    "composite": {"count": 1000},
    "flexcomp": {"count": 4096, "cellcount": 1000},
    "texture": {"width height": 1 << 24, "gridsize": 12, "nchannel": 4},
    "hfield": {"nrow ncol": 1 << 22},
    "camera": {"resolution": 1 << 24},
    "numeric": {"size": 100_000},
    "user": {"dim": 10_000},
    "option": {
        "iterations": 1000,
        "ls_iterations": 1000,
        "iterations ls_iterations": 100_000,
        "noslip_iterations": 1000,
        "ccd_iterations": 1000,
        "sdf_iterations": 1000,
        "sdf_initpoints": 1000,
        "sdf_iterations sdf_initpoints": 100_000,
    },
    "lengthrange": {"inttotal": 100_000},
    "global": {"offwidth": 1 << 14, "offheight": 1 << 14},
    "quality": {"shadowsize": 1 << 14, "offsamples": 64, "numslices": 256, "numstacks": 256, "numquads": 256},
    "size": {
        "nuserdata": 1_000_000,
        "nkey": 10_000,
        "njmax": 1_000_000,
        "nconmax": 1_000_000,
        "nstack": 100_000_000,
        "nuser_body": 1000,
        "nuser_jnt": 1000,
        "nuser_geom": 1000,
        "nuser_site": 1000,
        "nuser_cam": 1000,
        "nuser_tendon": 1000,
        "nuser_actuator": 1000,
        "nuser_sensor": 1000,
    },
}
"""Limits by element and attribute; of several attributes, or of a list of numbers, on the product."""
EVERYWHERE: dict[str, int] = {"actdim": 1000, "nsample": 10_000, "num": 1000, "subgrid": 10, "activelayers": 1000}
"""Limits on attributes of any element."""
EACH: dict[str, dict[str, int]] = {
    "pin": dict.fromkeys(("id", "range", "grid", "gridrange"), 1_000_000),
    "mesh": {"params": 1000},
}
"""Limits on each number of a list."""
LEAST_STEP, MAX_STEP = 1e-6, 1.0
"""Limits of `timestep`, s: a motion would take for ever by shorter ones, and blow up by longer ones."""
COPYING = ("replicate", "composite", "flexcomp")
"""Elements that create several others."""
MAX_MEMORY = 1 << 30
"""Limit on the memory of a simulation's state that a file may ask for, bytes."""
SUFFIXES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50, "e": 1 << 60}
MEMORY = re.compile(r"\+?(\d{1,30})([kmgtpe]?)", re.IGNORECASE)
NUMBER = re.compile(r"([+-]?)(\d{1,400}(?:\.\d{0,400})?(?:e[+-]?\d{1,9})?)", re.ASCII | re.IGNORECASE)
INFINITE = re.compile(r"(?:^|\s)([+-]?(?:nan|inf|infinity))(?=\s|$|\()", re.ASCII | re.IGNORECASE)
LARGE = re.compile(r"(?:^|\s)([+-]?[\d.]+e\+?\d{3,}|[+-]?[\d.]{309,}(?:e\S*)?)(?=\s|$)", re.ASCII | re.IGNORECASE)
TEXTS = frozenset(
    [
        "name",
        "class",
        "childclass",
        "model",
        "prefix",
        "key",
        "value",
        "plugin",
        "instance",
        "content_type",
        "joint",
        "joint1",
        "joint2",
        "jointinparent",
        "body",
        "body1",
        "body2",
        "site",
        "site1",
        "site2",
        "cranksite",
        "slidersite",
        "sidesite",
        "refsite",
        "geom",
        "geom1",
        "geom2",
        "mesh",
        "hfield",
        "material",
        "texture",
        "tendon",
        "tendon1",
        "tendon2",
        "actuator",
        "sensor",
        "camera",
        "flex",
        "target",
        "objname",
        "refname",
        "node",
        "file",
        "filename",
        "link",
        "parent",
        "child",
    ]
)
"""Attributes that may hold a name, even `nan`."""
COLOURS = ("rgba", "scale")
"""Elements whose attributes hold numbers under names that elsewhere hold text."""
LONGEST_NUMBER = 2000
"""Limit on the characters of a number."""


def faults(tag: str, attributes: Mapping[str, str]) -> Iterator[str]:
    """Describes each number of an element that is beyond its limit or not finite.

    Yields:
        A sentence with the attribute, the value and the limit; a vertical bar is where the file's name belongs.
    """
    for name, text in attributes.items():
        named = tag not in COLOURS and (name in TEXTS or (tag, name) == ("text", "data"))
        if not named and (odd := infinite(text)):
            yield f"<{tag} {name}={odd!r}>| is not finite"
    for names, most in (*COUNTS.get(tag, {}).items(), *EVERYWHERE.items()):
        limited = {name: attributes[name] for name in names.split() if name in attributes}
        if limited and product(" ".join(limited.values())) > most:
            shown = " ".join(f"{name}={text[:60]!r}" for name, text in limited.items())
            yield f"<{tag} {shown}>| is too much: at most {most} allowed"
    if "timestep" in attributes and not LEAST_STEP <= _size(attributes["timestep"]) <= MAX_STEP:
        yield f"<{tag} timestep={attributes['timestep'][:60]!r}>| must be from {LEAST_STEP:g} to {MAX_STEP:g} s"
    if tag == "size" and "memory" in attributes and not _memory_allowed(attributes["memory"]):
        yield f"<size memory={attributes['memory'][:60]!r}>| is too much: at most {MAX_MEMORY >> 30}G allowed"
    for name, most in EACH.get(tag, {}).items():
        if any(whole(number) > most for number in attributes.get(name, "").split()):
            yield f"<{tag} {name}={attributes[name][:60]!r}>| is too much: at most {most} allowed"


def infinite(text: str) -> str:
    """The first number of an attribute that is not finite, or an empty string."""
    odd = INFINITE.search(text)
    if odd is not None:
        return odd[1]
    return next((number[1][:60] for number in LARGE.finditer(text) if _overflows(number[1])), "")


def _size(text: str) -> float:
    """The size of a number; infinite for other text, of which MuJoCo reports the fault."""
    try:
        return abs(float(text))
    except ValueError:
        return math.inf


def _overflows(number: str) -> bool:
    try:
        return len(number) > LONGEST_NUMBER or math.isinf(float(number))
    except ValueError:
        return False


def copies(tag: str, attributes: Mapping[str, str]) -> float:
    """Number of elements that an element creates of each within it."""
    return max(1, product(attributes.get("count", "1"))) if tag in COPYING else 1


def product(text: str) -> float:
    """The product of a list of counts."""
    return math.prod(whole(number) for number in text.split())


def whole(text: str) -> float:
    """Parses a count, rounded up; 1 if it is negative, because MuJoCo reports that fault.

    MuJoCo's versions differ in the forms that they read, so any form of a number counts. Other text is infinite.
    """
    number = NUMBER.fullmatch(text)
    if number is None:
        return math.inf
    value = float(number[2])
    return 1 if number[1] == "-" else value if math.isinf(value) else math.ceil(value)


def _memory_allowed(text: str) -> bool:
    if text.strip() == "-1":
        return True
    number = MEMORY.fullmatch(text.strip())
    return number is not None and int(number[1]) * SUFFIXES[number[2].lower()] <= MAX_MEMORY
