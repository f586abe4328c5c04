"""Decides about clients and joins, and prints events: python3 webhook.py SECRET_FILE PORT"""

import hashlib
import hmac
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

with open(sys.argv[1], "rb") as file:
    SECRET = file.read().strip()


def is_genuine(headers, body: bytes) -> bool:
    timestamp = headers.get("Roomer-Timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > 300:
        return False  # an attacker may have recorded the request and sent it again
    expected = "v1=" + hmac.new(SECRET, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    # Compare in constant time: otherwise, the time would reveal how much of a guess is correct.
    return hmac.compare_digest(expected.encode(), headers.get("Roomer-Signature", "").encode())


def answer(asked):
    match asked["type"]:
        case "authorize" | "renew" if asked["token"] == "of-ann":
            return 200, {"user": "ann", "info": {"name": "Ann"}, "exp": time.time() + 600}
        case "authorize" | "renew":
            return 401, {"message": "unknown token"}
        case "may_join":
            return 200, {"allow": asked["user"] is not None and asked["room"] != "secret"}
        case "events":
            for event in asked["events"]:
                print(event["number"], event["event"], event.get("room", ""), flush=True)
            return 200, {}
    return 400, {"message": "unknown type"}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if is_genuine(self.headers, body):
            status, value = answer(json.loads(body))
        else:
            status, value = 400, {"message": "wrong signature"}
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
print("http://127.0.0.1:%d" % server.server_port, flush=True)
server.serve_forever()
