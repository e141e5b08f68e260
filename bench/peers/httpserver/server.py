"""The contract in the structure of the assignment: http.server, classes of fields, redis-py.

A good version of that structure: HTTP/1.1 with keep-alive, a thread for each connection, one MGET for all ids.
"""

import hashlib
import hmac
import json
import logging
import os
import re
import sys
import uuid
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import perf_counter

import redis
from redis.backoff import FullJitterBackoff, NoBackoff
from redis.retry import Retry

SALT, ADMIN_SALT, ADMIN_LOGIN = "Otus", "42", "admin"
BODY_LIMIT, MAX_CLIENT_IDS, TTL_SECONDS = 256 * 1024, 10_000, 3600
CACHE_SECONDS, STORE_SECONDS = 0.1, 0.15
OK, BAD_REQUEST, FORBIDDEN, NOT_FOUND, NOT_ALLOWED = 200, 400, 403, 404, 405
TOO_LARGE, INVALID_REQUEST, INTERNAL_ERROR, UNAVAILABLE = 413, 422, 500, 503
ERRORS = {BAD_REQUEST: "Bad Request", FORBIDDEN: "Forbidden", NOT_FOUND: "Not Found", NOT_ALLOWED: "Method Not Allowed",
          TOO_LARGE: "Payload Too Large", INTERNAL_ERROR: "Internal Server Error", UNAVAILABLE: "Service Unavailable"}


class Refused(Exception):
    def __init__(self, code, text=None):
        self.code, self.text = code, text or ERRORS[code]


# ===== fields =====


class Field:
    types, wrong_type, empty = (str,), "must be a string", (None, "")

    def __init__(self, required=False, nullable=True):
        self.required, self.nullable = required, nullable

    def is_empty(self, value):
        return any(value is empty or (type(value) is str and value == empty) for empty in self.empty)

    def read(self, value):
        """Returns the checked value. Raises ValueError with the fault."""
        if self.is_empty(value):
            if not self.nullable:
                raise ValueError("must not be empty")
            return None
        if type(value) not in self.types:
            raise ValueError(self.wrong_type)
        return self.check(value)

    def check(self, value):
        return value


class CharField(Field):
    pass


class ArgumentsField(Field):
    types, wrong_type, empty = (dict,), "must be an object", (None,)


class EmailField(CharField):
    def check(self, value):
        if "@" not in value:
            raise ValueError('must contain "@"')
        return value


class PhoneField(Field):
    types, wrong_type = (str, int), "must be a string or an integer"

    def check(self, value):
        if not re.fullmatch("7[0-9]{10}", str(value)):
            raise ValueError("must be 11 digits and start with 7")
        return str(value)


class DateField(CharField):
    def check(self, value):
        try:
            day, month, year = map(int, re.fullmatch(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})", value).groups())
            return date(year, month, day)
        except (AttributeError, ValueError):
            raise ValueError("must be a date written DD.MM.YYYY") from None


class BirthDayField(DateField):
    def check(self, value):
        born, today = super().check(value), date.today()
        if born > today:
            raise ValueError("must not be in the future")
        try:
            last = born.replace(year=born.year + 70)
        except ValueError:
            last = date(born.year + 70, 3, 1)
        if today > last:
            raise ValueError("must not be more than 70 years ago")
        return born


class GenderField(Field):
    types, wrong_type, empty = (int,), "must be 0, 1 or 2", (None,)

    def check(self, value):
        if value not in (0, 1, 2):
            raise ValueError(self.wrong_type)
        return value


class ClientIDsField(Field):
    types, wrong_type, empty = (list,), "must be an array of integers", (None,)

    def check(self, value):
        if not value:
            raise ValueError("must not be empty")
        if len(value) > MAX_CLIENT_IDS:
            raise ValueError(f"must hold at most {MAX_CLIENT_IDS} ids")
        if not all(type(id) is int and -(2**63) <= id < 2**63 for id in value):
            raise ValueError(self.wrong_type)
        return value


class Request:
    def __init_subclass__(cls):
        cls.fields = {name: field for name, field in vars(cls).items() if isinstance(field, Field)}

    def __init__(self, given):
        self.faults = []
        for name, field in self.fields.items():
            setattr(self, name, None)
            try:
                if name in given:
                    setattr(self, name, field.read(given[name]))
                elif field.required:
                    raise ValueError("is required")
            except ValueError as error:
                self.faults.append(f"{name}: {error}")

    def validate(self):
        if self.faults:
            raise Refused(INVALID_REQUEST, "; ".join(self.faults))
        return self


class MethodRequest(Request):
    account = CharField()
    login = CharField(required=True)
    token = CharField(required=True)
    arguments = ArgumentsField(required=True)
    method = CharField(required=True, nullable=False)


class OnlineScoreRequest(Request):
    phone = PhoneField()
    email = EmailField()
    first_name = CharField()
    last_name = CharField()
    birthday = BirthDayField()
    gender = GenderField()

    PAIRS = (("phone", "email"), ("first_name", "last_name"), ("gender", "birthday"))

    def __init__(self, given):
        super().__init__(given)
        self.has = [name for name, field in self.fields.items() if name in given and not field.is_empty(given[name])]
        if not any(one in self.has and other in self.has for one, other in self.PAIRS):
            pairs = "phone and email, first_name and last_name, or gender and birthday"
            self.faults.append(f"arguments: must have {pairs}")


class ClientsInterestsRequest(Request):
    client_ids = ClientIDsField(required=True, nullable=False)
    date = DateField()


