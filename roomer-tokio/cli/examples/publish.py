"""Publishes JSON to a room of `roomer serve`: KEY=… python3 publish.py http://127.0.0.1:9090 ROOM EVENT TEXT"""

import json
import os
import sys
import uuid
from urllib.parse import quote
from urllib.request import Request, urlopen

api, room, event, text = sys.argv[1:]
request = Request(
    f"{api}/v1/rooms/{quote(room, safe='')}/messages/{quote(event, safe='')}",
    data=json.dumps({"text": text}).encode(),
    headers={
        "Authorization": f"Bearer {os.environ['KEY']}",
        # Use the same key for each attempt to send this message, so that it arrives once.
        "Idempotency-Key": str(uuid.uuid4()),
    },
)
with urlopen(request, timeout=10) as response:
    print(json.load(response)["members"], "members")
