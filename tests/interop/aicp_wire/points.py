"""Points of edwards25519 in Python integers, for the checks that the usual libraries leave out (section 5)."""

from __future__ import annotations

from .refusal import Refused, require

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)

# extended coordinates: x = X/Z, y = Y/Z, x*y = T/Z
Point = tuple[int, int, int, int]
IDENTITY: Point = (0, 1, 1, 0)


def add(a: Point, b: Point) -> Point:
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    aa = (y1 - x1) * (y2 - x2) % P
    bb = (y1 + x1) * (y2 + x2) % P
    cc = 2 * t1 * t2 * D % P
    dd = 2 * z1 * z2 % P
    e, f, g, h = bb - aa, dd - cc, dd + cc, bb + aa
    return e * f % P, g * h % P, f * g % P, e * h % P


def negate(a: Point) -> Point:
    x, y, z, t = a
    return -x % P, y, z, -t % P


def multiply(scalar: int, a: Point) -> Point:
    """`scalar` times the point; the scalar is not reduced."""
    result = IDENTITY
    while scalar > 0:
        if scalar & 1:
            result = add(result, a)
        a = add(a, a)
        scalar >>= 1
    return result


def equal(a: Point, b: Point) -> bool:
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def encode(a: Point) -> bytes:
    inverse = pow(a[2], P - 2, P)
    x, y = a[0] * inverse % P, a[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """The point, if `data` is its canonical encoding; None otherwise."""
    if len(data) != 32:
        return None
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P != 0:
        x = x * SQRT_MINUS_ONE % P
        if (v * x * x - u) % P != 0:
            return None
    if x == 0 and sign == 1:
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def is_small_order(a: Point) -> bool:
    return equal(multiply(8, a), IDENTITY)


def is_torsion_free(a: Point) -> bool:
    return equal(multiply(L, a), IDENTITY)


def _base() -> Point:
    point = decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    assert point is not None
    return point


BASE = _base()


def admit(public: bytes) -> Point:
    """The point of an admitted public key; refuses with `key`."""
    point = decode(public)
    if point is None:
        raise Refused("key", "not a canonical point")
    require(not is_small_order(point), "key", "small order")
    require(is_torsion_free(point), "key", "has a torsion part")
    return point


def small_order_points() -> list[Point]:
    """The eight points of small order, found by clearing the prime part of arbitrary points."""
    y = 2
    while True:
        point = decode(y.to_bytes(32, "little"))
        y += 1
        if point is None:
            continue
        torsion = multiply(L, point)
        if not equal(multiply(4, torsion), IDENTITY):
            return [multiply(n, torsion) for n in range(8)]
