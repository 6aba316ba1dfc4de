"""Parameters of the query string that several routes have.

Handlers read them by the same bounds (:class:`.route.Query`).
"""

from __future__ import annotations

from agentcom.core.state import Priority, Status
from agentcom.http.route import choice, number, text
from agentcom.http.shown import CURSOR_MOST, PAGE, PAGE_MOST, SEARCH_MOST

LIMIT = number("limit", "How many to give at most.", PAGE, 1, PAGE_MOST)
CURSOR = number("cursor", "The cursor that came with the page before.", 0, 0, CURSOR_MOST)

TASK_FILTERS = (
    text("agent_id", "Only tasks that this agent has, or had last."),
    choice("priority", "Only tasks of this priority.", Priority),
    text("submitted_by", "Only tasks that this agent id submitted."),
    text(
        "search",
        "Only tasks whose id begins so, or that have this text in their description, agent or"
        " last error; a page may then be short, or empty, with a cursor to look on from.",
        SEARCH_MOST,
    ),
    CURSOR,
    LIMIT,
)

STATUS = choice("status", "Only tasks in this status.", Status)
LAST_ERROR = text("last_error", "Only dead letters with this last error.")

PLACE = (
    CURSOR,
    number("limit", "How many to give at most.", PAGE_MOST, 1, PAGE_MOST),
)
"""Where a list goes on that shows as much as it may."""
