"""A large part of the Kusto Query Language, over the log tables of a workspace.

    errors, budget           what is wrong with a query; what it may cost
    syntax, values           tokens; Kusto's types as Python values: conversions, order, text
    signatures, functions/   what functions and aggregates take and give; one module per kind of value
    terms … expressions      typed scalar expressions: comparisons, aggregates, calls, the rest
    tables, definitions      sources of rows; what `let` defines
    statements, operators/   pipelines; one module per family of operators
    queries                  runs a query

Expressions are typed when the query is read, so a misspelt column is an error even where no row would be read. What is outside
the subset is a clear error, never a guess. Language reference: Microsoft, "Kusto Query Language"; names and types of columns are
held against Microsoft's own parser by a test. The subset is complete for what the local Azure is for: it is left as it is.
"""

from local_azure.kql.errors import KqlError
from local_azure.kql.queries import answer, evaluate
from local_azure.kql.tables import Source, Table
from local_azure.kql.values import Columns, Row, python_value, wire_value

__all__ = ["Columns", "KqlError", "Row", "Source", "Table", "answer", "evaluate", "python_value", "wire_value"]
