"""Signs a token for a user, for an hour: python3 token.py SECRET_FILE USER ROOM..."""

import base64
import hashlib
import hmac
import json
import sys
import time


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


with open(sys.argv[1], "rb") as file:
    secret = file.read().strip()
claims = {"sub": sys.argv[2], "exp": int(time.time()) + 3600, "info": {"name": sys.argv[2]}}
if sys.argv[3:]:
    claims["rooms"] = sys.argv[3:]
message = ".".join(part(json.dumps(value).encode()) for value in ({"alg": "HS256"}, claims))
print(message + "." + part(hmac.new(secret, message.encode(), hashlib.sha256).digest()))
