"""Many and large uploads at once: side by side, in parts, in little memory.

A part of the promised size, to be quick: `python -m benchmarks many_uploads` runs all of it.
"""

from __future__ import annotations

import sys

import pytest

from benchmarks.many_uploads import MIB, measure, measure_parts
from tests.product import Product, peak_memory_of

pytestmark = [
    pytest.mark.xdist_group("product"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    pytest.mark.slow,
]

AT_ONCE = 100
EACH = 20 * MIB
PARTS = 8


def test_half_a_gibibyte_in_parts_side_by_side(product: Product, key: str) -> None:
    before = {pid: peak_memory_of(pid) for pid in product.children()}
    outcome = measure_parts(product, key, parts=PARTS)
    growth = {pid: peak_memory_of(pid) - peak for pid, peak in before.items()}
    print(f"{outcome.seconds:.1f} s; growth of peak memory by process, MiB:")
    print([round(size / MIB, 1) for size in growth.values()])
    assert max(growth.values()) < 32 * MIB


def test_a_hundred_uploads_at_once(product: Product, key: str) -> None:
    outcome = measure(product, key, files=AT_ONCE, size=EACH)
    print(f"{outcome.seconds:.1f} s\n{outcome.table()}")
    assert outcome.total < 600 * MIB
