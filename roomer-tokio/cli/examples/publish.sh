#!/bin/sh
# Publishes text to a room of `roomer serve` with curl: KEY=… publish.sh http://127.0.0.1:9090 ROOM EVENT TEXT
# In names, percent-encode everything except letters, digits, - and _.
set -eu
# Pass the key through standard input, since other users can see the arguments of a program.
printf 'Authorization: Bearer %s\n' "$KEY" |
    curl --fail-with-body --silent --show-error --max-time 10 --header @- \
        --data-binary "$4" "$1/v1/rooms/$2/messages/$3"
