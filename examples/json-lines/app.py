"""A result set as JSON Lines, row by row, from synchronous code: a database that never holds all of it in memory.

GET / takes `rows` (1000).
"""

import sqlite3

from dialback_bridge import Response, json_lines

QUERY = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
SELECT n, n * n AS square FROM numbers
"""


def GET(request):
    rows = request.query.get("rows", "1000")
    if not rows.isdecimal():
        return Response("rows is a number\n", 400)
    return json_lines(select(int(rows)))


def select(rows):
    # A generator runs in one thread from its first line to its last, which SQLite insists on.
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    count = 0
    try:
        for row in database.execute(QUERY, (rows,)):
            yield dict(row)
            count += 1
    finally:
        database.close()
        print(f"{count} of {rows} rows were wanted")
