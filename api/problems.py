"""What the API answers when it cannot do as asked: one shape, and one table from error codes to HTTP."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from appliance.control.messages import Failure
from appliance.errors import HoldfastError, RequestError
from appliance.logs import facts
from appliance.model import fault

_LOG = facts(__name__)

STATUS: dict[str, int] = {
    "invalid": 422,
    "not-json": 400,
    "too-large": 413,
    "unauthorized": 401,
    "forbidden": 403,
    "too-many-failures": 429,
    "not-found": 404,
    "share-not-found": 404,
    "method-not-allowed": 405,
    "share-exists": 409,
    "source-overlaps": 409,
    "source": 422,
    "source-relative": 422,
    "source-reserved": 422,
    "source-missing": 422,
    "source-not-directory": 422,
    "source-no-handles": 422,
    "source-filesystem": 422,
    "source-outside": 422,
    "source-changed": 409,
    "nfs-path-taken": 409,
    "protection-missing": 422,
    "address-missing": 422,
    "owned-by-file": 409,
    "revision-changed": 412,
    "match-required": 428,
    "share-not-served": 409,
    "check-running": 409,
    "clients-hold-state": 409,
    "check-not-found": 404,
    "token-not-found": 404,
    "client-not-found": 404,
    "token-exists": 409,
    "handle-invalid": 422,
    "internal": 500,
    "state": 503,
    "command-failed": 503,
    "supervisor-unavailable": 503,
}
# What a caller may have done, or found, that each code stands for: the examples of the API's document.
MEANINGS: dict[str, str] = {
    "invalid": "clients.0.network: must be a network such as 192.0.2.0/24 or 2001:db8::/32",
    "not-json": "the body is not JSON",
    "too-large": "the body has more than 16 MiB",
    "unauthorized": "credentials are needed",
    "forbidden": "this is not allowed",
    "too-many-failures": "too many wrong tokens",
    "not-found": "there is no such path",
    "share-not-found": "there is no share named projects",
    "method-not-allowed": "this path does not know the method",
    "share-exists": "there is a share named projects already",
    "source-overlaps": "source: /srv/a/b and /srv/a, the source of a, contain one another",
    "source": "source: the directory cannot be shared",
    "source-relative": "the source is no absolute path",
    "source-reserved": "source: /var/lib/holdfast is the appliance's own",
    "source-missing": "source: /srv/projects does not exist",
    "source-not-directory": "source: /srv/projects is no directory",
    "source-no-handles": "source: the filesystem gives no file handles",
    "source-filesystem": "source: the filesystem cannot be served",
    "source-outside": "source: sources are confined to /srv, and /etc does not lie in them",
    "source-changed": "something else is mounted at /srv/projects",
    "nfs-path-taken": "nfs_path: /media and /media/films, where clients find films, contain one another",
    "protection-missing": "clients.0.transport: no tlshd runs beside the NFS server",
    "address-missing": "addresses: 192.0.2.1 cannot be listened on: EADDRNOTAVAIL",
    "owned-by-file": "projects belongs to /etc/holdfast/shares.yaml, so REST does not change it",
    "revision-changed": "projects has been changed since: its revision is 9f86d081884c7d65",
    "match-required": "the change does not say which revision it is made to",
    "share-not-served": "projects is not served just now",
    "check-running": "a check of projects is running",
    "clients-hold-state": "NFSv4 clients hold 3 opens, locks or delegations on projects",
    "check-not-found": "projects has no check 7",
    "token-not-found": "there is no token named backup",
    "token-exists": "there is a token named backup already",
    "handle-invalid": "these digits are no file handle",
    "internal": "the API failed to do this",
    "client-not-found": "there is no NFSv4 client number 7",
    "command-failed": "a program of the NFS side failed",
    "state": "the state volume cannot be used",
    "supervisor-unavailable": "the supervisor does not answer",
}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "Always `Bearer`.", "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
}
SHARE_REFUSALS = (*(code for code in STATUS if code.startswith("source")), "nfs-path-taken", "protection-missing")
CHANGE_REFUSALS = ("owned-by-file", "revision-changed", "match-required")
_JSON = "application/json"
_OF_HTTP = {401: "unauthorized", 404: "not-found", 405: "method-not-allowed", 413: "too-large"}


class Problem(BaseModel):
    """An error, for programs and for people."""

    code: str = Field(description="Stable name of the error, for programs.", examples=["source-missing"])
    message: str = Field(description="What is wrong, for people.")
    field: str | None = Field(
        description="The field of the request at fault, if one is.", examples=["clients.0.network"]
    )
    hint: str = Field(description="The step that mends it; may be empty.")


class ProblemReply(BaseModel):
    """The body of every answer with a status of 400 or above."""

    error: Problem = Field(description="What went wrong.")


class ApiError(Exception):
    """An answer other than success."""

    def __init__(self, problem: Problem, headers: dict[str, str] | None = None) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.headers = headers or ({"WWW-Authenticate": "Bearer"} if problem.code == "unauthorized" else None)

    @classmethod
    def of(cls, failure: Failure) -> ApiError:
        """Turn the supervisor's answer into one of ours."""
        return cls(Problem(code=failure.code, message=failure.message, field=failure.field, hint=failure.hint))


