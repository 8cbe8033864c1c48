"""What may follow a ``|``, and what a pipeline may begin with, by its word."""

from __future__ import annotations

from local_azure.kql.operators import columns, groups, joins, parsing, rest, rows, sources, unions
from local_azure.kql.statements import Operator, Origin

OPERATORS: dict[str, Operator] = {
    "where": rows.where,
    "filter": rows.where,
    "take": rows.take,
    "limit": rows.take,
    "sample": rows.take,
    "count": rows.count,
    "project": columns.project,
    "project-away": columns.project_away,
    "project-keep": columns.project_keep,
    "project-rename": columns.project_rename,
    "project-reorder": columns.project_reorder,
    "extend": columns.extend,
    "summarize": groups.summarize,
    "distinct": rows.distinct,
    "sort": rows.sort,
    "order": rows.sort,
    "top": rows.top,
    "union": unions.and_union,
    "join": joins.join,
    "lookup": joins.lookup,
    "mv-expand": parsing.mv_expand,
    "mvexpand": parsing.mv_expand,
    "parse": parsing.parse,
    "parse-where": parsing.parse_where,
    "getschema": columns.getschema,
    "sample-distinct": rows.sample_distinct,
    "as": rest.as_,
    "serialize": columns.serialize,
    "make-series": groups.make_series,
    "render": rest.render,
    "evaluate": rest.evaluate,
}
ORIGINS: dict[str, Origin] = {
    "print": sources.print_values,
    "union": unions.union_of,
    "range": sources.range_values,
    "datatable": sources.datatable,
    "materialize": sources.materialize,
}
