"""What the API answers when it cannot do as asked: one shape, and one table from error codes to HTTP."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from appliance.control import Failure
from appliance.errors import HoldfastError, RequestError
from appliance.logs import facts
from appliance.model import fault

_LOG = facts(__name__)

STATUS: dict[str, int] = {
    "invalid": 422,
    "not-json": 400,
    "unauthorized": 401,
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
    "source-changed": 409,
    "share-not-served": 409,
    "check-running": 409,
    "clients-hold-state": 409,
    "check-not-found": 404,
    "handle-invalid": 422,
    "state": 503,
    "supervisor-unavailable": 503,
}
_OF_HTTP = {401: "unauthorized", 404: "not-found", 405: "method-not-allowed"}


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

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem

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
        headers = {"WWW-Authenticate": "Bearer"} if error.problem.code == "unauthorized" else None
        return answer(error.problem, headers)

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
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        code = _OF_HTTP.get(error.status_code, "invalid")
        problem = Problem(code=code, message=str(error.detail), field=None, hint="/docs lists what there is")
        body = ProblemReply(error=problem).model_dump()
        return JSONResponse(body, error.status_code, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def _defect(request: Request, error: Exception) -> JSONResponse:
        _LOG.error("a request failed", path=request.url.path, reason=repr(error))
        return answer(Problem(code="internal", message="the API failed to do this", field=None, hint="see its log"))


def responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI is told of the failures of a route."""
    return {STATUS[code]: {"model": ProblemReply} for code in codes}


def _problem(error: HoldfastError) -> Problem:
    field = error.field if isinstance(error, RequestError) else None
    return Problem(code=error.code, message=error.message, field=field, hint=error.hint)
