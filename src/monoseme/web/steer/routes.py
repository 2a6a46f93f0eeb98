"""The steer page.

GET  /api/runs/{run}/steer             what there is to steer with
POST /api/runs/{run}/steer             texts, token by token, as server-sent events
"""

from fastapi import APIRouter

from monoseme.web.routing import ServedRun, imported_first
from monoseme.web.steer._reader import SteerReader, WrittenResponse
from monoseme.web.steer.answers import SteerOptions
from monoseme.web.steer.asked import SteerAsked
from monoseme.web.values import ApiError

router = APIRouter(dependencies=[imported_first("monoseme.web.steer._methods", "monoseme.web.steer._writing")])


@router.get("/runs/{run}/steer")
async def options(run: ServedRun) -> SteerOptions:
    """SAEs, methods and bounds."""
    return await run.page(SteerReader).options()


@router.post(
    "/runs/{run}/steer",
    status_code=200,  # of a response class of one's own FastAPI cannot tell it, and the schema fails
    response_class=WrittenResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "Events"},
        **{status: {"model": ApiError} for status in (411, 413, 415)},
    },
)
async def steer(run: ServedRun, asked: SteerAsked) -> WrittenResponse:
    """Texts that the model writes, steered and by default, told token by token. Closing the connection ends them."""
    return await run.page(SteerReader).write(asked)