# ===== methods =====


def sha512(text):
    return hashlib.sha512(text.encode()).hexdigest()


def check_auth(request):
    if request.login == ADMIN_LOGIN:
        expected = sha512(datetime.now().strftime("%Y%m%d%H") + ADMIN_SALT)
    else:
        expected = sha512((request.account or "") + (request.login or "") + SALT)
    if not hmac.compare_digest(expected.encode(), (request.token or "").encode()):
        raise Refused(FORBIDDEN)


class Store:
    def __init__(self, url):
        self.cache = redis.from_url(url, socket_timeout=CACHE_SECONDS, socket_connect_timeout=CACHE_SECONDS,
                                    retry=Retry(NoBackoff(), 0))
        self.store = redis.from_url(url, socket_timeout=STORE_SECONDS, socket_connect_timeout=STORE_SECONDS,
                                    retry=Retry(FullJitterBackoff(cap=0.04, base=0.005), 2))

    def cache_get(self, key):
        try:
            score = float(self.cache.get(key) or "nan")
            return score if 0 <= score < float("inf") else None
        except (redis.RedisError, OSError, ValueError):
            return None

    def cache_set(self, key, score):
        try:
            self.cache.set(key, score, ex=TTL_SECONDS)
        except (redis.RedisError, OSError):
            pass

    def get_many(self, keys):
        try:
            return self.store.mget(keys)
        except (redis.RedisError, OSError):
            raise Refused(UNAVAILABLE) from None


def get_score(store, person):
    birthday = person.birthday and person.birthday.isoformat()
    inputs = [1, person.phone, person.email, person.first_name, person.last_name, birthday, person.gender]
    key = "uid:" + hashlib.md5(json.dumps(inputs).encode()).hexdigest()
    score = store.cache_get(key)
    if score is None:
        score = 1.5 * bool(person.phone) + 1.5 * bool(person.email)
        score += 1.5 if person.birthday and person.gender else 0
        score += 0.5 if person.first_name and person.last_name else 0
        store.cache_set(key, score)
    return score


def get_interests(stored):
    if stored is None:
        return []
    try:
        interests = json.loads(stored)
    except ValueError:
        raise Refused(INTERNAL_ERROR) from None
    if type(interests) is not list or not all(type(one) is str for one in interests):
        raise Refused(INTERNAL_ERROR)
    return interests


def online_score(request, context, store):
    person = OnlineScoreRequest(request.arguments or {})
    context["has"] = ",".join(person.has)
    person.validate()
    return {"score": 42 if request.login == ADMIN_LOGIN else get_score(store, person)}


def clients_interests(request, context, store):
    arguments = request.arguments or {}
    if type(arguments.get("client_ids")) is list:
        context["nclients"] = len(arguments["client_ids"])
    ids = list(dict.fromkeys(ClientsInterestsRequest(arguments).validate().client_ids))
    values = store.get_many([f"i:{id}" for id in ids])
    return {str(id): get_interests(value) for id, value in zip(ids, values)}


METHODS = {"online_score": online_score, "clients_interests": clients_interests}


def unique(pairs):
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def no_constant(name):
    raise ValueError(name)


def parse(body):
    try:
        text = body.decode()
        parsed = json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
        if "\\u" in text:
            json.dumps(parsed, ensure_ascii=False).encode()
        return parsed
    except (ValueError, RecursionError):
        raise Refused(BAD_REQUEST) from None


def method_handler(body, context, store):
    parsed = parse(body)
    if type(parsed) is not dict:
        raise Refused(INVALID_REQUEST, "request: must be an object")
    request = MethodRequest(parsed).validate()
    context["account"] = (request.account or "")[:64]
    check_auth(request)
    if request.method not in METHODS:
        raise Refused(INVALID_REQUEST, "method: must be online_score or clients_interests")
    context["method"] = request.method
    return METHODS[request.method](request, context, store)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    store = Store(os.environ["REDIS_URL"])

    def do_POST(self):
        begun = perf_counter()
        context = {"request_id": self.request_id()}
        try:
            length = int(self.headers.get("Content-Length", 0))
            if length > BODY_LIMIT:
                self.close_connection = True
                raise Refused(TOO_LARGE)
            body = self.rfile.read(length)
            if self.path.partition("?")[0] not in ("/method", "/method/"):
                raise Refused(NOT_FOUND)
            response = method_handler(body, context, self.store)
            code, answer = OK, {"code": OK, "response": response}
        except Refused as refused:
            code, answer = refused.code, {"code": refused.code, "error": refused.text}
        self.answer(code, answer, context["request_id"])
        context |= {"code": code, "duration": perf_counter() - begun}
        logging.info(json.dumps(context))

    def do_GET(self):
        code = NOT_ALLOWED if self.path.partition("?")[0] in ("/method", "/method/") else NOT_FOUND
        self.answer(code, {"code": code, "error": ERRORS[code]}, self.request_id())

    do_PUT = do_DELETE = do_PATCH = do_GET

    def answer(self, code, answer, request_id):
        body = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Request-ID", request_id)
        if code == NOT_ALLOWED:
            self.send_header("Allow", "POST")
        if code == UNAVAILABLE:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def request_id(self):
        given = self.headers.get("X-Request-ID", "")
        return given if re.fullmatch("[!-~]{1,128}", given) else uuid.uuid4().hex

    def log_message(self, *_):
        """Logs nothing: do_POST writes one line for each call."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        """A closed connection is not an error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