def answer(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the response for a problem; a code that is not in the table is the server's own failure."""
    body = ProblemReply(error=problem).model_dump()
    return JSONResponse(body, STATUS.get(problem.code, 500), headers)


def install(app: FastAPI) -> None:
    """Give every kind of failure the one shape."""

    @app.exception_handler(ApiError)
    async def _own(_: Request, error: ApiError) -> JSONResponse:
        return answer(error.problem, error.headers)

    @app.exception_handler(HoldfastError)
    async def _domain(_: Request, error: HoldfastError) -> JSONResponse:
        return answer(_problem(error))

    @app.exception_handler(RequestValidationError)
    async def _validation(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = error.errors()
        if errors[0]["type"] == "json_invalid":
            return answer(Problem(code="not-json", message="the body is not JSON", field=None, hint=""))
        return answer(_problem(fault(errors, skip=1)))  # the first part is where: body, path, query

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        code = _OF_HTTP.get(error.status_code, "invalid")
        problem = Problem(code=code, message=str(error.detail), field=None, hint="/docs lists what there is")
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return JSONResponse(ProblemReply(error=problem).model_dump(), error.status_code, headers)

    @app.exception_handler(Exception)
    async def _defect(request: Request, error: Exception) -> JSONResponse:
        _LOG.error("a request failed", path=request.url.path, reason=repr(error))
        return answer(Problem(code="internal", message="the API failed to do this", field=None, hint="see its log"))


def _methods(app: FastAPI, request: Request) -> set[str]:
    """Return the methods of all routes of a path: the framework tells only those of the first."""
    return {
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in app.routes)
    }


def responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI is told of a guarded route's failures: these codes, and those that any has."""
    access = ("unauthorized", "forbidden", "too-many-failures")
    body = ("too-large",) if "not-json" in codes else ()
    return failures(*access, "invalid", *body, *codes, "internal", "state", "supervisor-unavailable")


def failures(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI is told of these failures: of each status the shape, and an example for each code."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        examples: dict[str, Any] = {}
        told = found.setdefault(STATUS[code], {"model": ProblemReply, "content": {_JSON: {"examples": examples}}})
        examples = told["content"][_JSON]["examples"]
        examples[code] = {"summary": code, "value": _example(code)}
        told["description"] = " · ".join(examples)
        if header := _HEADERS.get(STATUS[code]):
            told["headers"] = header
    return found


def _example(code: str) -> dict[str, Any]:
    problem = Problem(code=code, message=MEANINGS[code], field=None, hint="what mends it, if anything does")
    return ProblemReply(error=problem).model_dump()


def _problem(error: HoldfastError) -> Problem:
    field = error.field if isinstance(error, RequestError) else None
    return Problem(code=error.code, message=error.message, field=field, hint=error.hint)
