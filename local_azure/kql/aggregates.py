"""Aggregates in a `summarize` or `make-series`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from local_azure.kql.functions import AGGREGATES
from local_azure.kql.functions.aggregates import fold_row, percentile
from local_azure.kql.signatures import KINDS, ORDERED, SUMMABLE
from local_azure.kql.syntax import Token
from local_azure.kql.terms import Expr, Getter, Group, Terms, column
from local_azure.kql.values import NUMERIC, Row, plain, text

_FOLDS = ("arg_max", "arg_min", "any", "take_any", "percentile", "percentiles", "percentiles_array")


def is_fold(name: str) -> bool:
    """Whether an aggregate may give several columns."""
    return name in _FOLDS


def _picked(best: Getter, get: Getter, largest: bool) -> Callable[[list[Row]], Any]:
    def fold(rows: list[Row]) -> Any:
        row = fold_row(rows, best, largest)
        return None if row is None else get(row)

    return fold


def _first(get: Getter) -> Callable[[list[Row]], Any]:
    return lambda rows: next((value for row in rows if (value := get(row)) is not None), None)


class Aggregates(Terms):
    """Reads the arguments of aggregates."""

    def aggregate(self, name: str, token: Token) -> Expr:
        """Take the arguments of an aggregate that gives one column; what stands for it in the summarized row."""
        group = self.group
        assert group is not None, "the caller has looked"
        if name in _FOLDS:
            found = self.folds(name, token)
            if len(found) != 1:
                self.semantic(
                    f"{name}() gives {len(found)} columns and cannot be a part of an expression.", "SEM0219", token
                )
            return found[0][1]
        arguments = self._arguments(group)
        aggregate = AGGREGATES[name]
        if not aggregate.fewest <= len(arguments) <= aggregate.most:
            self._miscounted(name, aggregate.fewest, aggregate.most, len(arguments), token)
        for at, argument in enumerate(arguments):
            self._checked(name, at, aggregate.kind(at), argument, token)
        first = arguments[0] if arguments else None
        kind = aggregate.gives
        if first is not None and kind in ("same", "sum", "avg"):
            kind = {"same": first.type, "sum": "long" if first.type == "int" else first.type}.get(
                kind, first.type if first.type == "timespan" else "real"
            )
        test = arguments.pop(aggregate.takes.replace("?", "").index("b")).get if aggregate.conditional else None
        getters, run, weigh = [argument.get for argument in arguments], aggregate.run, self.budget.weigh

        def fold(rows: list[Row]) -> Any:
            held = rows if test is None else [row for row in rows if test(row) is True]
            if not getters:
                return run(held)
            return weigh(run(*[[get(row) for row in held] for get in getters]), name)

        title = first.name if first is not None else ""
        return group.add(kind, fold, f"{aggregate.prefix}_{title}" if aggregate.prefix else title)

    def _arguments(self, group: Group) -> list[Expr]:
        self.need("(")
        self.group = None  # an aggregate in an aggregate is refused
        arguments: list[Expr] = []
        while not self.is_next(")"):
            arguments.append(self.expression(group.columns, 1))
            if not self.take(","):
                break
        self.need(")")
        self.group = group
        return arguments

    def _checked(self, name: str, at: int, letter: str, argument: Expr, token: Token) -> None:
        wanted = {"o": (ORDERED, "orderable"), "u": (SUMMABLE, "summable"), **KINDS}.get(letter)
        if wanted is not None and argument.type not in wanted[0]:
            self.semantic(
                f"{name}(): argument #{at + 1} is expected to be {wanted[1]}, not {argument.type}.", "SEM0219", token
            )

    def _miscounted(self, name: str, fewest: int, most: int, got: int, token: Token) -> NoReturn:
        wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        self.semantic(f"{name}(): function expects {wanted} argument(s), got {got}.", "SEM0219", token)

    def folds(self, name: str, token: Token) -> list[tuple[str | None, Expr]]:
        """Take the arguments of an aggregate that gives several columns; each with its given name."""
        group = self.group
        assert group is not None, "only called in summarize"
        if name in ("percentile", "percentiles", "percentiles_array"):
            return self._percentiles(name, group, token)
        self.need("(")
        self.group = None
        arguments: list[tuple[str | None, Expr]] = []
        stars: list[bool] = []
        while not self.is_next(")"):
            if self.take("*"):
                taken = {value.name for _, value in arguments[:1]} if name.startswith("arg") else set()
                arguments += [(None, column(one, kind)) for one, kind in group.columns.items() if one not in taken]
            else:
                arguments.append(self.called(group.columns))
                stars += [False] * (len(arguments) - len(stars))
            stars += [True] * (len(arguments) - len(stars))
            if not self.take(","):
                break
        self.need(")")
        self.group = group
        if not arguments:
            self._miscounted(name, 1, 64, 0, token)
        made: list[tuple[str | None, Expr]] = []
        if name in ("any", "take_any"):
            for title, value in arguments:
                shown = f"any_{value.name}" if name == "any" and value.name else value.name
                made.append((title, group.add(value.type, _first(value.get), shown)))
        else:
            best = arguments[0][1]
            self._checked(name, 0, "o", best, token)
            largest = best.name or ("max_" if name == "arg_max" else "min_")
            for at, (title, value) in enumerate(arguments):
                shown = value.name or (f"{largest}_arg{at}" if at else largest)
                made.append((title, group.add(value.type, _picked(best.get, value.get, name == "arg_max"), shown)))
        group.starred += [value for (_, value), star in zip(made, stars, strict=True) if star]
        return made

    def _percentiles(self, name: str, group: Group, token: Token) -> list[tuple[str | None, Expr]]:
        arguments = self._arguments(group)
        if len(arguments) < 2 or (name == "percentile" and len(arguments) != 2):
            self._miscounted(name, 2, 2 if name == "percentile" else 64, len(arguments), token)
        value, shares = arguments[0], [argument.get({}) for argument in arguments[1:]]
        self._checked(name, 0, "q", value, token)
        if not all(argument.constant and argument.type in NUMERIC for argument in arguments[1:]):
            self.semantic(f"{name}(): the percentiles must be constant numbers.", "SEM0219", token)
        kind = "long" if value.type == "int" else value.type

        def at(share: Any) -> Callable[[list[Row]], Any]:
            return lambda rows: percentile([value.get(row) for row in rows], share)

        if name == "percentiles_array":

            def every(rows: list[Row]) -> Any:
                return [plain(at(share)(rows)) for share in shares]

            return [(None, group.add("dynamic", every, f"percentiles_{value.name}"))]
        return [
            (None, group.add(kind, at(share), f"percentile_{value.name}_{text(share).replace('.', '_')}"))
            for share in shares
        ]
