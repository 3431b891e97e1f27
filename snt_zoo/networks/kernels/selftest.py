"""Run by a child process, with the path of a library: whether its kernels can be loaded and compute.

A library that is cut short, or for another processor, ends the process that loads it by a signal. So it is
tried where that ends nothing else. Only the standard library is imported: a child starts in milliseconds.
"""

from __future__ import annotations

import ctypes
import sys


def main(path: str) -> None:
    """End with an error unless a pool and a block give what they must."""
    library = ctypes.CDLL(path)
    geometry = (ctypes.c_int64 * 5)(1, 1, 2, 1, 1)  # one image of two pixels and one channel
    for suffix, number in (("f32", ctypes.c_float), ("f64", ctypes.c_double)):
        x = (number * 2)(1.0, 3.0)
        highest, average, which = (number * 2)(), (number * 2)(), (number * 2)()
        getattr(library, f"pool_forward_{suffix}")(
            geometry, x, ctypes.c_int64(1), highest, average, which, ctypes.c_void_p(None)
        )
        depthwise, pointwise, out = (number * 9)(*[1.0] * 9), (number * 1)(2.0), (number * 2)()
        places = [ctypes.addressof(part) for part in (depthwise, pointwise, out)]
        block = (ctypes.c_int64 * 10)(3, 1, ctypes.addressof(x), 1, 0, 0, *places, 0)
        getattr(library, f"blocks_forward_{suffix}")(geometry, ctypes.c_int64(1), block)
        found = [*highest, *average, *out]
        if found != [3.0, 3.0, 2.0, 2.0, 8.0, 8.0]:
            raise SystemExit(f"the kernels compute {found}")


if __name__ == "__main__":
    main(sys.argv[1])
