"""The contract in the usual style of FastAPI: pydantic, asyncio, redis-py with hiredis, orjson for the answers.

The standard library's parser reads bodies, because its hooks report duplicate keys, which orjson hides.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import os
import re
import sys
import uuid
from datetime import date, datetime
from time import perf_counter
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import FullJitterBackoff, NoBackoff
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

SALT, ADMIN_SALT, ADMIN_LOGIN = "Otus", "42", "admin"
BODY_LIMIT, MAX_CLIENT_IDS, TTL_SECONDS = 256 * 1024, 10_000, 3600
CACHE_SECONDS, STORE_SECONDS, DEADLINE_SECONDS = 0.1, 0.15, 0.6
STATUS_TEXT = {400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
               413: "Payload Too Large", 500: "Internal Server Error", 503: "Service Unavailable"}

logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
log = logging.getLogger("calls")

url = os.environ["REDIS_URL"]
cache = Redis.from_url(url, socket_timeout=CACHE_SECONDS, socket_connect_timeout=CACHE_SECONDS,
                       retry=Retry(NoBackoff(), 0))
store = Redis.from_url(url, socket_timeout=STORE_SECONDS, socket_connect_timeout=STORE_SECONDS,
                       retry=Retry(FullJitterBackoff(cap=0.04, base=0.005), 2))
app = FastAPI(openapi_url=None)


class Refused(Exception):
    def __init__(self, code: int, text: str | None = None):
        self.code, self.text = code, text or STATUS_TEXT[code]


# ===== values =====

PHONE = re.compile(r"7[0-9]{10}")
DATE = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")


def wrong(text: str) -> PydanticCustomError:
    return PydanticCustomError("rule", text)


def check_phone(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if type(value) not in (str, int):
        raise wrong("must be a string or an integer")
    if not PHONE.fullmatch(text := str(value)):
        raise wrong("must be 11 digits and start with 7")
    return text


def check_email(value: str | None) -> str | None:
    if value and "@" not in value:
        raise wrong('must contain "@"')
    return value


def day(value: str | None) -> date | None:
    if not value:
        return None
    try:
        d, m, y = map(int, DATE.fullmatch(value).groups())
        return date(y, m, d)
    except (AttributeError, ValueError):
        raise wrong("must be a date written DD.MM.YYYY") from None


def check_birthday(value: str | None) -> date | None:
    born = day(value)
    if born is None:
        return None
    today = date.today()
    if born > today:
        raise wrong("must not be in the future")
    try:
        last = born.replace(year=born.year + 70)
    except ValueError:
        last = date(born.year + 70, 3, 1)
    if today > last:
        raise wrong("must not be more than 70 years ago")
    return born


Text = Annotated[str | None, Field(default=None)]
ClientId = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Envelope(BaseModel):
    model_config = ConfigDict(strict=True)
    account: Text
    login: str | None
    token: str | None
    arguments: dict[str, Any] | None
    method: Annotated[str, Field(min_length=1)]


class OnlineScore(BaseModel):
    model_config = ConfigDict(strict=True)
    phone: Annotated[str | None, PlainValidator(check_phone)] = None
    email: Annotated[str | None, AfterValidator(check_email)] = None
    first_name: Text
    last_name: Text
    birthday: Annotated[date | None, PlainValidator(lambda value: check_birthday(text(value)))] = None
    gender: Annotated[int | None, Field(ge=0, le=2)] = None


class ClientsInterests(BaseModel):
    model_config = ConfigDict(strict=True)
    client_ids: Annotated[list[ClientId], Field(min_length=1, max_length=MAX_CLIENT_IDS)]
    date: Annotated[Any, PlainValidator(lambda value: day(text(value)))] = None


def text(value: Any) -> str | None:
    if value is not None and type(value) is not str:
        raise wrong("must be a string")
    return value


def faults(error: ValidationError) -> list[str]:
    first = {}
    for fault in error.errors(include_url=False, include_input=False):
        first.setdefault(fault["loc"][0] if fault["loc"] else "request", fault["msg"])
    return [f"{field}: {reason}" for field, reason in first.items()]


# ===== reading =====


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def no_constant(name: str) -> None:
    raise ValueError(name)


def parse(body: bytes) -> Any:
    try:
        text = body.decode()
        parsed = json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
        if "\\u" in text:
            json.dumps(parsed, ensure_ascii=False).encode()
        return parsed
    except (ValueError, RecursionError):
        raise Refused(400) from None


def validate(model: type[BaseModel], value: Any) -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Refused(422, "; ".join(faults(error))) from None


def sha512(text: str) -> str:
    return hashlib.sha512(text.encode()).hexdigest()


def authenticate(call: Envelope) -> None:
    if call.login == ADMIN_LOGIN:
        expected = sha512(datetime.now().strftime("%Y%m%d%H") + ADMIN_SALT)
    else:
        expected = sha512((call.account or "") + (call.login or "") + SALT)
    if not hmac.compare_digest(expected.encode(), (call.token or "").encode()):
        raise Refused(403)


# ===== methods =====

PAIRS = (("phone", "email"), ("first_name", "last_name"), ("gender", "birthday"))
ARGUMENTS = ("phone", "email", "first_name", "last_name", "birthday", "gender")


async def online_score(call: Envelope, context: dict) -> dict:
    given = call.arguments or {}
    has = [name for name in ARGUMENTS if given.get(name) is not None and (given[name] != "" or name == "gender")]
    context["has"] = ",".join(has)
    wrong = []
    try:
        person = OnlineScore.model_validate(given)
    except ValidationError as error:
        wrong = faults(error)
    if not any(one in has and other in has for one, other in PAIRS):
        wrong.append("arguments: must have phone and email, first_name and last_name, or gender and birthday")
    if wrong:
        raise Refused(422, "; ".join(wrong))
    if call.login == ADMIN_LOGIN:
        return {"score": 42}
    inputs = (person.phone, person.email or None, person.first_name or None, person.last_name or None,
              person.birthday, person.gender)
    key = "uid:" + hashlib.md5(orjson.dumps((1, *inputs))).hexdigest()
    try:
        cached = float(await cache.get(key) or "nan")
        if 0 <= cached < float("inf"):
            return {"score": cached}
    except (RedisError, OSError, ValueError):
        pass
    score = 1.5 * bool(person.phone) + 1.5 * bool(person.email)
    score += 1.5 if person.birthday and person.gender else 0
    score += 0.5 if person.first_name and person.last_name else 0
    keep(cache.set(key, score, ex=TTL_SECONDS))
    return {"score": score}


under_way: set[asyncio.Task] = set()


def keep(write: Any) -> None:
    """Writes to the cache in the background; the call does not wait."""

    async def quietly() -> None:
        try:
            await write
        except (RedisError, OSError):
            pass

    task = asyncio.create_task(quietly())
    under_way.add(task)
    task.add_done_callback(under_way.discard)


async def clients_interests(call: Envelope, context: dict) -> dict:
    given = call.arguments or {}
    if isinstance(given.get("client_ids"), list):
        context["nclients"] = len(given["client_ids"])
    ids = list(dict.fromkeys(validate(ClientsInterests, given).client_ids))
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            values = await store.mget([f"i:{id}" for id in ids])
    except (RedisError, OSError, TimeoutError):
        raise Refused(503) from None
    try:
        found = {str(id): orjson.loads(value) if value is not None else [] for id, value in zip(ids, values)}
    except ValueError:
        raise Refused(500) from None
    if not all(type(interests) is list and all(type(one) is str for one in interests) for interests in found.values()):
        raise Refused(500)
    return found


METHODS = {"online_score": online_score, "clients_interests": clients_interests}


# ===== HTTP =====


def respond(request: Request, code: int, body: dict, headers: dict | None = None) -> Response:
    headers = {"X-Request-ID": request_id(request)} | (headers or {})
    if code == 503:
        headers["Retry-After"] = "1"
    return Response(orjson.dumps(body), code, headers, "application/json")


def request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    if 1 <= len(given) <= 128 and all("!" <= char <= "~" for char in given):
        return given
    return uuid.uuid4().hex


@app.post("/method")
@app.post("/method/")
async def method(request: Request) -> Response:
    begun = perf_counter()
    context = {}
    try:
        if int(request.headers.get("content-length", 0)) > BODY_LIMIT:
            raise Refused(413)
        if len(body := await request.body()) > BODY_LIMIT:
            raise Refused(413)
        call = validate(Envelope, parse(body))
        context["account"] = (call.account or "")[:64]
        authenticate(call)
        if not (answer := METHODS.get(call.method)):
            raise Refused(422, "method: must be online_score or clients_interests")
        context["method"] = call.method
        response = respond(request, 200, {"code": 200, "response": await answer(call, context)})
    except Refused as refused:
        response = respond(request, refused.code, {"code": refused.code, "error": refused.text})
    context |= {"request_id": response.headers["x-request-id"], "code": response.status_code,
                "duration": perf_counter() - begun}
    log.info(orjson.dumps(context).decode())
    return response


@app.exception_handler(500)
async def bug(request: Request, error: Exception) -> Response:
    return respond(request, 500, {"code": 500, "error": STATUS_TEXT[500]})


@app.exception_handler(HTTPException)
async def not_routed(request: Request, error: HTTPException) -> Response:
    body = {"code": error.status_code, "error": STATUS_TEXT.get(error.status_code, "error")}
    return respond(request, error.status_code, body, error.headers)
