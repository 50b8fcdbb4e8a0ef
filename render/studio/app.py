"""The studio over HTTP: the page, and the requests that it makes."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path
from typing import Any

from anyio import to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from datagen.domains.registry import get_domain
from datagen.workers.jobs import EXPORTS
from render.studio.adding import another_object
from render.studio.answers import Json, Lines, answering
from render.studio.asked import (
    AskedDraw,
    AskedObject,
    AskedPicture,
    AskedReading,
    AskedRefinement,
    AskedSample,
    AskedScene,
    AskedStop,
    AskedView,
    read_request,
)
from render.studio.gate import UPLOAD, Gate
from render.studio.studio import GONE, Studio

STATIC = Path(__file__).parent / "static"
_NONCE = "NONCE"  # what the page has in the place of the nonce for the editor's styles


def make_app(studio: Studio, token: str | None = None) -> Gate:
    """The ASGI application. With a ``token``, whoever asks must know it; without one, the names in requests must be of this machine."""
    nonce = secrets.token_urlsafe(16)
    page = (STATIC / "index.html").read_text().replace(_NONCE, nonce)

    async def index(_: Request) -> Response:
        return HTMLResponse(page, headers={"Cache-Control": "no-store"})

    async def facts(_: Request) -> Response:
        return Json(await to_thread.run_sync(studio.facts), headers={"Cache-Control": "no-store"})

    async def domain(request: Request) -> Response:
        name = request.path_params["name"]
        return Json(await to_thread.run_sync(lambda: studio.describe(name)))

    async def mesh(request: Request) -> Response:
        data = studio.meshes.get(request.path_params["key"])
        if data is None:
            return Json({"problem": "this mesh is not here any more; look at the scene again"}, status_code=404)
        return Response(data, media_type="application/octet-stream", headers=_FOREVER)

    async def texture(request: Request) -> Response:
        png = studio.textures.get(request.path_params["key"])
        if png is None:
            return Json({"problem": "this texture is not here any more; look at the scene again"}, status_code=404)
        return Response(png, media_type="image/png", headers=_FOREVER)

    async def image(request: Request) -> Response:
        found = studio.images.get(request.path_params["key"])
        if found is None:
            return Json({"problem": GONE}, status_code=404)
        return Response(found.png, media_type="image/png", headers=_FOREVER)

    async def keep(request: Request) -> Response:
        data, name = await request.body(), request.query_params.get("name", "")[:200]
        return Json(await studio.lanes["read"].do(lambda: studio.keep_image(data, name)))

    async def read(request: Request) -> Response:
        return Json(await studio.read(await _asked(request, AskedReading)))

    async def sample(request: Request) -> Response:
        asked = await _asked(request, AskedSample)
        return Json(await to_thread.run_sync(lambda: studio.sample(asked)))

    async def draw(request: Request) -> Response:
        asked = await _asked(request, AskedDraw)
        return Json(await to_thread.run_sync(lambda: studio.draw(asked)))

    async def add(request: Request) -> Response:
        asked = await _asked(request, AskedObject)
        return Json({"line": await to_thread.run_sync(lambda: another_object(asked.code, get_domain(asked.domain), asked.seed))})

    async def look(request: Request) -> Response:
        asked = await _asked(request, AskedView)
        return Json(await to_thread.run_sync(lambda: studio.look(asked)))

    async def render(request: Request) -> Response:
        return Lines(partial(studio.pictures, await _asked(request, AskedPicture)))

    async def refine(request: Request) -> Response:
        return Lines(partial(studio.refine, await _asked(request, AskedRefinement)))

    async def stop(request: Request) -> Response:
        studio.stop((await _asked(request, AskedStop)).name)
        return Json({})

    async def take(request: Request) -> Response:
        kind = request.path_params["kind"]
        data = await studio.take(kind, await _asked(request, AskedScene))
        attached = {"Content-Disposition": f'attachment; filename="scene{EXPORTS[kind]}"', "Cache-Control": "no-store"}
        return Response(data, media_type="application/octet-stream", headers=attached)

    def route(path: str, endpoint: Any, method: str = "GET") -> Route:
        return Route(path, answering(endpoint), methods=[method])

    routes = [
        route("/", index),
        route("/api/studio", facts),
        route("/api/domain/{name}", domain),
        route("/api/mesh/{key}", mesh),
        route("/api/texture/{key}", texture),
        route("/api/image/{key}", image),
        route(UPLOAD, keep, "POST"),
        route("/api/read", read, "POST"),
        route("/api/sample", sample, "POST"),
        route("/api/draw", draw, "POST"),
        route("/api/add", add, "POST"),
        route("/api/look", look, "POST"),
        route("/api/render", render, "POST"),
        route("/api/refine", refine, "POST"),
        route("/api/stop", stop, "POST"),
        route("/api/take/{kind}", take, "POST"),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Gate(Starlette(routes=routes), token, nonce)


_FOREVER = {"Cache-Control": "private, max-age=86400, immutable"}  # what is named by its content never changes


async def _asked(request: Request, kind: Any) -> Any:
    return read_request(await request.body(), kind)
