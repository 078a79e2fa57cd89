"""The published formulas of all encodings, a point at a time with `math`, and small settings to test with."""

import decimal
import math

SETTINGS = {
    "direct": {},
    "tile": {"cell": 7.0, "features": 5},
    "wrap": {},
    "xyz": {},
    "nerf": {"scales": 5},
    "rbf": {"anchors": 9, "sigma": 30.0},
    "rff": {"features": 7, "variance": 4.0},
    "grid": {"scales": 6, "r_min": 0.01, "r_max": 360.0},
    "theory": {"scales": 6, "r_min": 0.01, "r_max": 360.0},
    "sphereC": {"scales": 5, "r_min": 0.01, "r_max": 1.0},
    "sphereC+": {"scales": 5, "r_min": 0.01, "r_max": 1.0},
    "sphereM": {"scales": 5, "r_min": 0.01, "r_max": 1.0},
    "sphereM+": {"scales": 5, "r_min": 0.01, "r_max": 1.0},
    "dfs": {"scales": 4, "r_min": 0.01, "r_max": 1.0},
    "spherical_harmonics": {"degree": 5},
    "equal_earth_rff": {"features": 6, "sigmas": [1.0, 4.0, 16.0]},
}
SPHERE2VEC = ("sphereC", "sphereC+", "sphereM", "sphereM+", "dfs")
DRAWN = {
    "tile": {"table": (52 * 26, 5)},
    "rbf": {"anchor": (9, 2)},
    "rff": {"frequency": (2, 7), "shift": (7,)},
    "equal_earth_rff": {"frequency": (3, 6, 2)},
}
"""What random encodings keep in their state dict; 52 = ceil(360 / 7), 26 = ceil(180 / 7)."""


def scales_of(scales, r_min, r_max):
    return [r_min * (r_max / r_min) ** (k / (scales - 1) if scales > 1 else 0) for k in range(scales)]


def direct(lon, lat):
    return [lon / 180, lat / 90]


def tile(lon, lat, cell, features, state):
    columns, rows = math.ceil(360 / cell), math.ceil(180 / cell)
    column = math.floor((lon + 180) % 360 / cell)
    row = min(math.floor((lat + 90) / cell), rows - 1)
    return state["table"][row * columns + column]


def wrap(lon, lat):
    x, y = lon / 180, lat / 90
    return [math.sin(math.pi * x), math.sin(math.pi * y), math.cos(math.pi * x), math.cos(math.pi * y)]


def xyz(lon, lat):
    lam, phi = math.radians(lon), math.radians(lat)
    return [math.cos(phi) * math.cos(lam), math.cos(phi) * math.sin(lam), math.sin(phi)]


def nerf(lon, lat, scales):
    """Sines of x at all scales, of y, of z; then the cosines."""
    return [f(2**k * math.pi * c) for f in (math.sin, math.cos) for c in xyz(lon, lat) for k in range(scales)]


def rbf(lon, lat, anchors, sigma, state):
    return [math.exp(-((lon - x) ** 2 + (lat - y) ** 2) / (2 * sigma**2)) for x, y in state["anchor"]]


def rff(lon, lat, features, variance, state):
    (w_lon, w_lat), shift = state["frequency"], state["shift"]
    return [math.sqrt(2 / features) * math.cos(lon / 180 * w_lon[k] + lat / 90 * w_lat[k] + shift[k]) for k in range(features)]


def grid(lon, lat, scales, r_min, r_max):
    """Space2Vec: for each coordinate, for each scale, sine then cosine of c / r_k, r_k geometric from r_min to r_max."""
    return [f(c / r) for c in (lon, lat) for r in scales_of(scales, r_min, r_max) for f in (math.sin, math.cos)]


def theory(lon, lat, scales, r_min, r_max):
    """For each scale, for each unit vector at 0, 120, 240 degrees: sine then cosine of <x, u_j> / r_k."""
    directions = [(1.0, 0.0), (-0.5, math.sqrt(3) / 2), (-0.5, -math.sqrt(3) / 2)]
    return [
        f((lon * x + lat * y) / r) for r in scales_of(scales, r_min, r_max) for x, y in directions for f in (math.sin, math.cos)
    ]


