"""The derivative of an index's formula with respect to one band, as a formula again.

Sums, products, quotients, constant powers and the few functions of `features.indices.formulas`; zero
terms are dropped, so that a band in a linear formula has a bare number.
"""

import ast
import math
from functools import cache

ZERO = "0"


@cache
def derivative(formula: str, band: str) -> str:
    """Differentiate a formula by a band.

    Examples
    --------
    >>> derivative("0.35 * B02 + 0.38 * B03", "B03")
    '0.38'
    >>> derivative("B07 / B05 - 1", "B07")
    '1 / B05'
    >>> derivative("B07 / B05 - 1", "B05")
    '-(B07 / (B05 * B05))'
    >>> derivative("B04", "B08")
    '0'
    """
    return ast.unparse(ast.parse(_by(ast.parse(formula, mode="eval").body, band), mode="eval"))


def _by(node: ast.expr, band: str) -> str:
    match node:
        case ast.Name(name):
            return "1" if name == band else ZERO
        case ast.Constant():
            return ZERO
        case ast.UnaryOp(ast.USub(), inner):
            return _minus(ZERO, _by(inner, band))
        case ast.UnaryOp(_, inner):
            return _by(inner, band)
        case ast.BinOp(left, operation, right):
            return _of_pair(left, operation, right, band)
        case ast.Call(ast.Name(name), arguments):
            return _of_call(name, arguments, band)
    raise NotImplementedError(f"No derivative of {ast.unparse(node)}.")


def _of_pair(left: ast.expr, operation: ast.operator, right: ast.expr, band: str) -> str:
    u, v = ast.unparse(left), ast.unparse(right)
    du, dv = _by(left, band), _by(right, band)
    match operation:
        case ast.Add():
            return _plus(du, dv)
        case ast.Sub():
            return _minus(du, dv)
        case ast.Mult():
            return _plus(_times(du, v), _times(u, dv))
        case ast.Div():
            return _minus(_over(du, v), _over(_times(u, dv), f"({v}) * ({v})"))
    return _of_power(u, v, du, dv)


def _of_call(name: str, arguments: list[ast.expr], band: str) -> str:
    u, du = ast.unparse(arguments[0]), _by(arguments[0], band)
    if name == "log10":
        return _over(du, f"{math.log(10)!r} * ({u})")
    if name == "sqrt":
        return _over(du, f"2 * sqrt({u})")
    return _of_power(u, ast.unparse(arguments[1]), du, _by(arguments[1], band))


def _of_power(u: str, v: str, du: str, dv: str) -> str:
    """Of u to the power v: v u^(v - 1) du + u^v ln u dv."""
    steep = f"power({u}, {v}) * {math.log(10)!r} * log10({u})"
    return _plus(_times(f"({v}) * power({u}, ({v}) - 1)", du), _times(steep, dv))


def _plus(a: str, b: str) -> str:
    return b if a == ZERO else a if b == ZERO else f"({a}) + ({b})"


def _minus(a: str, b: str) -> str:
    return a if b == ZERO else f"-({b})" if a == ZERO else f"({a}) - ({b})"


def _times(a: str, b: str) -> str:
    if ZERO in (a, b):
        return ZERO
    return b if a == "1" else a if b == "1" else f"({a}) * ({b})"


def _over(a: str, b: str) -> str:
    return ZERO if a == ZERO else f"({a}) / ({b})"
