"""The list of runs, the first page of each, the map of a dictionary, and two SAEs against each other."""

from fastapi import APIRouter

from monoseme.web.overview import compare_routes, map_routes, routes
from monoseme.web.overview._reader import OverviewReader

router = APIRouter()
for part in (routes, map_routes, compare_routes):
    router.include_router(part.router)

__all__ = ["OverviewReader", "router"]