def sphere2vec(name, lon, lat, scales, r_min, r_max):
    lam, phi = math.radians(lon), math.radians(lat)
    sin, cos, out = math.sin, math.cos, []
    for r in scales_of(scales, r_min, r_max):
        lf, pf = lam / r, phi / r
        separate = [sin(pf), cos(pf), sin(lf), cos(lf)]
        if name == "sphereC":
            out += [sin(pf), cos(pf) * cos(lf), cos(pf) * sin(lf)]
        elif name == "sphereC+":
            out += [*separate, cos(pf) * cos(lf), cos(pf) * sin(lf)]
        else:
            mixed = [cos(pf) * cos(lam), cos(phi) * cos(lf), cos(pf) * sin(lam), cos(phi) * sin(lf)]
            out += [sin(pf), *mixed] if name == "sphereM" else [*separate, *mixed]
    return out


def dfs(lon, lat, scales, r_min, r_max):
    rs = scales_of(scales, r_min, r_max)
    lams, phis = [math.radians(lon) / r for r in rs], [math.radians(lat) / r for r in rs]
    u = [f(x) for f in (math.sin, math.cos) for x in lams]
    v = [f(x) for f in (math.sin, math.cos) for x in phis]
    out = [a * b for a in u for b in v]
    for lf, pf in zip(lams, phis, strict=True):
        out += [math.sin(pf), math.cos(pf), math.sin(lf), math.cos(lf)]
    return out


def legendre(degree, order, t, u):
    """sqrt((2l+1)/(4 pi) (l-m)!/(l+m)!) u^m d^m/dt^m P_l(t) in 120 digits, with u = cos(lat), t = sin(lat).

    P_l(t) = 2^-l sum_k (-1)^k C(l, k) C(2l - 2k, l) t^(l - 2k), differentiated term by term.
    """
    with decimal.localcontext() as context:
        context.prec = 120
        x = decimal.Decimal(t)
        total = decimal.Decimal(0)
        for k in range((degree - order) // 2 + 1):
            e = degree - 2 * k
            coefficient = math.comb(degree, k) * math.comb(2 * e + 2 * k, degree) * math.perm(e, order)
            power = x ** (e - order) if e > order else decimal.Decimal(1)
            total += (-1) ** k * coefficient * power
        ratio = decimal.Decimal((2 * degree + 1) * math.factorial(degree - order)) / math.factorial(degree + order)
        out = total / 2**degree * ratio.sqrt() * decimal.Decimal(u) ** order
    return float(out) / math.sqrt(4 * math.pi)


def spherical_harmonics(lon, lat, degree):
    lam, phi = math.radians(lon), math.radians(lat)
    out = []
    for n in range(degree + 1):
        for m in range(-n, n + 1):
            factor = 1 if m == 0 else math.sqrt(2) * (math.cos(m * lam) if m > 0 else math.sin(-m * lam))
            out.append(factor * legendre(n, abs(m), math.sin(phi), math.cos(phi)))
    return out


def equal_earth(lon, lat):
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    th = math.asin(math.sqrt(3) / 2 * math.sin(math.radians(lat)))
    d = 3 * (9 * a4 * th**8 + 7 * a3 * th**6 + 3 * a2 * th**2 + a1)
    x = 2 * math.sqrt(3) * math.radians(lon) * math.cos(th) / d
    y = a4 * th**9 + a3 * th**7 + a2 * th**3 + a1 * th
    return [x * 66.50336 / 180, y * 66.50336 / 180]


def equal_earth_rff(lon, lat, features, sigmas, state):
    x, y = equal_earth(lon, lat)
    return [f(2 * math.pi * (a * x + b * y)) for matrix in state["frequency"] for f in (math.cos, math.sin) for a, b in matrix]


def naive(name, lon, lat, settings, state=None):
    """Features of one point. ``state`` holds what a random encoding drew, as lists."""
    if name in DRAWN:
        return globals()[name](lon, lat, **settings, state=state)
    if name in SPHERE2VEC and name != "dfs":
        return sphere2vec(name, lon, lat, **settings)
    return globals()[name](lon, lat, **settings)
