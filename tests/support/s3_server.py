"""A real S3 server for tests: moto's, in a process of its own, with failures that a test can ask for.

    python tests/support/s3_server.py FILE

FILE gets the server's address when it answers. `POST /-/fail?times=N&status=503&after=A` lets N requests fail with that
status, after the next A; `GET /-/requests` returns how many requests have come. `POST /-/fill?bucket=B&prefix=P&number=N`
makes N objects of one byte, faster than N requests.
"""

import sys
import threading
from pathlib import Path
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

STORE = s3_backends["123456789012"]["global"]
CODES = {"403": "AccessDenied", "500": "InternalError", "503": "SlowDown"}
BODY = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>asked for by a test</Message></Error>"


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log(self, type, message, *args):
        pass


class Failing:
    """The application, which fails as often as it is asked to."""

    def __init__(self, application):
        self.application, self.lock, self.failures, self.requests = application, threading.Lock(), [], 0

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/-/fail":
            asked = parse_qs(environ["QUERY_STRING"])
            self.failures = [asked["status"][0]] * int(asked["times"][0]) + [None] * int(asked["after"][0])
            self.requests = 0
            return self.answer(start_response, "200 OK", "")
        if path == "/-/requests":
            return self.answer(start_response, "200 OK", str(self.requests))
        if path == "/-/fill":
            asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
            for number in range(int(asked["number"])):
                STORE.put_object(asked["bucket"], f"{asked['prefix']}{number:06}", b"x")
            return self.answer(start_response, "200 OK", "")
        with self.lock:
            self.requests += 1
            status = self.failures.pop() if self.failures else None
        if status is not None:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return self.answer(start_response, f"{status} {CODES[status]}", BODY.format(code=CODES[status]))
        return self.application(environ, start_response)

    def answer(self, start_response, status, body):
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body.encode()]


def main(announced: Path) -> None:
    application = Failing(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    unfinished = announced.with_suffix(".tmp")
    unfinished.write_text(f"http://127.0.0.1:{server.server_port}")
    unfinished.rename(announced)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
