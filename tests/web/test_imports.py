"""Code that takes long to import never holds up the event loop."""

import sys
import threading

from fastapi import APIRouter, FastAPI
from starlette.testclient import TestClient

from monoseme.web.routing import imported_first

_SLOW = "tests.web.slow_to_import"


def test_what_a_route_needs_is_imported_beside_the_event_loop() -> None:
    router = APIRouter(dependencies=[imported_first(_SLOW)])
    loops: list[int] = []

    @router.get("/")
    async def asked() -> int:
        loops.append(threading.get_ident())
        return sys.modules[_SLOW].IMPORTED_IN

    app = FastAPI()
    app.include_router(router)
    sys.modules.pop(_SLOW, None)
    with TestClient(app) as client:
        answers = [client.get("/").json(), client.get("/").json()]
    assert answers[0] == answers[1]
    assert answers[0] not in loops
