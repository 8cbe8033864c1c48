"""A large part of the Kusto Query Language, over the log tables of a workspace.

    syntax        tokens, and errors with their place
    values        Kusto's types as Python values: conversions, order, text
    expressions   typed scalar expressions
    functions     scalar functions; aggregates
    operators     statements, sources of rows, and what follows a ``|``
    budget        what one query may cost

Expressions are typed when the query is read, so a misspelt column is an error even where no row would be read. What is outside
the subset is a clear error, never a guess. Language reference: Microsoft, "Kusto Query Language"; names and types of columns are
held against Microsoft's own parser by a test.
"""

from local_azure.kql.operators import Source, Table, answer, evaluate
from local_azure.kql.syntax import KqlError
from local_azure.kql.values import Columns, Row, python_value, wire_value

__all__ = ["Columns", "KqlError", "Row", "Source", "Table", "answer", "evaluate", "python_value", "wire_value"]
