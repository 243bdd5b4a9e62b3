"""A server on loopback that speaks /v1/chat/completions as well, or as badly, as a test asks it to."""

import io
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from jaxshift.judge.judgement import ASPECTS


class Reply(NamedTuple):
    """What the server sends; `cut` bytes of the body are promised and never sent; `wait` seconds go by before.

    `drip` seconds go by before every byte of the head, and of the body.
    """

    body: str
    status: int = 200
    headers: dict = {}
    cut: int = 0
    wait: float = 0.0
    drip: tuple[float, float] = (0.0, 0.0)


def completion(text, usage=(100, 20), **message):
    """The body of an answer whose message has `text`."""
    found = {'choices': [{'message': {'role': 'assistant', 'content': text, **message}, 'finish_reason': 'stop'}]}
    counts = {'prompt_tokens': usage[0], 'completion_tokens': usage[1]} if usage else None
    return Reply(json.dumps(found | {'usage': counts}))


def scores(*values, aspects=ASPECTS):
    """A reply as the rubric asks for it."""
    return json.dumps({name: {'reason': f'on {name}', 'score': n} for name, n in zip(aspects, values, strict=False)})


GOOD = scores(5, 4, 3, 2, 1)


class Stub:
    """`with Stub(answer) as stub`: answer(said, time) gives the Reply to a user's text asked for the n-th time.

    Attributes:
      url: for config.judge.base_url.
      requests: the JSON bodies received; headers beside them.
      answered: texts of the user's messages, one for every answer that was sent whole.
    """

    def __init__(self, answer):
        self._answer, self._lock = answer, threading.Lock()
        self.requests, self.headers, self.answered, self._times = [], [], [], Counter()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802, the name is http.server's
                request = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
                self._send(stub._asked(request, self.headers), request['messages'][1]['content'])

            def _send(self, reply, said):
                time.sleep(reply.wait)
                body = reply.body.encode()
                try:
                    self.send_response(reply.status)
                    for name, value in {'Content-Type': 'application/json', **reply.headers}.items():
                        self.send_header(name, value)
                    self.send_header('Content-Length', str(len(body) + reply.cut))
                    whole, self.wfile = self.wfile, io.BytesIO()
                    self.end_headers()
                    head, self.wfile = self.wfile.getvalue(), whole
                    for part, seconds in zip((head, body), reply.drip, strict=True):
                        for piece in [part[i : i + 1] for i in range(len(part))] if seconds else [part]:
                            time.sleep(seconds)
                            self.wfile.write(piece)
                            self.wfile.flush()
                except OSError:
                    return  # who asked has gone
                if reply.cut:
                    self.close_connection = True
                with stub._lock:
                    stub.answered.append(said)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self._server.daemon_threads = True
        self.url = f'http://127.0.0.1:{self._server.server_port}/v1'

    def _asked(self, request, headers):
        said = request['messages'][1]['content']
        with self._lock:
            self.requests.append(request)
            self.headers.append(headers)
            self._times[said] += 1
            times = self._times[said]
        return self._answer(said, times)

    def count(self, text):
        """Requests whose user's text holds this one."""
        return sum(text in request['messages'][1]['content'] for request in self.requests)

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()
